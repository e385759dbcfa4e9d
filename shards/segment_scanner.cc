#include "shards/segment_scanner.h"

#include <algorithm>
#include <cstring>

#include "wal/frame.h"
#include "wal/mutants.h"
#include "wal/segment.h"

namespace tailrace::shards {
namespace {

// Reads begin small, for those who want the newest record, and grow for those who read on.
constexpr uint64_t kReadBytesMin = 16 << 10;
constexpr uint64_t kReadBytesMax = 256 << 10;

}  // namespace

LogPoint PointBefore(const wal::SegmentHeader& header) {
  return LogPoint{.sequence = SequenceNumber{header.previous},
                  .ordinal = header.base_ordinal - 1,
                  .chain = header.base_chain};
}

Result<wal::SegmentHeader> ReadSegmentHeader(const wal::File& file, const std::string& path,
                                             const IndexIdentity& identity) {
  TAILRACE_ASSIGN_OR_RETURN(const std::string block,
                            wal::ReadPiece(file, 0, wal::kSegmentHeaderBytes));
  wal::SegmentHeader header;
  switch (wal::DecodeSegmentHeader(block, header)) {
    case wal::SegmentHeaderState::kValid:
      break;
    case wal::SegmentHeaderState::kNewer:
      return Unsupported(path + ": segment of version " + std::to_string(header.version));
    case wal::SegmentHeaderState::kInvalid:
      return Corruption(path + ", offset 0: the segment header is damaged");
  }
  if (header.kind != wal::LogKind::kShardLog || header.store_id != identity.store_id ||
      header.log_id != identity.shard.value || header.base != identity.base.value) {
    return Corruption(path + ", offset 0: the segment belongs to another log or place");
  }
  if (header.base_ordinal == 0 || header.previous >= header.base) {
    return Corruption(path + ", offset 0: the segment header contradicts itself");
  }
  return header;
}

SegmentScanner::SegmentScanner(std::shared_ptr<const wal::File> file, std::string path,
                               const wal::SegmentHeader& header, uint64_t offset,
                               uint64_t end_offset, std::optional<LogPoint> before)
    : file_(std::move(file)),
      path_(std::move(path)),
      header_(header),
      seed_(wal::SegmentSeed(header)),
      offset_(offset),
      end_offset_(end_offset),
      before_(before),
      block_offset_(offset),
      block_end_(offset),
      read_bytes_(kReadBytesMin),
      wanted_end_(end_offset) {}

void SegmentScanner::KeepIn(RecordBytes& bytes, uint64_t bytes_wanted) {
  kept_ = &bytes;
  if (bytes_wanted < end_offset_ - offset_) wanted_end_ = offset_ + bytes_wanted;
}

Status SegmentScanner::Damaged(std::string_view what) const {
  std::string message = path_ + ", offset " + std::to_string(offset_);
  if (before_) message += ", after sequence number " + std::to_string(before_->sequence.value);
  message += ": ";
  message += what;
  return Corruption(std::move(message));
}

// Makes at least `bytes` bytes from offset_ on stand in the block; the caller knows that the file
// has them.
Status SegmentScanner::Fill(uint64_t bytes) {
  const uint64_t have = block_end_ - offset_;
  if (have >= bytes) return Status::Ok();
  const uint64_t ahead = std::min(read_bytes_, wanted_end_ - std::min(wanted_end_, offset_));
  const uint64_t want = std::min(end_offset_ - offset_, std::max(bytes, ahead));
  read_bytes_ = std::min(read_bytes_ * 4, kReadBytesMax);
  std::swap(own_[0], own_[1]);
  own_[0].Clear();
  const bool is_kept = kept_ != nullptr && !TAILRACE_MUTANT("views-outlive-their-bytes");
  char* const block = (is_kept ? *kept_ : own_[0]).Take(want);
  if (have > 0) std::memcpy(block, block_ + (offset_ - block_offset_), have);
  block_ = block;
  block_offset_ = offset_;
  block_end_ = offset_ + have;
  const auto got = file_->Read(block_end_, block + have, want - have);
  if (!got.ok()) return got.status().WithContext("offset " + std::to_string(block_end_));
  block_end_ += *got;
  if (have + *got < bytes) return Damaged("the file ends in the middle of a record");
  return Status::Ok();
}

// Checks the frame at offset_; its length.
Result<uint64_t> SegmentScanner::CheckFrame(RecordView& record) {
  const uint64_t left = end_offset_ - offset_;
  if (left < wal::kFrameHeaderBytes) return Damaged("too few bytes are left for a record");
  TAILRACE_RETURN_IF_ERROR(Fill(wal::kFrameHeaderBytes));
  wal::FrameHeader frame_header;
  wal::FrameProblem problem =
      wal::DecodeFrameHeader(Bytes(wal::kFrameHeaderBytes), seed_, frame_header);
  if (problem != wal::FrameProblem::kNone) return Damaged(wal::FrameProblemName(problem));
  const uint64_t frame_bytes = frame_header.frame_bytes();
  if (frame_bytes > left) return Damaged(wal::FrameProblemName(wal::FrameProblem::kShort));
  TAILRACE_RETURN_IF_ERROR(Fill(frame_bytes));
  const ByteView bytes = Bytes(frame_bytes);
  ByteView payload;
  problem = wal::ParsePayload(bytes, frame_header, seed_, header_.epoch, payload);
  if (problem != wal::FrameProblem::kNone) return Damaged(wal::FrameProblemName(problem));
  if (frame_header.type != kRecordFrame) return Damaged("the frame is not a record");
  const ByteView padding = bytes.substr(wal::kFrameHeaderBytes + payload.size());
  if (padding.find_first_not_of('\0') != ByteView::npos) return Damaged("padding is not zero");
  const Status decoded = DecodeRecord(payload, SequenceNumber{frame_header.position}, record);
  if (decoded.code() == StatusCode::kUnsupported) {
    return decoded.WithContext(path_ + ", offset " + std::to_string(offset_));
  }
  if (!decoded.ok()) return Damaged(decoded.message());
  const bool is_first = offset_ == wal::kSegmentHeaderBytes;
  if (record.sequence.value < header_.base || (is_first && record.sequence.value > header_.base)) {
    return Damaged("the record belongs to another place");
  }
  if (before_) {
    const Status follows = CheckFollows(*before_, record, payload);
    if (!follows.ok()) return Damaged(follows.message());
  }
  return frame_bytes;
}

Result<bool> SegmentScanner::Next(RecordView& record) {
  if (offset_ >= end_offset_) return false;
  auto frame_bytes = CheckFrame(record);
  if (!frame_bytes.ok()) {
    end_offset_ = offset_;
    return frame_bytes.status();
  }
  before_ = record.point();
  record_offset_ = offset_;
  offset_ += *frame_bytes;
  return true;
}

Result<SparseIndex> BuildIndex(std::shared_ptr<const wal::File> file, const std::string& path,
                               const wal::SegmentHeader& header, uint64_t end_offset,
                               uint64_t interval_bytes) {
  SegmentScanner scanner(std::move(file), path, header, wal::kSegmentHeaderBytes, end_offset,
                         PointBefore(header));
  SparseIndex index;
  RecordView record;
  uint64_t previous_offset = 0;
  while (true) {
    TAILRACE_ASSIGN_OR_RETURN(const bool more, scanner.Next(record));
    if (!more) break;
    const uint64_t offset = scanner.record_offset();
    if (IsIndexed(previous_offset, offset, interval_bytes)) {
      index.entries.push_back({record.sequence, offset, record.age_ms, record.wall_ms});
    }
    previous_offset = offset;
    index.last_age_ms = record.age_ms;
  }
  index.last = *scanner.before();
  index.end_offset = end_offset;
  return index;
}

}  // namespace tailrace::shards
