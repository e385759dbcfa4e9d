// The writers of the process under test: every kind of write, and reads beside them, all of them
// contending for the same few keys.
#include <optional>

#include "tests/crash/kill_world.h"

namespace tailrace::test {
namespace {

constexpr size_t kQueuedMax = 8;

class Writer {
 public:
  Writer(World& world, uint8_t thread)
      : world_(world), thread_(thread), random_(MixSeed(world.plan.seed, 100 + thread)) {}

  void Run() {
    while (!world_.stopping.load()) {
      Step();
      world_.Progress();
    }
    AwaitQueued();
  }

 private:
  // What a step writes to.
  struct Target {
    uint32_t table = 0;
    uint32_t key = 0;
    const KeySpace& space;
  };

  void Step();
  Operation PickOperation();
  std::optional<ItemState> Read(const Target& target);
  void ReadPartition(const Target& target);
  void Write(const Target& target, Operation operation, const ItemState& wanted, WaitFor wait);
  Result<WriteResult> Call(const Target& target, Operation operation, uint64_t write,
                           const ItemState& wanted, const WriteOptions& options);
  void AwaitQueued();
  void TellEnd(const Target& target, Event event, const Result<WriteResult>& result);
  Event Begin(EventKind kind, const Target& target) const {
    Event event{.kind = kind, .thread = thread_, .table = target.table, .key = target.key};
    event.true_ms = world_.TrueMs();
    return event;
  }

