// A worker of a consumer: reads the shards whose leases it holds, and stores how far.
#include <algorithm>
#include <chrono>
#include <map>

#include "engine/consumer.h"
#include "engine/consumer_host.h"
#include "engine/consumer_items.h"
#include "engine/consumer_leases.h"
#include "engine/consumer_tail.h"
#include "engine/utf8.h"
#include "wal/mutants.h"

namespace tailrace {
namespace engine {
namespace {

// A hundred years: longer, and the arithmetic of clocks runs over.
constexpr uint64_t kTimeoutMsMax = 100ull * 366 * 24 * 3600'000;

// Of the reason of a failure, kept beside the checkpoint.
constexpr size_t kWhyBytesMax = 1000;

class Worker final : public ConsumerWorker {
 public:
  Worker(Store& store, ConsumerHost& host, const std::string& consumer, const std::string& worker,
         const ConsumerOptions& options)
      : store_(store),
        host_(host),
        options_(options),
        keeper_(store, host, consumer, worker, options.lease_ms) {}

  Result<std::optional<ConsumerBatch>> Next(uint64_t timeout_ms) noexcept override;
  Result<CheckpointOutcome> Checkpoint(const ConsumerBatch& batch) noexcept override;
  Result<CheckpointResult> CheckpointWith(const ConsumerBatch& batch,
                                          std::vector<WriteRequest> writes) noexcept override;
  Result<CheckpointOutcome> Fail(const ConsumerBatch& batch,
                                 const std::string& why) noexcept override;
  Status KeepLeases() noexcept override;
  Status Release() noexcept override;
  std::vector<ShardId> leases() const noexcept override;
  bool finished() const noexcept override { return finished_; }

 private:
  // How far a shard was handed out.
  struct Cursor {
    uint64_t counter = 0;  // Of the lease it is for.
    TailPoint at;
    bool ended = false;        // To its end.
    uint64_t handed_out = 0;   // Batches under this lease …
    uint64_t outdated_to = 0;  // … and which of them can no more be checkpointed.
    uint64_t retry_at_ms = 0;  // Left alone until then, by BootMs.
  };

  Status RunRound();
  void FollowLeases();
  Result<std::optional<ConsumerBatch>> ReadSome();
  Result<bool> WaitForMore(std::chrono::steady_clock::time_point deadline);
  Result<const LeaseRecord*> HeldFor(const ConsumerBatch& batch) const;
  LeaseRecord Behind(const LeaseRecord& held, const ConsumerBatch& batch) const;
  void Stored(const ConsumerBatch& batch, const LeaseRecord& next);
  void Lost(ShardId shard);

