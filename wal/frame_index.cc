#include "wal/frame_index.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <utility>

#include "wal/check.h"
#include "wal/coding.h"
#include "wal/frame.h"
#include "wal/huge_memory.h"

namespace tailrace::wal {
namespace {

// A segment that a recovery reads whole; no chunk.
constexpr uint64_t kHugeBlockMemoryBytesMin = 4 * kHugePageBytes;

}  // namespace

BlockMemory::BlockMemory(uint64_t bytes) : size_bytes_(RoundUpToBlock(bytes)) {
  const bool huge = size_bytes_ >= kHugeBlockMemoryBytesMin;
  // Not aligned_alloc: the size need not be a multiple of huge pages.
  void* memory = nullptr;
  const int error = ::posix_memalign(&memory, huge ? kHugePageBytes : kBlockBytes, size_bytes_);
  TAILRACE_CHECK(error == 0, "out of memory");
  data_.reset(static_cast<char*>(memory));
  if (huge) UseHugePages(data_.get(), size_bytes_);
}

void BlockMemory::Free::operator()(char* data) const { std::free(data); }

Extent::Extent(Lsn base, Epoch epoch, BlockMemory memory)
    : base_(base),
      epoch_(epoch),
      memory_(std::move(memory)),
      data_(memory_.data()),
      size_bytes_(memory_.size_bytes()),
      starts_((size_bytes_ / kFrameAlignment + kBitsPerWord - 1) / kBitsPerWord) {}

Extent::Extent(Lsn base, Epoch epoch, const char* data, uint64_t size_bytes)
    : base_(base),
      epoch_(epoch),
      data_(data),
      size_bytes_(size_bytes),
      starts_((size_bytes_ / kFrameAlignment + kBitsPerWord - 1) / kBitsPerWord) {}

void Extent::MarkFrame(Lsn at) {
  TAILRACE_CHECK(at >= base_ && at < end(), "the frame lies outside the extent");
  const uint64_t bit = (at - base_) / kFrameAlignment;
  starts_[bit / kBitsPerWord].fetch_or(uint64_t{1} << (bit % kBitsPerWord),
                                       std::memory_order_relaxed);
}

std::optional<Lsn> Extent::NextFrame(Lsn at, Lsn limit) const {
  const uint64_t from_bytes = at > base_ ? at - base_ : 0;
  const uint64_t to_bytes = std::min(limit > base_ ? limit - base_ : 0, size_bytes_);
  uint64_t bit = (from_bytes + kFrameAlignment - 1) / kFrameAlignment;
  const uint64_t bit_end = (to_bytes + kFrameAlignment - 1) / kFrameAlignment;
  while (bit < bit_end) {
    const uint64_t word =
        starts_[bit / kBitsPerWord].load(std::memory_order_relaxed) >> (bit % kBitsPerWord);
    if (word == 0) {
      bit = (bit / kBitsPerWord + 1) * kBitsPerWord;
      continue;
    }
    bit += static_cast<uint64_t>(std::countr_zero(word));
    if (bit >= bit_end) break;
    return base_ + bit * kFrameAlignment;
  }
  return std::nullopt;
}

Frame Extent::FrameAt(Lsn at) const {
  const char* header = data_ + (at - base_);
  // Not DecodeFrameHeader: the writer may be putting a fresher mark and hash into this header.
  const uint64_t payload_bytes = LoadLittle<uint32_t>(header + kFramePayloadBytesAt);
  return Frame{.lsn = at,
               .end = at + FrameBytes(payload_bytes),
               .type = static_cast<FrameType>(LoadLittle<uint8_t>(header + kFrameTypeAt)),
               .epoch = epoch_,
               .payload = ByteView(header + kFrameHeaderBytes, payload_bytes)};
}

Extent* FrameIndex::Add(std::unique_ptr<Extent> extent) {
  const WriterLock lock(mutex_);
  TAILRACE_CHECK(extents_.empty() || extents_.back()->base() < extent->base(),
                 "extents are added in order");
  extents_.push_back(std::move(extent));
  return extents_.back().get();
}

std::optional<Frame> FrameIndex::Find(Lsn at, Lsn limit) const {
  const ReaderLock lock(mutex_);
  auto extent =
      std::upper_bound(extents_.begin(), extents_.end(), at,
                       [](Lsn value, const auto& other) { return value < other->base(); });
  if (extent != extents_.begin()) --extent;
  for (; extent != extents_.end() && (*extent)->base() < limit; ++extent) {
    const std::optional<Lsn> found = (*extent)->NextFrame(at, limit);
    if (found) return (*extent)->FrameAt(*found);
  }
  return std::nullopt;
}

std::vector<std::unique_ptr<Extent>> FrameIndex::Drop(Lsn below) {
  std::vector<std::unique_ptr<Extent>> dropped;
  const WriterLock lock(mutex_);
  // An extent given up before it was full ends where the next one begins.
  while (!extents_.empty() && (extents_.front()->end() <= below ||
                               (extents_.size() > 1 && extents_[1]->base() <= below))) {
    dropped.push_back(std::move(extents_.front()));
    extents_.pop_front();
  }
  return dropped;
}

}  // namespace tailrace::wal
