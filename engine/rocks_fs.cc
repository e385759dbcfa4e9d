#include "engine/rocks_fs.h"

#include <rocksdb/file_system.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <optional>
#include <utility>
#include <vector>

#include "engine/limits.h"
#include "engine/manifest_guard.h"
#include "engine/rocks_table_check.h"
#include "wal/clock.h"
#include "wal/mutants.h"
#include "wal/mutex.h"

namespace tailrace::engine {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;
using wal::OpenMode;

// A file that the disk would not let it look at, RocksDB calls corrupt, or its options wrong:
// direct I/O above all, which nobody asked for.
static bool BlamesTheWrongThing(const rocksdb::Status& status, const std::string& message) {
  if (!status.IsCorruption() && !status.IsInvalidArgument()) return false;
  return message.find("IO error: ") != std::string::npos ||
         message.find("Direct I/O is not supported") != std::string::npos;
}

Status FromRocks(const rocksdb::Status& status) {
  if (status.ok()) return Status::Ok();
  std::string message = status.ToString();
  if (BlamesTheWrongThing(status, message)) return IoError(std::move(message));
  switch (status.code()) {
    case rocksdb::Status::kNotFound:
      return NotFound(std::move(message));
    case rocksdb::Status::kCorruption:
      return Corruption(std::move(message));
    case rocksdb::Status::kNotSupported:
      return Unsupported(std::move(message));
    case rocksdb::Status::kInvalidArgument:
      return InvalidArgument(std::move(message));
    case rocksdb::Status::kBusy:
    case rocksdb::Status::kTimedOut:
    case rocksdb::Status::kTryAgain:
      return Busy(std::move(message));
    case rocksdb::Status::kShutdownInProgress:
      return Closed(std::move(message));
    case rocksdb::Status::kColumnFamilyDropped:
      return FailedPrecondition(std::move(message));
    default:
      break;
  }
  if (status.IsNoSpace()) return NoSpace(std::move(message));
  if (status.IsPathNotFound()) return NotFound(std::move(message));
  return IoError(std::move(message));
}

IOStatus ToRocks(const Status& status) {
  switch (status.code()) {
    case StatusCode::kOk:
      return IOStatus::OK();
    case StatusCode::kNotFound:
      return IOStatus::PathNotFound(status.message());
    case StatusCode::kNoSpace:
      return IOStatus::NoSpace(status.message());
    case StatusCode::kBusy:
      return IOStatus::Busy(status.message());
    case StatusCode::kCorruption:
      return IOStatus::Corruption(status.message());
    case StatusCode::kInvalidArgument:
      return IOStatus::InvalidArgument(status.message());
    case StatusCode::kUnsupported:
      return IOStatus::NotSupported(status.message());
    default:
      return IOStatus::IOError(status.message());
  }
}

namespace {

#define TAILRACE_ROCKS_ASSIGN(declaration, expression) \
  TAILRACE_ROCKS_ASSIGN_INNER(TAILRACE_CONCAT(tailrace_rocks_, __LINE__), declaration, expression)
#define TAILRACE_ROCKS_ASSIGN_INNER(result, declaration, expression) \
  auto result = (expression);                                        \
  if (!result.ok()) return ToRocks(result.status());                 \
  declaration = std::move(result).value()

// The last part of a path.
ByteView NameOf(ByteView path) {
  const size_t slash = path.rfind('/');
  return slash == ByteView::npos ? path : path.substr(slash + 1);
}

ByteView ViewOf(const Slice& slice) { return {slice.data(), slice.size()}; }

// ---- Files. ----

IOStatus ReadAt(const wal::File& file, uint64_t offset, size_t bytes, Slice* result,
                char* scratch) {
  const auto got = file.Read(offset, scratch, bytes);
  if (!got.ok()) {
    *result = Slice();
    return ToRocks(got.status());
  }
  *result = Slice(scratch, *got);
  return IOStatus::OK();
}

class RocksSequentialFile final : public rocksdb::FSSequentialFile {
 public:
  explicit RocksSequentialFile(std::unique_ptr<wal::File> file) : file_(std::move(file)) {}

