#include "tests/crash/shard_workload.h"

#include <algorithm>
#include <sstream>

#include "shards/offline.h"
#include "shards/shard_header.h"
#include "tests/support/removed_segment.h"

namespace tailrace::shards::test {

using tailrace::test::CrashChoice;
using tailrace::test::MixSeed;
using tailrace::test::SimFs;
using tailrace::test::SimOperation;

ShardSetOptions CrashOptions() {
  return {.segment_bytes_max = 5200,
          .segment_age_ms_max = 3600'000,
          .index_interval_bytes = 256,
          .buffer_bytes_max = 600,
          .buffers_bytes_max = 1500,
          .open_files_max = 3};
}

std::string ShardScript::ToString() const {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

ShardScript ShardScript::Parse(const std::string& text) {
  ShardScript script;
  std::istringstream words(text);
  for (std::string word; words >> word;) script.words.push_back(word);
  return script;
}

namespace {

Result<std::unique_ptr<ShardSet>> OpenFrom(wal::FileSystem& fs, const ShardTruth& truth) {
  return ShardSet::Open(fs, kSimStreams, kStore, truth.journal->epoch(), truth.durable, {},
                        CrashOptions());
}

// Folds the frames from the cut on, as many as the truth has, publishing now and then.
Status Refold(const ShardTruth& truth, ShardSet& set) {
  for (size_t i = 0; i < truth.applied; ++i) {
    const TestFrame& frame = truth.journal->frames()[i];
    if (frame.lsn < truth.cut) continue;
    TAILRACE_RETURN_IF_ERROR(set.Apply(frame.View()));
    if (i % 5 == 4) TAILRACE_RETURN_IF_ERROR(set.Publish(frame.end));
  }
  const Lsn end = truth.applied == 0 ? truth.cut : truth.journal->frames()[truth.applied - 1].end;
  return set.Publish(std::max(end, truth.cut));
}

Result<ExpectedRecords> ReadEverything(const ShardSet& set) {
  ExpectedRecords everything;
  const StreamCatalogue catalogue = set.catalogue();
  for (const auto& [stream_id, stream] : catalogue.streams()) {
    for (const auto& [shard_id, shard] : stream.shards) {
      TAILRACE_ASSIGN_OR_RETURN(ReadOutcome read,
                                ReadAllFrom(set, stream_id, shard_id, StartAt::kTrimHorizon));
      if (!read.gaps.empty()) return Corruption("a gap at the trim horizon");
      everything[shard_id] = std::move(read.records);
    }
  }
  return everything;
}

std::string CompareStates(const ShardSetState& found, const ShardSetState& expected) {
  if (found.catalogue.SerializeAsString() != expected.catalogue.SerializeAsString()) {
    return "the catalogue differs";
  }
  const auto by_shard = [](const frames::ShardEnd& a, const frames::ShardEnd& b) {
    return a.shard() < b.shard();
  };
  std::vector<frames::ShardEnd> a = found.ends;
  std::vector<frames::ShardEnd> b = expected.ends;
  std::sort(a.begin(), a.end(), by_shard);
  std::sort(b.begin(), b.end(), by_shard);
  if (a.size() != b.size()) return "another number of shards has records";
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].SerializeAsString() == b[i].SerializeAsString()) continue;
    return "the end of shard " + std::to_string(a[i].shard()) +
           " differs: " + a[i].ShortDebugString() + ", expected " + b[i].ShortDebugString();
  }
  return "";
}

std::string CompareEverything(const ExpectedRecords& found, const ExpectedRecords& expected) {
  if (found.size() != expected.size()) return "another number of shards";
  for (const auto& [shard, records] : expected) {
    const std::string name = "shard " + std::to_string(shard.value) + ": ";
    const auto other = found.find(shard);
    if (other == found.end()) return name + "it is missing";
    if (other->second.size() != records.size()) {
      return name + std::to_string(other->second.size()) + " records, expected " +
             std::to_string(records.size());
    }
    for (size_t i = 0; i < records.size(); ++i) {
      const std::string difference = CompareRecords(other->second[i], records[i]);
      if (!difference.empty()) return name + difference;
      if (other->second[i].chain != records[i].chain) return name + "the chain hash differs";
    }
  }
  return "";
}

