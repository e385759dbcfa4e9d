#include "shards/segment_scanner.h"

#include <algorithm>

#include "wal/frame.h"
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
  std::string block(wal::kSegmentHeaderBytes, '\0');
  TAILRACE_ASSIGN_OR_RETURN(const uint64_t got, file.Read(0, block.data(), block.size()));
  block.resize(got);
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
      buffer_offset_(offset),
      read_bytes_(kReadBytesMin) {}

Status SegmentScanner::Damaged(std::string_view what) const {
  std::string message = path_ + ", offset " + std::to_string(offset_);
  if (before_) message += ", after sequence number " + std::to_string(before_->sequence.value);
  message += ": ";
  message += what;
  return Corruption(std::move(message));
}

// Makes at least `bytes` bytes from offset_ on stand in the buffer; the caller knows that the file
// has them.
Status SegmentScanner::Fill(uint64_t bytes) {
  const uint64_t skip = offset_ - buffer_offset_;
  if (buffer_.size() >= skip && buffer_.size() - skip >= bytes) return Status::Ok();
  buffer_.erase(0, std::min<uint64_t>(skip, buffer_.size()));
  buffer_offset_ = offset_;
  const uint64_t have = buffer_.size();
  const uint64_t want = std::min(end_offset_ - offset_, std::max(bytes, read_bytes_));
  read_bytes_ = std::min(read_bytes_ * 4, kReadBytesMax);
  buffer_.resize(want);
  auto got = file_->Read(offset_ + have, buffer_.data() + have, want - have);
  if (!got.ok()) {
    buffer_.clear();
    return got.status().WithContext("offset " + std::to_string(offset_ + have));
  }
  buffer_.resize(have + *got);
  if (buffer_.size() < bytes) return Damaged("the file ends in the middle of a record");
  return Status::Ok();
}

// Checks the frame at offset_; its length.
Result<uint64_t> SegmentScanner::CheckFrame(RecordView& record) {
  const uint64_t left = end_offset_ - offset_;
  if (left < wal::kFrameHeaderBytes) return Damaged("too few bytes are left for a record");
  TAILRACE_RETURN_IF_ERROR(Fill(wal::kFrameHeaderBytes));
  wal::FrameHeader frame_header;
  wal::FrameProblem problem = wal::DecodeFrameHeader(
      ByteView(buffer_).substr(offset_ - buffer_offset_), seed_, frame_header);
  if (problem != wal::FrameProblem::kNone) return Damaged(wal::FrameProblemName(problem));
  const uint64_t frame_bytes = frame_header.frame_bytes();
  if (frame_bytes > left) return Damaged(wal::FrameProblemName(wal::FrameProblem::kShort));
  TAILRACE_RETURN_IF_ERROR(Fill(frame_bytes));
  const ByteView bytes = ByteView(buffer_).substr(offset_ - buffer_offset_, frame_bytes);
  wal::ParsedFrame frame;
  problem = wal::ParseFrame(bytes, seed_, header_.epoch, frame);
  if (problem != wal::FrameProblem::kNone) return Damaged(wal::FrameProblemName(problem));
  if (frame.header.type != kRecordFrame) return Damaged("the frame is not a record");
  const ByteView padding = bytes.substr(wal::kFrameHeaderBytes + frame.payload.size());
  if (padding.find_first_not_of('\0') != ByteView::npos) return Damaged("padding is not zero");
  auto decoded = DecodeRecord(frame.payload, SequenceNumber{frame.header.position});
  if (decoded.status().code() == StatusCode::kUnsupported) {
    return decoded.status().WithContext(path_ + ", offset " + std::to_string(offset_));
  }
  if (!decoded.ok()) return Damaged(decoded.status().message());
  record = *decoded;
  const bool is_first = offset_ == wal::kSegmentHeaderBytes;
  if (record.sequence.value < header_.base || (is_first && record.sequence.value > header_.base)) {
    return Damaged("the record belongs to another place");
  }
  if (before_) {
    const Status follows = CheckFollows(*before_, record, frame.payload);
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
