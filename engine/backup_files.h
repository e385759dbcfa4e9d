// The files of a backup: writing and reading them with their checksums. Format:
// docs/backup-format.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "engine/backup.h"
#include "engine/backup.pb.h"
#include "shards/types.h"
#include "wal/fs.h"
#include "wal/hash.h"
#include "wal/status.h"

namespace tailrace::engine {

inline constexpr char kBackupManifestName[] = "backup.manifest";
inline constexpr char kBackupUnfinishedName[] =
    "UNFINISHED";                                       // There until the manifest is durable.
inline constexpr uint64_t kBackupPieceBytes = 1 << 20;  // Read and written at a time.
inline constexpr uint64_t kBackupManifestBytesMax = 1ull << 30;

// The manifest file's bytes, and back: kCorruption, kUnsupported.
std::string EncodeBackupManifest(const BackupManifest& manifest);
Result<BackupManifest> DecodeBackupManifest(ByteView bytes);

// Names of files in a backup, below its directory.
std::string BackupItemsName(TableId table);
std::string BackupLogFileName(StreamId stream, ShardId shard, ByteView file);

// Reads the manifest of the backup in `directory`. Errors as VerifyBackup.
Result<BackupManifest> ReadBackupManifest(wal::FileSystem& fs, const std::string& directory);

BackupReport ReportOf(const BackupManifest& manifest);

// Tells how far it has come.
class BackupMeter {
 public:
  explicit BackupMeter(OnBackupProgress on_progress, uint64_t bytes_total)
      : on_progress_(std::move(on_progress)) {
    progress_.bytes_total = bytes_total;
  }

  // kClosed once the caller wants no more.
  Status Add(uint64_t bytes, uint64_t items = 0);

 private:
  const OnBackupProgress on_progress_;
  BackupProgress progress_;
  uint64_t told_bytes_ = 0;
};

// Writes a new file from its beginning, and hashes it. One thread.
class BackupFileWriter {
 public:
  static Result<std::unique_ptr<BackupFileWriter>> Create(wal::FileSystem& fs,
                                                          const std::string& path,
                                                          BackupMeter& meter);

  Status Append(ByteView bytes);
  // One more item of a file of items.
  Status AppendItem(ByteView key, Lsn lsn, ByteView image);

  // On OK the file is durable, its name not yet, and `entry` has its size, hash and items.
  Status Finish(BackupFile& entry);

 private:
  BackupFileWriter(std::unique_ptr<wal::File> file, BackupMeter& meter)
      : file_(std::move(file)), meter_(meter) {}
  Status Flush();

  const std::unique_ptr<wal::File> file_;
  BackupMeter& meter_;
  Hasher64 hasher_;
  std::string buffer_;
  uint64_t written_bytes_ = 0;
  uint64_t items_ = 0;
  uint64_t items_told_ = 0;
};

// Reads a file of a backup from its beginning, compares it with its entry of the manifest. One
// thread.
class BackupFileReader {
 public:
  // kCorruption: another size.
  static Result<std::unique_ptr<BackupFileReader>> Open(wal::FileSystem& fs,
                                                        const std::string& directory,
                                                        const BackupFile& entry,
                                                        BackupMeter& meter);

  // Passes over the rest; kCorruption unless the whole file is what the entry says.
  Status Finish();

  // The rest of it, checked.
  Result<std::string> ReadAll();

  struct StoredItem {
    ByteView key;  // Both until the next call.
    Lsn lsn;
    ByteView image;
  };
  // The next item of a file of items; absent at its end, which has then been checked.
  Result<std::optional<StoredItem>> NextItem();

 private:
  BackupFileReader(std::unique_ptr<wal::File> file, std::string path, const BackupFile& entry,
                   BackupMeter& meter)
      : file_(std::move(file)), path_(std::move(path)), entry_(entry), meter_(meter) {}
  Status Fill(uint64_t bytes);  // Until the buffer has so many, or the file ends.
  ByteView rest() const { return ByteView(buffer_).substr(consumed_); }

  const std::unique_ptr<wal::File> file_;
  const std::string path_;
  const BackupFile entry_;
  BackupMeter& meter_;
  Hasher64 hasher_;
  std::string buffer_;
  uint64_t consumed_ = 0;
  uint64_t read_bytes_ = 0;
  uint64_t items_ = 0;
};

}  // namespace tailrace::engine