// A run of a script: the set under test on a disk that is watched, and beside it one that nothing
// disturbs.
class Run {
 public:
  explicit Run(const ShardCrashPoint& crash_point) : crash_point_(crash_point) {
    truth_.journal = &journal_;
    truth_.expected = std::make_shared<ExpectedRecords>();
    truth_.end = std::make_shared<ShardSetState>();
    fs_.SetObserver([this](const SimOperation& operation) { crash_point_(operation, truth_); });
  }

  std::string Execute(const ShardScript& script) {
    auto straight =
        ShardSet::Open(straight_fs_, kSimStreams, kStore, Epoch{1}, {}, {}, CrashOptions());
    if (!straight.ok()) return straight.status().ToString();
    straight_ = std::move(*straight);
    std::string problem = Reopen();
    journal_.EnableStream(kFirstStream, TableId{1}, ViewType::kNewAndOldImages, 1,
                          ShardId{next_shard_++});
    journal_.EnableStream(second_stream_, TableId{2}, ViewType::kKeysOnly, 1,
                          ShardId{next_shard_++});
    if (problem.empty()) problem = FoldNew();
    for (const std::string& word : script.words) {
      if (!problem.empty()) return problem;
      problem = Step(word);
      if (problem.empty()) problem = FoldNew();
    }
    return problem;
  }

