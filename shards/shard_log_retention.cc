// Retention of a shard log: what has expired, and removing it.
#include <algorithm>

#include "shards/shard_log.h"
#include "wal/mutants.h"
#include "wal/segment.h"

namespace tailrace::shards {

Result<std::optional<SequenceNumber>> ShardLog::PlanTrim(uint64_t age_ms, uint64_t retention_ms,
                                                         uint64_t sealed_age_ms) {
  using Below = std::optional<SequenceNumber>;
  if (age_ms < retention_ms) return Below();
  const uint64_t expired_age_ms = age_ms - retention_ms;  // Records up to this age have expired.
  Bounds bounds;
  Below below;
  bool known = false;  // Nothing has expired since the last plan, which may not have been followed.
  {
    MutexLock lock(mutex_);
    if (gone_) return Below();
    bounds = bounds_;
    known = oldest_kept_age_ms_ && *oldest_kept_age_ms_ > expired_age_ms;
    if (known) below = expired_below_;
  }
  if (!known && bounds.last.sequence >= bounds.trimmed_below) {
    TAILRACE_ASSIGN_OR_RETURN(below, ExpiredBelow(expired_age_ms));
  }
  const SequenceNumber kept_from =
      std::max(below.value_or(SequenceNumber{0}), bounds.trimmed_below);
  if (bounds.ending && kept_from > bounds.last.sequence && sealed_age_ms <= expired_age_ms) {
    below = SequenceNumber{bounds.ending->value + 1};
  }
  if (below && *below <= bounds.trimmed_below) below.reset();
  return below;
}

Result<std::optional<SequenceNumber>> ShardLog::ExpiredBelow(uint64_t expired_age_ms) {
  std::vector<SegmentPointer> segments;
  {
    MutexLock lock(mutex_);
    segments = segments_;
  }
  std::optional<SequenceNumber> below;
  if (segments.empty()) return below;
  TAILRACE_ASSIGN_OR_RETURN(const size_t start, LastExpiredStart(segments, expired_age_ms));
  if (start > 0) {
    TAILRACE_ASSIGN_OR_RETURN(const SegmentView view, View(segments[start]));
    below = SequenceNumber{view.header.previous + 1};
  }
  std::optional<uint64_t> oldest_kept_age_ms;
  const Status scanned = ScanExpired(segments[start], expired_age_ms, below, oldest_kept_age_ms);
  if (!scanned.ok() && scanned.code() != StatusCode::kCorruption) return scanned;
  MutexLock lock(mutex_);
  oldest_kept_age_ms_ = oldest_kept_age_ms;
  expired_below_ = below;
  return below;
}

Result<std::vector<SegmentSpan>> ShardLog::Spans() const {
  std::vector<SegmentPointer> segments;
  Bounds bounds;
  {
    MutexLock lock(mutex_);
    segments = segments_;
    bounds = bounds_;
  }
  std::vector<SegmentSpan> spans;
  for (size_t i = 0; i < segments.size(); ++i) {
    SegmentSpan span;
    if (i + 1 < segments.size()) {
      span.next_base = segments[i + 1]->base;
    } else if (bounds.ending) {
      span.next_base = SequenceNumber{bounds.ending->value + 1};
    }
    if (span.next_base && *span.next_base <= bounds.trimmed_below) continue;
    const auto view = View(segments[i]);
    const auto first_age_ms = FirstAge(segments[i]);
    for (const Status& status : {view.status(), first_age_ms.status()}) {
      if (!status.ok() && status.code() != StatusCode::kCorruption) return status;
    }
    if (view.ok()) span.bytes = view->end_offset;
    if (first_age_ms.ok()) span.first_age_ms = *first_age_ms;
    spans.push_back(span);
  }
  return spans;
}

// The last segment whose first record has expired, and with it all segments before; 0 when none
// has.
Result<size_t> ShardLog::LastExpiredStart(const std::vector<SegmentPointer>& segments,
                                          uint64_t expired_age_ms) const {
  size_t last = 0;
  for (size_t i = 1; i < segments.size(); ++i) {
    const auto first_age_ms = FirstAge(segments[i]);
    if (first_age_ms.status().code() == StatusCode::kCorruption) continue;
    TAILRACE_RETURN_IF_ERROR(first_age_ms.status());
    if (*first_age_ms > expired_age_ms) break;
    last = i;
  }
  return last;
}

Result<uint64_t> ShardLog::FirstAge(const SegmentPointer& segment) const {
  {
    MutexLock lock(mutex_);
    if (segment->first_age_ms) return *segment->first_age_ms;
  }
  TAILRACE_ASSIGN_OR_RETURN(const SegmentView view, View(segment));
  SegmentScanner scanner(view.file, segment->path, view.header, wal::kSegmentHeaderBytes,
                         view.end_offset, PointBefore(view.header));
  RecordView record;
  TAILRACE_ASSIGN_OR_RETURN(const bool found, scanner.Next(record));
  if (!found) return Corruption(segment->path + ": the segment holds no record");
  MutexLock lock(mutex_);
  segment->first_age_ms = record.age_ms;
  return record.age_ms;
}

// Moves `below` behind the last expired record of the segment, and tells the age of the first one
// that has not expired. What was found before an error stays.
Status ShardLog::ScanExpired(const SegmentPointer& segment, uint64_t expired_age_ms,
                             std::optional<SequenceNumber>& below,
                             std::optional<uint64_t>& oldest_kept_age_ms) const {
  TAILRACE_ASSIGN_OR_RETURN(const SegmentView view, View(segment));
  TAILRACE_ASSIGN_OR_RETURN(const auto index, IndexOf(view));
  uint64_t offset = wal::kSegmentHeaderBytes;
  {
    MutexLock lock(mutex_);
    const IndexEntry* entry = FindEntryByAge(segment->tail, expired_age_ms);
    if (entry == nullptr && index) entry = FindEntryByAge(index->entries, expired_age_ms);
    if (entry != nullptr) offset = entry->offset;
  }
  SegmentScanner scanner(view.file, segment->path, view.header, offset, view.end_offset,
                         std::nullopt);
  RecordView record;
  while (true) {
    TAILRACE_ASSIGN_OR_RETURN(const bool more, scanner.Next(record));
    if (!more) return Status::Ok();
    if (record.age_ms > expired_age_ms + (TAILRACE_MUTANT("trimmed-by-one-too-many") ? 1 : 0)) {
      oldest_kept_age_ms = record.age_ms;
      return Status::Ok();
    }
    below = SequenceNumber{record.sequence.value + 1};
  }
}

Result<uint64_t> ShardLog::RemoveBelow(SequenceNumber trimmed_below, const frames::ShardEnd& end) {
  uint64_t freed_bytes = 0;
  while (true) {
    SegmentPointer front;
    SegmentPointer second;
    {
      MutexLock lock(mutex_);
      if (segments_.empty()) return freed_bytes;
      front = segments_.front();
      if (segments_.size() > 1) second = segments_[1];
    }
    // A recorded end without a segment says that all records up to it were trimmed.
    if (front->base.value > end.last_sequence()) return freed_bytes;
    if (end.segment_base() != 0) {
      if (front->base.value >= end.segment_base() || !second) return freed_bytes;
      const auto view = View(TAILRACE_MUTANT("removed-with-the-floor") ? front : second);
      if (!view.ok() || view->header.previous >= trimmed_below.value) return freed_bytes;
    }
    const auto view = View(front);
    {
      MutexLock lock(mutex_);
      segments_.erase(segments_.begin());
      ++removals_;
    }
    for (const std::string& path : {front->path, IndexPath(*front)}) {
      const Status removed = files_.fs().Remove(path);
      if (!removed.ok() && removed.code() != StatusCode::kNotFound) return removed;
      files_.Forget(path);
    }
    if (view.ok()) freed_bytes += view->end_offset;
  }
}

}  // namespace tailrace::shards
