// Locks on base keys: held by a write from before it reads the old item until its change is in the
// write buffer, so that a key's changes happen one after another.
//
// Striped: two keys may share a lock, which only costs waiting. Several keys are locked in stripe
// order, each stripe once, so that two writers never wait for each other.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

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
    explicit Held(std::vector<Mutex*> mutexes);
    ~Held();
    Held(Held&& other) noexcept = default;
    Held& operator=(Held&&) = delete;

   private:
    std::vector<Mutex*> mutexes_;
  };

  struct Key {
    TableId table;
    ByteView storage_key;
  };

  // Waits for the locks of all `keys`.
  Held Lock(const std::vector<Key>& keys);

 private:
  struct alignas(64) Stripe {
    Mutex mutex;
  };
  std::array<Stripe, kLockStripes> stripes_;
};

}  // namespace tailrace::engine
