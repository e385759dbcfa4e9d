#include "tests/crash/loop_disk.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

#include "tools/process.h"

namespace tailrace::test {
namespace {

// FS_IOC_SHUTDOWN, which the headers of this system do not have: _IOR('X', 125, __u32).
constexpr unsigned long kShutdown = _IOR('X', 125, uint32_t);
constexpr uint32_t kWithoutLogFlush = 2;

constexpr off_t kExt4Bytes = 64ll << 20;
constexpr off_t kXfsBytes = 320ll << 20;  // It makes none below 300 MiB. Holes take no memory.
constexpr int kAttachTriesMax = 100;      // Somebody else may take the free device first.
constexpr int kUnmountTriesMax = 5000;    // A dying process gives its files up a little later.
constexpr int kUnmountPauseMs = 1;

Status Failed(const std::string& what) { return IoError(what + ": " + std::strerror(errno)); }

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  const int fd_;
};

std::vector<std::string> FormatCommand(const std::string& type, const std::string& device) {
  if (type == "xfs") return {"/sbin/mkfs.xfs", "-q", "-K", device};
  return {"/sbin/mkfs." + type,
          "-q",
          "-F",
          "-E",
          "nodiscard,lazy_itable_init=0,lazy_journal_init=0",
          device};
}

std::vector<std::string> CheckCommand(const std::string& type, const std::string& device) {
  if (type == "xfs") return {"/sbin/xfs_repair", "-n", device};
  return {"/sbin/e2fsck", "-f", "-n", device};
}

}  // namespace

Status LoopDisk::Prepare() {
  if (::geteuid() != 0) return FailedPrecondition("only root can mount file systems");
  const Descriptor control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  if (control.get() < 0) {
    return FailedPrecondition(std::string("/dev/loop-control: ") + std::strerror(errno));
  }
  if (::unshare(CLONE_NEWNS) != 0 ||
      ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return FailedPrecondition(std::string("a mount namespace of our own: ") + std::strerror(errno));
  }
  return Status::Ok();
}

Result<std::unique_ptr<LoopDisk>> LoopDisk::Make(const std::string& type,
                                                 const std::string& mount_point) {
  if (::access(FormatCommand(type, "").front().c_str(), X_OK) != 0) {
    return FailedPrecondition(FormatCommand(type, "").front() + " is missing");
  }
  std::unique_ptr<LoopDisk> disk(new LoopDisk(type, mount_point));
  TAILRACE_RETURN_IF_ERROR(disk->MakeImage());
  TAILRACE_RETURN_IF_ERROR(disk->Attach());
  TAILRACE_RETURN_IF_ERROR(disk->Format());
  TAILRACE_RETURN_IF_ERROR(disk->Mount());
  return disk;
}

LoopDisk::~LoopDisk() {
  if (mounted_) (void)Unmount();
  Detach();
  if (image_fd_ >= 0) ::close(image_fd_);
}

// Over memory that goes with the last who has it open.
Status LoopDisk::MakeImage() {
  image_fd_ = ::memfd_create("tailrace-disk", MFD_CLOEXEC);
  if (image_fd_ < 0 || ::ftruncate(image_fd_, type_ == "xfs" ? kXfsBytes : kExt4Bytes) != 0) {
    return Failed("memory for a disk");
  }
  return Status::Ok();
}

Status LoopDisk::Attach() {
  const Descriptor control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  loop_config config{};
  config.fd = static_cast<uint32_t>(image_fd_);
  config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
  for (int tries = 0; tries < kAttachTriesMax; ++tries) {
    const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return FailedPrecondition(std::string("no loop device: ") + strerror(errno));
    device_ = "/dev/loop" + std::to_string(number);
    const int fd = ::open(device_.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) return FailedPrecondition(device_ + ": " + std::strerror(errno));
    if (::ioctl(fd, LOOP_CONFIGURE, &config) == 0) {
      device_fd_ = fd;
      return Status::Ok();
    }
    const int error = errno;
    ::close(fd);
    errno = error;
    if (error != EBUSY) break;
  }
  return FailedPrecondition(device_ + " cannot be attached: " + std::strerror(errno));
}

void LoopDisk::Detach() {
  if (device_fd_ >= 0) ::close(device_fd_);
  device_fd_ = -1;
}

Status LoopDisk::Format() const {
  TAILRACE_ASSIGN_OR_RETURN(auto process, tools::Process::Start(FormatCommand(type_, device_)));
  (void)process.ReadAll();
  const int code = process.Wait();
  if (code == 0) return Status::Ok();
  return IoError("mkfs." + type_ + " ended with " + std::to_string(code));
}

Status LoopDisk::Mount() {
  if (::mount(device_.c_str(), mount_point_.c_str(), type_.c_str(), MS_NOATIME, nullptr) != 0) {
    // A kernel without that file system.
    if (errno == ENODEV) return FailedPrecondition("this kernel does not know " + type_);
    return Failed("mounting " + device_ + " as " + type_);
  }
  mounted_ = true;
  return Status::Ok();
}

Status LoopDisk::Unmount() {
  for (int tries = 0; tries < kUnmountTriesMax; ++tries) {
    if (::umount2(mount_point_.c_str(), UMOUNT_NOFOLLOW) == 0) {
      mounted_ = false;
      return Status::Ok();
    }
    if (errno != EBUSY) break;
    (void)::poll(nullptr, 0, kUnmountPauseMs);
  }
  return Failed("unmounting " + mount_point_);
}

Status LoopDisk::Damaged() const {
  // xfs shuts itself down instead, and has no such count.
  const std::string name = device_.substr(device_.rfind('/') + 1);
  std::ifstream errors("/sys/fs/ext4/" + name + "/errors_count");
  uint64_t count = 0;
  if (!(errors >> count) || count == 0) return Status::Ok();
  return Corruption("the kernel found its own file system on " + device_ + " damaged");
}

// Mounting replayed the file system's log, and unmounting left it clean: whatever the checker
// finds, no power cut explains.
Status LoopDisk::CheckWhole() {
  TAILRACE_RETURN_IF_ERROR(Unmount());
  TAILRACE_ASSIGN_OR_RETURN(auto process, tools::Process::Start(CheckCommand(type_, device_)));
  const std::string output = process.ReadAll();
  if (process.Wait() == 0) return Status::Ok();
  return Corruption(output);
}

void LoopDisk::Cut() {
  const Descriptor root(::open(mount_point_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  uint32_t how = kWithoutLogFlush;
  cut_ = Damaged();  // The count may not survive.
  if (root.get() < 0 || ::ioctl(root.get(), kShutdown, &how) != 0) cut_ = Failed("the power cut");
}

Status LoopDisk::Restart() {
  TAILRACE_RETURN_IF_ERROR(cut_);
  TAILRACE_RETURN_IF_ERROR(Unmount());
  // The kernel keeps blocks of a device in memory for as long as somebody has it open, those too
  // that a cut file system had changed and will never write: the next mount would find them.
  Detach();
  TAILRACE_RETURN_IF_ERROR(Attach());
  return Mount();
}

}  // namespace tailrace::test
