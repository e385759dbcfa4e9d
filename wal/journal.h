// The journal: the one log that every change of a store goes through, in commit order.
//
// It knows bytes, frames and durability; what a payload means is its callers' business. Callers see
// this interface only, so that a journal need not be a local file.
//
// Bytes on disk: docs/log-format.md. What a crash may do: docs/durability.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "wal/clock.h"
#include "wal/format.h"
#include "wal/fs.h"
#include "wal/status.h"
#include "wal/types.h"

namespace tailrace::wal {

// What an acknowledged write survives.
enum class Durability : uint32_t {
  kSync = 1,      // Power loss: groups of frames are written directly and durably.
  kBuffered = 2,  // The death of the process: frames are copied into mapped segments.
};

// Who does the journal's work.
enum class JournalThreads {
  kOwn,  // Threads of its own write groups, make segments ready ahead of time and write idle marks.
  kNone,  // The calling threads do, within WaitDurable, Sync and Append; there are no idle marks.
          // The same calls then always give the same file operations: for simulation.
};

inline constexpr uint64_t kJournalSegmentBytesMin = 4 * kBlockBytes;
inline constexpr uint64_t kJournalSegmentBytesMax = kSegmentBytesMax;

struct JournalOptions {
  Durability durability = Durability::kSync;
  JournalThreads threads = JournalThreads::kOwn;

  // Size of a segment file, its header block included. A multiple of kBlockBytes within
  // kJournalSegmentBytesMin and -Max. The largest frame is a quarter of it.
  uint64_t segment_bytes = 64ull << 20;

  // Bytes appended and not yet recycled; above it Append waits (back-pressure) for Recycle. At
  // least segment_bytes.
  uint64_t live_bytes_max = 512ull << 20;

  // On top of live_bytes_max, for frames appended with Quota::kReserved.
  uint64_t reserved_bytes = 16ull << 20;

  // kSync: Append waits for the writer while twice this much is appended and not durable. Bounds
  // what one group may hold and what a failure may leave unknown.
  uint64_t group_bytes_max = 4ull << 20;

  // After this long without an append, a Mark frame is written once, so that the last group's
  // durability is on record too. 0: never.
  uint32_t idle_mark_ms = 100;

  // kSync: how long frames gather after a group was written before the next one is, while nobody
  // waits for any: larger groups cost less, and nobody notices.
  uint32_t gather_us = 100;

  // Recycled segment files kept for reuse; more are deleted.
  uint32_t spare_segments_max = 4;

  // Called after every rise of the durable position, in rising order, one call at a time, from a
  // journal thread or from within Sync, WaitDurable or Close. Must not call any of these three.
  std::function<void(Lsn durable)> on_durable;

  // Called once, when the journal fails for good, from whichever thread noticed. Must not call
  // Sync, WaitDurable or Close.
  std::function<void(const Status& cause)> on_failure;
};

// One frame as a reader sees it. `payload` points into the journal's memory and stays valid until
// Recycle is called with a position above `lsn`.
struct Frame {
  Lsn lsn;           // Where the frame begins.
  Lsn end;           // Where it ends (exclusive).
  FrameType type{};  // One of the caller's own types; the journal's own frames are not shown.
  Epoch epoch;
  ByteView payload;
  Lsn mark;  // ScanJournal only: all below was durable when this frame was written.
};

// What Append did. `previous_end` is the end of the caller's frame before this one in the journal
// (or the start of this epoch), so that frames can be chained although padding may lie between
// them.
struct Appended {
  Lsn previous_end;
  Frame frame;
};

// A place where positions jump: an opening after `old_end` went on at `new_start`. No frame lies
// between, and none ever will. `old_end` counts the journal's own frames and padding; it is 0 where
// the journal began.
struct EpochStart {
  Epoch epoch;
  Lsn old_end;
  Lsn new_start;
  bool clean = false;  // The journal had been closed properly before.
};

// What opening the journal found.
struct JournalRecovery {
  Epoch epoch;               // The new epoch.
  Lsn end;                   // End of the last frame that the journal proves, any type; or 0.
  Lsn start;                 // Where the new epoch begins; new frames lie at or above it.
  bool clean_close = false;  // The last run closed the journal.
  uint64_t torn_bytes = 0;   // Bytes of an unfinished tail that were cut.
  std::string torn_copy;     // Where they (the first segment's) were copied to before, if any.
  std::vector<EpochStart> epochs;  // Every jump at or above the position asked for, oldest first.
  uint64_t frames = 0;             // Callers' frames found from there on.
};

enum class Quota {
  kOrdinary,
  kReserved,  // May use reserved_bytes: frames that free space (trims) or must not wait behind it.
};

// All methods are thread-safe.
class Journal {
 public:
  virtual ~Journal() = default;

