#include "wal/recovery.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "wal/coding.h"
#include "wal/mutants.h"
#include "wal/recovery_table.h"
#include "wal/segment_loader.h"
#include "wal/segment_pool.h"

namespace tailrace::wal {
namespace {

constexpr ByteView kTornSuffix = ".torn";
constexpr ByteView kTemporarySuffix = ".tmp";
constexpr size_t kTornCopiesMax = 8;
constexpr uint64_t kTornCopyBytesMax = 64 << 20;  // Of one recovery; more is counted, not copied.

std::string Range(Lsn from, Lsn to) {
  return "positions [" + std::to_string(from.value) + ", " + std::to_string(to.value) + ")";
}

// A file named like a segment.
struct SegmentCandidate {
  std::string path;
  uint64_t named_base = 0;
  uint64_t file_bytes = 0;
  SegmentHeaderState state = SegmentHeaderState::kInvalid;
  SegmentHeader header;

  Lsn end() const { return Lsn{SegmentEnd(header)}; }
};

// Segments of one epoch, oldest first.
struct Run {
  Epoch epoch;
  std::vector<SegmentCandidate> segments;
};

// What reading a run gave.
struct RunFound {
  bool stillborn = false;
  Lsn begin;  // Base of the first segment read.
  Lsn end;    // Where its frames stop.
  std::vector<RecoveredSegment> segments;
  std::optional<EpochFrame> epoch_frame;  // When the run's first segment was read.
  Lsn mark;                               // The highest mark in its frames.
  std::optional<Lsn> closed_at;           // The Close frame, when it is the last.
  uint64_t frames = 0;
};

// What lies at and beyond the place where a run's frames stop.
struct Aftermath {
  Lsn mark;                        // The highest mark found there.
  std::optional<Lsn> next_header;  // The first header found beyond.
  uint64_t torn_bytes = 0;         // Bytes of frames found there.
  std::vector<TornPiece> torn;     // The first of them.
};

class Planner {
 public:
  Planner(FileSystem& fs, const std::string& directory, const JournalStart& start,
          JournalThreads threads)
      : fs_(fs),
        directory_(directory),
        start_(start),
        threads_(threads),
        known_durable_(std::max(start.known_durable, start.from)) {
    // Beyond kPositionMax it is refused below.
    const uint64_t floor = std::min(start.start_floor.value, kPositionMax + 1);
    plan_.new_start = std::max(kFirstLsn, Lsn{RoundUpToBlock(floor)});
  }

  Result<RecoveryPlan> Plan() {
    TAILRACE_RETURN_IF_ERROR(ListFiles());
    TAILRACE_RETURN_IF_ERROR(JudgeFiles());
    TAILRACE_RETURN_IF_ERROR(SplitIntoRuns());
    TAILRACE_RETURN_IF_ERROR(FollowEpochs());
    TAILRACE_RETURN_IF_ERROR(Conclude());
    return std::move(plan_);
  }

 private:
  Status ListFiles();
  Status AddCandidate(const std::string& path, uint64_t named_base);
  Status JudgeFiles();
  Result<SegmentFacts> FactsOf(const SegmentCandidate& candidate) const;
  Status SplitIntoRuns();
  Status FollowEpochs();
  Status CheckStillborn(const Run& run) const;
  Result<size_t> FirstNeeded(const Run& run, size_t count, std::optional<Lsn> bound) const;
  Result<RunFound> ReadRun(const Run& run, std::optional<Lsn> bound);
  Status ReadFrame(const ParsedFrame& frame, const SegmentImage& image, RunFound& found,
                   std::vector<Lsn>& frames) const;
  Result<Aftermath> LookBeyond(const Run& run, size_t stopped_in, const SegmentImage& image,
                               Lsn stop) const;
  Status JudgeStopOf(const Run& run, size_t stopped_in, const WalkEnd& walk,
                     std::optional<Lsn> bound, RunFound& found);
  void MakeStale(const Run& run);
  Status Conclude();
  void CollectUnproven(RunFound& last);
  void PruneTornCopies();

  FileSystem& fs_;
  const std::string& directory_;
  const JournalStart& start_;
  const JournalThreads threads_;
  const Lsn known_durable_;

