// The identities and small facts of streams and shards.
#pragma once

#include <compare>
#include <cstdint>
#include <string_view>

#include "wal/format.h"
#include "wal/types.h"

namespace tailrace {

// One incarnation of a table: a table dropped and made again under the same name has another.
struct TableId {
  uint64_t value = 0;
  friend auto operator<=>(const TableId&, const TableId&) = default;
};

// One enabling of a stream on a table. 0 means "no stream".
struct StreamId {
  uint64_t value = 0;
  friend auto operator<=>(const StreamId&, const StreamId&) = default;
};

// A shard, unique in the store. Ids rise with creation.
struct ShardId {
  uint64_t value = 0;
  friend auto operator<=>(const ShardId&, const ShardId&) = default;
};

// Shards that a stream can begin with.
inline constexpr uint32_t kShardsPerStreamMax = 65536;

// What a stream shows of each change (StreamViewType of the DynamoDB service model).
enum class ViewType : uint32_t {
  kKeysOnly = 1,
  kNewImage = 2,
  kOldImage = 3,
  kNewAndOldImages = 4,
};

// "KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE" or "NEW_AND_OLD_IMAGES".
std::string_view ViewTypeName(ViewType view);

enum class ChangeKind : uint32_t { kInsert = 1, kModify = 2, kRemove = 3 };

// "INSERT", "MODIFY" or "REMOVE".
std::string_view ChangeKindName(ChangeKind kind);

// Who made a change: a caller, or the store itself when it deletes an expired item.
enum class Actor : uint32_t { kUser = 0, kTimeToLive = 1 };

}  // namespace tailrace

namespace tailrace::shards {

// A contiguous part of the 64-bit partition-key hashes, both ends included.
struct HashRange {
  uint64_t first = 0;
  uint64_t last = UINT64_MAX;

  bool Contains(uint64_t hash) const { return first <= hash && hash <= last; }
  friend bool operator==(const HashRange&, const HashRange&) = default;
};

// Journal frame types above wal/. Values are on disk: never change one, never use one again.
inline constexpr wal::FrameType kCommitFrame{16};     // frames::Commit
inline constexpr wal::FrameType kCatalogueFrame{17};  // frames::Catalogue
inline constexpr wal::FrameType kTrimFrame{18};       // frames::Trim
inline constexpr wal::FrameType kClockFrame{19};      // frames::Clock

// The one frame type of the shard logs.
inline constexpr wal::FrameType kRecordFrame{32};  // docs/shard-log-format.md

}  // namespace tailrace::shards
