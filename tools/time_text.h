// Times as people write them. All in UTC, so that output does not depend on the machine's zone.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "wal/status.h"

namespace tailrace::tools {

// "2020-05-09T03:04:05.000Z" from milliseconds since the Unix epoch.
std::string TimeText(uint64_t wall_ms);

// Milliseconds since the Unix epoch from an ISO date ("2020-05-09"), date and time
// ("2020-05-09T03:04:05Z", with seconds and their fraction optional, a blank instead of the T, an
// offset such as +02:00 instead of the Z; without either UTC is meant), or a number of seconds (up
// to 11 digits, fraction optional) or milliseconds (12 or 13 digits). kInvalidArgument: anything
// else.
Result<uint64_t> ParseTime(std::string_view text);

// Milliseconds from "90", "90s", "15m", "24h", "7d" (a bare number counts seconds) or "250ms".
// kInvalidArgument: anything else, or 0.
Result<uint64_t> ParseDuration(std::string_view text);

}  // namespace tailrace::tools
