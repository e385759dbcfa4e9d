// Backups: a whole, checksummed copy of a store, taken while it is in use (Store::Backup), and a
// new store made of it.
//
//   store->Backup("/backup/games-2026-05-09").value();
//   RestoreBackup(wal::FileSystem::Posix(), "/backup/games-2026-05-09", "/var/lib/games2").value();
//
// A backup is the store at one cut: items, tables, streams with their records, consumers'
// positions. Format: docs/backup-format.md. Why so: docs/adr/0019-backup.md.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "wal/clock.h"
#include "wal/fs.h"
#include "wal/status.h"
#include "wal/types.h"

namespace tailrace {

// How far a backup or a restore has come. The total is a guess that may be exceeded.
struct BackupProgress {
  uint64_t items = 0;
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
};

// Called from the thread of the call, every MiB or so. False ends it: kClosed.
using OnBackupProgress = std::function<bool(const BackupProgress&)>;

struct BackupOptions {
  OnBackupProgress on_progress = nullptr;
};

// What is in a backup.
struct BackupReport {
  StoreId store_id;       // Of the store it was taken of.
  Lsn cut;                // It has everything that store's journal had below.
  uint64_t taken_ms = 0;  // In ms since 1970, by that store's clock.
  uint64_t tables = 0;    // The store's own included.
  uint64_t items = 0;     // Of all tables, and entries of indexes.
  uint64_t shards = 0;    // With records.
  uint64_t files = 0;
  uint64_t bytes = 0;
};

// Reads the manifest of the backup in `directory` and compares every file with it: nothing that a
// restore needs is left unread. Errors: kNotFound (no backup there), kFailedPrecondition (one that
// was not finished), kCorruption (file and offset), kUnsupported (a newer version), kClosed
// (stopped), kIoError.
Result<BackupReport> VerifyBackup(wal::FileSystem& fs, const std::string& directory,
                                  const OnBackupProgress& on_progress = nullptr) noexcept;

struct RestoreOptions {
  const Clock* clock = &Clock::System();
  OnBackupProgress on_progress = nullptr;
};

struct RestoreReport {
  BackupReport backup;
  StoreId store_id;  // The new store's.
};

// Makes a store in `directory`, which must be missing or empty, of the backup. It has an id of its
// own: a position of the old store is refused there (kInvalidArgument), and so are the checkpoints
// of durable readers and consumers that came along with the items; each has to be forgotten or
// begun anew. Everything is verified before anything is written. What an interrupted restore left,
// the next one takes away. Errors: those of VerifyBackup; kAlreadyExists (something is there),
// kBusy (another restore), kNoSpace.
Result<RestoreReport> RestoreBackup(wal::FileSystem& fs, const std::string& backup,
                                    const std::string& directory,
                                    const RestoreOptions& options) noexcept;

}  // namespace tailrace
