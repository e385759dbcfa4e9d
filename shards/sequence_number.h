// Sequence numbers and shard names as text: what the wire, the tools and people see.
//
// Pure functions; any input is safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "shards/types.h"
#include "wal/status.h"
#include "wal/types.h"

namespace tailrace::shards {

// All numbers are written with so many digits: 10^20 is added, so none is shorter and none has
// leading zeros, and text order is number order.
inline constexpr uint32_t kSequenceNumberDigits = 21;

// The longest text that is read as a number (the limit of the DynamoDB service model).
inline constexpr uint32_t kSequenceNumberDigitsMax = 40;

// "100000000000000004096" from 4096.
std::string FormatSequenceNumber(SequenceNumber number);

// Reads 1 to kSequenceNumberDigitsMax decimal digits as a number, leading zeros included.
// kInvalidArgument: anything else, or a value no sequence number of any store can have.
Result<SequenceNumber> ParseSequenceNumber(std::string_view text);

// "shardId-<created, 20 digits>-<id, at least 8 hexadecimal digits>".
std::string FormatShardName(uint64_t created_ms, ShardId id);

struct ShardName {
  uint64_t created_ms = 0;
  ShardId id;

  friend bool operator==(const ShardName&, const ShardName&) = default;
};

// kInvalidArgument when `text` is not exactly what FormatShardName writes.
Result<ShardName> ParseShardName(std::string_view text);

}  // namespace tailrace::shards
