// A disk whose power can be cut: a real file system of the kernel's on a loop device over a piece
// of memory. The cut is the FS_IOC_SHUTDOWN ioctl without a flush of the file system's log: what
// was not written to the device by then never will be. (The device itself loses nothing that it
// took: a drive with a cache that forgets is not shown.)
//
// It needs root, loop devices and mkfs. Everything is mounted in a mount namespace of this process
// alone, and the devices detach by themselves: whichever way the process ends, SIGKILL included,
// nothing stays mounted or attached.
#pragma once

#include <memory>
#include <string>

#include "tools/crashtest/lineage.h"
#include "wal/status.h"

namespace tailrace::test {

class LoopDisk final : public crashtest::PowerSwitch {
 public:
  // Must be called once, before the process has other threads. Says what is missing if there can be
  // no such disks here: kFailedPrecondition.
  static Status Prepare();

  // A new file system of that type ("ext4", "xfs"), mounted on the empty directory `mount_point`.
  // Thread-safe. kFailedPrecondition as above, kIoError.
  static Result<std::unique_ptr<LoopDisk>> Make(const std::string& type,
                                                const std::string& mount_point);

  LoopDisk(const LoopDisk&) = delete;
  LoopDisk& operator=(const LoopDisk&) = delete;
  ~LoopDisk() override;  // Unmounts and detaches.

  void Cut() override;

  // An error of Damaged too, as it was before the cut.
  Status Restart() override;

  // kCorruption: the kernel has found its own file system damaged (ext4 counts that), so that what
  // is on it is anybody's guess.
  Status Damaged() const;

  // Unmounts the disk and has the file system's own checker (e2fsck, xfs_repair) look at all of it,
  // changing nothing. OK: it found nothing; kCorruption with what it said otherwise. For the end.
  Status CheckWhole();

 private:
  LoopDisk(std::string type, std::string mount_point)
      : type_(std::move(type)), mount_point_(std::move(mount_point)) {}

  Status MakeImage();
  Status Attach();
  void Detach();
  Status Format() const;
  Status Mount();
  Status Unmount();

  const std::string type_;
  const std::string mount_point_;
  int image_fd_ = -1;  // The memory.
  std::string device_;
  int device_fd_ = -1;  // While it is open the device stays attached.
  bool mounted_ = false;
  Status cut_;  // Of the last cut.
};

}  // namespace tailrace::test
