// The writers of the process under test: every kind of write, and reads beside them, all of them
// contending for the same few keys.
#include <algorithm>
#include <deque>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "tools/crashtest/world.h"

namespace tailrace::crashtest {
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
  // Several writes of a transaction, and how they are told.
  struct Several {
    bool with_token = false;
    std::vector<Target> targets = {};
    std::vector<Event> events = {};
    std::vector<WriteRequest> requests = {};
    TransactOptions options = {};
  };

  uint64_t NextWrite() {
    return (uint64_t{world_.plan.run} << 32) | (uint64_t{thread_} << 24) | ++writes_;
  }
  std::vector<Target> DrawTargets();
  void Transact();
  void AddToTransaction(Several& several, const Target& target);
  void TellTransaction(Several& several, const Result<TransactResult>& result);
  void SendAgain(const Several& several, const TransactResult& first);
  void ReadTogether();
  Condition ConditionOf(const Target& target, Operation operation) const;
  Updater UpdaterOf(const Target& target, Operation operation, uint64_t write,
                    const ItemState& wanted) const;
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
  if (random_.OneIn(5)) return random_.OneIn(4) ? ReadTogether() : Transact();
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

Condition Writer::ConditionOf(const Target& target, Operation operation) const {
  return [this, target, operation](const Item* existing) {
    return ConditionHolds(operation, StateOf(world_, target.table, target.key, existing));
  };
}

Updater Writer::UpdaterOf(const Target& target, Operation operation, uint64_t write,
                          const ItemState& wanted) const {
  return [this, target, operation, write, wanted](std::optional<Item>& item) -> Status {
    const ItemState old = StateOf(world_, target.table, target.key, item ? &*item : nullptr);
    if (operation == Operation::kUpdateFailing) return Busy("the updater's own failure");
    const ItemState made = ResultOf(operation, old, write, wanted);
    item.reset();
    if (made.present()) item = target.space.MakeItem(target.key, made);
    return Status::Ok();
  };
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
      return store.Update(name, key, UpdaterOf(target, operation, write, wanted), options);
    default:
      return store.Put(
          name, target.space.MakeItem(target.key, ResultOf(operation, {}, write, wanted)), options);
  }
}

