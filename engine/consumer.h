// Durable consumers: named readers of a whole stream whose work several workers share.
//
// A consumer has a lease and a checkpoint for each shard, kept as an item of the store. Workers,
// each an object of its own with a name, take leases that are free or whose owner has fallen
// silent, share them about evenly, and lose them to others; what each reads comes in order, a
// parent to its end, and checkpointed, before its children. A checkpoint is a write on the
// condition that the lease is still the worker's, and can be one transaction with the handler's own
// writes: then every record has its effect exactly once, whatever dies when. Otherwise records
// since the last checkpoint come again after a crash or a takeover.
//
//   auto worker = ConsumerWorker::Open(store, "totals", stream.id, "worker-1", {}).value();
//   while (running) {
//     auto batch = worker->Next(1000).value();
//     if (!batch) continue;  // Nothing came.
//     std::vector<WriteRequest> effects = ... batch->records ...;
//     auto kept = worker->CheckpointWith(*batch, effects).value();
//     if (kept.outcome == CheckpointOutcome::kLeaseLost) ... nothing was written; somebody else has
//     the shard ...
//   }
//   worker->Release();
//
// A worker is one object in the process that has the store open, and has no thread of its own: it
// lives in its calls. Processes share a consumer's work only one after another, since a store is
// open in one at a time. docs/embedding.md has a whole example.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/store.h"

namespace tailrace {

// Where a new consumer begins.
enum class ConsumerStart {
  kTrimHorizon,  // With the oldest record that is kept.
  kLatest,       // With what is written after it was made.
  kAtTimestamp,  // With the first record of each lineage stamped ConsumerOptions::wall_ms or later.
  kBootstrap,    // With the table's items as they are, and then every change since.
};

struct ConsumerOptions {
  // Of a consumer that is not there yet; one that is goes on where it was, whatever this says.
  // `wall_ms`, since 1970, is kAtTimestamp's.
  ConsumerStart start = ConsumerStart::kTrimHorizon;
  uint64_t wall_ms = 0;

  // Set: keep records that this consumer has not checkpointed beyond the stream's retention, as
  // long as the stream's files take no more than so many bytes; 0: no longer than the stream does.
  // What is dropped beyond it is reported as a gap. Absent: as it was, for a new consumer 0.
  std::optional<uint64_t> pin_bytes_max = std::nullopt;

  // How long a worker may be silent before others take its leases. It gives a sign of life from
  // within Next and KeepLeases, about three times in this period. Time is the store's clock's that
  // never falls (Clock::BootMs); and whoever looks must have looked several times meanwhile, so
  // that a machine that slept, or a process that stood still, does not make the others seem dead.
  uint64_t lease_ms = 10'000;

  // How long a shard is left alone after Fail.
  uint64_t retry_ms = 1000;

  PageLimits limits = {};  // Of a batch: records, or items of a bootstrap.
};

// An item of the table, as a bootstrap shows it.
struct SnapshotItem {
  Item item;
  SequenceNumber commit;  // Of the commit that made it so.
};

// What a worker gets of one shard.
struct ConsumerBatch {
  ShardId shard;

  // The first one since the worker took the shard's lease: whatever it remembers of the shard is
  // out of date.
  bool taken = false;

  // Records that are missing before what follows, and why.
  std::optional<Gap> gap;

  // Of a bootstrap: the next items of the shard's part of the table. They are new to the consumer,
  // and come before the records.
  std::vector<SnapshotItem> items;

  // In order. During a bootstrap only of items that were shown, or would have been had they been
  // there; and what changed since.
  std::vector<ChangeRecord> records;

  bool end_of_shard = false;  // Its children can be read once this batch is checkpointed.

  // Where the consumer stands behind this batch: for Checkpoint, to be left as it is.
  struct Mark {
    uint64_t lease_counter = 0;
    uint64_t number = 0;  // Of the batch under that lease: 1, 2, 3, …
    Position next;
    std::vector<KeyRange> unseen;
  };
  Mark mark;
};

enum class CheckpointOutcome {
  kStored,
  kLeaseLost,  // The lease is somebody else's. Nothing was written; the batch comes to them again.
  kRejected,   // A condition of the caller's own writes said no. Nothing was written.
};

struct CheckpointResult {
  CheckpointOutcome outcome = CheckpointOutcome::kStored;
  std::vector<WriteResult> writes;  // Of the caller's writes, in their order, unless kLeaseLost.
};

// One thread at a time; any number of workers beside each other. The store outlives them.
// Destroying one leaves its leases to expire: call Release first to hand them over at once. Besides
// those named, errors are those of Store::ReadShard and Store::Transact; kNotFound also when the
// consumer was forgotten, kFailedPrecondition when another worker runs under the same name (both
// noticed at the next sign of life, so within a third of lease_ms). After any other error a worker
// can be called again: nothing is lost by it, and what was not checkpointed comes again.
class ConsumerWorker {
 public:
  static constexpr size_t kNameBytesMax = 255;

