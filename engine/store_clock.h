// The store's age: the time it ran, summed over its runs, plus downtime that was confirmed.
//
// Records expire by age, so a wall clock that jumps expires nothing. What the wall clock says about
// the time between two runs is pending until the store has run for a while, or an operator vouches
// for it.
#pragma once

#include <cstdint>

#include "engine/fold.h"
#include "wal/clock.h"
#include "wal/mutex.h"

namespace tailrace::engine {

// Thread-safe.
class StoreClock {
 public:
  // Goes on from the journal's last reading (zero in a new store). `confirmation_ms`: how long to
  // run before downtime counts.
  StoreClock(const Clock& clock, const ClockReading& last, uint64_t confirmation_ms);

  uint64_t WallMs() const { return clock_.WallMs(); }
  uint64_t AgeMs() const;
  // A reading to recover from. Whenever it is recovered from, no time is counted twice.
  ClockReading Now() const;
  // What Now will be once the pending downtime counts.
  ClockReading Confirmed() const;

  // Downtime that does not count yet.
  uint64_t PendingDowntimeMs() const;
  bool ConfirmationDue() const;

  // Counts the pending downtime; returns how much it was.
  uint64_t ConfirmDowntime();

  // How far the wall clock was behind the last reading when the store was opened.
  uint64_t WentBackMs() const { return went_back_ms_; }

 private:
  const Clock& clock_;
  const uint64_t wall_at_open_ms_;  // Looked at before boot_at_open_ms_, see Now.
  const uint64_t boot_at_open_ms_;
  const uint64_t confirmation_ms_;
  uint64_t went_back_ms_ = 0;

  mutable Mutex mutex_;
  uint64_t age_base_ms_ TAILRACE_GUARDED_BY(mutex_);
  uint64_t pending_ms_ TAILRACE_GUARDED_BY(mutex_) = 0;
};

}  // namespace tailrace::engine
