// Reading a shard log: finding a record, reading on over segments, waiting.
#include <algorithm>

#include "shards/shard_log.h"
#include "wal/mutants.h"
#include "wal/segment.h"

namespace tailrace::shards {
namespace {

constexpr size_t kHintsMax = 64;  // About as many readers of one shard as go on without a search.

std::shared_ptr<const SparseIndex> NoIndex() { return nullptr; }

}  // namespace

ShardLog::Bounds ShardLog::bounds() const {
  MutexLock lock(mutex_);
  return bounds_;
}

Status ShardLog::Read(SequenceNumber next, const PageLimits& limits, RecordPage& page) const {
  while (true) {
    page.Clear();
    Bounds bounds;
    uint64_t removals = 0;
    {
      MutexLock lock(mutex_);
      if (gone_) return NotFound(path_ + ": the shard has expired and was removed");
      bounds = bounds_;
      removals = removals_;
    }
    SequenceNumber from = next;
    if (from < bounds.trimmed_below) {
      from = bounds.trimmed_below;
      page.gap = Gap{.kind = Gap::Kind::kTrimmed,
                     .first = next,
                     .last = SequenceNumber{bounds.trimmed_below.value - 1}};
      if (TAILRACE_MUTANT("gap-not-told")) page.gap.reset();
    }
    const Status collected = Collect(bounds, from, limits, page);
    if (!collected.ok() && page.records.empty()) {
      // A file may be gone because its records were trimmed meanwhile.
      MutexLock lock(mutex_);
      if (gone_ || bounds_.trimmed_below > from || removals_ != removals) continue;
      page.Clear();
      return collected;
    }
    page.next.next =
        page.records.empty() ? from : SequenceNumber{page.records.back().sequence.value + 1};
    page.caught_up = collected.ok() && page.next.next > bounds.last.sequence;
    page.end_of_shard = page.caught_up && bounds.ending.has_value();
    return Status::Ok();
  }
}

Result<Backlog> ShardLog::BacklogFrom(SequenceNumber next) const {
  while (true) {
    Bounds bounds;
    {
      MutexLock lock(mutex_);
      if (gone_) return NotFound(path_ + ": the shard has expired and was removed");
      bounds = bounds_;
    }
    const auto backlog = Measure(bounds, std::max(next, bounds.trimmed_below));
    if (backlog.ok()) return backlog;
    // A file may be gone because its records were trimmed meanwhile.
    MutexLock lock(mutex_);
    if (!gone_ && bounds_.trimmed_below == bounds.trimmed_below) return backlog;
  }
}

// What there is from the first record at or above `from` up to bounds.last.
Result<Backlog> ShardLog::Measure(const Bounds& bounds, SequenceNumber from) const {
  Backlog backlog;
  if (from > bounds.last.sequence) return backlog;
  TAILRACE_ASSIGN_OR_RETURN(Cursor cursor, FindStart(from));
  while (backlog.records == 0) {
    SegmentScanner scanner(cursor.view.file, cursor.view.segment->path, cursor.view.header,
                           cursor.offset, cursor.view.end_offset, cursor.before);
    RecordView record;
    bool more = true;
    do {
      TAILRACE_ASSIGN_OR_RETURN(more, scanner.Next(record));
    } while (more && record.sequence < from);
    if (more) {
      backlog.records = bounds.last.ordinal + 1 - std::min(bounds.last.ordinal, record.ordinal);
      backlog.bytes = cursor.view.end_offset - scanner.record_offset();
      backlog.oldest_wall_ms = record.wall_ms;
    } else {
      cursor.before = scanner.before();
      TAILRACE_ASSIGN_OR_RETURN(cursor, FollowingSegment(cursor));
    }
  }
  SegmentPointer segment = cursor.view.segment;
  while ((segment = SegmentAfter(segment->base))) {
    TAILRACE_ASSIGN_OR_RETURN(const SegmentView view, View(segment));
    backlog.bytes += view.end_offset - std::min(view.end_offset, wal::kSegmentHeaderBytes);
  }
  return backlog;
}

Result<SequenceNumber> ShardLog::SeekTime(uint64_t wall_ms) const {
  while (true) {
    Bounds bounds;
    uint64_t removals = 0;
    {
      MutexLock lock(mutex_);
      if (gone_) return NotFound(path_ + ": the shard has expired and was removed");
      bounds = bounds_;
      removals = removals_;
    }
    const auto found = FirstSince(wall_ms);
    if (found.ok()) {
      const SequenceNumber behind_last{bounds.last.sequence.value + 1};
      return std::max(found->value_or(behind_last), bounds.trimmed_below);
    }
    // A file may be gone because its records were trimmed meanwhile.
    MutexLock lock(mutex_);
    if (!gone_ && bounds_.trimmed_below == bounds.trimmed_below && removals_ == removals) {
      return found.status();
    }
  }
}

// The first record stamped `wall_ms` or later, trimmed ones included. Stamps never fall in a shard.
Result<std::optional<SequenceNumber>> ShardLog::FirstSince(uint64_t wall_ms) const {
  std::vector<SegmentPointer> segments;
  {
    MutexLock lock(mutex_);
    segments = segments_;
  }
  // The segments that begin before the moment; a header is stamped as its first record is.
  size_t before = 0;
  for (size_t end = segments.size(); before < end;) {
    const size_t middle = before + (end - before) / 2;
    TAILRACE_ASSIGN_OR_RETURN(const SegmentView view, View(segments[middle]));
    if (view.header.wall_ms < wall_ms) {
      before = middle + 1;
    } else {
      end = middle;
    }
  }
  if (before > 0) {
    TAILRACE_ASSIGN_OR_RETURN(const SegmentView view, View(segments[before - 1]));
    TAILRACE_ASSIGN_OR_RETURN(const auto found, FirstSince(view, wall_ms));
    if (found) return found;
  }
  if (before == segments.size()) return std::optional<SequenceNumber>();
  return std::optional<SequenceNumber>(segments[before]->base);
}

Result<std::optional<SequenceNumber>> ShardLog::FirstSince(const SegmentView& view,
                                                           uint64_t wall_ms) const {
  auto index = IndexOf(view);
  // Without an index the records are read from the first one on, up to the damage.
  if (index.status().code() == StatusCode::kCorruption) index = NoIndex();
  TAILRACE_RETURN_IF_ERROR(index.status());
  uint64_t offset = wal::kSegmentHeaderBytes;
  {
    MutexLock lock(mutex_);
    const IndexEntry* entry = FindEntryBeforeTime(view.segment->tail, wall_ms);
    if (entry == nullptr && *index) entry = FindEntryBeforeTime((*index)->entries, wall_ms);
    if (entry != nullptr) offset = entry->offset;
  }
  SegmentScanner scanner(view.file, view.segment->path, view.header, offset, view.end_offset,
                         std::nullopt);
  RecordView record;
  while (true) {
    TAILRACE_ASSIGN_OR_RETURN(const bool more, scanner.Next(record));
    if (!more) return std::optional<SequenceNumber>();
    if (record.wall_ms >= wall_ms) return std::optional<SequenceNumber>(record.sequence);
  }
}

// Puts records at or above `next`, up to the limits and bounds.last, into the page. On an error the
// page holds the good records before it.
Status ShardLog::Collect(const Bounds& bounds, SequenceNumber next, const PageLimits& limits,
                         RecordPage& page) const {
  if (next > bounds.last.sequence) return Status::Ok();
  TAILRACE_ASSIGN_OR_RETURN(Cursor cursor, FindStart(next));
  uint64_t bytes = 0;
  bool done = false;
  while (true) {
    TAILRACE_RETURN_IF_ERROR(CollectFrom(cursor, bounds, next, limits, bytes, page, done));
    if (done) return Status::Ok();
    TAILRACE_ASSIGN_OR_RETURN(cursor, FollowingSegment(cursor));
  }
}

// As Collect, within the cursor's segment; the cursor ends behind its last record unless done.
Status ShardLog::CollectFrom(Cursor& cursor, const Bounds& bounds, SequenceNumber next,
                             const PageLimits& limits, uint64_t& bytes, RecordPage& page,
                             bool& done) const {
  SegmentScanner scanner(cursor.view.file, cursor.view.segment->path, cursor.view.header,
                         cursor.offset, cursor.view.end_offset, cursor.before);
  scanner.KeepIn(page.bytes, limits.bytes_max - std::min(limits.bytes_max, bytes));
  RecordView record;
  while (!done) {
    TAILRACE_ASSIGN_OR_RETURN(const bool more, scanner.Next(record));
    cursor.before = scanner.before();
    if (!more) return Status::Ok();
    if (record.sequence < next) continue;
    if (record.sequence > bounds.last.sequence ||
        (record.sequence == bounds.last.sequence && record.point() != bounds.last)) {
      return Corruption(cursor.view.segment->path + ", offset " +
                        std::to_string(scanner.record_offset()) +
                        ": the shard's last record is another one");
    }
    page.records.push_back(record);
    bytes += scanner.offset() - scanner.record_offset();
    done = record.sequence == bounds.last.sequence || bytes >= limits.bytes_max ||
           page.records.size() >= limits.records_max;
  }
  LeaveHint({.next = SequenceNumber{record.sequence.value + 1},
             .segment_base = cursor.view.segment->base,
             .offset = scanner.offset(),
             .before = record.point()});
  return Status::Ok();
}

Result<ShardLog::Cursor> ShardLog::FindStart(SequenceNumber next) const {
  const std::optional<Hint> hint = TakeHint(next);
  const SegmentPointer segment = SegmentFor(hint ? hint->segment_base : next);
  if (!segment) return Missing(next, SequenceNumber{UINT64_MAX}, path_);
  TAILRACE_ASSIGN_OR_RETURN(SegmentView view, View(segment));
  if (hint && hint->segment_base == segment->base) {
    return Cursor{.view = std::move(view), .offset = hint->offset, .before = hint->before};
  }
  if (segment->base > next && view.header.previous >= next.value) {
    return Missing(next, SequenceNumber{view.header.previous}, segment->path);
  }
  TAILRACE_ASSIGN_OR_RETURN(const std::optional<IndexEntry> entry, Lookup(view, next));
  if (entry && entry->offset > wal::kSegmentHeaderBytes) {
    return Cursor{.view = std::move(view), .offset = entry->offset, .before = std::nullopt};
  }
  const LogPoint before = PointBefore(view.header);
  return Cursor{.view = std::move(view), .offset = wal::kSegmentHeaderBytes, .before = before};
}

Result<ShardLog::Cursor> ShardLog::FollowingSegment(const Cursor& cursor) const {
  const SequenceNumber last = cursor.before ? cursor.before->sequence : SequenceNumber{0};
  const SequenceNumber first_missing{last.value + 1};
  const SegmentPointer segment = SegmentAfter(cursor.view.segment->base);
  if (!segment) {
    return Missing(first_missing, SequenceNumber{UINT64_MAX}, cursor.view.segment->path);
  }
  TAILRACE_ASSIGN_OR_RETURN(SegmentView view, View(segment));
  const LogPoint before = PointBefore(view.header);
  if (!cursor.before || before != *cursor.before) {
    return Missing(first_missing, SequenceNumber{view.header.previous}, segment->path);
  }
  return Cursor{.view = std::move(view), .offset = wal::kSegmentHeaderBytes, .before = before};
}

Status ShardLog::Missing(SequenceNumber first, SequenceNumber last,
                         const std::string& place) const {
  const std::string to =
      last.value == UINT64_MAX ? "the end" : std::to_string(std::max(first, last).value);
  return Corruption(place + ": records from sequence number " + std::to_string(first.value) +
                    " to " + to + " are missing from the files of the shard");
}

// The segment that holds `next`, if any does; else the first one.
ShardLog::SegmentPointer ShardLog::SegmentFor(SequenceNumber next) const {
  MutexLock lock(mutex_);
  if (segments_.empty()) return nullptr;
  const auto after = std::upper_bound(
      segments_.begin(), segments_.end(), next,
      [](SequenceNumber wanted, const SegmentPointer& segment) { return wanted < segment->base; });
  return after == segments_.begin() ? segments_.front() : *(after - 1);
}

ShardLog::SegmentPointer ShardLog::SegmentAfter(SequenceNumber base) const {
  MutexLock lock(mutex_);
  const auto after = std::upper_bound(
      segments_.begin(), segments_.end(), base,
      [](SequenceNumber wanted, const SegmentPointer& segment) { return wanted < segment->base; });
  return after == segments_.end() ? nullptr : *after;
}

// Opens the segment, and looks at its header and size if nobody did before.
Result<ShardLog::SegmentView> ShardLog::View(const SegmentPointer& segment) const {
  auto opened = files_.OpenToRead(segment->path);
  if (opened.status().code() == StatusCode::kNotFound) {
    return Corruption("missing: " + opened.status().message());
  }
  TAILRACE_RETURN_IF_ERROR(opened.status());
  SegmentView view{.segment = segment, .file = *opened, .header = {}, .end_offset = 0};
  {
    MutexLock lock(mutex_);
    if (segment->header && segment->end_offset > 0) {
      view.header = *segment->header;
      view.end_offset = segment->end_offset;
      return view;
    }
  }
  TAILRACE_ASSIGN_OR_RETURN(view.header,
                            ReadSegmentHeader(*view.file, segment->path, Identity(*segment)));
  TAILRACE_ASSIGN_OR_RETURN(view.end_offset, view.file->SizeBytes());
  MutexLock lock(mutex_);
  segment->header = view.header;
  if (segment->end_offset == 0) segment->end_offset = view.end_offset;
  view.end_offset = segment->end_offset;
  return view;
}

// The last index entry at or below `next`; none: begin at the segment's first record.
Result<std::optional<IndexEntry>> ShardLog::Lookup(const SegmentView& view,
                                                   SequenceNumber next) const {
  {
    MutexLock lock(mutex_);
    const IndexEntry* const entry = FindEntry(view.segment->tail, next);
    if (entry != nullptr) return std::optional<IndexEntry>(*entry);
  }
  auto index = IndexOf(view);
  // Without an index the records are read from the first one on, up to the damage.
  if (index.status().code() == StatusCode::kCorruption) return std::optional<IndexEntry>();
  TAILRACE_RETURN_IF_ERROR(index.status());
  const IndexEntry* const entry = *index ? FindEntry((*index)->entries, next) : nullptr;
  return entry != nullptr ? std::optional<IndexEntry>(*entry) : std::optional<IndexEntry>();
}

// The part of the segment's index that is not in `tail`; null when that is all.
Result<std::shared_ptr<const SparseIndex>> ShardLog::IndexOf(const SegmentView& view) const {
  uint64_t indexed_end = 0;
  {
    MutexLock lock(mutex_);
    if (view.segment->index) return view.segment->index;
    indexed_end = view.segment->indexed_end != 0 ? view.segment->indexed_end : view.end_offset;
  }
  if (indexed_end <= wal::kSegmentHeaderBytes) return NoIndex();
  TAILRACE_ASSIGN_OR_RETURN(const auto index, LoadIndex(view, indexed_end));
  MutexLock lock(mutex_);
  // Unless the segment was closed meanwhile and has a longer one.
  if (view.segment->indexed_end == 0 || view.segment->indexed_end == indexed_end) {
    view.segment->index = index;
  }
  return index;
}

Result<std::shared_ptr<const SparseIndex>> ShardLog::LoadIndex(const SegmentView& view,
                                                               uint64_t end_offset) const {
  const auto bytes = wal::ReadWholeFile(files_.fs(), IndexPath(*view.segment), kIndexFileBytesMax);
  if (bytes.ok()) {
    auto index = DecodeIndexFile(*bytes, Identity(*view.segment));
    if (index && IndexFits(view, *index, end_offset)) {
      return std::shared_ptr<const SparseIndex>(std::make_shared<SparseIndex>(std::move(*index)));
    }
  }
  TAILRACE_ASSIGN_OR_RETURN(SparseIndex built,
                            BuildIndex(view.file, view.segment->path, view.header, end_offset,
                                       options_.index_interval_bytes));
  return std::shared_ptr<const SparseIndex>(std::make_shared<SparseIndex>(std::move(built)));
}

// Whether an index file is that of the records which the segment holds now: it may be left over
// from before a crash. The chain hash of the last record stands for all of them.
bool ShardLog::IndexFits(const SegmentView& view, const SparseIndex& index,
                         uint64_t end_offset) const {
  if (index.end_offset != end_offset || index.entries.empty()) return false;
  SegmentScanner scanner(view.file, view.segment->path, view.header, index.entries.back().offset,
                         end_offset, std::nullopt);
  RecordView record;
  for (bool first = true;; first = false) {
    const auto more = scanner.Next(record);
    if (!more.ok()) return false;
    if (!*more) break;
    if (first && record.sequence != index.entries.back().sequence) return false;
  }
  return scanner.before().has_value() && *scanner.before() == index.last;
}

std::optional<ShardLog::Hint> ShardLog::TakeHint(SequenceNumber next) const {
  MutexLock lock(mutex_);
  for (const Hint& hint : hints_) {
    if (hint.next == next) return hint;
  }
  return std::nullopt;
}

void ShardLog::LeaveHint(const Hint& hint) const {
  MutexLock lock(mutex_);
  for (const Hint& known : hints_) {
    if (known.next == hint.next) return;
  }
  if (hints_.size() < kHintsMax) {
    hints_.push_back(hint);
    return;
  }
  hints_[next_hint_] = hint;
  next_hint_ = (next_hint_ + 1) % kHintsMax;
}

Result<bool> ShardLog::Ready(SequenceNumber next) const {
  MutexLock lock(mutex_);
  if (closed_) return Closed("the streams were closed");
  if (gone_) return NotFound(path_ + ": the shard has expired and was removed");
  return next < bounds_.trimmed_below || next <= bounds_.last.sequence ||
         bounds_.ending.has_value();
}

void ShardLog::Watch(Bell& bell) const {
  MutexLock lock(mutex_);
  bells_.push_back(&bell);
}

void ShardLog::Unwatch(Bell& bell) const {
  MutexLock lock(mutex_);
  std::erase(bells_, &bell);
}

void ShardLog::RingAll() const {
  for (Bell* bell : bells_) bell->Ring();
}

ShardLog::Size ShardLog::size() const {
  std::vector<SegmentPointer> segments;
  {
    MutexLock lock(mutex_);
    segments = segments_;
  }
  Size size{.bytes = 0, .segments = segments.size()};
  for (const SegmentPointer& segment : segments) {
    const auto view = View(segment);
    if (view.ok()) size.bytes += view->end_offset;
  }
  return size;
}

}  // namespace tailrace::shards
