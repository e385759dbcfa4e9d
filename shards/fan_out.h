// Fan-out: the thread that folds the journal into the shard logs, in journal order, up to what is
// safe.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <set>
#include <thread>

#include "shards/shard_set.h"
#include "wal/journal.h"
#include "wal/mutex.h"
#include "wal/positions.h"

namespace tailrace::shards {

// Journal bytes folded before they are published: bounds what is buffered and how long a reader
// waits when fan-out is behind. A batch that reaches many shards is longer, up to the last limit:
// each of them costs a write, which is to be worth it.
inline constexpr uint64_t kFanOutBatchBytes = 1 << 20;
inline constexpr uint64_t kFanOutBatchBytesPerShard = 8 << 10;
inline constexpr uint64_t kFanOutBatchBytesMax = 32 << 20;

// Journal bytes that a waiting reader folds by itself; more is left to the thread, so that no wait
// gets long.
inline constexpr uint64_t kReaderFoldBytesMax = 64 << 10;

class FanOut {
 public:
  // Borrows all three; they outlive this object. `on_failure` is called, from whichever thread
  // folds, when it stops for good (a shard log that cannot be written counts like the journal
  // itself).
  FanOut(const wal::Journal& journal, wal::Positions& positions, ShardSet& shards,
         std::function<void(const Status&)> on_failure);
  ~FanOut();  // Stops.

  // Begins at positions.fanned_out(), which is what `shards` has published. Call it once.
  void Start();

  // In place of Start, for simulation: folds all that is safe in the calling thread. One thread at
  // a time. Errors: as given to on_failure.
  Status RunInline();

  // As ShardSet::WaitAny, for whoever shall not lose time: what becomes safe meanwhile is folded by
  // the waiting thread itself if it can, and else at once by fan-out's. Any thread.
  Result<bool> WaitAny(const std::vector<Position>& positions, uint64_t timeout_ms);

  // Ends the thread after the batch under way. It may be called more than once, by one thread.
  void Stop();

  // Asks for the state of the shards at exactly `at`, which fan-out has not passed yet (the caller
  // holds the commit gate exclusively and `at` is the journal's end).
  void RequestCapture(Lsn at);

  // Waits until fan-out has reached `at`, for which RequestCapture was called, and hands out the
  // state captured there; all of it is published. Once for each request. Errors: the failure, which
  // is kClosed when the thread was stopped before.
  Result<ShardSetState> TakeCapture(Lsn at);

 private:
  void Run();
  bool FoldSafe();
  bool FoldForReader();
  bool FollowersWait();
  Status FoldUpTo(Lsn safe) TAILRACE_REQUIRES(fold_mutex_);
  bool BatchIsFull(uint64_t bytes) const;
  Status FoldBatch(Lsn end, Lsn& folded) TAILRACE_REQUIRES(fold_mutex_);
  void HandOut(Lsn at) TAILRACE_REQUIRES(fold_mutex_);
  void Fail(const Status& cause);

  const wal::Journal& journal_;
  wal::Positions& positions_;
  ShardSet& shards_;
  const std::function<void(const Status&)> on_failure_;

  Mutex fold_mutex_;  // Of whoever writes to shards_. Taken before mutex_.
  mutable Mutex mutex_;
  CondVar captured_;
  std::map<Lsn, ShardSetState> captures_ TAILRACE_GUARDED_BY(mutex_);
  std::set<Lsn> requests_ TAILRACE_GUARDED_BY(mutex_);
  Lsn folded_ TAILRACE_GUARDED_BY(mutex_);  // Fan-out has passed, or is about to pass, up to here.
  Status failure_ TAILRACE_GUARDED_BY(mutex_);
  std::atomic<bool> stopping_{false};
  std::atomic<bool> interrupted_{false};  // A stop or a new request: the thread has to look.
  std::atomic<bool> has_thread_{false};
  std::thread thread_;
};

}  // namespace tailrace::shards
