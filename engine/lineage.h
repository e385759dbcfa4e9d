// Which of a stream's shards can be read, in the order of its lineage, and where each begins: what
// durable readers and consumers have in common.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <vector>

#include "engine/store.h"

namespace tailrace::engine {

// Where the reading of a whole stream begins.
struct LineageStart {
  std::optional<SequenceNumber> begin;    // Set: what lies below is left out.
  StartAt start = StartAt::kTrimHorizon;  // Otherwise: kTrimHorizon, or kAtTimestamp …
  uint64_t wall_ms = 0;                   // … with the first record of each lineage since then.
};

// How far somebody has read a stream, shard by shard.
struct Lineage {
  std::set<ShardId> listed;  // The stream's shards.
  std::set<ShardId> read;    // Those read to their end, some of them only by what followed them.
  std::vector<const ShardInfo*> beginning;  // Nobody has begun them, and nothing holds them up.
  bool all_read = false;                    // And there will be no more.
};

// `done(shard)`: absent if nothing is known of the shard; otherwise whether it was read to its end.
// Known descendants say that a shard was. A shard can begin once its parent was read to its end, or
// has expired and nobody is still reading it. `stream` outlives the result.
Lineage LookAtLineage(const StreamInfo& stream,
                      const std::function<std::optional<bool>(ShardId)>& done);

// Whether the reading of the stream had begun before it came to a shard: then records of the shard
// that have expired are missed, and will be reported as a gap.
enum class Begun { kNo, kYes };

// Where to begin in a shard that nobody has begun. Errors as Store::SeekShard; kNotFound: it has
// expired.
Result<Position> BeginShard(Store& store, const StreamInfo& stream, const ShardInfo& shard,
                            const LineageStart& start, Begun begun);

// As Store::ReadShard; of a shard that has expired as a whole the page says that all which may have
// been left is missing, and that it has ended.
Result<ChangePage> ReadShardOrGap(Store& store, const Position& position, const PageLimits& limits);

}  // namespace tailrace::engine
