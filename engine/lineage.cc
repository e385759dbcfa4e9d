#include "engine/lineage.h"

#include <algorithm>

#include "wal/mutants.h"

namespace tailrace::engine {

Lineage LookAtLineage(const StreamInfo& stream,
                      const std::function<std::optional<bool>(ShardId)>& done) {
  Lineage lineage;
  // From the youngest to the oldest: ids rise with creation.
  for (auto shard = stream.shards.rbegin(); shard != stream.shards.rend(); ++shard) {
    lineage.listed.insert(shard->id);
    const auto known = done(shard->id);
    if (known.value_or(false)) lineage.read.insert(shard->id);
    if (shard->parent && (known || lineage.read.contains(shard->id)) &&
        done(*shard->parent) != std::optional(false)) {
      lineage.read.insert(*shard->parent);
    }
  }
  lineage.all_read = !stream.enabled;
  for (const ShardInfo& shard : stream.shards) {
    if (lineage.read.contains(shard.id)) continue;
    lineage.all_read = false;
    if (done(shard.id)) continue;
    if (!TAILRACE_MUTANT("child-before-parent") && shard.parent &&
        !lineage.read.contains(*shard.parent) &&
        (lineage.listed.contains(*shard.parent) || done(*shard.parent) == std::optional(false))) {
      continue;
    }
    lineage.beginning.push_back(&shard);
  }
  return lineage;
}

namespace {

Result<Position> BeginWhole(Store& store, const StreamInfo& stream, const ShardInfo& shard,
                            Begun begun) {
  TAILRACE_ASSIGN_OR_RETURN(Position position,
                            store.SeekShard(stream.id, shard.id, StartAt::kTrimHorizon));
  if (begun == Begun::kYes) position.next = shard.starting;
  return position;
}

}  // namespace

Result<Position> BeginShard(Store& store, const StreamInfo& stream, const ShardInfo& shard,
                            const LineageStart& start, Begun begun) {
  if (start.begin && shard.starting < *start.begin) {
    const SequenceNumber last{start.begin->value - 1};
    return store.SeekShard(stream.id, shard.id, StartAt::kAfterSequenceNumber,
                           std::min(last, shard.ending.value_or(last)));
  }
  if (start.begin) return BeginWhole(store, stream, shard, Begun::kYes);
  if (start.start != StartAt::kAtTimestamp) return BeginWhole(store, stream, shard, begun);
  // Stamps rise within a shard, but a child's first may be lower than its parent's last. Where the
  // parent has something to read, all of the child follows it.
  const auto parent =
      std::find_if(stream.shards.begin(), stream.shards.end(),
                   [&](const ShardInfo& other) { return shard.parent == other.id; });
  if (parent != stream.shards.end() && parent->ending) {
    TAILRACE_ASSIGN_OR_RETURN(const Position before,
                              BeginShard(store, stream, *parent, start, begun));
    TAILRACE_ASSIGN_OR_RETURN(const ChangePage page, store.ReadShard(before, {.records_max = 1}));
    if (!page.records.empty()) return BeginWhole(store, stream, shard, begun);
  }
  return store.SeekShard(stream.id, shard.id, StartAt::kAtTimestamp, {}, start.wall_ms);
}

Result<ChangePage> ReadShardOrGap(Store& store, const Position& position,
                                  const PageLimits& limits) {
  auto page = store.ReadShard(position, limits);
  if (page.status().code() != StatusCode::kNotFound) return page;
  TAILRACE_ASSIGN_OR_RETURN(const StoreStats stats, store.Stats());
  return ChangePage{.gap = Gap{.kind = Gap::Kind::kTrimmed,
                               .first = position.next,
                               .last = SequenceNumber{stats.fanned_out.value}},
                    .records = {},
                    .next = position,
                    .caught_up = true,
                    .end_of_shard = true};
}

}  // namespace tailrace::engine
