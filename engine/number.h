// Number: the exact decimal that DynamoDB's N type holds. No binary floating point anywhere.
//
// Its bytes are specified in docs/item-format.md.
#pragma once

#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "wal/status.h"
#include "wal/types.h"

namespace tailrace {

// A decimal number of up to kNumberDigitsMax significant digits: 0, or a magnitude from 1E-130 to
// 9.9999999999999999999999999999999999999E+125. There is one object per value: 1.0 and 1 are the
// same, and so are -0 and 0. A small value type; thread-compatible.
class Number {
 public:
  // Zero.
  constexpr Number() = default;

  // Reads [+-]digits[.digits][e[+-]digits], or .digits in place of digits; no spaces.
  // kInvalidArgument, in the service's words, if the text is something else, the number is out of
  // range, or it has too many significant digits (leading and trailing zeros do not count). As on
  // the service, a zero is refused if its last written digit lies outside the range of exponents:
  // 0e126 is, 0.0e126 is not.
  static Result<Number> Parse(std::string_view text);

  // Every 64-bit integer fits.
  static Number FromInt64(int64_t value);
  static Number FromUint64(uint64_t value);

  bool is_zero() const { return high_ == 0; }
  bool is_negative() const { return negative_; }

  // The value, if it is an integer within the type's range.
  std::optional<int64_t> ToInt64() const;

  // Plain notation in normal form: no exponent, no needless zero, '-' for negative numbers. At most
  // 170 bytes.
  std::string ToString() const;

  Number Negated() const;

  // The bytes the number counts for in an item's size, by the service's reckoning.
  size_t SizeBytes() const;

  // Exact sum and difference. kInvalidArgument, in the service's words, if the result is out of
  // range or has more than kNumberDigitsMax significant digits (the service calls both an
  // overflow).
  static Result<Number> Add(const Number& a, const Number& b);
  static Result<Number> Subtract(const Number& a, const Number& b);

  // By value.
  friend std::strong_ordering operator<=>(const Number& a, const Number& b);
  friend bool operator==(const Number& a, const Number& b) = default;

  // ---- Ordered bytes: comparing two encodings as unsigned bytes compares the numbers, no encoding
  // is a prefix of another, and equal numbers have equal encodings. ----

  static constexpr size_t kOrderedBytesMax = 21;

  // The length that AppendOrdered appends: 1 for zero, otherwise 2 and one for each two digits.
  size_t OrderedBytes() const;

  // Writes OrderedBytes() bytes to `target`; returns the end.
  char* WriteOrdered(char* target) const;
  void AppendOrdered(std::string& target) const;

  // Takes one number off the front of `bytes`. Any input is safe; kCorruption, with `bytes`
  // unchanged, if no number in its only encoding is there.
  static Result<Number> TakeOrdered(ByteView& bytes);

 private:
  struct Digits;

  // The number of sign, digits and exponent, which are in range; zero if all digits are.
  static Number FromDigits(bool negative, const Digits& digits, int exponent);
  Digits ToDigits() const;
  static Result<Number> AddMagnitudes(const Number& large, const Number& small, bool subtract);
  static std::strong_ordering CompareMagnitudes(const Number& a, const Number& b);

  // 0 < |value| = d.ddd... x 10^exponent_. The 38 digits d ddd... stand left-aligned in high_ (the
  // first 19, so at least 10^18) and low_ (the next 19). All members are 0 for zero.
  uint64_t high_ = 0;
  uint64_t low_ = 0;
  int16_t exponent_ = 0;
  bool negative_ = false;
};

}  // namespace tailrace
