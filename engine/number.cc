#include "engine/number.h"

#include <algorithm>
#include <array>
#include <limits>

#include "engine/error_text.h"
#include "engine/limits.h"
#include "wal/mutants.h"

namespace tailrace {
namespace {

constexpr uint64_t kTenTo18 = 1'000'000'000'000'000'000;
constexpr uint64_t kTenTo19 = 10 * kTenTo18;
constexpr int kWordDigits = 19;   // Decimal digits in each of high_ and low_.
constexpr size_t kWordPairs = 9;  // Whole pairs of digits in each of them...
constexpr size_t kPairsMax = 19;  // ...and one pair that straddles them.
constexpr int kExponentBias = 130;

static_assert(kNumberDigitsMax == 2 * kWordDigits);
static_assert(kExponentBias == -kNumberExponentMin);
static_assert(kNumberExponentMax + kExponentBias == 255, "the biased exponent is one byte");
static_assert(Number::kOrderedBytesMax == 2 + kPairsMax);

constexpr char kZeroMark = '\x80';
constexpr uint8_t kPositiveMark = 0x81;  // Of a negative number: its complement, 0x7E.

constexpr std::array<uint64_t, 20> kPowersOfTen = [] {
  std::array<uint64_t, 20> powers{};
  powers[0] = 1;
  for (size_t i = 1; i < powers.size(); ++i) powers[i] = powers[i - 1] * 10;
  return powers;
}();

// How many pairs of decimal digits at the end of `value` are 00. Requires value > 0.
size_t TrailingZeroPairs(uint64_t value) {
  size_t pairs = 0;
  while (value % 100'000'000 == 0) {
    value /= 100'000'000;
    pairs += 4;
  }
  if (value % 10'000 == 0) {
    value /= 10'000;
    pairs += 2;
  }
  return pairs + (value % 100 == 0 ? 1 : 0);
}

// The 38 digits as 19 pairs: nine from `high` alone, one that straddles, nine from `low` alone.
struct Pairs {
  uint64_t front;     // Nine pairs.
  uint64_t straddle;  // One pair.
  uint64_t back;      // Nine pairs.

  Pairs(uint64_t high, uint64_t low)
      : front(high / 10), straddle(high % 10 * 10 + low / kTenTo18), back(low % kTenTo18) {}

  // Without the pairs 00 at the end. Requires a number other than zero.
  size_t Count() const {
    if (back != 0) return kPairsMax - TrailingZeroPairs(back);
    if (straddle != 0) return kWordPairs + 1;
    return kWordPairs - TrailingZeroPairs(front);
  }

  // The decimal digits without the zeros at the end. Requires a number other than zero.
  int CountDigits() const {
    const size_t count = Count();
    const uint64_t last = count > kWordPairs + 1    ? back / PairUnit(count - kWordPairs - 1)
                          : count == kWordPairs + 1 ? straddle
                                                    : front / PairUnit(count);
    return 2 * static_cast<int>(count) - (last % 10 == 0 ? 1 : 0);
  }

  // What the last of the first `count` of nine pairs counts in.
  static uint64_t PairUnit(size_t count) { return kPowersOfTen[2 * (kWordPairs - count)]; }
};

// Writes the first `count` of the nine pairs of `nine` as 2 * pair + 1 each; returns the end.
char* WritePairs(uint64_t nine, size_t count, char* target) {
  uint64_t rest = nine / Pairs::PairUnit(count);
  for (char* at = target + count; at != target; rest /= 100) {
    *--at = static_cast<char>(2 * (rest % 100) + 1);
  }
  return target + count;
}

uint64_t Magnitude(int64_t value) {
  return value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
}

bool IsDigit(char c) { return '0' <= c && c <= '9'; }

// The significant digits and exponents of a number's text, collected one by one.
class NumberText {
 public:
  // Returns whether `text` follows the grammar of Number::Parse.
  bool Read(std::string_view text) {
    size_t at = 0;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) negative_ = text[at++] == '-';
    const size_t whole = ReadDigits(text, at, false);
    size_t fraction = 0;
    if (at < text.size() && text[at] == '.') {
      fraction = ReadDigits(text, ++at, true);
      if (fraction == 0) return false;
    }
    if (whole + fraction == 0) return false;
    if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
      if (!ReadExponent(text, ++at)) return false;
    }
    return at == text.size();
  }

  bool negative() const { return negative_; }
  bool is_zero() const { return significant_ == 0; }
  bool too_many_digits() const { return too_many_digits_; }
  const std::array<uint8_t, kNumberDigitsMax>& digits() const { return digits_; }

