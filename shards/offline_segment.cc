#include "shards/offline_segment.h"

#include <algorithm>
#include <utility>

#include "shards/segment_scanner.h"
#include "wal/coding.h"
#include "wal/segment.h"

namespace tailrace::shards {

void OfflineSegmentReader::Report(Damage damage) {
  if (!damage.harmless()) ++report_.damages;
  visitor_.on_damage(damage);
}

Status OfflineSegmentReader::Read(const Segment& segment, OfflineLog& log) {
  ++report_.segments;
  report_.bytes += segment.bytes.size();
  base_ = segment.base;
  epoch_.reset();
  damaged_ = false;
  places_.clear();
  TAILRACE_RETURN_IF_ERROR(ReadHeader(segment, log));
  if (!log.store_id || !log.shard) return Status::Ok();  // Its frames cannot be told from noise.
  store_id_ = *log.store_id;
  shard_ = *log.shard;
  if (!ReadRecords(segment)) report_.stopped = true;
  if (!report_.stopped && !damaged_ && segment.index) CheckIndex(segment);
  return Status::Ok();
}

Status OfflineSegmentReader::ReadHeader(const Segment& segment, OfflineLog& log) {
  wal::SegmentHeader header;
  const auto state = wal::DecodeSegmentHeader(segment.bytes, header);
  if (state == wal::SegmentHeaderState::kNewer) {
    return Unsupported(segment.path + ": segment of version " + std::to_string(header.version));
  }
  Damage damage{.kind = Damage::Kind::kSegmentHeader, .file = segment.path};
  damage.bytes = std::min<uint64_t>(segment.bytes.size(), wal::kSegmentHeaderBytes);
  if (before_) damage.after = before_->sequence;
  if (state != wal::SegmentHeaderState::kValid) {
    damaged_ = true;
    damage.message = "the segment header is damaged";
    Report(std::move(damage));
    return Status::Ok();
  }
  if (header.kind != wal::LogKind::kShardLog || header.base != segment.base.value ||
      header.base_ordinal == 0 || (log.store_id && header.store_id != *log.store_id) ||
      (log.shard && header.log_id != log.shard->value)) {
    damaged_ = true;
    damage.message = "the segment belongs to another log or place";
    Report(std::move(damage));
    return Status::Ok();
  }
  epoch_ = header.epoch;
  log.store_id = header.store_id;
  log.shard = ShardId{header.log_id};
  const LogPoint point = PointBefore(header);
  if (before_ && *before_ != point) {
    Damage missing{.kind = Damage::Kind::kMissing, .file = segment.path};
    missing.after = before_->sequence;
    missing.next = segment.base;
    missing.records_missing =
        point.ordinal > before_->ordinal ? point.ordinal - before_->ordinal : 0;
    missing.message = "the segment does not follow the one before it";
    Report(std::move(missing));
  }
  before_ = point;
  return Status::Ok();
}

// Empty when a good record begins at `bytes`, else why not.
std::string OfflineSegmentReader::TryRecord(ByteView bytes, Found& found) const {
  Epoch epoch = epoch_.value_or(Epoch{});
  if (!epoch_ && bytes.size() >= wal::kFrameHeaderBytes) {
    epoch = Epoch{LoadLittle<uint32_t>(bytes.data() + wal::kFrameEpochAt)};
  }
  const wal::FrameSeed seed = wal::SegmentSeed(store_id_, shard_.value, base_.value, epoch);
  wal::ParsedFrame frame;
  const wal::FrameProblem problem = wal::ParseFrame(bytes, seed, epoch, frame);
  if (problem != wal::FrameProblem::kNone) return std::string(wal::FrameProblemName(problem));
  if (frame.header.type != kRecordFrame) return "the frame is not a record";
  found.bytes = frame.header.frame_bytes();
  const ByteView padding =
      bytes.substr(0, found.bytes).substr(wal::kFrameHeaderBytes + frame.payload.size());
  if (padding.find_first_not_of('\0') != ByteView::npos) return "padding is not zero";
  const Status decoded =
      DecodeRecord(frame.payload, SequenceNumber{frame.header.position}, found.record);
  if (!decoded.ok()) return decoded.message();
  found.payload = frame.payload;
  return "";
}

// Where the next good record begins behind the damage at `damaged_at`; the size of `bytes` if there
// is none. Frames begin at multiples of kFrameAlignment.
uint64_t OfflineSegmentReader::FindNext(ByteView bytes, uint64_t damaged_at, Found& found) const {
  // A good header with a damaged payload still tells where the next record is. Looking into the
  // payload instead could take an item's content for a record.
  wal::FrameHeader header;
  if (epoch_) {
    const wal::FrameSeed seed = wal::SegmentSeed(store_id_, shard_.value, base_.value, *epoch_);
    const ByteView rest = bytes.substr(damaged_at);
    if (wal::DecodeFrameHeader(rest, seed, header) == wal::FrameProblem::kNone &&
        header.frame_bytes() <= rest.size() &&
        TryRecord(rest.substr(header.frame_bytes()), found).empty()) {
      return damaged_at + header.frame_bytes();
    }
  }
  for (uint64_t at = damaged_at + wal::kFrameAlignment; at < bytes.size();
       at += wal::kFrameAlignment) {
    if (TryRecord(bytes.substr(at), found).empty()) return at;
  }
  return bytes.size();
}

// False when the visitor wants no more.
bool OfflineSegmentReader::ReadRecords(const Segment& segment) {
  const ByteView bytes = segment.bytes;
  uint64_t offset = wal::kSegmentHeaderBytes;
  while (offset < bytes.size()) {
    Found found;
    const std::string problem = TryRecord(bytes.substr(offset), found);
    if (!problem.empty()) {
      damaged_ = true;
      Damage damage{.kind = Damage::Kind::kRecord, .file = segment.path, .offset = offset};
      const uint64_t next = FindNext(bytes, offset, found);
      damage.bytes = next - offset;
      damage.message = problem;
      if (before_) damage.after = before_->sequence;
      const bool at_end = next == bytes.size();
      if (at_end && segment.tail_may_be_torn) damage.kind = Damage::Kind::kUnfinishedTail;
      if (!at_end) {
        damage.next = found.record.sequence;
        const uint64_t ordinal = found.record.ordinal;
        if (before_ && ordinal > before_->ordinal) {
          damage.records_missing = ordinal - before_->ordinal - 1;
        }
      }
      Report(std::move(damage));
      if (at_end) return true;
      before_.reset();  // What is missing is on record already.
      offset = next;
    }
    CheckOrder(segment, offset, found);
    if (!Deliver(segment, offset, found)) return false;
    offset += found.bytes;
  }
  return true;
}

void OfflineSegmentReader::CheckOrder(const Segment& segment, uint64_t offset, const Found& found) {
  if (!before_) return;
  const Status follows = CheckFollows(*before_, found.record, found.payload);
  if (follows.ok()) return;
  damaged_ = true;
  Damage damage{.kind = Damage::Kind::kOrder, .file = segment.path, .offset = offset};
  if (found.record.ordinal > before_->ordinal + 1) {
    damage.kind = Damage::Kind::kMissing;
    damage.records_missing = found.record.ordinal - before_->ordinal - 1;
  }
  damage.after = before_->sequence;
  damage.next = found.record.sequence;
  damage.message = follows.message();
  Report(std::move(damage));
}

bool OfflineSegmentReader::Deliver(const Segment& segment, uint64_t offset, const Found& found) {
  before_ = found.record.point();
  ++report_.records;
  if (!report_.first) report_.first = found.record.sequence;
  report_.last = found.record.sequence;
  places_.push_back({found.record.sequence, offset, found.record.age_ms, found.record.wall_ms});
  return visitor_.on_record(
      {.record = found.record, .file = segment.path, .offset = offset, .bytes = found.bytes});
}

// An index fits when it covers all of an undamaged segment and each of its entries names a record.
void OfflineSegmentReader::CheckIndex(const Segment& segment) {
  const auto index =
      DecodeIndexFile(*segment.index, {.store_id = store_id_, .shard = shard_, .base = base_});
  const auto is_record = [&](const IndexEntry& entry) {
    return std::binary_search(
               places_.begin(), places_.end(), entry,
               [](const IndexEntry& a, const IndexEntry& b) { return a.sequence < b.sequence; }) &&
           *FindEntry(places_, entry.sequence) == entry;
  };
  if (index && index->end_offset == segment.bytes.size() && before_ && index->last == *before_ &&
      std::all_of(index->entries.begin(), index->entries.end(), is_record)) {
    return;
  }
  Damage damage{.kind = Damage::Kind::kIndex, .file = segment.index_path};
  damage.message = index ? "the index does not fit its segment" : "the index is damaged";
  Report(std::move(damage));
}

}  // namespace tailrace::shards
