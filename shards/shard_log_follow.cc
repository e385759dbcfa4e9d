// A shard log as another process writes it: what takes the writer's place there.
#include <algorithm>

#include "shards/shard_header.h"
#include "shards/shard_log.h"
#include "wal/mutants.h"
#include "wal/segment.h"

namespace tailrace::shards {

PublishedShard ShardLog::published() const {
  PublishedShard published{.stream = stream(),
                           .shard = shard(),
                           .trimmed_below = limits_.trimmed_below,
                           .ending = limits_.ending,
                           .last = tip_,
                           .segment_base = {},
                           .segment_end = 0};
  if (active_) {
    published.segment_base = active_->base;
    published.segment_end = offset_;
  }
  return published;
}

Status ShardLog::Follow(const PublishedShard& published) {
  {
    MutexLock lock(mutex_);
    // Another thread of this process may have looked later.
    if (published.last.ordinal < bounds_.last.ordinal ||
        published.trimmed_below < bounds_.trimmed_below) {
      return Status::Ok();
    }
    const bool is_known = published.segment_base.value == 0 ||
                          (!segments_.empty() && segments_.back()->base == published.segment_base);
    if (is_known) {
      Adopt(published);
      return Status::Ok();
    }
  }
  TAILRACE_RETURN_IF_ERROR(CheckHeaderFile());
  TAILRACE_ASSIGN_OR_RETURN(const auto entries, files_.fs().List(path_));
  std::vector<SegmentPointer> found;
  for (const wal::DirectoryEntry& entry : entries) {
    const auto base = wal::ParseSegmentFileName(entry.name);
    // What lies behind is not published.
    if (!base || entry.is_directory || *base > published.segment_base.value) continue;
    found.push_back(NewSegment(SequenceNumber{*base}));
  }
  if (found.empty() || found.back()->base != published.segment_base) {
    return Corruption("missing: " +
                      wal::JoinPath(path_, wal::SegmentFileName(published.segment_base.value)));
  }
  MutexLock lock(mutex_);
  if (published.last.ordinal < bounds_.last.ordinal) return Status::Ok();
  AdoptSegments(std::move(found));
  Adopt(published);
  return Status::Ok();
}

// Takes the segments that were found in place of those known, and keeps what is known of them.
void ShardLog::AdoptSegments(std::vector<SegmentPointer> found) {
  if (!segments_.empty()) {
    // It was the newest and may have grown; now it is whole and has an index file.
    segments_.back()->end_offset = segments_.back()->indexed_end = 0;
  }
  for (SegmentPointer& segment : found) {
    const auto known = std::lower_bound(
        segments_.begin(), segments_.end(), segment->base,
        [](const SegmentPointer& one, SequenceNumber base) { return one->base < base; });
    if (known != segments_.end() && (*known)->base == segment->base) segment = *known;
  }
  segments_ = std::move(found);
}

void ShardLog::Adopt(const PublishedShard& published) {
  const SequenceNumber trimmed_below =
      TAILRACE_MUTANT("follower-misses-trims") ? bounds_.trimmed_below : published.trimmed_below;
  bounds_ = {.trimmed_below = trimmed_below, .ending = published.ending, .last = published.last};
  if (segments_.empty() || segments_.back()->base != published.segment_base) return;
  // The owner keeps the index of the newest segment in its memory: it is read from its first record
  // on.
  segments_.back()->end_offset = published.segment_end;
  segments_.back()->indexed_end = wal::kSegmentHeaderBytes;
}

}  // namespace tailrace::shards
