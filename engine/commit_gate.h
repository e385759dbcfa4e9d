// The commit gate: writers pass it shared while they append and enter a change; a freeze and every
// change of the catalogue hold it exclusively, so they see no commit half done.
//
// An exclusive holder is not starved: once it asks, new writers wait. Shared passage touches one of
// several counters, so that writers on different cores do not share a cache line. Nobody waits for
// the disk, or for anything that waits for a checkpoint, while holding it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "wal/mutex.h"

namespace tailrace::engine {

class TAILRACE_ANNOTATION(capability("mutex")) CommitGate {
 public:
  void LockShared() TAILRACE_ACQUIRE_SHARED();
  void UnlockShared() TAILRACE_ANNOTATION(release_shared_capability());
  void Lock() TAILRACE_ACQUIRE();
  void Unlock() TAILRACE_RELEASE();

 private:
  static constexpr size_t kSlots = 16;
  struct alignas(64) Slot {
    std::atomic<uint64_t> passing{0};
  };

  static size_t SlotOfThread();
  bool Empty() const;
  void LeaveSlot(Slot& slot);

  std::array<Slot, kSlots> slots_;
  std::atomic<bool> closed_{false};

  Mutex mutex_;  // For those who wait, and between exclusive holders.
  CondVar changed_;
  bool held_ TAILRACE_GUARDED_BY(mutex_) = false;
};

class TAILRACE_ANNOTATION(scoped_lockable) GateShared {
 public:
  explicit GateShared(CommitGate& gate) TAILRACE_ACQUIRE_SHARED(gate) : gate_(gate) {
    gate_.LockShared();
  }
  ~GateShared() TAILRACE_RELEASE_GENERIC() { gate_.UnlockShared(); }
  GateShared(const GateShared&) = delete;
  GateShared& operator=(const GateShared&) = delete;

 private:
  CommitGate& gate_;
};

class TAILRACE_ANNOTATION(scoped_lockable) GateExclusive {
 public:
  explicit GateExclusive(CommitGate& gate) TAILRACE_ACQUIRE(gate) : gate_(gate) { gate_.Lock(); }
  ~GateExclusive() TAILRACE_RELEASE() { gate_.Unlock(); }
  GateExclusive(const GateExclusive&) = delete;
  GateExclusive& operator=(const GateExclusive&) = delete;

 private:
  CommitGate& gate_;
};

}  // namespace tailrace::engine