  // Copies a frame of `type` (kFirstCallerFrame or above) to the end of the journal. On OK it is
  // appended: in order with all others and in memory; in kBuffered it also survives the process.
  // Not durable yet, see WaitDurable. Waits while live_bytes_max is reached.
  // Errors: kInvalidArgument (payload too large; nothing appended), kReadOnly (failed before),
  // kNoSpace (no room for a new segment; nothing appended, may be tried again), kClosed.
  virtual Result<Appended> Append(FrameType type, ByteView payload, Quota quota) = 0;

  // Waits until every frame appended before the call that begins below `end` is durable, without
  // asking for it: in kSync the writer is already at it, in kBuffered the segment must get full or
  // somebody else's Sync come (with JournalThreads::kNone this call does the work).
  // kOutcomeUnknown when the journal fails first; kClosed.
  virtual Status WaitDurable(Lsn end) = 0;

  // Somebody is about to wait until everything below `end` is durable: in kSync the writer lets no
  // more gather before it writes that, nor before the next few groups (see gather_us). WaitDurable
  // and Sync do so themselves.
  virtual void Hasten(Lsn end) = 0;

  // Makes everything appended before the call durable. Errors as WaitDurable.
  virtual Status Sync() = 0;

  // End of the last frame appended / known durable, the journal's own frames and padding included.
  // durable() <= appended().
  virtual Lsn appended() const = 0;
  // End of the last frame that a caller appended, or where this epoch began: appended() without the
  // journal's own frames at its end.
  virtual Lsn appended_by_callers() const = 0;
  virtual Lsn durable() const = 0;

  // The first caller's frame that begins at or after `at`. kNotFound when there is none below
  // appended(); kInvalidArgument when `at` lies below the recycled position.
  virtual Result<Frame> Read(Lsn at) const = 0;

  // Forgets every frame that ends at or below `below`: their memory is freed and segments wholly
  // below are reused. `below` must not exceed durable(), and nobody may still use payloads below
  // it. Moves only upwards. Never fails: files that cannot be reused are left for the next opening.
  virtual void Recycle(Lsn below) = 0;

  // Bytes appended and not recycled; the same in segment files on disk, spares included.
  virtual uint64_t live_bytes() const = 0;
  virtual uint64_t disk_bytes() const = 0;

  // OK, or why the journal takes no more frames.
  virtual Status status() const = 0;

  // What opening found. Constant.
  virtual const JournalRecovery& recovery() const = 0;

  // Makes everything durable and writes a Close frame; later appends, waits and syncs say kClosed,
  // while reading goes on. A journal destroyed without Close is recovered like one whose process
  // died.
  virtual Status Close() = 0;
};

// Where to begin.
struct JournalStart {
  StoreId store_id;

  // Frames below are not needed any more (they are in a checkpoint). Lsn{0} for a new journal.
  Lsn from;

  // Everything below is known to have been durable once, from outside the journal: if it is damaged
  // or missing now, that is corruption, never a torn tail. At least `from`.
  Lsn known_durable;

  // The new epoch will be above this one.
  Epoch epoch_floor;

  // The new epoch begins at or above this position: where lower ones are in use in what goes with
  // a new journal (a restored store's streams).
  Lsn start_floor;

  // Whether an empty or missing directory is the start of a new journal or a loss (kCorruption).
  bool may_create = false;
};

// Opens the journal in `directory`, made if need be: validates every segment, decides where the
// proven log ends (docs/log-format.md has the table), copies a torn tail aside and cuts it, makes
// durable again what no mark covers, reserves new positions, and writes the Epoch frame of a new
// epoch. On OK all of that is durable, and Read gives every proven frame from `start.from` on.
// Errors: kCorruption (place and positions in the message; nothing was changed), kUnsupported (a
// newer format), kInvalidArgument (options), and the file system's.
Result<std::unique_ptr<Journal>> OpenJournal(FileSystem& fs, const Clock& clock,
                                             const std::string& directory,
                                             const JournalStart& start,
                                             const JournalOptions& options);

// --- Reading without opening: for tools. ---

// What one segment file holds, as its header says and its frames show.
struct SegmentSummary {
  std::string path;
  SegmentHeader header;
  Lsn valid_end;        // End of the last valid frame.
  uint64_t frames = 0;  // All kinds.
  std::string problem;  // Empty, or why reading stopped before the end.
};

// Reads every segment of the journal in `directory` in order and hands each valid frame, the
// journal's own included, to `visit` until it returns false. Changes nothing and takes no lock.
// Frames beyond a later epoch's old end are not shown. Of a journal in use, segments that it gives
// up meanwhile are left out. Errors: the file system's; damage goes into the summaries.
Result<std::vector<SegmentSummary>> ScanJournal(FileSystem& fs, const std::string& directory,
                                                const std::function<bool(const Frame&)>& visit);

}  // namespace tailrace::wal
