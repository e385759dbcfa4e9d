// Fan-out: the thread that folds the journal into the shard logs, in journal order, up to what is safe.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <thread>

#include "shards/shard_set.h"
#include "wal/journal.h"
#include "wal/mutex.h"
#include "wal/positions.h"

namespace tailrace::shards {

class FanOut {
 public:
  // Borrows all three; they outlive this object. `on_failure` is called once, from the fan-out thread,
  // when it stops for good (a shard log that cannot be written counts like the journal itself).
  FanOut(const wal::Journal& journal, wal::Positions& positions, ShardSet& shards,
         std::function<void(const Status&)> on_failure);
  ~FanOut();  // Stops.

  // Begins at positions.fanned_out().
  void Start();

  // Ends the thread after the batch under way. It may be called more than once.
  void Stop();

  // Asks for the state of the shards at exactly `at`, which fan-out has not passed yet (the caller holds
  // the commit gate exclusively and `at` is the journal's end).
  void RequestCapture(Lsn at);

  // Waits until fan-out has reached `at` and hands out the state captured there. Errors: the failure.
  Result<ShardSetState> TakeCapture(Lsn at);

 private:
  void Run();
  Status FoldUpTo(Lsn safe);
  void CaptureIfRequested(Lsn at);

  const wal::Journal& journal_;
  wal::Positions& positions_;
  ShardSet& shards_;
  const std::function<void(const Status&)> on_failure_;

  Mutex mutex_;
  CondVar captured_;
  std::map<Lsn, ShardSetState> captures_ TAILRACE_GUARDED_BY(mutex_);
  std::map<Lsn, bool> requests_ TAILRACE_GUARDED_BY(mutex_);
  Status failure_ TAILRACE_GUARDED_BY(mutex_);
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace tailrace::shards