 private:
  std::string Step(const std::string& word) {
    const uint64_t number = std::strtoull(word.c_str() + 1, nullptr, 10);
    switch (word[0]) {
      case 'A':
        journal_.Commit({Change(kFirstStream, number)});
        return "";
      case 'M':
        CommitMany();
        return "";
      case 'S':
        Split();
        return "";
      case 'O':
        Rotate();
        return "";
      case 'J':
        Merge();
        return "";
      case 'D':
        Disable();
        return "";
      case 'T':
      case 'Z':
        Trim(word[0] == 'Z');
        return "";
      case 'G':
        journal_.PassTime(3600'000);
        return "";
      case 'P':
        return set_->Publish(journal_.end()).ok() ? "" : "publish fails";
      case 'K':
        return Checkpoint();
      case 'R':
      case 'X':
        set_.reset();
        if (word[0] == 'R') {
          fs_.KillProcess();
        } else {
          fs_.CutPower(CrashChoice{});
        }
        return Reopen();
      default:
        return "unknown word " + word;
    }
  }

  TestChange Change(StreamId stream, uint64_t image_bytes) {
    const uint64_t draw = MixSeed(99, ++changes_);
    TestChange change;
    change.stream = stream;
    change.key = KeyOf(draw, "k");
    change.new_image = std::string(image_bytes, static_cast<char>('a' + changes_ % 26));
    if (changes_ % 3 == 0) change.old_image = "old";
    return change;
  }

  void CommitMany() {
    std::vector<TestChange> changes;
    for (uint64_t i = 0; i < 5; ++i) {
      const bool second = i % 2 == 1 && second_enabled_;
      changes.push_back(Change(second ? second_stream_ : kFirstStream, 20 + i * 30));
    }
    journal_.Commit(changes);
  }

  void Split() {
    if (next_shard_ > 12) return;  // Enough of them.
    const ShardId parent = journal_.OpenShardOf(kFirstStream, 0);
    journal_.Split(kFirstStream, parent, ShardId{next_shard_});
    next_shard_ += 2;
  }

  void Rotate() {
    if (next_shard_ > 12) return;
    journal_.Rotate(kFirstStream, journal_.OpenShardOf(kFirstStream, UINT64_MAX),
                    ShardId{next_shard_++});
  }

  // The two lowest neighbours, when neither holds a record.
  void Merge() {
    const ShardId left = journal_.OpenShardOf(kFirstStream, 0);
    const uint64_t last = journal_.model().at(left).range.last;
    if (last == UINT64_MAX || next_shard_ > 12) return;
    const ShardId right = journal_.OpenShardOf(kFirstStream, last + 1);
    for (const ShardId id : {left, right}) {
      const ModelShard& shard = journal_.model().at(id);
      const bool empty =
          shard.records.empty() || shard.records.back().sequence < shard.trimmed_below;
      if (!empty) return;
    }
    journal_.Merge(kFirstStream, left, right, ShardId{next_shard_++});
  }

  void Disable() {
    if (second_enabled_) {
      journal_.DisableStream(second_stream_);
    } else {
      second_stream_ = StreamId{second_stream_.value + 1};
      journal_.EnableStream(second_stream_, TableId{2}, ViewType::kKeysOnly, 1,
                            ShardId{next_shard_++});
    }
    second_enabled_ = !second_enabled_;
  }

  void Trim(bool everything) {
    frames::Trim trim;
    for (const ShardId id : journal_.LiveShards()) {
      const ModelShard& shard = journal_.model().at(id);
      frames::ShardTrim entry;
      entry.set_stream(shard.stream.value);
      entry.set_shard(id.value);
      if (everything && shard.ending) {
        entry.set_below(shard.ending->value + 1);
      } else if (shard.records.empty()) {
        continue;
      } else if (everything) {
        entry.set_below(shard.records.back().sequence.value + 1);
      } else {
        const auto kept = std::find_if(
            shard.records.begin(), shard.records.end(),
            [&](const Record& record) { return record.sequence >= shard.trimmed_below; });
        const auto left = static_cast<size_t>(shard.records.end() - kept);
        if (left < 2) continue;
        entry.set_below((kept + static_cast<int64_t>(left / 2))->sequence.value);
      }
      *trim.add_trims() = entry;
    }
    if (trim.trims_size() > 0) journal_.Trim(trim);
  }

  // Folds what was appended since, first where nothing is watched: the frames are in the journal
  // before fan-out sees them.
  std::string FoldNew() {
    while (truth_.applied < journal_.frames().size()) {
      const TestFrame& frame = journal_.frames()[truth_.applied];
      Status folded = straight_->Apply(frame.View());
      if (folded.ok()) folded = straight_->Publish(frame.end);
      if (!folded.ok()) return "the undisturbed fold fails: " + folded.ToString();
      auto expected = ReadEverything(*straight_);
      if (!expected.ok()) return "the undisturbed fold: " + expected.status().ToString();
      truth_.expected = std::make_shared<ExpectedRecords>(std::move(*expected));
      truth_.end = std::make_shared<ShardSetState>(straight_->Capture());
      ++truth_.applied;
      folded = set_->Apply(frame.View());
      if (!folded.ok()) return "apply: " + folded.ToString();
    }
    return "";
  }

  std::string Checkpoint() {
    Status done = set_->Publish(journal_.end());
    const ShardSetState state = set_->Capture();
    const Lsn cut = journal_.end();
    if (done.ok()) done = set_->Sync();
    if (!done.ok()) return "checkpoint: " + done.ToString();
    truth_.durable = state;  // The item index has it now, in one step.
    truth_.cut = cut;
    ++truth_.checkpoints;
    const auto removed = set_->RemoveTrimmed(state);
    return removed.ok() ? "" : "remove: " + removed.status().ToString();
  }

  std::string Reopen() {
    truth_.opening = true;
    auto opened = OpenFrom(fs_, truth_);
    if (!opened.ok()) return "reopen: " + opened.status().ToString();
    set_ = std::move(*opened);
    const Status folded = Refold(truth_, *set_);
    if (!folded.ok()) return "reopen: " + folded.ToString();
    truth_.opening = false;
    const auto found = ReadEverything(*set_);
    if (!found.ok()) return "reopen: " + found.status().ToString();
    return CompareEverything(*found, *truth_.expected);
  }

  const ShardCrashPoint& crash_point_;
  SimFs fs_;
  SimFs straight_fs_;
  TestJournal journal_;
  ShardTruth truth_;
  std::unique_ptr<ShardSet> set_;
  std::unique_ptr<ShardSet> straight_;
  StreamId second_stream_{2};
  bool second_enabled_ = true;
  uint64_t next_shard_ = 1;
  uint64_t changes_ = 0;
};

}  // namespace

