#include "engine/number.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/engine/random_items.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "tests/support/test_paths.h"

namespace tailrace {
namespace {

constexpr char kOverflow[] =
    "Number overflow. Attempting to store a number with magnitude larger than supported range";
constexpr char kUnderflow[] =
    "Number underflow. Attempting to store a number with magnitude smaller than supported range";
constexpr char kTooManyDigits[] = "Attempting to store more than 38 significant digits in a Number";

Number N(const std::string& text) {
  const Result<Number> number = Number::Parse(text);
  EXPECT_TRUE(number.ok()) << text << ": " << number.status().ToString();
  return number.ok() ? *number : Number();
}

std::string Refusal(const std::string& text) {
  const Result<Number> number = Number::Parse(text);
  if (number.ok()) return "accepted as " + number->ToString();
  EXPECT_EQ(number.status().code(), StatusCode::kInvalidArgument);
  return number.status().message();
}

std::string Ordered(const Number& number) {
  std::string bytes;
  number.AppendOrdered(bytes);
  return bytes;
}

TEST(NumberTest, EveryWritingHasOneNormalForm) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"0042", "42"},
      {"1.5E2", "150"},
      {"1.0", "1"},
      {"-0", "0"},
      {"-0.0", "0"},
      {"+3", "3"},
      {"007", "7"},
      {"001.23", "1.23"},
      {"1.10", "1.1"},
      {"100.000", "100"},
      {"0.10", "0.1"},
      {"1e3", "1000"},
      {"1E+3", "1000"},
      {"-3e2", "-300"},
      {"1.23e4", "12300"},
      {"1e-3", "0.001"},
      {"123e-2", "1.23"},
      {"1.23e-1", "0.123"},
      {"1.0e-1", "0.1"},
      {"0e5", "0"},
      {"0e-5", "0"},
      {".5", "0.5"},
      {"-.5", "-0.5"},
      {"-273.15", "-273.15"},
      {"10.01", "10.01"},
      {"-17.4E37", "-174" + std::string(36, '0')},
      {"1e125", "1" + std::string(125, '0')},
      {"1e-130", "0." + std::string(129, '0') + "1"},
      {"0.1e126", "1" + std::string(125, '0')},
      {std::string(500, '0') + "1." + std::string(500, '0'), "1"},
      {"1" + std::string(200, '0') + "e-200", "1"},
      {"0." + std::string(199, '0') + "1e200", "1"},
      {"12345678901234567890123456789012345678", "12345678901234567890123456789012345678"},
      {"3.1415926535897932384626433832795028841", "3.1415926535897932384626433832795028841"},
  };
  for (const auto& [text, normal] : cases) EXPECT_EQ(N(text).ToString(), normal) << text;
}

TEST(NumberTest, WhatIsNoNumberIsRefused) {
  for (const std::string text :
       {"NaN",   "Infinity", "-Infinity", "dog",   "-dog", " 1",    "1 ",  "1 2",     "-",
        "+",     ".",        "-.",        "1.",    "e5",   ".e5",   "1e",  "1e+",     "1e-",
        "1e1.5", "--1",      "+-1",       "1.2.3", "0x10", "1_000", "1,5", "\xD9\xA1"}) {
    EXPECT_EQ(Refusal(text), "The parameter cannot be converted to a numeric value: " + text);
  }
  EXPECT_EQ(Refusal(""), "The parameter cannot be converted to a numeric value");
  const std::string with_nul("1\0", 2);
  EXPECT_EQ(Refusal(with_nul), "The parameter cannot be converted to a numeric value: " + with_nul);
}

TEST(NumberTest, RangeIsLimitedByMagnitude) {
  for (const std::string sign : {"", "-"}) {
    for (const char* text :
         {"1e126", "11e125", "0.1e127", "1e9999999999999999999999999", "10000000000e116"}) {
      EXPECT_EQ(Refusal(sign + text), kOverflow) << text;
    }
    for (const char* text :
         {"1e-131", "0.9e-130", "0.1e-130", "1e-9999999999999999999999999", "0.0000000001e-121"}) {
      EXPECT_EQ(Refusal(sign + text), kUnderflow) << text;
    }
    EXPECT_TRUE(Number::Parse(sign + "9.9999999999999999999999999999999999999E+125").ok());
    EXPECT_TRUE(Number::Parse(sign + "1.0000000000000000000000000000000000001E-130").ok());
  }
}

