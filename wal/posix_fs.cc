// The machine's own files behind the seam of wal/fs.h. Linux only (OFD locks, O_DIRECT, /proc).
//
// Interrupted and short system calls are continued, except for syncs: a sync that did not succeed
// is reported and never tried again. Directories are made with mode 0700, files with 0600; a
// symbolic link in place of a file is refused.
#include "wal/posix_fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include "wal/check.h"
#include "wal/hash.h"
#include "wal/mutants.h"
#include "wal/mutex.h"

namespace tailrace::wal {
namespace {

constexpr mode_t kFileMode = 0600;
constexpr mode_t kDirectoryMode = 0700;
constexpr int kFileFlags = O_CLOEXEC | O_NOFOLLOW;
constexpr uint64_t kPidTextBytesMax = 32;
constexpr int kLockAttemptsMax = 100;

Status ErrnoStatus(std::string_view operation, const std::string& path, int error) {
  std::string message(operation);
  message += " " + path + ": " + std::generic_category().message(error);
  switch (error) {
    case ENOENT:
      return NotFound(std::move(message));
    case EEXIST:
      return AlreadyExists(std::move(message));
    case ENOSPC:
    case EDQUOT:
      return NoSpace(std::move(message));
    default:
      return IoError(std::move(message));
  }
}

// Repeats a system call for as long as a signal interrupts it.
template <typename Call>
auto Uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

// Owns a file descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    // Linux frees the descriptor whatever close() says, so it is never repeated.
    if (fd_ >= 0) ::close(fd_);
  }

