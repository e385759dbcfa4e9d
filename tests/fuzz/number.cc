// Numbers of 38 digits against arithmetic as at school: two columns of decimal digits.
#include "engine/number.h"

#include <algorithm>
#include <array>
#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "engine/limits.h"
#include "tests/fuzz/fuzz_input.h"

namespace tailrace::fuzz {
namespace {

// A decimal with so many places before and behind the point: more than any number or sum needs.
constexpr int kWhole = 130;
constexpr int kPlaces = 170;
constexpr int kColumns = kWhole + kPlaces;

struct Decimal {
  bool negative = false;
  std::array<int, kColumns> digits{};  // The highest first; the point stands behind kWhole.

  bool zero() const {
    return std::all_of(digits.begin(), digits.end(), [](int digit) { return digit == 0; });
  }
};

// Of a number's plain text.
Decimal ToDecimal(const Number& number) {
  std::string text = number.ToString();
  Decimal decimal;
  if (text[0] == '-') {
    decimal.negative = true;
    text.erase(0, 1);
  }
  const size_t point = std::min(text.find('.'), text.size());
  int column = kWhole - static_cast<int>(point);
  for (const char each : text) {
    if (each == '.') continue;
    Require('0' <= each && each <= '9', "plain notation: " + number.ToString());
    Require(0 <= column && column < kColumns, "a number within the range: " + number.ToString());
    decimal.digits[static_cast<size_t>(column++)] = each - '0';
  }
  return decimal;
}

std::strong_ordering CompareMagnitudes(const Decimal& a, const Decimal& b) {
  return a.digits <=> b.digits;
}

std::strong_ordering Compare(const Decimal& a, const Decimal& b) {
  if (a.negative != b.negative) {
    return a.negative ? std::strong_ordering::less : std::strong_ordering::greater;
  }
  return a.negative ? CompareMagnitudes(b, a) : CompareMagnitudes(a, b);
}

Decimal Add(const Decimal& a, const Decimal& b) {
  if (a.negative == b.negative) {
    Decimal sum{.negative = a.negative};
    int carry = 0;
    for (size_t i = kColumns; i-- > 0;) {
      const int digit = a.digits[i] + b.digits[i] + carry;
      sum.digits[i] = digit % 10;
      carry = digit / 10;
    }
    return sum;
  }
  const bool a_larger = CompareMagnitudes(a, b) >= 0;
  const Decimal& large = a_larger ? a : b;
  const Decimal& small = a_larger ? b : a;
  Decimal difference{.negative = large.negative};
  int borrow = 0;
  for (size_t i = kColumns; i-- > 0;) {
    int digit = large.digits[i] - small.digits[i] - borrow;
    borrow = digit < 0;
    if (digit < 0) digit += 10;
    difference.digits[i] = digit;
  }
  return difference;
}

// Whether it has at most 38 digits, and its first stands within the exponents.
bool Fits(const Decimal& decimal) {
  int first = -1, last = -1;
  for (int i = 0; i < kColumns; ++i) {
    if (decimal.digits[static_cast<size_t>(i)] == 0) continue;
    if (first < 0) first = i;
    last = i;
  }
  if (first < 0) return true;
  const int exponent = kWhole - 1 - first;
  return last - first < static_cast<int>(kNumberDigitsMax) && exponent <= kNumberExponentMax &&
         exponent >= kNumberExponentMin;
}

bool Equal(const Decimal& a, const Decimal& b) {
  return a.digits == b.digits && (a.negative == b.negative || a.zero());
}

void CheckSum(const Result<Number>& sum, const Decimal& expected) {
  Require(sum.ok() == Fits(expected), "whether a sum fits");
  if (sum.ok()) Require(Equal(ToDecimal(*sum), expected), "a sum: " + sum->ToString());
}

// What the text says, by the grammar of the header; absent if it is no number there.
std::optional<Number> ReadByHand(std::string_view text) {
  // Only the plain writings without exponent, which ToDecimal can be compared with.
  std::string plain(text);
  if (!plain.empty() && (plain[0] == '+' || plain[0] == '-')) plain.erase(0, 1);
  const auto point = plain.find('.');
  const std::string whole = plain.substr(0, point);
  const std::string places = point == std::string::npos ? "" : plain.substr(point + 1);
  const auto digits = [](const std::string& part) {
    return std::all_of(part.begin(), part.end(), [](char c) { return '0' <= c && c <= '9'; });
  };
  if (!digits(whole) || !digits(places) || whole.size() > kWhole || places.size() > kPlaces ||
      (whole.empty() && places.empty()) || (point != std::string::npos && places.empty())) {
    return std::nullopt;
  }
  const auto number = Number::Parse(text);
  Decimal expected{.negative = text[0] == '-'};
  for (size_t i = 0; i < whole.size(); ++i) {
    expected.digits[kWhole - whole.size() + i] = whole[i] - '0';
  }
  for (size_t i = 0; i < places.size(); ++i) expected.digits[kWhole + i] = places[i] - '0';
  if (expected.zero()) return std::nullopt;  // Zeros have rules of their own.
  Require(number.ok() == Fits(expected), "whether a text is a number: " + std::string(text));
  if (!number.ok()) return std::nullopt;
  Require(Equal(ToDecimal(*number), expected), "what a text says: " + std::string(text));
  return *number;
}

void CheckOne(const Number& number) {
  const std::string text = number.ToString();
  const auto again = Number::Parse(text);
  Require(again.ok() && *again == number, "a number's own text: " + text);
  std::string bytes;
  number.AppendOrdered(bytes);
  Require(bytes.size() == number.OrderedBytes() && bytes.size() <= Number::kOrderedBytesMax,
          "the length of ordered bytes");
  ByteView rest = bytes;
  const auto taken = Number::TakeOrdered(rest);
  Require(taken.ok() && *taken == number && rest.empty(), "ordered bytes come back: " + text);
  Require(Number::Add(number, number.Negated()).value().is_zero(), "a number less itself");
}

void CheckPair(const Number& a, const Number& b) {
  const Decimal left = ToDecimal(a), right = ToDecimal(b);
  Require((a <=> b) == Compare(left, right), "the order of numbers");
  std::string bytes_a, bytes_b;
  a.AppendOrdered(bytes_a);
  b.AppendOrdered(bytes_b);
  Require((ByteView(bytes_a).compare(bytes_b) <=> 0) == (a <=> b), "the order of ordered bytes");
  CheckSum(Number::Add(a, b), Add(left, right));
  Decimal negated = right;
  negated.negative = !negated.negative;
  CheckSum(Number::Subtract(a, b), Add(left, negated));
}

void CheckOrderedBytes(ByteView bytes) {
  ByteView rest = bytes;
  const auto number = Number::TakeOrdered(rest);
  if (!number.ok()) {
    Require(rest == bytes, "a failure takes nothing");
    return;
  }
  std::string again;
  number->AppendOrdered(again);
  Require(bytes.substr(0, bytes.size() - rest.size()) == again, "a number has one encoding");
  CheckOne(*number);
}

}  // namespace
}  // namespace tailrace::fuzz

// [u8 length][text][text]
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using tailrace::Number;
  tailrace::fuzz::FuzzInput input(data, size);
  tailrace::fuzz::CheckOrderedBytes(input.rest());
  const auto first = input.TakeShort();
  const auto second = input.rest();
  (void)tailrace::fuzz::ReadByHand(first);
  (void)tailrace::fuzz::ReadByHand(second);
  const auto a = Number::Parse(first);
  const auto b = Number::Parse(second);
  if (a.ok()) tailrace::fuzz::CheckOne(*a);
  if (b.ok()) tailrace::fuzz::CheckOne(*b);
  if (a.ok() && b.ok()) tailrace::fuzz::CheckPair(*a, *b);
  return 0;
}
