// A clock that moves when it is told to, for whoever tests what time does to a store.
#pragma once

#include <atomic>
#include <cstdint>

#include "wal/clock.h"

namespace tailrace {

// Stands still until it is told to move. Thread-safe.
class SimClock final : public Clock {
 public:
  // 2020-05-09T00:00:00Z, an hour after the machine's start.
  static constexpr uint64_t kStartWallMs = 1'588'982'400'000;
  static constexpr uint64_t kStartBootMs = 3'600'000;

  explicit SimClock(uint64_t wall_ms = kStartWallMs, uint64_t boot_ms = kStartBootMs)
      : wall_ms_(wall_ms), boot_ms_(boot_ms) {}

  uint64_t WallMs() const override { return wall_ms_.load(std::memory_order_relaxed); }
  uint64_t BootMs() const override { return boot_ms_.load(std::memory_order_relaxed); }

  // Time passes.
  void Advance(uint64_t ms) {
    boot_ms_.fetch_add(ms, std::memory_order_relaxed);
    wall_ms_.fetch_add(ms, std::memory_order_relaxed);
  }

  // Somebody sets the wall clock, forwards or back; no time passes.
  void JumpWall(int64_t ms) {
    wall_ms_.fetch_add(static_cast<uint64_t>(ms), std::memory_order_relaxed);
  }

  // The machine is off for `ms` and starts again: the wall clock goes on, boot time starts anew.
  void Reboot(uint64_t ms) {
    wall_ms_.fetch_add(ms, std::memory_order_relaxed);
    boot_ms_.store(0, std::memory_order_relaxed);
  }

 private:
  std::atomic<uint64_t> wall_ms_;
  std::atomic<uint64_t> boot_ms_;
};

}  // namespace tailrace
