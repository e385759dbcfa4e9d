#include "wal/clock.h"

#include <ctime>

#include "wal/check.h"

namespace tailrace {
namespace {

uint64_t ReadMs(clockid_t id) {
  timespec now{};
  TAILRACE_CHECK(clock_gettime(id, &now) == 0, "the kernel has no such clock");
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1'000'000;
}

class SystemClock final : public Clock {
 public:
  uint64_t WallMs() const override { return ReadMs(CLOCK_REALTIME); }
  uint64_t BootMs() const override { return ReadMs(CLOCK_BOOTTIME); }
};

}  // namespace

const Clock& Clock::System() {
  static const SystemClock clock;
  return clock;
}

}  // namespace tailrace
