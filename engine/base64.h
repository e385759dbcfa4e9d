// Base64 (RFC 4648, section 4), the text form of binary values.
//
// Thread-safe: free functions without state.
#pragma once

#include <string>
#include <string_view>

#include "wal/status.h"
#include "wal/types.h"

namespace tailrace {

// With padding, without line breaks.
std::string EncodeBase64(ByteView bytes);

// The bytes of a text in that form. kInvalidArgument if a character is foreign, the padding is
// missing or misplaced, or unused bits are set (so every byte string has one text).
Result<std::string> DecodeBase64(std::string_view text);

}  // namespace tailrace
