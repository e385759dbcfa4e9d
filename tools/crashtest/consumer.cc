// The consumer in the process under test: a worker whose every checkpoint is one transaction with
// an effect, an item that says how far the shard was handled. So after any death the records come
// from right behind what the effect says: each has had its effect once.
#include "engine/consumer.h"

#include <map>
#include <optional>

#include "tools/crashtest/world.h"

namespace tailrace::crashtest {
namespace {

constexpr uint64_t kWaitMs = 4;
constexpr char kStream[] = "stream";
constexpr char kShard[] = "shard";
constexpr char kOrdinal[] = "ordinal";
constexpr char kGap[] = "gap";

class Consumer {
 public:
  explicit Consumer(World& world) : world_(world), random_(MixSeed(world.plan.seed, 80)) {}

  void Run() {
    const auto made = world_.store->CreateTable(
        {.name = kEffectTable,
         .keys = {{kStream, ScalarType::kN}, KeyAttribute{kShard, ScalarType::kN}}});
    if (!made.ok() && made.status().code() != StatusCode::kAlreadyExists) {
      return world_.teller.Fail("making the table of effects", made.status());
    }
    while (!world_.stopping.load()) {
      const auto streams = world_.store->ListStreams();
      if (!streams.ok()) return world_.teller.Fail("listing streams", streams.status());
      if (!streams->empty()) Visit((*streams)[random_.Below(streams->size())].id);
      world_.WaitForProgress(random_.Below(20));
    }
  }

 private:
  // How far a shard was handled.
  struct Handled {
    uint64_t ordinal = 0;  // Of the last record; 0: none yet.
    bool gap = false;      // The next one may be any later one.
  };

  Item KeyOf(StreamId stream, ShardId shard) const {
    return {{kStream, Value::N(stream.value)}, {kShard, Value::N(shard.value)}};
  }

  // False when the failure is nobody's fault: a stream may expire while it is read.
  bool Failed(std::string_view what, const Status& status) {
    if (status.code() == StatusCode::kNotFound) return false;
    world_.teller.Fail(what, status);
    return true;
  }

  void Visit(StreamId stream) {
    // A new name has to wait until the old worker is seen to be silent.
    const std::string name =
        random_.OneIn(6) ? "worker of life " + std::to_string(world_.plan.run) : "worker";
    auto worker = ConsumerWorker::Open(*world_.store, "consumer of " + std::to_string(stream.value),
                                       stream, name, {.retry_ms = 0});
    if (!worker.ok()) return (void)Failed("a consumer's worker", worker.status());
    handled_.clear();
    for (uint64_t batches = random_.Between(1, 30); batches > 0; --batches) {
      if (world_.stopping.load() || !Handle(stream, **worker)) break;
    }
    if (!random_.OneIn(2)) return;
    const Status released = (*worker)->Release();
    if (!released.ok()) (void)Failed("releasing leases", released);
  }

  // False when there is no point in going on.
  bool Handle(StreamId stream, ConsumerWorker& worker) {
    const auto next = worker.Next(kWaitMs);
    if (!next.ok()) return (void)Failed("a consumer's batch", next.status()), false;
    if (!*next) return !worker.finished();
    const ConsumerBatch& batch = **next;
    if (batch.taken || !handled_.contains(batch.shard)) {
      if (!Recall(stream, batch.shard)) return false;
    }
    Handled& handled = handled_[batch.shard];
    Check(batch, handled);
    if (random_.OneIn(8)) {
      // The shard goes back to its last checkpoint.
      handled_.erase(batch.shard);
      const auto failed = worker.Fail(batch, "it was drawn");
      return failed.ok() || (Failed("failing a batch", failed.status()), false);
    }
    return Keep(stream, worker, batch, handled);
  }

  // What the effect says.
  bool Recall(StreamId stream, ShardId shard) {
    const auto item = world_.store->Get(kEffectTable, KeyOf(stream, shard));
    if (!item.ok()) return world_.teller.Fail("reading an effect", item.status()), false;
    Handled& handled = handled_[shard] = {};
    if (*item) {
      handled.ordinal = static_cast<uint64_t>((*item)->GetNumber(kOrdinal)->ToInt64().value_or(0));
      const bool* const gap = (*item)->GetBool(kGap);
      handled.gap = gap != nullptr && *gap;
    }
    Tell(EventKind::kEffectFound, stream, shard, handled.ordinal);
    return true;
  }

  void Check(const ConsumerBatch& batch, Handled& handled) {
    if (batch.gap) handled.gap = true;
    if (batch.gap && batch.gap->kind == Gap::Kind::kLost) {
      world_.teller.Fail("a consumer was told that records were lost");
    }
    for (const ChangeRecord& record : batch.records) {
      const bool free = handled.gap || handled.ordinal == 0;
      if (free ? record.ordinal <= handled.ordinal : record.ordinal != handled.ordinal + 1) {
        world_.teller.Fail("shard " + std::to_string(batch.shard.value) +
                           ": a consumer was given ordinal " + std::to_string(record.ordinal) +
                           " after " + std::to_string(handled.ordinal));
      }
      handled = {record.ordinal, false};
    }
  }

  bool Keep(StreamId stream, ConsumerWorker& worker, const ConsumerBatch& batch,
            const Handled& handled) {
    Item effect = KeyOf(stream, batch.shard);
    effect.Set(kOrdinal, Value::N(handled.ordinal));
    effect.Set(kGap, Value::Bool(handled.gap));
    const auto kept = worker.CheckpointWith(batch, {WriteRequest::Put(kEffectTable, effect)});
    if (!kept.ok()) return (void)Failed("a consumer's checkpoint", kept.status()), false;
    if (kept->outcome == CheckpointOutcome::kStored) {
      const WriteResult& written = kept->writes.front();
      Tell(EventKind::kEffect, stream, batch.shard, handled.ordinal, written.sequence.value);
    }
    return kept->outcome == CheckpointOutcome::kStored;
  }

  void Tell(EventKind kind, StreamId stream, ShardId shard, uint64_t ordinal,
            uint64_t sequence = 0) const {
    Event event{.kind = kind, .true_ms = world_.TrueMs()};
    event.sequence = sequence;
    event.stream = stream.value;
    event.shard = shard.value;
    event.ordinal = ordinal;
    world_.teller.Tell(event);
  }

  World& world_;
  Random random_;
  std::map<ShardId, Handled> handled_;
};

}  // namespace

void RunConsumer(World& world) { Consumer(world).Run(); }

}  // namespace tailrace::crashtest
