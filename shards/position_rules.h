// What a position means: the same to readers within the store's process and to followers.
//
// Pure functions but for Seek, which may read a little of the log.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "shards/shard_log.h"
#include "shards/shard_reader.h"
#include "wal/journal.h"
#include "wal/status.h"

namespace tailrace::shards {

// What positions are taken against.
struct PositionScope {
  StoreId store;
  Epoch epoch;
  // Jumps of the journal that may have taken back what readers had seen, oldest first. Borrowed.
  const std::vector<wal::EpochStart>& jumps;
};

// "shard 3 of stream 7".
std::string NameOfShard(StreamId stream, ShardId shard);

// kInvalidArgument: the position is of another store, or of an epoch still to come.
Status CheckPosition(const PositionScope& scope, const Position& position);

// kInvalidArgument: it lies before the beginning of its shard.
Status CheckBeginning(const ShardLog& log, const Position& position);

// What the position's reader had seen and a crash took back: everything below `next` that is at or
// above the end of the first jump after the position's epoch.
std::optional<Gap> LossOf(const PositionScope& scope, const Position& position);

// Reads the shard's log from the position on: a page of records, or one that tells of a loss. After
// an error the page is empty. Errors of ShardLog::Read.
Status ReadPage(const PositionScope& scope, const ShardLog& log, const Position& position,
                const PageLimits& limits, RecordPage& page);

// A position in a shard; see ShardSet::Seek. All below `published` is in the logs.
Result<Position> Seek(const PositionScope& scope, const ShardLog& log, Lsn published, StartAt start,
                      SequenceNumber number, uint64_t wall_ms);

Position PositionIn(const PositionScope& scope, const ShardLog& log, SequenceNumber next);

}  // namespace tailrace::shards
