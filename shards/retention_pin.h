// Records that are kept beyond their retention because a reader has still to read them, within a
// budget of disk. Pure functions.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "shards/types.h"

namespace tailrace::shards {

// A reader for whose sake expired records are kept.
struct Pin {
  StreamId stream;
  std::map<ShardId, SequenceNumber> kept_from;  // What it has still to read; other shards: nothing.
  uint64_t bytes_max = 0;  // Expired records go, oldest first, while the stream's files hold more.
};

// A segment that retention could give up.
struct SegmentSpan {
  uint64_t bytes = 0;
  uint64_t first_age_ms = 0;                // Of its first record.
  std::optional<SequenceNumber> next_base;  // Its records lie below; absent: it still grows.
};

// What a shard holds, and up to where it has expired.
struct ExpiredShard {
  ShardId shard;
  std::optional<SequenceNumber> expired_below;
  std::vector<SegmentSpan> spans;  // Oldest first; those that hold records.
};

// Where each of a stream's shards that have expired records is trimmed, if all `pins`, which are of
// this stream, are heeded. A pin keeps records only in whole segments' worth: its budget is met
// when the segments left take no more, or no expired one is left.
std::map<ShardId, SequenceNumber> TrimsUnderPins(const std::vector<ExpiredShard>& shards,
                                                 const std::vector<Pin>& pins);

}  // namespace tailrace::shards
