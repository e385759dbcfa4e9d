#include "engine/utf8.h"

#include <cstddef>
#include <cstdint>

#include "wal/coding.h"

namespace tailrace {
namespace {

constexpr uint64_t kHighBits = 0x8080808080808080;

// The length of the well-formed character at the front, which is not ASCII; 0 if there is none.
size_t CharacterBytes(ByteView bytes) {
  const auto at = [&](size_t i) -> uint8_t {
    return i < bytes.size() ? static_cast<uint8_t>(bytes[i]) : 0;
  };
  const auto continues = [&](size_t i) { return (at(i) & 0xC0) == 0x80; };
  const uint8_t lead = at(0);
  // The second byte's range keeps out overlong forms, surrogates and what lies above U+10FFFF.
  uint8_t second_min = 0x80;
  uint8_t second_max = 0xBF;
  if (lead == 0xE0) second_min = 0xA0;
  if (lead == 0xED) second_max = 0x9F;
  if (lead == 0xF0) second_min = 0x90;
  if (lead == 0xF4) second_max = 0x8F;
  if (at(1) < second_min || at(1) > second_max) return 0;
  if (0xC2 <= lead && lead <= 0xDF) return 2;
  if (0xE0 <= lead && lead <= 0xEF) return continues(2) ? 3 : 0;
  if (0xF0 <= lead && lead <= 0xF4) return continues(2) && continues(3) ? 4 : 0;
  return 0;
}

}  // namespace

bool IsUtf8(ByteView bytes) {
  while (!bytes.empty()) {
    if (bytes.size() >= sizeof(uint64_t) && (LoadLittle<uint64_t>(bytes.data()) & kHighBits) == 0) {
      bytes.remove_prefix(sizeof(uint64_t));
    } else if (static_cast<uint8_t>(bytes[0]) < 0x80) {
      bytes.remove_prefix(1);
    } else {
      const size_t length = CharacterBytes(bytes);
      if (length == 0) return false;
      bytes.remove_prefix(length);
    }
  }
  return true;
}

}  // namespace tailrace
