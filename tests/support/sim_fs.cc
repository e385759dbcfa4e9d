#include "tests/support/sim_fs.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "wal/check.h"
#include "wal/mutex.h"

namespace tailrace::test {

using wal::OpenMode;

std::string_view SimCallName(SimCall call) {
  constexpr std::array<std::string_view, kSimCalls> kNames = {"create",
                                                              "write",
                                                              "durable write",
                                                              "sync",
                                                              "truncate",
                                                              "allocate",
                                                              "mapped write",
                                                              "mapped sync",
                                                              "remove",
                                                              "rename",
                                                              "link",
                                                              "create directory",
                                                              "remove directory",
                                                              "sync directory",
                                                              "open",
                                                              "read",
                                                              "map",
                                                              "list",
                                                              "stat",
                                                              "lock"};
  return kNames[static_cast<size_t>(call)];
}

namespace {

// Zeroed memory for a mapped file: large ones take no memory where they are not touched.
class MapBuffer {
 public:
  explicit MapBuffer(uint64_t bytes) : bytes_(bytes) {
    void* const memory = IsLarge() ? ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                                   : std::calloc(1, bytes);
    TAILRACE_CHECK(memory != nullptr && memory != MAP_FAILED, "out of memory");
    data_ = static_cast<char*>(memory);
  }
  MapBuffer(const MapBuffer&) = delete;
  MapBuffer& operator=(const MapBuffer&) = delete;
  ~MapBuffer() {
    if (IsLarge()) {
      ::munmap(data_, bytes_);
    } else {
      std::free(data_);
    }
  }

  char* data() const { return data_; }
  uint64_t size_bytes() const { return bytes_; }

 private:
  bool IsLarge() const { return bytes_ >= (1u << 20); }

  const uint64_t bytes_;
  char* data_ = nullptr;
};

uint64_t WholeBlocks(uint64_t bytes) {
  return (bytes + wal::kBlockBytes - 1) / wal::kBlockBytes * wal::kBlockBytes;
}

Status SimError(Status (*make)(std::string), const std::string& path, std::string_view text) {
  return make(path + ": " + std::string(text) + " (simulated)");
}

}  // namespace

// Everything behind the lock, shared with the handles.
class SimFs::Core {
 public:
  Core(SimDisk disk, uint64_t capacity_bytes)
      : disk_(std::move(disk)), capacity_bytes_(capacity_bytes) {}

  // A handle's place: which process it belongs to, and which file.
  struct Handle {
    uint64_t process = 0;
    InodeId inode{};
    std::string path;
  };

  mutable Mutex mutex_;

  // --- What every call goes through. ---

  // Counts the call; an error when it must fail. `handle` may be null.
  Status Enter(SimCall call, const std::string& path, const Handle* handle,
               uint64_t* written_bytes = nullptr) TAILRACE_REQUIRES(mutex_) {
    if (handle != nullptr && handle->process != process_) return Dead(path);
    if (power_is_cut_) return Dead(path);
    ++calls_[static_cast<size_t>(call)];
    const bool mutating = call <= kLastMutatingCall;
    if (mutating) {
      ++operations_;
      // A call that was refused before it did anything has no "during"; then the next one is too
      // late.
      const bool passed = cut_at_ != 0 && cut_at_ < operations_;
      if (passed || (cut_at_ == operations_ && cut_moment_ == CrashMoment::kBefore)) {
        power_is_cut_ = true;
        return Dead(path);
      }
    }
    return Injected(call, mutating, path, written_bytes);
  }

  // The call's effect is pending: the moment of observers and of CrashMoment::kDuring.
  Status Uncertain(SimCall call, const std::string& path, uint64_t offset = 0, ByteView bytes = {})
      TAILRACE_REQUIRES(mutex_) {
    if (observer_) {
      observer_(SimOperation{.index = operations_,
                             .call = call,
                             .path = path,
                             .offset = offset,
                             .bytes = bytes,
                             .disk = disk_});
    }
    if (cut_at_ == operations_) {
      power_is_cut_ = true;
      return Dead(path);
    }
    return Status::Ok();
  }

  // --- Files. ---

  Result<Handle> OpenFile(const std::string& path, OpenMode mode) TAILRACE_REQUIRES(mutex_) {
    TAILRACE_ASSIGN_OR_RETURN(SimDisk::Place place, disk_.Find(path));
    if (place.inode && mode == OpenMode::kCreateNew) {
      return SimError(AlreadyExists, path, "File exists");
    }
    if (place.inode && disk_.IsDirectory(*place.inode)) {
      return SimError(IoError, path, "not a regular file");
    }
    if (!place.inode) {
      if (mode == OpenMode::kRead || mode == OpenMode::kReadWrite) {
        return SimError(NotFound, path, "No such file or directory");
      }
      TAILRACE_RETURN_IF_ERROR(Enter(SimCall::kCreate, path, nullptr));
      place.inode = disk_.Create(place, false, path);
      TAILRACE_RETURN_IF_ERROR(Uncertain(SimCall::kCreate, path));
    }
    return OpenHandle(path, *place.inode);
  }

