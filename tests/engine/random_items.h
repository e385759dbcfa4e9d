// Random numbers, values and items for property tests: every type, with the odd cases often.
#pragma once

#include <cstddef>
#include <string>

#include "engine/key.h"
#include "engine/value.h"
#include "tests/support/random.h"

namespace tailrace::test {

// Any valid number: zero, small and large integers, up to 38 digits at any exponent, the limits.
Number RandomNumber(Random& random);

// The same number written in another way: with signs, zeros, an exponent.
std::string OtherWriting(Random& random, const Number& number);

// Up to `characters_max` characters of one to four bytes, NUL among them; `characters_min` at
// least.
std::string RandomText(Random& random, size_t characters_min, size_t characters_max);

// A value of any type that may hold `levels` levels, itself being the first.
Value RandomValue(Random& random, int levels);

// A value of a type that keys may have, within the limits of keys.
Value RandomKeyValue(Random& random, ScalarType type);

// Up to `attributes_max` attributes.
Item RandomItem(Random& random, size_t attributes_max);

// `bytes` after one to three random changes: bits flipped, bytes overwritten, inserted, removed,
// copied from elsewhere, or the end cut off.
std::string Mutated(Random& random, std::string bytes);

// Bytes as hex digits, two a byte.
std::string Hex(ByteView bytes);

}  // namespace tailrace::test
