#include "engine/store_clock.h"

#include <utility>

#include "wal/mutants.h"

namespace tailrace::engine {

StoreClock::StoreClock(const Clock& clock, const ClockReading& last, uint64_t confirmation_ms)
    : clock_(clock),
      wall_at_open_ms_(clock.WallMs()),
      boot_at_open_ms_(clock.BootMs()),
      confirmation_ms_(confirmation_ms),
      age_base_ms_(last.age_ms) {
  const uint64_t now = wall_at_open_ms_;
  if (last.wall_ms == 0) return;  // A new store was never down.
  MutexLock lock(mutex_);
  pending_ms_ = last.pending_downtime_ms;
  if (now >= last.wall_ms) {
    pending_ms_ += now - last.wall_ms;
  } else {
    went_back_ms_ = last.wall_ms - now;
  }
  if (TAILRACE_MUTANT("downtime-counts-at-once")) age_base_ms_ += std::exchange(pending_ms_, 0);
}

uint64_t StoreClock::AgeMs() const {
  MutexLock lock(mutex_);
  if (TAILRACE_MUTANT("trimmed-by-the-wall-clock")) {
    return age_base_ms_ + (clock_.WallMs() - wall_at_open_ms_);
  }
  return age_base_ms_ + (clock_.BootMs() - boot_at_open_ms_);
}

// Two clocks cannot be looked at in one moment, and the machine may sleep between the two looks.
// With the age first that time is missing from the age; the other way round the next opening would
// count it as downtime and as age.
ClockReading StoreClock::Now() const {
  ClockReading now;
  {
    MutexLock lock(mutex_);
    now.age_ms = age_base_ms_ + (clock_.BootMs() - boot_at_open_ms_);
    now.pending_downtime_ms = pending_ms_;
  }
  now.wall_ms = clock_.WallMs();
  return now;
}

ClockReading StoreClock::Confirmed() const {
  ClockReading now = Now();
  now.age_ms += std::exchange(now.pending_downtime_ms, 0);
  return now;
}

uint64_t StoreClock::PendingDowntimeMs() const {
  MutexLock lock(mutex_);
  return pending_ms_;
}

bool StoreClock::ConfirmationDue() const {
  return PendingDowntimeMs() > 0 && clock_.BootMs() - boot_at_open_ms_ >= confirmation_ms_;
}

uint64_t StoreClock::ConfirmDowntime() {
  MutexLock lock(mutex_);
  const uint64_t counted = pending_ms_;
  age_base_ms_ += counted;
  pending_ms_ = 0;
  return counted;
}

}  // namespace tailrace::engine