  Handle OpenHandle(const std::string& path, InodeId inode) TAILRACE_REQUIRES(mutex_) {
    ++open_[inode];
    ++open_handles_;
    return Handle{.process = process_, .inode = inode, .path = path};
  }

  void CloseHandle(const Handle& handle) TAILRACE_REQUIRES(mutex_) {
    if (handle.process != process_) return;
    --open_handles_;
    if (--open_[handle.inode] == 0) open_.erase(handle.inode);
  }

  // Writes to the disk and to every mapping of the file.
  void Put(const Handle& handle, uint64_t offset, ByteView bytes) TAILRACE_REQUIRES(mutex_) {
    disk_.Write(handle.inode, offset, bytes, handle.path);
    for (const auto& [inode, buffer] : mappings_) {
      if (inode != handle.inode || offset >= buffer->size_bytes()) continue;
      const uint64_t within = std::min<uint64_t>(bytes.size(), buffer->size_bytes() - offset);
      std::memcpy(buffer->data() + offset, bytes.data(), within);
    }
  }

  // How long the file may become on this disk.
  uint64_t SizeBytesMax(const Handle& handle) const TAILRACE_REQUIRES(mutex_) {
    const uint64_t used_bytes = UsedBytes();
    const uint64_t free_bytes = capacity_bytes_ - std::min(used_bytes, capacity_bytes_);
    return WholeBlocks(disk_.ContentOf(handle.inode).size_bytes()) + free_bytes;
  }

  uint64_t UsedBytes() const TAILRACE_REQUIRES(mutex_) {
    return disk_.UsedBytes(
        [this](InodeId inode) TAILRACE_NO_THREAD_SAFETY_ANALYSIS { return open_.contains(inode); });
  }

  Status Write(const Handle& handle, uint64_t offset, ByteView bytes) TAILRACE_REQUIRES(mutex_) {
    uint64_t written_bytes = 0;
    const Status injected = Enter(SimCall::kWrite, handle.path, &handle, &written_bytes);
    if (!injected.ok()) {
      if (written_bytes > 0) Put(handle, offset, bytes.substr(0, written_bytes));
      return injected;
    }
    if (capacity_bytes_ != kUnlimitedBytes && offset + bytes.size() > SizeBytesMax(handle)) {
      // Like a real one, it takes what it can.
      const uint64_t size_bytes_max = SizeBytesMax(handle);
      if (offset < size_bytes_max) Put(handle, offset, bytes.substr(0, size_bytes_max - offset));
      return SimError(NoSpace, handle.path, "No space left on device");
    }
    Put(handle, offset, bytes);
    return Uncertain(SimCall::kWrite, handle.path, offset, bytes);
  }

  Status WriteDurable(const Handle& handle, uint64_t offset, ByteView bytes)
      TAILRACE_REQUIRES(mutex_) {
    uint64_t written_bytes = 0;
    const Status injected = Enter(SimCall::kWriteDurable, handle.path, &handle, &written_bytes);
    if (!injected.ok()) {
      if (written_bytes > 0) {
        Put(handle, offset, bytes.substr(0, written_bytes));
        disk_.LoseTrack(handle.inode);
      }
      return injected;
    }
    TAILRACE_CHECK(offset + bytes.size() <= disk_.ContentOf(handle.inode).size_bytes(),
                   "durable writes stay within the allocated size");
    Put(handle, offset, bytes);
    TAILRACE_RETURN_IF_ERROR(Uncertain(SimCall::kWriteDurable, handle.path, offset, bytes));
    if (!lying_syncs_) disk_.SyncRange(handle.inode, offset, bytes.size());
    return Status::Ok();
  }

  Status Sync(const Handle& handle) TAILRACE_REQUIRES(mutex_) {
    const Status injected = Enter(SimCall::kSync, handle.path, &handle);
    if (!injected.ok()) {
      if (!IsDead(handle)) disk_.LoseTrack(handle.inode);
      return injected;
    }
    TAILRACE_RETURN_IF_ERROR(Uncertain(SimCall::kSync, handle.path));
    if (!lying_syncs_) disk_.SyncFile(handle.inode);
    return Status::Ok();
  }

