// The Protobuf wire format, as far as our hot messages need it: written by appending, read as
// views.
//
// Commit frames and shard records are written and read millions of times a second; the generated
// classes would copy every image. What these functions write is byte for byte what the generated
// classes write. Any input is safe to read.
#pragma once

#include <cstdint>
#include <cstring>
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

constexpr uint64_t FieldTag(uint32_t field, WireType type) {
  return (static_cast<uint64_t>(field) << 3) | static_cast<uint64_t>(type);
}

// Bytes of a field below 16, as WireWriter writes it.
constexpr uint64_t VarintFieldBytes(uint64_t value) {
  return value == 0 ? 0 : 1 + VarintBytes(value);
}
constexpr uint64_t BytesFieldBytes(uint64_t size) { return 1 + VarintBytes(size) + size; }

// Writes fields one after another into memory that the caller has measured beforehand.
class WireWriter {
 public:
  explicit WireWriter(char* target) : at_(target) {}

  // Behind what was written.
  char* at() const { return at_; }

  // Fields without presence are left out when they hold their default, as proto3 does.
  void VarintField(uint32_t field, uint64_t value) {
    if (value == 0) return;
    Varint(FieldTag(field, WireType::kVarint));
    Varint(value);
  }

  // Always written, also when empty.
  void BytesField(uint32_t field, ByteView bytes) {
    BeginMessage(field, bytes.size());
    if (!bytes.empty()) std::memcpy(at_, bytes.data(), bytes.size());
    at_ += bytes.size();
  }

  // What a message needs before its `bytes` bytes.
  void BeginMessage(uint32_t field, uint64_t bytes) {
    Varint(FieldTag(field, WireType::kBytes));
    Varint(bytes);
  }

 private:
  void Varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) *at_++ = static_cast<char>(value | 0x80);
    *at_++ = static_cast<char>(value);
  }

  char* at_;
};

// `field` is below 16.
inline void AppendBytesField(std::string& target, uint32_t field, ByteView bytes) {
  const size_t at = target.size();
  target.resize(at + BytesFieldBytes(bytes.size()));
  WireWriter(target.data() + at).BytesField(field, bytes);
}

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
  bool Next(WireField& field) {
    uint64_t tag = 0;
    if (!ReadVarint(tag)) return false;
    const uint64_t number = tag >> 3;
    if (number == 0 || number > kFieldNumberMax) return false;
    field.number = static_cast<uint32_t>(number);
    field.type = static_cast<WireType>(tag & 7);
    if (field.type == WireType::kVarint) return ReadVarint(field.value);
    if (field.type == WireType::kBytes) return ReadBytes(field.bytes);
    return ReadFixed(field);
  }

 private:
  static constexpr uint64_t kFieldNumberMax = (uint64_t{1} << 29) - 1;

  // Nearly all are of one byte.
  bool ReadVarint(uint64_t& value) {
    if (rest_.empty() || static_cast<uint8_t>(rest_[0]) >= 0x80) return ReadLongVarint(value);
    value = static_cast<uint8_t>(rest_[0]);
    rest_.remove_prefix(1);
    return true;
  }
  bool ReadBytes(ByteView& bytes) {
    uint64_t size = 0;
    if (!ReadVarint(size) || size > rest_.size()) return false;
    bytes = ByteView(rest_.data(), size);
    rest_.remove_prefix(size);
    return true;
  }
  bool ReadLongVarint(uint64_t& value);
  bool ReadFixed(WireField& field);

  ByteView rest_;
};

}  // namespace tailrace::shards
