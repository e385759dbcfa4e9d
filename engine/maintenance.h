// Upkeep: clock readings, confirmed downtime, shards that are split or rotated, retention (the
// compaction job that expires records), the deletion of expired items, and the filling of indexes.
#pragma once

#include <atomic>
#include <thread>

#include "engine/checkpointer.h"
#include "engine/core.h"
#include "engine/expiry_sweeper.h"
#include "engine/index_backfill.h"
#include "engine/shard_control.h"
#include "engine/token_upkeep.h"

namespace tailrace::engine {

class Maintenance {
 public:
  Maintenance(Core& core, Checkpointer& checkpointer, ShardControl& shard_control,
              TokenUpkeep& tokens, ExpirySweeper& sweeper, IndexBackfill& backfill)
      : core_(core),
        checkpointer_(checkpointer),
        shard_control_(shard_control),
        tokens_(tokens),
        sweeper_(sweeper),
        backfill_(backfill) {}
  ~Maintenance() { Stop(); }
  Maintenance(const Maintenance&) = delete;
  Maintenance& operator=(const Maintenance&) = delete;

  // Runs every options.maintenance_interval_ms in the background, and splits busy shards as soon as
  // fan-out reports them; not at all if that is 0. While expired items are left to find and delete,
  // or an index to fill, it goes on with them between the rounds, at
  // options.expiry_items_per_second and options.backfill_items_per_second.
  void Start();
  void Stop();

  // One round, now, with all expired items and all indexes. Trim points move by a Trim frame; files
  // go only once a checkpoint has the frame, so that recovery never looks for a file that retention
  // removed.
  Status Run();

  // Counts the pending downtime as age.
  Status ConfirmDowntime();

 private:
  void Loop();
  Status RunPieces(bool round);
  Status RunRound();
  // Whether there is more to do at once.
  Result<bool> Sweep(uint64_t items_max);
  // The same; kBusy while the journal is at its limit.
  Result<bool> Fill(uint64_t items_max);
  Status FillAll();
  Status AppendClock(const ClockReading& now, frames::ClockReason reason)
      TAILRACE_REQUIRES(core_.gate);
  Status Trim();

  Core& core_;
  Checkpointer& checkpointer_;
  ShardControl& shard_control_;
  TokenUpkeep& tokens_;
  ExpirySweeper& sweeper_;
  IndexBackfill& backfill_;
  Mutex run_mutex_;
  // The thread's own: whether to go on at once.
  bool to_sweep_ = false;
  bool to_fill_ = true;  // An earlier opening may have left an index.
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace tailrace::engine
