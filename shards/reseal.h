// Shard logs made those of another store: a restored store has an id of its own, and every frame of
// a shard log is sealed with it. Pure functions; any input is safe.
#pragma once

#include <string>

#include "shards/types.h"
#include "wal/status.h"
#include "wal/types.h"

namespace tailrace::shards {

// The bytes of a segment of shard `shard`, all records of it whole, as they are in the store `to`.
// The records keep their offsets, numbers and chain hashes. kCorruption: the bytes are not such a
// segment of the store `from`, or a frame in it is not valid; kUnsupported: of a newer version.
Result<std::string> ResealSegment(std::string bytes, ShardId shard, StoreId from, StoreId to);

}  // namespace tailrace::shards