void Writer::Write(const Target& target, Operation operation, const ItemState& wanted,
                   WaitFor wait) {
  Event event = Begin(EventKind::kWriteBegin, target);
  event.operation = operation;
  event.write = NextWrite();
  event.new_state = wanted;
  event.has_old_image = wait == WaitFor::kSafe;  // Both images are asked for.
  world_.teller.Tell(event);

  WriteOptions options;
  options.wait = wait;
  // Whoever asks for an item waits for it.
  options.return_items = wait == WaitFor::kSafe ? ReturnItems::kBoth : ReturnItems::kNone;
  if (operation == Operation::kPutIfAbsent || operation == Operation::kPutIfPresent ||
      operation == Operation::kPutIfCountEven || operation == Operation::kDeleteIfCountEven) {
    options.condition = ConditionOf(target, operation);
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

// Keys that differ, of tables that nobody makes or drops just now.
std::vector<Writer::Target> Writer::DrawTargets() {
  std::vector<Target> targets;
  const auto keys = static_cast<uint32_t>(random_.OneIn(3) ? 3 : kKeysPerTable);
  for (uint64_t n = random_.Between(2, 6); n > 0; --n) {
    const auto table = static_cast<uint32_t>(random_.Below(kTableNames));
    const auto key = static_cast<uint32_t>(random_.Below(keys));
    const bool drawn = std::any_of(targets.begin(), targets.end(), [&](const Target& target) {
      return target.table == table && target.key == key;
    });
    // Not every name has a table all the time; a transaction fails for one that has none.
    if (drawn || world_.closed[table].load()) continue;
    targets.push_back({table, key, KeySpace::Of(table)});
  }
  return targets;
}

void Writer::AddToTransaction(Several& several, const Target& target) {
  constexpr Operation kOperations[] = {Operation::kPut,           Operation::kPut,
                                       Operation::kUpdate,        Operation::kUpdate,
                                       Operation::kUpdate,        Operation::kDelete,
                                       Operation::kPutIfPresent,  Operation::kDeleteIfCountEven,
                                       Operation::kCheckCountEven};
  // Most transactions have no condition, so that most happen.
  const size_t choices = random_.OneIn(8) ? std::size(kOperations) : 6;
  const Operation operation = kOperations[random_.Below(choices)];
  Event event = Begin(EventKind::kWriteBegin, target);
  event.operation = operation;
  event.write = NextWrite();
  event.transaction = several.events.empty() ? event.write : several.events[0].write;
  event.with_token = several.with_token;
  event.has_old_image = true;

  WriteRequest request;
  request.table = target.space.name();
  request.item = target.space.Key(target.key);
  request.return_items = ReturnItems::kBoth;
  if (choices != 6) request.condition = ConditionOf(target, operation);
  if (operation == Operation::kUpdate) {
    request.kind = WriteRequest::Kind::kUpdate;
    request.updater = UpdaterOf(target, operation, event.write, {});
  } else if (operation == Operation::kCheckCountEven) {
    request.kind = WriteRequest::Kind::kCheck;
  } else if (operation == Operation::kDelete || operation == Operation::kDeleteIfCountEven) {
    request.kind = WriteRequest::Kind::kDelete;
  } else {
    request.item = target.space.MakeItem(target.key, ResultOf(operation, {}, event.write, {}));
  }
  several.targets.push_back(target);
  several.events.push_back(event);
  several.requests.push_back(std::move(request));
}

void Writer::Transact() {
  const std::vector<Target> targets = DrawTargets();
  if (targets.empty()) return;
  std::set<uint32_t> tables;
  for (const Target& target : targets) tables.insert(target.table);
  std::deque<ReaderLock> fences;
  for (const uint32_t table : tables) fences.emplace_back(world_.fences[table]);

  Several several{.with_token = random_.OneIn(2)};
  for (const Target& target : targets) AddToTransaction(several, target);
  if (several.with_token) {
    several.options.idempotency_token = std::to_string(several.events[0].write);
  }
  // Sent again, it must still be remembered: no time may pass.
  const bool again = several.with_token && random_.OneIn(3);
  if (again) fences.emplace_back(world_.clock_fence);
  world_.teller.TellAll(several.events);
  const auto result = world_.store->Transact(several.requests, several.options);
  TellTransaction(several, result);
  if (again && result.ok() && result->outcome != WriteOutcome::kRejected) {
    SendAgain(several, *result);
  }
}

void Writer::TellTransaction(Several& several, const Result<TransactResult>& result) {
  for (size_t i = 0; i < several.events.size(); ++i) {
    Event& event = several.events[i];
    event.kind = EventKind::kWriteEnd;
    event.code = result.status().code();
    event.true_ms = world_.TrueMs();
    if (!result.ok()) {
      SetText(event, result.status().message());
      continue;
    }
    const Target& target = several.targets[i];
    const WriteResult& item = result->items[i];
    event.rejected = result->outcome == WriteOutcome::kRejected;
    event.outcome = static_cast<uint8_t>(item.outcome);
    event.sequence = item.sequence.value;
    event.first = result->token.end.value;
    event.second = result->commit.value;
    event.last = static_cast<uint64_t>(std::count_if(
        result->items.begin(), result->items.end(),
        [](const WriteResult& each) { return each.outcome == WriteOutcome::kApplied; }));
    event.old_state =
        StateOf(world_, target.table, target.key, item.old_item ? &*item.old_item : nullptr);
    event.new_state =
        StateOf(world_, target.table, target.key, item.new_item ? &*item.new_item : nullptr);
  }
  world_.teller.TellAll(several.events);
}

// The same once more changes nothing, and says what it said the first time.
void Writer::SendAgain(const Several& several, const TransactResult& first) {
  const auto again = world_.store->Transact(several.requests, several.options);
  if (again.status().code() == StatusCode::kNotFound) return;  // A table was dropped.
  if (!again.ok()) return world_.teller.Fail("a transaction sent again", again.status());
  if (!again->repeated) return world_.teller.Fail("a transaction was not remembered");
  if (again->outcome != first.outcome || again->commit != first.commit) {
    world_.teller.Fail("a transaction sent again has another outcome");
  }
}

void Writer::ReadTogether() {
  std::vector<ItemKey> keys;
  std::vector<Event> events;
  const std::vector<Target> targets = DrawTargets();
  for (const Target& target : targets) {
    keys.push_back({target.space.name(), target.space.Key(target.key)});
    events.push_back(Begin(EventKind::kReadBegin, target));
  }
  if (keys.empty()) return;
  world_.teller.TellAll(events);
  const auto items = world_.store->TransactGet(keys);
  for (size_t i = 0; i < events.size(); ++i) {
    events[i].kind = EventKind::kReadEnd;
    events[i].code = items.status().code();
    if (!items.ok()) continue;
    const auto& item = (*items)[i];
    events[i].new_state =
        StateOf(world_, targets[i].table, targets[i].key, item ? &*item : nullptr);
  }
  world_.teller.TellAll(events);
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

}  // namespace tailrace::crashtest
