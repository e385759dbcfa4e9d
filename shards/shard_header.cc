#include "shards/shard_header.h"

#include <charconv>
#include <cstdio>

#include "wal/check.h"
#include "wal/coding.h"
#include "wal/hash.h"

namespace tailrace::shards {
namespace {

constexpr uint64_t kHeaderMagic = 0x31445248'4c495254;  // "TRILHRD1" in file order.
constexpr uint32_t kHeaderVersion = 1;
constexpr uint64_t kMagicAt = 0;          // u64
constexpr uint64_t kVersionAt = 8;        // u32
constexpr uint64_t kMessageBytesAt = 12;  // u32
constexpr uint64_t kMessageAt = 16;
constexpr uint64_t kHashBytes = 8;

constexpr ByteView kStreamPrefix = "stream-";
constexpr ByteView kShardPrefix = "shard-";
constexpr size_t kIdDigits = 12;

std::string DirectoryName(ByteView prefix, uint64_t id) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%012llu", static_cast<unsigned long long>(id));
  return std::string(prefix) + digits;
}

std::optional<uint64_t> ParseDirectoryName(ByteView prefix, ByteView name) {
  if (!name.starts_with(prefix)) return std::nullopt;
  const ByteView digits = name.substr(prefix.size());
  if (digits.size() < kIdDigits) return std::nullopt;
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), id);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  if (DirectoryName(prefix, id) != name) return std::nullopt;
  return id;
}

}  // namespace

std::string StreamDirectoryName(StreamId stream) {
  return DirectoryName(kStreamPrefix, stream.value);
}

std::string ShardDirectoryName(ShardId shard) { return DirectoryName(kShardPrefix, shard.value); }

std::optional<StreamId> ParseStreamDirectoryName(ByteView name) {
  const auto id = ParseDirectoryName(kStreamPrefix, name);
  return id ? std::optional<StreamId>(StreamId{*id}) : std::nullopt;
}

std::optional<ShardId> ParseShardDirectoryName(ByteView name) {
  const auto id = ParseDirectoryName(kShardPrefix, name);
  return id ? std::optional<ShardId>(ShardId{*id}) : std::nullopt;
}

std::string ShardPath(const std::string& directory, StreamId stream, ShardId shard) {
  return wal::JoinPath(wal::JoinPath(directory, StreamDirectoryName(stream)),
                       ShardDirectoryName(shard));
}

frames::ShardLogHeader MakeShardHeader(StoreId store_id, const Stream& stream, const Shard& shard) {
  frames::ShardLogHeader header;
  header.set_store(store_id.value);
  frames::StreamSpec* const spec = header.mutable_stream();
  spec->set_id(stream.id.value);
  spec->set_table(stream.table.value);
  spec->set_table_name(stream.table_name);
  *spec->mutable_keys() = stream.keys;
  spec->set_label(stream.label);
  spec->set_view(static_cast<frames::ViewType>(stream.view));
  spec->set_created_ms(stream.created_ms);
  spec->set_retention_ms(stream.retention_ms);
  frames::ShardSpec* const shard_spec = header.mutable_shard();
  shard_spec->set_id(shard.id.value);
  shard_spec->set_hash_first(shard.range.first);
  shard_spec->set_hash_last(shard.range.last);
  if (shard.parent) shard_spec->set_parent(shard.parent->value);
  shard_spec->set_created_ms(shard.created_ms);
  header.set_starting(shard.starting.value);
  return header;
}

std::string EncodeShardHeader(const frames::ShardLogHeader& header) {
  const std::string message = header.SerializeAsString();
  TAILRACE_CHECK(message.size() <= kShardHeaderBytesMax / 2, "a shard header is small");
  std::string bytes(kMessageAt, '\0');
  StoreLittle<uint64_t>(bytes.data() + kMagicAt, kHeaderMagic);
  StoreLittle<uint32_t>(bytes.data() + kVersionAt, kHeaderVersion);
  StoreLittle<uint32_t>(bytes.data() + kMessageBytesAt, static_cast<uint32_t>(message.size()));
  bytes += message;
  char hash[kHashBytes];
  StoreLittle<uint64_t>(hash, Hash64(bytes));
  bytes.append(hash, sizeof hash);
  return bytes;
}

Result<frames::ShardLogHeader> DecodeShardHeader(ByteView bytes) {
  if (bytes.size() < kMessageAt + kHashBytes) return Corruption("the shard header is too short");
  const uint64_t hash_at = bytes.size() - kHashBytes;
  if (LoadLittle<uint64_t>(bytes.data() + kMagicAt) != kHeaderMagic) {
    return Corruption("this is not a shard header");
  }
  if (LoadLittle<uint64_t>(bytes.data() + hash_at) != Hash64(bytes.substr(0, hash_at))) {
    return Corruption("the hash of the shard header differs");
  }
  const uint32_t version = LoadLittle<uint32_t>(bytes.data() + kVersionAt);
  if (version != kHeaderVersion) {
    return Unsupported("the shard header has version " + std::to_string(version));
  }
  const uint64_t message_bytes = LoadLittle<uint32_t>(bytes.data() + kMessageBytesAt);
  frames::ShardLogHeader header;
  if (kMessageAt + message_bytes != hash_at ||
      !header.ParseFromArray(bytes.data() + kMessageAt, static_cast<int>(message_bytes))) {
    return Corruption("the shard header cannot be read");
  }
  return header;
}

Result<frames::ShardLogHeader> ReadShardHeader(wal::FileSystem& fs, const std::string& shard_path) {
  const std::string path = wal::JoinPath(shard_path, kShardHeaderFileName);
  TAILRACE_ASSIGN_OR_RETURN(const std::string bytes,
                            wal::ReadWholeFile(fs, path, kShardHeaderBytesMax));
  auto header = DecodeShardHeader(bytes);
  if (!header.ok()) return header.status().WithContext(path);
  return header;
}

}  // namespace tailrace::shards
