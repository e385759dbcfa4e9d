#include "wal/positions.h"

#include <algorithm>

namespace tailrace::wal {

Positions::Positions(Durability durability, Lsn start)
    : durability_(durability),
      entered_(start.value),
      durable_(start.value),
      safe_(start.value),
      fanned_out_(start.value),
      shard_synced_(start.value),
      cut_(start.value),
      recycled_(start.value) {}

void Positions::RaiseSafe() {
  uint64_t safe = entered_.load();
  if (durability_ == Durability::kSync) safe = std::min(safe, durable_.load());
  if (safe <= safe_.load()) return;
  safe_.store(safe, std::memory_order_release);
  moved_.NotifyAll();
}

void Positions::Enter(Lsn previous_end, Lsn end) {
  TAILRACE_CHECK(previous_end < end, "a frame has a length");
  MutexLock lock(mutex_);
  TAILRACE_CHECK(previous_end.value >= entered_.load(), "a frame was entered twice");
  if (previous_end.value != entered_.load()) {
    early_.emplace(previous_end, end);
    return;
  }
  while (true) {
    const auto next = early_.find(end);
    if (next == early_.end()) break;
    end = next->second;
    early_.erase(next);
  }
  entered_.store(end.value, std::memory_order_release);
  RaiseSafe();
}

void Positions::AdvanceDurable(Lsn end) {
  MutexLock lock(mutex_);
  if (end.value <= durable_.load()) return;
  durable_.store(end.value, std::memory_order_release);
  RaiseSafe();
  moved_.NotifyAll();
}

void Positions::AdvanceFannedOut(Lsn end) {
  MutexLock lock(mutex_);
  TAILRACE_CHECK(end.value >= fanned_out_.load() && end.value <= safe_.load(),
                 "fanned_out rises, up to safe");
  fanned_out_.store(end.value, std::memory_order_release);
  moved_.NotifyAll();
}

void Positions::AdvanceShardSynced(Lsn end) {
  MutexLock lock(mutex_);
  TAILRACE_CHECK(end.value >= shard_synced_.load() && end.value <= fanned_out_.load(),
                 "shard_synced rises, up to fanned_out");
  shard_synced_.store(end.value, std::memory_order_release);
}

void Positions::AdvanceCut(Lsn end) {
  MutexLock lock(mutex_);
  TAILRACE_CHECK(end.value >= cut_.load() && end.value <= shard_synced_.load(),
                 "cut rises, up to shard_synced");
  TAILRACE_CHECK(end.value <= durable_.load(), "RocksDB never holds what is not durable");
  cut_.store(end.value, std::memory_order_release);
}

void Positions::AdvanceRecycled(Lsn end) {
  MutexLock lock(mutex_);
  TAILRACE_CHECK(end.value >= recycled_.load() && end.value <= cut_.load(),
                 "recycled rises, up to cut");
  recycled_.store(end.value, std::memory_order_release);
}

Status Positions::Wait(const std::atomic<uint64_t>& position, Lsn end) {
  if (position.load(std::memory_order_acquire) >= end.value) return Status::Ok();
  MutexLock lock(mutex_);
  while (position.load() < end.value) {
    if (!failure_.ok()) return failure_;
    moved_.Wait(mutex_);
  }
  return Status::Ok();
}

Status Positions::WaitSafe(Lsn end) { return Wait(safe_, end); }
Status Positions::WaitDurable(Lsn end) { return Wait(durable_, end); }
Status Positions::WaitFannedOut(Lsn end) { return Wait(fanned_out_, end); }

Result<Lsn> Positions::WaitSafeBeyond(Lsn beyond) {
  MutexLock lock(mutex_);
  while (safe_.load() <= beyond.value) {
    if (!failure_.ok()) return failure_;
    moved_.Wait(mutex_);
  }
  return Lsn{safe_.load()};
}

Result<Lsn> Positions::WaitSafeBeyond(Lsn beyond, const std::atomic<bool>& interrupted) {
  MutexLock lock(mutex_);
  while (safe_.load() <= beyond.value && !interrupted.load()) {
    if (!failure_.ok()) return failure_;
    moved_.Wait(mutex_);
  }
  return Lsn{safe_.load()};
}

void Positions::Interrupt() {
  // Under the mutex, so that it falls into no gap between a look and a wait.
  MutexLock lock(mutex_);
  moved_.NotifyAll();
}

void Positions::Fail(const Status& cause) {
  MutexLock lock(mutex_);
  if (failure_.ok()) failure_ = cause;
  moved_.NotifyAll();
}

Status Positions::failure() const {
  MutexLock lock(mutex_);
  return failure_;
}

}  // namespace tailrace::wal