  World& world_;
  const uint8_t thread_;
  Random random_;
  uint64_t writes_ = 0;
  std::vector<CommitToken> queued_;
};

void Writer::Step() {
  const auto table = static_cast<uint32_t>(random_.Below(kTableNames));
  if (world_.closed[table].load()) return;
  const uint64_t keys = random_.OneIn(4) ? 3 : kKeysPerTable;  // A few are hot.
  const Target target{table, static_cast<uint32_t>(random_.Below(keys)), KeySpace::Of(table)};
  const ReaderLock fence(world_.fences[table]);
  switch (random_.Below(12)) {
    case 0:
      (void)Read(target);
      return;
    case 1:
      return ReadPartition(target);
    case 2: {
      const auto state = Read(target);
      if (!state || !state->present()) return;
      return Write(target, Operation::kPutState, *state, WaitFor::kSafe);
    }
    case 3:
    case 4:
      return Write(target, Operation::kPut, {}, WaitFor::kNothing);
    default:
      return Write(target, PickOperation(), {}, WaitFor::kSafe);
  }
}

Operation Writer::PickOperation() {
  constexpr Operation kOften[] = {Operation::kPut, Operation::kUpdate, Operation::kUpdate,
                                  Operation::kDelete};
  constexpr Operation kSeldom[] = {Operation::kPutIfAbsent,     Operation::kPutIfPresent,
                                   Operation::kPutIfCountEven,  Operation::kUpdateToNothing,
                                   Operation::kUpdateUnchanged, Operation::kUpdateFailing,
                                   Operation::kDelete,          Operation::kDeleteIfCountEven};
  if (random_.OneIn(3)) return kSeldom[random_.Below(std::size(kSeldom))];
  return kOften[random_.Below(std::size(kOften))];
}

std::optional<ItemState> Writer::Read(const Target& target) {
  Event event = Begin(EventKind::kReadBegin, target);
  world_.teller.Tell(event);
  const auto item = world_.store->Get(target.space.name(), target.space.Key(target.key));
  event.kind = EventKind::kReadEnd;
  event.code = item.status().code();
  if (item.ok()) {
    event.new_state = StateOf(world_, target.table, target.key, *item ? &**item : nullptr);
  }
  world_.teller.Tell(event);
  if (!item.ok()) return std::nullopt;
  return event.new_state;
}

void Writer::ReadPartition(const Target& target) {
  const KeySchema& schema = target.space.schema();
  Event event = Begin(EventKind::kReadBegin, target);
  world_.teller.Tell(event);
  const QueryRequest request{.partition = *target.space.Key(target.key).Get(schema.partition.name),
                             .forward = random_.OneIn(2)};
  const auto page = world_.store->Query(target.space.name(), request);
  event.kind = EventKind::kReadEnd;
  event.code = page.status().code();
  if (page.ok()) {
    for (const Item& item : page->items) {
      if (target.space.Find(KeyOfItem(schema, item)) != target.key) continue;
      event.new_state = StateOf(world_, target.table, target.key, &item);
    }
  }
  world_.teller.Tell(event);
}

Result<WriteResult> Writer::Call(const Target& target, Operation operation, uint64_t write,
                                 const ItemState& wanted, const WriteOptions& options) {
  Store& store = *world_.store;
  const std::string& name = target.space.name();
  const Item& key = target.space.Key(target.key);
  switch (operation) {
    case Operation::kDelete:
    case Operation::kDeleteIfCountEven:
      return store.Delete(name, key, options);
    case Operation::kUpdate:
    case Operation::kUpdateToNothing:
    case Operation::kUpdateUnchanged:
    case Operation::kUpdateFailing:
      return store.Update(
          name, key,
          [&](std::optional<Item>& item) -> Status {
            const ItemState old =
                StateOf(world_, target.table, target.key, item ? &*item : nullptr);
            if (operation == Operation::kUpdateFailing) return Busy("the updater's own failure");
            const ItemState made = ResultOf(operation, old, write, wanted);
            item.reset();
            if (made.present()) item = target.space.MakeItem(target.key, made);
            return Status::Ok();
          },
          options);
    default:
      return store.Put(
          name, target.space.MakeItem(target.key, ResultOf(operation, {}, write, wanted)), options);
  }
}

void Writer::Write(const Target& target, Operation operation, const ItemState& wanted,
                   WaitFor wait) {
  Event event = Begin(EventKind::kWriteBegin, target);
  event.operation = operation;
  event.write = (uint64_t{world_.plan.run} << 32) | (uint64_t{thread_} << 24) | ++writes_;
  event.new_state = wanted;
  event.has_old_image = wait == WaitFor::kSafe;  // Both images are asked for.
  world_.teller.Tell(event);

  WriteOptions options;
  options.wait = wait;
  // Whoever asks for an item waits for it.
  options.return_items = wait == WaitFor::kSafe ? ReturnItems::kBoth : ReturnItems::kNone;
  if (operation == Operation::kPutIfAbsent || operation == Operation::kPutIfPresent ||
      operation == Operation::kPutIfCountEven || operation == Operation::kDeleteIfCountEven) {
    options.condition = [&](const Item* existing) {
      return ConditionHolds(operation, StateOf(world_, target.table, target.key, existing));
    };
  }
  const auto result = Call(target, operation, event.write, wanted, options);
  event.true_ms = world_.TrueMs();
  if (wait == WaitFor::kNothing && result.ok() && result->outcome == WriteOutcome::kApplied) {
    event.kind = EventKind::kWriteQueued;
    event.sequence = result->sequence.value;
    world_.teller.Tell(event);
    queued_.push_back(result->token);
    if (queued_.size() >= kQueuedMax || random_.OneIn(4)) AwaitQueued();
    return;
  }
  TellEnd(target, event, result);
}

void Writer::TellEnd(const Target& target, Event event, const Result<WriteResult>& result) {
  event.kind = EventKind::kWriteEnd;
  event.code = result.status().code();
  event.new_state = {};
  if (result.ok()) {
    event.outcome = static_cast<uint8_t>(result->outcome);
    event.sequence = result->sequence.value;
    event.old_state =
        StateOf(world_, target.table, target.key, result->old_item ? &*result->old_item : nullptr);
    event.new_state =
        StateOf(world_, target.table, target.key, result->new_item ? &*result->new_item : nullptr);
  } else {
    SetText(event, result.status().message());
  }
  world_.teller.Tell(event);
}

// Tokens rise, and what is safe is a prefix: the last one stands for all.
void Writer::AwaitQueued() {
  if (queued_.empty()) return;
  const Status safe = world_.store->Wait(queued_.back());
  if (!safe.ok()) return world_.teller.Fail("waiting for a token", safe);
  world_.teller.Tell({.kind = EventKind::kWaitEnd, .thread = thread_, .true_ms = world_.TrueMs()});
  queued_.clear();
}

}  // namespace

void RunWriter(World& world, uint8_t thread) { Writer(world, thread).Run(); }

}  // namespace tailrace::test
