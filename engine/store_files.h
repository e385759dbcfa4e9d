// What lies in a store's directory.
//
//   LOCK      held by the process that has the store open
//   STORE     identity: format version, store id, durability (checksummed)
//   items/    the item index (RocksDB)
//   journal/  segments of the journal
//   streams/  shard logs
//
// No name that a user chose is part of a path: tables, streams and shards are numbers there.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "wal/fs.h"
#include "wal/journal.h"
#include "wal/status.h"
#include "wal/types.h"

namespace tailrace::engine {

struct StorePaths {
  explicit StorePaths(const std::string& directory);

  std::string directory;
  std::string lock;
  std::string identity;
  std::string items;
  std::string journal;
  std::string streams;
};

// Written by this build; all from the first on are read. 2: small tables share a column family.
inline constexpr uint32_t kStoreFormatVersion = 2;
inline constexpr uint32_t kStoreFormatVersionFirst = 1;

struct StoreIdentity {
  uint32_t format_version = kStoreFormatVersion;  // As read.
  StoreId store_id;
  wal::Durability durability = wal::Durability::kSync;
  uint64_t created_ms = 0;
  // The journal and the index were both made: from now on a missing one is a loss, not a beginning.
  bool complete = false;
};

// Errors: kNotFound (no STORE file), kCorruption (damaged), kUnsupported (a newer format).
Result<StoreIdentity> ReadIdentity(wal::FileSystem& fs, const StorePaths& paths);

// With this build's format version. On OK: durable.
Status WriteIdentity(wal::FileSystem& fs, const StorePaths& paths, const StoreIdentity& identity);

// Makes the directory if need be (its parent must exist) and takes the lock, before anything in it
// is looked at. kBusy when somebody has the store open; kNotFound when there is no store and
// `create` is false; kInvalidArgument when the directory holds files that are no store's;
// kFailedPrecondition when others may change what is in it.
Result<std::unique_ptr<wal::FileLock>> ClaimDirectory(wal::FileSystem& fs, const StorePaths& paths,
                                                      bool create);

// The directory that holds `path`.
std::string ParentOf(const std::string& path);

// A new random id.
StoreId DrawStoreId();

}  // namespace tailrace::engine
