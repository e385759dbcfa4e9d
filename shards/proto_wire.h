// The Protobuf wire format, as far as our hot messages need it: written by appending, read as
// views.
//
// Commit frames and shard records are written and read millions of times a second; the generated
// classes would copy every image. What these functions write is byte for byte what the generated
// classes write. Any input is safe to read.
#pragma once

#include <cstdint>
#include <string>

#include "wal/types.h"

namespace tailrace::shards {

enum class WireType : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

inline constexpr uint64_t kVarintBytesMax = 10;

constexpr uint64_t VarintBytes(uint64_t value) {
  uint64_t bytes = 1;
  for (; value >= 0x80; value >>= 7) ++bytes;
  return bytes;
}

inline void AppendVarint(std::string& target, uint64_t value) {
  for (; value >= 0x80; value >>= 7) target.push_back(static_cast<char>(value | 0x80));
  target.push_back(static_cast<char>(value));
}

constexpr uint64_t FieldTag(uint32_t field, WireType type) {
  return (static_cast<uint64_t>(field) << 3) | static_cast<uint64_t>(type);
}

// Fields without presence are left out when they hold their default, as proto3 does.
inline void AppendVarintField(std::string& target, uint32_t field, uint64_t value) {
  if (value == 0) return;
  AppendVarint(target, FieldTag(field, WireType::kVarint));
  AppendVarint(target, value);
}

// Always written, also when empty.
inline void AppendBytesField(std::string& target, uint32_t field, ByteView bytes) {
  AppendVarint(target, FieldTag(field, WireType::kBytes));
  AppendVarint(target, bytes.size());
  target.append(bytes);
}

// Bytes of these two. `field` is below 16.
constexpr uint64_t VarintFieldBytes(uint64_t value) {
  return value == 0 ? 0 : 1 + VarintBytes(value);
}
constexpr uint64_t BytesFieldBytes(uint64_t size) { return 1 + VarintBytes(size) + size; }

// One field of a message.
struct WireField {
  uint32_t number = 0;
  WireType type = WireType::kVarint;
  uint64_t value = 0;  // kVarint, kFixed64, kFixed32.
  ByteView bytes;      // kBytes: a view into the message.
};

// Walks through the fields of a message.
class WireReader {
 public:
  explicit WireReader(ByteView message) : rest_(message) {}

  bool done() const { return rest_.empty(); }

  // The next field. False when the bytes are not a Protobuf message.
  bool Next(WireField& field);

 private:
  bool ReadVarint(uint64_t& value);
  bool ReadFixed(uint64_t bytes, uint64_t& value);

  ByteView rest_;
};

}  // namespace tailrace::shards
