// Items that were lately drained into RocksDB, kept in memory: a write that needs its old item, and
// a read, find them here at a fraction of what RocksDB takes for a look.
//
// What is here is never older than what RocksDB has. The ingest sets every item here that it is
// about to set there, so an item may be here a moment earlier: it is durable in the journal by
// then, and whoever began before it was written may see it or not. No reader adds anything, so no
// old item can come back.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>

#include "engine/item_index.h"
#include "shards/types.h"
#include "wal/huge_memory.h"
#include "wal/mutex.h"
#include "wal/types.h"

namespace tailrace::engine {

// Thread-safe.
class ItemCache {
 public:
  // Takes about `bytes_max` of memory, the first time that it is used. 0: keeps nothing.
  explicit ItemCache(uint64_t bytes_max);
  ItemCache(const ItemCache&) = delete;
  ItemCache& operator=(const ItemCache&) = delete;

  // Find will come for the key soon.
  void Prefetch(TableId table, ByteView key) const;

  std::optional<StoredItem> Find(TableId table, ByteView key) const;

  // The item under `key` is now this one, or gone. What came here longest ago makes room.
  void Set(TableId table, ByteView key, Lsn lsn, ByteView image);
  void Erase(TableId table, ByteView key);

 private:
  static constexpr size_t kPartBits = 4;
  // Of two cache lines: with as many of one, one item in twenty finds no place in its row.
  static constexpr size_t kSlotsOfRow = 8;

  struct Slot {
    uint64_t hash = 0;
    uint64_t at = 0;  // Where the item lies, as a count of bytes since the beginning; 0: nowhere.
  };
  struct alignas(128) Row {
    std::array<Slot, kSlotsOfRow> slots;
  };

  // Items lie in a ring of bytes, in the order in which they came; one that fits where it was stays
  // there. A key is in one row, at most once; slots whose items the ring has overwritten are free.
  struct alignas(64) Part {
    mutable Mutex mutex;
    uint64_t end TAILRACE_GUARDED_BY(mutex) =
        1;  // Of the newest item, counted since the beginning. No item lies at 0.
    char* ring TAILRACE_PT_GUARDED_BY(mutex) = nullptr;
    Row* rows TAILRACE_PT_GUARDED_BY(mutex) = nullptr;
  };

  static uint64_t HashOf(TableId table, ByteView key);
  void Make();
  Part& PartOf(uint64_t hash) { return parts_[hash >> (64 - kPartBits)]; }
  const Part& PartOf(uint64_t hash) const { return parts_[hash >> (64 - kPartBits)]; }
  Row& RowOf(const Part& part, uint64_t hash) const TAILRACE_REQUIRES(part.mutex);
  bool Alive(const Part& part, const Slot& slot) const TAILRACE_REQUIRES(part.mutex);
  Slot* FindSlot(const Part& part, uint64_t hash, TableId table, ByteView key) const
      TAILRACE_REQUIRES(part.mutex);
  uint64_t Append(Part& part, TableId table, ByteView key, Lsn lsn, ByteView image)
      TAILRACE_REQUIRES(part.mutex);

  const uint64_t rows_;        // Of a part; 0: the cache keeps nothing.
  const uint64_t ring_bytes_;  // Likewise.
  std::once_flag once_;
  std::atomic<bool> made_{false};
  HugeMemory rows_memory_;  // Of all parts, one after another; so are the rings.
  HugeMemory rings_memory_;
  std::array<Part, size_t{1} << kPartBits> parts_;
};

}  // namespace tailrace::engine