  IOStatus Read(size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) override {
    IOStatus status = ReadAt(*file_, offset_, n, result, scratch);
    offset_ += result->size();
    return status;
  }

  IOStatus Skip(uint64_t n) override {
    offset_ += n;  // A read beyond the end returns nothing, as it should.
    return IOStatus::OK();
  }

 private:
  const std::unique_ptr<wal::File> file_;
  uint64_t offset_ = 0;
};

class RocksRandomAccessFile final : public rocksdb::FSRandomAccessFile {
 public:
  explicit RocksRandomAccessFile(std::unique_ptr<wal::File> file) : file_(std::move(file)) {}

  IOStatus Read(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) const override {
    return ReadAt(*file_, offset, n, result, scratch);
  }

  // The page cache is the operating system's to manage.
  IOStatus InvalidateCache(size_t, size_t) override { return IOStatus::OK(); }

 private:
  const std::unique_ptr<wal::File> file_;
};

// More than the largest block, which ends behind the item that fills it.
constexpr uint64_t kIngestHeadBytes = 4 << 20;
static_assert(kIngestHeadBytes >= 2 * kEncodedItemBytesMax);
// More than index and filter, of which an item takes some bytes and a block some dozens.
constexpr uint64_t kIngestTailBytesMin = 4 << 20;
constexpr uint64_t kIngestTailPart = 8;  // So much of the file, if that is more.

// A file that is to be ingested: both its ends are read when it is opened, where an error can be
// told. RocksDB's look at its bounds takes a file whose first block cannot be read for empty, and
// ingests it so: its items would never be found. When it cannot read the last block, which lies
// before the index and the filter, it ends the process.
class RocksFileToIngest final : public rocksdb::FSRandomAccessFile {
 public:
  static Result<std::unique_ptr<RocksFileToIngest>> Open(std::unique_ptr<wal::File> file) {
    TAILRACE_ASSIGN_OR_RETURN(const uint64_t size_bytes, file->SizeBytes());
    const uint64_t head_bytes = std::min(size_bytes, kIngestHeadBytes);
    const uint64_t tail_bytes = std::min(
        size_bytes - head_bytes, std::max(kIngestTailBytesMin, size_bytes / kIngestTailPart));
    TAILRACE_ASSIGN_OR_RETURN(std::string head, wal::ReadPiece(*file, 0, head_bytes));
    const uint64_t tail_begin = size_bytes - tail_bytes;
    TAILRACE_ASSIGN_OR_RETURN(std::string tail, wal::ReadPiece(*file, tail_begin, tail_bytes));
    return std::unique_ptr<RocksFileToIngest>(
        new RocksFileToIngest(std::move(file), std::move(head), std::move(tail), tail_begin));
  }

  IOStatus Read(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) const override {
    // Copied: RocksDB expects to find it there.
    if (offset >= tail_begin_) {
      const size_t begin = std::min<uint64_t>(offset - tail_begin_, tail_.size());
      *result = Slice(scratch, tail_.copy(scratch, n, begin));
      return IOStatus::OK();
    }
    if (offset + n <= head_.size()) {
      *result = Slice(scratch, head_.copy(scratch, n, offset));
      return IOStatus::OK();
    }
    return ReadAt(*file_, offset, n, result, scratch);
  }

  IOStatus InvalidateCache(size_t, size_t) override { return IOStatus::OK(); }

 private:
  RocksFileToIngest(std::unique_ptr<wal::File> file, std::string head, std::string tail,
                    uint64_t tail_begin)
      : file_(std::move(file)),
        head_(std::move(head)),
        tail_(std::move(tail)),
        tail_begin_(tail_begin) {}

  const std::unique_ptr<wal::File> file_;
  const std::string head_;
  const std::string tail_;
  const uint64_t tail_begin_;
};

// Writes through at once: RocksDB has a buffer in front of it.
class RocksWritableFile final : public rocksdb::FSWritableFile {
 public:
  // The number is set for a MANIFEST.
  RocksWritableFile(std::unique_ptr<wal::File> file, uint64_t size_bytes,
                    const rocksdb::FileOptions& options, ManifestGuard& guard,
                    std::optional<uint64_t> manifest, const ManifestFailure& on_failure)
      : FSWritableFile(options),
        file_(std::move(file)),
        size_bytes_(size_bytes),
        guard_(guard),
        manifest_(manifest),
        on_failure_(on_failure) {}

