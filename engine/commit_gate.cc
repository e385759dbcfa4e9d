#include "engine/commit_gate.h"

#include "wal/mutants.h"

namespace tailrace::engine {

size_t CommitGate::SlotOfThread() {
  static std::atomic<size_t> next{0};
  thread_local const size_t slot = next.fetch_add(1, std::memory_order_relaxed) % kSlots;
  return slot;
}

bool CommitGate::Empty() const {
  for (const Slot& slot : slots_) {
    if (slot.passing.load() != 0) return false;
  }
  return true;
}

void CommitGate::LeaveSlot(Slot& slot) {
  slot.passing.fetch_sub(1);
  // The exclusive side sets closed_ before it looks at the counters, so one of the two sees the
  // other.
  if (!closed_.load()) return;
  MutexLock lock(mutex_);
  changed_.NotifyAll();
}

void CommitGate::LockShared() TAILRACE_NO_THREAD_SAFETY_ANALYSIS {
  Slot& slot = slots_[SlotOfThread()];
  while (true) {
    slot.passing.fetch_add(1);
    if (!closed_.load()) return;
    LeaveSlot(slot);
    MutexLock lock(mutex_);
    while (closed_.load()) changed_.Wait(mutex_);
  }
}

void CommitGate::UnlockShared() TAILRACE_NO_THREAD_SAFETY_ANALYSIS {
  LeaveSlot(slots_[SlotOfThread()]);
}

void CommitGate::Lock() TAILRACE_NO_THREAD_SAFETY_ANALYSIS {
  MutexLock lock(mutex_);
  while (held_) changed_.Wait(mutex_);
  held_ = true;
  closed_.store(true);
  while (!Empty() && !TAILRACE_MUTANT("gate-does-not-wait")) changed_.Wait(mutex_);
}

void CommitGate::Unlock() TAILRACE_NO_THREAD_SAFETY_ANALYSIS {
  MutexLock lock(mutex_);
  held_ = false;
  closed_.store(false);
  changed_.NotifyAll();
}

}  // namespace tailrace::engine