std::string RunShardScript(const ShardScript& script, const ShardCrashPoint& crash_point) {
  return Run(crash_point).Execute(script);
}

std::string RecoverAndCompare(wal::FileSystem& fs, const ShardTruth& truth) {
  auto opened = OpenFrom(fs, truth);
  if (!opened.ok()) return "open: " + opened.status().ToString();
  ShardSet& set = **opened;
  // Before anything is folded it must be exactly what the checkpoint recorded.
  std::string problem = CompareStates(set.Capture(), truth.durable);
  if (!problem.empty()) return "after opening: " + problem;
  const Status folded = Refold(truth, set);
  if (!folded.ok()) return "fold: " + folded.ToString();
  problem = CompareStates(set.Capture(), *truth.end);
  if (!problem.empty()) return "after folding: " + problem;
  const auto found = ReadEverything(set);
  if (!found.ok()) return "read: " + found.status().ToString();
  return CompareEverything(*found, *truth.expected);
}

std::string CheckRemovedSegment(const SimOperation& operation, const ShardTruth& truth) {
  const auto removed = tailrace::test::SegmentRemovedBy(operation);
  if (!removed) return "";
  const std::string& directory = removed->directory;
  const auto shard = ParseShardDirectoryName(ByteView(directory).substr(directory.rfind('/') + 1));
  const auto& model = truth.journal->model();
  if (!shard || !model.contains(*shard)) return removed->path + " is not a shard's";
  const auto is_within = [&](SequenceNumber sequence) {
    return sequence.value >= removed->base && sequence.value < removed->next_base;
  };
  const auto needed = [&](SequenceNumber sequence, const char* why) {
    return removed->path + " is removed, but record " + std::to_string(sequence.value) +
           " in it is " + why;
  };
  if (const auto readable = truth.expected->find(*shard);
      !truth.opening && readable != truth.expected->end()) {
    for (const Record& record : readable->second) {
      if (is_within(record.sequence)) return needed(record.sequence, "not trimmed");
    }
  }
  const auto catalogue = StreamCatalogue::FromProto(truth.durable.catalogue);
  if (!catalogue.ok()) return catalogue.status().ToString();
  const Shard* durable = catalogue->FindShard(model.at(*shard).stream, *shard);
  for (const frames::ShardEnd& end : truth.durable.ends) {
    if (durable == nullptr || end.shard() != shard->value) continue;
    for (const Record& record : model.at(*shard).records) {
      if (record.sequence < durable->trimmed_below || record.sequence.value > end.last_sequence()) {
        continue;
      }
      if (is_within(record.sequence)) {
        return needed(record.sequence, "not trimmed in the newest checkpoint");
      }
    }
  }
  return "";
}

std::string VerifyOffline(wal::FileSystem& fs, const ShardTruth& truth) {
  const auto catalogue = StreamCatalogue::FromProto(truth.durable.catalogue);
  if (!catalogue.ok()) return "offline: " + catalogue.status().ToString();
  for (const frames::ShardEnd& end : truth.durable.ends) {
    std::string problem;
    uint64_t ordinal = 0;
    const OfflineVisitor visitor{.on_record =
                                     [&](const OfflineRecord& record) {
                                       ordinal = record.record.ordinal;
                                       return true;
                                     },
                                 .on_damage =
                                     [&](const Damage& damage) {
                                       if (!damage.harmless())
                                         problem = damage.file + ": " + damage.message;
                                     }};
    const StreamId stream{end.stream()};
    const ShardId shard{end.shard()};
    const auto report = VerifyShard(fs, ShardPath(kSimStreams, stream, shard), end, visitor,
                                    {catalogue->FindShard(stream, shard)->trimmed_below});
    if (!report.ok()) return "offline: " + report.status().ToString();
    if (!problem.empty()) return "offline: " + problem;
    if (end.segment_base() != 0 && ordinal != end.ordinal()) {
      return "offline: records of shard " + std::to_string(end.shard()) + " are missing";
    }
  }
  return "";
}

}  // namespace tailrace::shards::test
