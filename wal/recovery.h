// Recovery of the journal: what the files prove, decided before anything is changed, and the few
// changes that follow. The rules are tables (wal/recovery_table.h) with prose in
// docs/log-format.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "wal/frame_index.h"
#include "wal/fs.h"
#include "wal/journal.h"
#include "wal/segment.h"
#include "wal/segment_image.h"
#include "wal/status.h"
#include "wal/types.h"

namespace tailrace::wal {

// A segment with frames that the caller asked for.
struct RecoveredSegment {
  SegmentImage image;
  uint64_t file_bytes = 0;
  Lsn proven_end;           // Its frames are proven up to here.
  std::vector<Lsn> frames;  // Where callers' frames at or above `from` begin.
};

// A segment file whose frames nobody needs.
struct StaleSegment {
  std::string path;
  uint64_t file_bytes = 0;
};

// Bytes of an unfinished tail, to be copied aside.
struct TornPiece {
  std::string copy_path;
  std::string bytes;
};

// A segment whose last frames may be in the page cache only, to be replaced by a copy of its proven
// part.
struct UnprovenSegment {
  std::string path;
  SegmentHeader header;
  ByteView data;  // In the image of a segment of the same plan.
};

struct RecoveryPlan {
  std::vector<RecoveredSegment> segments;  // Oldest first.
  std::vector<StaleSegment> stale;         // To be reused once the new epoch is durable.
  std::vector<std::string> removals;       // Files to remove before a new segment is made.
  std::vector<TornPiece> torn;
  std::vector<UnprovenSegment> unproven;
  uint64_t torn_bytes = 0;
  Lsn end;          // End of the last proven frame; the new start if there is none.
  Epoch old_epoch;  // The epoch that ends there; 0 if there is none.
  bool clean_close = false;
  std::vector<EpochStart>
      epochs;  // Jumps at or above `from`, oldest first; the new one is not there.
  uint64_t frames = 0;
  Lsn new_start;    // Above every position ever reserved.
  Epoch new_epoch;  // Above every epoch ever begun.
};

// Reads the directory and decides, with kOwn reading ahead in threads that end before it does.
// Changes nothing. Errors as OpenJournal.
Result<RecoveryPlan> PlanRecovery(FileSystem& fs, const std::string& directory,
                                  const JournalStart& start,
                                  JournalThreads threads = JournalThreads::kNone);

// Copies the torn tail aside, makes the unproven bytes durable and removes what is to be removed.
// On OK all of that is durable. May be cut short at any point and done again.
Status ApplyRecovery(FileSystem& fs, const std::string& directory, const RecoveryPlan& plan);

}  // namespace tailrace::wal
