#include "tests/fuzz/directory_image.h"

#include <algorithm>
#include <cstring>

#include "shards/record_codec.h"
#include "shards/shard_header.h"
#include "wal/coding.h"
#include "wal/frame.h"
#include "wal/hash.h"
#include "wal/segment.h"

namespace tailrace::fuzz {
namespace {

constexpr size_t kUnit = 8;          // Pieces begin at multiples of it.
constexpr size_t kGapBytesMin = 32;  // Fewer zeros do not end a piece.
constexpr size_t kPieceBytesMax = UINT16_MAX / kUnit * kUnit;

void AppendNumber(std::string& target, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) target.push_back(static_cast<char>(value >> (8 * i)));
}

struct Piece {
  size_t begin;
  size_t end;
};

// The parts of a file that are not zeros. With `to_end` the last one has the file's last byte.
std::vector<Piece> PiecesOf(const std::string& bytes, bool to_end) {
  std::vector<Piece> pieces;
  for (size_t at = 0; at < bytes.size(); at += kUnit) {
    const size_t end = std::min(bytes.size(), at + kUnit);
    const bool zeros =
        std::all_of(bytes.begin() + static_cast<long>(at), bytes.begin() + static_cast<long>(end),
                    [](char byte) { return byte == 0; });
    if (zeros && !(to_end && end == bytes.size())) continue;
    if (!pieces.empty() && at - pieces.back().end < kGapBytesMin &&
        end - pieces.back().begin <= kPieceBytesMax) {
      pieces.back().end = end;
    } else {
      pieces.push_back({at, end});
    }
  }
  if (pieces.size() > UINT8_MAX) pieces.resize(UINT8_MAX);
  return pieces;
}

ImageFile DecodeFile(FuzzInput& input) {
  ImageFile file{.base = input.TakeNumber(8) & (wal::kPositionMax - 1), .bytes = {}};
  const size_t size = std::min(kImageFileBytesMax, input.TakeByte() * size_t{wal::kBlockBytes});
  file.bytes.resize(size);
  for (int pieces = input.TakeByte(); pieces > 0; --pieces) {
    const size_t at = input.TakeNumber(2) * kUnit;
    const ByteView bytes = input.TakeBytes(input.TakeNumber(2));
    const size_t end = std::min(at + bytes.size(), size == 0 ? kImageFileBytesMax : size);
    if (end <= at) continue;
    if (file.bytes.size() < end) file.bytes.resize(end);
    std::memcpy(file.bytes.data() + at, bytes.data(), end - at);
  }
  return file;
}

void ResealFrames(std::string& file, const wal::SegmentHeader& header, bool chained) {
  const wal::FrameSeed seed = wal::SegmentSeed(header);
  uint64_t chain = header.base_chain;
  for (size_t at = wal::kSegmentHeaderBytes; at + wal::kFrameHeaderBytes <= file.size();
       at += wal::kFrameAlignment) {
    char* frame = file.data() + at;
    if (LoadLittle<uint32_t>(frame + wal::kFrameMagicAt) != wal::kFrameMagic) continue;
    wal::FrameHeader fields;
    fields.payload_bytes = LoadLittle<uint32_t>(frame + wal::kFramePayloadBytesAt);
    fields.position = LoadLittle<uint64_t>(frame + wal::kFramePositionAt);
    fields.mark = LoadLittle<uint64_t>(frame + wal::kFrameMarkAt);
    fields.epoch = Epoch{LoadLittle<uint32_t>(frame + wal::kFrameEpochAt)};
    fields.type = wal::FrameType{static_cast<uint8_t>(frame[wal::kFrameTypeAt])};
    const size_t payload_at = at + wal::kFrameHeaderBytes;
    if (fields.payload_bytes > file.size() - payload_at) continue;
    char* payload = file.data() + payload_at;
    const ByteView view(payload, fields.payload_bytes);
    if (chained && view.size() >= shards::kRecordPrefixBytes) {
      chain = shards::ChainHash(view, SequenceNumber{fields.position}, chain);
      StoreLittle<uint64_t>(payload + shards::kRecordChainAt, chain);
    }
    fields.payload_hash = wal::PayloadHash(fields.type, view, seed);
    wal::EncodeFrameHeader(frame, fields, seed);
  }
}

}  // namespace

std::string ImageFile::name() const {
  return base == 0 ? std::string(shards::kShardHeaderFileName) : wal::SegmentFileName(base);
}

DirectoryImage DirectoryImage::Decode(FuzzInput input) {
  DirectoryImage image{.flags = input.TakeByte(), .files = {}};
  while (!input.empty() && image.files.size() < kImageFilesMax) {
    image.files.push_back(DecodeFile(input));
  }
  return image;
}

std::string DirectoryImage::Encode() const {
  std::string bytes(1, static_cast<char>(flags));
  for (const ImageFile& file : files) {
    const bool whole_blocks = file.bytes.size() % wal::kBlockBytes == 0;
    AppendNumber(bytes, file.base, 8);
    AppendNumber(bytes, whole_blocks ? file.bytes.size() / wal::kBlockBytes : 0, 1);
    const std::vector<Piece> pieces = PiecesOf(file.bytes, !whole_blocks);
    AppendNumber(bytes, pieces.size(), 1);
    for (const Piece& piece : pieces) {
      AppendNumber(bytes, piece.begin / kUnit, 2);
      AppendNumber(bytes, piece.end - piece.begin, 2);
      bytes.append(file.bytes, piece.begin, piece.end - piece.begin);
    }
  }
  return bytes;
}

void ResealSegment(std::string& file, bool chained) {
  if (file.size() < wal::kSegmentHeaderBytes) return;
  StoreLittle<uint64_t>(file.data() + wal::kSegmentHashAt,
                        Hash64(ByteView(file).substr(0, wal::kSegmentHashAt)));
  wal::SegmentHeader header;
  if (wal::DecodeSegmentHeader(ByteView(file).substr(0, wal::kSegmentHeaderBytes), header) ==
      wal::SegmentHeaderState::kValid) {
    ResealFrames(file, header, chained);
  }
}

void ResealShardHeader(std::string& file) {
  constexpr size_t kHashBytes = 8;
  if (file.size() < kHashBytes) return;
  const size_t hash_at = file.size() - kHashBytes;
  StoreLittle<uint64_t>(file.data() + hash_at, Hash64(ByteView(file).substr(0, hash_at)));
}

}  // namespace tailrace::fuzz
