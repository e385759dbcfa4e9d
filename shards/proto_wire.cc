#include "shards/proto_wire.h"

#include <cstring>

namespace tailrace::shards {

namespace {
constexpr uint64_t kFieldNumberMax = (uint64_t{1} << 29) - 1;
}

bool WireReader::ReadVarint(uint64_t& value) {
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

bool WireReader::ReadFixed(uint64_t bytes, uint64_t& value) {
  if (rest_.size() < bytes) return false;
  value = 0;
  std::memcpy(&value, rest_.data(), bytes);
  rest_.remove_prefix(bytes);
  return true;
}

bool WireReader::Next(WireField& field) {
  uint64_t tag = 0;
  if (!ReadVarint(tag)) return false;
  const uint64_t number = tag >> 3;
  if (number == 0 || number > kFieldNumberMax) return false;
  field.number = static_cast<uint32_t>(number);
  field.type = static_cast<WireType>(tag & 7);
  switch (field.type) {
    case WireType::kVarint:
      return ReadVarint(field.value);
    case WireType::kFixed64:
      return ReadFixed(8, field.value);
    case WireType::kFixed32:
      return ReadFixed(4, field.value);
    case WireType::kBytes: {
      uint64_t size = 0;
      if (!ReadVarint(size) || size > rest_.size()) return false;
      field.bytes = rest_.substr(0, size);
      rest_.remove_prefix(size);
      return true;
    }
  }
  return false;
}

}  // namespace tailrace::shards
