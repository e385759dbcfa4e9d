// The log of one shard: a directory of segments named by their first sequence number.
//
// One thread writes (Append … Publish), any thread reads what was published. Records reach the file
// before they are visible, so readers use the files alone and never wait for the writer. Nothing in
// a shard log is durable by promise before a checkpoint has synced it and recorded its end; what
// lies beyond that end is made again from the journal. Format: docs/shard-log-format.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "shards/bell.h"
#include "shards/frames.pb.h"
#include "shards/open_files.h"
#include "shards/options.h"
#include "shards/published_shard.h"
#include "shards/record_codec.h"
#include "shards/retention_pin.h"
#include "shards/segment_scanner.h"
#include "shards/shard_reader.h"
#include "shards/sparse_index.h"
#include "shards/types.h"
#include "wal/format.h"
#include "wal/mutex.h"
#include "wal/status.h"

namespace tailrace::shards {

class ShardLog {
 public:
  // The range of sequence numbers that the catalogue leaves to a shard.
  struct Limits {
    SequenceNumber trimmed_below;
    std::optional<SequenceNumber> ending;  // Sealed.
  };

  // The log of a shard that has no record yet. Nothing is written before the first record. Borrows
  // `files` and `options`.
  ShardLog(OpenFiles& files, const ShardSetOptions& options, std::string path,
           const frames::ShardLogHeader& header, const Limits& limits);

  // The log that ended at `end` when a checkpoint recorded it. Reads and checks, changes nothing:
  // the header file, the segment that `end` names and its last record. kCorruption naming file and
  // offset when they are missing, damaged or another shard's; the file system's errors.
  static Result<std::shared_ptr<ShardLog>> Open(OpenFiles& files, const ShardSetOptions& options,
                                                std::string path,
                                                const frames::ShardLogHeader& header,
                                                const frames::ShardEnd& end, const Limits& limits);

  // After Open: removes what lies beyond the end, and segments left over from below the trim point.
  Status Cut();

  // ---- The writer: one thread at a time. ----

  // Appends a record, filling in its ordinal, previous number and chain; its age and wall clock are
  // raised to the record's before if they are lower. Buffered, not visible. kCorruption when its
  // number is not above the last one; errors of writing.
  Status Append(RecordView record, Epoch epoch);

  // No record follows `ending`. Writes what is buffered and the index of the last segment.
  Status Seal(SequenceNumber ending);

  // Records below are gone. When that is all of them, the next one begins a new segment.
  Status Trim(SequenceNumber below);

  // Writes what is buffered.
  Status Flush();

  // Makes everything flushed, sealed and trimmed so far visible and wakes those who wait for it.
  void Publish();

  // Where the log ends after the last Append; none without a record.
  std::optional<frames::ShardEnd> end() const;

  uint64_t buffered_bytes() const { return buffer_.size(); }

  // What Publish has made visible, for followers. Requires that nothing was done since.
  PublishedShard published() const;

  // ---- In place of the writer, in a process that follows the store. ----

  // Takes over what the owner published; looks into the directory when it has begun another
  // segment. The log was made for a shard without a record. Any thread; an older state than is
  // known changes nothing. kCorruption: files that must be there are not, or are another shard's;
  // kNotFound, kIoError.
  Status Follow(const PublishedShard& published);

  // ---- Any thread. ----

  // What readers may know.
  struct Bounds {
    SequenceNumber trimmed_below;
    std::optional<SequenceNumber> ending;
    LogPoint last;
  };
  Bounds bounds() const;

  // Fills the page, in place of what it held, with records at or above `next`; `page.next` has its
  // sequence number set, the rest is the caller's. When damage stops it, what was read before it is
  // returned, and the next call reports it. After an error the page is empty. kNotFound once the
  // shard is gone; kCorruption; kIoError.
  Status Read(SequenceNumber next, const PageLimits& limits, RecordPage& page) const;

  // The number of the first record that is stamped `wall_ms` or later and not trimmed; with none, a
  // number above the last record's. Reads one stretch between two index entries, not the log.
  // Errors as Read.
  Result<SequenceNumber> SeekTime(uint64_t wall_ms) const;

  // The records at or above `next` that are not trimmed. Reads one stretch between two index
  // entries, not the log. Errors as Read.
  Result<Backlog> BacklogFrom(SequenceNumber next) const;

