#include "tools/bounds.h"

#include <algorithm>
#include <charconv>

#include "shards/sequence_number.h"
#include "tools/format.h"
#include "tools/time_text.h"

namespace tailrace::tools {
namespace {

bool AllDigits(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

// A position if the text is one; otherwise it is a time.
Result<std::optional<uint64_t>> ParsePosition(const std::string& text,
                                              PlainPositions plain_positions) {
  if (!AllDigits(text)) return std::optional<uint64_t>();
  if (text.size() >= shards::kSequenceNumberDigits) {
    TAILRACE_ASSIGN_OR_RETURN(const SequenceNumber number, shards::ParseSequenceNumber(text));
    return std::optional(number.value);
  }
  if (plain_positions == PlainPositions::kNo) return std::optional<uint64_t>();
  uint64_t position = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), position);
  if (error != std::errc()) return InvalidArgument(Cat("'", text, "' is no position of a journal"));
  return std::optional(position);
}

// How much longer than the moment itself the text means, as an upper bound.
uint64_t LengthMs(const std::string& text) {
  constexpr size_t kDateBytes = 10;
  constexpr size_t kMillisecondDigits = 12;
  if (AllDigits(text)) return text.size() >= kMillisecondDigits ? 0 : 999;
  if (text.size() == kDateBytes) return 24 * 3600'000 - 1;
  if (text.find('.') != std::string::npos) return 0;
  return std::count(text.begin(),
                    text.begin() + static_cast<ptrdiff_t>(std::min<size_t>(text.size(), 19)),
                    ':') == 2
             ? 999
             : 59'999;
}

}  // namespace

Bounds::Place Bounds::PlaceOf(uint64_t position, uint64_t wall_ms) const {
  if (first_position && position < *first_position) return Place::kBefore;
  if (first_ms && wall_ms < *first_ms) return Place::kBefore;
  if (last_position && position > *last_position) return Place::kBehind;
  if (last_ms && wall_ms > *last_ms) return Place::kBehind;
  return Place::kWithin;
}

Result<Bounds> ParseBounds(const std::string& from, const std::string& to,
                           PlainPositions plain_positions) {
  Bounds bounds;
  if (!from.empty()) {
    TAILRACE_ASSIGN_OR_RETURN(bounds.first_position, ParsePosition(from, plain_positions));
    if (!bounds.first_position) {
      TAILRACE_ASSIGN_OR_RETURN(bounds.first_ms, ParseTime(from));
    }
  }
  if (!to.empty()) {
    TAILRACE_ASSIGN_OR_RETURN(bounds.last_position, ParsePosition(to, plain_positions));
    if (!bounds.last_position) {
      TAILRACE_ASSIGN_OR_RETURN(const uint64_t moment_ms, ParseTime(to));
      bounds.last_ms = moment_ms + LengthMs(to);
    }
  }
  return bounds;
}

Result<Moment> ParseMoment(const std::string& text) {
  TAILRACE_ASSIGN_OR_RETURN(const Bounds bounds, ParseBounds({}, text, PlainPositions::kNo));
  if (bounds.last_position) return Moment::At(SequenceNumber{*bounds.last_position});
  if (bounds.last_ms) return Moment::AtTime(*bounds.last_ms);
  return InvalidArgument("--at takes a sequence number or a time");
}

}  // namespace tailrace::tools
