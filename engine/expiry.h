// When an item expires: what a table's time-to-live attribute says. The rules are the service's.
// Thread-safe: free functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "wal/status.h"
#include "wal/types.h"

namespace tailrace::engine {

// Items whose time is longer past than this are kept: more likely the attribute means something
// else. Five years of 365 days.
inline constexpr uint64_t kExpiryAgeMaxS = 5ull * 365 * 24 * 3600;

// kInvalidArgument unless the name is UTF-8 of 1 to kKeyNameBytesMax bytes.
Status ValidateExpiryAttribute(std::string_view name);

// The whole seconds since 1970 in the attribute of an encoded item. Absent: the item never expires,
// because it has no such attribute, or one that is no Number, is negative, or lies beyond 63 bits.
// Any bytes are safe. The time is linear in the number of attributes, not in their sizes.
std::optional<uint64_t> ExpiryOf(ByteView image, std::string_view attribute);

// Whether an item that expires at `expiry_s` may be deleted at `wall_ms` (ms since 1970): its
// second is over, and not for longer than kExpiryAgeMaxS.
bool IsExpired(uint64_t expiry_s, uint64_t wall_ms);

}  // namespace tailrace::engine
