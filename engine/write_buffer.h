// The write buffer: changes that are in the journal and not yet in RocksDB.
//
// A generation is 256 stripes by the top byte of the partition-key hash, each behind a latch of its
// own. A stripe is a row of buckets by the hash's next bits, each a small ordered set. Storage keys
// begin with the hash, so the order of stripes and buckets is key order: point reads, which find
// their key in one small set, ordered scans and a drain that needs no sort come from one structure.
// Keys and images are not copied: they point into the journal's memory, which keeps them until the
// generation is drained and no reader holds it.
//
// One generation is active; at most one is frozen, on its way into RocksDB.
#pragma once

#include <absl/container/btree_set.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "engine/fold.h"
#include "shards/types.h"
#include "wal/mutex.h"
#include "wal/types.h"

namespace tailrace::engine {

inline constexpr size_t kStripes = 256;

// What a generation or RocksDB knows of a key. Views are valid while their owner is held.
struct BufferedItem {
  Lsn lsn;                        // Of the commit that made it so.
  std::optional<ByteView> image;  // Absent: deleted.
};

enum class Direction { kForward, kBackward };

// Tells the write buffer that a generation is gone: nobody looks at its bytes any more.
class GenerationGate {
 public:
  void Opened();
  void Gone();
  void WaitForAtMost(uint64_t living);

 private:
  Mutex mutex_;
  CondVar gone_;
  uint64_t living_ TAILRACE_GUARDED_BY(mutex_) = 0;
};

class Generation final : public ItemSink {
 public:
  // `changes_expected`: a guess at how many keys it will hold.
  explicit Generation(std::shared_ptr<GenerationGate> gate, uint64_t changes_expected = 0);
  ~Generation() override;
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  // Thread-safe; the caller holds the key's lock, so a key's changes come in journal order.
  void SetItem(TableId table, ByteView key, Lsn lsn, std::optional<ByteView> image) override;

  // Thread-safe.
  std::optional<BufferedItem> Find(TableId table, ByteView key) const;

  using KeyedItem = std::pair<ByteView, BufferedItem>;

  // Up to `count` items of the table with lower <= key < upper, from the lower end on (kForward) or
  // from the upper end down (kBackward). An empty `upper` means no bound. Thread-safe; each stripe
  // is read at once, the stripes one after another.
  std::vector<KeyedItem> Range(TableId table, ByteView lower, ByteView upper, size_t count,
                               Direction direction) const;

  // The tables with a change in here, ascending. For frozen generations.
  std::vector<TableId> Tables() const;

  bool empty() const { return changes_.load(std::memory_order_relaxed) == 0; }
  uint64_t changes() const { return changes_.load(std::memory_order_relaxed); }

 private:
  struct Entry {
    ByteView key;
    BufferedItem item;
  };

  // What is compared while a place is looked for. The key's first eight bytes, its hash, nearly
  // always decide: a search touches the ordered set's own memory and only one entry's.
  struct Key {
    Key(TableId of, ByteView key);
    ByteView key() const { return bytes; }
    TableId table;
    uint64_t prefix;  // Big-endian; zeros where the key is shorter.
    ByteView bytes;
  };
  struct Slot {
    ByteView key() const { return entry->key; }
    TableId table;
    uint64_t prefix;
    Entry* entry;
  };
  struct Order {
    using is_transparent = void;
    bool operator()(const Slot& a, const Slot& b) const;
    bool operator()(const Slot& a, const Key& b) const;
    bool operator()(const Key& a, const Slot& b) const;
    template <typename A, typename B>
    static bool Less(const A& a, const B& b);
  };
  using Bucket = absl::btree_set<Slot, Order>;

  // A stripe doubles the number of its buckets as it fills, so that a search ends in a set of one
  // node. It begins with as many as the guess says, once something is put there. Keys of one
  // partition share a bucket, which is then a deep set like any.
  static constexpr size_t kItemsOfBucket = 4;
  static constexpr uint32_t kBucketBitsMax = 9;
  static constexpr size_t kBucketsMax = size_t{1} << kBucketBitsMax;

  // Which buckets hold something: a scan passes over the others.
  class OccupiedBuckets {
   public:
    void Set(size_t at) { words_[at / kWordBits] |= uint64_t{1} << at % kWordBits; }
    // The first of them from `at` on in this direction, itself included. kBucketsMax: none.
    size_t Next(size_t at, Direction direction) const;

   private:
    static constexpr size_t kWordBits = 64;
    std::array<uint64_t, kBucketsMax / kWordBits> words_{};
  };

  struct alignas(64) Stripe {
    mutable Mutex latch;
    uint32_t bucket_bits TAILRACE_GUARDED_BY(latch) = 0;
    std::vector<Bucket> buckets TAILRACE_GUARDED_BY(latch) = std::vector<Bucket>(1);
    OccupiedBuckets occupied TAILRACE_GUARDED_BY(latch);
    std::deque<Entry> entries TAILRACE_GUARDED_BY(latch);  // Stay where they are.

    size_t BucketOf(uint64_t prefix) const TAILRACE_REQUIRES(latch);
    void GrowTo(uint32_t bits) TAILRACE_REQUIRES(latch);
  };

  static size_t StripeOf(ByteView key) { return static_cast<unsigned char>(key.front()); }
  static void AddRange(const Bucket& bucket, const Key& lower, const Key& upper, size_t count,
                       Direction direction, std::vector<KeyedItem>& found);

  const std::shared_ptr<GenerationGate> gate_;
  const uint32_t first_bucket_bits_;
  std::array<Stripe, kStripes> stripes_;
  std::atomic<uint64_t> changes_{0};
};

// The generations a reader looks through, newest first. Holding it keeps their bytes in memory: let
// go of it before waiting for anything.
struct GenerationView {
  std::shared_ptr<const Generation> active;
  std::shared_ptr<const Generation> frozen;  // May be null.
};

class WriteBuffer final : public ItemSink {
 public:
  WriteBuffer();

  // Into the active generation. The caller holds the commit gate.
  void SetItem(TableId table, ByteView key, Lsn lsn, std::optional<ByteView> image) override;

  // Take this before a view of RocksDB: what leaves the frozen generation is in RocksDB already.
  GenerationView View() const;

  // The active generation becomes the frozen one (there is none yet), and a new one takes its
  // place. A pointer swap. The caller holds the commit gate exclusively.
  std::shared_ptr<const Generation> Freeze();

  // Forgets the frozen generation once RocksDB has it, and waits until no reader holds it.
  void DropFrozen();

 private:
  const std::shared_ptr<GenerationGate> gate_ = std::make_shared<GenerationGate>();
  // For writers, who hold the commit gate: Freeze cannot run meanwhile.
  std::atomic<Generation*> active_now_;

  mutable Mutex mutex_;
  std::shared_ptr<Generation> active_ TAILRACE_GUARDED_BY(mutex_);
  std::shared_ptr<Generation> frozen_ TAILRACE_GUARDED_BY(mutex_);
};

}  // namespace tailrace::engine