  Status Truncate(const Handle& handle, uint64_t size_bytes) TAILRACE_REQUIRES(mutex_) {
    TAILRACE_RETURN_IF_ERROR(Enter(SimCall::kTruncate, handle.path, &handle));
    disk_.Truncate(handle.inode, size_bytes, handle.path);
    return Uncertain(SimCall::kTruncate, handle.path, size_bytes);
  }

  Status Allocate(const Handle& handle, uint64_t size_bytes) TAILRACE_REQUIRES(mutex_) {
    TAILRACE_RETURN_IF_ERROR(Enter(SimCall::kAllocate, handle.path, &handle));
    if (capacity_bytes_ != kUnlimitedBytes && size_bytes > SizeBytesMax(handle)) {
      return SimError(NoSpace, handle.path, "No space left on device");
    }
    disk_.Extend(handle.inode, size_bytes, handle.path);
    return Uncertain(SimCall::kAllocate, handle.path, size_bytes);
  }

  // --- Mappings. ---

  void MapWrite(const Handle& handle, MapBuffer& buffer, uint64_t offset, ByteView bytes)
      TAILRACE_REQUIRES(mutex_) {
    // The code under test sees its own stores whatever happens to the disk.
    std::memcpy(buffer.data() + offset, bytes.data(), bytes.size());
    const Status alive = Enter(SimCall::kMapWrite, handle.path, &handle);
    if (!alive.ok()) return;
    Put(handle, offset, bytes);
    (void)Uncertain(SimCall::kMapWrite, handle.path, offset, bytes);  // A store has no result.
  }

  Status MapSync(const Handle& handle, uint64_t offset, uint64_t bytes) TAILRACE_REQUIRES(mutex_) {
    const Status injected = Enter(SimCall::kMapSync, handle.path, &handle);
    if (!injected.ok()) {
      if (!IsDead(handle)) disk_.LoseTrack(handle.inode);
      return injected;
    }
    TAILRACE_RETURN_IF_ERROR(Uncertain(SimCall::kMapSync, handle.path, offset));
    if (!lying_syncs_) disk_.SyncRange(handle.inode, offset, bytes);
    return Status::Ok();
  }

  // --- Names. ---

  Status Remove(const std::string& path) TAILRACE_REQUIRES(mutex_) {
    TAILRACE_RETURN_IF_ERROR(Enter(SimCall::kRemove, path, nullptr));
    TAILRACE_ASSIGN_OR_RETURN(const SimDisk::Place place, Existing(path));
    if (disk_.IsDirectory(*place.inode)) return SimError(IoError, path, "Is a directory");
    disk_.Unlink(place, path);
    return Uncertain(SimCall::kRemove, path);
  }

  Status RemoveDirectory(const std::string& path) TAILRACE_REQUIRES(mutex_) {
    TAILRACE_RETURN_IF_ERROR(Enter(SimCall::kRemoveDirectory, path, nullptr));
    TAILRACE_ASSIGN_OR_RETURN(const SimDisk::Place place, ExistingDirectory(path));
    if (!disk_.List(*place.inode).empty()) return SimError(IoError, path, "Directory not empty");
    if (place.name.empty()) return SimError(IoError, path, "Device or resource busy");
    disk_.Unlink(place, path);
    return Uncertain(SimCall::kRemoveDirectory, path);
  }

  Status Rename(const std::string& source_path, const std::string& target_path)
      TAILRACE_REQUIRES(mutex_) {
    TAILRACE_RETURN_IF_ERROR(Enter(SimCall::kRename, source_path, nullptr));
    TAILRACE_ASSIGN_OR_RETURN(const SimDisk::Place source, Existing(source_path));
    TAILRACE_ASSIGN_OR_RETURN(const SimDisk::Place target, disk_.Find(target_path));
    const std::string both = source_path + " to " + target_path;
    const bool moves_directory = disk_.IsDirectory(*source.inode);
    if (target.inode) {
      if (*target.inode == *source.inode) return Status::Ok();
      const bool onto_directory = disk_.IsDirectory(*target.inode);
      if (onto_directory != moves_directory) {
        return SimError(IoError, both, onto_directory ? "Is a directory" : "Not a directory");
      }
      if (onto_directory && !disk_.List(*target.inode).empty()) {
        return SimError(IoError, both, "Directory not empty");
      }
    }
    if (moves_directory && (target_path + "/").starts_with(source_path + "/")) {
      return SimError(IoError, both, "Invalid argument");
    }
    disk_.Rename(source, target, source_path);
    return Uncertain(SimCall::kRename, source_path);
  }

