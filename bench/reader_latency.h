// From the moment a writer calls to the moment a reader that waited has the record in its hands:
// the measuring that Tailrace's cases and the rival's share.
#pragma once

#include <benchmark/benchmark.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <semaphore>
#include <string_view>

namespace tailrace::bench {

// Hands the times at which records came from a reader's thread to the writer's, which waits for
// each before it writes again.
class Arrivals {
 public:
  void Add(uint64_t now_ns) {
    last_ns_ = now_ns;
    came_.release();
  }
  uint64_t Next() {
    came_.acquire();
    return last_ns_;
  }

 private:
  std::atomic<uint64_t> last_ns_{0};
  std::binary_semaphore came_{0};
};

// Writes the value under the key; returns when it is acknowledged, with the time at which the call
// began.
using TimedWrite = std::function<uint64_t(const std::string& key, std::string_view value)>;
// When the record of the last write came to the reader; waits for it.
using Arrival = std::function<uint64_t()>;

// Writes for TheSettings().seconds, one record after another, each when the reader sleeps again.
// All times are CLOCK_MONOTONIC's, which processes share.
void MeasureReaderLatency(benchmark::State& state, const TimedWrite& write, const Arrival& arrival);

}  // namespace tailrace::bench
