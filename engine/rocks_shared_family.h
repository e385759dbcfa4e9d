// The column family that small tables share: its keys, and the removal of what is dead in it.
//
// A key there is the table's incarnation, 8 bytes big-endian, and the item's storage key. A table
// that was dropped, or that moved to a family of its own, leaves its keys behind: nobody reads them
// any more, and compactions leave them out. Incarnations are never used twice, so a dead key never
// comes to life again.
#pragma once

#include <rocksdb/compaction_filter.h>

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "shards/types.h"
#include "wal/mutex.h"
#include "wal/types.h"

namespace tailrace::engine {

inline constexpr char kSharedFamilyName[] = "shared";
inline constexpr size_t kTablePrefixBytes = 8;

// Where a table's keys begin, which an item's storage key follows.
std::string SharedPrefix(TableId table);

// The first key behind all of the table's; empty for the last table there can be.
std::string SharedEnd(TableId table);

// Whose key it is; absent when it is too short to be one.
std::optional<TableId> TableOfSharedKey(ByteView key);

// The tables whose keys in the shared family are dead. Thread-safe: compactions read it.
class DeadTables {
 public:
  void Add(TableId table);
  void Remove(TableId table);
  std::set<TableId> Get() const;

  // How many keys compactions have left out so far.
  uint64_t keys_removed() const { return keys_removed_.load(); }
  void NoteRemoved(uint64_t keys) { keys_removed_.fetch_add(keys); }

 private:
  mutable Mutex mutex_;
  std::set<TableId> tables_ TAILRACE_GUARDED_BY(mutex_);
  std::atomic<uint64_t> keys_removed_{0};
};

// Makes every compaction leave out the keys of the tables that were dead when it began.
std::shared_ptr<rocksdb::CompactionFilterFactory> NewDeadTableFilter(
    std::shared_ptr<DeadTables> dead);

}  // namespace tailrace::engine
