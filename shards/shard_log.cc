// Opening and writing a shard log. Reading is in shard_log_read.cc, retention in
// shard_log_retention.cc.
#include "shards/shard_log.h"

#include <algorithm>

#include "shards/shard_header.h"
#include "wal/check.h"
#include "wal/mutants.h"
#include "wal/segment.h"

namespace tailrace::shards {
namespace {

// A buffer that grew larger is given back after it was written: there may be thousands of them.
constexpr uint64_t kBufferBytesKept = 64 << 10;

bool SameIdentity(const frames::ShardLogHeader& a, const frames::ShardLogHeader& b) {
  return a.store() == b.store() && a.stream().id() == b.stream().id() &&
         a.stream().table() == b.stream().table() && a.stream().view() == b.stream().view() &&
         a.starting() == b.starting() &&
         a.shard().SerializeAsString() == b.shard().SerializeAsString();
}

Status CorruptionAt(const std::string& path, uint64_t offset, const std::string& what) {
  return Corruption(path + ", offset " + std::to_string(offset) + ": " + what);
}

// A file that must be there is damage when it is not.
Status MissingIsCorruption(const Status& status) {
  if (status.code() != StatusCode::kNotFound) return status;
  return Corruption("missing: " + status.message());
}

}  // namespace

ShardLog::ShardLog(OpenFiles& files, const ShardSetOptions& options, std::string path,
                   const frames::ShardLogHeader& header, const Limits& limits)
    : files_(files),
      options_(options),
      path_(std::move(path)),
      header_(header),
      store_id_{header.store()},
      sealed_(limits.ending.has_value()),
      limits_(limits),
      bounds_{.trimmed_below = limits.trimmed_below, .ending = limits.ending, .last = {}} {}

IndexIdentity ShardLog::Identity(const Segment& segment) const {
  return {.store_id = store_id_, .shard = shard(), .base = segment.base};
}

std::string ShardLog::IndexPath(const Segment& segment) const {
  return wal::JoinPath(path_, IndexFileName(segment.base));
}

ShardLog::SegmentPointer ShardLog::NewSegment(SequenceNumber base) const {
  return std::make_shared<Segment>(
      Segment{.base = base, .path = wal::JoinPath(path_, wal::SegmentFileName(base.value))});
}

// ---------------------------------------------------------------------------------------- opening

Result<std::shared_ptr<ShardLog>> ShardLog::Open(OpenFiles& files, const ShardSetOptions& options,
                                                 std::string path,
                                                 const frames::ShardLogHeader& header,
                                                 const frames::ShardEnd& end,
                                                 const Limits& limits) {
  auto log = std::make_shared<ShardLog>(files, options, std::move(path), header, limits);
  log->directory_made_ = true;
  TAILRACE_RETURN_IF_ERROR(log->CheckHeaderFile());
  TAILRACE_RETURN_IF_ERROR(log->ListSegments());
  TAILRACE_RETURN_IF_ERROR(log->CheckEnd(end));
  TAILRACE_RETURN_IF_ERROR(log->FindStale(end));
  return log;
}

Status ShardLog::CheckHeaderFile() const {
  auto found = ReadShardHeader(files_.fs(), path_);
  if (!found.ok()) return MissingIsCorruption(found.status());
  if (SameIdentity(*found, header_)) return Status::Ok();
  return Corruption(path_ + ": the header is that of another shard or store");
}

Status ShardLog::ListSegments() {
  TAILRACE_ASSIGN_OR_RETURN(const auto entries, files_.fs().List(path_));
  MutexLock lock(mutex_);
  for (const wal::DirectoryEntry& entry : entries) {
    const auto base = wal::ParseSegmentFileName(entry.name);
    if (base && !entry.is_directory) segments_.push_back(NewSegment(SequenceNumber{*base}));
  }
  return Status::Ok();
}

// Takes over the end that a checkpoint recorded, after checking that the log really ends so.
Status ShardLog::CheckEnd(const frames::ShardEnd& end) {
  tip_ = {.sequence = SequenceNumber{end.last_sequence()},
          .ordinal = end.ordinal(),
          .chain = end.chain()};
  tip_age_ms_ = end.last_age_ms();
  tip_wall_ms_ = end.last_wall_ms();
  {
    MutexLock lock(mutex_);
    bounds_.last = tip_;
    while (!segments_.empty() && segments_.back()->base.value > end.segment_base()) {
      stale_paths_.push_back(segments_.back()->path);
      stale_paths_.push_back(IndexPath(*segments_.back()));
      segments_.pop_back();
    }
    if (end.segment_base() == 0) return Status::Ok();
    if (segments_.empty() || segments_.back()->base.value != end.segment_base()) {
      return Corruption(
          "missing: " + wal::JoinPath(path_, wal::SegmentFileName(end.segment_base())) +
          ", with records up to " + std::to_string(end.last_sequence()));
    }
    active_ = segments_.back();
  }
  TAILRACE_ASSIGN_OR_RETURN(const auto file, files_.OpenToRead(active_->path));
  TAILRACE_ASSIGN_OR_RETURN(active_header_,
                            ReadSegmentHeader(*file, active_->path, Identity(*active_)));
  TAILRACE_ASSIGN_OR_RETURN(const uint64_t file_bytes, file->SizeBytes());
  if (file_bytes < end.segment_offset()) {
    return CorruptionAt(active_->path, file_bytes,
                        "the file ends before offset " + std::to_string(end.segment_offset()) +
                            ", which a checkpoint recorded");
  }
  if (end.record_offset() < wal::kSegmentHeaderBytes) {
    return CorruptionAt(active_->path, end.record_offset(), "no record can be there");
  }
  SegmentScanner scanner(file, active_->path, active_header_, end.record_offset(),
                         end.segment_offset(), std::nullopt);
  RecordView last;
  TAILRACE_ASSIGN_OR_RETURN(const bool found, scanner.Next(last));
  if ((!found || scanner.offset() != end.segment_offset() || last.point() != tip_) &&
      !TAILRACE_MUTANT("shard-end-not-checked")) {
    return CorruptionAt(active_->path, end.record_offset(),
                        "the last record differs from the one that a checkpoint recorded");
  }
  offset_ = flushed_ = end.segment_offset();
  record_offset_ = end.record_offset();
  active_seed_ = wal::SegmentSeed(active_header_);
  active_age_ms_ = end.segment_age_ms();
  if (file_bytes > offset_) cut_offset_ = offset_;
  MutexLock lock(mutex_);
  active_->header = active_header_;
  active_->end_offset = active_->indexed_end = offset_;
  active_->first_age_ms = active_age_ms_;
  return Status::Ok();
}

// Segments from below the trim point may have come back with a crash (their removal is never
// synced); some of them only, so they must not be taken for a log with holes.
Status ShardLog::FindStale(const frames::ShardEnd& end) {
  MutexLock lock(mutex_);
  while (segments_.size() > 1 && !TAILRACE_MUTANT("stale-segments-kept")) {
    const Segment& second = *segments_[1];
    TAILRACE_ASSIGN_OR_RETURN(const auto file, files_.OpenToRead(second.path));
    const auto header = ReadSegmentHeader(*file, second.path, Identity(second));
    // A damaged header is reported to whoever reads there.
    if (!header.ok() || header->previous >= bounds_.trimmed_below.value) break;
    stale_paths_.push_back(segments_.front()->path);
    stale_paths_.push_back(IndexPath(*segments_.front()));
    segments_.erase(segments_.begin());
  }
  TAILRACE_CHECK(end.segment_base() == 0 || segments_.back() == active_,
                 "the active segment is never stale");
  return Status::Ok();
}

Status ShardLog::Cut() {
  for (const std::string& path : stale_paths_) {
    const Status removed = files_.fs().Remove(path);
    if (!removed.ok() && removed.code() != StatusCode::kNotFound) return removed;
    files_.Forget(path);
  }
  stale_paths_.clear();
  if (cut_offset_ && !TAILRACE_MUTANT("shard-log-not-cut")) {
    TAILRACE_RETURN_IF_ERROR(files_.Truncate(active_->path, *cut_offset_));
  }
  cut_offset_.reset();
  return Status::Ok();
}

// ---------------------------------------------------------------------------------------- writing

Status ShardLog::Append(RecordView record, Epoch epoch) {
  TAILRACE_CHECK(!sealed_, "a sealed shard takes no record");
  if (record.sequence <= tip_.sequence) {
    return Corruption(path_ + ": record " + std::to_string(record.sequence.value) +
                      " comes after record " + std::to_string(tip_.sequence.value));
  }
  record.ordinal = tip_.ordinal + (TAILRACE_MUTANT("ordinals-with-holes") ? 2 : 1);
  record.previous = tip_.sequence;
  record.age_ms = std::max(record.age_ms, tip_age_ms_);
  if (!TAILRACE_MUTANT("record-times-fall")) {
    record.wall_ms = std::max(record.wall_ms, tip_wall_ms_);
  }
  const uint64_t frame_bytes = RecordFrameBytes(record);
  if (!active_ || offset_ + frame_bytes > options_.segment_bytes_max ||
      record.age_ms - active_age_ms_ >= options_.segment_age_ms_max) {
    TAILRACE_RETURN_IF_ERROR(Roll(record, epoch));
  }
  if (IsIndexed(record_offset_, offset_, options_.index_interval_bytes)) {
    new_entries_.push_back({record.sequence, offset_, record.age_ms, record.wall_ms});
  }
  const uint64_t chain =
      AppendRecordFrame(buffer_, record, tip_.chain, active_seed_, active_header_.epoch);
  tip_ = {.sequence = record.sequence, .ordinal = record.ordinal, .chain = chain};
  tip_age_ms_ = record.age_ms;
  tip_wall_ms_ = record.wall_ms;
  record_offset_ = offset_;
  offset_ += frame_bytes;
  return buffer_.size() < options_.buffer_bytes_max ? Status::Ok() : Flush();
}

// Closes the active segment, if any, and begins one whose first record is `first`.
Status ShardLog::Roll(const RecordView& first, Epoch epoch) {
  if (epoch.value == 0) return Corruption(path_ + ": a frame of no epoch");
  TAILRACE_RETURN_IF_ERROR(CloseSegment());
  active_header_ = wal::SegmentHeader{.kind = wal::LogKind::kShardLog,
                                      .store_id = store_id_,
                                      .log_id = shard().value,
                                      .base = first.sequence.value,
                                      .epoch = epoch,
                                      .wall_ms = first.wall_ms,
                                      .base_ordinal = first.ordinal,
                                      .previous = tip_.sequence.value,
                                      .base_chain = tip_.chain};
  active_seed_ = wal::SegmentSeed(active_header_);
  active_age_ms_ = first.age_ms;
  active_ = std::make_shared<Segment>(
      Segment{.base = first.sequence,
              .path = wal::JoinPath(path_, wal::SegmentFileName(first.sequence.value)),
              .header = active_header_,
              .indexed_end = wal::kSegmentHeaderBytes,
              .first_age_ms = active_age_ms_});
  new_segments_.push_back(active_);
  buffer_ = wal::EncodeSegmentHeader(active_header_);
  offset_ = buffer_.size();
  record_offset_ = 0;
  flushed_ = 0;
  return Status::Ok();
}

// Writes all of the active segment and its index; the next record begins another.
Status ShardLog::CloseSegment() {
  if (!active_) return Status::Ok();
  TAILRACE_RETURN_IF_ERROR(Flush());
  TAILRACE_RETURN_IF_ERROR(WriteIndexFile());
  closed_segments_.push_back({active_, offset_});
  new_entries_.clear();
  active_ = nullptr;
  return Status::Ok();
}

// An index can always be built again, so one that cannot be built or written now is left out.
Status ShardLog::WriteIndexFile() {
  SparseIndex index;
  uint64_t indexed_end = 0;
  {
    MutexLock lock(mutex_);
    indexed_end = active_->indexed_end;
    index.entries = active_->tail;
  }
  if (indexed_end > wal::kSegmentHeaderBytes) {
    TAILRACE_ASSIGN_OR_RETURN(const auto file, files_.OpenToRead(active_->path));
    const auto part = LoadIndex({active_, file, active_header_, indexed_end}, indexed_end);
    if (!part.ok()) return Status::Ok();  // Damage there is reported to whoever reads it.
    index.entries.insert(index.entries.begin(), (*part)->entries.begin(), (*part)->entries.end());
  }
  index.entries.insert(index.entries.end(), new_entries_.begin(), new_entries_.end());
  index.end_offset = offset_;
  index.last = tip_;
  index.last_age_ms = tip_age_ms_;
  const std::string bytes = EncodeIndexFile(Identity(*active_), index);
  const auto file = files_.fs().Open(IndexPath(*active_), wal::OpenMode::kCreate);
  if (!file.ok()) return Status::Ok();
  if ((*file)->Write(0, bytes).ok()) (void)(*file)->Truncate(bytes.size());
  return Status::Ok();
}

Status ShardLog::Seal(SequenceNumber ending) {
  TAILRACE_CHECK(!sealed_, "a shard is sealed once");
  if (tip_.sequence > ending) {
    return Corruption(path_ + ": sealed at " + std::to_string(ending.value) + " below record " +
                      std::to_string(tip_.sequence.value));
  }
  sealed_ = true;
  limits_.ending = ending;
  // The segment stays the active one, by which end() names it.
  const SegmentPointer active = active_;
  TAILRACE_RETURN_IF_ERROR(CloseSegment());
  active_ = active;
  return Status::Ok();
}

Status ShardLog::Trim(SequenceNumber below) {
  limits_.trimmed_below = std::max(limits_.trimmed_below, below);
  if (!active_ || limits_.trimmed_below <= tip_.sequence) return Status::Ok();
  if (!sealed_) return CloseSegment();
  active_ = nullptr;
  return Status::Ok();
}

Status ShardLog::MakeDirectory() {
  TAILRACE_RETURN_IF_ERROR(files_.MakeDirectory(ParentPath(path_)));
  TAILRACE_RETURN_IF_ERROR(files_.MakeDirectory(path_));
  TAILRACE_RETURN_IF_ERROR(files_.Write(wal::JoinPath(path_, kShardHeaderFileName),
                                        wal::OpenMode::kCreate, 0, EncodeShardHeader(header_)));
  directory_made_ = true;
  return Status::Ok();
}

Status ShardLog::Flush() {
  if (buffer_.empty()) return Status::Ok();
  if (!directory_made_) TAILRACE_RETURN_IF_ERROR(MakeDirectory());
  const wal::OpenMode mode = flushed_ == 0 ? wal::OpenMode::kCreateNew : wal::OpenMode::kReadWrite;
  TAILRACE_RETURN_IF_ERROR(files_.Write(active_->path, mode, flushed_, buffer_));
  flushed_ += buffer_.size();
  buffer_.clear();
  if (buffer_.capacity() > kBufferBytesKept) buffer_.shrink_to_fit();
  return Status::Ok();
}

void ShardLog::Publish() {
  TAILRACE_CHECK(buffer_.empty(), "records are in the file before they are visible");
  MutexLock lock(mutex_);
  segments_.insert(segments_.end(), new_segments_.begin(), new_segments_.end());
  for (const ClosedSegment& closed : closed_segments_) {
    closed.segment->end_offset = closed.segment->indexed_end = closed.end_offset;
    closed.segment->index = nullptr;
    closed.segment->tail.clear();
    closed.segment->tail.shrink_to_fit();
  }
  if (active_ && !sealed_) {
    active_->end_offset = offset_;
    active_->tail.insert(active_->tail.end(), new_entries_.begin(), new_entries_.end());
    new_entries_.clear();
  }
  new_segments_.clear();
  closed_segments_.clear();
  bounds_ = {.trimmed_below = limits_.trimmed_below, .ending = limits_.ending, .last = tip_};
  RingAll();
}

std::optional<frames::ShardEnd> ShardLog::end() const {
  if (tip_.ordinal == 0) return std::nullopt;
  frames::ShardEnd end;
  end.set_shard(shard().value);
  end.set_stream(stream().value);
  end.set_ordinal(tip_.ordinal);
  end.set_last_sequence(tip_.sequence.value);
  end.set_chain(tip_.chain);
  end.set_last_age_ms(tip_age_ms_);
  end.set_last_wall_ms(tip_wall_ms_);
  if (!active_) return end;
  end.set_segment_base(active_->base.value);
  end.set_segment_offset(offset_);
  end.set_record_offset(record_offset_);
  end.set_segment_age_ms(active_age_ms_);
  return end;
}

void ShardLog::MarkGone() {
  MutexLock lock(mutex_);
  gone_ = true;
  RingAll();
}

void ShardLog::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
  RingAll();
}

}  // namespace tailrace::shards