  // Of the first significant digit or, for zero, of the last digit written.
  int64_t exponent() const {
    if (is_zero()) return written_exponent_ - fraction_digits_;
    return written_exponent_ + (whole_digits_ > 0 ? whole_digits_ - 1 : -leading_zeros_ - 1);
  }

 private:
  size_t ReadDigits(std::string_view text, size_t& at, bool fraction) {
    const size_t begin = at;
    for (; at < text.size() && IsDigit(text[at]); ++at) {
      AddDigit(static_cast<uint8_t>(text[at] - '0'), fraction);
    }
    return at - begin;
  }

  void AddDigit(uint8_t digit, bool fraction) {
    if (fraction) ++fraction_digits_;
    if (significant_ == 0 && digit == 0) {
      if (fraction) ++leading_zeros_;
      return;
    }
    if (significant_ < digits_.size()) {
      digits_[significant_] = digit;
    } else if (digit != 0) {
      too_many_digits_ = true;
    }
    ++significant_;
    if (!fraction) ++whole_digits_;
  }

  bool ReadExponent(std::string_view text, size_t& at) {
    constexpr int64_t kFarOutOfRange = 1'000'000'000'000'000;
    bool negative = false;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) negative = text[at++] == '-';
    const size_t begin = at;
    for (; at < text.size() && IsDigit(text[at]); ++at) {
      written_exponent_ = std::min(10 * written_exponent_ + (text[at] - '0'), kFarOutOfRange);
    }
    if (negative) written_exponent_ = -written_exponent_;
    return at > begin;
  }

  std::array<uint8_t, kNumberDigitsMax> digits_{};
  size_t significant_ = 0;       // Digits from the first that is not 0 on.
  int64_t whole_digits_ = 0;     // Those of them before the point.
  int64_t fraction_digits_ = 0;  // Digits written after the point.
  int64_t leading_zeros_ = 0;    // Zeros between the point and the first significant digit.
  int64_t written_exponent_ = 0;
  bool negative_ = false;
  bool too_many_digits_ = false;
};

}  // namespace

// The decimal digits, first significant one first, one a byte.
struct Number::Digits {
  std::array<uint8_t, kNumberDigitsMax> digit{};
};

Number Number::FromDigits(bool negative, const Digits& digits, int exponent) {
  Number number;
  for (size_t i = 0; i < kWordDigits; ++i) {
    number.high_ = 10 * number.high_ + digits.digit[i];
    number.low_ = 10 * number.low_ + digits.digit[i + kWordDigits];
  }
  if (number.high_ == 0 && !TAILRACE_MUTANT("negative-zero")) return Number();
  number.exponent_ = static_cast<int16_t>(exponent);
  number.negative_ = negative;
  return number;
}

Number::Digits Number::ToDigits() const {
  Digits digits;
  uint64_t high = high_;
  uint64_t low = low_;
  for (size_t i = kWordDigits; i-- > 0;) {
    digits.digit[i] = static_cast<uint8_t>(high % 10);
    digits.digit[i + kWordDigits] = static_cast<uint8_t>(low % 10);
    high /= 10;
    low /= 10;
  }
  return digits;
}

Result<Number> Number::Parse(std::string_view text) {
  NumberText parsed;
  if (!parsed.Read(text)) return InvalidArgument(error_text::NotANumber(text));
  const int64_t exponent = parsed.exponent();
  if (exponent > kNumberExponentMax) return InvalidArgument(error_text::kNumberOverflow);
  if (exponent < kNumberExponentMin) return InvalidArgument(error_text::kNumberUnderflow);
  if (parsed.too_many_digits()) return InvalidArgument(error_text::kNumberDigits);
  return FromDigits(parsed.negative(), Digits{parsed.digits()}, static_cast<int>(exponent));
}

Number Number::FromInt64(int64_t value) {
  Number number = FromUint64(Magnitude(value));
  number.negative_ = value < 0;
  return number;
}

Number Number::FromUint64(uint64_t value) {
  Number number;
  if (value == 0) return number;
  if (value >= kTenTo19) {
    number.high_ = value / 10;
    number.low_ = value % 10 * kTenTo18;
    number.exponent_ = kWordDigits;
    return number;
  }
  const auto above = std::upper_bound(kPowersOfTen.begin(), kPowersOfTen.end(), value);
  const auto digits = static_cast<int>(above - kPowersOfTen.begin());
  number.high_ = value * kPowersOfTen[static_cast<size_t>(kWordDigits - digits)];
  number.exponent_ = static_cast<int16_t>(digits - 1);
  return number;
}