  Status Link(const std::string& source_path, const std::string& target_path)
      TAILRACE_REQUIRES(mutex_) {
    TAILRACE_RETURN_IF_ERROR(Enter(SimCall::kLink, target_path, nullptr));
    TAILRACE_ASSIGN_OR_RETURN(const SimDisk::Place source, Existing(source_path));
    TAILRACE_ASSIGN_OR_RETURN(const SimDisk::Place target, disk_.Find(target_path));
    if (target.inode) return SimError(AlreadyExists, target_path, "File exists");
    if (disk_.IsDirectory(*source.inode)) {
      return SimError(IoError, source_path, "Operation not permitted");
    }
    disk_.Link(target, *source.inode, target_path);
    return Uncertain(SimCall::kLink, target_path);
  }

  Status CreateDirectory(const std::string& path) TAILRACE_REQUIRES(mutex_) {
    TAILRACE_RETURN_IF_ERROR(Enter(SimCall::kCreateDirectory, path, nullptr));
    TAILRACE_ASSIGN_OR_RETURN(const SimDisk::Place place, disk_.Find(path));
    if (place.inode) return SimError(AlreadyExists, path, "File exists");
    disk_.Create(place, true, path);
    return Uncertain(SimCall::kCreateDirectory, path);
  }

  Status SyncDirectory(const std::string& path) TAILRACE_REQUIRES(mutex_) {
    TAILRACE_RETURN_IF_ERROR(Enter(SimCall::kSyncDirectory, path, nullptr));
    TAILRACE_ASSIGN_OR_RETURN(const SimDisk::Place place, ExistingDirectory(path));
    TAILRACE_RETURN_IF_ERROR(Uncertain(SimCall::kSyncDirectory, path));
    if (lying_syncs_) return Status::Ok();
    disk_.SyncDirectory(*place.inode);
    disk_.CollectGarbage([this](InodeId inode)
                             TAILRACE_NO_THREAD_SAFETY_ANALYSIS { return open_.contains(inode); });
    return Status::Ok();
  }

  Result<SimDisk::Place> Existing(const std::string& path) const TAILRACE_REQUIRES(mutex_) {
    TAILRACE_ASSIGN_OR_RETURN(SimDisk::Place place, disk_.Find(path));
    if (!place.inode) return SimError(NotFound, path, "No such file or directory");
    return place;
  }

  Result<SimDisk::Place> ExistingDirectory(const std::string& path) const
      TAILRACE_REQUIRES(mutex_) {
    TAILRACE_ASSIGN_OR_RETURN(SimDisk::Place place, Existing(path));
    if (!disk_.IsDirectory(*place.inode)) return SimError(IoError, path, "Not a directory");
    return place;
  }

  // The words of a file, made from its content by the first who maps it.
  std::shared_ptr<std::vector<uint64_t>> WordsOf(InodeId inode, uint64_t size_bytes)
      TAILRACE_REQUIRES(mutex_) {
    std::shared_ptr<std::vector<uint64_t>>& words = words_[inode];
    if (words) return words;
    words = std::make_shared<std::vector<uint64_t>>(size_bytes / sizeof(uint64_t));
    char* const target = reinterpret_cast<char*>(words->data());
    disk_.ContentOf(inode).ForEachBlock([&](uint64_t offset, ByteView bytes) {
      if (offset >= size_bytes) return;
      std::memcpy(target + offset, bytes.data(),
                  std::min<uint64_t>(bytes.size(), size_bytes - offset));
    });
    return words;
  }

  // The end of the process: what it held is gone.
  void EndProcess() TAILRACE_REQUIRES(mutex_) {
    ++process_;
    power_is_cut_ = false;
    cut_at_ = 0;
    open_.clear();
    open_handles_ = 0;
    mappings_.clear();
    locks_.clear();
  }

  static Status Dead(const std::string& path) {
    return SimError(IoError, path, "the process is dead or its power is cut");
  }
  bool IsDead(const Handle& handle) const TAILRACE_REQUIRES(mutex_) {
    return power_is_cut_ || handle.process != process_;
  }