  bool valid() const { return fd_ >= 0; }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

Descriptor OpenDescriptor(const std::string& path, int flags) {
  return Descriptor(Uninterrupted([&] { return ::open(path.c_str(), flags, kFileMode); }));
}

int OpenFlags(OpenMode mode) {
  switch (mode) {
    case OpenMode::kRead:
      return O_RDONLY;
    case OpenMode::kReadWrite:
      return O_RDWR;
    case OpenMode::kCreateNew:
      return O_RDWR | O_CREAT | O_EXCL;
    case OpenMode::kCreate:
      return O_RDWR | O_CREAT;
  }
  TAILRACE_CHECK(false, "no such open mode");
}

// Opens a regular file; anything else under that name is refused.
Result<Descriptor> OpenRegular(const std::string& path, int flags) {
  Descriptor fd = OpenDescriptor(path, flags | kFileFlags);
  if (!fd.valid()) return ErrnoStatus("open", path, errno);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return ErrnoStatus("stat", path, errno);
  if (!S_ISREG(info.st_mode)) return IoError("open " + path + ": not a regular file");
  return fd;
}

Status WriteFully(int fd, const std::string& path, uint64_t offset, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t written = Uninterrupted(
        [&] { return ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
    if (written < 0) return ErrnoStatus("write", path, errno);
    if (written == 0) return IoError("write " + path + ": the system wrote nothing");
    offset += static_cast<uint64_t>(written);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return Status::Ok();
}

class PosixFile final : public File {
 public:
  PosixFile(std::string path, Descriptor fd, DurableWrites durable_writes)
      : path_(std::move(path)),
        fd_(std::move(fd)),
        way_(durable_writes == DurableWrites::kDirect ? Way::kUndecided : Way::kBuffered) {}
  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;

  Result<uint64_t> Read(uint64_t offset, char* target, uint64_t bytes) const override {
    uint64_t done = 0;
    while (done < bytes) {
      const ssize_t got = Uninterrupted([&] {
        return ::pread(fd_.get(), target + done, bytes - done, static_cast<off_t>(offset + done));
      });
      if (got < 0) return ErrnoStatus("read", path_, errno);
      if (got == 0) break;
      done += static_cast<uint64_t>(got);
    }
    return done;
  }

  Status Write(uint64_t offset, ByteView bytes) override {
    return WriteFully(fd_.get(), path_, offset, bytes);
  }

  Status WriteDurable(uint64_t offset, ByteView bytes) override {
    TAILRACE_CHECK(offset % kBlockBytes == 0 && bytes.size() % kBlockBytes == 0 &&
                       reinterpret_cast<uintptr_t>(bytes.data()) % kBlockBytes == 0,
                   "durable writes are made of aligned blocks");
    if (way_.load(std::memory_order_acquire) == Way::kUndecided) ChooseWay();
    if (way_.load(std::memory_order_acquire) == Way::kDirect) {
      const uint64_t written = WriteDirect(offset, bytes);
      if (written == bytes.size()) return Status::Ok();
      const int error = errno;
      if (error != EINVAL) return ErrnoStatus("durable write", path_, error);
      // The file system takes O_DIRECT when opening and refuses it, or this alignment, when
      // writing.
      way_.store(Way::kBuffered, std::memory_order_release);
    }
    TAILRACE_RETURN_IF_ERROR(Write(offset, bytes));
    return Sync();
  }

  Status Sync() override {
    if (::fdatasync(fd_.get()) != 0) return ErrnoStatus("sync", path_, errno);
    return Status::Ok();
  }

  Status Truncate(uint64_t size_bytes) override {
    const int result =
        Uninterrupted([&] { return ::ftruncate(fd_.get(), static_cast<off_t>(size_bytes)); });
    if (result != 0) return ErrnoStatus("truncate", path_, errno);
    return Status::Ok();
  }

  Status Allocate(uint64_t size_bytes) override {
    if (size_bytes == 0) return Status::Ok();
    TAILRACE_ASSIGN_OR_RETURN(const uint64_t size_before_bytes, SizeBytes());
    int error = EINTR;
    while (error == EINTR) {
      error = ::posix_fallocate(fd_.get(), 0, static_cast<off_t>(size_bytes));
    }
    if (error == 0) return Status::Ok();
    // Part of it may have been allocated. Giving that back is all that can be done: its failure
    // would say nothing that the first error does not.
    if (size_before_bytes < size_bytes) (void)Truncate(size_before_bytes);
    return ErrnoStatus("allocate", path_, error);
  }

  Result<uint64_t> SizeBytes() const override {
    struct stat info {};
    if (::fstat(fd_.get(), &info) != 0) return ErrnoStatus("stat", path_, errno);
    return static_cast<uint64_t>(info.st_size);
  }

 private:
  enum class Way { kUndecided, kDirect, kBuffered };

  // Opens the second descriptor, through which writes bypass the page cache. The kernel keeps the
  // cache coherent with them, so both descriptors may be used by turns.
  void ChooseWay() {
    const MutexLock lock(mutex_);
    if (way_.load(std::memory_order_relaxed) != Way::kUndecided) return;
    // By /proc and not by path, which may name another file by now.
    const std::string self = "/proc/self/fd/" + std::to_string(fd_.get());
    Descriptor direct = OpenDescriptor(self, O_WRONLY | O_DIRECT | O_DSYNC | O_CLOEXEC);
    const bool taken = direct.valid();
    direct_fd_ = std::move(direct);
    way_.store(taken ? Way::kDirect : Way::kBuffered, std::memory_order_release);
  }

  // Writes whole blocks directly; returns how many bytes, fewer than asked with errno set.
  uint64_t WriteDirect(uint64_t offset, ByteView bytes) const {
    uint64_t done = 0;
    while (done < bytes.size()) {
      const ssize_t written = Uninterrupted([&] {
        return ::pwrite(direct_fd_.get(), bytes.data() + done, bytes.size() - done,
                        static_cast<off_t>(offset + done));
      });
      if (written < 0) return done;
      if (static_cast<uint64_t>(written) < kBlockBytes) {
        errno = EIO;
        return done;
      }
      done += static_cast<uint64_t>(written) / kBlockBytes * kBlockBytes;
    }
    return done;
  }

  const std::string path_;
  const Descriptor fd_;
  Mutex mutex_;
  std::atomic<Way> way_;
  Descriptor direct_fd_;  // Set once, before way_ says kDirect.
};

class PosixMappedFile final : public MappedFile {
 public:
  PosixMappedFile(std::string path, char* data, uint64_t size_bytes)
      : path_(std::move(path)), data_(data), size_bytes_(size_bytes) {}
  PosixMappedFile(const PosixMappedFile&) = delete;
  PosixMappedFile& operator=(const PosixMappedFile&) = delete;
  ~PosixMappedFile() override { ::munmap(data_, size_bytes_); }

  uint64_t size_bytes() const override { return size_bytes_; }
  const char* data() const override { return data_; }

  void Write(uint64_t offset, ByteView bytes) override {
    CheckRange(offset, bytes.size());
    std::memcpy(data_ + offset, bytes.data(), bytes.size());
  }

  // A kernel before 5.14 refuses, which costs only that.
  void MakeReady(uint64_t offset, uint64_t bytes) override {
    CheckRange(offset, bytes);
    const uint64_t begin = PageOf(offset);
    (void)::madvise(data_ + begin, offset + bytes - begin, MADV_POPULATE_WRITE);
  }

  Status Sync(uint64_t offset, uint64_t bytes) override {
    CheckRange(offset, bytes);
    const uint64_t begin = PageOf(offset);
    const uint64_t end = PageOf(offset + bytes);
    // The pages leave the page tables together, with what was written to them; the page cache keeps
    // them, and who looks again gets them from there. Left in, each is made read-only by itself
    // while it is written, and interrupts every processor. A failure costs only that.
    if (begin < end) (void)::madvise(data_ + begin, end - begin, MADV_DONTNEED);
    // MS_SYNC ends in the file system's own range sync and waits for it, metadata included.
    if (::msync(data_ + begin, offset + bytes - begin, MS_SYNC) != 0) {
      return ErrnoStatus("sync mapped", path_, errno);
    }
    return Status::Ok();
  }

 private:
  // Where the page begins that holds the byte at `offset`.
  static uint64_t PageOf(uint64_t offset) {
    static const auto page_bytes = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
    return offset / page_bytes * page_bytes;
  }

  void CheckRange(uint64_t offset, uint64_t bytes) const {
    TAILRACE_CHECK(offset <= size_bytes_ && bytes <= size_bytes_ - offset,
                   "the range lies outside the mapped file");
  }

  const std::string path_;
  char* const data_;
  const uint64_t size_bytes_;
};

class PosixSharedWords final : public SharedWords {
 public:
  PosixSharedWords(void* data, uint64_t size_bytes)
      : SharedWords(static_cast<uint64_t*>(data), size_bytes / sizeof(uint64_t)),
        data_(data),
        size_bytes_(size_bytes) {}
  ~PosixSharedWords() override { ::munmap(data_, size_bytes_); }

 private:
  void* const data_;
  const uint64_t size_bytes_;
};

class PosixFileLock final : public FileLock {
 public:
  explicit PosixFileLock(Descriptor fd) : fd_(std::move(fd)), owner_(::getpid()) {}
  PosixFileLock(const PosixFileLock&) = delete;
  PosixFileLock& operator=(const PosixFileLock&) = delete;
  ~PosixFileLock() override {
    // A forked child shares the lock with its parent and must not end it; the parent's explicit
    // unlock ends it even while a child still holds the descriptor.
    if (::getpid() != owner_) return;
    (void)!::ftruncate(fd_.get(), 0);
    struct flock range {};
    range.l_type = F_UNLCK;
    range.l_whence = SEEK_SET;
    ::fcntl(fd_.get(), F_OFD_SETLK, &range);
  }

 private:
  const Descriptor fd_;
  const pid_t owner_;
};

Status LockHeld(int fd, const std::string& path) {
  char text[kPidTextBytesMax + 1] = {};
  long holder = 0;
  if (::pread(fd, text, kPidTextBytesMax, 0) > 0) holder = std::strtol(text, nullptr, 10);
  if (holder == ::getpid()) {
    return Busy(path + ": already open in this process; close it first or open another directory");
  }
  const std::string who = holder > 0 ? "process " + std::to_string(holder) : "another process";
  return Busy(path + ": in use by " + who + "; stop it or open another directory");
}

bool SameFile(int fd, const std::string& path) {
  struct stat opened {
  }, named{};
  return ::fstat(fd, &opened) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

bool IsDirectoryEntry(int directory_fd, const dirent& entry) {
  if (entry.d_type != DT_UNKNOWN) return entry.d_type == DT_DIR;
  struct stat info {};
  return ::fstatat(directory_fd, entry.d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISDIR(info.st_mode);
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

class PosixFileSystem final : public FileSystem {
 public:
  explicit PosixFileSystem(DurableWrites durable_writes) : durable_writes_(durable_writes) {}

  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    TAILRACE_ASSIGN_OR_RETURN(Descriptor fd, OpenRegular(path, OpenFlags(mode)));
    return std::unique_ptr<File>(std::make_unique<PosixFile>(path, std::move(fd), durable_writes_));
  }

  Result<std::unique_ptr<MappedFile>> Map(const std::string& path) override;
  Result<std::unique_ptr<SharedWords>> MapShared(const std::string& path,
                                                 MapAccess access) override;

  Status Remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return ErrnoStatus("remove", path, errno);
    return Status::Ok();
  }

  Status Rename(const std::string& source, const std::string& target) override {
    if (::rename(source.c_str(), target.c_str()) != 0) {
      return ErrnoStatus("rename", source + " to " + target, errno);
    }
    return Status::Ok();
  }

  Status Link(const std::string& source, const std::string& target) override {
    if (::link(source.c_str(), target.c_str()) != 0) {
      return ErrnoStatus("link", source + " to " + target, errno);
    }
    return Status::Ok();
  }

  Status CreateDirectory(const std::string& path) override {
    if (::mkdir(path.c_str(), kDirectoryMode) != 0) {
      return ErrnoStatus("create directory", path, errno);
    }
    return Status::Ok();
  }

  Status RemoveDirectory(const std::string& path) override {
    if (::rmdir(path.c_str()) != 0) return ErrnoStatus("remove directory", path, errno);
    return Status::Ok();
  }

  Result<std::vector<DirectoryEntry>> List(const std::string& path) override;

  Result<bool> Exists(const std::string& path) override {
    struct stat info {};
    if (::lstat(path.c_str(), &info) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return ErrnoStatus("stat", path, errno);
  }

  Result<bool> IsDirectory(const std::string& path) override {
    struct stat info {};
    if (::stat(path.c_str(), &info) == 0) return S_ISDIR(info.st_mode);
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return ErrnoStatus("stat", path, errno);
  }

  Status CheckPrivate(const std::string& directory) override;

  Status SyncDirectory(const std::string& path) override {
    const Descriptor fd = OpenDescriptor(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!fd.valid()) return ErrnoStatus("open directory", path, errno);
    if (::fsync(fd.get()) != 0) return ErrnoStatus("sync directory", path, errno);
    return Status::Ok();
  }

  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override;
  Result<bool> IsLocked(const std::string& path) override;
  uint64_t BootId() override;

  Result<Space> SpaceAt(const std::string& path) override {
    struct statvfs info {};
    if (Uninterrupted([&] { return ::statvfs(path.c_str(), &info); }) != 0) {
      return ErrnoStatus("stat file system of", path, errno);
    }
    return Space{.total_bytes = info.f_blocks * info.f_frsize,
                 .free_bytes = info.f_bavail * info.f_frsize};
  }

 private:
  const DurableWrites durable_writes_;
};

Status PosixFileSystem::CheckPrivate(const std::string& directory) {
  // "a/" is where the link leads, "a" the link.
  const size_t end = directory.find_last_not_of('/');
  const std::string name = end == std::string::npos ? "/" : directory.substr(0, end + 1);
  struct stat info {};
  if (::lstat(name.c_str(), &info) != 0) return ErrnoStatus("stat", name, errno);
  if (S_ISLNK(info.st_mode)) {
    return FailedPrecondition(name +
                              " is a symbolic link, which may lead elsewhere the next time; name "
                              "the directory itself (realpath prints it)");
  }
  if (info.st_uid != ::geteuid()) {
    return FailedPrecondition(name + " belongs to the user " + std::to_string(info.st_uid) +
                              " and this process runs as " + std::to_string(::geteuid()) +
                              "; run it as the owner");
  }
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return FailedPrecondition("others may write to " + name + "; chmod go-w it first");
  }
  return Status::Ok();
}

// The file's bytes, mapped, for as long as somebody does not unmap them.
struct Mapping {
  void* data = nullptr;
  uint64_t size_bytes = 0;
};

Result<Mapping> MapWhole(const std::string& path, MapAccess access) {
  const bool writable = access == MapAccess::kReadWrite;
  TAILRACE_ASSIGN_OR_RETURN(const Descriptor fd, OpenRegular(path, writable ? O_RDWR : O_RDONLY));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return ErrnoStatus("stat", path, errno);
  const auto size_bytes = static_cast<uint64_t>(info.st_size);
  if (size_bytes == 0) return InvalidArgument("map " + path + ": the file is empty");
  // A store into a hole of a full disk would be a SIGBUS, not an error: fill holes now. Where the
  // file system cannot, the caller's Allocate could not either, and has written the bytes instead.
  if (writable && static_cast<uint64_t>(info.st_blocks) * 512 < size_bytes &&
      Uninterrupted([&] { return ::fallocate(fd.get(), 0, 0, info.st_size); }) != 0 &&
      errno != EOPNOTSUPP) {
    return ErrnoStatus("allocate", path, errno);
  }
  const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  void* const data = ::mmap(nullptr, size_bytes, protection, MAP_SHARED, fd.get(), 0);
  if (data == MAP_FAILED) return ErrnoStatus("map", path, errno);
  return Mapping{data, size_bytes};
}

Result<std::unique_ptr<MappedFile>> PosixFileSystem::Map(const std::string& path) {
  TAILRACE_ASSIGN_OR_RETURN(const Mapping mapping, MapWhole(path, MapAccess::kReadWrite));
  return std::unique_ptr<MappedFile>(std::make_unique<PosixMappedFile>(
      path, static_cast<char*>(mapping.data), mapping.size_bytes));
}

Result<std::unique_ptr<SharedWords>> PosixFileSystem::MapShared(const std::string& path,
                                                                MapAccess access) {
  TAILRACE_ASSIGN_OR_RETURN(const Mapping mapping, MapWhole(path, access));
  if (mapping.size_bytes % sizeof(uint64_t) != 0) {
    ::munmap(mapping.data, mapping.size_bytes);
    return InvalidArgument("map " + path + ": the file is not made of whole words");
  }
  return std::unique_ptr<SharedWords>(
      std::make_unique<PosixSharedWords>(mapping.data, mapping.size_bytes));
}

Result<std::vector<DirectoryEntry>> PosixFileSystem::List(const std::string& path) {
  const std::unique_ptr<DIR, CloseDirectory> directory(::opendir(path.c_str()));
  if (!directory) return ErrnoStatus("list", path, errno);
  std::vector<DirectoryEntry> entries;
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    entries.push_back({.name = std::string(name),
                       .is_directory = IsDirectoryEntry(::dirfd(directory.get()), *entry)});
  }
  if (errno != 0) return ErrnoStatus("list", path, errno);
  std::sort(entries.begin(), entries.end(),
            [](const DirectoryEntry& a, const DirectoryEntry& b) { return a.name < b.name; });
  return entries;
}

Result<std::unique_ptr<FileLock>> PosixFileSystem::Lock(const std::string& path) {
  for (int attempt = 0; attempt < kLockAttemptsMax; ++attempt) {
    TAILRACE_ASSIGN_OR_RETURN(Descriptor fd, OpenRegular(path, O_RDWR | O_CREAT));
    struct flock range {};
    range.l_type = F_WRLCK;
    range.l_whence = SEEK_SET;
    const int how = TAILRACE_MUTANT("posix-lock") ? F_SETLK : F_OFD_SETLK;
    if (!TAILRACE_MUTANT("no-lock") && ::fcntl(fd.get(), how, &range) != 0) {
      if (errno == EAGAIN || errno == EACCES) return LockHeld(fd.get(), path);
      return ErrnoStatus("lock", path, errno);
    }
    // Somebody may have removed or replaced the file between the two calls; what we locked then
    // keeps nobody out.
    if (!SameFile(fd.get(), path)) continue;
    // The text only serves the message of whoever comes second, so a full disk is no reason to
    // fail.
    const std::string text = std::to_string(::getpid()) + "\n";
    if (::ftruncate(fd.get(), 0) == 0) (void)WriteFully(fd.get(), path, 0, text);
    return std::unique_ptr<FileLock>(std::make_unique<PosixFileLock>(std::move(fd)));
  }
  return Busy(path + ": the lock file is being replaced over and over");
}

Result<bool> PosixFileSystem::IsLocked(const std::string& path) {
  TAILRACE_ASSIGN_OR_RETURN(const Descriptor fd, OpenRegular(path, O_RDONLY));
  struct flock range {};
  range.l_type = F_WRLCK;
  range.l_whence = SEEK_SET;
  if (::fcntl(fd.get(), F_OFD_GETLK, &range) != 0) return ErrnoStatus("lock", path, errno);
  return range.l_type != F_UNLCK;
}

uint64_t PosixFileSystem::BootId() {
  static const uint64_t id = [this]() -> uint64_t {
    const auto file = Open("/proc/sys/kernel/random/boot_id", OpenMode::kRead);
    if (!file.ok()) return 0;
    char text[64];
    const auto got = (*file)->Read(0, text, sizeof text);
    return got.ok() && *got > 0 ? Hash64(ByteView(text, *got)) | 1 : 0;
  }();
  return id;
}

}  // namespace

std::unique_ptr<FileSystem> NewPosixFileSystem(DurableWrites durable_writes) {
  return std::make_unique<PosixFileSystem>(durable_writes);
}

FileSystem& FileSystem::Posix() {
  static FileSystem* const fs = new PosixFileSystem(DurableWrites::kDirect);
  return *fs;
}

}  // namespace tailrace::wal
