// Text for people: what is safe to print on a terminal, and numbers with their units.
//
// Pure functions; any bytes are safe to pass.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/value.h"

namespace tailrace::tools {

// The bytes as they may go to a terminal: characters that would steer it (control characters, marks
// that turn the writing direction, line separators) become \n, \t, \u{1b}, and bytes that are not
// UTF-8 \xff.
std::string EscapeForTerminal(std::string_view bytes);

// The same within double quotes, in which '"' and '\' are escaped too.
std::string QuoteForTerminal(std::string_view bytes);

// A line of JSON with the characters that would steer a terminal as \u escapes. JSON has such
// characters within strings only, so it stays the same JSON.
std::string EscapeJsonLine(std::string json);

// UTF-8 with whatever is not replaced by U+FFFD, for JSON.
std::string ToUtf8(std::string_view bytes);

// {game_id: 2345, user_id: "sfdsfdf", raw: b"AAEC", tags: <"a", "b">, old: null}
// Strings are quoted, numbers are not; b"..." is base64, <...> a set.
std::string ItemText(const Item& item);
std::string ValueText(const Value& value);

// "12,345"
std::string CountText(uint64_t count);

// "812 B", "1.5 KiB", "12.0 MiB"
std::string BytesText(uint64_t bytes);

// "0.8 ms", "12 ms", "3.4 s", "2:05 min"
std::string DurationText(uint64_t us);

// `count` things a second over `us`, as "81,000/s"; "-" when no time passed.
std::string RateText(uint64_t count, uint64_t us);

// "1 item", "2 items"
std::string Plural(uint64_t count, std::string_view one);

// How many columns the text takes on a terminal: one a character.
size_t Columns(std::string_view text);

}  // namespace tailrace::tools