  RecoveryPlan plan_;
  std::vector<SegmentCandidate> candidates_;  // By name, hence by base.
  uint64_t highest_base_ = 0;                 // Of the whole headers.
  uint64_t needed_base_ = 0;  // The highest at or below `from`: nothing before it is needed.
  std::vector<std::string> torn_copies_;
  std::vector<Run> runs_;
  std::vector<RunFound> found_;  // Newest first.
};

Status Planner::ListFiles() {
  TAILRACE_ASSIGN_OR_RETURN(const bool exists, fs_.Exists(directory_));
  if (!exists) return Status::Ok();
  TAILRACE_ASSIGN_OR_RETURN(const auto entries, fs_.List(directory_));
  for (const DirectoryEntry& entry : entries) {
    if (entry.is_directory) continue;
    const std::string path = JoinPath(directory_, entry.name);
    const auto base = ParseSegmentFileName(entry.name);
    if (base) {
      TAILRACE_RETURN_IF_ERROR(AddCandidate(path, *base));
    } else if (IsSpareFileName(entry.name) || entry.name.ends_with(kTemporarySuffix)) {
      // A spare's old name may have come back with the power: it is safe to reuse only what this
      // opening itself sets aside.
      plan_.removals.push_back(path);
    } else if (entry.name.ends_with(kTornSuffix)) {
      torn_copies_.push_back(path);
    }
  }
  return Status::Ok();
}

Status Planner::AddCandidate(const std::string& path, uint64_t named_base) {
  SegmentCandidate candidate{.path = path, .named_base = named_base, .header = {}};
  TAILRACE_ASSIGN_OR_RETURN(auto file, fs_.Open(path, OpenMode::kRead));
  TAILRACE_ASSIGN_OR_RETURN(candidate.file_bytes, file->SizeBytes());
  TAILRACE_ASSIGN_OR_RETURN(const std::string block, ReadPiece(*file, 0, kSegmentHeaderBytes));
  candidate.state = DecodeSegmentHeader(block, candidate.header);
  candidates_.push_back(std::move(candidate));
  return Status::Ok();
}

Result<SegmentFacts> Planner::FactsOf(const SegmentCandidate& candidate) const {
  SegmentFacts facts;
  facts.header_whole = candidate.state != SegmentHeaderState::kInvalid;
  facts.version_known = candidate.state == SegmentHeaderState::kValid;
  facts.last = candidate.named_base >= highest_base_;
  facts.known_durable = known_durable_.value > candidate.named_base;
  if (facts.version_known) {
    const SegmentHeader& header = candidate.header;
    facts.ours = header.store_id == start_.store_id && header.kind == LogKind::kJournal &&
                 header.log_id == 0;
    facts.name_matches = header.base == candidate.named_base;
    facts.not_needed = candidate.end() <= start_.from;
  } else if (!facts.header_whole && candidate.named_base < needed_base_) {
    facts.not_needed = true;
  } else if (!facts.header_whole && facts.last) {
    TAILRACE_ASSIGN_OR_RETURN(facts.holds_frames, HoldsFrames(fs_, candidate.path, start_.store_id,
                                                              0, candidate.named_base));
  }
  return facts;
}

Status Planner::JudgeFiles() {
  for (const SegmentCandidate& candidate : candidates_) {
    if (candidate.state != SegmentHeaderState::kValid) continue;
    highest_base_ = candidate.named_base;
    if (candidate.named_base <= start_.from.value) needed_base_ = candidate.named_base;
  }
  std::vector<SegmentCandidate> used;
  for (SegmentCandidate& candidate : candidates_) {
    TAILRACE_ASSIGN_OR_RETURN(const SegmentFacts facts, FactsOf(candidate));
    const SegmentRow& row = JudgeSegment(facts);
    if (row.decision == SegmentDecision::kRefuse) {
      return Corruption(candidate.path + ": offset 0, positions from " +
                        std::to_string(candidate.named_base) + ": " + std::string(row.reason));
    }
    if (row.decision == SegmentDecision::kUnsupported) {
      return Unsupported(candidate.path + ": " + std::string(row.reason) + " (format version " +
                         std::to_string(candidate.header.version) + ", this build knows " +
                         std::to_string(kFormatVersion) + ")");
    }
    if (row.decision == SegmentDecision::kRemove) {
      plan_.removals.push_back(candidate.path);
      continue;
    }
    plan_.new_start = std::max(plan_.new_start, candidate.end());
    plan_.new_epoch = std::max(plan_.new_epoch, candidate.header.epoch);
    if (row.decision == SegmentDecision::kStale) {
      plan_.stale.push_back({candidate.path, candidate.file_bytes});
    } else {
      used.push_back(std::move(candidate));
    }
  }
  candidates_ = std::move(used);
  plan_.new_epoch = std::max(plan_.new_epoch, start_.epoch_floor);
  if (plan_.new_start.value > kPositionMax || plan_.new_epoch == Epoch{~uint32_t{0}}) {
    return Unsupported(directory_ + ": positions or epochs are used up");
  }
  if (!TAILRACE_MUTANT("epoch-stays")) ++plan_.new_epoch.value;
  return Status::Ok();
}

Status Planner::SplitIntoRuns() {
  const SegmentCandidate* previous = nullptr;
  for (SegmentCandidate& candidate : candidates_) {
    if (previous != nullptr && (candidate.header.base < previous->end().value ||
                                candidate.header.epoch < previous->header.epoch)) {
      return Corruption(candidate.path + ": offset 0, " +
                        Range(Lsn{candidate.header.base}, candidate.end()) +
                        ": the segment does not follow " + previous->path);
    }
    if (runs_.empty() || runs_.back().epoch != candidate.header.epoch) {
      runs_.push_back(Run{.epoch = candidate.header.epoch, .segments = {}});
    }
    runs_.back().segments.push_back(std::move(candidate));
    previous = &runs_.back().segments.back();
  }
  return Status::Ok();
}

// From the last epoch back to the one that holds `from`: each Epoch frame names the epoch before it
// and where that one ends.
Status Planner::FollowEpochs() {
  std::optional<EpochFrame> follows;
  bool reached = false;
  for (size_t i = runs_.size(); i-- > 0;) {
    const Run& run = runs_[i];
    if (reached) {
      MakeStale(run);
      continue;
    }
    if (follows && run.epoch > follows->old_epoch) {
      TAILRACE_RETURN_IF_ERROR(CheckStillborn(run));
      MakeStale(run);
      continue;
    }
    if (follows && run.epoch < follows->old_epoch) break;
    const std::optional<Lsn> bound = follows ? std::optional(follows->old_end) : std::nullopt;
    TAILRACE_ASSIGN_OR_RETURN(RunFound found, ReadRun(run, bound));
    if (found.stillborn) {
      MakeStale(run);
      continue;
    }
    follows = found.epoch_frame;
    reached = found.begin <= start_.from || follows->old_epoch == Epoch{0} ||
              follows->old_end <= start_.from;
    found_.push_back(std::move(found));
  }
  if (!reached && follows) {
    return Corruption(
        directory_ + ": " + Range(start_.from, follows->old_end) + " of epoch " +
        std::to_string(follows->old_epoch.value) +
        " are missing: the log was trimmed past the checkpoint, or its files are gone");
  }
  return Status::Ok();
}

// An epoch that the next one does not continue must never have been opened.
Status Planner::CheckStillborn(const Run& run) const {
  const SegmentCandidate& first = run.segments.front();
  TAILRACE_ASSIGN_OR_RETURN(const SegmentImage image,
                            SegmentImage::Load(fs_, first.path, first.header));
  ParsedFrame frame;
  if (first.header.base == first.header.epoch_start &&
      image.FrameAt(image.base(), frame) != FrameProblem::kNone) {
    return Status::Ok();
  }
  return Corruption(first.path + ": offset 0, " + Range(image.base(), image.end()) +
                    ": a later epoch does not continue this one");
}

// Index of the first segment to read: those from there on have no hole, and reach down to `from` or
// to the start of the epoch.
Result<size_t> Planner::FirstNeeded(const Run& run, size_t count, std::optional<Lsn> bound) const {
  const auto& segments = run.segments;
  const Lsn epoch_start{segments[0].header.epoch_start};
  if (count == 0) {
    return Corruption(directory_ + ": " + Range(epoch_start, *bound) + " are missing");
  }
  const Lsn covered = segments[count - 1].end();
  if (bound && covered < *bound) {
    return Corruption(directory_ + ": " + Range(covered, *bound) + " are missing");
  }
  size_t first = count - 1;
  while (first > 0 && segments[first].header.base > start_.from.value &&
         segments[first - 1].end().value == segments[first].header.base) {
    --first;
  }
  const Lsn begin{segments[first].header.base};
  if (begin <= start_.from || begin == epoch_start) return first;
  if (first > 0) {
    return Corruption(directory_ + ": " + Range(segments[first - 1].end(), begin) +
                      " are missing: a segment file in the middle is gone");
  }
  return Corruption(directory_ + ": " + Range(std::max(start_.from, epoch_start), begin) +
                    " are missing: the log was trimmed past the checkpoint");
}

Result<RunFound> Planner::ReadRun(const Run& run, std::optional<Lsn> bound) {
  size_t count = run.segments.size();
  while (bound && count > 0 && run.segments[count - 1].header.base >= bound->value) --count;
  TAILRACE_ASSIGN_OR_RETURN(const size_t first, FirstNeeded(run, count, bound));
  RunFound found;
  found.begin = Lsn{run.segments[first].header.base};
  const Lsn limit = bound.value_or(run.segments.back().end());
  std::vector<SegmentLoader::Segment> to_load;
  for (size_t i = first; i < count; ++i) {
    to_load.push_back({run.segments[i].path, run.segments[i].header});
  }
  SegmentLoader loader(fs_, std::move(to_load), threads_);
  size_t i = first;
  WalkEnd walk;
  for (; i < count; ++i) {
    const SegmentCandidate& candidate = run.segments[i];
    TAILRACE_ASSIGN_OR_RETURN(SegmentImage image, loader.Next());
    std::vector<Lsn> frames;
    Status status;
    walk = image.Walk(limit, [&](const ParsedFrame& frame) {
      status = ReadFrame(frame, image, found, frames);
      return status.ok();
    });
    TAILRACE_RETURN_IF_ERROR(status);
    const bool whole = walk.at == image.end();
    found.segments.push_back(RecoveredSegment{.image = std::move(image),
                                              .file_bytes = candidate.file_bytes,
                                              .proven_end = walk.at,
                                              .frames = std::move(frames)});
    if (!whole) break;
  }
  found.end = walk.at;
  TAILRACE_RETURN_IF_ERROR(JudgeStopOf(run, std::min(i, count - 1), walk, bound, found));
  // The files of stillborn epochs and those beyond the end hold nothing that is needed.
  const size_t used_end = found.stillborn ? first : first + found.segments.size();
  for (size_t j = 0; !found.stillborn && j < run.segments.size(); ++j) {
    if (j >= first && j < used_end) continue;
    plan_.stale.push_back({run.segments[j].path, run.segments[j].file_bytes});
  }
  return found;
}

Status Planner::ReadFrame(const ParsedFrame& frame, const SegmentImage& image, RunFound& found,
                          std::vector<Lsn>& frames) const {
  const Lsn at{frame.header.position};
  // Made only when needed: there may be millions of frames.
  const auto place = [&] {
    return image.path() + ": offset " + std::to_string(image.OffsetOf(at)) + ", " +
           Range(at, at + frame.header.frame_bytes()) + ": ";
  };
  const bool starts_epoch = at.value == image.header().epoch_start;
  if (starts_epoch != (frame.header.type == FrameType::kEpoch)) {
    return Corruption(place() + "an epoch begins with its Epoch frame, and only there is one");
  }
  const uint8_t type = static_cast<uint8_t>(frame.header.type);
  if (type < kFirstCallerFrame && (type < static_cast<uint8_t>(FrameType::kPad) ||
                                   type > static_cast<uint8_t>(FrameType::kClose))) {
    return Unsupported(place() + "frame type " + std::to_string(type) +
                       " is not known to this build");
  }
  if (starts_epoch) {
    found.epoch_frame = DecodeEpochFrame(frame.payload);
    if (!found.epoch_frame || found.epoch_frame->new_start != at ||
        found.epoch_frame->old_end > at || found.epoch_frame->old_epoch >= frame.header.epoch) {
      return Corruption(place() + "the Epoch frame contradicts its place");
    }
  }
  found.mark = std::max(found.mark, Lsn{frame.header.mark});
  if (frame.header.type != FrameType::kPad) {
    found.closed_at = frame.header.type == FrameType::kClose ? std::optional(at) : std::nullopt;
  }
  if (type >= kFirstCallerFrame && at >= start_.from) {
    frames.push_back(at);
    ++found.frames;
  }
  return Status::Ok();
}

// Reads on beyond `stop`, in the segment where the frames stopped and the later ones of its epoch.
Result<Aftermath> Planner::LookBeyond(const Run& run, size_t stopped_in, const SegmentImage& image,
                                      Lsn stop) const {
  Aftermath after;
  for (size_t i = stopped_in; i < run.segments.size(); ++i) {
    std::optional<SegmentImage> loaded;
    if (i > stopped_in) {
      TAILRACE_ASSIGN_OR_RETURN(
          loaded, SegmentImage::Load(fs_, run.segments[i].path, run.segments[i].header));
    }
    const SegmentImage& current = loaded ? *loaded : image;
    const Lsn from = loaded ? current.base() : stop;
    Lsn torn_end = from;
    current.Resynchronise(from, [&](const FrameHeader& header) {
      const Lsn at{header.position};
      after.mark = std::max(after.mark, Lsn{header.mark});
      if (at > stop && !after.next_header) after.next_header = at;
      torn_end = std::max(torn_end, std::min(at + header.frame_bytes(), current.end()));
    });
    // A header torn in itself: its magic and position stand.
    const ByteView rest = current.Bytes(from, current.end());
    if (torn_end == from && rest.size() >= kFramePositionAt + 8 &&
        LoadLittle<uint32_t>(rest.data() + kFrameMagicAt) == kFrameMagic &&
        LoadLittle<uint64_t>(rest.data() + kFramePositionAt) == from.value) {
      const uint64_t claimed_bytes =
          FrameBytes(LoadLittle<uint32_t>(rest.data() + kFramePayloadBytesAt));
      torn_end = from + std::min<uint64_t>(claimed_bytes, rest.size());
    }
    if (torn_end == from) continue;
    const ByteView torn = current.Bytes(from, torn_end);
    if (after.torn_bytes < kTornCopyBytesMax) {
      after.torn.push_back(
          TornPiece{.copy_path = current.path() + std::string(kTornSuffix),
                    .bytes = std::string(torn.substr(0, kTornCopyBytesMax - after.torn_bytes))});
    }
    after.torn_bytes += torn.size();
  }
  return after;
}

Status Planner::JudgeStopOf(const Run& run, size_t stopped_in, const WalkEnd& walk,
                            std::optional<Lsn> bound, RunFound& found) {
  const SegmentImage& image = found.segments.back().image;
  const Lsn stop = walk.at;
  const bool at_old_end = bound == stop;
  Aftermath after;
  if (!at_old_end) {
    TAILRACE_ASSIGN_OR_RETURN(after, LookBeyond(run, stopped_in, image, stop));
  }
  const StopFacts facts{
      .superseded = bound.has_value(),
      .at_old_end = at_old_end,
      .marked = after.mark > stop && !TAILRACE_MUTANT("marks-ignored"),
      .known_durable = known_durable_ > stop && !TAILRACE_MUTANT("cut-is-no-evidence"),
      .at_start = stop.value == image.header().epoch_start,
      .bytes_follow = after.torn_bytes > 0};
  const StopRow& row = JudgeStop(facts);
  const bool cut = TAILRACE_MUTANT("bad-frame-always-cut");
  switch (cut && row.decision == StopDecision::kRefuse ? StopDecision::kCut : row.decision) {
    case StopDecision::kEnd:
      break;
    case StopDecision::kStillborn:
      found.stillborn = true;
      break;
    case StopDecision::kCut:
      plan_.torn_bytes = after.torn_bytes;
      plan_.torn = std::move(after.torn);
      break;
    case StopDecision::kRefuse: {
      const Lsn durable = std::max(
          {after.mark, bound.value_or(Lsn{0}), facts.known_durable ? known_durable_ : Lsn{0}});
      return Corruption(image.path() + ": offset " + std::to_string(image.OffsetOf(stop)) + ", " +
                        Range(stop, after.next_header.value_or(durable)) + ": " +
                        std::string(FrameProblemName(walk.problem)) + ", but " +
                        std::string(row.reason) + " (up to " + std::to_string(durable.value) + ")");
    }
  }
  return Status::Ok();
}

void Planner::MakeStale(const Run& run) {
  for (const SegmentCandidate& segment : run.segments) {
    plan_.stale.push_back({segment.path, segment.file_bytes});
  }
}

Status Planner::Conclude() {
  if (found_.empty()) {
    if (!start_.may_create || known_durable_ > Lsn{0}) {
      return Corruption(directory_ + ": " + Range(Lsn{0}, known_durable_) +
                        " are missing: there is no journal here");
    }
    PruneTornCopies();
    return Status::Ok();
  }
  RunFound& last = found_.front();
  // A Close frame says that all before it is durable, not that it is itself.
  plan_.end = last.closed_at.value_or(last.end);
  plan_.old_epoch = last.segments.front().image.header().epoch;
  plan_.clean_close = last.closed_at.has_value();
  if (TAILRACE_MUTANT("positions-reused")) plan_.new_start = Lsn{RoundUpToBlock(plan_.end.value)};
  CollectUnproven(last);
  for (size_t i = found_.size(); i-- > 0;) {
    RunFound& found = found_[i];
    if (found.epoch_frame && found.begin > start_.from) {
      plan_.epochs.push_back(EpochStart{.epoch = found.segments.front().image.header().epoch,
                                        .old_end = found.epoch_frame->old_end,
                                        .new_start = found.begin,
                                        .clean = found.epoch_frame->clean});
    }
    plan_.frames += found.frames;
    for (RecoveredSegment& segment : found.segments) {
      if (segment.proven_end > segment.image.base()) {
        plan_.segments.push_back(std::move(segment));
      } else {
        // Made ready and never written to.
        plan_.stale.push_back({segment.image.path(), segment.file_bytes});
      }
    }
  }
  PruneTornCopies();
  return Status::Ok();
}

// What was read of the last epoch beyond every mark may be in the page cache only: a sync that
// failed before the restart leaves pages there that look clean and were never written. Writing them
// again in place would endanger blocks that hold acknowledged frames, so the segment is copied.
void Planner::CollectUnproven(RunFound& last) {
  const Lsn proven = std::max(last.mark, known_durable_);
  for (RecoveredSegment& segment : last.segments) {
    const Lsn end = std::min(segment.proven_end, plan_.end);
    if (end <= std::max(proven, segment.image.base())) continue;
    plan_.unproven.push_back(
        UnprovenSegment{.path = segment.image.path(),
                        .header = segment.image.header(),
                        .data = segment.image.Bytes(segment.image.base(), end)});
    segment.file_bytes = kSegmentHeaderBytes + plan_.unproven.back().data.size();
  }
}

void Planner::PruneTornCopies() {
  size_t kept = torn_copies_.size() + plan_.torn.size();
  for (const std::string& path : torn_copies_) {
    if (kept <= kTornCopiesMax) break;
    plan_.removals.push_back(path);
    --kept;
  }
}

}  // namespace

Result<RecoveryPlan> PlanRecovery(FileSystem& fs, const std::string& directory,
                                  const JournalStart& start, JournalThreads threads) {
  return Planner(fs, directory, start, threads).Plan();
}

Status ApplyRecovery(FileSystem& fs, const std::string& directory, const RecoveryPlan& plan) {
  // Removals first: they make room for the copies.
  for (const std::string& path : plan.removals) {
    const Status status = fs.Remove(path);
    if (!status.ok() && status.code() != StatusCode::kNotFound) return status;
  }
  TAILRACE_RETURN_IF_ERROR(fs.SyncDirectory(directory));
  for (const TornPiece& piece : plan.torn) {
    if (TAILRACE_MUTANT("torn-tail-not-kept")) break;
    TAILRACE_RETURN_IF_ERROR(ReplaceFile(fs, piece.copy_path, piece.bytes));
  }
  for (const UnprovenSegment& segment : plan.unproven) {
    if (TAILRACE_MUTANT("unproven-tail-not-rewritten")) break;
    std::string bytes;
    bytes.reserve(kSegmentHeaderBytes + segment.data.size());
    bytes += EncodeSegmentHeader(segment.header);
    bytes += segment.data;
    TAILRACE_RETURN_IF_ERROR(ReplaceFile(fs, segment.path, bytes));
  }
  return Status::Ok();
}

}  // namespace tailrace::wal