  Store& store_;
  ConsumerHost& host_;
  const ConsumerOptions options_;
  LeaseKeeper keeper_;
  std::optional<ShardTail> tail_;  // Once the stream is known.
  std::map<ShardId, Cursor> cursors_;
  ShardId last_read_;       // Shards take turns.
  bool look_again_ = true;  // A shard was finished, or others changed something.
  bool finished_ = false;
};

Status Worker::RunRound() {
  TAILRACE_ASSIGN_OR_RETURN(const LeaseKeeper::Round round, keeper_.Run());
  look_again_ = round.again;
  finished_ = round.finished;
  if (!tail_) {
    tail_.emplace(store_, host_, round.consumer.table, round.stream.keys, options_.limits);
  }
  FollowLeases();
  return Status::Ok();
}

// A cursor for each lease that is held; one that was lost and taken again begins anew.
void Worker::FollowLeases() {
  const auto& held = keeper_.held();
  std::erase_if(cursors_, [&](const auto& cursor) {
    const auto lease = held.find(cursor.first);
    return lease == held.end() || lease->second.counter != cursor.second.counter;
  });
  for (const auto& [shard, lease] : held) {
    const auto [cursor, is_new] = cursors_.try_emplace(shard);
    if (!is_new) continue;
    cursor->second.counter = lease.counter;
    cursor->second.at = {lease.position, lease.unseen};
  }
}

Status Worker::KeepLeases() noexcept {
  TAILRACE_RETURN_IF_ERROR(host_.MayCall());  // It may be too early for anything else.
  if (!look_again_ && host_.clock().BootMs() < keeper_.next_round_ms()) return Status::Ok();
  return RunRound();
}

Result<std::optional<ConsumerBatch>> Worker::Next(uint64_t timeout_ms) noexcept {
  const auto deadline = std::chrono::steady_clock::now() +
                        std::chrono::milliseconds(std::min(timeout_ms, kTimeoutMsMax));
  while (true) {
    TAILRACE_RETURN_IF_ERROR(KeepLeases());
    TAILRACE_ASSIGN_OR_RETURN(auto batch, ReadSome());
    if (batch || finished_) return batch;
    TAILRACE_ASSIGN_OR_RETURN(const bool more, WaitForMore(deadline));
    if (!more) return std::optional<ConsumerBatch>();
  }
}

// The next page of any shard that has something, the one after the last read first.
Result<std::optional<ConsumerBatch>> Worker::ReadSome() {
  std::vector<ShardId> order;
  for (const auto& [shard, cursor] : cursors_) order.push_back(shard);
  std::rotate(order.begin(), std::upper_bound(order.begin(), order.end(), last_read_), order.end());
  const uint64_t now_ms = host_.clock().BootMs();
  for (const ShardId shard : order) {
    Cursor& cursor = cursors_.at(shard);
    if (cursor.ended || now_ms < cursor.retry_at_ms) continue;
    TAILRACE_ASSIGN_OR_RETURN(auto page, tail_->Read(cursor.at));
    if (!page) continue;
    last_read_ = shard;
    cursor.at = std::move(page->next);
    cursor.ended = page->end_of_shard;
    ++cursor.handed_out;
    return std::optional<ConsumerBatch>({.shard = shard,
                                         .taken = cursor.handed_out == 1,
                                         .gap = page->gap,
                                         .items = std::move(page->items),
                                         .records = std::move(page->records),
                                         .end_of_shard = page->end_of_shard,
                                         .mark = {.lease_counter = cursor.counter,
                                                  .number = cursor.handed_out,
                                                  .next = cursor.at.next,
                                                  .unseen = cursor.at.unseen}});
  }
  return std::optional<ConsumerBatch>();
}

// Until there may be something to read or to do; false: the deadline came first.
Result<bool> Worker::WaitForMore(std::chrono::steady_clock::time_point deadline) {
  const uint64_t now_ms = host_.clock().BootMs();
  uint64_t due_ms = keeper_.next_round_ms();
  std::vector<Position> waiting;
  for (const auto& [shard, cursor] : cursors_) {
    if (cursor.ended) continue;
    if (now_ms < cursor.retry_at_ms) {
      due_ms = std::min(due_ms, cursor.retry_at_ms);
    } else {
      waiting.push_back(cursor.at.next);
    }
  }
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      deadline - std::chrono::steady_clock::now());
  if (left.count() <= 0) return false;
  if (look_again_) return true;
  const uint64_t until_due_ms = due_ms > now_ms ? due_ms - now_ms : 0;
  TAILRACE_RETURN_IF_ERROR(
      store_.WaitShards(waiting, std::min(static_cast<uint64_t>(left.count()), until_due_ms))
          .status());
  return true;
}

// The lease that the batch was read under; null if it was lost. kInvalidArgument: see Checkpoint.
Result<const LeaseRecord*> Worker::HeldFor(const ConsumerBatch& batch) const {
  TAILRACE_RETURN_IF_ERROR(host_.MayCall());  // A lease that was lost needs no call.
  const LeaseRecord* const nothing = nullptr;
  const auto held = keeper_.held().find(batch.shard);
  const auto cursor = cursors_.find(batch.shard);
  if (held == keeper_.held().end() || cursor == cursors_.end() ||
      held->second.counter != batch.mark.lease_counter) {
    return nothing;
  }
  if (batch.mark.number <= cursor->second.outdated_to) {
    return InvalidArgument("the batch is out of date: it, or a later one of shard " +
                           std::to_string(batch.shard.value) +
                           ", was checkpointed or failed already");
  }
  return &held->second;
}

// The lease with the checkpoint behind the batch. It is given free with the shard's end.
LeaseRecord Worker::Behind(const LeaseRecord& held, const ConsumerBatch& batch) const {
  LeaseRecord next = held;
  next.position = batch.mark.next;
  next.unseen = batch.mark.unseen;
  next.done = batch.end_of_shard;
  if (next.done) next.owner.clear();
  next.blocked_since_ms = 0;
  next.blocked_why.clear();
  return next;
}

void Worker::Stored(const ConsumerBatch& batch, const LeaseRecord& next) {
  cursors_.at(batch.shard).outdated_to = batch.mark.number;
  keeper_.Changed(next);
  if (!next.done) return;
  cursors_.erase(batch.shard);
  look_again_ = true;  // Its children can be read.
}

void Worker::Lost(ShardId shard) {
  keeper_.Lost(shard);
  cursors_.erase(shard);
}

Result<CheckpointOutcome> Worker::Checkpoint(const ConsumerBatch& batch) noexcept {
  TAILRACE_ASSIGN_OR_RETURN(const CheckpointResult result, CheckpointWith(batch, {}));
  return result.outcome;
}

Result<CheckpointResult> Worker::CheckpointWith(const ConsumerBatch& batch,
                                                std::vector<WriteRequest> writes) noexcept {
  TAILRACE_ASSIGN_OR_RETURN(const LeaseRecord* const held, HeldFor(batch));
  if (held == nullptr) return CheckpointResult{.outcome = CheckpointOutcome::kLeaseLost};
  const LeaseRecord next = Behind(*held, batch);
  // Last, so that the caller's writes keep their numbers in messages.
  writes.push_back(keeper_.Change(*held, next));
  if (TAILRACE_MUTANT("checkpoint-before-effect")) (void)store_.Transact({writes.back()}).ok();
  TAILRACE_ASSIGN_OR_RETURN(TransactResult done, store_.Transact(writes));
  if (done.items.back().outcome == WriteOutcome::kRejected) {
    Lost(batch.shard);
    return CheckpointResult{.outcome = CheckpointOutcome::kLeaseLost};
  }
  done.items.pop_back();
  CheckpointResult result{.outcome = CheckpointOutcome::kStored, .writes = std::move(done.items)};
  if (done.outcome == WriteOutcome::kRejected) {
    result.outcome = CheckpointOutcome::kRejected;
  } else {
    Stored(batch, next);
  }
  return result;
}

Result<CheckpointOutcome> Worker::Fail(const ConsumerBatch& batch,
                                       const std::string& why) noexcept {
  TAILRACE_ASSIGN_OR_RETURN(const LeaseRecord* const held, HeldFor(batch));
  if (held == nullptr) return CheckpointOutcome::kLeaseLost;
  LeaseRecord next = *held;
  next.blocked_why = IsUtf8(why) ? why.substr(0, kWhyBytesMax) : "(the reason is not UTF-8)";
  while (!IsUtf8(next.blocked_why)) next.blocked_why.pop_back();
  if (next.blocked_since_ms == 0) next.blocked_since_ms = host_.clock().WallMs();
  const WriteRequest write = keeper_.Change(*held, next);
  TAILRACE_ASSIGN_OR_RETURN(const WriteResult written,
                            store_.Put(write.table, write.item, {.condition = write.condition}));
  if (written.outcome == WriteOutcome::kRejected) {
    Lost(batch.shard);
    return CheckpointOutcome::kLeaseLost;
  }
  keeper_.Changed(next);
  Cursor& cursor = cursors_.at(batch.shard);
  cursor.at = {next.position, next.unseen};
  cursor.ended = false;
  cursor.outdated_to = cursor.handed_out;
  cursor.retry_at_ms = host_.clock().BootMs() + options_.retry_ms;
  return CheckpointOutcome::kStored;
}

Status Worker::Release() noexcept {
  TAILRACE_RETURN_IF_ERROR(host_.MayCall());
  cursors_.clear();
  look_again_ = true;
  return keeper_.Release();
}

std::vector<ShardId> Worker::leases() const noexcept {
  std::vector<ShardId> shards;
  for (const auto& [shard, lease] : keeper_.held()) shards.push_back(shard);
  return shards;
}

Status CheckName(const std::string& name, const std::string& whose) {
  if (!name.empty() && name.size() <= ConsumerWorker::kNameBytesMax && IsUtf8(name)) {
    return Status::Ok();
  }
  return InvalidArgument("a " + whose + "'s name has 1 to " +
                         std::to_string(ConsumerWorker::kNameBytesMax) + " bytes of UTF-8");
}

// Makes the consumer unless it is there.
Status Make(Store& store, const ConsumerHost& host, const std::string& name,
            const StreamInfo& stream, const ConsumerOptions& options) {
  ConsumerRecord consumer{.name = name,
                          .stream = stream.id,
                          .table = stream.table,
                          .table_name = stream.table_name,
                          .start = options.start,
                          .wall_ms = options.wall_ms,
                          .begin = std::nullopt,
                          .bootstrapping = options.start == ConsumerStart::kBootstrap,
                          .pin_bytes_max = options.pin_bytes_max.value_or(0),
                          .created_ms = host.clock().WallMs(),
                          .version = 0};
  if (consumer.bootstrapping && !stream.enabled) {
    return FailedPrecondition("stream " + std::to_string(stream.id.value) +
                              " is disabled: it does not tell what the table becomes");
  }
  if (consumer.bootstrapping || options.start == ConsumerStart::kLatest) {
    consumer.begin = SequenceNumber{host.fanned_out().value};
  }
  const Condition absent = [](const Item* item) { return item == nullptr; };
  return store.Put(kConsumerTable, ToItem(consumer), {.condition = absent}).status();
}

// A consumer that came along with a backup or a salvage has perhaps seen what this store never had.
Status CheckOrigin(Store& store, const ConsumerState& state) {
  TAILRACE_ASSIGN_OR_RETURN(const StoreStats stats, store.Stats());
  for (const auto& [shard, lease] : state.leases) {
    if (lease.position.store == stats.store_id) continue;
    return InvalidArgument("consumer '" + state.consumer.name +
                           "' has its checkpoints from the store that this one was made of, and "
                           "may have seen what this store never had; forget it, and begin anew");
  }
  return Status::Ok();
}

Status SetPin(Store& store, const ConsumerRecord& consumer, uint64_t pin_bytes_max) {
  const Updater set = [&](std::optional<Item>& item) -> Status {
    if (!item) return NotFound("consumer '" + consumer.name + "' was forgotten");
    TAILRACE_ASSIGN_OR_RETURN(const ConsumerPart part, ConsumerPartOf(*item));
    ConsumerRecord next = std::get<ConsumerRecord>(part);
    next.pin_bytes_max = pin_bytes_max;
    ++next.version;
    item = ToItem(next);
    return Status::Ok();
  };
  return store.Update(kConsumerTable, ConsumerKey(consumer.name), set).status();
}

}  // namespace
}  // namespace engine

