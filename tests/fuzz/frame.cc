// Frames and segments as bytes: nothing is read outside of them, what is valid has one encoding,
// and the frames of a walk are those that looking for each would find.
#include "wal/frame.h"

#include <functional>

#include "shards/commit.h"
#include "shards/types.h"
#include "tests/fuzz/directory_image.h"
#include "tests/support/sim_fs.h"
#include "wal/segment.h"
#include "wal/segment_image.h"

namespace tailrace::fuzz {
namespace {

void CheckCommit(ByteView payload) {
  const auto commit = shards::DecodeCommit(payload);
  if (!commit.ok()) return;
  Require(!commit->changes.empty() || commit->token.has_value(), "a commit changes something");
  const std::string encoded = shards::EncodeCommit(*commit);
  const auto again = shards::DecodeCommit(encoded);
  Require(again.ok(), "a commit that was encoded can be read");
  Require(shards::EncodeCommit(*again) == encoded, "a commit has one encoding");
}

void CheckFrame(const wal::ParsedFrame& frame, wal::FrameSeed seed, ByteView bytes) {
  std::string header(wal::kFrameHeaderBytes, '\0');
  wal::EncodeFrameHeader(header.data(), frame.header, seed);
  Require(bytes.substr(0, header.size()) == header, "a valid header has one encoding");
  Require(frame.payload.size() == frame.header.payload_bytes, "the payload is whole");
  if (frame.header.type == wal::FrameType::kEpoch) {
    if (const auto epoch = wal::DecodeEpochFrame(frame.payload)) {
      std::string payload(wal::kEpochFramePayloadBytes, '\0');
      wal::EncodeEpochFrame(payload.data(), *epoch);
      Require(payload == frame.payload, "an epoch frame has one encoding");
    }
  }
  if (frame.header.type == shards::kCommitFrame) CheckCommit(frame.payload);
}

void CheckSegment(const ImageFile& file) {
  wal::SegmentHeader header;
  const ByteView block = ByteView(file.bytes).substr(0, wal::kSegmentHeaderBytes);
  if (wal::DecodeSegmentHeader(block, header) != wal::SegmentHeaderState::kValid) return;
  // Of what lies between the last field and the hash, nobody reads anything.
  constexpr size_t kFields = wal::kSegmentEpochStartAt + sizeof(uint64_t);
  Require(wal::EncodeSegmentHeader(header).substr(0, kFields) == block.substr(0, kFields),
          "a segment header's fields have one encoding");
  if (header.kind != wal::LogKind::kJournal || header.segment_bytes <= wal::kSegmentHeaderBytes) {
    return;
  }
  test::SimFs fs;
  const std::string path = "/" + file.name();
  auto opened = fs.Open(path, wal::OpenMode::kCreate);
  Require(opened.ok() && (*opened)->Write(0, file.bytes).ok(), "the simulated disk writes");
  const auto image = wal::SegmentImage::Load(fs, path, header);
  if (!image.ok()) return;
  const wal::FrameSeed seed = wal::SegmentSeed(header);
  Lsn at = image->base();
  const wal::WalkEnd end = image->Walk(image->end(), [&](const wal::ParsedFrame& frame) {
    Require(frame.header.position == at.value, "frames follow one another");
    CheckFrame(frame, seed, image->Bytes(at, image->end()));
    at = at + frame.header.frame_bytes();
    return true;
  });
  Require(end.at >= at && end.at <= image->end(), "the walk ends behind its last frame");
  image->Resynchronise(image->base(), [&](const wal::FrameHeader& found) {
    Require(found.position >= image->base().value, "a frame of this segment");
  });
}

}  // namespace
}  // namespace tailrace::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using tailrace::fuzz::DirectoryImage;
  using tailrace::fuzz::FuzzInput;
  const DirectoryImage image = DirectoryImage::Decode(FuzzInput(data, size));
  for (const auto& file : image.files) tailrace::fuzz::CheckSegment(file);
  // A commit's payload by itself, which no checksum guards.
  tailrace::fuzz::CheckCommit({reinterpret_cast<const char*>(data), size});
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  return tailrace::fuzz::MutateImage(data, size, max_size, seed, /*chained=*/false);
}
