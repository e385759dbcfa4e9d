// How a store is opened.
//
// Only the durability is kept with the store; everything else holds for one opening and may be
// another the next time. The defaults are for a store with a process of its own on a machine with
// some GiB: a small one does with less memory and disk, and opens faster, with a smaller
// journal_segment_bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "wal/clock.h"
#include "wal/fs.h"
#include "wal/journal.h"
#include "wal/status.h"

namespace tailrace {

using wal::Durability;

// Moments at which a test of Tailrace's own may hold a thread of the store; programs need none of
// it. Values are not stored anywhere.
enum class PausePoint {
  kAfterAppend,     // A commit is in the journal, not yet in the write buffer.
  kAfterEntry,      // It is in the write buffer; the caller has not been answered.
  kAfterFreeze,     // Checkpoint: the generation is frozen, nothing is written yet.
  kBeforeIngest,    // Checkpoint: shard logs are durable, the files to ingest are written.
  kAfterIngest,     // Checkpoint: RocksDB has the new cut, the frozen generation is still there.
  kBeforeRecycle,   // Checkpoint: the frozen generation is gone, the journal still has its frames.
  kBeforeUnlink,    // Retention: the Trim frame is durable, no file is removed yet.
  kBeforeBackfill,  // Index: a page of items was read; each is read again under its lock.
  kBeforeExpiryDelete,  // Time to live: an item was found expired; its deletion looks again.
};

// Who does a store's work.
enum class StoreThreads {
  kOwn,   // Threads of its own.
  kNone,  // The calls do, at the moment at which they would wait for a thread: the same calls then
          // always give the same file operations. For simulation; one thread may use the store.
          // Nothing is done in the background, upkeep included, and waits for records run out.
};

// Something worth an operator's attention that is not an error of a call.
struct Event {
  enum class Kind {
    kOpened,             // Recovery is done; the text says what it found.
    kTornTailCut,        // An unfinished tail of the journal was cut (and copied aside).
    kDowntimePending,    // The wall clock says that the store was down; not yet counted as age.
    kDowntimeConfirmed,  // Now it is.
    kClockWentBack,      // The wall clock is behind the last reading; ages are not affected.
    kTrimmed,            // Records expired.
    kIndexActive,        // An index was filled and can be read; the text says which.
    kShardsChanged,      // Shards were split, rotated or merged; the text says which.
    kCheckpoint,         // A checkpoint was made.
    kCheckpointFailed,   // One failed and will be tried again.
    kFailed,             // The store turned read-only; the text has the cause.
  };
  Kind kind;
  std::string text;
};

inline constexpr uint64_t kJournalSegmentBytesDefault = 64ull << 20;

struct StoreOptions {
  // What an acknowledged write survives: kSync a power loss, kBuffered the death of the process, at
  // a fraction of the cost. Fixed when the store is made; kInvalidArgument when a store is opened
  // with the other one.
  Durability durability = Durability::kSync;

  // Make the store if the directory is missing or empty; otherwise that is kNotFound. The directory
  // that holds it must be there.
  bool create_if_missing = true;

  StoreThreads threads = StoreThreads::kOwn;

  // The file system and the clock; they outlive the store.
  wal::FileSystem* fs = &wal::FileSystem::Posix();
  const Clock* clock = &Clock::System();

  // The write buffer is drained into RocksDB whenever it holds this many bytes of journal, which
  // must not be 0.
  uint64_t generation_bytes_max = 64ull << 20;

  // Writers wait while this many bytes of journal are not drained yet, which bounds the write
  // buffer's memory too. At least twice generation_bytes_max.
  uint64_t journal_bytes_max = 256ull << 20;

  // One segment file of the journal: on disk there are two or more from the first, and an opening
  // reads those in use whole. A multiple of 4,096 from 16 KiB to 1 GiB. The largest commit is a
  // quarter of it: with the default every transaction within the limits fits; with less, writes
  // that do not fit are refused (kInvalidArgument, nothing changed).
  uint64_t journal_segment_bytes = kJournalSegmentBytesDefault;

