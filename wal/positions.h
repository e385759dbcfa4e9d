// The positions of a store along its journal, owned and ordered in one place.
//
//   recycled <= cut <= shard_synced <= fanned_out <= safe <= entered <= appended
//
//   appended      frames below are in the journal, in order
//   entered       changes below are in the write buffer, without a hole
//   safe          what may be shown: kSync min(durable, entered), kBuffered entered
//   fanned_out    changes below are in the shard logs, and their readers were woken
//   shard_synced  shard logs are durable up to here
//   cut           RocksDB holds exactly the fold up to here
//   recycled      the journal has forgotten everything below
//
// Every move checks the order; a broken order is a bug and stops the process. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "wal/journal.h"
#include "wal/mutex.h"
#include "wal/status.h"
#include "wal/types.h"

namespace tailrace::wal {

// How long changes may gather before fan-out folds them, while nobody waits for what it makes. Each
// time, it takes a processor from whoever writes.
inline constexpr uint64_t kFanOutGatherUs = 20'000;

class Positions {
 public:
  // All positions begin at `start`, where recovery replays from. See GatherFanOutWork for
  // `gather_us`.
  Positions(Durability durability, Lsn start, uint64_t gather_us = kFanOutGatherUs);
  Positions(const Positions&) = delete;
  Positions& operator=(const Positions&) = delete;

  // A frame [.., end) was appended after the caller's frame that ended at `previous_end`, and its
  // changes are now visible in the write buffer. Calls may come in any order; `entered` follows the
  // unbroken chain.
  void Enter(Lsn previous_end, Lsn end);

  // Positions jump from `old_end` to `new_start` without a frame between (a new epoch).
  void Jump(Lsn old_end, Lsn new_start) { Enter(old_end, new_start); }

  void AdvanceDurable(Lsn end);
  void AdvanceFannedOut(Lsn end);
  void AdvanceShardSynced(Lsn end);
  void AdvanceCut(Lsn end);
  void AdvanceRecycled(Lsn end);

  Lsn entered() const { return Lsn{entered_.load(std::memory_order_acquire)}; }
  Lsn durable() const { return Lsn{durable_.value.load(std::memory_order_acquire)}; }
  Lsn safe() const { return Lsn{safe_.value.load(std::memory_order_acquire)}; }
  Lsn fanned_out() const { return Lsn{fanned_out_.value.load(std::memory_order_acquire)}; }
  Lsn shard_synced() const { return Lsn{shard_synced_.load(std::memory_order_acquire)}; }
  Lsn cut() const { return Lsn{cut_.load(std::memory_order_acquire)}; }
  Lsn recycled() const { return Lsn{recycled_.load(std::memory_order_acquire)}; }

  // What a wait does before it begins, called by whoever waits and holding nothing. With threads it
  // tells the journal; without, it does their work: each makes what it can, and an error that is
  // not final ends that wait alone.
  struct Workers {
    std::function<void(Lsn end)> hasten = nullptr;  // kSync: who makes frames below `end` durable.
    std::function<Status(Lsn end)> make_durable = nullptr;  // Frames that begin below `end`.
    std::function<Status()> fan_out = nullptr;              // All that is safe.
  };
  // Before anybody waits.
  void SetWorkers(Workers workers) { workers_ = std::move(workers); }

  // Waits until the position reached `end`. After Fail: the failure, unless it was reached before.
  Status WaitSafe(Lsn end);
  Status WaitDurable(Lsn end);
  Status WaitFannedOut(Lsn end);

  // For fan-out, one thread. Waits until safe > `beyond` or `interrupted` is set, and returns safe;
  // or the failure.
  Result<Lsn> AwaitFanOutWork(Lsn beyond, const std::atomic<bool>& interrupted);

  // For fan-out, when it has work. Lets more gather, `gather_us` long, unless somebody is in haste,
  // `interrupted` is set or there was a failure: a writer need not wake it meanwhile, and to wake a
  // thread costs a writer more than all else it does.
  void GatherFanOutWork(const std::atomic<bool>& interrupted);

  // Makes fan-out look at its `interrupted` again: set it before.
  void Interrupt();

  // While one exists, fan-out begins at once: somebody waits for change records.
  class Haste {
   public:
    explicit Haste(Positions& positions);
    ~Haste();
    Haste(const Haste&) = delete;
    Haste& operator=(const Haste&) = delete;

   private:
    Positions& positions_;
  };

  // A waiting reader in fan-out's place: while one exists, whatever becomes safe is not told to
  // fan-out but to the leader, who folds it. To wake a thread that then wakes the reader takes
  // twice as long. What the leader leaves undone is fan-out's when it goes. There is one at a time.
  class Lead {
   public:
    // `ring` wakes the leader; it is called with the positions' lock held.
    Lead(Positions& positions, std::function<void()> ring);
    ~Lead();
    Lead(const Lead&) = delete;
    Lead& operator=(const Lead&) = delete;

    bool taken() const { return taken_; }  // Else somebody else leads.

   private:
    Positions& positions_;
    bool taken_ = false;
  };

  // Ends every wait, now and later, with `cause` (the first one given stays). Positions reached
  // stay.
  void Fail(const Status& cause);
  Status failure() const;

 private:
  // A position that callers wait for. Written under the mutex, read anywhere.
  struct Awaited {
    explicit Awaited(Lsn start) : value(start.value) {}
    std::atomic<uint64_t> value;
    uint64_t waiters = 0;  // Under the mutex: nobody is woken if nobody waits.
    CondVar moved;
  };

  Status Wait(Awaited& position, Lsn end);
  Status Unless(const Status& worked) const;
  void Hasten(Lsn end) const;
  void Move(Awaited& position, uint64_t end) TAILRACE_REQUIRES(mutex_);
  void RaiseSafe() TAILRACE_REQUIRES(mutex_);
  void WakeFanOut() TAILRACE_REQUIRES(mutex_);
  void Hurry() TAILRACE_REQUIRES(mutex_);

  const Durability durability_;
  const uint64_t gather_us_;
  Workers workers_;

  mutable Mutex mutex_;
  CondVar fan_out_wakes_;
  bool fan_out_sleeps_ TAILRACE_GUARDED_BY(mutex_) = false;   // Until something is safe.
  bool fan_out_gathers_ TAILRACE_GUARDED_BY(mutex_) = false;  // Something is; more may come.
  uint64_t in_haste_ TAILRACE_GUARDED_BY(mutex_) = 0;
  std::function<void()> ring_leader_ TAILRACE_GUARDED_BY(mutex_);  // Null: nobody leads.
  // Frames entered out of order: where they begin (the previous frame's end) and end.
  std::map<Lsn, Lsn> early_ TAILRACE_GUARDED_BY(mutex_);
  Status failure_ TAILRACE_GUARDED_BY(mutex_);

  Awaited durable_;
  Awaited safe_;
  Awaited fanned_out_;
  // Written under the mutex, read anywhere.
  std::atomic<uint64_t> entered_;
  std::atomic<uint64_t> shard_synced_;
  std::atomic<uint64_t> cut_;
  std::atomic<uint64_t> recycled_;
};

}  // namespace tailrace::wal
