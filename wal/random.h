// Numbers drawn from a seed, the same on every machine; or from bytes, for a fuzzer.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

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

  // Takes its numbers from the bytes, one for each number below 256 and eight for others; after the
  // last of them all is 0. Borrows them.
  explicit Random(std::string_view choices) : choices_(choices) {}

  uint64_t seed() const { return seed_; }

  uint64_t Next() { return choices_ ? TakeChoice(8) : MixSeed(seed_, index_++); }

  // Whether there were bytes to take numbers from, and all are taken.
  bool exhausted() const { return choices_ && choices_->empty(); }

  // 0 <= result < limit; the limit is not 0.
  uint64_t Below(uint64_t limit) {
    TAILRACE_CHECK(limit > 0, "there is no number below 0");
    return (choices_ && limit <= 256 ? TakeChoice(1) : Next()) % limit;
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
  uint64_t TakeChoice(size_t bytes) {
    uint64_t taken = 0;
    for (const char each : choices_->substr(0, bytes)) {
      taken = taken << 8 | static_cast<unsigned char>(each);
    }
    choices_->remove_prefix(std::min(bytes, choices_->size()));
    return taken;
  }

  uint64_t seed_ = 0;
  uint64_t index_ = 0;
  std::optional<std::string_view> choices_;
};

}  // namespace tailrace