  IOStatus Append(const Slice& data, const IOOptions&, IODebugContext*) override {
    Status status = file_->Write(size_bytes_, ViewOf(data));
    if (status.ok()) size_bytes_ += data.size();
    return Outcome(status);
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo&,
                  IODebugContext* debug) override {
    return Append(data, options, debug);
  }

  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }

  IOStatus Sync(const IOOptions&, IODebugContext*) override {
    const uint64_t synced_bytes = size_bytes_;
    Status status = file_->Sync();
    const bool guarded = manifest_ && !TAILRACE_MUTANT("manifest-not-guarded");
    if (status.ok() && guarded) status = guard_.NoteSynced(*manifest_, synced_bytes);
    return Outcome(status);
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return Sync(options, debug);
  }
  bool IsSyncThreadSafe() const override { return false; }

  IOStatus Truncate(uint64_t size_bytes, const IOOptions&, IODebugContext*) override {
    if (size_bytes == size_bytes_) return IOStatus::OK();
    Status status = file_->Truncate(size_bytes);
    if (status.ok()) size_bytes_ = size_bytes;
    return ToRocks(status);
  }

  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  uint64_t GetFileSize(const IOOptions&, IODebugContext*) override { return size_bytes_; }
  IOStatus InvalidateCache(size_t, size_t) override { return IOStatus::OK(); }

  // Appending is all that happens to these files; nothing is gained by reserving space first.
  void PrepareWrite(size_t, size_t, const IOOptions&, IODebugContext*) override {}

 private:
  IOStatus Outcome(const Status& status) const {
    if (!status.ok() && manifest_ && on_failure_) on_failure_(status);
    return ToRocks(status);
  }

  const std::unique_ptr<wal::File> file_;
  uint64_t size_bytes_;
  ManifestGuard& guard_;
  const std::optional<uint64_t> manifest_;
  const ManifestFailure& on_failure_;
};

class RocksRandomRWFile final : public rocksdb::FSRandomRWFile {
 public:
  explicit RocksRandomRWFile(std::unique_ptr<wal::File> file) : file_(std::move(file)) {}

  IOStatus Write(uint64_t offset, const Slice& data, const IOOptions&, IODebugContext*) override {
    return ToRocks(file_->Write(offset, ViewOf(data)));
  }
  IOStatus Read(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) const override {
    return ReadAt(*file_, offset, n, result, scratch);
  }
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Sync(const IOOptions&, IODebugContext*) override { return ToRocks(file_->Sync()); }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }

 private:
  const std::unique_ptr<wal::File> file_;
};

class RocksDirectory final : public rocksdb::FSDirectory {
 public:
  RocksDirectory(wal::FileSystem& fs, std::string path) : fs_(fs), path_(std::move(path)) {}

  IOStatus Fsync(const IOOptions&, IODebugContext*) override {
    return ToRocks(fs_.SyncDirectory(path_));
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }

 private:
  wal::FileSystem& fs_;
  const std::string path_;
};

class RocksFileLock final : public rocksdb::FileLock {
 public:
  explicit RocksFileLock(std::unique_ptr<wal::FileLock> lock) : lock_(std::move(lock)) {}

 private:
  const std::unique_ptr<wal::FileLock> lock_;
};

// ---- The information log. ----

// Warnings and errors only. A line that cannot be written is dropped: it is told to nobody who
// could act.
class RocksLogger final : public rocksdb::Logger {
 public:
  RocksLogger(wal::FileSystem& fs, std::string path)
      : Logger(rocksdb::WARN_LEVEL), fs_(fs), path_(std::move(path)) {}

