// A process that has a store open, as tests see it (owner_main.cc).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "tests/support/sim_clock.h"

namespace tailrace::test {

// Begun by the constructor, which returns once the store is open; killed by the destructor.
class Owner {
 public:
  explicit Owner(const std::string& directory, const std::string& mode = "buffered",
                 uint64_t wall_ms = SimClock::kStartWallMs);
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;
  ~Owner();

  // Gives an order and waits for its answer, which must be "ok": the number of the last change.
  uint64_t Order(const std::string& order);

  void Kill();   // With SIGKILL, and waits for its end.
  void Close();  // Lets it close the store, and waits for its end.

  pid_t pid() const { return pid_; }

 private:
  std::string ReadLine();
  void Wait();

  pid_t pid_ = -1;
  int in_ = -1;
  int out_ = -1;
};

}  // namespace tailrace::test
