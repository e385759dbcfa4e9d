// A reader of whole streams in commit order: all shards' records as one sequence of transactions.
//
//   auto reader = MergedReader::Open(store, {orders, payments}, {}).value();
//   while (running) {
//     auto batch = reader->Next(1000).value();
//     if (!batch) continue;  // Nothing came.
//     for (const MergedTransaction& transaction : batch->transactions) ...
//     ... store reader->position() wherever you like; it goes on from there ...
//   }
//
// A transaction is handed out once every shard is known to have passed it: fan-out tells how far it
// has come, and what it has passed holds no earlier record, in however idle a shard.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "engine/store.h"

namespace tailrace {

namespace engine {
class ConsumerHost;
}

struct MergedReaderOptions {
  // kTrimHorizon; kLatest: what is committed from now on; kAtSequenceNumber: what has `number` or a
  // higher one, as MergedReader::position gave it (it is not checked where it comes from).
  StartAt start = StartAt::kTrimHorizon;
  SequenceNumber number;

  // Of one batch, which ends with the transaction that reaches it: none is cut. At least one is
  // handed out.
  uint64_t records_max = 1000;
  PageLimits page = {};  // Read ahead of each shard.
};

// The changes of one commit that are in the streams read, in their order.
struct MergedTransaction {
  SequenceNumber commit;
  uint32_t commit_changes = 0;  // Of the commit, those in other streams or in none included.
  std::vector<ChangeRecord> records;
};

// Records of a shard that are missing, and why.
struct MergedGap {
  StreamId stream;
  ShardId shard;
  Gap gap;
};

struct MergedBatch {
  std::vector<MergedGap> gaps;  // Found since the last batch; they may lie before or behind it.
  std::vector<MergedTransaction> transactions;  // Each whole, in commit order.
};

// One thread at a time. The store outlives it, and must be open in this process. Keeps up to `page`
// of records in memory for each shard. Besides those named, errors are those that any method of
// Store may return; after one the reader can be called again.
class MergedReader {
 public:
  // Begins to read these streams. kNotFound (a stream), kInvalidArgument (no stream, or one twice;
  // another start), and what Store::SeekShard returns.
  static Result<std::unique_ptr<MergedReader>> Open(Store& store,
                                                    const std::vector<StreamId>& streams,
                                                    const MergedReaderOptions& options) noexcept;

  // The next transactions, waiting up to `timeout_ms` without using the CPU (0: not for new ones;
  // ones that were read may have to wait for fan-out). Absent: the time ran
  // out, or there will be no more (see finished). Errors: those of Store::ReadShard.
  Result<std::optional<MergedBatch>> Next(uint64_t timeout_ms) noexcept;

  // Everything below has been handed out: a reader opened at it goes on there. It lies between two
  // commits. Being a mere number, it cannot tell that a power loss has taken back what was handed
  // out (kBuffered); that needs a DurableReader or a consumer.
  SequenceNumber position() const { return position_; }

  // Every shard was read to its end, and there will be no more.
  bool finished() const { return finished_; }

 private:
  struct Cursor {
    Position next;
    std::deque<ChangeRecord> ahead;  // Read and not handed out.
    SequenceNumber known_below;      // All of the shard's records below were read.
    bool ended = false;
  };

  MergedReader(Store& store, engine::ConsumerHost& host, std::vector<StreamId> streams,
               const MergedReaderOptions& options)
      : store_(store), host_(host), streams_(std::move(streams)), options_(options) {}

  Status FindShards(SequenceNumber from);
  Status ReadAhead();
  Status ReadAhead(Cursor& cursor, SequenceNumber passed);
  SequenceNumber KnownBelow() const;
  void HandOut(SequenceNumber below, MergedBatch& batch);
  Status Wait(uint64_t timeout_ms);
  bool AllEnded() const;

  Store& store_;
  engine::ConsumerHost& host_;
  const std::vector<StreamId> streams_;
  const MergedReaderOptions options_;
  std::map<ShardId, Cursor> cursors_;  // Ids are unique in the store.
  std::vector<MergedGap> gaps_;        // Not handed out.
  SequenceNumber position_;
  bool finished_ = false;
};

}  // namespace tailrace