  // Whether Read(next) would show something now. kNotFound once the shard is gone, kClosed after
  // Close.
  Result<bool> Ready(SequenceNumber next) const;

  // Rings `bell` whenever the answer of Ready may have changed, until Unwatch. Borrows it.
  void Watch(Bell& bell) const;
  void Unwatch(Bell& bell) const;

  // The trim point that retention asks for: behind the last record that is at least `retention_ms`
  // old in store age; beyond the ending once a sealed shard (at `sealed_age_ms`) is so old as a
  // whole. None when it does not move. Where records are damaged, whole segments expire with the
  // first record of the next. kIoError.
  Result<std::optional<SequenceNumber>> PlanTrim(uint64_t age_ms, uint64_t retention_ms,
                                                 uint64_t sealed_age_ms);

  // The segments that may hold records which are not trimmed, oldest first. Damaged ones count as
  // old as can be. kIoError.
  Result<std::vector<SegmentSpan>> Spans() const;

  // Removes segments wholly below `trimmed_below`, both as of a durable checkpoint; the segment
  // that `end` names stays. Bytes freed.
  Result<uint64_t> RemoveBelow(SequenceNumber trimmed_below, const frames::ShardEnd& end);

  struct Size {
    uint64_t bytes = 0;
    uint64_t segments = 0;
  };
  Size size() const;

  const std::string& path() const { return path_; }
  StreamId stream() const { return StreamId{header_.stream().id()}; }
  ShardId shard() const { return ShardId{header_.shard().id()}; }
  SequenceNumber starting() const { return SequenceNumber{header_.starting()}; }

  // The shard left the catalogue: readers get kNotFound.
  void MarkGone();

  // Wakes all who wait; they get kClosed.
  void Close();

 private:
  // A segment file. Fields that are not const are guarded by the log's mutex_.
  struct Segment {
    const SequenceNumber base;
    const std::string path;
    std::optional<wal::SegmentHeader> header = std::nullopt;  // Once read, or when made here.
    uint64_t end_offset = 0;  // Of the published records; 0: the whole file, not looked at yet.

    // The index has two parts: up to indexed_end (0: end_offset) it is in the .idx file or comes
    // from a scan, and is loaded when first needed; behind that it is in `tail`.
    uint64_t indexed_end = 0;
    std::shared_ptr<const SparseIndex> index = nullptr;
    std::vector<IndexEntry> tail = {};

    std::optional<uint64_t> first_age_ms = std::nullopt;  // Of its first record, once known.
  };
  using SegmentPointer = std::shared_ptr<Segment>;  // Shared by the log and reads under way.

  // A segment as a read uses it.
  struct SegmentView {
    SegmentPointer segment;
    std::shared_ptr<const wal::File> file;
    wal::SegmentHeader header;
    uint64_t end_offset = 0;
  };

  // Where reading goes on.
  struct Cursor {
    SegmentView view;
    uint64_t offset = 0;
    std::optional<LogPoint> before;
  };

  // Where an earlier page ended, so that the next one needs no search.
  struct Hint {
    SequenceNumber next;
    SequenceNumber segment_base;
    uint64_t offset = 0;
    LogPoint before;
  };

  IndexIdentity Identity(const Segment& segment) const;
  std::string IndexPath(const Segment& segment) const;
  SegmentPointer NewSegment(SequenceNumber base) const;

  // Opening.
  Status CheckHeaderFile() const;
  Status ListSegments();
  Status CheckEnd(const frames::ShardEnd& end);
  Status FindStale(const frames::ShardEnd& end);

  // Writing.
  Status Roll(const RecordView& first, Epoch epoch);
  Status MakeDirectory();
  Status CloseSegment();
  Status WriteIndexFile();

  // Following.
  void AdoptSegments(std::vector<SegmentPointer> found) TAILRACE_REQUIRES(mutex_);
  void Adopt(const PublishedShard& published) TAILRACE_REQUIRES(mutex_);