std::optional<int64_t> Number::ToInt64() const {
  if (is_zero()) return 0;
  if (exponent_ < 0 || exponent_ >= kWordDigits || low_ != 0) return std::nullopt;
  const uint64_t unit = kPowersOfTen[static_cast<size_t>(kWordDigits - 1 - exponent_)];
  if (high_ % unit != 0) return std::nullopt;
  const uint64_t magnitude = high_ / unit;
  const auto max = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (magnitude > max + (negative_ ? 1 : 0)) return std::nullopt;
  return static_cast<int64_t>(negative_ ? 0 - magnitude : magnitude);
}

std::string Number::ToString() const {
  if (is_zero()) return "0";
  const Digits digits = ToDigits();
  const int count = Pairs(high_, low_).CountDigits();
  std::string text;
  text.reserve(static_cast<size_t>(count + std::abs(exponent_) + 3));
  if (negative_) text.push_back('-');
  if (exponent_ < 0) {
    text.append("0.");
    text.append(static_cast<size_t>(-exponent_ - 1), '0');
  }
  for (int i = 0; i < count; ++i) {
    if (i == exponent_ + 1 && exponent_ >= 0) text.push_back('.');
    text.push_back(static_cast<char>('0' + digits.digit[static_cast<size_t>(i)]));
  }
  if (exponent_ >= count) text.append(static_cast<size_t>(exponent_ - count + 1), '0');
  return text;
}

Number Number::Negated() const {
  Number number = *this;
  number.negative_ = !negative_ && !is_zero();
  return number;
}

size_t Number::SizeBytes() const {
  if (is_zero()) return 1;
  const int count = Pairs(high_, low_).CountDigits();
  const int whole = std::clamp(exponent_ + 1, 0, count);
  const int fraction = count - whole;
  return static_cast<size_t>(1 + (whole + 1) / 2 + (fraction + 1) / 2 + (negative_ ? 1 : 0));
}

std::strong_ordering Number::CompareMagnitudes(const Number& a, const Number& b) {
  if (a.is_zero() || b.is_zero()) return !a.is_zero() <=> !b.is_zero();
  if (a.exponent_ != b.exponent_) return a.exponent_ <=> b.exponent_;
  if (a.high_ != b.high_) return a.high_ <=> b.high_;
  return a.low_ <=> b.low_;
}

std::strong_ordering operator<=>(const Number& a, const Number& b) {
  if (a.negative_ != b.negative_) return b.negative_ <=> a.negative_;
  return a.negative_ ? Number::CompareMagnitudes(b, a) : Number::CompareMagnitudes(a, b);
}

// Schoolbook, over the decimal places from one above the first digit of `large` down to the last
// digit of either. Requires |large| >= |small| > 0. The result has the sign of `large`.
Result<Number> Number::AddMagnitudes(const Number& large, const Number& small, bool subtract) {
  // One place for the carry, and one more than the digits allowed: 1E38 - 1 has 38 digits. With
  // more places than that the result has too many: its last digit is that of `small`, since `large`
  // does not reach so far, and its first is at most one place below that of `large`.
  constexpr int kPlacesMax = kNumberDigitsMax + 2;
  const Digits a = large.ToDigits();
  const Digits b = small.ToDigits();
  const int shift = large.exponent_ - small.exponent_;
  const int places = 1 + std::max(Pairs(large.high_, large.low_).CountDigits(),
                                  shift + Pairs(small.high_, small.low_).CountDigits());
  if (places > kPlacesMax) return InvalidArgument(error_text::kNumberOverflow);

  const auto digit_at = [](const Digits& digits, int index) -> int {
    const bool inside = 0 <= index && index < kNumberDigitsMax;
    return inside ? digits.digit[static_cast<size_t>(index)] : 0;
  };
  std::array<uint8_t, kPlacesMax> sum{};
  int carry = 0;
  for (int place = places - 1; place >= 0; --place) {
    const int addend = digit_at(b, place - 1 - shift);
    const int value = digit_at(a, place - 1) + (subtract ? -addend : addend) + carry;
    carry = value < 0 ? -1 : value / 10;
    sum[static_cast<size_t>(place)] = static_cast<uint8_t>(value - 10 * carry);
  }

  const auto first = std::find_if(sum.begin(), sum.end(), [](uint8_t digit) { return digit != 0; });
  if (first == sum.end()) return Number();
  const auto exponent = static_cast<int>(large.exponent_ + 1 - (first - sum.begin()));
  Digits digits;
  const auto kept = std::min<std::ptrdiff_t>(kNumberDigitsMax, sum.end() - first);
  std::copy(first, first + kept, digits.digit.begin());
  const bool fits = std::all_of(first + kept, sum.end(), [](uint8_t digit) { return digit == 0; });
  if (!fits || exponent > kNumberExponentMax) return InvalidArgument(error_text::kNumberOverflow);
  if (exponent < kNumberExponentMin) return InvalidArgument(error_text::kNumberUnderflow);
  return FromDigits(large.negative_, digits, exponent);
}

