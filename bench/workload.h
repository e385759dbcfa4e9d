// Keys and values, the same for every engine.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tests/support/random.h"

namespace tailrace::bench {

// Fixed length, in the order of the ids.
std::string KeyOf(uint64_t id);

// Ids below `items`, all alike or some much more often than others.
class KeyChooser {
 public:
  enum class Kind {
    kUniform,
    kZipfian,  // With the exponent 0.99 of YCSB's workloads; popular ids lie all over.
  };
  KeyChooser(Kind kind, uint64_t items, uint64_t seed);
  uint64_t Next();

 private:
  const Kind kind_;
  const uint64_t items_;
  test::Random random_;
  double zeta_ = 0;  // Of all items, and what the method of Gray et al. (SIGMOD 1994) makes of it.
  double alpha_ = 0, eta_ = 0;
};

// Values of random bytes, no two in a row alike.
class ValueMaker {
 public:
  ValueMaker(uint64_t bytes, uint64_t seed);
  // Valid until the next call.
  std::string_view Next();

 private:
  test::Random random_;
  std::string pool_;
  std::string value_;
  uint64_t count_;
};

}  // namespace tailrace::bench
