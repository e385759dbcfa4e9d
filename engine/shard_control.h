// Decisions about shards: which are split, rotated or merged.
//
// Each is one Catalogue frame that seals the parents and opens the children, appended with the
// commit gate held exclusively and with the journal's reserve. Fan-out only reports which shards
// are busy: deciding is for the threads that call here, so fan-out never waits for the journal.
#pragma once

#include <vector>

#include "engine/core.h"

namespace tailrace::engine {

// Thread-safe. See Store::SplitShard and Store::MergeShards for the errors.
class ShardControl {
 public:
  explicit ShardControl(Core& core) : core_(core) {}

  // Seals the shard and opens one for each half of its hashes.
  Result<std::vector<ShardId>> Split(StreamId stream, ShardId shard);

  // Seals two neighbours without records and opens one for both. It names one of them as its
  // parent: the one whose ancestors include all that still have records.
  Result<ShardId> Merge(StreamId stream, ShardId one, ShardId other);

  // Splits the shards that fan-out found busy since the last call, where limits and hashes allow.
  Status SplitBusy();

  // Seals each shard that is older than options.shard_rotation_ms and had a record, and opens one
  // of the same hashes.
  Status RotateOld();

 private:
  Status CheckHoldsNothing(const shards::Stream& stream, const shards::Shard& shard) const;
  Status CheckLeadsToAll(const shards::Stream& stream, const shards::Shard& named,
                         const shards::Shard& other) const;
  Status CheckNothingOnItsWay(StreamId stream, shards::HashRange range) const;
  Result<size_t> RotateSome();

  Core& core_;
};

}  // namespace tailrace::engine