  SimDisk disk_ TAILRACE_GUARDED_BY(mutex_);
  uint64_t capacity_bytes_ TAILRACE_GUARDED_BY(mutex_);
  uint64_t process_ TAILRACE_GUARDED_BY(mutex_) = 1;
  bool power_is_cut_ TAILRACE_GUARDED_BY(mutex_) = false;
  uint64_t cut_at_ TAILRACE_GUARDED_BY(mutex_) = 0;  // Value of operations_; 0: never.
  CrashMoment cut_moment_ TAILRACE_GUARDED_BY(mutex_) = CrashMoment::kBefore;
  bool lying_syncs_ TAILRACE_GUARDED_BY(mutex_) = false;
  std::function<void(const SimOperation&)> observer_ TAILRACE_GUARDED_BY(mutex_);
  struct ActiveFault {
    SimFault fault;
    uint64_t matched = 0;
  };
  std::vector<ActiveFault> faults_ TAILRACE_GUARDED_BY(mutex_);
  uint64_t faults_hit_ TAILRACE_GUARDED_BY(mutex_) = 0;
  std::optional<SimCall> first_hit_ TAILRACE_GUARDED_BY(mutex_);  // Since faults were cleared.
  uint64_t operations_ TAILRACE_GUARDED_BY(mutex_) = 0;
  std::array<uint64_t, kSimCalls> calls_ TAILRACE_GUARDED_BY(mutex_){};
  uint64_t open_handles_ TAILRACE_GUARDED_BY(mutex_) = 0;
  std::unordered_map<InodeId, uint64_t> open_ TAILRACE_GUARDED_BY(mutex_);
  std::vector<std::pair<InodeId, MapBuffer*>> mappings_ TAILRACE_GUARDED_BY(mutex_);
  std::vector<InodeId> locks_ TAILRACE_GUARDED_BY(mutex_);
  std::unordered_map<InodeId, std::shared_ptr<std::vector<uint64_t>>> words_
      TAILRACE_GUARDED_BY(mutex_);
  uint64_t boot_id_ TAILRACE_GUARDED_BY(mutex_) = NextBootId();

  // Other disks' differ too.
  static uint64_t NextBootId() {
    static std::atomic<uint64_t> last{0};
    return ++last;
  }

 private:
  Status Injected(SimCall call, bool mutating, const std::string& path, uint64_t* written_bytes)
      TAILRACE_REQUIRES(mutex_) {
    if (call == SimCall::kMapWrite) return Status::Ok();
    for (ActiveFault& active : faults_) {
      const SimFault& fault = active.fault;
      if (fault.call && *fault.call != call) continue;
      const auto is_this = [&](SimCall each) { return each == call; };
      if (!fault.calls.empty() && std::none_of(fault.calls.begin(), fault.calls.end(), is_this)) {
        continue;
      }
      if (fault.after_another && (!first_hit_ || *first_hit_ == call)) continue;
      if (fault.mutating_only && !mutating) continue;
      if (path.find(fault.path_part) == std::string::npos) continue;
      ++active.matched;
      if (active.matched < fault.nth || (active.matched > fault.nth && !fault.for_ever)) continue;
      ++faults_hit_;
      if (!first_hit_) first_hit_ = call;
      if (written_bytes != nullptr) *written_bytes = fault.written_bytes;
      return fault.status.WithContext(std::string(SimCallName(call)) + " " + path);
    }
    return Status::Ok();
  }
};

// ---- Handles. ----

class SimFile final : public wal::File {
 public:
  SimFile(std::shared_ptr<SimFs::Core> core, SimFs::Core::Handle handle, bool writable)
      : core_(std::move(core)), handle_(std::move(handle)), writable_(writable) {}
  SimFile(const SimFile&) = delete;
  SimFile& operator=(const SimFile&) = delete;
  ~SimFile() override {
    const MutexLock lock(core_->mutex_);
    core_->CloseHandle(handle_);
  }

  Result<uint64_t> Read(uint64_t offset, char* target, uint64_t bytes) const override {
    const MutexLock lock(core_->mutex_);
    TAILRACE_RETURN_IF_ERROR(core_->Enter(SimCall::kRead, handle_.path, &handle_));
    const SimContent& content = core_->disk_.ContentOf(handle_.inode);
    if (offset >= content.size_bytes()) return uint64_t{0};
    const uint64_t got = std::min(bytes, content.size_bytes() - offset);
    content.Read(offset, target, got);
    return got;
  }

  Status Write(uint64_t offset, ByteView bytes) override {
    if (bytes.empty()) return Status::Ok();
    const MutexLock lock(core_->mutex_);
    TAILRACE_RETURN_IF_ERROR(CheckWritable());
    return core_->Write(handle_, offset, bytes);
  }

  Status WriteDurable(uint64_t offset, ByteView bytes) override {
    TAILRACE_CHECK(offset % wal::kBlockBytes == 0 && bytes.size() % wal::kBlockBytes == 0 &&
                       reinterpret_cast<uintptr_t>(bytes.data()) % wal::kBlockBytes == 0,
                   "durable writes are made of aligned blocks");
    const MutexLock lock(core_->mutex_);
    TAILRACE_RETURN_IF_ERROR(CheckWritable());
    return core_->WriteDurable(handle_, offset, bytes);
  }

