// One worker's part in sharing a consumer's shards: its signs of life, which leases it holds, and
// the leases that are made and removed as the stream's shards come and go.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/consumer_host.h"
#include "engine/consumer_items.h"

namespace tailrace::engine {

// One thread at a time.
class LeaseKeeper {
 public:
  // Store and host outlive it.
  LeaseKeeper(Store& store, ConsumerHost& host, std::string consumer, std::string worker,
              uint64_t lease_ms);

  struct Round {
    ConsumerRecord consumer;
    StreamInfo stream;
    bool finished = false;  // Everything is read, and there will be no more.
    bool again = false;     // Others changed something meanwhile: look again at once.
  };

  // Gives a sign of life, notes what became of the leases, makes those that are missing, and takes
  // what is due to this worker: free leases and those of silent workers up to its share, or one of
  // the worker that has most. kNotFound (consumer or stream), kFailedPrecondition (another worker
  // runs under this name).
  Result<Round> Run();

  // When the next round is due, by the clock's BootMs.
  uint64_t next_round_ms() const { return next_round_ms_; }

  // The leases that this worker holds, as their items are.
  const std::map<ShardId, LeaseRecord>& held() const { return held_; }

  // The write that turns a lease that is held into `next`; its condition is that it still is held.
  WriteRequest Change(const LeaseRecord& held, const LeaseRecord& next) const;
  // It happened: goes on from `next`, which may have given the lease free.
  void Changed(const LeaseRecord& next);
  // It was refused: the lease is lost.
  void Lost(ShardId shard) { held_.erase(shard); }

  // Gives all leases free and takes back the sign of life.
  Status Release();

 private:
  // What was seen of another worker.
  struct Seen {
    uint64_t heartbeat = 0;
    uint64_t silent_ms = 0;  // For so long, as far as this one looked.
  };

  Status Beat();
  void Observe(const ConsumerState& state);
  bool IsAlive(const std::string& worker) const { return alive_.contains(worker); }
  Status DropLost(const ConsumerState& state);
  Status MakeLeases(const StreamInfo& stream, ConsumerState& state, bool& again);
  Result<bool> MakeSome(ConsumerState& state, const std::vector<LeaseRecord>& fresh);
  Status Share(const ConsumerState& state);
  Result<bool> Take(const LeaseRecord& lease);
  Status RemoveDead(const ConsumerState& state);
  Status RemoveDone(const StreamInfo& stream, ConsumerState& state);
  Status EndBootstrap(const StreamInfo& stream, const ConsumerState& state);

  Store& store_;
  ConsumerHost& host_;
  const std::string consumer_;
  const std::string worker_;
  const uint64_t lease_ms_;
  uint64_t next_round_ms_ = 0;
  uint64_t last_look_ms_ = 0;
  bool joined_ = false;  // False: leases under this worker's name are from an earlier life.
  std::map<ShardId, LeaseRecord> held_;
  std::map<std::string, Seen> seen_;
  std::map<std::string, uint64_t> alive_;  // With the leases each holds.
};

}  // namespace tailrace::engine
