// The sparse index of one segment: every so many bytes, which record begins where.
//
// A closed segment has its index beside it in a checksummed `.idx` file; it is derived, so a
// missing or damaged one is built again from the segment. Format: docs/shard-log-format.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "shards/record_codec.h"
#include "shards/types.h"
#include "wal/types.h"

namespace tailrace::shards {

// A record that begins at `offset` of the segment file.
struct IndexEntry {
  SequenceNumber sequence;
  uint64_t offset = 0;
  uint64_t age_ms = 0;
  uint64_t wall_ms = 0;

  friend bool operator==(const IndexEntry&, const IndexEntry&) = default;
};

// Whether the record at `offset` gets an entry, when the one before it in the segment began at
// `previous_offset` (0: it is the first): the first record of every interval does. It depends on
// offsets alone, so that a scan and a restarted writer make the same index.
constexpr bool IsIndexed(uint64_t previous_offset, uint64_t offset, uint64_t interval_bytes) {
  return previous_offset == 0 || previous_offset / interval_bytes != offset / interval_bytes;
}

// The index of a segment up to `end_offset`. Entries rise.
struct SparseIndex {
  uint64_t end_offset = 0;  // Bytes of the segment file that it covers.
  LogPoint last;            // The last record below it.
  uint64_t last_age_ms = 0;
  std::vector<IndexEntry> entries;

  friend bool operator==(const SparseIndex&, const SparseIndex&) = default;
};

// The last entry at or below `sequence`, or null: then scanning begins at the segment's first
// record.
const IndexEntry* FindEntry(const std::vector<IndexEntry>& entries, SequenceNumber sequence);

// The last entry whose record is at most `age_ms` old in store age, or null.
const IndexEntry* FindEntryByAge(const std::vector<IndexEntry>& entries, uint64_t age_ms);

// The last entry whose record is stamped before `wall_ms`, or null.
const IndexEntry* FindEntryBeforeTime(const std::vector<IndexEntry>& entries, uint64_t wall_ms);

// "00000000000000004096.idx".
std::string IndexFileName(SequenceNumber base);

// Which segment an index belongs to.
struct IndexIdentity {
  StoreId store_id;
  ShardId shard;
  SequenceNumber base;
};

inline constexpr uint64_t kIndexFileBytesMax = 64ull << 20;

std::string EncodeIndexFile(const IndexIdentity& identity, const SparseIndex& index);

// Empty when the bytes are not a whole, undamaged index of this segment.
std::optional<SparseIndex> DecodeIndexFile(ByteView bytes, const IndexIdentity& identity);

}  // namespace tailrace::shards
