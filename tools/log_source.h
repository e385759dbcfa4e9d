// Shard logs as files: which ones a command is about, and what their records say.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/store.h"
#include "shards/offline.h"
#include "shards/stream_catalogue.h"
#include "tools/record_text.h"
#include "tools/stream_choice.h"
#include "wal/fs.h"

namespace tailrace::tools {

// One shard's log, or one of its segment files.
struct LogSource {
  std::string path;
  bool is_segment = false;  // Else the shard's directory.

  // From the shard's header file; without it a record's key stays bytes.
  StoreId store;
  shards::Stream stream;
  std::optional<KeySchema> keys;
  ShardId shard;
  RecordOrigin origin;
  Status problem;  // Why there is no header, or OK.
};

// All shard logs of the store in `directory`. kNotFound: no store there.
Result<std::vector<LogSource>> SourcesOfStore(wal::FileSystem& fs, const std::string& directory);

// The sources below a path: a store's directory, its streams/, a stream's, a shard's, or a segment
// file. kNotFound; kInvalidArgument when it is none of these.
Result<std::vector<LogSource>> SourcesAt(wal::FileSystem& fs, const std::string& path);

// The record with its key and images read. Without a key schema the key is {"storage_key": bytes}.
// kCorruption: an image or the key cannot be read.
Result<ChangeRecord> ReadRecord(const LogSource& source, const shards::Record& record);

// Reads the source as VerifyShard or VerifySegments does; a shard without the segments wholly
// before `from`.
Result<shards::OfflineReport> ReadSource(wal::FileSystem& fs, const LogSource& source,
                                         const shards::OfflineVisitor& visitor,
                                         const shards::OfflineFrom& from);

// "FILE: offset 4096: damaged record: ... (between 1000… and 1000…, 3 records missing)"
std::string DamageText(const shards::Damage& damage);
std::string DamageJson(const shards::Damage& damage);

}  // namespace tailrace::tools