  // Joins the consumer, and makes it if it is not there. `worker` names this worker among the
  // consumer's: unique among those that run, and best the same again after a restart, since then it
  // takes back its leases at once. Both names have 1 to kNameBytesMax bytes of UTF-8. Errors:
  // kNotFound (no such stream), kInvalidArgument (names, options; the consumer reads another
  // stream: choose another name, or forget it; it came along with a backup or a salvage, from
  // another store: forget it), kFailedPrecondition (kBootstrap of a stream that is disabled).
  static Result<std::unique_ptr<ConsumerWorker>> Open(Store& store, const std::string& consumer,
                                                      StreamId stream, const std::string& worker,
                                                      const ConsumerOptions& options) noexcept;
  virtual ~ConsumerWorker() = default;

  // The next batch of any shard whose lease this worker holds, waiting up to `timeout_ms` without
  // using the CPU (0: not at all). Goes on behind the last batch, whether that was checkpointed or
  // not; shards take turns. Absent: the time ran out, or there will be no more (see finished).
  virtual Result<std::optional<ConsumerBatch>> Next(uint64_t timeout_ms) = 0;

  // Stores that the consumer is done with this batch, and so with all of the shard before it;
  // durable as the store says when it returns. Not every batch needs it: the last of a shard stands
  // for those before. kInvalidArgument: a batch before one that was checkpointed, or handed out
  // before Fail.
  virtual Result<CheckpointOutcome> Checkpoint(const ConsumerBatch& batch) = 0;

  // The same in one transaction with up to kTransactionItemsMax - 1 writes, of different items: all
  // happen, or none. Of kRejected the batch is still the caller's: change the writes, or Fail it.
  // Besides, errors as Store::Transact.
  virtual Result<CheckpointResult> CheckpointWith(const ConsumerBatch& batch,
                                                  std::vector<WriteRequest> writes) = 0;

  // The batch cannot be handled now. The shard goes back to its last checkpoint and comes again
  // after options.retry_ms; meanwhile DescribeConsumer says since when and why it is blocked (of
  // `why`, UTF-8, the first 1,000 bytes). kStored, or kLeaseLost.
  virtual Result<CheckpointOutcome> Fail(const ConsumerBatch& batch, const std::string& why) = 0;

  // Gives a sign of life if one is due, and looks after the leases; for handlers that take longer
  // than a third of options.lease_ms. Next does so by itself.
  virtual Status KeepLeases() = 0;

  // Gives all leases free for others to take at once, and leaves the consumer. Batches handed out
  // can no more be checkpointed (kLeaseLost). Next joins it again.
  virtual Status Release() = 0;

  // The shards whose leases this worker holds, as far as it knows.
  virtual std::vector<ShardId> leases() const = 0;

  // Every shard was read and checkpointed to its end, by whomever, and there will be no more: the
  // stream is disabled.
  virtual bool finished() const = 0;
};

// How far a consumer is in a shard, and what it lags behind.
struct ConsumerShard {
  ShardId shard;
  std::string owner;              // Of its lease; empty: nobody.
  SequenceNumber next;            // Records below are checkpointed.
  bool waiting = false;           // Its parent is to be finished first.
  bool scanning = false;          // A bootstrap has still to show items of it.
  uint64_t lag_records = 0;       // Not checkpointed.
  uint64_t lag_bytes = 0;         // As they stand in the shard's files.
  uint64_t lag_ms = 0;            // The age of the oldest of them by the wall clock; 0 without one.
  uint64_t blocked_since_ms = 0;  // In ms since 1970; 0: not blocked.
  std::string blocked_why;
};

struct ConsumerInfo {
  std::string name;
  StreamId stream;
  std::string table_name;
  ConsumerStart start = ConsumerStart::kTrimHorizon;
  uint64_t created_ms = 0;
  bool bootstrapping = false;
  uint64_t pin_bytes_max = 0;
  bool stream_expired = false;        // The stream is gone with all its records.
  std::vector<std::string> workers;   // Those that run, or fell silent not long ago.
  std::vector<ConsumerShard> shards;  // Those not read to their end, by id.
};

// All consumers, by name. These three may be called by any thread; errors as Store::Query.
Result<std::vector<ConsumerInfo>> ListConsumers(Store& store) noexcept;
Result<ConsumerInfo> DescribeConsumer(Store& store,
                                      const std::string& consumer) noexcept;  // kNotFound.

// Removes a consumer with its leases and checkpoints. Its workers learn of it (kNotFound), and what
// it had pinned expires. kNotFound.
Status ForgetConsumer(Store& store, const std::string& consumer) noexcept;

}  // namespace tailrace
