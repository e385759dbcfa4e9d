// How far a long command has come: a bar on a terminal, lines elsewhere if asked for. On standard
// error.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace tailrace::tools {

// Microseconds since it was made.
class Stopwatch {
 public:
  uint64_t ElapsedUs() const {
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                     std::chrono::steady_clock::now() - began_)
                                     .count());
  }

 private:
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

// One thread at a time.
class Progress {
 public:
  // `what` is counted ("item"). A line is printed after every `every` of them; 0: a bar if standard
  // error is a terminal, else nothing.
  Progress(std::string what, uint64_t every);
  ~Progress();  // Clears the bar.

  // `count` so far; `done` of `total` units of anything (bytes, say) are behind, 0 of 0 if that is
  // unknown. Cheap enough to be called for each one.
  void Update(uint64_t count, uint64_t done, uint64_t total);

  // The same for calls that are far apart: each looks at the clock.
  void UpdateNow(uint64_t count, uint64_t done, uint64_t total);

  // Takes the bar off the screen, before something else is printed.
  void Clear();

 private:
  void DrawBar(uint64_t count, uint64_t done, uint64_t total) const;

  const std::string what_;
  const uint64_t every_;
  const bool bar_;
  bool drawn_ = false;
  Stopwatch watch_;
  uint64_t last_drawn_us_ = 0;
  uint64_t last_count_ = 0;
};

}  // namespace tailrace::tools
