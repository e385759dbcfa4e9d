// Time as the store sees it. Everything that asks for the time asks a Clock, so that tests can step
// it.
#pragma once

#include <cstdint>

namespace tailrace {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  // Milliseconds since the Unix epoch. May jump either way: use it for stamps, never for ages.
  virtual uint64_t WallMs() const = 0;

  // Milliseconds since some fixed moment of this boot, time asleep included. Never falls.
  virtual uint64_t BootMs() const = 0;

  // The machine's clock (CLOCK_REALTIME, CLOCK_BOOTTIME). Lives for ever.
  static const Clock& System();
};

}  // namespace tailrace
