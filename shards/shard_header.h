// The header file of a shard's directory, and the names of directories and files of shard logs.
//
// The header says what it takes to read the records without the store: stream, table, key schema,
// view, hash range, parent. It is written once, when the directory is made. Format:
// docs/shard-log-format.md.
#pragma once

#include <optional>
#include <string>

#include "shards/frames.pb.h"
#include "shards/stream_catalogue.h"
#include "shards/types.h"
#include "wal/fs.h"
#include "wal/status.h"

namespace tailrace::shards {

inline constexpr ByteView kShardHeaderFileName = "shard.header";
inline constexpr uint64_t kShardHeaderBytesMax = 1 << 20;

// "stream-000000000007" and "shard-000000000042", and back. Empty when `name` is not such a name.
std::string StreamDirectoryName(StreamId stream);
std::string ShardDirectoryName(ShardId shard);
std::optional<StreamId> ParseStreamDirectoryName(ByteView name);
std::optional<ShardId> ParseShardDirectoryName(ByteView name);

// `directory` joined with both names.
std::string ShardPath(const std::string& directory, StreamId stream, ShardId shard);

frames::ShardLogHeader MakeShardHeader(StoreId store_id, const Stream& stream, const Shard& shard);

// The file's bytes: magic, version, length, the message, XXH3 of all before.
std::string EncodeShardHeader(const frames::ShardLogHeader& header);

// kCorruption, or kUnsupported for a newer version.
Result<frames::ShardLogHeader> DecodeShardHeader(ByteView bytes);

// Reads the header of a shard directory. Errors name the file.
Result<frames::ShardLogHeader> ReadShardHeader(wal::FileSystem& fs, const std::string& shard_path);

}  // namespace tailrace::shards
