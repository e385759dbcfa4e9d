// The bytes of segments and frames: numbers and offsets only. Prose and examples:
// docs/log-format.md. A change here changes that page, the format version and a golden file in the
// same commit.
//
// The journal and the shard logs share this framing.
#pragma once

#include <cstdint>

#include "wal/fs.h"
#include "wal/types.h"

namespace tailrace::wal {

inline constexpr uint32_t kFormatVersion = 1;

// ---- Segment header: the first block of every segment file. ----
inline constexpr uint64_t kSegmentMagic = 0x31474553'4c495254;  // "TRILSEG1" in file order.
inline constexpr uint64_t kSegmentHeaderBytes = kBlockBytes;
inline constexpr uint64_t kSegmentBytesMax = 1ull << 30;  // Of a journal's segment.
// Offsets of fields, little-endian; bytes not named are zero.
inline constexpr uint64_t kSegmentMagicAt = 0;         // u64
inline constexpr uint64_t kSegmentVersionAt = 8;       // u32
inline constexpr uint64_t kSegmentKindAt = 12;         // u32, LogKind
inline constexpr uint64_t kSegmentStoreIdAt = 16;      // u64
inline constexpr uint64_t kSegmentLogIdAt = 24;        // u64: 0 in the journal, else the shard's id
inline constexpr uint64_t kSegmentBaseAt = 32;         // u64: first position of the segment
inline constexpr uint64_t kSegmentBytesAt = 40;        // u64: reserved file size; 0 = it grows
inline constexpr uint64_t kSegmentEpochAt = 48;        // u32
inline constexpr uint64_t kSegmentDurabilityAt = 52;   // u32: journal only, Durability
inline constexpr uint64_t kSegmentWallMsAt = 56;       // u64: when it was made
inline constexpr uint64_t kSegmentBaseOrdinalAt = 64;  // u64: shard log only
inline constexpr uint64_t kSegmentPreviousAt = 72;     // u64: shard log only
inline constexpr uint64_t kSegmentBaseChainAt = 80;    // u64: shard log only
inline constexpr uint64_t kSegmentEpochStartAt = 88;   // u64: journal only
inline constexpr uint64_t kSegmentHashAt = kSegmentHeaderBytes - 8;  // u64: XXH3 of all before it

enum class LogKind : uint32_t { kJournal = 1, kShardLog = 2 };

struct SegmentHeader {
  uint32_t version = kFormatVersion;
  LogKind kind = LogKind::kJournal;
  StoreId store_id;
  uint64_t log_id = 0;
  uint64_t base = 0;
  uint64_t segment_bytes = 0;
  Epoch epoch;
  uint32_t durability = 0;
  uint64_t wall_ms = 0;
  uint64_t base_ordinal = 0;
  uint64_t previous = 0;
  uint64_t base_chain = 0;
  uint64_t epoch_start = 0;  // Where the segment's epoch begins; equals base in its first segment.

  friend bool operator==(const SegmentHeader&, const SegmentHeader&) = default;
};

// ---- Frame: 48 bytes of header, the payload, zeros to the next multiple of 8. ----
inline constexpr uint32_t kFrameMagic = 0x314d5254;  // "TRM1" in file order.
inline constexpr uint64_t kFrameHeaderBytes = 48;
inline constexpr uint64_t kFrameAlignment = 8;
inline constexpr uint64_t kFrameMagicAt = 0;         // u32
inline constexpr uint64_t kFramePayloadBytesAt = 4;  // u32
inline constexpr uint64_t kFramePositionAt = 8;      // u64: LSN, or sequence number in a shard log
inline constexpr uint64_t kFrameMarkAt = 16;   // u64: all below was durable when this was written
inline constexpr uint64_t kFrameEpochAt = 24;  // u32
inline constexpr uint64_t kFrameTypeAt = 28;   // u8
inline constexpr uint64_t kFrameFlagsAt = 29;  // u8, zero
inline constexpr uint64_t kFrameReservedAt = 30;  // u16, zero
inline constexpr uint64_t kFramePayloadHashAt =
    32;  // u64: XXH3 of the payload, seeded (SegmentSeed)
inline constexpr uint64_t kFrameHeaderHashAt =
    40;  // u64: XXH3 of bytes 0..40, seeded (SegmentSeed)

static_assert(kFrameHeaderHashAt + 8 == kFrameHeaderBytes);
static_assert(kFrameHeaderBytes % kFrameAlignment == 0);
static_assert(kBlockBytes % kFrameAlignment == 0);

// Values are on disk: never change one, never use one again.
enum class FrameType : uint8_t {
  kPad = 1,    // Fills up to a block or to the segment's end; payload is anything, its hash is 0.
  kEpoch = 2,  // First frame of an epoch: the epoch frame's payload below.
  kMark = 3,   // Empty; its header's durable mark is the point.
  kClose = 4,  // Empty; the journal was closed after it.
};

// Types from here on belong to the journal's callers (shards/frames.h).
inline constexpr uint8_t kFirstCallerFrame = 16;

// ---- Payload of the Epoch frame. ----
inline constexpr uint64_t kEpochFrameOldEndAt = 0;     // u64: where the old epoch ends for ever
inline constexpr uint64_t kEpochFrameNewStartAt = 8;   // u64: the frame's own position
inline constexpr uint64_t kEpochFrameOldEpochAt = 16;  // u32: 0 = there is none
inline constexpr uint64_t kEpochFrameFlagsAt = 20;     // u32: bit 0 = the old epoch was closed
inline constexpr uint64_t kEpochFramePayloadBytes = 24;
inline constexpr uint32_t kEpochFrameCleanFlag = 1;

// Bytes that a frame with this payload takes, padding included.
constexpr uint64_t FrameBytes(uint64_t payload_bytes) {
  return (kFrameHeaderBytes + payload_bytes + kFrameAlignment - 1) / kFrameAlignment *
         kFrameAlignment;
}

// The first position ever handed out; everything is above Lsn{0}.
inline constexpr Lsn kFirstLsn{kBlockBytes};

}  // namespace tailrace::wal
