// Shard logs read without the store: for tools that list, dump and verify directories and files.
//
// Nothing is changed and no lock is taken, so a store in use may be read too; its newest records
// may then be seen or not. Every record is checked: frame hashes, number, ordinal, the number
// before, chain. Damage is a value with its place, and reading goes on behind it where records can
// be found again. Functions are thread-safe; callbacks run on the calling thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "shards/frames.pb.h"
#include "shards/record_codec.h"
#include "shards/shard_reader.h"
#include "shards/types.h"
#include "wal/fs.h"
#include "wal/status.h"

namespace tailrace::shards {

// A segment larger than this is not read offline.
inline constexpr uint64_t kOfflineSegmentBytesMax = 1ull << 30;

// A shard directory as it is found.
struct OfflineShard {
  std::string path;
  StreamId stream;  // As the directories are named.
  ShardId shard;
  std::optional<frames::ShardLogHeader> header = std::nullopt;  // Missing: see `problem`.
  Status problem = {};  // Why the header cannot be read, or OK.
  uint64_t segments = 0;
  uint64_t bytes = 0;  // Of the segment files.
};

// All shard directories below `directory` (the store's directory of streams), by stream and shard.
// A shard without a record has none. Errors: the file system's.
Result<std::vector<OfflineShard>> ListShards(wal::FileSystem& fs, const std::string& directory);

// One record and where it stands.
struct OfflineRecord {
  RecordView record;  // Valid during the callback.
  std::string_view file;
  uint64_t offset = 0;
  uint64_t bytes = 0;  // Of the frame.
};

struct Damage {
  enum class Kind {
    kShardHeader,     // The directory's header file is missing, damaged or another shard's.
    kSegmentHeader,   // A segment's first block is damaged; its records may still be good.
    kRecord,          // Bytes that should be records are not.
    kMissing,         // Records are missing between good ones: a file, or a piece cut out of one.
    kOrder,           // A good record does not follow the one before it.
    kUnfinishedTail,  // The newest segment ends in bytes that are no record: a write that was under
                      // way or lost its power, or damage to the last record. Beyond a known end:
                      // harmless.
    kIndex,           // An index file is damaged or does not fit. Harmless: it is built again.
  };
  Kind kind = Kind::kRecord;
  std::string file;
  uint64_t offset = 0;
  uint64_t bytes = 0;                                  // That were skipped; 0 when none were.
  std::optional<SequenceNumber> after = std::nullopt;  // The last good record before it …
  std::optional<SequenceNumber> next =
      std::nullopt;              // … and the next good one, where there are any.
  uint64_t records_missing = 0;  // As the ordinals show; 0: unknown or none.
  std::string message = {};

  bool harmless() const { return kind == Kind::kIndex; }
};

// "missing records", say. Never null.
std::string_view DamageKindName(Damage::Kind kind);

struct OfflineVisitor {
  // Each good record, in order; false ends the reading.
  std::function<bool(const OfflineRecord&)> on_record;
  std::function<void(const Damage&)> on_damage;
};

struct OfflineReport {
  uint64_t segments = 0;
  uint64_t bytes = 0;
  uint64_t records = 0;
  uint64_t damages = 0;  // Harmless ones not counted.
  std::optional<SequenceNumber> first;
  std::optional<SequenceNumber> last;
  bool stopped = false;  // on_record ended it.
};

// What a reading may leave out: segments whose records all have lower numbers, or are all stamped
// earlier (a shard's stamps never fall).
struct OfflineFrom {
  SequenceNumber sequence = {};
  uint64_t wall_ms = 0;
  // `sequence` is a trim point that a checkpoint recorded: a log that begins behind it lacks
  // records.
  bool is_trim_point = false;
};

// Each shard's trim point in the streams that a checkpoint recorded.
std::map<ShardId, OfflineFrom> TrimPoints(const frames::StreamCatalogueState& streams);

// Reads a shard's directory: all segments in order, index files and header. With `end`, as a
// checkpoint recorded it, the log must hold every record up to there, and what lies beyond is left
// out: the journal makes it again. Segments wholly before `from` are left out too; with the trim
// point of that checkpoint in it, those that a crash has brought back. Without `end` and trim
// point, a store that was not closed may show what recovery settles as damage. Errors: kNotFound
// (no such directory), kIoError, kUnsupported (a newer version).
Result<OfflineReport> VerifyShard(wal::FileSystem& fs, const std::string& shard_path,
                                  const std::optional<frames::ShardEnd>& end,
                                  const OfflineVisitor& visitor, const OfflineFrom& from = {});

// Reads single segment files, in the order of their names, each on its own: what lies between one
// and the next is not missed, and the end of any may be unfinished. Errors as above, and
// kInvalidArgument for a path whose name is not that of a segment.
Result<OfflineReport> VerifySegments(wal::FileSystem& fs, std::vector<std::string> paths,
                                     const OfflineVisitor& visitor);

}  // namespace tailrace::shards
