#include "tools/verifier.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <thread>

#include "engine/catalogue.h"
#include "engine/cut.pb.h"
#include "engine/index_check.h"
#include "engine/item_index.h"
#include "engine/store_files.h"
#include "shards/sequence_number.h"
#include "shards/shard_header.h"
#include "tools/format.h"
#include "tools/frame_reader.h"
#include "tools/log_source.h"
#include "tools/stream_check.h"
#include "wal/hash.h"
#include "wal/recovery.h"

namespace tailrace::tools {
namespace {

// A shard log and what a checkpoint says of it.
struct ShardToCheck {
  LogSource source;
  frames::ShardSpec range;
  std::optional<frames::ShardEnd> end;
  shards::OfflineFrom from;
};

class Verifier {
 public:
  Verifier(wal::FileSystem& fs, const std::string& directory, Depth depth)
      : fs_(fs), paths_(directory), depth_(depth) {}

  Result<VerifyReport> Run();

 private:
  Status OpenIndex();
  Status FindDamagedTables(const Status& checksums);
  Status CheckJournal();
  Status CheckFrames();
  Status CheckRecovery();
  Status CheckShards();
  Result<std::vector<ShardToCheck>> ListShards();
  Status CheckShard(const ShardToCheck& shard, StreamFold& fold);
  void CheckAgainstJournal(const ShardToCheck& shard, const shards::OfflineReport& report);
  Status CompareItems(StreamId stream, const StreamFold& fold);
  Status CheckIndexes();

  void Add(Finding finding);
  void AddDamage(const shards::Damage& damage, const std::string& affects);
  void AddRecordDamage(const shards::OfflineRecord& record, const std::string& what,
                       const std::string& affects);

