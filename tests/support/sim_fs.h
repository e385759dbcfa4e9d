// A file system in memory whose power can be cut, whose process can be killed and whose calls can
// be made to fail: the seam of wal/fs.h over a SimDisk.
//
// Three ways to crash code under test:
//  - Observe every mutating call: the observer sees the disk in the most uncertain moment of the
//  call
//    (its effect pending, nothing of it durable) and can enumerate what a power cut there would
//    leave (ForEachCrashState). One run of a workload gives every state of every moment.
//  - CutPowerAt(n): from the n-th mutating call on, everything fails, so that the code unwinds;
//  then look
//    at disk(), or Restart with a choice.
//  - Stop using the objects and call KillProcess or CutPower.
// After KillProcess and CutPower all handles are dead: their calls fail and their locks are gone.
//
// Shared words (MapShared) never reach the disk: all mappings of a file share them, KillProcess
// leaves them, and after CutPower the file holds what it was made with. Stores into them count as
// no call, since no state on disk comes of them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/sim_disk.h"
#include "wal/fs.h"

namespace tailrace::test {

// What a call does. The first group changes the disk ("mutating"), the second does not.
enum class SimCall : uint8_t {
  kCreate,  // Open or Lock that makes the file.
  kWrite,
  kWriteDurable,
  kSync,
  kTruncate,
  kAllocate,
  kMapWrite,
  kMapSync,
  kRemove,
  kRename,
  kLink,
  kCreateDirectory,
  kRemoveDirectory,
  kSyncDirectory,

  kOpen,
  kRead,
  kMap,
  kList,
  kStat,  // SizeBytes, Exists, IsDirectory, IsLocked, SpaceAt.
  kLock,
};
inline constexpr SimCall kLastMutatingCall = SimCall::kSyncDirectory;
inline constexpr uint32_t kSimCalls = static_cast<uint32_t>(SimCall::kLock) + 1;

// The call's name ("sync directory").
std::string_view SimCallName(SimCall call);

// A mutating call, as its observer sees it.
struct SimOperation {
  uint64_t index = 0;  // 1 for the first of this SimFs.
  SimCall call{};
  const std::string& path;
  uint64_t offset = 0;  // Writes and mapped syncs. kTruncate, kAllocate: the size.
  ByteView bytes;       // Writes.
  const SimDisk& disk;  // Now.
};

// Makes calls fail. Counts the calls that match it from its injection on. A mapped write is a store
// into memory and cannot fail; it is never counted.
struct SimFault {
  std::optional<SimCall> call = std::nullopt;  // None: every call.
  std::vector<SimCall> calls = {};             // None: as `call` says. Else one of these.
  bool mutating_only = false;
  std::string path_part = {};  // The path must contain it.
  uint64_t nth = 1;
  bool for_ever = false;  // From the n-th on, else only that one.

  // A second fault: counts from the moment at which another one is hit first, and not the calls of
  // the kind that failed then. So it falls into the handling of that failure.
  bool after_another = false;

  Status status = IoError("injected");

  // kWrite, kWriteDurable: so many bytes of the data are written before the failure.
  uint64_t written_bytes = 0;
};

enum class CrashMoment {
  kBefore,  // Nothing of the call happened.
  kDuring,  // Its effect is pending, nothing of it is durable.
};

inline constexpr uint64_t kUnlimitedBytes = 1ull << 50;

struct SimFsOptions {
  SimDiskOptions disk = {};

  // Size of the disk: a write beyond it gets kNoSpace after filling it. Files count with their
  // sizes in whole blocks.
  uint64_t capacity_bytes = kUnlimitedBytes;
};

// Thread-safe. Handles may outlive it.
class SimFs final : public wal::FileSystem {
 public:
  explicit SimFs(SimFsOptions options = {});
  // Over a state made before, such as a power cut's. Takes microseconds.
  explicit SimFs(SimDisk disk, SimFsOptions options = {});
  ~SimFs() override;
  SimFs(const SimFs&) = delete;
  SimFs& operator=(const SimFs&) = delete;

  Result<std::unique_ptr<wal::File>> Open(const std::string& path, wal::OpenMode mode) override;
  Result<std::unique_ptr<wal::MappedFile>> Map(const std::string& path) override;
  Result<std::unique_ptr<wal::SharedWords>> MapShared(const std::string& path,
                                                      wal::MapAccess access) override;
  Status Remove(const std::string& path) override;
  Status Rename(const std::string& source, const std::string& target) override;
  Status Link(const std::string& source, const std::string& target) override;
  Status CreateDirectory(const std::string& path) override;
  Status RemoveDirectory(const std::string& path) override;
  Result<std::vector<wal::DirectoryEntry>> List(const std::string& path) override;
  Result<bool> Exists(const std::string& path) override;
  Result<bool> IsDirectory(const std::string& path) override;
  Status SyncDirectory(const std::string& path) override;
  Result<std::unique_ptr<wal::FileLock>> Lock(const std::string& path) override;
  Result<bool> IsLocked(const std::string& path) override;
  uint64_t BootId() override;
  Result<Space> SpaceAt(const std::string& path) override;

  // --- Crashes. ---

  // The disk now: a cheap copy.
  SimDisk disk() const;

  // The process dies: handles too; what was written stays, as pending as it was.
  void KillProcess();

  // The power is cut and comes back: as KillProcess, and the disk is disk().Crash(choice).
  void CutPower(const CrashChoice& choice);

  // The n-th mutating call from now fails, and everything after it, until KillProcess or CutPower.
  // A mapped write cannot fail; it is then seen by nobody.
  void CutPowerAt(uint64_t nth, CrashMoment moment);

  // Whether the point set by CutPowerAt was reached.
  bool power_is_cut() const;

  // Called for every mutating call, holding the lock: it must not call the file system. None: none.
  void SetObserver(std::function<void(const SimOperation&)> observer);

  // --- Faults. ---

  void Inject(SimFault fault);
  void ClearFaults();

  // How many calls failed by injection.
  uint64_t faults_hit() const;

  // Syncs and durable writes say OK and make nothing durable.
  void SetLyingSyncs(bool lying);

  void SetCapacity(uint64_t capacity_bytes);

  // --- Counts. ---

  // Mutating calls so far.
  uint64_t operations() const;
  uint64_t calls(SimCall call) const;

  // Files, mappings and locks that are open now.
  uint64_t open_handles() const;

 private:
  friend class SimFile;
  friend class SimMappedFile;
  friend class SimFileLock;
  friend class SimSharedWords;
  class Core;

  const std::shared_ptr<Core> core_;
};

}  // namespace tailrace::test