  // Reading.
  Status Collect(const Bounds& bounds, SequenceNumber next, const PageLimits& limits,
                 RecordPage& page) const;
  Status CollectFrom(Cursor& cursor, const Bounds& bounds, SequenceNumber next,
                     const PageLimits& limits, uint64_t& bytes, RecordPage& page, bool& done) const;
  Result<Cursor> FindStart(SequenceNumber next) const;
  Result<Cursor> FollowingSegment(const Cursor& cursor) const;
  Result<Backlog> Measure(const Bounds& bounds, SequenceNumber from) const;
  std::optional<Hint> TakeHint(SequenceNumber next) const;
  void LeaveHint(const Hint& hint) const;
  SegmentPointer SegmentFor(SequenceNumber next) const;
  SegmentPointer SegmentAfter(SequenceNumber base) const;
  Result<std::optional<SequenceNumber>> FirstSince(uint64_t wall_ms) const;
  Result<std::optional<SequenceNumber>> FirstSince(const SegmentView& view, uint64_t wall_ms) const;
  Result<SegmentView> View(const SegmentPointer& segment) const;
  Result<std::shared_ptr<const SparseIndex>> IndexOf(const SegmentView& view) const;
  Result<std::optional<IndexEntry>> Lookup(const SegmentView& view, SequenceNumber next) const;
  Result<std::shared_ptr<const SparseIndex>> LoadIndex(const SegmentView& view,
                                                       uint64_t end_offset) const;
  bool IndexFits(const SegmentView& view, const SparseIndex& index, uint64_t end_offset) const;
  Status Missing(SequenceNumber first, SequenceNumber last, const std::string& place) const;

  void RingAll() const TAILRACE_REQUIRES(mutex_);

  // Retention.
  Result<uint64_t> FirstAge(const SegmentPointer& segment) const;
  Result<size_t> LastExpiredStart(const std::vector<SegmentPointer>& segments,
                                  uint64_t expired_age_ms) const;
  Status ScanExpired(const SegmentPointer& segment, uint64_t expired_age_ms,
                     std::optional<SequenceNumber>& below,
                     std::optional<uint64_t>& oldest_kept_age_ms) const;
  Result<std::optional<SequenceNumber>> ExpiredBelow(uint64_t expired_age_ms);

  OpenFiles& files_;
  const ShardSetOptions& options_;
  const std::string path_;
  const frames::ShardLogHeader header_;
  const StoreId store_id_;

  // ---- The writer's own. ----
  LogPoint tip_;
  uint64_t tip_age_ms_ = 0;
  uint64_t tip_wall_ms_ = 0;
  SegmentPointer active_;  // Null: the next record begins a segment.
  wal::SegmentHeader active_header_;
  wal::FrameSeed active_seed_;
  uint64_t active_age_ms_ = 0;  // Of its first record.
  uint64_t offset_ = 0;         // Where the next record goes.
  uint64_t record_offset_ = 0;  // Where the last record began.
  uint64_t flushed_ = 0;        // Bytes of the active segment in the file.
  bool directory_made_ = false;
  bool sealed_ = false;
  std::string buffer_;
  std::vector<IndexEntry> new_entries_;       // Of the active segment, not yet published.
  std::vector<SegmentPointer> new_segments_;  // Not yet published.
  struct ClosedSegment {
    SegmentPointer segment;
    uint64_t end_offset = 0;
  };
  std::vector<ClosedSegment> closed_segments_;  // Not yet published as closed.
  Limits limits_;
  std::vector<std::string> stale_paths_;  // For Cut.
  std::optional<uint64_t> cut_offset_;    // Likewise: the active segment's file is longer.

  // ---- Shared. ----
  mutable Mutex mutex_;
  mutable std::vector<Bell*> bells_ TAILRACE_GUARDED_BY(mutex_);
  std::vector<SegmentPointer> segments_ TAILRACE_GUARDED_BY(mutex_);
  Bounds bounds_ TAILRACE_GUARDED_BY(mutex_);
  uint64_t removals_ TAILRACE_GUARDED_BY(mutex_) = 0;  // Segments that retention took away.
  bool gone_ TAILRACE_GUARDED_BY(mutex_) = false;
  bool closed_ TAILRACE_GUARDED_BY(mutex_) = false;
  mutable std::vector<Hint> hints_ TAILRACE_GUARDED_BY(mutex_);
  mutable size_t next_hint_ TAILRACE_GUARDED_BY(mutex_) = 0;
  // What the last plan found: where the records that have not expired begin, and the age of the
  // first of them: no more expire before it.
  std::optional<SequenceNumber> expired_below_ TAILRACE_GUARDED_BY(mutex_);
  std::optional<uint64_t> oldest_kept_age_ms_ TAILRACE_GUARDED_BY(mutex_);
};

}  // namespace tailrace::shards