  wal::FileSystem& fs_;
  const engine::StorePaths paths_;
  const Depth depth_;
  engine::StoreIdentity identity_;
  std::unique_ptr<wal::FileLock> lock_;
  std::unique_ptr<engine::ItemIndex> index_;
  std::optional<engine::Cut> cut_;
  JournalChanges changes_;
  VerifyReport report_;
};

std::string NameOf(const LogSource& source) {
  return Cat("table ", source.origin.table, ", ", source.origin.shard);
}

void Verifier::Add(Finding finding) {
  if (report_.findings.size() < kFindingsMax) {
    report_.findings.push_back(std::move(finding));
  } else {
    ++report_.findings_dropped;
  }
}

void Verifier::AddDamage(const shards::Damage& damage, const std::string& affects) {
  const bool is_note = damage.harmless() || damage.kind == shards::Damage::Kind::kUnfinishedTail;
  std::string what = Cat(shards::DamageKindName(damage.kind), ": ", damage.message);
  if (damage.records_missing > 0) what += Cat(", ", damage.records_missing, " records missing");
  if (damage.harmless()) what += " (it is built again when it is needed)";
  if (damage.kind == shards::Damage::Kind::kUnfinishedTail) {
    what += " (the journal makes it whole when the store is opened, if it was ever acknowledged)";
  }
  std::optional<SequenceNumber> first = damage.after;
  if (first) ++first->value;
  std::optional<SequenceNumber> last = damage.next;
  if (last && last->value > 0) --last->value;
  Add({.is_damage = !is_note,
       .file = damage.file,
       .offset = damage.offset,
       .first = first,
       .last = last,
       .what = what,
       .affects = affects});
}

void Verifier::AddRecordDamage(const shards::OfflineRecord& record, const std::string& what,
                               const std::string& affects) {
  Add({.file = std::string(record.file),
       .offset = record.offset,
       .first = record.record.sequence,
       .last = record.record.sequence,
       .what = Cat("record does not fit: ", what),
       .affects = affects});
}

Status Verifier::OpenIndex() {
  TAILRACE_ASSIGN_OR_RETURN(lock_, fs_.Lock(paths_.lock));
  auto index = engine::ItemIndex::Open(fs_, paths_.items, {});
  if (!index.ok()) {
    Add({.file = paths_.items,
         .what = Cat("the items cannot be opened: ", index.status().message()),
         .affects = "all tables"});
    return Status::Ok();
  }
  index_ = *std::move(index);
  const auto bytes = index_->ReadCut();
  engine::Cut cut;
  if (!bytes.ok() || !bytes->has_value() || !cut.ParseFromString(**bytes)) {
    Add({.file = paths_.items,
         .what = "the cut, which ties the items to the journal, cannot be read",
         .affects = "all tables"});
    return Status::Ok();
  }
  if (cut.store_id() != identity_.store_id.value) {
    Add({.file = paths_.items,
         .what = "the items belong to another store",
         .affects = "all tables"});
    return Status::Ok();
  }
  cut_ = std::move(cut);
  const Status checksums = index_->VerifyChecksums();
  report_.checksums = checksums.ok();
  if (!checksums.ok()) TAILRACE_RETURN_IF_ERROR(FindDamagedTables(checksums));
  return Status::Ok();
}

// Which tables and indexes cannot be read whole: files, and blocks, hold items of several.
Status Verifier::FindDamagedTables(const Status& checksums) {
  const auto catalogue = engine::Catalogue::FromProto(cut_->catalogue());
  bool any = false;
  const auto read = [&](TableId id, const std::string& name) -> Status {
    TAILRACE_ASSIGN_OR_RETURN(const auto cursor, index_->NewCursor(id));
    for (cursor->SeekAtLeast({}); cursor->valid();) cursor->Next();
    if (cursor->status().ok()) return Status::Ok();
    any = true;
    Add({.file = paths_.items,
         .what = Cat("checksums of items differ: ", cursor->status().message()),
         .affects = name});
    return Status::Ok();
  };
  if (catalogue.ok()) {
    for (const auto& [name, table] : catalogue->tables()) {
      TAILRACE_RETURN_IF_ERROR(read(table.id, Cat("table ", name)));
      for (const engine::Index& index : table.indexes) {
        TAILRACE_RETURN_IF_ERROR(
            read(index.id, Cat("index ", index.spec.name, " of table ", name)));
      }
    }
  }
  if (any) return Status::Ok();
  Add({.file = paths_.items,
       .what = Cat("checksums of items differ: ", checksums.message()),
       .affects = "no item that can be read now"});
  return Status::Ok();
}

// Where the part of the journal begins that has no hole up to its end. Without the cut, this is
// what a recovery could at most ask for.
Lsn BeginOfWhole(const std::vector<wal::SegmentSummary>& segments) {
  Lsn begin;
  uint64_t expected = 0;
  for (const wal::SegmentSummary& segment : segments) {
    const wal::SegmentHeader& header = segment.header;
    if (header.store_id == StoreId{}) continue;  // Its header cannot be read.
    const bool follows = header.base == expected || header.base == header.epoch_start;
    if (begin == Lsn{} || !follows) begin = Lsn{header.base};
    expected = header.base + header.segment_bytes - wal::kSegmentHeaderBytes;
  }
  return begin;
}

// Whether opening the store would find the journal whole: recovery's own decision.
Status Verifier::CheckRecovery() {
  wal::JournalStart start{.store_id = identity_.store_id};
  start.may_create = !identity_.complete;
  if (cut_) {
    start.from = start.known_durable = Lsn{cut_->lsn()};
  } else {
    // The headers as they are now: what was recycled while the frames were read is not missing.
    TAILRACE_ASSIGN_OR_RETURN(
        const auto segments,
        wal::ScanJournal(fs_, paths_.journal, [](const wal::Frame&) { return false; }));
    start.from = BeginOfWhole(segments);
  }
  const auto plan = wal::PlanRecovery(fs_, paths_.journal, start);
  if (!plan.ok()) {
    Add({.file = paths_.journal,
         .what = plan.status().message(),
         .affects = "all tables: the store does not open"});
    return Status::Ok();
  }
  report_.journal_proven_end = plan->end.value;
  report_.journal_torn_bytes = plan->torn_bytes;
  report_.closed = plan->clean_close;
  return Status::Ok();
}

Status Verifier::CheckJournal() {
  TAILRACE_ASSIGN_OR_RETURN(const bool exists, fs_.Exists(paths_.journal));
  if (!exists) {
    if (identity_.complete) {
      Add({.file = paths_.journal, .what = "the journal is missing", .affects = "all tables"});
    }
    return Status::Ok();
  }
  TableNames names;
  TAILRACE_ASSIGN_OR_RETURN(
      const auto segments, wal::ScanJournal(fs_, paths_.journal, [&](const wal::Frame& frame) {
        const DecodedFrame decoded = DecodeFrame(frame, names);
        ++report_.journal_frames;
        if (!decoded.problem.ok()) {
          const SequenceNumber at{frame.lsn.value};
          Add({.file = paths_.journal,
               .first = at,
               .last = SequenceNumber{frame.end.value - 1},
               .what = Cat("the ", FrameTypeName(frame.type), " frame at position ",
                           frame.lsn.value, ": ", decoded.problem.message()),
               .affects = "all tables: the store does not open"});
        }
        if (decoded.commit) {
          ++report_.journal_commits;
          changes_.Add(frame.lsn, *decoded.commit);
        }
        return true;
      }));
  report_.journal_segments = segments.size();
  for (const wal::SegmentSummary& segment : segments) {
    const wal::SegmentHeader& header = segment.header;
    if (header.store_id != StoreId{} && header.store_id != identity_.store_id) {
      Add({.file = segment.path, .offset = 0, .what = "a segment of another store"});
    }
  }
  return CheckRecovery();
}

Result<std::vector<ShardToCheck>> Verifier::ListShards() {
  std::vector<ShardToCheck> all;
  TAILRACE_ASSIGN_OR_RETURN(const bool exists, fs_.Exists(paths_.streams));
  std::map<uint64_t, frames::ShardEnd> ends;
  std::map<ShardId, shards::OfflineFrom> trim_points;
  if (cut_) {
    for (const frames::ShardEnd& end : cut_->shard_ends()) ends[end.shard()] = end;
    trim_points = shards::TrimPoints(cut_->catalogue().streams());
  }
  if (exists) {
    TAILRACE_ASSIGN_OR_RETURN(auto sources, SourcesAt(fs_, paths_.directory));
    for (LogSource& source : sources) {
      ShardToCheck shard{.source = std::move(source)};
      shard.range.set_hash_last(UINT64_MAX);
      const auto header = shards::ReadShardHeader(fs_, shard.source.path);
      if (header.ok()) shard.range = header->shard();
      if (const auto end = ends.find(shard.source.shard.value); end != ends.end()) {
        shard.end = end->second;
        shard.from = trim_points[shard.source.shard];
        ends.erase(end);
      }
      all.push_back(std::move(shard));
    }
  }
  for (const auto& [id, end] : ends) {
    if (end.segment_base() == 0) continue;  // Nothing of it was kept.
    Add({.file = shards::ShardPath(paths_.streams, StreamId{end.stream()}, ShardId{id}),
         .last = SequenceNumber{end.last_sequence()},
         .what = "the shard's directory is missing",
         .affects = Cat("stream ", end.stream())});
  }
  return all;
}

// Changes that the journal has and the log, which goes on behind them, has not.
void Verifier::CheckAgainstJournal(const ShardToCheck& shard, const shards::OfflineReport& report) {
  if (!report.first || !report.last) return;
  changes_.ForMissing(shard.source.stream.id, *report.first, *report.last, shard.range,
                      [&](SequenceNumber number) {
                        Add({.file = shard.source.path,
                             .first = number,
                             .last = number,
                             .what = "a change that the journal has is not in the shard's log",
                             .affects = NameOf(shard.source)});
                      });
}

Status Verifier::CheckShard(const ShardToCheck& shard, StreamFold& fold) {
  const std::string name = NameOf(shard.source);
  if (shard.source.problem.ok() && shard.source.store != identity_.store_id) {
    Add({.file = shard.source.path,
         .what = "the shard's log belongs to another store",
         .affects = name});
  }
  uint64_t last_wall_ms = 0;
  shards::OfflineVisitor visitor;
  visitor.on_record = [&](const shards::OfflineRecord& at) {
    const shards::RecordView& record = at.record;
    if (const auto what = fold.Apply(shard.source, shard.range, record); !what.empty()) {
      AddRecordDamage(at, what, name);
    }
    const auto what = changes_.Find(shard.source.stream.id, shard.source.stream.view, record);
    if (!what.empty()) AddRecordDamage(at, what, name);
    if (record.wall_ms < last_wall_ms)
      AddRecordDamage(at, "its time is before the last record's", name);
    last_wall_ms = record.wall_ms;
    return true;
  };
  visitor.on_damage = [&](const shards::Damage& damage) {
    AddDamage(damage, name);
    if (!damage.harmless()) fold.Forget();
  };
  TAILRACE_ASSIGN_OR_RETURN(const auto report, shards::VerifyShard(fs_, shard.source.path,
                                                                   shard.end, visitor, shard.from));
  ++report_.shards;
  report_.shard_segments += report.segments;
  report_.records += report.records;
  CheckAgainstJournal(shard, report);
  return Status::Ok();
}

// What the stream's records leave of each key, against the item there is. Only for the stream that
// the table had at the cut: everything since it began is in it.
Status Verifier::CompareItems(StreamId stream, const StreamFold& fold) {
  const auto& tables = cut_->catalogue().tables();
  const auto table = std::find_if(tables.begin(), tables.end(), [&](const auto& state) {
    return state.stream() == stream.value;
  });
  if (table == tables.end()) return Status::Ok();
  const TableId id{table->spec().id()};
  for (const auto& [key, state] : fold.keys()) {
    const auto item = index_->Get(id, key);
    if (!item.ok()) {
      Add({.file = paths_.items,
           .what = item.status().message(),
           .affects = Cat("table ", table->spec().name())});
      return Status::Ok();
    }
    ++report_.items_compared;
    const bool same =
        item->has_value() == state.exists &&
        (!state.image_hash || !state.exists || Hash64((*item)->image) == *state.image_hash);
    if (same) continue;
    Add({.file = paths_.items,
         .what = "an item is not what its stream's last record says",
         .affects = Cat("table ", table->spec().name())});
  }
  return Status::Ok();
}

// Each index as it lies in RocksDB against what its table makes of it: both are of the cut.
Status Verifier::CheckIndexes() {
  const auto catalogue = engine::Catalogue::FromProto(cut_->catalogue());
  if (!catalogue.ok()) {
    Add({.file = paths_.items, .what = catalogue.status().message(), .affects = "all tables"});
    return Status::Ok();
  }
  for (const auto& [name, table] : catalogue->tables()) {
    for (const engine::Index& index : table.indexes) {
      const std::string affects = Cat("table ", name, ", index ", index.spec.name);
      const auto check = engine::CheckIndex(*index_, table, index);
      ++report_.indexes;
      if (!check.ok()) {
        Add({.file = paths_.items, .what = check.status().message(), .affects = affects});
        continue;
      }
      report_.entries_compared += check->entries;
      if (check->problems() == 0) continue;
      Add({.file = paths_.items,
           .what = Cat("the index is not what the table makes of it: ", check->missing,
                       " entries are missing, ", check->wrong, " hold something else, ",
                       check->stray, " are of no item; drop it and make it again"),
           .affects = affects});
    }
  }
  return Status::Ok();
}

Status Verifier::CheckShards() {
  TAILRACE_ASSIGN_OR_RETURN(const std::vector<ShardToCheck> all, ListShards());
  for (size_t i = 0; i < all.size();) {
    const StreamId stream = all[i].source.stream.id;
    StreamFold fold;
    for (; i < all.size() && all[i].source.stream.id == stream; ++i) {
      TAILRACE_RETURN_IF_ERROR(CheckShard(all[i], fold));
    }
    report_.keys += fold.keys().size();
    if (cut_) TAILRACE_RETURN_IF_ERROR(CompareItems(stream, fold));
  }
  report_.records_in_journal = changes_.found();
  return Status::Ok();
}

Result<VerifyReport> Verifier::Run() {
  const auto identity = engine::ReadIdentity(fs_, paths_);
  if (identity.ok()) {
    identity_ = *identity;
  } else if (identity.status().code() == StatusCode::kCorruption) {
    Add({.file = paths_.identity,
         .what = identity.status().message(),
         .affects = "all tables: the store does not open"});
    return report_;
  } else if (identity.status().code() == StatusCode::kNotFound) {
    return NotFound(Cat("there is no store in ", paths_.directory));
  } else {
    return identity.status();
  }
  if (depth_ == Depth::kDeep) TAILRACE_RETURN_IF_ERROR(OpenIndex());
  TAILRACE_RETURN_IF_ERROR(CheckJournal());
  TAILRACE_RETURN_IF_ERROR(CheckShards());
  if (cut_) TAILRACE_RETURN_IF_ERROR(CheckIndexes());
  return report_;
}

}  // namespace

uint64_t VerifyReport::damages() const {
  return findings_dropped + static_cast<uint64_t>(std::count_if(
                                findings.begin(), findings.end(),
                                [](const Finding& finding) { return finding.is_damage; }));
}

Result<VerifyReport> VerifyStore(wal::FileSystem& fs, const std::string& directory, Depth depth) {
  // What an owner is in the middle of can look like damage, which does not last. Nothing tells who
  // only reads its files when it is through.
  constexpr int kTriesMax = 3;
  constexpr auto kPause = std::chrono::milliseconds(300);
  for (int i = 1;; ++i) {
    auto report = Verifier(fs, directory, depth).Run();
    if (i == kTriesMax || !report.ok() || report->damages() == 0) return report;
    const auto in_use = fs.IsLocked(engine::StorePaths(directory).lock);
    if (!in_use.ok() || !*in_use) return report;
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace tailrace::tools
