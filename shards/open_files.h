// The open files of all shard logs: a bounded number of handles, and the memory of what is not
// durable.
//
// There may be thousands of shards and far fewer file descriptors. A handle that is not used may be
// closed at any time, but a file with bytes that are not durable is synced first: an error of its
// write-back could otherwise be lost with the handle.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "wal/fs.h"
#include "wal/mutex.h"
#include "wal/status.h"

namespace tailrace::shards {

// Thread-safe: one thread writes, any thread reads and syncs. A failed write or sync is final:
// every later Write, Truncate and Sync returns that failure.
class OpenFiles {
 public:
  // Keeps at most `files_max` handles, not counting those that reads hold at the moment. Borrows
  // `fs`.
  OpenFiles(wal::FileSystem& fs, uint32_t files_max);
  OpenFiles(const OpenFiles&) = delete;
  OpenFiles& operator=(const OpenFiles&) = delete;

  wal::FileSystem& fs() const { return fs_; }

  // A handle for reading; it stays good for as long as it is held, also when the file is removed.
  Result<std::shared_ptr<const wal::File>> OpenToRead(const std::string& path);

  // Writes to the file, which `mode` opens or creates. On OK: written, and due for the next Sync;
  // so is the entry of a new file in its directory.
  Status Write(const std::string& path, wal::OpenMode mode, uint64_t offset, ByteView bytes);

  // Cuts an existing file. On OK: due for the next Sync.
  Status Truncate(const std::string& path, uint64_t size_bytes);

  // Makes the directory if it is not there; its entry is due for the next Sync.
  Status MakeDirectory(const std::string& path);

  // Makes durable all that is due. On OK: everything whose Write, Truncate or MakeDirectory
  // returned before the call is durable.
  Status Sync();

  // Closes the file's handle and forgets what is due of it: it was or will be removed.
  void Forget(const std::string& path);

  // Handles held now, for tests.
  uint64_t open_files() const;

 private:
  struct Entry {
    std::string path;
    std::shared_ptr<wal::File> file;
    bool writable = false;
    bool dirty = false;
    uint32_t pins = 0;
  };
  using Entries = std::list<Entry>;  // Most recently used first.

  Status WriteThrough(const std::string& path, wal::OpenMode mode,
                      Status (*write)(wal::File&, uint64_t, ByteView), uint64_t offset,
                      ByteView bytes);
  Result<Entries::iterator> PinForWriting(const std::string& path, wal::OpenMode mode);
  Entries::iterator Insert(const std::string& path, std::shared_ptr<wal::File> file, bool writable)
      TAILRACE_REQUIRES(mutex_);
  void Erase(Entries::iterator entry) TAILRACE_REQUIRES(mutex_);
  void EvictClean() TAILRACE_REQUIRES(mutex_);
  Status EvictDirty();
  Status Fail(const Status& cause);

  wal::FileSystem& fs_;
  const uint64_t files_max_;

  // Held over syncs, so that one who finds nothing due knows that nothing is under way. Taken
  // before mutex_.
  Mutex sync_mutex_;
  mutable Mutex mutex_;
  Entries entries_ TAILRACE_GUARDED_BY(mutex_);
  std::map<std::string, Entries::iterator> by_path_ TAILRACE_GUARDED_BY(mutex_);
  std::set<std::string> dirty_directories_ TAILRACE_GUARDED_BY(mutex_);
  Status failure_ TAILRACE_GUARDED_BY(mutex_);
};

// "a/b" from "a/b/c".
std::string ParentPath(const std::string& path);

}  // namespace tailrace::shards
