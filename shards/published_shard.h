// What the owner of a store tells followers about one shard.
#pragma once

#include <cstdint>
#include <optional>

#include "shards/record_codec.h"
#include "shards/types.h"

namespace tailrace::shards {

struct PublishedShard {
  StreamId stream;
  ShardId shard;
  SequenceNumber trimmed_below;
  std::optional<SequenceNumber> ending;
  LogPoint last;
  SequenceNumber segment_base;  // Of the last record; 0: it was trimmed, or there is none.
  uint64_t segment_end = 0;     // Published bytes of that segment.

  friend bool operator==(const PublishedShard&, const PublishedShard&) = default;
};

}  // namespace tailrace::shards
