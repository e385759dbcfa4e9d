// The items that expire next, by time, as far as they fit into a bounded memory.
//
// Writers tell it what they wrote to tables with a time to live, and a scan tells it what was there
// before. It is no part of the state: it is lost with the process, and a new scan makes it again.
// What it says is a hint, and whoever deletes looks again.
#pragma once

#include <absl/container/btree_set.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "shards/types.h"
#include "wal/mutex.h"
#include "wal/types.h"

namespace tailrace::engine {

// Thread-safe.
class ExpiryQueue {
 public:
  // Holds about `bytes_max` bytes of memory: what expires last is forgotten when there is more.
  explicit ExpiryQueue(uint64_t bytes_max) : bytes_max_(bytes_max) {}

  // The item under `key` now expires at `expiry_s` (absent: never). The caller holds the key's
  // lock, so that an item's last note is of its last write.
  void Note(TableId table, ByteView key, std::optional<uint64_t> expiry_s);

  // The same of what was read without the lock, and may have changed since: of two times the
  // earlier one stays.
  void Offer(TableId table, ByteView key, uint64_t expiry_s);

  struct Entry {
    TableId table;
    std::string key;  // Storage key.
    uint64_t expiry_s = 0;
  };
  // Takes out the entry that expires first, if its second is over at `now_s`.
  std::optional<Entry> PopDue(uint64_t now_s);

  // All that expires earlier than this is in here. UINT64_MAX: all that it was ever told.
  uint64_t complete_until_s() const;
  // Takes it for complete again. The caller scans all tables after this.
  void Restart();

  size_t size() const;

 private:
  using Key = std::pair<TableId, std::string>;

  void Set(Key key, std::optional<uint64_t> expiry_s) TAILRACE_REQUIRES(mutex_);
  void Shrink() TAILRACE_REQUIRES(mutex_);
  static uint64_t BytesOf(const Key& key);

  const uint64_t bytes_max_;
  mutable Mutex mutex_;
  std::map<Key, uint64_t> expiries_ TAILRACE_GUARDED_BY(mutex_);
  // By time; the pointers are to the keys in expiries_.
  absl::btree_set<std::pair<uint64_t, const Key*>> by_time_ TAILRACE_GUARDED_BY(mutex_);
  uint64_t bytes_ TAILRACE_GUARDED_BY(mutex_) = 0;
  uint64_t complete_until_s_ TAILRACE_GUARDED_BY(mutex_) = UINT64_MAX;
};

}  // namespace tailrace::engine
