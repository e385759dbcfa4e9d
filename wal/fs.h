// The file-system seam: every byte that Tailrace keeps on disk goes through these classes,
// RocksDB's files too, so that tests can run a whole store on a simulated disk and cut its power.
//
// Each method says what holds when it returns OK. "Written" means the operating system has it: it
// survives the death of the process, not of the power. "Durable" means it survives both. A file's
// name is durable only once the directory that holds it has been synced.
//
// A failed Sync or WriteDurable is final for that file: what reached the disk is unknown, and
// trying again may report success without having written (the kernel marks failed pages clean).
// Callers stop using the file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "wal/shared_words.h"
#include "wal/status.h"
#include "wal/types.h"

namespace tailrace::wal {

// The unit of direct writes, of group padding and of resynchronisation after damage.
inline constexpr uint64_t kBlockBytes = 4096;

// An open file. Offsets and sizes are bytes. Reads may run beside one another; a write may not run
// beside another call on the same range. Destruction closes without syncing.
class File {
 public:
  virtual ~File() = default;

  // Reads up to `bytes` bytes at `offset` into `target`. Returns how many; fewer only at the end.
  virtual Result<uint64_t> Read(uint64_t offset, char* target, uint64_t bytes) const = 0;

  // Writes all of `bytes` at `offset`, growing the file if needed. On OK: written.
  virtual Status Write(uint64_t offset, ByteView bytes) = 0;

  // Writes all of `bytes` at `offset`. On OK: durable. `offset`, the size and the address of
  // `bytes` are multiples of kBlockBytes, and the range lies within the file's allocated size.
  virtual Status WriteDurable(uint64_t offset, ByteView bytes) = 0;

  // On OK: everything written before the call, and the size, are durable.
  virtual Status Sync() = 0;

  virtual Status Truncate(uint64_t size_bytes) = 0;

  // Makes the file at least `size_bytes` long with disk space behind all of it; new bytes are zero.
  // kNoSpace: the size is as before.
  virtual Status Allocate(uint64_t size_bytes) = 0;

  virtual Result<uint64_t> SizeBytes() const = 0;
};

// A file of fixed size mapped into memory. Read through data(), written only through Write, so that
// a simulated disk sees every store.
class MappedFile {
 public:
  virtual ~MappedFile() = default;

  virtual uint64_t size_bytes() const = 0;

  // The mapped bytes; valid while this object lives.
  virtual const char* data() const = 0;

  // Copies `bytes` to `offset`. After it returns the bytes survive the process. Calls on disjoint
  // ranges may run at once.
  virtual void Write(uint64_t offset, ByteView bytes) = 0;

  // Gets [offset, offset + bytes) ready for writes that come soon, which do without if they must: a
  // page that is not ready costs the first of them a fault. Beside any other call.
  virtual void MakeReady(uint64_t /*offset*/, uint64_t /*bytes*/) {}

  // On OK: all bytes written before the call within [offset, offset + bytes) are durable.
  virtual Status Sync(uint64_t offset, uint64_t bytes) = 0;
};

// Held as long as the object lives, also against other openers within this process.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

enum class MapAccess { kRead, kReadWrite };

enum class OpenMode {
  kRead,       // Must exist; writes fail.
  kReadWrite,  // Must exist.
  kCreateNew,  // Must not exist (kAlreadyExists).
  kCreate,     // Made if absent, kept as it is otherwise.
};

struct DirectoryEntry {
  std::string name;
  bool is_directory = false;
};

// Paths are plain byte strings with '/' between parts. Thread-safe. Every error names the path.
// Errors: kNotFound, kAlreadyExists, kNoSpace (ENOSPC, EDQUOT), kBusy (locks), kIoError (the rest).
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) = 0;

  // Maps the whole of an existing file (its size must not be 0: kInvalidArgument) for reading and
  // writing. Disk space is put behind holes first, so that a store into the mapping cannot fail for
  // want of it. Nobody may truncate the file while it is mapped: that would end the process.
  virtual Result<std::unique_ptr<MappedFile>> Map(const std::string& path) = 0;

  // Maps the whole of an existing file of whole words (kInvalidArgument otherwise) for processes to
  // tell one another numbers by. Stores are no part of what is on disk: they last until the power
  // is lost. Otherwise as Map; with kRead nothing is put behind holes.
  virtual Result<std::unique_ptr<SharedWords>> MapShared(const std::string& path,
                                                         MapAccess access) = 0;

  virtual Status Remove(const std::string& path) = 0;

  // Replaces `target` if it exists, in one step. Not durable until the directories are synced.
  virtual Status Rename(const std::string& source, const std::string& target) = 0;

  // A second name for the same file.
  virtual Status Link(const std::string& source, const std::string& target) = 0;

  // Makes one directory, mode 0700. kAlreadyExists if something has the name.
  virtual Status CreateDirectory(const std::string& path) = 0;
  virtual Status RemoveDirectory(const std::string& path) = 0;

  // Entries without "." and "..", sorted by name.
  virtual Result<std::vector<DirectoryEntry>> List(const std::string& path) = 0;

  // False, not an error, when nothing has the name.
  virtual Result<bool> Exists(const std::string& path) = 0;
  virtual Result<bool> IsDirectory(const std::string& path) = 0;

  // Refuses a directory in which others may put, change or exchange files (kFailedPrecondition; the
  // message has the cure): a symbolic link, one of another user, one that others may write to. A
  // file system without users has nothing to refuse.
  virtual Status CheckPrivate(const std::string& directory);

  // On OK: the names created, renamed and removed in this directory before the call are durable.
  virtual Status SyncDirectory(const std::string& path) = 0;

  // Takes an exclusive lock on the file at `path` (made if absent) without waiting. An open file
  // description lock: it is not lost when an unrelated descriptor of the file is closed, and a
  // second opener in the same process is refused too. kBusy when held; the message names the
  // holder's process id when it can be read from the file.
  virtual Result<std::unique_ptr<FileLock>> Lock(const std::string& path) = 0;

  // Whether somebody holds the lock on the file at `path`, which stays as it is. kNotFound.
  virtual Result<bool> IsLocked(const std::string& path) = 0;

  // Another number after every start of the machine: what SharedWords hold is good only under the
  // number under which it was stored. 0: not known.
  virtual uint64_t BootId() = 0;

  // Total and free bytes of the file system that holds `path`.
  struct Space {
    uint64_t total_bytes = 0;
    uint64_t free_bytes = 0;
  };
  virtual Result<Space> SpaceAt(const std::string& path) = 0;

  // The machine's own file system. Lives for ever.
  static FileSystem& Posix();
};

// "a/b" from "a" and "b".
std::string JoinPath(ByteView directory, ByteView name);

// Reads up to `bytes` bytes at `offset`; fewer only at the end. Errors: the file's.
Result<std::string> ReadPiece(const File& file, uint64_t offset, uint64_t bytes);

// Reads the whole file, which must not exceed `bytes_max` (kCorruption otherwise).
Result<std::string> ReadWholeFile(FileSystem& fs, const std::string& path, uint64_t bytes_max);

// Makes `path` hold exactly `bytes`, all or nothing across a crash: writes `path` + ".tmp", syncs
// it, renames it over `path`, syncs the directory. On OK: durable. On an error the old content
// stands, unless only the last sync failed: then `path` holds `bytes`, perhaps not durably.
Status ReplaceFile(FileSystem& fs, const std::string& path, ByteView bytes);

}  // namespace tailrace::wal
