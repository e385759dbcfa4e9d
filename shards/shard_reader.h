// Reading a shard: records, typed gaps, or "caught up"; never a silent skip.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "shards/record_bytes.h"
#include "shards/types.h"
#include "wal/status.h"

namespace tailrace::shards {

struct RecordView;

// One record of a shard log. It owns its bytes.
struct Record {
  SequenceNumber sequence;
  uint64_t ordinal = 0;     // 1, 2, 3, … within the shard, without holes.
  SequenceNumber previous;  // The shard's record before; SequenceNumber{0} for its first.
  uint64_t chain = 0;       // Hash over this record and, through `previous`' chain, all before it.
  uint64_t age_ms = 0;      // The store's age when it was committed, pending downtime included.
  uint64_t wall_ms = 0;
  ChangeKind kind = ChangeKind::kInsert;
  Actor actor = Actor::kUser;
  uint32_t change_index = 0;  // sequence - change_index is the commit's LSN.
  uint32_t change_count = 1;
  std::string key;                       // Storage key.
  std::optional<std::string> new_image;  // Encoded items, as the stream's view type shows.
  std::optional<std::string> old_image;

  RecordView View() const;  // Into this record.
};

// A point in a shard log: the record that stands there, or the beginning of the log.
struct LogPoint {
  SequenceNumber sequence;  // 0: no record yet.
  uint64_t ordinal = 0;
  uint64_t chain = 0;

  friend bool operator==(const LogPoint&, const LogPoint&) = default;
};

// A record whose bytes belong to somebody else. Fields as in Record.
struct RecordView {
  SequenceNumber sequence;
  uint64_t ordinal = 0;
  SequenceNumber previous;
  uint64_t chain = 0;
  uint64_t age_ms = 0;
  uint64_t wall_ms = 0;
  ChangeKind kind = ChangeKind::kInsert;
  Actor actor = Actor::kUser;
  uint32_t change_index = 0;
  uint32_t change_count = 1;
  ByteView key;
  std::optional<ByteView> new_image;
  std::optional<ByteView> old_image;

  LogPoint point() const { return {sequence, ordinal, chain}; }
  Record Copy() const;
};

// Where a reader stands. Survives restarts: it names no memory. Positions of another store, or
// beyond what recovery could keep, are recognised by store and epoch.
struct Position {
  StoreId store;
  Epoch epoch;  // In which the position was taken.
  StreamId stream;
  ShardId shard;
  SequenceNumber next;  // Records with this number or a higher one are still to be read.

  friend bool operator==(const Position&, const Position&) = default;
};

// Where to begin in a shard.
enum class StartAt {
  kTrimHorizon,          // The oldest record that is still kept.
  kLatest,               // After the newest record.
  kAtSequenceNumber,     // The first record at or above the number.
  kAfterSequenceNumber,  // The first record above the number.
  kAtTimestamp,          // The first record stamped at or after a moment; without one, the next.
};

struct Gap {
  enum class Kind {
    kTrimmed,  // Older than the retention time: expired before it was read.
    kLost,     // Shown once, then taken back by a power loss (kBuffered only).
  };
  Kind kind = Kind::kTrimmed;
  SequenceNumber first;  // The range of numbers, both included, in which records may be missing.
  SequenceNumber last;
};

// One page of a shard.
struct Page {
  std::optional<Gap> gap;  // If set, what is missing before `records`; reading went on behind it.
  std::vector<Record> records;
  Position next;           // Where to go on.
  bool caught_up = false;  // Nothing more is there now: wait, or come back later.
  bool end_of_shard =
      false;  // Nothing more will ever come: the shard is sealed and read to its end.
};

// The same as it lies in the shard's files: a view of each record. Read into again and again, it
// allocates nothing.
struct RecordPage {
  std::optional<Gap> gap;
  std::vector<RecordView> records;  // Views into `bytes`.
  Position next;
  bool caught_up = false;
  bool end_of_shard = false;
  RecordBytes bytes;

  // Empties it and keeps its memory.
  void Clear();
  Page Copy() const;
};

// What a shard still has for a reader.
struct Backlog {
  uint64_t records = 0;
  uint64_t bytes = 0;           // In the shard's files, as frames.
  uint64_t oldest_wall_ms = 0;  // The stamp of the first of them; 0 without one.
};

// Limits of a page; whichever is reached first ends it. At least one record is returned if there is
// one.
struct PageLimits {
  uint64_t records_max = 1000;
  uint64_t bytes_max = 1 << 20;  // Of payloads.
};

}  // namespace tailrace::shards
