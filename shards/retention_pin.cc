#include "shards/retention_pin.h"

#include <algorithm>

#include "wal/mutants.h"

namespace tailrace::shards {
namespace {

using Trims = std::map<ShardId, SequenceNumber>;

struct Candidate {
  ShardId shard;
  SegmentSpan span;
};

bool IsBelow(const SegmentSpan& span, SequenceNumber trim) {
  return span.next_base && *span.next_base <= trim;
}

Trims TrimsUnderPin(const std::vector<ExpiredShard>& shards, const Pin& pin) {
  Trims trims;
  uint64_t bytes = 0;
  std::vector<Candidate> expired;
  for (const ExpiredShard& shard : shards) {
    if (!shard.expired_below) {
      for (const SegmentSpan& span : shard.spans) bytes += span.bytes;
      continue;
    }
    SequenceNumber& trim = trims[shard.shard];
    trim = *shard.expired_below;
    const auto kept_from = pin.kept_from.find(shard.shard);
    if (kept_from != pin.kept_from.end()) trim = std::min(trim, kept_from->second);
    for (const SegmentSpan& span : shard.spans) {
      if (IsBelow(span, trim)) continue;
      bytes += span.bytes;
      if (IsBelow(span, *shard.expired_below)) expired.push_back({shard.shard, span});
    }
  }
  // Stable: a shard's segments stay in their order.
  std::stable_sort(expired.begin(), expired.end(), [](const Candidate& a, const Candidate& b) {
    return a.span.first_age_ms < b.span.first_age_ms;
  });
  for (const Candidate& oldest : expired) {
    if (bytes <= pin.bytes_max || TAILRACE_MUTANT("pin-without-budget")) break;
    SequenceNumber& trim = trims[oldest.shard];
    trim = std::max(trim, *oldest.span.next_base);
    bytes -= oldest.span.bytes;
  }
  return trims;
}

}  // namespace

std::map<ShardId, SequenceNumber> TrimsUnderPins(const std::vector<ExpiredShard>& shards,
                                                 const std::vector<Pin>& pins) {
  Trims trims;
  for (const ExpiredShard& shard : shards) {
    if (shard.expired_below) trims[shard.shard] = *shard.expired_below;
  }
  for (const Pin& pin : pins) {
    for (const auto& [shard, trim] : TrimsUnderPin(shards, pin)) {
      trims[shard] = std::min(trims[shard], trim);
    }
  }
  return trims;
}

}  // namespace tailrace::shards
