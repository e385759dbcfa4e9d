#include "engine/table_as_of.h"

#include <algorithm>
#include <set>
#include <utility>

#include "shards/sequence_number.h"
#include "wal/mutants.h"

namespace tailrace {
namespace {

Status NotKept(const std::string& why) {
  return FailedPrecondition(
      "the moment is not in the table's stream: " + why +
      "; a stream tells of what happened since it was enabled, for its retention time");
}

bool ShowsOldImages(ViewType view) {
  return view == ViewType::kOldImage || view == ViewType::kNewAndOldImages;
}

bool Overlaps(const ShardInfo& shard, uint64_t hash_first, uint64_t hash_last) {
  return shard.hash_first <= hash_last && shard.hash_last >= hash_first;
}

// From here on all of a shard's records are kept.
SequenceNumber KeptFrom(const ShardInfo& shard) {
  return std::max(shard.starting, shard.trimmed_below);
}

// The lowest number from which on all records of the items with this hash are kept.
std::optional<SequenceNumber> KeptFrom(const StreamInfo& stream, uint64_t hash) {
  const ShardInfo* earliest = nullptr;
  for (const ShardInfo& shard : stream.shards) {
    if (!Overlaps(shard, hash, hash)) continue;
    if (earliest == nullptr || shard.starting < earliest->starting) earliest = &shard;
  }
  if (earliest == nullptr) return std::nullopt;
  return KeptFrom(*earliest);
}

}  // namespace

Result<std::unique_ptr<TableAsOf>> TableAsOf::Open(Store& store, const std::string& table,
                                                   const Moment& moment,
                                                   const TableAsOfOptions& options) noexcept {
  TAILRACE_ASSIGN_OR_RETURN(const TableInfo info, store.DescribeTable(table));
  if (!info.stream_view) {
    return FailedPrecondition("table '" + table +
                              "' has no enabled stream, which is what tells its past");
  }
  if (!ShowsOldImages(*info.stream_view)) {
    return FailedPrecondition("the stream of table '" + table + "' shows " +
                              std::string(ViewTypeName(*info.stream_view)) +
                              "; its past takes old images (OLD_IMAGE or NEW_AND_OLD_IMAGES)");
  }
  std::unique_ptr<TableAsOf> past(new TableAsOf(store, info, *info.latest_stream, options));
  TAILRACE_RETURN_IF_ERROR(past->Resolve(moment));
  return past;
}

Status TableAsOf::Resolve(const Moment& moment) {
  TAILRACE_ASSIGN_OR_RETURN(const StoreStats stats, store_.Stats());
  TAILRACE_RETURN_IF_ERROR(store_.WaitFannedOut({stats.safe}));
  const SequenceNumber newest{stats.safe.value - 1};
  if (moment.sequence && *moment.sequence > newest) {
    return InvalidArgument("sequence number " + shards::FormatSequenceNumber(*moment.sequence) +
                           " was not given out yet; the newest is at most " +
                           shards::FormatSequenceNumber(newest));
  }
  if (moment.sequence) {
    moment_ = *moment.sequence;
  } else {
    TAILRACE_ASSIGN_OR_RETURN(moment_, ResolveTime(moment.wall_ms, newest));
  }
  TAILRACE_ASSIGN_OR_RETURN(const StreamInfo stream, store_.DescribeStream(stream_));
  return CheckKept(stream, 0, UINT64_MAX);
}

Result<SequenceNumber> TableAsOf::ResolveTime(uint64_t wall_ms, SequenceNumber newest) {
  TAILRACE_ASSIGN_OR_RETURN(const StreamInfo stream, store_.DescribeStream(stream_));
  if (wall_ms < stream.created_ms) return NotKept("the stream was enabled later");
  if (wall_ms == UINT64_MAX) return newest;
  SequenceNumber moment = newest;
  for (const ShardInfo& shard : stream.shards) {
    TAILRACE_ASSIGN_OR_RETURN(const auto later, FirstStampedAfter(stream, shard, wall_ms));
    if (later) moment = std::min(moment, SequenceNumber{later->value - 1});
  }
  return moment;
}

// The commit of the shard's first record that is stamped later. kFailedPrecondition: a record that
// has expired may have been.
Result<std::optional<SequenceNumber>> TableAsOf::FirstStampedAfter(const StreamInfo& stream,
                                                                   const ShardInfo& shard,
                                                                   uint64_t wall_ms) {
  const bool has_parent = shard.parent && std::any_of(stream.shards.begin(), stream.shards.end(),
                                                      [&](const ShardInfo& other) {
                                                        return other.id == *shard.parent;
                                                      });
  if (shard.trimmed_below > shard.starting || (shard.parent && !has_parent)) {
    // Stamps never fall within a lineage, so one kept record stamped no later shows that those
    // which are gone were not either. Without one it is the retention time that tells.
    TAILRACE_ASSIGN_OR_RETURN(const auto oldest, FirstRecord(shard.id, StartAt::kTrimHorizon, 0));
    TAILRACE_ASSIGN_OR_RETURN(const StoreStats stats, store_.Stats());
    if ((!oldest || oldest->wall_ms > wall_ms) && wall_ms + stream.retention_ms < stats.wall_ms) {
      return NotKept("records since have expired");
    }
  }
  TAILRACE_ASSIGN_OR_RETURN(const auto later,
                            FirstRecord(shard.id, StartAt::kAtTimestamp, wall_ms + 1));
  if (!later) return std::optional<SequenceNumber>();
  return std::optional(later->commit);
}

Result<std::optional<ChangeRecord>> TableAsOf::FirstRecord(ShardId shard, StartAt start,
                                                           uint64_t wall_ms) {
  TAILRACE_ASSIGN_OR_RETURN(const Position position,
                            store_.SeekShard(stream_, shard, start, {}, wall_ms));
  TAILRACE_ASSIGN_OR_RETURN(ChangePage page, store_.ReadShard(position, {.records_max = 1}));
  if (page.records.empty()) return std::optional<ChangeRecord>();
  return std::optional(std::move(page.records.front()));
}

// All changes behind the moment of items with these hashes are there to be read.
Status TableAsOf::CheckKept(const StreamInfo& stream, uint64_t hash_first,
                            uint64_t hash_last) const {
  // What is kept can only differ between two hashes if a shard begins between them.
  std::set<uint64_t> hashes{hash_first};
  for (const ShardInfo& shard : stream.shards) {
    if (shard.hash_first > hash_first && shard.hash_first <= hash_last) {
      hashes.insert(shard.hash_first);
    }
  }
  for (const uint64_t hash : hashes) {
    const auto kept_from = KeptFrom(stream, hash);
    if (!kept_from) return NotKept("its records have expired");
    if (kept_from->value > moment_.value + 1 && !TAILRACE_MUTANT("past-without-records")) {
      return NotKept("it tells of what came behind " +
                     shards::FormatSequenceNumber(SequenceNumber{kept_from->value - 1}));
    }
  }
  return Status::Ok();
}

// The stream has had every change of the table since it was enabled: it still is.
Status TableAsOf::CheckStream() const {
  TAILRACE_ASSIGN_OR_RETURN(const TableInfo now, store_.DescribeTable(table_.name));
  if (now.id == table_.id && now.stream_view && now.latest_stream == stream_) return Status::Ok();
  return FailedPrecondition("table '" + table_.name +
                            "' was dropped, or its stream disabled, while its past was read");
}

// Whatever the caller has read of the table by now can be read from the stream, too.
Status TableAsOf::WaitForAllSeen() {
  TAILRACE_ASSIGN_OR_RETURN(const StoreStats stats, store_.Stats());
  return store_.WaitFannedOut({stats.safe});
}

// Visits what came behind the moment, and behind the cursors, in the shards with these hashes; a
// parent's records before its children's.
Status TableAsOf::ReadChanges(uint64_t hash_first, uint64_t hash_last, Cursors& cursors,
                              const Visit& visit) {
  for (bool again = true; again;) {
    again = false;  // Unless a shard ends: it may have children by now.
    TAILRACE_ASSIGN_OR_RETURN(const StreamInfo stream, store_.DescribeStream(stream_));
    TAILRACE_RETURN_IF_ERROR(CheckKept(stream, hash_first, hash_last));
    for (const ShardInfo& shard : stream.shards) {
      if (!Overlaps(shard, hash_first, hash_last)) continue;
      if (shard.ending && *shard.ending <= moment_) continue;
      const auto [found, is_new] = cursors.try_emplace(shard.id);
      Cursor& cursor = found->second;
      if (is_new) {
        TAILRACE_ASSIGN_OR_RETURN(cursor.position,
                                  store_.SeekShard(stream_, shard.id, StartAt::kTrimHorizon));
        cursor.position.next = std::max(shard.starting, SequenceNumber{moment_.value + 1});
      }
      if (cursor.done) continue;
      TAILRACE_ASSIGN_OR_RETURN(const Go go, ReadOn(cursor, visit));
      if (go == Go::kStop) return Status::Ok();
      again = again || cursor.done;
    }
  }
  return Status::Ok();
}

Result<TableAsOf::Go> TableAsOf::ReadOn(Cursor& cursor, const Visit& visit) {
  while (true) {
    TAILRACE_ASSIGN_OR_RETURN(ChangePage page, store_.ReadShard(cursor.position));
    if (page.gap) return NotKept("records since have expired");
    for (ChangeRecord& change : page.records) {
      if (change.commit <= moment_ && !TAILRACE_MUTANT("past-splits-commits")) continue;
      TAILRACE_ASSIGN_OR_RETURN(const std::string key, EncodeKey(table_.keys, change.keys));
      TAILRACE_ASSIGN_OR_RETURN(const Go go, visit(key, change));
      if (go == Go::kStop) return go;
    }
    cursor.position = page.next;
    cursor.done = page.end_of_shard;
    if (page.end_of_shard || page.caught_up) return Go::kOn;
  }
}

Result<std::optional<Item>> TableAsOf::Get(const Item& key) noexcept {
  TAILRACE_ASSIGN_OR_RETURN(const std::string storage_key, EncodeKey(table_.keys, key));
  TAILRACE_ASSIGN_OR_RETURN(std::optional<Item> item, store_.Get(table_.name, key));
  TAILRACE_RETURN_IF_ERROR(WaitForAllSeen());
  const uint64_t hash = PartitionHash(storage_key);
  Cursors cursors;
  TAILRACE_RETURN_IF_ERROR(ReadChanges(
      hash, hash, cursors, [&](const std::string& changed_key, ChangeRecord& change) -> Result<Go> {
        if (changed_key != storage_key) return Go::kOn;
        item = std::move(change.old_image);
        return Go::kStop;
      }));
  TAILRACE_RETURN_IF_ERROR(CheckStream());
  return item;
}

Result<ItemPage> TableAsOf::Scan(const ScanRequest& request) noexcept {
  if (!request.index.empty() || request.total_segments != 1) {
    return InvalidArgument("only a whole table can be read as of a moment, no index or segment");
  }
  std::string lower;
  if (request.start_after) {
    TAILRACE_ASSIGN_OR_RETURN(lower, EncodeKey(table_.keys, *request.start_after));
  }
  TAILRACE_ASSIGN_OR_RETURN(ItemPage now, store_.Scan(table_.name, request));
  TAILRACE_RETURN_IF_ERROR(WaitForAllSeen());
  TAILRACE_RETURN_IF_ERROR(LoadUndo());
  TAILRACE_RETURN_IF_ERROR(CheckStream());
  return Merge(request, lower, std::move(now));
}

// Takes in what changed since the last page.
Status TableAsOf::LoadUndo() {
  return ReadChanges(0, UINT64_MAX, cursors_,
                     [this](const std::string& key, ChangeRecord& change) -> Result<Go> {
                       TAILRACE_RETURN_IF_ERROR(AddUndo(key, change));
                       return Go::kOn;
                     });
}

Status TableAsOf::AddUndo(const std::string& key, ChangeRecord& change) {
  const auto [undo, is_new] = undo_.try_emplace(key);
  const bool last = TAILRACE_MUTANT("past-of-the-last-change");
  if (!is_new && undo->second.sequence <= change.sequence && !last) return Status::Ok();
  if (is_new) {
    undo_bytes_ += key.size() + (change.old_image ? change.old_image->SizeBytes() : 0);
    if (undo_bytes_ > options_.undo_bytes_max) {
      undo_.clear();
      cursors_.clear();
      undo_bytes_ = 0;
      return NoSpace("the items that changed since the moment take more than undo_bytes_max (" +
                     std::to_string(options_.undo_bytes_max) + " bytes)");
    }
  }
  undo->second = {change.sequence, std::move(change.old_image)};
  return Status::Ok();
}

// The page as it was: `now` is what stands in the table behind `lower`, up to its last key. Both it
// and the old images are in the order of keys; where both have a key, the old image counts.
Result<ItemPage> TableAsOf::Merge(const ScanRequest& request, const std::string& lower,
                                  ItemPage now) {
  std::vector<std::string> keys;
  for (const Item& item : now.items) {
    TAILRACE_ASSIGN_OR_RETURN(std::string key, EncodeKeyOfItem(table_.keys, item));
    keys.push_back(std::move(key));
  }
  auto undo = request.start_after ? undo_.upper_bound(lower) : undo_.begin();
  const auto undo_end = now.last_key ? undo_.upper_bound(keys.back()) : undo_.end();
  ItemPage page;
  uint64_t bytes = 0;
  for (size_t i = 0; i < keys.size() || undo != undo_end;) {
    if (page.items.size() == request.items_max ||
        (bytes >= request.bytes_max && !page.items.empty())) {
      page.last_key = KeyOfItem(table_.keys, page.items.back());
      return page;
    }
    std::optional<Item> item;
    if (undo != undo_end && (i == keys.size() || undo->first <= keys[i])) {
      item = undo->second.item;
      if (i < keys.size() && undo->first == keys[i]) ++i;
      ++undo;
    } else {
      item = std::move(now.items[i++]);
    }
    if (!item) continue;
    bytes += item->SizeBytes();
    page.items.push_back(std::move(*item));
  }
  page.last_key = std::move(now.last_key);
  return page;
}

}  // namespace tailrace
