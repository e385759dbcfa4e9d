// A clock that tests step: wal/sim_clock.h, under the name that tests know it by.
#pragma once

#include "wal/sim_clock.h"

namespace tailrace::test {

using tailrace::SimClock;

}  // namespace tailrace::test
