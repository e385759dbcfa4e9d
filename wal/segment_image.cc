#include "wal/segment_image.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "wal/coding.h"
#include "wal/mutants.h"

namespace tailrace::wal {

Result<SegmentImage> SegmentImage::Load(FileSystem& fs, const std::string& path,
                                        const SegmentHeader& header) {
  TAILRACE_ASSIGN_OR_RETURN(auto file, fs.Open(path, OpenMode::kRead));
  // The header's size is hashed, but a file can be shorter: no more memory than there are bytes.
  TAILRACE_ASSIGN_OR_RETURN(const uint64_t file_bytes, file->SizeBytes());
  const uint64_t wanted_bytes =
      std::min(std::max(file_bytes, kSegmentHeaderBytes), header.segment_bytes) -
      kSegmentHeaderBytes;
  BlockMemory memory(std::max(wanted_bytes, kBlockBytes));
  TAILRACE_ASSIGN_OR_RETURN(const uint64_t data_bytes,
                            file->Read(kSegmentHeaderBytes, memory.data(), wanted_bytes));
  return SegmentImage(header, path, std::move(memory), data_bytes);
}

ByteView SegmentImage::Bytes(Lsn from, Lsn to) const {
  const uint64_t begin = std::min(from - base(), data_bytes_);
  const uint64_t end = std::min(to - base(), data_bytes_);
  return ByteView(memory_.data() + begin, end - begin);
}

FrameProblem SegmentImage::FrameAt(Lsn at, ParsedFrame& frame) const {
  const FrameProblem problem = ParseFrame(Bytes(at, end()), seed_, header_.epoch, frame);
  if (problem == FrameProblem::kNone && frame.header.position != at.value &&
      !TAILRACE_MUTANT("frame-position-ignored")) {
    return FrameProblem::kPosition;
  }
  return problem;
}

WalkEnd SegmentImage::Walk(Lsn bound, const std::function<bool(const ParsedFrame&)>& visit) const {
  Lsn at = base();
  while (at < std::min(bound, end())) {
    if (end() - at < kFrameHeaderBytes) return {.at = end()};
    ParsedFrame frame;
    const FrameProblem problem = FrameAt(at, frame);
    if (problem != FrameProblem::kNone) return {.at = at, .problem = problem};
    if (!visit(frame)) return {.at = at};
    at = at + frame.header.frame_bytes();
  }
  return {.at = at};
}

void SegmentImage::Resynchronise(Lsn from,
                                 const std::function<void(const FrameHeader&)>& visit) const {
  uint64_t offset = (from - base() + kFrameAlignment - 1) / kFrameAlignment * kFrameAlignment;
  for (; offset + kFrameHeaderBytes <= data_bytes_; offset += kFrameAlignment) {
    if (LoadLittle<uint32_t>(memory_.data() + offset + kFrameMagicAt) != kFrameMagic) continue;
    FrameHeader header;
    const ByteView rest(memory_.data() + offset, data_bytes_ - offset);
    if (DecodeFrameHeader(rest, seed_, header) == FrameProblem::kNone &&
        header.epoch == header_.epoch && header.position == header_.base + offset) {
      visit(header);
    }
  }
}

BlockMemory SegmentImage::TakeMemory(uint64_t used_bytes) {
  used_bytes = std::min(used_bytes, data_bytes_);
  if (used_bytes * 2 > memory_.size_bytes()) return std::move(memory_);
  BlockMemory smaller(std::max(used_bytes, kBlockBytes));
  std::memcpy(smaller.data(), memory_.data(), used_bytes);
  memory_ = BlockMemory();
  return smaller;
}

Result<bool> HoldsFrames(FileSystem& fs, const std::string& path, StoreId store_id, uint64_t log_id,
                         uint64_t base) {
  TAILRACE_ASSIGN_OR_RETURN(auto file, fs.Open(path, OpenMode::kRead));
  TAILRACE_ASSIGN_OR_RETURN(uint64_t file_bytes, file->SizeBytes());
  if (file_bytes < kSegmentHeaderBytes + kFrameHeaderBytes) return false;
  file_bytes = std::min(file_bytes, kSegmentBytesMax);
  BlockMemory memory(file_bytes);
  TAILRACE_ASSIGN_OR_RETURN(const uint64_t read_bytes, file->Read(0, memory.data(), file_bytes));
  for (uint64_t offset = kSegmentHeaderBytes; offset + kFrameHeaderBytes <= read_bytes;
       offset += kFrameAlignment) {
    const char* at = memory.data() + offset;
    if (LoadLittle<uint32_t>(at + kFrameMagicAt) != kFrameMagic) continue;
    const Epoch epoch{LoadLittle<uint32_t>(at + kFrameEpochAt)};
    const FrameSeed seed = SegmentSeed(store_id, log_id, base, epoch);
    FrameHeader header;
    if (DecodeFrameHeader(ByteView(at, read_bytes - offset), seed, header) == FrameProblem::kNone &&
        header.position == base + (offset - kSegmentHeaderBytes)) {
      return true;
    }
  }
  return false;
}

}  // namespace tailrace::wal