  // RocksDB's block cache.
  uint64_t block_cache_bytes = 64ull << 20;

  // Items kept in memory when they are drained into RocksDB, for the writes and reads that come for
  // them next. About half of the items written lately fit that take so many bytes in the journal.
  // 0: none.
  uint64_t item_cache_bytes = 32ull << 20;

  // Tables share RocksDB files until their items take about so many bytes on disk; then each moves
  // to files of its own, at a checkpoint, which copies its items once. 0: each has its own from the
  // first.
  uint64_t shared_table_bytes_max = 4ull << 20;

  // Shards that a stream begins with, 1 to kShardsPerStreamMax.
  uint32_t shards_per_stream = 4;

  // A shard is split in the middle of its hashes when within one window of store age it takes more
  // than so much a second, on average over the whole window. Bytes are those of keys and images as
  // the stream shows them. 0: not by that. A shard of which most records are of one partition key
  // is left whole, since no split would spread them. The window must not be 0.
  uint64_t shard_split_records_per_second = 1000;
  uint64_t shard_split_bytes_per_second = 1 << 20;
  uint64_t shard_split_window_ms = 60'000;

  // Shards are split while a stream has fewer open ones than this. 0: never.
  uint32_t shards_per_stream_max = 64;

  // A shard that is this old, in store age, is sealed and followed by one of the same hashes,
  // unless nothing was ever written to it. 0: shards go on for ever.
  uint64_t shard_rotation_ms = 0;

  // How long stream records are kept, in store age, unless EnableStream says otherwise: of streams
  // that are enabled from now on. Not 0.
  uint64_t retention_ms = 24ull * 3600'000;

  // Downtime (as the wall clock tells it) counts as age only after the store ran this long, or
  // after ConfirmDowntime: a clock that jumped must not expire anything.
  uint64_t downtime_confirmation_ms = 3600'000;

  // A segment of a shard log is closed at this size, and when its first record is this much older
  // than the next. Disk space comes back by whole segments. The size must not be 0.
  uint64_t shard_segment_bytes_max = 16ull << 20;
  uint64_t shard_segment_age_ms_max = 4ull * 3600'000;

  // File descriptors that the store keeps for shard logs. Where more shards than this are written
  // to by turns, each write waits (in fan-out, not in the caller) for the sync of another's file,
  // which is closed for it. 0: a quarter of what the process may have (RLIMIT_NOFILE) when the
  // store is opened, 64 to 4,096.
  uint32_t shard_log_handles_max = 0;

  // How many items a second upkeep looks at or deletes while there are expired ones to find, in
  // tables with a time to live. Expired items are known by time, about as many as fit into so much
  // memory; the tables are scanned at this pace after opening, when a time to live is enabled, and
  // when more than that has expired. Neither may be 0.
  uint64_t expiry_items_per_second = 10'000;
  uint64_t expiry_queue_bytes_max = 16ull << 20;

  // How many items a second upkeep reads to fill new indexes with what was there before. Not 0.
  uint64_t backfill_items_per_second = 20'000;

  // How often the store looks whether records expired and shards are old, writes a clock reading
  // into the journal, and (in kBuffered) makes the journal durable: what a power loss may take back
  // is at most about this old. Busy shards are split at once. 0: none of it by itself; call
  // RunMaintenance.
  uint64_t maintenance_interval_ms = 60'000;

  // Called from the store's threads, and from within Open, one call at a time or several at once;
  // must not call the store, and should be quick. May be empty.
  std::function<void(const Event&)> on_event = nullptr;

  // For Tailrace's own tests: called at each pause point, from the thread that reached it. May be
  // empty.
  std::function<void(PausePoint)> on_pause_point = nullptr;
};

}  // namespace tailrace
