// A reader of a whole stream that remembers how far it got.
//
// It hands out the records of all shards in batches, each shard's in order, a parent's to its end
// before any of its children: so every item's changes come in order, however often shards are split
// meanwhile. A checkpoint stores a shard's position as an item in the store itself, together with
// anything the caller wants to keep with it (a running total, say) in one atomic write. Opened
// again under the same name, also after a crash, it goes on behind the last checkpoint: records
// since then are handed out again.
//
//   auto reader = DurableReader::Open(store, "totals", stream.id, {}).value();
//   while (running) {
//     auto batch = reader->Next(1000).value();
//     if (!batch) continue;  // Nothing came.
//     ... use batch->records ...
//     Status kept = reader->Checkpoint(batch->shard);
//   }
//
// For one reader at a time: nothing keeps two under one name from storing over each other. Several
// that share the work, or effects in the checkpoint's transaction, take a consumer
// (engine/consumer.h).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/store.h"

namespace tailrace {

struct DurableReaderOptions {
  // Where a new name begins: kTrimHorizon; kLatest, with what is written after it was first opened,
  // which is remembered; or kAtTimestamp, with the first record of each lineage that is stamped
  // wall_ms or later (to be given at each opening). Shards that are made later are read whole.
  StartAt start = StartAt::kTrimHorizon;
  uint64_t wall_ms = 0;
  PageLimits limits = {};
};

// One thread at a time. The store outlives the reader, and must be open in this process. Destroying
// it stores nothing. Besides those named, errors are those that any method of Store may return;
// after one the reader can be called again.
class DurableReader {
 public:
  static constexpr size_t kNameBytesMax = 255;

  // A page of one shard.
  struct Batch {
    ShardId shard;
    std::optional<Gap> gap;             // Records that are missing before these, and why.
    std::vector<ChangeRecord> records;  // May be empty beside a gap or the shard's end.
    bool end_of_shard = false;          // Its children come next.
  };

  // Reads the checkpoints kept under `name` (1 to kNameBytesMax bytes of UTF-8) for this stream. A
  // new name is remembered with its first checkpoint (kLatest: at once). Errors:
  // kNotFound (no such stream), kInvalidArgument (name, start; a checkpoint of another stream under
  // this name: choose another name, or Forget it; one that came along with a backup or a salvage,
  // from another store: Forget it).
  static Result<std::unique_ptr<DurableReader>> Open(Store& store, const std::string& name,
                                                     StreamId stream,
                                                     const DurableReaderOptions& options) noexcept;

  // The next batch, waiting up to `timeout_ms` without using the CPU (0: not at all). Goes on
  // behind the last one, whether that was checkpointed or not; shards take turns. Absent: the time
  // ran out, or the stream is disabled and read to its end (see finished). kNotFound: the stream
  // has expired with all its records.
  Result<std::optional<Batch>> Next(uint64_t timeout_ms) noexcept;

  // Stores the position behind the last batch of this shard, with `attachment` in place of the one
  // before, in one write, as durable as the store says on return. It stands for the shard's
  // ancestors too, which were read before it: their checkpoints are then removed, and those of
  // shards that have expired once they were read; but one with an attachment stays, until the
  // caller stores one without. kInvalidArgument: a shard this reader does not know, or an
  // attachment that no item can hold (ValidateItem; some bytes less than kItemBytesMax).
  Status Checkpoint(ShardId shard, const Item& attachment = {}) noexcept;

  // What was attached to the last checkpoint of each shard that has one, finished ones included;
  // empty if nothing was. Valid until the next call of a method that is not const.
  const std::map<ShardId, Item>& attachments() const { return attachments_; }

  // Every shard was read to its end and there will be no more.
  bool finished() const { return finished_; }

  // Removes the checkpoints kept under `name`; OK also if there are none. No reader may run under
  // it. kInvalidArgument (name).
  static Status Forget(Store& store, const std::string& name) noexcept;

 private:
  struct Cursor {
    Position position;
    bool done = false;              // Read to its end.
    bool stored = false;            // There is a checkpoint …
    bool stored_done = false;       // … which says so.
    std::optional<ShardId> parent;  // Once its stream was looked at.
  };

  DurableReader(Store& store, std::string name, StreamId stream, DurableReaderOptions options)
      : store_(store), name_(std::move(name)), stream_(stream), options_(options) {}

  Status Load();
  Status LoadOne(const Item& checkpoint, StoreId store);
  Status RememberBegin();
  Status FindShards();
  bool Waits(const Cursor& cursor) const;
  Status Keep(ShardId shard, const Item& attachment);
  Status Write(ShardId shard, const Position& next, bool done, const Item& attachment);
  Status RemoveFinished();
  Result<std::optional<Batch>> ReadSome();

  Store& store_;
  const std::string name_;
  const StreamId stream_;
  const DurableReaderOptions options_;
  std::map<ShardId, Cursor> cursors_;
  std::set<ShardId> listed_;             // The stream's shards when it was last looked at.
  std::optional<SequenceNumber> begin_;  // kLatest: what was there already lies below.
  std::map<ShardId, Item> attachments_;
  ShardId last_read_;        // Shards take turns.
  bool look_again_ = false;  // A shard has ended: its children can be read.
  bool finished_ = false;
};

}  // namespace tailrace
