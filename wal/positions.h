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
#include <map>

#include "wal/journal.h"
#include "wal/mutex.h"
#include "wal/status.h"
#include "wal/types.h"

namespace tailrace::wal {

class Positions {
 public:
  // All positions begin at `start`, where recovery replays from.
  Positions(Durability durability, Lsn start);
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
  Lsn durable() const { return Lsn{durable_.load(std::memory_order_acquire)}; }
  Lsn safe() const { return Lsn{safe_.load(std::memory_order_acquire)}; }
  Lsn fanned_out() const { return Lsn{fanned_out_.load(std::memory_order_acquire)}; }
  Lsn shard_synced() const { return Lsn{shard_synced_.load(std::memory_order_acquire)}; }
  Lsn cut() const { return Lsn{cut_.load(std::memory_order_acquire)}; }
  Lsn recycled() const { return Lsn{recycled_.load(std::memory_order_acquire)}; }

  // Waits until the position reached `end`. After Fail: the failure, unless it was reached before.
  Status WaitSafe(Lsn end);
  Status WaitDurable(Lsn end);
  Status WaitFannedOut(Lsn end);

  // Waits until safe > `beyond`, then returns safe; or the failure.
  Result<Lsn> WaitSafeBeyond(Lsn beyond);

  // As WaitSafeBeyond, but also returns safe, as it is, once `interrupted` is set (see Interrupt).
  Result<Lsn> WaitSafeBeyond(Lsn beyond, const std::atomic<bool>& interrupted);

  // Makes those who wait look at their `interrupted` again: set it before.
  void Interrupt();

  // Ends every wait, now and later, with `cause` (the first one given stays). Positions reached
  // stay.
  void Fail(const Status& cause);
  Status failure() const;

 private:
  Status Wait(const std::atomic<uint64_t>& position, Lsn end);
  void RaiseSafe() TAILRACE_REQUIRES(mutex_);

  const Durability durability_;

  mutable Mutex mutex_;
  CondVar moved_;
  // Frames entered out of order: where they begin (the previous frame's end) and end.
  std::map<Lsn, Lsn> early_ TAILRACE_GUARDED_BY(mutex_);
  Status failure_ TAILRACE_GUARDED_BY(mutex_);

  // Written under the mutex, read anywhere.
  std::atomic<uint64_t> entered_;
  std::atomic<uint64_t> durable_;
  std::atomic<uint64_t> safe_;
  std::atomic<uint64_t> fanned_out_;
  std::atomic<uint64_t> shard_synced_;
  std::atomic<uint64_t> cut_;
  std::atomic<uint64_t> recycled_;
};

}  // namespace tailrace::wal