  using Logger::Logv;
  void Logv(const char* format, va_list arguments) override {
    char text[kLineBytesMax];
    const int length = std::vsnprintf(text, sizeof text, format, arguments);
    if (length <= 0) return;
    std::string line = std::to_string(Clock::System().WallMs()) + " ";
    line.append(text, std::min(static_cast<size_t>(length), sizeof text - 1));
    if (line.back() != '\n') line.push_back('\n');
    const MutexLock lock(mutex_);
    if (file_ == nullptr) {
      auto file = fs_.Open(path_, OpenMode::kCreate);
      if (!file.ok()) return;
      auto size_bytes = (*file)->SizeBytes();
      if (!size_bytes.ok()) return;
      file_ = std::move(file).value();
      size_bytes_ = *size_bytes;
    }
    if (file_->Write(size_bytes_, line).ok()) size_bytes_ += line.size();
  }

  void LogHeader(const char*, va_list) override {}

  void SetInfoLogLevel(rocksdb::InfoLogLevel level) override {
    Logger::SetInfoLogLevel(std::max(level, rocksdb::WARN_LEVEL));
  }

  size_t GetLogFileSize() const override {
    const MutexLock lock(mutex_);
    return size_bytes_;
  }

 protected:
  rocksdb::Status CloseImpl() override { return rocksdb::Status::OK(); }

 private:
  static constexpr size_t kLineBytesMax = 2048;

  wal::FileSystem& fs_;
  const std::string path_;
  mutable Mutex mutex_;
  std::unique_ptr<wal::File> file_ TAILRACE_GUARDED_BY(mutex_);
  uint64_t size_bytes_ TAILRACE_GUARDED_BY(mutex_) = 0;
};

// ---- The file system. ----

// Derived from the interface and not from RocksDB's wrapper of the real one: what is not written
// here fails instead of reaching the disk past the seam.
class RocksFs final : public rocksdb::FileSystem {
 public:
  RocksFs(wal::FileSystem& fs, std::string directory, std::unique_ptr<ManifestGuard> guard,
          ManifestFailure on_manifest_failure, OptionsFile options_file)
      : fs_(fs),
        directory_(std::move(directory)),
        guard_(std::move(guard)),
        on_manifest_failure_(std::move(on_manifest_failure)),
        options_file_(options_file) {}

  const char* Name() const override { return "TailraceFileSystem"; }

  IOStatus NewSequentialFile(const std::string& path, const rocksdb::FileOptions&,
                             std::unique_ptr<rocksdb::FSSequentialFile>* result,
                             IODebugContext*) override {
    TAILRACE_ROCKS_ASSIGN(auto file, fs_.Open(path, OpenMode::kRead));
    *result = std::make_unique<RocksSequentialFile>(std::move(file));
    return IOStatus::OK();
  }

  IOStatus NewRandomAccessFile(const std::string& path, const rocksdb::FileOptions&,
                               std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                               IODebugContext*) override {
    if (IsToIngest(path)) {
      TAILRACE_ROCKS_ASSIGN(auto file, fs_.Open(path, OpenMode::kRead));
      TAILRACE_ROCKS_ASSIGN(*result, RocksFileToIngest::Open(std::move(file)));
      return IOStatus::OK();
    }
    TAILRACE_ROCKS_ASSIGN(auto file, fs_.Open(path, OpenMode::kRead));
    if (path.ends_with(".sst") && !TAILRACE_MUTANT("tables-not-checked")) {
      if (Status status = CheckTableProperties(*file, path); !status.ok()) return ToRocks(status);
    }
    *result = std::make_unique<RocksRandomAccessFile>(std::move(file));
    return IOStatus::OK();
  }

  IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* result,
                           IODebugContext*) override {
    if (options_file_ == OptionsFile::kRefused && NameOf(path).starts_with("OPTIONS-")) {
      return IOStatus::NotSupported(path + ": options are not kept");
    }
    TAILRACE_ROCKS_ASSIGN(auto file, fs_.Open(path, OpenMode::kCreate));
    TAILRACE_ROCKS_ASSIGN(const uint64_t size_bytes, file->SizeBytes());
    if (size_bytes > 0) {
      if (Status status = file->Truncate(0); !status.ok()) return ToRocks(status);
    }
    *result = Writable(path, std::move(file), 0, options);
    return IOStatus::OK();
  }

  IOStatus ReopenWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* result,
                              IODebugContext*) override {
    TAILRACE_ROCKS_ASSIGN(auto file, fs_.Open(path, OpenMode::kCreate));
    TAILRACE_ROCKS_ASSIGN(const uint64_t size_bytes, file->SizeBytes());
    *result = Writable(path, std::move(file), size_bytes, options);
    return IOStatus::OK();
  }

  // Written from its beginning; what the old file held stays behind what is written.
  IOStatus ReuseWritableFile(const std::string& path, const std::string& old_path,
                             const rocksdb::FileOptions& options,
                             std::unique_ptr<rocksdb::FSWritableFile>* result,
                             IODebugContext*) override {
    if (Status status = fs_.Rename(old_path, path); !status.ok()) return ToRocks(status);
    TAILRACE_ROCKS_ASSIGN(auto file, fs_.Open(path, OpenMode::kReadWrite));
    *result = Writable(path, std::move(file), 0, options);
    return IOStatus::OK();
  }

  IOStatus NewRandomRWFile(const std::string& path, const rocksdb::FileOptions&,
                           std::unique_ptr<rocksdb::FSRandomRWFile>* result,
                           IODebugContext*) override {
    TAILRACE_ROCKS_ASSIGN(auto file, fs_.Open(path, OpenMode::kReadWrite));
    *result = std::make_unique<RocksRandomRWFile>(std::move(file));
    return IOStatus::OK();
  }

  IOStatus NewDirectory(const std::string& path, const IOOptions&,
                        std::unique_ptr<rocksdb::FSDirectory>* result, IODebugContext*) override {
    TAILRACE_ROCKS_ASSIGN(const bool is_directory, fs_.IsDirectory(path));
    if (!is_directory) return IOStatus::PathNotFound(path + ": no such directory");
    *result = std::make_unique<RocksDirectory>(fs_, path);
    return IOStatus::OK();
  }

  IOStatus NewLogger(const std::string& path, const IOOptions&,
                     std::shared_ptr<rocksdb::Logger>* result, IODebugContext*) override {
    *result = std::make_shared<RocksLogger>(fs_, path);
    return IOStatus::OK();
  }

  IOStatus FileExists(const std::string& path, const IOOptions&, IODebugContext*) override {
    TAILRACE_ROCKS_ASSIGN(const bool exists, fs_.Exists(path));
    return exists ? IOStatus::OK() : IOStatus::NotFound();
  }

  IOStatus GetChildren(const std::string& path, const IOOptions&, std::vector<std::string>* result,
                       IODebugContext*) override {
    result->clear();
    auto entries = fs_.List(path);
    if (entries.status().code() == StatusCode::kNotFound) {
      return IOStatus::NotFound(entries.status().message());
    }
    if (!entries.ok()) return ToRocks(entries.status());
    for (wal::DirectoryEntry& entry : *entries) result->push_back(std::move(entry.name));
    return IOStatus::OK();
  }

  IOStatus DeleteFile(const std::string& path, const IOOptions&, IODebugContext*) override {
    const Status status = fs_.Remove(path);
    const auto manifest = ManifestGuard::ParseName(NameOf(path));
    if (status.ok() && manifest) guard_->Forget(*manifest);
    return ToRocks(status);
  }

  IOStatus Truncate(const std::string& path, size_t size_bytes, const IOOptions&,
                    IODebugContext*) override {
    TAILRACE_ROCKS_ASSIGN(auto file, fs_.Open(path, OpenMode::kReadWrite));
    return ToRocks(file->Truncate(size_bytes));
  }

  IOStatus CreateDir(const std::string& path, const IOOptions&, IODebugContext*) override {
    return ToRocks(fs_.CreateDirectory(path));
  }

  IOStatus CreateDirIfMissing(const std::string& path, const IOOptions&, IODebugContext*) override {
    const Status status = fs_.CreateDirectory(path);
    if (status.code() != StatusCode::kAlreadyExists) return ToRocks(status);
    TAILRACE_ROCKS_ASSIGN(const bool is_directory, fs_.IsDirectory(path));
    return is_directory ? IOStatus::OK() : IOStatus::IOError(path + ": not a directory");
  }

  IOStatus DeleteDir(const std::string& path, const IOOptions&, IODebugContext*) override {
    return ToRocks(fs_.RemoveDirectory(path));
  }

  IOStatus GetFileSize(const std::string& path, const IOOptions&, uint64_t* size_bytes,
                       IODebugContext*) override {
    *size_bytes = 0;
    TAILRACE_ROCKS_ASSIGN(const auto file, fs_.Open(path, OpenMode::kRead));
    TAILRACE_ROCKS_ASSIGN(*size_bytes, file->SizeBytes());
    return IOStatus::OK();
  }

  // The seam has no such times. RocksDB asks for them only to age files of its own WAL.
  IOStatus GetFileModificationTime(const std::string& path, const IOOptions&, uint64_t*,
                                   IODebugContext*) override {
    return IOStatus::NotSupported(path + ": modification times are not kept");
  }

  IOStatus RenameFile(const std::string& source, const std::string& target, const IOOptions&,
                      IODebugContext*) override {
    return ToRocks(fs_.Rename(source, target));
  }

  IOStatus LinkFile(const std::string& source, const std::string& target, const IOOptions&,
                    IODebugContext*) override {
    return ToRocks(fs_.Link(source, target));
  }

  IOStatus LockFile(const std::string& path, const IOOptions&, rocksdb::FileLock** result,
                    IODebugContext*) override {
    *result = nullptr;
    TAILRACE_ROCKS_ASSIGN(auto lock, fs_.Lock(path));
    *result = new RocksFileLock(std::move(lock));  // RocksDB hands it back to UnlockFile.
    return IOStatus::OK();
  }

  IOStatus UnlockFile(rocksdb::FileLock* lock, const IOOptions&, IODebugContext*) override {
    delete lock;
    return IOStatus::OK();
  }

  IOStatus GetTestDirectory(const IOOptions&, std::string*, IODebugContext*) override {
    return IOStatus::NotSupported("GetTestDirectory");
  }

  IOStatus GetAbsolutePath(const std::string& path, const IOOptions&, std::string* result,
                           IODebugContext*) override {
    *result = path;
    return IOStatus::OK();
  }

  IOStatus GetFreeSpace(const std::string& path, const IOOptions&, uint64_t* free_bytes,
                        IODebugContext*) override {
    TAILRACE_ROCKS_ASSIGN(const auto space, fs_.SpaceAt(path));
    *free_bytes = space.free_bytes;
    return IOStatus::OK();
  }

  IOStatus IsDirectory(const std::string& path, const IOOptions&, bool* is_directory,
                       IODebugContext*) override {
    TAILRACE_ROCKS_ASSIGN(*is_directory, fs_.IsDirectory(path));
    return IOStatus::OK();
  }

 private:
  // RocksDB's own files lie in its directory, those for it in one below.
  bool IsToIngest(const std::string& path) const {
    const ByteView directory = ByteView(path).substr(0, path.size() - NameOf(path).size());
    return directory.size() > directory_.size() + 1 && directory.starts_with(directory_);
  }

  std::unique_ptr<rocksdb::FSWritableFile> Writable(const std::string& path,
                                                    std::unique_ptr<wal::File> file,
                                                    uint64_t size_bytes,
                                                    const rocksdb::FileOptions& options) {
    return std::make_unique<RocksWritableFile>(std::move(file), size_bytes, options, *guard_,
                                               ManifestGuard::ParseName(NameOf(path)),
                                               on_manifest_failure_);
  }

  wal::FileSystem& fs_;
  const std::string directory_;
  const std::unique_ptr<ManifestGuard> guard_;
  const ManifestFailure on_manifest_failure_;
  const OptionsFile options_file_;
};

}  // namespace

Result<std::unique_ptr<rocksdb::Env>> NewRocksEnv(wal::FileSystem& fs, const std::string& directory,
                                                  ManifestFailure on_manifest_failure,
                                                  OptionsFile options_file) {
  TAILRACE_ASSIGN_OR_RETURN(auto guard, ManifestGuard::Open(fs, directory));
  TAILRACE_RETURN_IF_ERROR(guard->CutTail().status());
  TAILRACE_RETURN_IF_ERROR(guard->CheckRecords());
  return rocksdb::NewCompositeEnv(std::make_shared<RocksFs>(
      fs, directory, std::move(guard), std::move(on_manifest_failure), options_file));
}

}  // namespace tailrace::engine
