// One life of the process under test, from the side of the oracle: start it, listen to it, end it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tools/crashtest/protocol.h"

namespace tailrace::crashtest {

// When the process shall die, or the power fail. Whatever comes first of what is set.
struct LifeAim {
  enum class Kind {
    kAfterEvents,  // After so many events of its traffic.
    kAfterTime,    // So many microseconds after its start: within the opening, mostly.
    kAtPause,      // It kills itself at the plan's pause point.
    kStop,         // Not at all: it is asked to stop, after so many events.
    kStopAndKill,  // It is asked to stop, and killed so many microseconds later.
  };
  Kind kind = Kind::kAfterEvents;
  uint64_t events = 0;
  uint64_t delay_us = 0;
};

struct VictimReport {
  std::vector<Event> events;
  bool killed = false;   // By SIGKILL.
  uint64_t open_us = 0;  // From the start to the first event; 0: there was none.
  std::string problem;   // It ended in a way that it must not, or hung.
};

// Runs the program once. Returns when the process is dead. If `cut_power` is given, the aim is when
// the power fails: the process is killed, whatever calls it has under way, and `cut_power` is
// called at once, not when it is dead.
VictimReport RunVictim(const std::vector<std::string>& program, const LifePlan& plan,
                       const LifeAim& aim, const std::function<void()>& cut_power = nullptr);

}  // namespace tailrace::crashtest
