#include "engine/rocks_table_check.h"

#include <optional>

#include "wal/coding.h"
#include "wal/hash.h"

namespace tailrace::engine {
namespace {

// The footer: checksum type u8, handles of the meta index and of the index padded to 40 bytes,
// format version u32, magic u64.
constexpr uint64_t kFooterBytes = 53;
constexpr uint64_t kHandlesAt = 1;
constexpr uint64_t kVersionAt = 41;
constexpr uint64_t kMagicAt = 45;
constexpr uint64_t kMagic = 0x88e2'41b7'85f4'cff7;
constexpr uint32_t kVersion = 5;
constexpr char kChecksumXxh3 = 4;

// Behind each block: compression type u8, checksum u32.
constexpr uint64_t kTrailerBytes = 5;
constexpr uint64_t kBlockBytesMax = 16 << 20;

constexpr ByteView kPropertiesName = "rocksdb.properties";

struct BlockHandle {
  uint64_t offset = 0;
  uint64_t bytes = 0;  // Without its trailer.
};

// Takes a varint from the front; absent if there is none.
std::optional<uint64_t> TakeVarint(ByteView& bytes) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  return std::nullopt;
}

std::optional<BlockHandle> TakeHandle(ByteView& bytes) {
  const auto offset = TakeVarint(bytes);
  const auto size = TakeVarint(bytes);
  if (!offset || !size) return std::nullopt;
  return BlockHandle{*offset, *size};
}

// As RocksDB computes it for kXXH3: the last byte is mixed in afterwards.
uint32_t BlockChecksum(ByteView block_and_type) {
  constexpr uint32_t kLastByteFactor = 0x6b90'83d9;
  const auto last = static_cast<unsigned char>(block_and_type.back());
  block_and_type.remove_suffix(1);
  return static_cast<uint32_t>(Hash64(block_and_type)) ^ (last * kLastByteFactor);
}

// The block without its trailer; kCorruption if it does not have its checksum.
Result<std::string> ReadBlock(wal::File& file, const std::string& path, uint64_t file_bytes,
                              const BlockHandle& handle, const char* what) {
  const Status damaged =
      Corruption(path + ", offset " + std::to_string(handle.offset) + ": the table's block of " +
                 what + " is damaged: its checksum differs");
  if (handle.bytes > kBlockBytesMax || handle.offset > file_bytes ||
      file_bytes - handle.offset < handle.bytes + kTrailerBytes) {
    return damaged;
  }
  TAILRACE_ASSIGN_OR_RETURN(std::string block,
                            wal::ReadPiece(file, handle.offset, handle.bytes + kTrailerBytes));
  if (block.size() < handle.bytes + kTrailerBytes ||
      BlockChecksum(ByteView(block).substr(0, handle.bytes + 1)) !=
          LoadLittle<uint32_t>(block.data() + handle.bytes + 1)) {
    return damaged;
  }
  block.resize(handle.bytes);
  return block;
}

// The value of the entry with this key in a block whose entries are (bytes shared with the key
// before, further bytes, bytes of the value, the further bytes, the value); absent if there is
// none.
std::optional<ByteView> FindEntry(ByteView block, ByteView wanted) {
  std::string key;
  while (!block.empty()) {
    const auto shared = TakeVarint(block);
    const auto further = TakeVarint(block);
    const auto value_bytes = TakeVarint(block);
    if (!shared || !further || !value_bytes || *shared > key.size() || *further > block.size() ||
        *value_bytes > block.size() - *further) {
      return std::nullopt;
    }
    key.resize(*shared);
    key.append(block.substr(0, *further));
    block.remove_prefix(*further);
    if (key == wanted) return block.substr(0, *value_bytes);
    block.remove_prefix(*value_bytes);
  }
  return std::nullopt;
}

}  // namespace

Status CheckTableProperties(wal::File& file, const std::string& path) {
  TAILRACE_ASSIGN_OR_RETURN(const uint64_t file_bytes, file.SizeBytes());
  if (file_bytes < kFooterBytes) return Status::Ok();
  TAILRACE_ASSIGN_OR_RETURN(const std::string footer,
                            wal::ReadPiece(file, file_bytes - kFooterBytes, kFooterBytes));
  // With another footer, RocksDB looks for the blocks elsewhere or with another checksum, and finds
  // that they have not got it.
  if (footer.size() < kFooterBytes || footer[0] != kChecksumXxh3 ||
      LoadLittle<uint64_t>(footer.data() + kMagicAt) != kMagic) {
    return Status::Ok();
  }
  // In another version blocks have the same checksums, and are unpacked in another way.
  if (const auto version = LoadLittle<uint32_t>(footer.data() + kVersionAt); version != kVersion) {
    return Corruption(path + ", offset " + std::to_string(file_bytes - kFooterBytes + kVersionAt) +
                      ": the table's footer is damaged: format version " + std::to_string(version) +
                      ", not " + std::to_string(kVersion));
  }
  ByteView handles = ByteView(footer).substr(kHandlesAt, kVersionAt - kHandlesAt);
  const auto meta_index = TakeHandle(handles);
  if (!meta_index) return Status::Ok();
  TAILRACE_ASSIGN_OR_RETURN(const std::string metas,
                            ReadBlock(file, path, file_bytes, *meta_index, "meta blocks"));
  auto found = FindEntry(metas, kPropertiesName);
  if (!found) return Status::Ok();
  const auto properties = TakeHandle(*found);
  if (!properties) return Status::Ok();
  return ReadBlock(file, path, file_bytes, *properties, "properties").status();
}

}  // namespace tailrace::engine