TEST(NumberTest, ZeroIsRefusedByTheExponentOfItsLastWrittenDigit) {
  for (const char* text : {"0e125", "0.0e126", "0.00e127", "0e-130", "-0e125"}) {
    EXPECT_EQ(N(text), Number()) << text;
  }
  EXPECT_EQ(Refusal("0e126"), kOverflow);
  EXPECT_EQ(Refusal("-0e126"), kOverflow);
  EXPECT_EQ(Refusal("0.0e127"), kOverflow);
  EXPECT_EQ(Refusal("0e-131"), kUnderflow);
  EXPECT_EQ(Refusal("0.0e-130"), kUnderflow);
}

TEST(NumberTest, DigitsAreLimitedWithoutZerosAtEitherEnd) {
  const std::string most(38, '7');
  EXPECT_EQ(N("000" + most + "000").ToString(), most + "000");
  EXPECT_EQ(N("0.000" + most + "000").ToString(), "0.000" + most);
  EXPECT_EQ(Refusal(most + "7"), kTooManyDigits);
  EXPECT_EQ(Refusal(most + ".7"), kTooManyDigits);
  EXPECT_EQ(Refusal("1" + std::string(37, '0') + "1"), kTooManyDigits);
  EXPECT_EQ(Refusal("3.14159265358979323846264338327950288419"), kTooManyDigits);
  EXPECT_EQ(Refusal(most + "7e90"), kOverflow) << "the range is looked at first";
}