  Status Sync() override {
    const MutexLock lock(core_->mutex_);
    return core_->Sync(handle_);
  }

  Status Truncate(uint64_t size_bytes) override {
    const MutexLock lock(core_->mutex_);
    TAILRACE_RETURN_IF_ERROR(CheckWritable());
    return core_->Truncate(handle_, size_bytes);
  }

  Status Allocate(uint64_t size_bytes) override {
    if (size_bytes == 0) return Status::Ok();
    const MutexLock lock(core_->mutex_);
    TAILRACE_RETURN_IF_ERROR(CheckWritable());
    return core_->Allocate(handle_, size_bytes);
  }

  Result<uint64_t> SizeBytes() const override {
    const MutexLock lock(core_->mutex_);
    TAILRACE_RETURN_IF_ERROR(core_->Enter(SimCall::kStat, handle_.path, &handle_));
    return core_->disk_.ContentOf(handle_.inode).size_bytes();
  }

 private:
  Status CheckWritable() const {
    if (writable_) return Status::Ok();
    return SimError(IoError, handle_.path, "Bad file descriptor");
  }

  const std::shared_ptr<SimFs::Core> core_;
  const SimFs::Core::Handle handle_;
  const bool writable_;
};

class SimMappedFile final : public wal::MappedFile {
 public:
  // The lock is held.
  SimMappedFile(std::shared_ptr<SimFs::Core> core, SimFs::Core::Handle handle,
                uint64_t size_bytes) TAILRACE_NO_THREAD_SAFETY_ANALYSIS
      : core_(std::move(core)),
        handle_(std::move(handle)),
        buffer_(size_bytes) {
    core_->disk_.ContentOf(handle_.inode).ForEachBlock([&](uint64_t offset, ByteView bytes) {
      if (offset >= size_bytes) return;
      std::memcpy(buffer_.data() + offset, bytes.data(),
                  std::min<uint64_t>(bytes.size(), size_bytes - offset));
    });
    core_->mappings_.emplace_back(handle_.inode, &buffer_);
  }
  SimMappedFile(const SimMappedFile&) = delete;
  SimMappedFile& operator=(const SimMappedFile&) = delete;
  ~SimMappedFile() override {
    const MutexLock lock(core_->mutex_);
    std::erase_if(core_->mappings_, [&](const auto& each) { return each.second == &buffer_; });
    core_->CloseHandle(handle_);
  }

  uint64_t size_bytes() const override { return buffer_.size_bytes(); }
  const char* data() const override { return buffer_.data(); }

  void Write(uint64_t offset, ByteView bytes) override {
    CheckRange(offset, bytes.size());
    if (bytes.empty()) return;
    const MutexLock lock(core_->mutex_);
    core_->MapWrite(handle_, buffer_, offset, bytes);
  }

  Status Sync(uint64_t offset, uint64_t bytes) override {
    CheckRange(offset, bytes);
    const MutexLock lock(core_->mutex_);
    return core_->MapSync(handle_, offset, bytes);
  }

 private:
  void CheckRange(uint64_t offset, uint64_t bytes) const {
    TAILRACE_CHECK(offset <= size_bytes() && bytes <= size_bytes() - offset,
                   "the range lies outside the mapped file");
  }

  const std::shared_ptr<SimFs::Core> core_;
  const SimFs::Core::Handle handle_;
  MapBuffer buffer_;
};

class SimSharedWords final : public wal::SharedWords {
 public:
  // The lock is held.
  SimSharedWords(std::shared_ptr<SimFs::Core> core, SimFs::Core::Handle handle,
                 std::shared_ptr<std::vector<uint64_t>> words)
      : SharedWords(words->data(), words->size()),
        core_(std::move(core)),
        handle_(std::move(handle)),
        words_(std::move(words)) {}
  ~SimSharedWords() override {
    const MutexLock lock(core_->mutex_);
    core_->CloseHandle(handle_);
  }

 private:
  const std::shared_ptr<SimFs::Core> core_;
  const SimFs::Core::Handle handle_;
  const std::shared_ptr<std::vector<uint64_t>> words_;  // Shared with the file's other mappings.
};

class SimFileLock final : public wal::FileLock {
 public:
  SimFileLock(std::shared_ptr<SimFs::Core> core, SimFs::Core::Handle handle)
      : core_(std::move(core)), handle_(std::move(handle)) {}
  SimFileLock(const SimFileLock&) = delete;
  SimFileLock& operator=(const SimFileLock&) = delete;
  ~SimFileLock() override {
    const MutexLock lock(core_->mutex_);
    if (handle_.process == core_->process_) std::erase(core_->locks_, handle_.inode);
    core_->CloseHandle(handle_);
  }