Result<Number> Number::Add(const Number& a, const Number& b) {
  const std::optional<int64_t> whole_a = a.ToInt64();
  const std::optional<int64_t> whole_b = b.ToInt64();
  int64_t sum = 0;
  if (whole_a && whole_b && !__builtin_add_overflow(*whole_a, *whole_b, &sum)) {
    return FromInt64(sum);  // Counters and the like.
  }
  if (a.is_zero()) return b;
  if (b.is_zero()) return a;
  const bool subtract = a.negative_ != b.negative_;
  return CompareMagnitudes(a, b) >= 0 ? AddMagnitudes(a, b, subtract)
                                      : AddMagnitudes(b, a, subtract);
}

Result<Number> Number::Subtract(const Number& a, const Number& b) { return Add(a, b.Negated()); }

size_t Number::OrderedBytes() const { return is_zero() ? 1 : 2 + Pairs(high_, low_).Count(); }

char* Number::WriteOrdered(char* target) const {
  if (is_zero()) {
    *target = kZeroMark;
    return target + 1;
  }
  const Pairs pairs(high_, low_);
  const size_t count = pairs.Count();
  char* at = target;
  *at++ = static_cast<char>(kPositiveMark);
  *at++ = static_cast<char>(exponent_ + kExponentBias);
  at = WritePairs(pairs.front, std::min(count, kWordPairs), at);
  if (count > kWordPairs) *at++ = static_cast<char>(2 * pairs.straddle + 1);
  if (count > kWordPairs + 1) at = WritePairs(pairs.back, count - kWordPairs - 1, at);
  --at[-1];  // The last pair is even: no more follow.
  if (negative_) std::for_each(target, at, [](char& byte) { byte = static_cast<char>(~byte); });
  if (negative_ && TAILRACE_MUTANT("negative-numbers-misordered")) {
    target[1] = static_cast<char>(~target[1]);
  }
  return at;
}

void Number::AppendOrdered(std::string& target) const {
  char bytes[kOrderedBytesMax];
  target.append(bytes, static_cast<size_t>(WriteOrdered(bytes) - bytes));
}

Result<Number> Number::TakeOrdered(ByteView& bytes) {
  if (bytes.empty()) return Corruption("number: no bytes");
  if (bytes[0] == kZeroMark) {
    bytes.remove_prefix(1);
    return Number();
  }
  const auto mark = static_cast<uint8_t>(bytes[0]);
  const bool negative = mark == static_cast<uint8_t>(~kPositiveMark);
  if (mark != kPositiveMark && !negative) return Corruption("number: unknown first byte");
  const uint8_t flip = negative ? 0xFF : 0;
  const auto byte_at = [&](size_t i) -> uint8_t { return static_cast<uint8_t>(bytes[i]) ^ flip; };

  Digits digits;
  bool more = true;
  size_t count = 0;
  for (; more; ++count) {
    if (count == kPairsMax) return Corruption("number: too many digits");
    if (2 + count >= bytes.size()) return Corruption("number: cut short");
    const uint8_t byte = byte_at(2 + count);
    const uint8_t pair = byte / 2;
    more = byte % 2 == 1;
    if (pair > 99) return Corruption("number: a pair of digits above 99");
    if (count == 0 && pair < 10) return Corruption("number: leading zero");
    if (!more && pair == 0) return Corruption("number: trailing zeros");
    digits.digit[2 * count] = pair / 10;
    digits.digit[2 * count + 1] = pair % 10;
  }
  const bool odd = TAILRACE_MUTANT("negative-numbers-misordered");
  const int exponent = (odd ? static_cast<uint8_t>(bytes[1]) : byte_at(1)) - kExponentBias;
  bytes.remove_prefix(2 + count);
  return FromDigits(negative, digits, exponent);
}

}  // namespace tailrace
