// Whether bytes are text.
#pragma once

#include "wal/types.h"

namespace tailrace {

// Whether the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, nothing
// above U+10FFFF). NUL is text.
bool IsUtf8(ByteView bytes);

}  // namespace tailrace
