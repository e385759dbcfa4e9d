// A reader of a whole stream that remembers how far it got.
//
// It hands out the records of all shards in batches, each shard's in order, parents before their
// children. A checkpoint stores a shard's position as an item in the store itself, together with
// anything the caller wants to keep with it (a running total, say) in one atomic write. Opened
// again under the same name, also after a crash, it goes on behind the last checkpoint: records
// since then are handed out again.
//
//   auto reader = DurableReader::Open(store, "totals", stream.id, {}).value();
//   while (auto batch = reader->Next(1000).value()) {
//     ... use batch->records ...
//     reader->Checkpoint(batch->shard);
//   }
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/store.h"

namespace tailrace {

struct DurableReaderOptions {
  // Where to begin in shards without a checkpoint: kTrimHorizon or kLatest. Children of a shard
  // that was read to its end always begin at their first record.
  StartAt start = StartAt::kTrimHorizon;
  PageLimits limits = {};
};

// One thread at a time. The store outlives the reader.
class DurableReader {
 public:
  static constexpr size_t kNameBytesMax = 255;

  // A page of one shard.
  struct Batch {
    ShardId shard;
    std::optional<Gap> gap;             // Records that are missing before these, and why.
    std::vector<ChangeRecord> records;  // May be empty beside a gap or the shard's end.
    bool end_of_shard = false;
  };

  // Reads the checkpoints kept under `name` (1 to kNameBytesMax bytes) for this stream. Errors:
  // kNotFound (no such stream), kInvalidArgument (name, start; a checkpoint of another stream under
  // this name: choose another name, or Forget it).
  static Result<std::unique_ptr<DurableReader>> Open(Store& store, const std::string& name,
                                                     StreamId stream,
                                                     const DurableReaderOptions& options);

  // The next batch, waiting up to `timeout_ms` without using the CPU. Absent: the time ran out, or
  // the stream is disabled and read to its end (see finished). Errors: those of Store::ReadShard.
  Result<std::optional<Batch>> Next(uint64_t timeout_ms);

  // Stores the position behind the last batch of this shard, with `attachment`, in one durable
  // write. kInvalidArgument: a shard this reader does not know, or an attachment too large for an
  // item.
  Status Checkpoint(ShardId shard, const Item& attachment = {});

  // What was attached to the last checkpoint of each shard that has one, finished ones included;
  // empty if nothing was.
  const std::map<ShardId, Item>& attachments() const { return attachments_; }

  // Every shard was read to its end and there will be no more.
  bool finished() const { return finished_; }

  // Removes the checkpoints kept under `name`.
  static Status Forget(Store& store, const std::string& name);

 private:
  struct Cursor {
    Position position;
    bool done = false;       // Read to its end.
    bool caught_up = false;  // As of the last look.
  };

  DurableReader(Store& store, std::string name, StreamId stream, DurableReaderOptions options)
      : store_(store), name_(std::move(name)), stream_(stream), options_(options) {}

  Status Load();
  Status LoadOne(const Item& checkpoint);
  Status FindShards();
  bool Ready(const ShardInfo& shard, const StreamInfo& stream) const;
  Result<std::optional<Batch>> Expired(ShardId shard, Cursor& cursor);
  Result<std::optional<Batch>> ReadSome();

  Store& store_;
  const std::string name_;
  const StreamId stream_;
  const DurableReaderOptions options_;
  std::map<ShardId, Cursor> cursors_;
  std::map<ShardId, Item> attachments_;
  ShardId last_read_;  // Shards take turns.
  bool finished_ = false;
};

}  // namespace tailrace
