// A journal segment read into memory, for recovery and for tools: walking its frames, and finding
// frames beyond a damaged one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "wal/frame.h"
#include "wal/frame_index.h"
#include "wal/fs.h"
#include "wal/segment.h"
#include "wal/status.h"
#include "wal/types.h"

namespace tailrace::wal {

// Where a walk over a segment's frames ended.
struct WalkEnd {
  // The position that could not be passed, or the end of what was asked for. A rest of the segment
  // too short for a frame is passed, so after the last frame of a full segment this is the
  // segment's end.
  Lsn at;
  // Why, or kNone when the walk reached the segment's end or its bound.
  FrameProblem problem = FrameProblem::kNone;
};

class SegmentImage {
 public:
  // Reads what the file holds of the segment. Errors: the file system's.
  static Result<SegmentImage> Load(FileSystem& fs, const std::string& path,
                                   const SegmentHeader& header);

  const SegmentHeader& header() const { return header_; }
  const std::string& path() const { return path_; }
  Lsn base() const { return Lsn{header_.base}; }
  Lsn end() const { return Lsn{SegmentEnd(header_)}; }

  // Where `at`, in [base, end], lies in the file.
  uint64_t OffsetOf(Lsn at) const { return kSegmentHeaderBytes + (at - base()); }

  // The bytes of [from, to), as far as the file has them.
  ByteView Bytes(Lsn from, Lsn to) const;

  // The valid frame that begins at `at`: kNone and `frame` is set, or what is wrong.
  FrameProblem FrameAt(Lsn at, ParsedFrame& frame) const;

  // Hands the valid frames from the first on to `visit`, until one is not valid, `bound` is reached
  // or `visit` returns false (the walk then ends before that frame).
  WalkEnd Walk(Lsn bound, const std::function<bool(const ParsedFrame&)>& visit) const;

  // Looks at every 8th byte at or above `from` for the header of a frame of this segment and hands
  // each to `visit`; payloads are not looked at.
  void Resynchronise(Lsn from, const std::function<void(const FrameHeader&)>& visit) const;

  // Gives up the memory. What was read stands at its beginning.
  BlockMemory TakeMemory(uint64_t used_bytes);

 private:
  SegmentImage(SegmentHeader header, std::string path, BlockMemory memory, uint64_t data_bytes)
      : header_(header),
        path_(std::move(path)),
        seed_(SegmentSeed(header)),
        memory_(std::move(memory)),
        data_bytes_(data_bytes) {}

  SegmentHeader header_;
  std::string path_;
  FrameSeed seed_;
  BlockMemory memory_;
  uint64_t data_bytes_ = 0;
};

// Does the file at `path`, whose header block is of no use, hold the header of a frame of the
// segment that begins at `base`, of any epoch? Errors: the file system's.
Result<bool> HoldsFrames(FileSystem& fs, const std::string& path, StoreId store_id, uint64_t log_id,
                         uint64_t base);

}  // namespace tailrace::wal
