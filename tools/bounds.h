// --from and --to: a part of a log between two positions or moments, both included.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/table_as_of.h"
#include "wal/status.h"

namespace tailrace::tools {

struct Bounds {
  std::optional<uint64_t> first_position, last_position;
  std::optional<uint64_t> first_ms, last_ms;

  enum class Place { kBefore, kWithin, kBehind };

  // Where something with this position and time lies. Positions and times are taken to rise
  // together.
  Place PlaceOf(uint64_t position, uint64_t wall_ms) const;
};

// Whether a bare number of up to 20 digits is a position of the journal; otherwise it is a time.
enum class PlainPositions { kNo, kYes };

// Each is a sequence number (21 digits and more), a time (see ParseTime), or empty: no bound. As
// the upper bound a moment without a fraction of a second means the whole second, a date the whole
// day.
Result<Bounds> ParseBounds(const std::string& from, const std::string& to,
                           PlainPositions plain_positions);

// What --at means to a reader of items.
inline constexpr char kAtHelp[] =
    "As of then: a sequence number, or a time such as 2020-05-09T03:04:05Z";

// --at: right behind a sequence number or the end of a moment, as the upper bounds above.
Result<Moment> ParseMoment(const std::string& text);

}  // namespace tailrace::tools