 private:
  const std::shared_ptr<SimFs::Core> core_;
  const SimFs::Core::Handle handle_;
};

// ---- The file system. ----

SimFs::SimFs(SimFsOptions options) : SimFs(SimDisk(options.disk), options) {}
SimFs::SimFs(SimDisk disk, SimFsOptions options)
    : core_(std::make_shared<Core>(std::move(disk), options.capacity_bytes)) {}
SimFs::~SimFs() = default;

Result<std::unique_ptr<wal::File>> SimFs::Open(const std::string& path, OpenMode mode) {
  const MutexLock lock(core_->mutex_);
  TAILRACE_RETURN_IF_ERROR(core_->Enter(SimCall::kOpen, path, nullptr));
  TAILRACE_ASSIGN_OR_RETURN(Core::Handle handle, core_->OpenFile(path, mode));
  return std::unique_ptr<wal::File>(
      std::make_unique<SimFile>(core_, std::move(handle), mode != OpenMode::kRead));
}

Result<std::unique_ptr<wal::MappedFile>> SimFs::Map(const std::string& path) {
  const MutexLock lock(core_->mutex_);
  TAILRACE_RETURN_IF_ERROR(core_->Enter(SimCall::kMap, path, nullptr));
  TAILRACE_ASSIGN_OR_RETURN(const SimDisk::Place place, core_->Existing(path));
  if (core_->disk_.IsDirectory(*place.inode)) return SimError(IoError, path, "not a regular file");
  const uint64_t size_bytes = core_->disk_.ContentOf(*place.inode).size_bytes();
  if (size_bytes == 0) return SimError(InvalidArgument, path, "the file is empty");
  return std::unique_ptr<wal::MappedFile>(
      std::make_unique<SimMappedFile>(core_, core_->OpenHandle(path, *place.inode), size_bytes));
}

Result<std::unique_ptr<wal::SharedWords>> SimFs::MapShared(const std::string& path,
                                                           wal::MapAccess) {
  const MutexLock lock(core_->mutex_);
  TAILRACE_RETURN_IF_ERROR(core_->Enter(SimCall::kMap, path, nullptr));
  TAILRACE_ASSIGN_OR_RETURN(const SimDisk::Place place, core_->Existing(path));
  if (core_->disk_.IsDirectory(*place.inode)) return SimError(IoError, path, "not a regular file");
  const uint64_t size_bytes = core_->disk_.ContentOf(*place.inode).size_bytes();
  if (size_bytes == 0 || size_bytes % sizeof(uint64_t) != 0) {
    return SimError(InvalidArgument, path, "the file is empty or not made of whole words");
  }
  return std::unique_ptr<wal::SharedWords>(std::make_unique<SimSharedWords>(
      core_, core_->OpenHandle(path, *place.inode), core_->WordsOf(*place.inode, size_bytes)));
}

Status SimFs::Remove(const std::string& path) {
  const MutexLock lock(core_->mutex_);
  return core_->Remove(path);
}

Status SimFs::Rename(const std::string& source, const std::string& target) {
  const MutexLock lock(core_->mutex_);
  return core_->Rename(source, target);
}

Status SimFs::Link(const std::string& source, const std::string& target) {
  const MutexLock lock(core_->mutex_);
  return core_->Link(source, target);
}

Status SimFs::CreateDirectory(const std::string& path) {
  const MutexLock lock(core_->mutex_);
  return core_->CreateDirectory(path);
}

Status SimFs::RemoveDirectory(const std::string& path) {
  const MutexLock lock(core_->mutex_);
  return core_->RemoveDirectory(path);
}

Status SimFs::SyncDirectory(const std::string& path) {
  const MutexLock lock(core_->mutex_);
  return core_->SyncDirectory(path);
}

Result<std::vector<wal::DirectoryEntry>> SimFs::List(const std::string& path) {
  const MutexLock lock(core_->mutex_);
  TAILRACE_RETURN_IF_ERROR(core_->Enter(SimCall::kList, path, nullptr));
  TAILRACE_ASSIGN_OR_RETURN(const SimDisk::Place place, core_->ExistingDirectory(path));
  return core_->disk_.List(*place.inode);
}

Result<bool> SimFs::Exists(const std::string& path) {
  const MutexLock lock(core_->mutex_);
  TAILRACE_RETURN_IF_ERROR(core_->Enter(SimCall::kStat, path, nullptr));
  return core_->Existing(path).ok();
}

Result<bool> SimFs::IsDirectory(const std::string& path) {
  const MutexLock lock(core_->mutex_);
  TAILRACE_RETURN_IF_ERROR(core_->Enter(SimCall::kStat, path, nullptr));
  return core_->ExistingDirectory(path).ok();
}

Result<std::unique_ptr<wal::FileLock>> SimFs::Lock(const std::string& path) {
  const MutexLock lock(core_->mutex_);
  TAILRACE_RETURN_IF_ERROR(core_->Enter(SimCall::kLock, path, nullptr));
  TAILRACE_ASSIGN_OR_RETURN(Core::Handle handle, core_->OpenFile(path, OpenMode::kCreate));
  std::vector<InodeId>& locks = core_->locks_;
  if (std::find(locks.begin(), locks.end(), handle.inode) != locks.end()) {
    core_->CloseHandle(handle);
    return SimError(
        Busy, path,
        "in use by process " + std::to_string(::getpid()) + "; stop it or open another directory");
  }
  locks.push_back(handle.inode);
  return std::unique_ptr<wal::FileLock>(std::make_unique<SimFileLock>(core_, std::move(handle)));
}

Result<bool> SimFs::IsLocked(const std::string& path) {
  const MutexLock lock(core_->mutex_);
  TAILRACE_RETURN_IF_ERROR(core_->Enter(SimCall::kStat, path, nullptr));
  TAILRACE_ASSIGN_OR_RETURN(const SimDisk::Place place, core_->Existing(path));
  std::vector<InodeId>& locks = core_->locks_;
  return std::find(locks.begin(), locks.end(), *place.inode) != locks.end();
}

uint64_t SimFs::BootId() {
  const MutexLock lock(core_->mutex_);
  return core_->boot_id_;
}

Result<wal::FileSystem::Space> SimFs::SpaceAt(const std::string& path) {
  const MutexLock lock(core_->mutex_);
  TAILRACE_RETURN_IF_ERROR(core_->Enter(SimCall::kStat, path, nullptr));
  TAILRACE_RETURN_IF_ERROR(core_->Existing(path).status());
  const uint64_t used = std::min(core_->UsedBytes(), core_->capacity_bytes_);
  return Space{.total_bytes = core_->capacity_bytes_, .free_bytes = core_->capacity_bytes_ - used};
}

SimDisk SimFs::disk() const {
  const MutexLock lock(core_->mutex_);
  return core_->disk_;
}

void SimFs::KillProcess() {
  const MutexLock lock(core_->mutex_);
  core_->EndProcess();
}

void SimFs::CutPower(const CrashChoice& choice) {
  const MutexLock lock(core_->mutex_);
  core_->EndProcess();
  core_->words_.clear();
  core_->boot_id_ = SimFs::Core::NextBootId();
  core_->disk_ = core_->disk_.Crash(choice);
}

void SimFs::CutPowerAt(uint64_t nth, CrashMoment moment) {
  TAILRACE_CHECK(nth > 0, "calls are counted from 1");
  const MutexLock lock(core_->mutex_);
  core_->cut_at_ = core_->operations_ + nth;
  core_->cut_moment_ = moment;
}

bool SimFs::power_is_cut() const {
  const MutexLock lock(core_->mutex_);
  return core_->power_is_cut_;
}

void SimFs::SetObserver(std::function<void(const SimOperation&)> observer) {
  const MutexLock lock(core_->mutex_);
  core_->observer_ = std::move(observer);
}

void SimFs::Inject(SimFault fault) {
  TAILRACE_CHECK(fault.nth > 0, "calls are counted from 1");
  const MutexLock lock(core_->mutex_);
  core_->faults_.push_back({.fault = std::move(fault)});
}

void SimFs::ClearFaults() {
  const MutexLock lock(core_->mutex_);
  core_->faults_.clear();
  core_->first_hit_.reset();
}

uint64_t SimFs::faults_hit() const {
  const MutexLock lock(core_->mutex_);
  return core_->faults_hit_;
}

void SimFs::SetLyingSyncs(bool lying) {
  const MutexLock lock(core_->mutex_);
  core_->lying_syncs_ = lying;
}

void SimFs::SetCapacity(uint64_t capacity_bytes) {
  const MutexLock lock(core_->mutex_);
  core_->capacity_bytes_ = capacity_bytes;
}

uint64_t SimFs::operations() const {
  const MutexLock lock(core_->mutex_);
  return core_->operations_;
}

uint64_t SimFs::calls(SimCall call) const {
  const MutexLock lock(core_->mutex_);
  return core_->calls_[static_cast<size_t>(call)];
}

uint64_t SimFs::open_handles() const {
  const MutexLock lock(core_->mutex_);
  return core_->open_handles_;
}

}  // namespace tailrace::test