Result<std::unique_ptr<ConsumerWorker>> ConsumerWorker::Open(
    Store& store, const std::string& consumer, StreamId stream, const std::string& worker,
    const ConsumerOptions& options) noexcept {
  using namespace engine;  // NOLINT: this is its public face.
  TAILRACE_RETURN_IF_ERROR(CheckName(consumer, "consumer"));
  TAILRACE_RETURN_IF_ERROR(CheckName(worker, "worker"));
  if (options.lease_ms == 0) return InvalidArgument("lease_ms must not be 0");
  TAILRACE_ASSIGN_OR_RETURN(ConsumerHost* const host, ConsumerHost::Of(store));
  TAILRACE_ASSIGN_OR_RETURN(const StreamInfo info, store.DescribeStream(stream));
  TAILRACE_RETURN_IF_ERROR(host->EnsureSystemTable(kConsumerTable, ConsumerTableKeys()));
  auto state = ReadConsumer(store, consumer);
  if (state.status().code() == StatusCode::kNotFound) {
    TAILRACE_RETURN_IF_ERROR(Make(store, *host, consumer, info, options));
    state = ReadConsumer(store, consumer);
  }
  TAILRACE_RETURN_IF_ERROR(state.status());
  const ConsumerRecord& record = state->consumer;
  if (record.stream != stream) {
    return InvalidArgument("consumer '" + consumer + "' reads stream " +
                           std::to_string(record.stream.value) + "; read stream " +
                           std::to_string(stream.value) +
                           " under another name, or forget that one");
  }
  TAILRACE_RETURN_IF_ERROR(CheckOrigin(store, *state));
  if (options.pin_bytes_max && *options.pin_bytes_max != record.pin_bytes_max) {
    TAILRACE_RETURN_IF_ERROR(SetPin(store, record, *options.pin_bytes_max));
  }
  auto joined = std::make_unique<Worker>(store, *host, consumer, worker, options);
  TAILRACE_RETURN_IF_ERROR(joined->KeepLeases());
  return std::unique_ptr<ConsumerWorker>(std::move(joined));
}

}  // namespace tailrace
