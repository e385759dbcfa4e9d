#include "shards/reseal.h"

#include "wal/frame.h"
#include "wal/segment.h"

namespace tailrace::shards {

Result<std::string> ResealSegment(std::string bytes, ShardId shard, StoreId from, StoreId to) {
  wal::SegmentHeader header;
  switch (wal::DecodeSegmentHeader(bytes, header)) {
    case wal::SegmentHeaderState::kValid:
      break;
    case wal::SegmentHeaderState::kNewer:
      return Unsupported("a segment of a newer version");
    case wal::SegmentHeaderState::kInvalid:
      return Corruption("the segment's header is damaged");
  }
  if (header.store_id != from || header.log_id != shard.value) {
    return Corruption("the segment is of another store or shard");
  }
  const wal::FrameSeed old_seed = wal::SegmentSeed(header);
  header.store_id = to;
  const wal::FrameSeed new_seed = wal::SegmentSeed(header);
  bytes.replace(0, wal::kSegmentHeaderBytes, wal::EncodeSegmentHeader(header));
  uint64_t at = wal::kSegmentHeaderBytes;
  while (at < bytes.size()) {
    wal::ParsedFrame frame;
    const auto problem = wal::ParseFrame(ByteView(bytes).substr(at), old_seed, header.epoch, frame);
    if (problem != wal::FrameProblem::kNone) {
      return Corruption("offset " + std::to_string(at) + ": " +
                        std::string(wal::FrameProblemName(problem)));
    }
    frame.header.payload_hash = wal::PayloadHash(frame.header.type, frame.payload, new_seed);
    wal::EncodeFrameHeader(bytes.data() + at, frame.header, new_seed);
    at += frame.header.frame_bytes();
  }
  return bytes;
}

}  // namespace tailrace::shards
