// Segment files: names, the header block and the seed of their frames. Pure functions, no files.
//
// The format is in docs/log-format.md, the numbers in wal/format.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "wal/format.h"
#include "wal/frame.h"
#include "wal/types.h"

namespace tailrace::wal {

// A segment's base is at most this, so that position arithmetic cannot overflow.
inline constexpr uint64_t kPositionMax = uint64_t{1} << 62;

// The header's kSegmentHeaderBytes bytes.
std::string EncodeSegmentHeader(const SegmentHeader& header);

// What the first block of a file is.
enum class SegmentHeaderState {
  kValid,
  kNewer,    // Whole, but of a format version that this build does not know.
  kInvalid,  // Short, never written, torn or damaged.
};

// Judges `bytes`, the beginning of a file; `header` is set on kValid. On kNewer only its version
// is.
SegmentHeaderState DecodeSegmentHeader(ByteView bytes, SegmentHeader& header);

// The seed of all frames of the segment with this identity.
FrameSeed SegmentSeed(StoreId store_id, uint64_t log_id, uint64_t base, Epoch epoch);
FrameSeed SegmentSeed(const SegmentHeader& header);

// "00000000000000004096.seg" from 4096, and back. Empty when `name` is not such a name.
std::string SegmentFileName(uint64_t base);
std::optional<uint64_t> ParseSegmentFileName(ByteView name);

// Positions that a segment of the journal reserves: [base, base + data bytes).
constexpr uint64_t SegmentDataBytes(uint64_t segment_bytes) {
  return segment_bytes - kSegmentHeaderBytes;
}
inline uint64_t SegmentEnd(const SegmentHeader& header) {
  return header.base + SegmentDataBytes(header.segment_bytes);
}

}  // namespace tailrace::wal
