// Reads one segment file from memory, going on behind damage: the work of shards/offline.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "shards/offline.h"
#include "shards/sparse_index.h"
#include "wal/format.h"
#include "wal/frame.h"

namespace tailrace::shards {

// What is known about a log without its segments' headers; nothing for single files.
struct OfflineLog {
  std::optional<StoreId> store_id;
  std::optional<ShardId> shard;
};

// One segment at a time, in order. Not thread-safe.
class OfflineSegmentReader {
 public:
  OfflineSegmentReader(const OfflineVisitor& visitor, OfflineReport& report)
      : visitor_(visitor), report_(report) {}

  struct Segment {
    std::string path;
    SequenceNumber base;  // As the file is named.
    std::string bytes;    // The file, or what of it counts.
    bool tail_may_be_torn = false;
    std::optional<std::string> index = std::nullopt;  // The index file's bytes.
    std::string index_path = {};
  };

  // Reads the segment; `log` may learn from its header. kUnsupported for a newer version.
  Status Read(const Segment& segment, OfflineLog& log);

  // Forgets the last record: what comes next need not follow it.
  void BreakOff() { before_.reset(); }

  // The last good record.
  const std::optional<LogPoint>& before() const { return before_; }

  void Report(Damage damage);

 private:
  struct Found {
    RecordView record;
    ByteView payload;
    uint64_t bytes = 0;
  };

  Status ReadHeader(const Segment& segment, OfflineLog& log);
  bool ReadRecords(const Segment& segment);
  std::string TryRecord(ByteView bytes, Found& found) const;
  uint64_t FindNext(ByteView bytes, uint64_t damaged_at, Found& found) const;
  void CheckOrder(const Segment& segment, uint64_t offset, const Found& found);
  bool Deliver(const Segment& segment, uint64_t offset, const Found& found);
  void CheckIndex(const Segment& segment);

  const OfflineVisitor& visitor_;
  OfflineReport& report_;
  std::optional<LogPoint> before_;

  // Of the segment under way.
  StoreId store_id_;
  ShardId shard_;
  SequenceNumber base_;
  std::optional<Epoch> epoch_;  // None: the header is damaged, frames say their own.
  bool damaged_ = false;
  std::vector<IndexEntry> places_;  // Of all good records.
};

}  // namespace tailrace::shards
