// A table as it was at an earlier moment, as far as its stream still tells.
//
//   auto then = TableAsOf::Open(store, "UserGames", Moment::At(result.sequence), {}).value();
//   auto item = then->Get(Item{{"game_id", Value::N(2345)}}).value();
//
// An item's first change behind the moment has, as its old image, what the item was at the moment;
// an item without such a change is what it is now. So the table needs an enabled stream that shows
// old images (OLD_IMAGE or NEW_AND_OLD_IMAGES), that began before the moment, and that has kept
// everything since. A Get costs as much as the reading of one shard's records since then; the first
// page of a Scan as much as all shards'.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/store.h"

namespace tailrace {

// A moment in the history of a store. Commits are whole: each lies before it or behind it.
struct Moment {
  // Set: right after the commit that has the change with this number, or the last one before it.
  std::optional<SequenceNumber> sequence;

  // Otherwise, in ms since 1970: right before the first commit that is stamped later
  // (ChangeRecord::wall_ms) in any shard of the stream. In the future: now.
  uint64_t wall_ms = 0;

  static Moment At(SequenceNumber sequence) { return {.sequence = sequence, .wall_ms = 0}; }
  static Moment AtTime(uint64_t wall_ms) { return {.sequence = std::nullopt, .wall_ms = wall_ms}; }
};

struct TableAsOfOptions {
  // Scan keeps the old images of all items that changed since, up to so many bytes of keys and
  // images.
  uint64_t undo_bytes_max = 256ull << 20;
};

// One thread at a time. The store outlives it, and must be open in this process. Writers go on
// meanwhile and change nothing of what is seen here. Besides those named, every method's errors are
// those of Store::ReadShard, and kFailedPrecondition once the moment's records have expired, the
// table was dropped, or its stream was disabled.
class TableAsOf {
 public:
  // kNotFound (table), kInvalidArgument (a sequence number that was not given out yet),
  // kFailedPrecondition (no enabled stream, or one that shows no old images; the moment is before
  // the stream began, or its records have expired).
  static Result<std::unique_ptr<TableAsOf>> Open(Store& store, const std::string& table,
                                                 const Moment& moment,
                                                 const TableAsOfOptions& options) noexcept;

  // The moment as a sequence number: all commits that begin at or below it are seen.
  SequenceNumber sequence() const { return moment_; }

  // The item with this key as it was; absent if there was none. kInvalidArgument (key).
  Result<std::optional<Item>> Get(const Item& key) noexcept;

  // All items as they were, in the order of Store::Scan. A page may be empty and yet have a
  // last_key. kInvalidArgument (start_after; an index or a segment, which have no past), kNoSpace
  // (undo_bytes_max; take a later moment, or open it with a higher limit).
  Result<ItemPage> Scan(const ScanRequest& request) noexcept;

 private:
  // How far a shard was read.
  struct Cursor {
    Position position;
    bool done = false;  // To its end.
  };
  using Cursors = std::map<ShardId, Cursor>;
  // What an item was, as its first change behind the moment has it.
  struct Undo {
    SequenceNumber sequence;
    std::optional<Item> item;
  };
  enum class Go { kOn, kStop };
  // Gets a change behind the moment, with its item's storage key.
  using Visit = std::function<Result<Go>(const std::string& key, ChangeRecord& change)>;

  TableAsOf(Store& store, TableInfo table, StreamId stream, const TableAsOfOptions& options)
      : store_(store), table_(std::move(table)), stream_(stream), options_(options) {}

  Status Resolve(const Moment& moment);
  Result<SequenceNumber> ResolveTime(uint64_t wall_ms, SequenceNumber newest);
  Result<std::optional<SequenceNumber>> FirstStampedAfter(const StreamInfo& stream,
                                                          const ShardInfo& shard, uint64_t wall_ms);
  Result<std::optional<ChangeRecord>> FirstRecord(ShardId shard, StartAt start, uint64_t wall_ms);
  Status CheckKept(const StreamInfo& stream, uint64_t hash_first, uint64_t hash_last) const;
  Status CheckStream() const;
  Status WaitForAllSeen();
  Status ReadChanges(uint64_t hash_first, uint64_t hash_last, Cursors& cursors, const Visit& visit);
  Result<Go> ReadOn(Cursor& cursor, const Visit& visit);
  Status LoadUndo();
  Status AddUndo(const std::string& key, ChangeRecord& change);
  Result<ItemPage> Merge(const ScanRequest& request, const std::string& lower, ItemPage now);

  Store& store_;
  const TableInfo table_;
  const StreamId stream_;
  const TableAsOfOptions options_;
  SequenceNumber moment_;
  Cursors cursors_;  // Of Scan.
  std::map<std::string, Undo> undo_;
  uint64_t undo_bytes_ = 0;
};

}  // namespace tailrace
