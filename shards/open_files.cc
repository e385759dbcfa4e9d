#include "shards/open_files.h"

#include <vector>

#include "wal/check.h"
#include "wal/mutants.h"

namespace tailrace::shards {

std::string ParentPath(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

OpenFiles::OpenFiles(wal::FileSystem& fs, uint32_t files_max) : fs_(fs), files_max_(files_max) {
  TAILRACE_CHECK(files_max >= 1, "at least one file must be open to write to it");
}

Result<std::shared_ptr<const wal::File>> OpenFiles::OpenToRead(const std::string& path) {
  {
    MutexLock lock(mutex_);
    const auto found = by_path_.find(path);
    if (found != by_path_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      return std::shared_ptr<const wal::File>(found->second->file);
    }
  }
  TAILRACE_ASSIGN_OR_RETURN(std::unique_ptr<wal::File> opened,
                            fs_.Open(path, wal::OpenMode::kRead));
  const std::shared_ptr<wal::File> file = std::move(opened);
  MutexLock lock(mutex_);
  if (by_path_.contains(path)) return std::shared_ptr<const wal::File>(file);
  EvictClean();
  // A reader does not wait for a sync: with nothing but dirty files it keeps its handle to itself.
  if (entries_.size() < files_max_) Insert(path, file, false);
  return std::shared_ptr<const wal::File>(file);
}

Status OpenFiles::Write(const std::string& path, wal::OpenMode mode, uint64_t offset,
                        ByteView bytes) {
  return WriteThrough(
      path, mode, [](wal::File& file, uint64_t at, ByteView data) { return file.Write(at, data); },
      offset, bytes);
}

Status OpenFiles::Truncate(const std::string& path, uint64_t size_bytes) {
  return WriteThrough(path, wal::OpenMode::kReadWrite,
                      [](wal::File& file, uint64_t at, ByteView) { return file.Truncate(at); },
                      size_bytes, {});
}

Status OpenFiles::WriteThrough(const std::string& path, wal::OpenMode mode,
                               Status (*write)(wal::File&, uint64_t, ByteView), uint64_t offset,
                               ByteView bytes) {
  auto pinned = PinForWriting(path, mode);
  if (!pinned.ok()) return Fail(pinned.status());
  const Status written = write(*(*pinned)->file, offset, bytes);
  MutexLock lock(mutex_);
  // Only now: a Sync that ran beside the write may have missed it.
  (*pinned)->dirty = true;
  --(*pinned)->pins;
  if (!written.ok() && failure_.ok()) failure_ = written;
  return written;
}

Result<OpenFiles::Entries::iterator> OpenFiles::PinForWriting(const std::string& path,
                                                              wal::OpenMode mode) {
  {
    MutexLock lock(mutex_);
    if (!failure_.ok()) return failure_;
    const auto found = by_path_.find(path);
    if (found != by_path_.end() && found->second->writable) {
      entries_.splice(entries_.begin(), entries_, found->second);
      ++found->second->pins;
      return found->second;
    }
    if (found != by_path_.end()) Erase(found->second);
  }
  TAILRACE_ASSIGN_OR_RETURN(std::unique_ptr<wal::File> opened, fs_.Open(path, mode));
  TAILRACE_RETURN_IF_ERROR(EvictDirty());
  MutexLock lock(mutex_);
  if (mode != wal::OpenMode::kReadWrite) dirty_directories_.insert(ParentPath(path));
  // A reader may have opened the file once more meanwhile.
  const auto found = by_path_.find(path);
  if (found != by_path_.end()) Erase(found->second);
  const Entries::iterator entry = Insert(path, std::move(opened), true);
  ++entry->pins;
  return entry;
}

Status OpenFiles::MakeDirectory(const std::string& path) {
  const Status made = fs_.CreateDirectory(path);
  if (!made.ok() && made.code() != StatusCode::kAlreadyExists) return Fail(made);
  MutexLock lock(mutex_);
  dirty_directories_.insert(ParentPath(path));
  return Status::Ok();
}

Status OpenFiles::Sync() {
  MutexLock sync_lock(sync_mutex_);
  std::vector<Entries::iterator> due;
  std::set<std::string> directories;
  {
    MutexLock lock(mutex_);
    if (!failure_.ok()) return failure_;
    for (Entries::iterator entry = entries_.begin(); entry != entries_.end(); ++entry) {
      if (!entry->dirty) continue;
      entry->dirty = false;
      ++entry->pins;
      due.push_back(entry);
    }
    directories.swap(dirty_directories_);
  }
  Status outcome;
  for (const Entries::iterator& entry : due) {
    if (outcome.ok() && !TAILRACE_MUTANT("shard-files-not-synced")) outcome = entry->file->Sync();
  }
  for (const std::string& directory : directories) {
    if (TAILRACE_MUTANT("shard-directories-not-synced")) break;
    if (outcome.ok()) outcome = fs_.SyncDirectory(directory);
  }
  {
    MutexLock lock(mutex_);
    for (const Entries::iterator& entry : due) --entry->pins;
  }
  return outcome.ok() ? outcome : Fail(outcome);
}

void OpenFiles::Forget(const std::string& path) {
  MutexLock sync_lock(sync_mutex_);
  MutexLock lock(mutex_);
  const auto found = by_path_.find(path);
  if (found != by_path_.end() && found->second->pins == 0) Erase(found->second);
  dirty_directories_.erase(path);
}

uint64_t OpenFiles::open_files() const {
  MutexLock lock(mutex_);
  return entries_.size();
}

OpenFiles::Entries::iterator OpenFiles::Insert(const std::string& path,
                                               std::shared_ptr<wal::File> file, bool writable) {
  entries_.push_front(Entry{path, std::move(file), writable, false, 0});
  by_path_.insert_or_assign(path, entries_.begin());
  return entries_.begin();
}

void OpenFiles::Erase(Entries::iterator entry) {
  by_path_.erase(entry->path);
  entries_.erase(entry);
}

void OpenFiles::EvictClean() {
  for (Entries::iterator entry = entries_.end();
       entry != entries_.begin() && entries_.size() >= files_max_;) {
    --entry;
    if (entry->dirty || entry->pins > 0) continue;
    const Entries::iterator victim = entry++;
    Erase(victim);
  }
}

// Makes room for one more handle, by syncing if need be.
Status OpenFiles::EvictDirty() {
  {
    MutexLock lock(mutex_);
    EvictClean();
    if (entries_.size() < files_max_) return Status::Ok();
  }
  MutexLock sync_lock(sync_mutex_);
  Entries::iterator victim;
  {
    MutexLock lock(mutex_);
    victim = entries_.end();
    for (Entries::iterator entry = entries_.end(); entry != entries_.begin();) {
      --entry;
      if (entry->pins > 0) continue;
      victim = entry;
      break;
    }
    if (victim == entries_.end()) return Status::Ok();  // All in use: one handle too many for now.
    ++victim->pins;
  }
  const Status synced =
      TAILRACE_MUTANT("closed-without-sync") ? Status::Ok() : victim->file->Sync();
  {
    MutexLock lock(mutex_);
    --victim->pins;
    if (synced.ok()) Erase(victim);
  }
  return synced;
}

Status OpenFiles::Fail(const Status& cause) {
  MutexLock lock(mutex_);
  if (failure_.ok() && !TAILRACE_MUTANT("shard-failure-forgotten")) failure_ = cause;
  return cause;
}

}  // namespace tailrace::shards
