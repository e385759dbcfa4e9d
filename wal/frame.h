// Frames as bytes: encoding, validation and padding. Pure functions, no files.
//
// The format is in docs/log-format.md, the numbers in wal/format.h. The journal and the shard logs
// share these functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "wal/format.h"
#include "wal/types.h"

namespace tailrace::wal {

// Seeds both hashes of every frame of one segment (SegmentSeed in wal/segment.h), so that stale
// bytes of a recycled file and frames of other segments and stores are never valid.
struct FrameSeed {
  uint64_t value = 0;

  friend bool operator==(const FrameSeed&, const FrameSeed&) = default;
};

// The fields of a frame's header that carry meaning.
struct FrameHeader {
  uint32_t payload_bytes = 0;
  uint64_t position = 0;
  uint64_t mark = 0;
  Epoch epoch;
  FrameType type{};
  uint64_t payload_hash = 0;

  // Bytes of the whole frame, alignment included.
  uint64_t frame_bytes() const { return FrameBytes(payload_bytes); }

  friend bool operator==(const FrameHeader&, const FrameHeader&) = default;
};

// Why bytes are not a valid frame of a segment.
enum class FrameProblem {
  kNone,
  kShort,        // Fewer bytes are left than a header, or than the header's length asks for.
  kMagic,        // The magic is not there: no frame begins here.
  kReserved,     // A reserved byte is not zero.
  kHeaderHash,   // The header is damaged, torn, stale or of another segment.
  kPosition,     // A valid header of another place.
  kEpoch,        // A valid header of another epoch.
  kPayloadHash,  // The payload is damaged or torn.
};

// The problem as it is printed ("header hash differs"). Never null.
std::string_view FrameProblemName(FrameProblem problem);

// The payload hash that a header must carry: 0 for kPad, whose payload is never looked at.
uint64_t PayloadHash(FrameType type, ByteView payload, FrameSeed seed);

// Writes the kFrameHeaderBytes bytes of the header, its own hash included.
void EncodeFrameHeader(char* target, const FrameHeader& header, FrameSeed seed);

// Puts another durable mark into an encoded header and renews its hash.
void RestampFrameHeader(char* header, uint64_t mark, FrameSeed seed);

// Decodes the header at the start of `bytes`: magic, reserved bytes and header hash hold on kNone,
// in which case `header` is set. Its position, epoch and length are not judged.
FrameProblem DecodeFrameHeader(ByteView bytes, FrameSeed seed, FrameHeader& header);

// A frame found in bytes.
struct ParsedFrame {
  FrameHeader header;
  ByteView payload;  // Within the bytes given.
};

// Parses the frame at the start of `bytes`, which is what is left of the segment. kNone: every rule
// of "a frame is valid iff" (docs/log-format.md) holds but the one about the position, which is the
// caller's to compare; `frame` is set.
FrameProblem ParseFrame(ByteView bytes, FrameSeed seed, Epoch epoch, ParsedFrame& frame);

// The second half of ParseFrame, for whoever has decoded the header.
FrameProblem ParsePayload(ByteView bytes, const FrameHeader& header, FrameSeed seed, Epoch epoch,
                          ByteView& payload);

// What an Epoch frame says.
struct EpochFrame {
  Lsn old_end;
  Lsn new_start;
  Epoch old_epoch;  // 0: the journal begins here.
  bool clean = false;

  friend bool operator==(const EpochFrame&, const EpochFrame&) = default;
};

// The payload's bytes, kEpochFramePayloadBytes of them, at `target`.
void EncodeEpochFrame(char* target, const EpochFrame& frame);

// Empty when the payload is not one of an Epoch frame.
std::optional<EpochFrame> DecodeEpochFrame(ByteView payload);

// How to fill from `offset` up to a block boundary in a segment that ends at `end` (both counted
// from a block boundary, `end` a multiple of kBlockBytes).
struct Padding {
  uint64_t bytes = 0;
  bool needs_frame = false;  // False with bytes > 0: too little for a frame is left of the segment.
};
Padding PaddingToBlock(uint64_t offset, uint64_t end);

// The first multiple of kBlockBytes at or above `value`.
constexpr uint64_t RoundUpToBlock(uint64_t value) {
  return (value + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
}

}  // namespace tailrace::wal
