// Numbers drawn from a seed, the same on every machine.
#pragma once

#include <cstdint>
#include <string>

#include "wal/check.h"

namespace tailrace {

// A number that depends on both and looks like neither (SplitMix64).
inline uint64_t MixSeed(uint64_t seed, uint64_t index) {
  uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

// Thread-compatible.
class Random {
 public:
  explicit Random(uint64_t seed) : seed_(seed) {}

  uint64_t seed() const { return seed_; }

  uint64_t Next() { return MixSeed(seed_, index_++); }

  // 0 <= result < limit; the limit is not 0.
  uint64_t Below(uint64_t limit) {
    TAILRACE_CHECK(limit > 0, "there is no number below 0");
    return Next() % limit;
  }

  // first <= result <= last.
  uint64_t Between(uint64_t first, uint64_t last) { return first + Below(last - first + 1); }

  // True once in `times` calls, on average.
  bool OneIn(uint64_t times) { return Below(times) == 0; }

  std::string Bytes(uint64_t bytes) {
    std::string drawn(bytes, '\0');
    for (char& each : drawn) each = static_cast<char>(Next() & 0xff);
    return drawn;
  }

 private:
  const uint64_t seed_;
  uint64_t index_ = 0;
};

}  // namespace tailrace
