#include "tools/time_text.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <chrono>
#include <optional>

#include "tools/format.h"

namespace tailrace::tools {
namespace {

using std::chrono::days;
using std::chrono::sys_days;
using std::chrono::year_month_day;

constexpr uint64_t kDayMs = 24 * 3600'000;

bool AllDigits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return std::isdigit(static_cast<unsigned char>(c)) != 0;
  });
}

// Reads from the front of a text, remembering whether all that was asked for was there.
class Taker {
 public:
  explicit Taker(std::string_view text) : rest_(text) {}

  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty(); }
  char peek() const { return rest_.empty() ? '\0' : rest_[0]; }

  // Exactly `digits` digits.
  uint64_t Number(size_t digits) {
    uint64_t value = 0;
    if (rest_.size() < digits || !AllDigits(rest_.substr(0, digits))) {
      ok_ = false;
      return 0;
    }
    std::from_chars(rest_.data(), rest_.data() + digits, value);
    rest_.remove_prefix(digits);
    return value;
  }

  void Literal(char c) {
    if (peek() != c) {
      ok_ = false;
    } else {
      rest_.remove_prefix(1);
    }
  }

  bool Optional(char c) {
    if (peek() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  // Digits behind a point, as milliseconds; more than three are cut.
  uint64_t FractionMs() {
    uint64_t ms = 0;
    uint64_t unit = 100;
    if (std::isdigit(static_cast<unsigned char>(peek())) == 0) ok_ = false;
    while (std::isdigit(static_cast<unsigned char>(peek())) != 0) {
      ms += unit * static_cast<uint64_t>(peek() - '0');
      unit /= 10;
      rest_.remove_prefix(1);
    }
    return ms;
  }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

// What an offset such as +02:00 takes away from the local time, in minutes.
int64_t TakeOffset(Taker& taker) {
  if (taker.at_end() || taker.Optional('Z') || taker.Optional('z')) return 0;
  const int64_t sign = taker.Optional('-') ? -1 : 1;
  if (sign > 0) taker.Literal('+');
  const uint64_t hours = taker.Number(2);
  taker.Optional(':');
  const uint64_t minutes = taker.Number(2);
  return sign * static_cast<int64_t>(hours * 60 + minutes);
}

std::optional<uint64_t> ParseIso(std::string_view text) {
  Taker taker(text);
  const auto year = static_cast<int>(taker.Number(4));
  taker.Literal('-');
  const auto month = static_cast<unsigned>(taker.Number(2));
  taker.Literal('-');
  const auto day = static_cast<unsigned>(taker.Number(2));
  const year_month_day date{std::chrono::year(year), std::chrono::month(month),
                            std::chrono::day(day)};
  if (!taker.ok() || !date.ok() || year < 1970) return std::nullopt;
  uint64_t ms = static_cast<uint64_t>(sys_days(date).time_since_epoch().count()) * kDayMs;
  if (taker.at_end()) return ms;
  if (!taker.Optional('T') && !taker.Optional('t')) taker.Literal(' ');
  const uint64_t hour = taker.Number(2);
  taker.Literal(':');
  const uint64_t minute = taker.Number(2);
  uint64_t second = 0;
  uint64_t fraction_ms = 0;
  if (taker.Optional(':')) {
    second = taker.Number(2);
    if (taker.Optional('.')) fraction_ms = taker.FractionMs();
  }
  const int64_t offset_minutes = TakeOffset(taker);
  if (!taker.ok() || !taker.at_end() || hour > 23 || minute > 59 || second > 60)
    return std::nullopt;
  ms += hour * 3600'000 + minute * 60'000 + second * 1000 + fraction_ms;
  const int64_t utc_ms = static_cast<int64_t>(ms) - offset_minutes * 60'000;
  if (utc_ms < 0) return std::nullopt;
  return static_cast<uint64_t>(utc_ms);
}

// A number of seconds or milliseconds.
std::optional<uint64_t> ParseEpoch(std::string_view text) {
  constexpr size_t kSecondsDigitsMax = 11;
  constexpr size_t kMillisecondsDigitsMax = 13;
  const size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  if (!AllDigits(whole) || whole.size() > kMillisecondsDigitsMax) return std::nullopt;
  uint64_t value = 0;
  std::from_chars(whole.data(), whole.data() + whole.size(), value);
  if (whole.size() > kSecondsDigitsMax) {
    if (point != std::string_view::npos) return std::nullopt;
    return value;
  }
  if (point == std::string_view::npos) return value * 1000;
  Taker fraction(text.substr(point + 1));
  const uint64_t fraction_ms = fraction.FractionMs();
  if (!fraction.ok() || !fraction.at_end()) return std::nullopt;
  return value * 1000 + fraction_ms;
}

}  // namespace

std::string TimeText(uint64_t wall_ms) {
  // Beyond the year 9999 there is no such form; only a damaged clock gets there.
  constexpr uint64_t kLastMs = 253'402'300'799'999;
  if (wall_ms > kLastMs) return Cat(wall_ms, "ms");
  const year_month_day date{sys_days(days(wall_ms / kDayMs))};
  const uint64_t in_day = wall_ms % kDayMs;
  return Format("{:04d}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}.{:03d}Z", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                in_day / 3600'000, in_day / 60'000 % 60, in_day / 1000 % 60, in_day % 1000);
}

Result<uint64_t> ParseTime(std::string_view text) {
  if (const auto epoch = ParseEpoch(text)) return *epoch;
  if (const auto iso = ParseIso(text)) return *iso;
  return InvalidArgument(Cat("'", text,
                             "' is not a time: write 2020-05-09T03:04:05Z, 2020-05-09, or "
                             "seconds or milliseconds since 1970"));
}

Result<uint64_t> ParseDuration(std::string_view text) {
  size_t digits = 0;
  while (digits < text.size() && std::isdigit(static_cast<unsigned char>(text[digits])) != 0) {
    ++digits;
  }
  const std::string_view unit = text.substr(digits);
  const uint64_t unit_ms = unit == "ms"                  ? 1
                           : unit.empty() || unit == "s" ? 1000
                           : unit == "m"                 ? 60'000
                           : unit == "h"                 ? 3600'000
                           : unit == "d"                 ? kDayMs
                                                         : 0;
  constexpr size_t kDigitsMax = 9;
  uint64_t value = 0;
  if (digits > 0 && digits <= kDigitsMax) {
    std::from_chars(text.data(), text.data() + digits, value);
  }
  if (value == 0 || unit_ms == 0) {
    return InvalidArgument(Cat("'", text, "' is not a duration: write 90s, 15m, 24h or 7d"));
  }
  return value * unit_ms;
}

}  // namespace tailrace::tools
