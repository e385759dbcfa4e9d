// What the fuzz targets share: choices drawn from the input, and a demand that must hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "wal/check.h"
#include "wal/types.h"

namespace tailrace::fuzz {

// Takes an input apart from its beginning. Past its end all is zero.
class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}
  explicit FuzzInput(ByteView bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }
  ByteView rest() const { return rest_; }

  // Little-endian.
  uint64_t TakeNumber(size_t bytes) {
    uint64_t value = 0;
    const ByteView taken = TakeBytes(bytes);
    for (size_t i = 0; i < taken.size(); ++i) {
      value |= uint64_t{static_cast<uint8_t>(taken[i])} << (8 * i);
    }
    return value;
  }
  uint8_t TakeByte() { return static_cast<uint8_t>(TakeNumber(1)); }
  bool TakeBool() { return TakeByte() % 2 == 1; }

  // Fewer at the end.
  ByteView TakeBytes(size_t bytes) {
    const ByteView taken = rest_.substr(0, bytes);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  // With a length of one byte before them.
  ByteView TakeShort() {
    const size_t bytes = TakeByte();
    return TakeBytes(bytes);
  }

 private:
  ByteView rest_;
};

// Ends the process, which is how a fuzzer learns of a bug.
inline void Require(bool holds, const std::string& what) { TAILRACE_CHECK(holds, what); }

}  // namespace tailrace::fuzz

// The entry of each target, and libFuzzer's own mutator for custom ones.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed);
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);
