// All streams and shards of a store with their logs: the fold over the journal that readers see.
//
// Directory layout and bytes: docs/log-format.md. One writer (fan-out, or recovery before it), any
// number of readers.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "shards/bell.h"
#include "shards/options.h"
#include "shards/retention_pin.h"
#include "shards/shard_reader.h"
#include "shards/stream_catalogue.h"
#include "wal/fs.h"
#include "wal/journal.h"
#include "wal/mutex.h"

namespace tailrace::shards {

// The state of streams at a cut, as a checkpoint keeps it.
struct ShardSetState {
  frames::StreamCatalogueState catalogue;
  std::vector<frames::ShardEnd> ends;  // Of every shard in the catalogue that has a record.
};

// A shard that takes more than the limits say.
struct BusyShard {
  StreamId stream;
  ShardId shard;
  friend auto operator<=>(const BusyShard&, const BusyShard&) = default;
};

class ShardSet {
 public:
  // Opens the logs below `directory` (made if need be) and brings them to exactly `state`: what
  // lies beyond a shard's end is cut, directories of shards not in the state are removed (what
  // recovery replays makes them again). A log shorter than its end, or whose chain at the end
  // differs, is damaged: kCorruption naming shard, file and offset. `epochs` are the journal's
  // jumps still on record.
  static Result<std::unique_ptr<ShardSet>> Open(wal::FileSystem& fs, std::string directory,
                                                StoreId store_id, Epoch epoch,
                                                const ShardSetState& state,
                                                std::vector<wal::EpochStart> epochs,
                                                const ShardSetOptions& options);
  ~ShardSet();

  // ---- The writer: one thread at a time. ----

  // Folds one journal frame (Commit, Catalogue, Trim; others pass) into catalogue and logs. A
  // record whose stream is named in the change is routed by its partition hash and appended to the
  // shard's log as the view type shows. Not visible to readers before Publish. Errors: kCorruption
  // (the frame does not fit the state), kIoError, kNoSpace: after an error the set takes no more
  // frames.
  Status Apply(const wal::Frame& frame);

  // Writes what is buffered, makes all frames below `end` visible to readers and wakes those who
  // wait.
  Status Publish(Lsn end);

  // How many shards have records that are not published; one whose buffer was full counts again.
  // For whoever applies frames.
  size_t touched() const;

  // Whether somebody in another process sleeps until something is published.
  bool FollowersWait() const;

  // Catalogue and log ends after the frames applied so far. In memory; no I/O.
  ShardSetState Capture() const;

  // ---- Any thread. ----

  // Makes every log that changed since the last call durable, directories too.
  Status Sync();

  // The catalogue at the published position (a copy).
  StreamCatalogue catalogue() const;

  // Everything below was published.
  Lsn published() const;

  // A position in a shard. kAt/kAfter need `number` within the shard's range: kInvalidArgument
  // otherwise; below the trim point it is still a position, and reading it reports the gap.
  // kAtTimestamp needs `wall_ms`, and reads a little of the log. kNotFound: no such stream or shard
  // (a stream or shard that was trimmed away says so).
  Result<Position> Seek(StreamId stream, ShardId shard, StartAt start, SequenceNumber number = {},
                        uint64_t wall_ms = 0) const;

  // Fills the page, in place of what it held, with what comes from `position` on, up to the
  // published end. After an error it is empty. Errors: kNotFound (shard unknown or gone),
  // kInvalidArgument (a position of another store), kCorruption (file and offset), kIoError.
  Status Read(const Position& position, const PageLimits& limits, RecordPage& page) const;
  // The same, copied out.
  Result<Page> Read(const Position& position, const PageLimits& limits) const;

  // Waits without using the CPU until Read(position) would show something (a record, a gap, the end
  // of the shard), or `timeout_ms` ran out (false). kClosed after Close.
  Result<bool> Wait(const Position& position, uint64_t timeout_ms) const;

  // The same for several shards at once: until any of them would show something. One sleep, no
  // polling.
  Result<bool> WaitAny(const std::vector<Position>& positions, uint64_t timeout_ms) const;

  // The same, asleep at the caller's bell, which others may ring too: before every look `on_ring`
  // is called, which may publish.
  Result<bool> WaitAny(const std::vector<Position>& positions, uint64_t timeout_ms, Bell& bell,
                       const std::function<void()>& on_ring) const;

  // The Trim frame that retention asks for at this store age: each shard is trimmed behind its last
  // record that is as old as its stream's retention, and a sealed one that is so old as a whole
  // beyond its ending. No entry where nothing moves; damaged segments go as a whole. What a pin
  // still needs stays, as long as the stream's files do not take more than its bytes_max; beyond
  // that, its oldest segments go. Errors: kIoError.
  Result<frames::Trim> PlanTrim(uint64_t age_ms, const std::vector<Pin>& pins = {}) const;

  // What the shard has at and behind the position. Errors as Read.
  Result<Backlog> BacklogFrom(const Position& position) const;

  // Removes what the newest durable checkpoint no longer needs: segments wholly below the trim
  // points in `durable` (the state captured for that checkpoint), and the directories of shards
  // that left the catalogue before it. Recovery from that checkpoint then misses nothing. Bytes
  // freed.
  Result<uint64_t> RemoveTrimmed(const ShardSetState& durable);

  // The open shards whose load has reached a limit since the last call, each once. A shard may have
  // been sealed since.
  std::vector<BusyShard> TakeBusy();

  // Bytes and records kept, for `stat`.
  struct ShardStat {
    StreamId stream;
    ShardId shard;
    uint64_t bytes = 0;
    uint64_t segments = 0;
    uint64_t records_appended = 0;  // Last ordinal.
    SequenceNumber last_sequence;
  };
  std::vector<ShardStat> Stats() const;

  // Wakes all who wait; they get kClosed.
  void Close();

 private:
  ShardSet();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tailrace::shards
