#include "wal/shared_words.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

namespace tailrace::wal {
namespace {

// glibc has no call for it, and headers older than the kernel no name.
constexpr long kFutexWaitVector = 449;

constexpr uint64_t kNanosecondsPerSecond = 1'000'000'000;

// A year: longer, and the arithmetic of clocks runs over.
constexpr uint64_t kTimeoutUsMax = 365ull * 24 * 3600 * 1'000'000;

// Where the kernel cannot wait for two words at once, an interrupt is looked for so often.
constexpr uint64_t kInterruptLookNs = 100'000'000;

uint64_t NowNs() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * kNanosecondsPerSecond +
         static_cast<uint64_t>(now.tv_nsec);
}

uint64_t DeadlineNs(uint64_t timeout_us) {
  return NowNs() + std::min(timeout_us, kTimeoutUsMax) * 1000;
}

timespec TimeOf(uint64_t moment_ns) {
  timespec time{};
  time.tv_sec = static_cast<time_t>(moment_ns / kNanosecondsPerSecond);
  time.tv_nsec = static_cast<long>(moment_ns % kNanosecondsPerSecond);
  return time;
}

void WakeAll(const void* word, int flags) {
  (void)::syscall(SYS_futex, word, FUTEX_WAKE | flags, INT_MAX, nullptr, nullptr, 0);
}

// Returns when woken, when a word differs already, at `deadline_ns`, or for no reason.
void SleepAtOne(const void* word, int flags, uint32_t seen, uint64_t deadline_ns) {
  const timespec deadline = TimeOf(deadline_ns);
  (void)::syscall(SYS_futex, word, FUTEX_WAIT_BITSET | flags, seen, &deadline, nullptr,
                  FUTEX_BITSET_MATCH_ANY);
}

// As futex_waitv(2) takes them.
struct FutexWaiter {
  uint64_t value = 0;
  uint64_t address = 0;
  uint32_t flags = 0;
  uint32_t reserved = 0;
};
constexpr uint32_t kFutex32Bits = 2;
constexpr uint32_t kFutexPrivate = FUTEX_PRIVATE_FLAG;

// The same for two words, the second of this process alone.
void SleepAtBoth(const void* shared, uint32_t seen, const void* own, uint64_t deadline_ns) {
  const FutexWaiter waiters[] = {
      {seen, reinterpret_cast<uint64_t>(shared), kFutex32Bits, 0},
      {0, reinterpret_cast<uint64_t>(own), kFutex32Bits | kFutexPrivate, 0},
  };
  const timespec deadline = TimeOf(deadline_ns);
  if (::syscall(kFutexWaitVector, waiters, 2, 0, &deadline, CLOCK_MONOTONIC) >= 0) return;
  if (errno == EAGAIN || errno == EINTR || errno == ETIMEDOUT) return;
  SleepAtOne(shared, 0, seen, std::min(deadline_ns, NowNs() + kInterruptLookNs));
}

}  // namespace

void Interrupt::Set() {
  word_.store(1, std::memory_order_release);
  WakeAll(&word_, FUTEX_PRIVATE_FLAG);
}

bool Interrupt::Wait(uint64_t timeout_us) const {
  const uint64_t deadline_ns = DeadlineNs(timeout_us);
  while (!is_set()) {
    if (NowNs() >= deadline_ns) return false;
    SleepAtOne(&word_, FUTEX_PRIVATE_FLAG, 0, deadline_ns);
  }
  return true;
}

// The lower half of a word lies at its address: Tailrace runs on little-endian processors.
void SharedWords::Wake(uint64_t word) { WakeAll(words_ + word, 0); }

bool SharedWords::Wait(uint64_t word, uint64_t seen, uint64_t timeout_us,
                       const Interrupt* interrupt) const {
  const uint64_t deadline_ns = DeadlineNs(timeout_us);
  const auto seen_half = static_cast<uint32_t>(seen);
  while (static_cast<uint32_t>(Load(word)) == seen_half) {
    if (interrupt != nullptr && interrupt->is_set()) return true;
    if (NowNs() >= deadline_ns) return false;
    sleeps_.fetch_add(1, std::memory_order_relaxed);
    if (interrupt == nullptr) {
      SleepAtOne(words_ + word, 0, seen_half, deadline_ns);
    } else {
      SleepAtBoth(words_ + word, seen_half, &interrupt->word_, deadline_ns);
    }
  }
  return true;
}

}  // namespace tailrace::wal
