#include "wal/frame.h"

#include <cstring>

#include "wal/check.h"
#include "wal/coding.h"
#include "wal/hash.h"
#include "wal/mutants.h"

namespace tailrace::wal {

std::string_view FrameProblemName(FrameProblem problem) {
  switch (problem) {
    case FrameProblem::kNone:
      return "none";
    case FrameProblem::kShort:
      return "the frame is longer than what is left of the segment";
    case FrameProblem::kMagic:
      return "no frame begins here";
    case FrameProblem::kReserved:
      return "reserved bytes are not zero";
    case FrameProblem::kHeaderHash:
      return "header hash differs";
    case FrameProblem::kPosition:
      return "the frame belongs to another position";
    case FrameProblem::kEpoch:
      return "the frame belongs to another epoch";
    case FrameProblem::kPayloadHash:
      return "payload hash differs";
  }
  return "unknown";
}

uint64_t PayloadHash(FrameType type, ByteView payload, FrameSeed seed) {
  return type == FrameType::kPad ? 0 : Hash64(payload, seed.value);
}

void EncodeFrameHeader(char* target, const FrameHeader& header, FrameSeed seed) {
  std::memset(target, 0, kFrameHeaderBytes);
  StoreLittle<uint32_t>(target + kFrameMagicAt, kFrameMagic);
  StoreLittle<uint32_t>(target + kFramePayloadBytesAt, header.payload_bytes);
  StoreLittle<uint64_t>(target + kFramePositionAt, header.position);
  StoreLittle<uint64_t>(target + kFrameMarkAt, header.mark);
  StoreLittle<uint32_t>(target + kFrameEpochAt, header.epoch.value);
  StoreLittle<uint8_t>(target + kFrameTypeAt, static_cast<uint8_t>(header.type));
  StoreLittle<uint64_t>(target + kFramePayloadHashAt, header.payload_hash);
  StoreLittle<uint64_t>(target + kFrameHeaderHashAt,
                        Hash64(ByteView(target, kFrameHeaderHashAt), seed.value));
}

void RestampFrameHeader(char* header, uint64_t mark, FrameSeed seed) {
  StoreLittle<uint64_t>(header + kFrameMarkAt, mark);
  StoreLittle<uint64_t>(header + kFrameHeaderHashAt,
                        Hash64(ByteView(header, kFrameHeaderHashAt), seed.value));
}

FrameProblem DecodeFrameHeader(ByteView bytes, FrameSeed seed, FrameHeader& header) {
  if (bytes.size() < kFrameHeaderBytes) return FrameProblem::kShort;
  const char* source = bytes.data();
  if (LoadLittle<uint32_t>(source + kFrameMagicAt) != kFrameMagic) return FrameProblem::kMagic;
  if (LoadLittle<uint64_t>(source + kFrameHeaderHashAt) !=
          Hash64(bytes.substr(0, kFrameHeaderHashAt), seed.value) &&
      !TAILRACE_MUTANT("header-hash-ignored")) {
    return FrameProblem::kHeaderHash;
  }
  if (LoadLittle<uint8_t>(source + kFrameFlagsAt) != 0 ||
      LoadLittle<uint16_t>(source + kFrameReservedAt) != 0) {
    return FrameProblem::kReserved;
  }
  header.payload_bytes = LoadLittle<uint32_t>(source + kFramePayloadBytesAt);
  header.position = LoadLittle<uint64_t>(source + kFramePositionAt);
  header.mark = LoadLittle<uint64_t>(source + kFrameMarkAt);
  header.epoch = Epoch{LoadLittle<uint32_t>(source + kFrameEpochAt)};
  header.type = static_cast<FrameType>(LoadLittle<uint8_t>(source + kFrameTypeAt));
  header.payload_hash = LoadLittle<uint64_t>(source + kFramePayloadHashAt);
  return FrameProblem::kNone;
}

FrameProblem ParseFrame(ByteView bytes, FrameSeed seed, Epoch epoch, ParsedFrame& frame) {
  const FrameProblem problem = DecodeFrameHeader(bytes, seed, frame.header);
  if (problem != FrameProblem::kNone) return problem;
  return ParsePayload(bytes, frame.header, seed, epoch, frame.payload);
}

FrameProblem ParsePayload(ByteView bytes, const FrameHeader& header, FrameSeed seed, Epoch epoch,
                          ByteView& payload) {
  if (header.epoch != epoch) return FrameProblem::kEpoch;
  if (header.frame_bytes() > bytes.size()) return FrameProblem::kShort;
  payload = bytes.substr(kFrameHeaderBytes, header.payload_bytes);
  if (header.payload_hash != PayloadHash(header.type, payload, seed) &&
      !TAILRACE_MUTANT("payload-hash-ignored")) {
    return FrameProblem::kPayloadHash;
  }
  return FrameProblem::kNone;
}

void EncodeEpochFrame(char* target, const EpochFrame& frame) {
  StoreLittle<uint64_t>(target + kEpochFrameOldEndAt, frame.old_end.value);
  StoreLittle<uint64_t>(target + kEpochFrameNewStartAt, frame.new_start.value);
  StoreLittle<uint32_t>(target + kEpochFrameOldEpochAt, frame.old_epoch.value);
  StoreLittle<uint32_t>(target + kEpochFrameFlagsAt, frame.clean ? kEpochFrameCleanFlag : 0);
}

std::optional<EpochFrame> DecodeEpochFrame(ByteView payload) {
  if (payload.size() != kEpochFramePayloadBytes) return std::nullopt;
  const uint32_t flags = LoadLittle<uint32_t>(payload.data() + kEpochFrameFlagsAt);
  if ((flags & ~kEpochFrameCleanFlag) != 0) return std::nullopt;
  return EpochFrame{
      .old_end = Lsn{LoadLittle<uint64_t>(payload.data() + kEpochFrameOldEndAt)},
      .new_start = Lsn{LoadLittle<uint64_t>(payload.data() + kEpochFrameNewStartAt)},
      .old_epoch = Epoch{LoadLittle<uint32_t>(payload.data() + kEpochFrameOldEpochAt)},
      .clean = flags != 0};
}

Padding PaddingToBlock(uint64_t offset, uint64_t end) {
  TAILRACE_CHECK(offset <= end && end % kBlockBytes == 0, "the padding lies outside the segment");
  uint64_t bytes = RoundUpToBlock(offset) - offset;
  if (bytes == 0) return {};
  if (bytes >= kFrameHeaderBytes) return {.bytes = bytes, .needs_frame = true};
  if (offset + bytes == end) return {.bytes = bytes, .needs_frame = false};
  return {.bytes = bytes + kBlockBytes, .needs_frame = true};
}

}  // namespace tailrace::wal