TEST(NumberTest, IntegersOf64BitsGoBothWays) {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  for (const int64_t value : {int64_t{0}, int64_t{1}, int64_t{-1}, int64_t{10}, int64_t{-2345},
                              int64_t{999'999'999'999'999'999}, kMin, kMin + 1, kMax, kMax - 1}) {
    const Number number = Number::FromInt64(value);
    EXPECT_EQ(number.ToString(), std::to_string(value));
    EXPECT_EQ(number.ToInt64(), value);
    EXPECT_EQ(N(std::to_string(value)), number);
  }
  for (const uint64_t value :
       {uint64_t{0}, uint64_t{10'000'000'000'000'000'000u}, std::numeric_limits<uint64_t>::max()}) {
    EXPECT_EQ(Number::FromUint64(value).ToString(), std::to_string(value));
    EXPECT_EQ(N(std::to_string(value)), Number::FromUint64(value));
  }
  for (const char* text : {"0.5", "1.5", "9223372036854775808", "-9223372036854775809", "1e19",
                           "1e125", "1e-130", "12345678901234567890123"}) {
    EXPECT_EQ(N(text).ToInt64(), std::nullopt) << text;
  }
}

TEST(NumberTest, SizeIsWhatTheServiceCounts) {
  const std::vector<std::pair<std::string, size_t>> cases = {{"0", 1},
                                                             {"1", 2},
                                                             {"123", 3},
                                                             {"1.5", 3},
                                                             {"3.14159", 5},
                                                             {"-42", 3},
                                                             {"100", 2},
                                                             {"1E125", 2},
                                                             {"0.001", 2},
                                                             {"100.5", 4},
                                                             {"-1.5", 4},
                                                             {"1E-130", 2},
                                                             {std::string(38, '1'), 20}};
  for (const auto& [text, bytes] : cases) EXPECT_EQ(N(text).SizeBytes(), bytes) << text;
}

TEST(NumberTest, SumsBeyondRangeOrPrecisionAreRefused) {
  const auto add = [](const char* a, const char* b) { return Number::Add(N(a), N(b)); };
  const auto subtract = [](const char* a, const char* b) { return Number::Subtract(N(a), N(b)); };
  EXPECT_EQ(add("9e125", "9e124")->ToString(), N("9.9e125").ToString());
  EXPECT_EQ(add("9e125", "9e125").status().message(), kOverflow);
  EXPECT_EQ(subtract("9e125", "-9e125").status().message(), kOverflow);
  EXPECT_EQ(add("1e50", "1").status().message(), kOverflow);
  EXPECT_EQ(subtract("1e50", "1").status().message(), kOverflow);
  EXPECT_EQ(add("1e125", "1e-130").status().message(), kOverflow);
  EXPECT_EQ(subtract("1.1e-130", "1e-130").status().message(), kUnderflow);
  EXPECT_EQ(add("10000000000000000000000", "1")->ToString(), "10000000000000000000001");
  EXPECT_EQ(subtract("10000000000000000000000", "1")->ToString(), "9999999999999999999999");
  // 39 places, but 38 digits; then one more.
  EXPECT_EQ(subtract("1e38", "1")->ToString(), std::string(38, '9'));
  EXPECT_EQ(subtract("1e39", "1").status().message(), kOverflow);
  EXPECT_EQ(subtract("1e38", std::string(38, '9').c_str())->ToString(), "1");
  EXPECT_EQ(add(std::string(38, '9').c_str(), "1")->ToString(), "1" + std::string(38, '0'));
  EXPECT_EQ(add("0.1", "0.2")->ToString(), "0.3");
  EXPECT_EQ(subtract("5", "5")->ToString(), "0");
  EXPECT_FALSE(subtract("5", "5")->is_negative());
}

// ---- Against independent reckonings. ----

// A number as a sign and one digit for every place from 10^126 down to 10^-168: wide enough that
// sums of valid numbers neither overflow nor round.
class FixedPoint {
 public:
  static constexpr int kPlaces = 295;
  static constexpr int kUnits = 126;  // The index of the place 10^0.

  explicit FixedPoint(std::string plain) {
    negative_ = plain[0] == '-';
    if (negative_) plain.erase(0, 1);
    const size_t point = std::min(plain.find('.'), plain.size());
    int place = kUnits - static_cast<int>(point) + 1;
    for (const char c : plain) {
      if (c != '.') digits_.at(static_cast<size_t>(place++)) = c - '0';
    }
  }

  FixedPoint Negated() const {
    FixedPoint result = *this;
    result.negative_ = !negative_;
    return result;
  }

  FixedPoint Plus(const FixedPoint& other) const {
    if (negative_ != other.negative_) {
      return digits_ >= other.digits_ ? Combined(other, -1) : other.Combined(*this, -1);
    }
    return Combined(other, 1);
  }

  int Compare(const FixedPoint& other) const {
    const FixedPoint difference = Plus(other.Negated());
    if (difference.First() == kPlaces) return 0;
    return difference.negative_ ? -1 : 1;
  }

  // In normal form, or the refusal it deserves.
  std::string ToNumber() const {
    const int first = First();
    if (first == kPlaces) return "0";
    int last = kPlaces - 1;
    while (digits_.at(static_cast<size_t>(last)) == 0) --last;
    if (first < 1 || last - first + 1 > 38) return kOverflow;
    if (first > kUnits + 130) return kUnderflow;
    std::string text = negative_ ? "-" : "";
    for (int place = std::min(first, kUnits); place <= std::max(last, kUnits); ++place) {
      if (place == kUnits + 1) text.push_back('.');
      text.push_back(static_cast<char>('0' + digits_.at(static_cast<size_t>(place))));
    }
    return text;
  }

 private:
  FixedPoint Combined(const FixedPoint& other, int sign) const {
    FixedPoint result = *this;
    int carry = 0;
    for (size_t place = kPlaces; place-- > 0;) {
      const int value = digits_[place] + sign * other.digits_[place] + carry;
      result.digits_[place] = (value + 10) % 10;
      carry = value < 0 ? -1 : value / 10;
    }
    return result;
  }

  int First() const {
    const auto at = std::find_if(digits_.begin(), digits_.end(), [](int d) { return d != 0; });
    return static_cast<int>(at - digits_.begin());
  }

  bool negative_ = false;
  std::array<int, kPlaces> digits_{};
};

std::string TextOf(const Result<Number>& number) {
  return number.ok() ? number->ToString() : number.status().message();
}

// A second number that has to do with the first, so that sums cancel, carry and border on the
// limits.
Number Partner(test::Random& random, const Number& a) {
  switch (random.Below(4)) {
    case 0:
      return a.Negated();
    case 1: {
      const Result<Number> near = Number::Add(a, test::RandomNumber(random));
      return near.ok() ? *near : a;
    }
    default:
      return test::RandomNumber(random);
  }
}

TEST(NumberTest, ArithmeticAndOrderAgreeWithFixedPoint) {
  test::Random random(test::TestSeed());
  for (int i = 0; i < 20'000; ++i) {
    const Number a = test::RandomNumber(random);
    const Number b = Partner(random, a);
    const FixedPoint fixed_a(a.ToString());
    const FixedPoint fixed_b(b.ToString());
    const std::string pair = a.ToString() + " and " + b.ToString();
    ASSERT_EQ(fixed_a.ToNumber(), a.ToString());
    ASSERT_EQ(TextOf(Number::Add(a, b)), fixed_a.Plus(fixed_b).ToNumber()) << pair;
    ASSERT_EQ(TextOf(Number::Subtract(a, b)), fixed_a.Plus(fixed_b.Negated()).ToNumber()) << pair;

    const int order = fixed_a.Compare(fixed_b);
    ASSERT_EQ(a < b, order < 0) << pair;
    ASSERT_EQ(a == b, order == 0) << pair;
    ASSERT_EQ(a > b, order > 0) << pair;
    ASSERT_EQ(Ordered(a) < Ordered(b), order < 0) << pair;
    ASSERT_EQ(Ordered(a) == Ordered(b), order == 0) << pair;
  }
}

TEST(NumberTest, AgreesWithVectorsMadeElsewhere) {
  std::ifstream file(SourcePath("tests/golden/number_vectors.txt"));
  const auto expected = [](const std::string& text) -> std::string {
    if (text == "overflow") return kOverflow;
    if (text == "underflow") return kUnderflow;
    return N(text).ToString();
  };
  int lines = 0;
  for (std::string line; std::getline(file, line); ++lines) {
    std::istringstream fields(line);
    std::string a, b, sum, difference, hex;
    int order = 0;
    ASSERT_TRUE(fields >> a >> b >> sum >> difference >> order >> hex) << line;
    EXPECT_EQ(N(a).ToString(), a);
    EXPECT_EQ(TextOf(Number::Add(N(a), N(b))), expected(sum)) << line;
    EXPECT_EQ(TextOf(Number::Subtract(N(a), N(b))), expected(difference)) << line;
    EXPECT_EQ(N(a) < N(b), order < 0) << line;
    EXPECT_EQ(N(a) > N(b), order > 0) << line;
    EXPECT_EQ(test::Hex(Ordered(N(a))), hex) << line;
  }
  EXPECT_EQ(lines, 500);
}

TEST(NumberTest, OtherWritingsOfANumberAreTheSameNumber) {
  test::Random random(test::TestSeed());
  for (int i = 0; i < 20'000; ++i) {
    const Number number = test::RandomNumber(random);
    const std::string writing = test::OtherWriting(random, number);
    if (number.is_zero()) continue;  // Its exponent may be out of range.
    ASSERT_EQ(N(writing), number) << writing;
    ASSERT_EQ(Ordered(N(writing)), Ordered(number)) << writing;
  }
}

// ---- Ordered bytes. ----

TEST(NumberTest, OrderedBytesAreTheDocumentedOnes) {
  const std::vector<std::pair<std::string, std::string>> cases = {{"0", "80"},
                                                                  {"1", "818214"},
                                                                  {"-1", "7e7deb"},
                                                                  {"10", "818314"},
                                                                  {"12", "818318"},
                                                                  {"2345", "81852f5a"},
                                                                  {"0.5", "818164"},
                                                                  {"1E-130", "810014"},
                                                                  {"1E125", "81ff14"},
                                                                  {"-1E125", "7e00eb"},
                                                                  {"99", "8183c6"},
                                                                  {"10.01",
                                                                   "8183150"
                                                                   "2"}};
  for (const auto& [text, hex] : cases) EXPECT_EQ(test::Hex(Ordered(N(text))), hex) << text;
}

TEST(NumberTest, OrderedBytesAreTakenBackExactly) {
  test::Random random(test::TestSeed());
  for (int i = 0; i < 20'000; ++i) {
    const Number number = test::RandomNumber(random);
    const std::string bytes = Ordered(number);
    ASSERT_EQ(bytes.size(), number.OrderedBytes());
    ASSERT_LE(bytes.size(), Number::kOrderedBytesMax);
    const std::string tail = random.Bytes(random.Below(4));
    const std::string followed = bytes + tail;
    ByteView rest = followed;
    const Result<Number> taken = Number::TakeOrdered(rest);
    ASSERT_TRUE(taken.ok()) << number.ToString() << ": " << taken.status().ToString();
    ASSERT_EQ(*taken, number);
    ASSERT_EQ(rest, tail);
    // No prefix of an encoding is an encoding.
    for (size_t length = 0; length < bytes.size(); ++length) {
      ByteView prefix = ByteView(bytes).substr(0, length);
      ASSERT_EQ(Number::TakeOrdered(prefix).status().code(), StatusCode::kCorruption);
      ASSERT_EQ(prefix.size(), length);
    }
  }
}

TEST(NumberTest, WhatIsNoEncodingIsRefusedWithItsReason) {
  const auto refusal = [](std::string bytes) {
    ByteView rest = bytes;
    return Number::TakeOrdered(rest).status().ToString();
  };
  EXPECT_EQ(refusal(""), "corruption: number: no bytes");
  EXPECT_EQ(refusal("\x7F"), "corruption: number: unknown first byte");
  EXPECT_EQ(refusal("\x82\x82\x14"), "corruption: number: unknown first byte");
  EXPECT_EQ(refusal("\x81"), "corruption: number: cut short");
  EXPECT_EQ(refusal("\x81\x82"), "corruption: number: cut short");
  EXPECT_EQ(refusal("\x81\x82\x15"), "corruption: number: cut short");
  EXPECT_EQ(refusal("\x81\x82\x12"), "corruption: number: leading zero");
  EXPECT_EQ(refusal("\x7E\x7D\xED"), "corruption: number: leading zero");
  EXPECT_EQ(refusal(std::string("\x81\x82\x15\x00", 4)), "corruption: number: trailing zeros");
  EXPECT_EQ(refusal("\x81\x82\xC8"), "corruption: number: a pair of digits above 99");
  EXPECT_EQ(refusal("\x81\x82" + std::string(19, '\x15') + "\x14"),
            "corruption: number: too many digits");
}

TEST(NumberTest, OnlyTheOneEncodingIsTaken) {
  test::Random random(test::TestSeed());
  int refused = 0;
  for (int i = 0; i < 100'000; ++i) {
    const std::string bytes = test::Mutated(random, Ordered(test::RandomNumber(random)));
    ByteView rest = bytes;
    const Result<Number> taken = Number::TakeOrdered(rest);
    if (!taken.ok()) {
      ASSERT_EQ(taken.status().code(), StatusCode::kCorruption);
      ASSERT_EQ(rest, bytes);
      ++refused;
    } else {
      ASSERT_EQ(Ordered(*taken), bytes.substr(0, bytes.size() - rest.size()));
      ASSERT_EQ(N(taken->ToString()), *taken);
    }
  }
  EXPECT_GT(refused, 10'000);
}

}  // namespace
}  // namespace tailrace
