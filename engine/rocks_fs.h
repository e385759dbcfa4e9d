// RocksDB on our file system: every file that RocksDB touches goes through wal/fs.h, so that a
// store runs whole on a simulated disk and its power can be cut.
//
// Beyond passing calls on it keeps the MANIFEST openable after a power cut
// (engine/manifest_guard.h), and it is quiet: RocksDB's information log is written only from
// warnings on, and the file is made with the first of them.
//
// An error of the file system is never marked as worth repeating, so RocksDB does not resume by
// itself after a full disk: the store decides, and reopens the index.
#pragma once

#include <rocksdb/env.h>
#include <rocksdb/io_status.h>
#include <rocksdb/status.h>

#include <functional>
#include <memory>
#include <string>

#include "wal/fs.h"
#include "wal/status.h"

namespace tailrace::engine {

// RocksDB's outcome as ours, the message kept.
Status FromRocks(const rocksdb::Status& status);

// Ours as RocksDB expects it from a file system: kNotFound as a path that is not found, kNoSpace as
// such.
rocksdb::IOStatus ToRocks(const Status& status);

// Told of every write or sync of a MANIFEST that failed. May be called from any of RocksDB's
// threads; must not call RocksDB.
using ManifestFailure = std::function<void(const Status&)>;

// RocksDB keeps a record of its options beside its files. Nobody here reads it, and to write it is
// most of what opening a small store costs.
enum class OptionsFile {
  kWritten,
  kRefused,  // For simulation. RocksDB complains about it in its information log and goes on.
};

// An Env for the RocksDB in `directory`, whose files are those of `fs` and whose threads and clock
// are the machine's. Before it returns, the MANIFEST is cut to what was durable. `fs` outlives the
// Env, and the Env every DB opened with it; no other process may have the directory open (the
// store's lock sees to that). One Env serves one opening: after the DB was closed, make another.
// `on_manifest_failure` may be empty. Errors: ManifestGuard's.
Result<std::unique_ptr<rocksdb::Env>> NewRocksEnv(wal::FileSystem& fs, const std::string& directory,
                                                  ManifestFailure on_manifest_failure = nullptr,
                                                  OptionsFile options_file = OptionsFile::kWritten);

}  // namespace tailrace::engine
