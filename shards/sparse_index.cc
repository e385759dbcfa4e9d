#include "shards/sparse_index.h"

#include <algorithm>
#include <cstdio>

#include "wal/coding.h"
#include "wal/hash.h"

namespace tailrace::shards {
namespace {

// Little-endian u64 fields; entries of four u64 follow the header, one XXH3 of all before ends the
// file.
constexpr uint64_t kIndexMagic = 0x31584449'4c495254;  // "TRILIDX1" in file order.
constexpr uint64_t kMagicAt = 0;
constexpr uint64_t kStoreAt = 8;
constexpr uint64_t kShardAt = 16;
constexpr uint64_t kBaseAt = 24;
constexpr uint64_t kEndOffsetAt = 32;
constexpr uint64_t kLastSequenceAt = 40;
constexpr uint64_t kLastOrdinalAt = 48;
constexpr uint64_t kLastChainAt = 56;
constexpr uint64_t kLastAgeAt = 64;
constexpr uint64_t kEntriesAt = 72;
constexpr uint64_t kHeaderBytes = 80;
constexpr uint64_t kEntryBytes = 32;
constexpr uint64_t kHashBytes = 8;

void Append64(std::string& target, uint64_t value) {
  char bytes[8];
  StoreLittle(bytes, value);
  target.append(bytes, sizeof bytes);
}

uint64_t Load64(ByteView bytes, uint64_t at) { return LoadLittle<uint64_t>(bytes.data() + at); }

bool EntriesRise(const SparseIndex& index) {
  for (size_t i = 1; i < index.entries.size(); ++i) {
    const IndexEntry& a = index.entries[i - 1];
    const IndexEntry& b = index.entries[i];
    if (a.sequence >= b.sequence || a.offset >= b.offset || a.age_ms > b.age_ms ||
        a.wall_ms > b.wall_ms) {
      return false;
    }
  }
  return index.entries.empty() || (index.entries.back().offset < index.end_offset &&
                                   index.entries.back().sequence <= index.last.sequence);
}

}  // namespace

const IndexEntry* FindEntry(const std::vector<IndexEntry>& entries, SequenceNumber sequence) {
  const auto after = std::upper_bound(
      entries.begin(), entries.end(), sequence,
      [](SequenceNumber wanted, const IndexEntry& entry) { return wanted < entry.sequence; });
  return after == entries.begin() ? nullptr : &*(after - 1);
}

const IndexEntry* FindEntryByAge(const std::vector<IndexEntry>& entries, uint64_t age_ms) {
  const auto after = std::upper_bound(
      entries.begin(), entries.end(), age_ms,
      [](uint64_t wanted, const IndexEntry& entry) { return wanted < entry.age_ms; });
  return after == entries.begin() ? nullptr : &*(after - 1);
}

const IndexEntry* FindEntryBeforeTime(const std::vector<IndexEntry>& entries, uint64_t wall_ms) {
  const auto after =
      std::partition_point(entries.begin(), entries.end(),
                           [&](const IndexEntry& entry) { return entry.wall_ms < wall_ms; });
  return after == entries.begin() ? nullptr : &*(after - 1);
}

std::string IndexFileName(SequenceNumber base) {
  char text[32];
  std::snprintf(text, sizeof text, "%020llu.idx", static_cast<unsigned long long>(base.value));
  return text;
}

std::string EncodeIndexFile(const IndexIdentity& identity, const SparseIndex& index) {
  std::string bytes;
  bytes.reserve(kHeaderBytes + index.entries.size() * kEntryBytes + kHashBytes);
  for (const uint64_t field :
       {kIndexMagic, identity.store_id.value, identity.shard.value, identity.base.value,
        index.end_offset, index.last.sequence.value, index.last.ordinal, index.last.chain,
        index.last_age_ms, static_cast<uint64_t>(index.entries.size())}) {
    Append64(bytes, field);
  }
  for (const IndexEntry& entry : index.entries) {
    Append64(bytes, entry.sequence.value);
    Append64(bytes, entry.offset);
    Append64(bytes, entry.age_ms);
    Append64(bytes, entry.wall_ms);
  }
  Append64(bytes, Hash64(bytes));
  return bytes;
}

std::optional<SparseIndex> DecodeIndexFile(ByteView bytes, const IndexIdentity& identity) {
  if (bytes.size() < kHeaderBytes + kHashBytes) return std::nullopt;
  const uint64_t hash_at = bytes.size() - kHashBytes;
  if (Load64(bytes, kMagicAt) != kIndexMagic ||
      Load64(bytes, hash_at) != Hash64(bytes.substr(0, hash_at)) ||
      Load64(bytes, kStoreAt) != identity.store_id.value ||
      Load64(bytes, kShardAt) != identity.shard.value ||
      Load64(bytes, kBaseAt) != identity.base.value) {
    return std::nullopt;
  }
  const uint64_t count = Load64(bytes, kEntriesAt);
  if (count > bytes.size() / kEntryBytes || kHeaderBytes + count * kEntryBytes != hash_at) {
    return std::nullopt;
  }
  SparseIndex index;
  index.end_offset = Load64(bytes, kEndOffsetAt);
  index.last.sequence = SequenceNumber{Load64(bytes, kLastSequenceAt)};
  index.last.ordinal = Load64(bytes, kLastOrdinalAt);
  index.last.chain = Load64(bytes, kLastChainAt);
  index.last_age_ms = Load64(bytes, kLastAgeAt);
  index.entries.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t at = kHeaderBytes + i * kEntryBytes;
    index.entries.push_back(IndexEntry{.sequence = SequenceNumber{Load64(bytes, at)},
                                       .offset = Load64(bytes, at + 8),
                                       .age_ms = Load64(bytes, at + 16),
                                       .wall_ms = Load64(bytes, at + 24)});
  }
  if (!EntriesRise(index)) return std::nullopt;
  return index;
}

}  // namespace tailrace::shards
