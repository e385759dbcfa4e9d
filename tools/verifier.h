// Whether a store is whole: its files read and checked against one another, without opening it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "wal/fs.h"
#include "wal/status.h"
#include "wal/types.h"

namespace tailrace::tools {

struct Finding {
  bool is_damage = true;  // Else a note: worth knowing, nothing is lost.
  std::string file;
  std::optional<uint64_t> offset;
  std::optional<SequenceNumber> first, last;  // The numbers concerned, both included, where known.
  std::string what;
  std::string affects;  // Which table, stream or shard; empty: the store.
};

struct VerifyReport {
  uint64_t journal_segments = 0;
  uint64_t journal_frames = 0;
  uint64_t journal_commits = 0;
  uint64_t journal_proven_end = 0;
  uint64_t journal_torn_bytes = 0;
  bool closed = false;  // The store was closed properly.
  uint64_t shards = 0;
  uint64_t shard_segments = 0;
  uint64_t records = 0;
  uint64_t records_in_journal = 0;  // Compared with the journal's changes.
  uint64_t keys = 0;                // That the streams' records are about.
  uint64_t items_compared = 0;      // Deep: with the items.
  uint64_t indexes = 0;             // Deep: compared with their tables.
  uint64_t entries_compared = 0;    // Deep: of those.
  bool checksums = false;           // Deep: RocksDB's were checked.
  std::vector<Finding> findings;
  uint64_t findings_dropped = 0;  // Beyond kFindingsMax.

  uint64_t damages() const;
};

inline constexpr size_t kFindingsMax = 1000;

enum class Depth {
  kFiles,  // Journal and shard logs. A store in use may be looked at; nothing is changed.
  kDeep,   // Items too: takes the store's lock and opens RocksDB, which renews its own bookkeeping
           // files.
};

// Checks the store in `directory`; one in use up to three times, while it looks damaged, since a
// change under way may look so. Damage is in the report, not an error. Errors: kNotFound (no
// store), kBusy (deep: it is in use), kUnsupported (a newer format), kIoError.
Result<VerifyReport> VerifyStore(wal::FileSystem& fs, const std::string& directory, Depth depth);

}  // namespace tailrace::tools
