#include "wal/positions.h"

#include <algorithm>
#include <thread>

#include "wal/mutants.h"

namespace tailrace::wal {
namespace {

// Before a thread falls asleep, which costs it and whoever wakes it several microseconds: looks
// again for about one, and then for as often lets others run first.
constexpr int kSpinsMax = 50;
constexpr int kYieldsMax = 20;

// Tells the processor that this is a loop that waits.
void SpinPause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

}  // namespace

Positions::Positions(Durability durability, Lsn start, uint64_t gather_us)
    : durability_(durability),
      gather_us_(gather_us),
      durable_(start),
      safe_(start),
      fanned_out_(start),
      entered_(start.value),
      shard_synced_(start.value),
      cut_(start.value),
      recycled_(start.value) {}

void Positions::Move(Awaited& position, uint64_t end) {
  position.value.store(end, std::memory_order_release);
  if (position.waiters > 0) position.moved.NotifyAll();
}

void Positions::RaiseSafe() {
  uint64_t safe = entered_.load();
  if (durability_ == Durability::kSync && !TAILRACE_MUTANT("shown-before-durable")) {
    safe = std::min(safe, durable_.value.load());
  }
  if (safe <= safe_.value.load()) return;
  Move(safe_, safe);
  if (ring_leader_) return ring_leader_();
  WakeFanOut();
}

void Positions::WakeFanOut() {
  if (!fan_out_sleeps_) return;
  fan_out_sleeps_ = false;  // So that it is woken once.
  fan_out_wakes_.NotifyOne();
}

void Positions::Enter(Lsn previous_end, Lsn end) {
  TAILRACE_CHECK(previous_end < end, "a frame has a length");
  MutexLock lock(mutex_);
  TAILRACE_CHECK(previous_end.value >= entered_.load(), "a frame was entered twice");
  if (previous_end.value != entered_.load() && !TAILRACE_MUTANT("shown-past-a-hole")) {
    early_.emplace(previous_end, end);
    return;
  }
  while (!early_.empty()) {
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
  if (end.value <= durable_.value.load()) return;
  Move(durable_, end.value);
  RaiseSafe();
}

void Positions::AdvanceFannedOut(Lsn end) {
  MutexLock lock(mutex_);
  TAILRACE_CHECK(end.value >= fanned_out_.value.load() && end.value <= safe_.value.load(),
                 "fanned_out rises, up to safe");
  Move(fanned_out_, end.value);
}

void Positions::AdvanceShardSynced(Lsn end) {
  MutexLock lock(mutex_);
  TAILRACE_CHECK(end.value >= shard_synced_.load() && end.value <= fanned_out_.value.load(),
                 "shard_synced rises, up to fanned_out");
  shard_synced_.store(end.value, std::memory_order_release);
}

void Positions::AdvanceCut(Lsn end) {
  MutexLock lock(mutex_);
  TAILRACE_CHECK(end.value >= cut_.load() && end.value <= shard_synced_.load(),
                 "cut rises, up to shard_synced");
  TAILRACE_CHECK(end.value <= durable_.value.load(), "RocksDB never holds what is not durable");
  cut_.store(end.value, std::memory_order_release);
}

void Positions::AdvanceRecycled(Lsn end) {
  MutexLock lock(mutex_);
  TAILRACE_CHECK(end.value >= recycled_.load() && end.value <= cut_.load(),
                 "recycled rises, up to cut");
  recycled_.store(end.value, std::memory_order_release);
}

Status Positions::Wait(Awaited& position, Lsn end) {
  if (position.value.load(std::memory_order_acquire) >= end.value) return Status::Ok();
  MutexLock lock(mutex_);
  while (position.value.load() < end.value) {
    if (!failure_.ok()) return failure_;
    ++position.waiters;
    position.moved.Wait(mutex_);
    --position.waiters;
  }
  return Status::Ok();
}

// A worker's outcome, unless it is told by the failure that all waits end with.
Status Positions::Unless(const Status& worked) const {
  return failure().ok() ? worked : Status::Ok();
}

void Positions::Hasten(Lsn end) const {
  if (TAILRACE_MUTANT("waits-unannounced")) return;
  if (durability_ == Durability::kSync && durable() < end && workers_.hasten) workers_.hasten(end);
}

Status Positions::WaitSafe(Lsn end) {
  Hasten(end);
  if (safe() < end && durability_ == Durability::kSync && workers_.make_durable) {
    TAILRACE_RETURN_IF_ERROR(Unless(workers_.make_durable(end)));
  }
  if (durability_ == Durability::kBuffered) {
    // Whoever stands between its append and its entry is through at once, if it has a processor;
    // with more writers than processors, this thread may be what it waits for.
    for (int spins = 0; safe() < end && spins < kSpinsMax; ++spins) SpinPause();
    for (int yields = 0; safe() < end && yields < kYieldsMax; ++yields) std::this_thread::yield();
  }
  return Wait(safe_, end);
}

Status Positions::WaitDurable(Lsn end) {
  Hasten(end);
  if (durable() < end && workers_.make_durable) {
    TAILRACE_RETURN_IF_ERROR(Unless(workers_.make_durable(end)));
  }
  return Wait(durable_, end);
}

Status Positions::WaitFannedOut(Lsn end) {
  if (fanned_out() >= end) return Status::Ok();
  Hasten(end);
  if (workers_.fan_out) {
    TAILRACE_RETURN_IF_ERROR(WaitSafe(end));
    TAILRACE_RETURN_IF_ERROR(Unless(workers_.fan_out()));
  }
  const Haste haste(*this);
  return Wait(fanned_out_, end);
}

Result<Lsn> Positions::AwaitFanOutWork(Lsn beyond, const std::atomic<bool>& interrupted) {
  MutexLock lock(mutex_);
  while (safe() <= beyond && !interrupted.load()) {
    if (!failure_.ok()) return failure_;
    fan_out_sleeps_ = true;
    fan_out_wakes_.Wait(mutex_);
    fan_out_sleeps_ = false;
  }
  return safe();
}

void Positions::GatherFanOutWork(const std::atomic<bool>& interrupted) {
  MutexLock lock(mutex_);
  if (in_haste_ == 0 && !interrupted.load() && failure_.ok()) {
    fan_out_gathers_ = true;
    (void)fan_out_wakes_.WaitFor(mutex_, gather_us_);  // Woken or not: it was long enough.
    fan_out_gathers_ = false;
  }
}

void Positions::Hurry() {
  if (fan_out_sleeps_ || fan_out_gathers_) fan_out_wakes_.NotifyOne();
}

void Positions::Interrupt() {
  // Under the mutex, so that it falls into no gap between a look and a wait.
  MutexLock lock(mutex_);
  Hurry();
}

Positions::Haste::Haste(Positions& positions) : positions_(positions) {
  MutexLock lock(positions_.mutex_);
  ++positions_.in_haste_;
  if (positions_.fan_out_gathers_) positions_.Hurry();
}

Positions::Haste::~Haste() {
  MutexLock lock(positions_.mutex_);
  --positions_.in_haste_;
}

Positions::Lead::Lead(Positions& positions, std::function<void()> ring) : positions_(positions) {
  MutexLock lock(positions_.mutex_);
  if (positions_.ring_leader_) return;
  positions_.ring_leader_ = std::move(ring);
  taken_ = true;
}

Positions::Lead::~Lead() {
  if (!taken_) return;
  MutexLock lock(positions_.mutex_);
  positions_.ring_leader_ = nullptr;
  const bool is_left = positions_.fanned_out() < positions_.safe();
  if (is_left && !TAILRACE_MUTANT("leader-leaves-it-undone")) positions_.WakeFanOut();
}

void Positions::Fail(const Status& cause) {
  MutexLock lock(mutex_);
  if (failure_.ok()) failure_ = cause;
  for (Awaited* position : {&durable_, &safe_, &fanned_out_}) position->moved.NotifyAll();
  Hurry();
}

Status Positions::failure() const {
  MutexLock lock(mutex_);
  return failure_;
}

}  // namespace tailrace::wal
