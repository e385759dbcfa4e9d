#include "shards/proto_wire.h"

#include <cstring>

namespace tailrace::shards {

bool WireReader::ReadLongVarint(uint64_t& value) {
  value = 0;
  for (uint64_t i = 0; i < kVarintBytesMax && i < rest_.size(); ++i) {
    const uint64_t byte = static_cast<uint8_t>(rest_[i]);
    if (i == kVarintBytesMax - 1 && byte > 1) return false;  // More than 64 bits.
    value |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      rest_.remove_prefix(i + 1);
      return true;
    }
  }
  return false;
}

bool WireReader::ReadFixed(WireField& field) {
  const bool is_64 = field.type == WireType::kFixed64;
  if (!is_64 && field.type != WireType::kFixed32) return false;
  const size_t bytes = is_64 ? 8 : 4;
  if (rest_.size() < bytes) return false;
  field.value = 0;
  std::memcpy(&field.value, rest_.data(), bytes);
  rest_.remove_prefix(bytes);
  return true;
}

}  // namespace tailrace::shards
