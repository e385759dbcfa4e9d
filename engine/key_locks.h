// Locks on base keys: held by a write from before it reads the old items until its changes are in
// the write buffer, so that a key's changes happen one after another; and by a transactional read
// while it reads.
//
// Striped: two keys may share a lock, which only costs waiting. Several keys are locked in stripe
// order, each stripe once, so that two callers never wait for each other.
#pragma once

#include <absl/container/inlined_vector.h>

#include <array>
#include <cstddef>
#include <span>

#include "shards/types.h"
#include "wal/mutex.h"
#include "wal/types.h"

namespace tailrace::engine {

class KeyLocks {
 public:
  static constexpr size_t kLockStripes = 4096;

  // Holds the locks of some keys; gives them free when destroyed.
  class Held {
   public:
    ~Held();
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;

   private:
    friend class KeyLocks;
    using Mutexes = absl::InlinedVector<Mutex*, 4>;  // Most writes lock one key.
    explicit Held(Mutexes mutexes);

    const Mutexes mutexes_;
  };

  struct Key {
    TableId table;
    ByteView storage_key;
  };

  // Waits for the locks of all `keys`.
  Held Lock(std::span<const Key> keys);

 private:
  struct alignas(64) Stripe {
    Mutex mutex;
  };
  std::array<Stripe, kLockStripes> stripes_;
};

}  // namespace tailrace::engine
