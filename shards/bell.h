// A bell: one reader sleeps at it, and every shard log it watches may ring it.
#pragma once

#include <chrono>
#include <cstdint>

#include "wal/mutex.h"

namespace tailrace::shards {

// Thread-safe. Rings while nobody sleeps are kept.
class Bell {
 public:
  // The bell stays until the call returns: whoever rings holds the lock under which it is taken
  // off. Woken with the bell's own lock held, the sleeper would fall asleep once more, at that.
  void Ring() {
    {
      MutexLock lock(mutex_);
      if (rung_) return;
      rung_ = true;
    }
    ringing_.NotifyOne();
  }

  // Sleeps until the next ring, or until `deadline` (false). Uses up the ring.
  bool Sleep(std::chrono::steady_clock::time_point deadline) {
    MutexLock lock(mutex_);
    while (!rung_) {
      const auto left =
          std::chrono::ceil<std::chrono::microseconds>(deadline - std::chrono::steady_clock::now());
      if (left.count() <= 0) return false;
      (void)ringing_.WaitFor(mutex_, static_cast<uint64_t>(left.count()));
    }
    rung_ = false;
    return true;
  }

 private:
  Mutex mutex_;
  CondVar ringing_;
  bool rung_ TAILRACE_GUARDED_BY(mutex_) = false;
};

}  // namespace tailrace::shards
