#include "tests/history/traffic_writer.h"

#include <algorithm>
#include <chrono>

#include "tests/support/expect_ok.h"

namespace tailrace::test {
namespace {

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Outcome OutcomeOf(WriteOutcome outcome) {
  switch (outcome) {
    case WriteOutcome::kApplied:
      return Outcome::kApplied;
    case WriteOutcome::kUnchanged:
      return Outcome::kUnchanged;
    case WriteOutcome::kRejected:
      return Outcome::kRejected;
  }
  return Outcome::kRejected;
}

// Notes what was shown; it must be the same each time.
void See(Access& access, Content content) {
  EXPECT_EQ(access.seen.value_or(content), content) << "one call was shown two items";
  access.seen = content;
}

ItemKey FullKey(uint32_t key) { return {TableOfKey(key), ItemKeyOf(key)}; }

}  // namespace

void TrafficWriter::Run(uint64_t calls) {
  for (uint64_t i = 0; i < calls && !::testing::Test::HasFailure(); ++i) {
    Call();
    if (++state_.calls % 64 == 0) state_.calls.notify_all();
  }
  WaitForUnsafe();
}

void TrafficWriter::KeepUnsafe(CommitToken token, bool is_list) {
  unsafe_.push_back(
      {operations_.size() - 1, is_list ? std::optional<size_t>(lists_.size() - 1) : std::nullopt});
  unsafe_end_.end = std::max(unsafe_end_.end, token.end);
  operations_.back().safe_ns = INT64_MAX;
  if (is_list) lists_.back().responded_ns = INT64_MAX;
  if (random_.OneIn(12)) WaitForUnsafe();
}

void TrafficWriter::WaitForUnsafe() {
  if (unsafe_.empty()) return;
  ASSERT_OK(store_.Wait(unsafe_end_));
  const int64_t now_ns = NowNs();
  for (const Unsafe& each : unsafe_) {
    operations_[each.operation].safe_ns = now_ns;
    if (each.list) lists_[*each.list].responded_ns = now_ns;
  }
  unsafe_.clear();
  unsafe_end_ = {};
}

void TrafficWriter::Call() {
  const uint64_t kind = random_.Below(100);
  if (kind < 35) {
    WriteOne();
  } else if (kind < 38) {
    WriteSome();
  } else if (kind < 53) {
    TransactRegisters();
  } else if (kind < 68) {
    TransactLists();
  } else if (kind < 80) {
    Read({static_cast<uint32_t>(random_.Below(kRegisters))});
  } else if (kind < 95) {
    Read(random_.OneIn(2) ? DrawKeys(6, 0, kRegisters)
                          : DrawKeys(3, state_.FirstList(), TrafficState::kListsAtOnce));
  } else if (kind < 98) {
    ReadMany();
  } else {
    ReadPage();
  }
}

Operation TrafficWriter::Begin() const { return {.client = client_, .invoked_ns = NowNs()}; }

void TrafficWriter::End(Operation& operation) {
  operation.returned_ns = operation.safe_ns = NowNs();
}

void TrafficWriter::Keep(Operation operation) {
  for (const Access& access : operation.accesses) {
    if (access.key >= kRegisters || !access.seen) continue;
    known_[access.key] = access.sequence != 0 ? access.Result(*access.seen) : *access.seen;
  }
  operations_.push_back(std::move(operation));
}

std::vector<uint32_t> TrafficWriter::DrawKeys(uint64_t most, uint32_t first, uint32_t count) {
  std::vector<uint32_t> keys;
  for (uint64_t n = random_.Between(1, most); n > 0; --n) {
    const auto key = first + static_cast<uint32_t>(random_.Below(count));
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
  }
  return keys;
}

Guard TrafficWriter::DrawGuard(uint32_t key) {
  switch (random_.Below(6)) {
    case 0:
      return {Guard::Kind::kExists};
    case 1:
      return {Guard::Kind::kMissing};
    case 2:
      return {Guard::Kind::kIs, known_[key]};
    default:
      return {};
  }
}

Access TrafficWriter::DrawAccess(uint32_t key, bool in_transaction) {
  Access access{.key = key, .guard = DrawGuard(key)};
  const uint64_t kind = random_.Below(10);
  if (kind < 4) {
    access.action = Action::kAppend;
    access.id = NextId();
  } else if (kind < 7) {
    access.action = Action::kPut;
    access.id = random_.OneIn(3) ? random_.Between(1, 2) : NextId();  // Some come again.
  } else if (kind < 8 && in_transaction) {
    access.action = Action::kCheck;
  } else {
    access.action = Action::kDelete;
  }
  return access;
}

WriteRequest TrafficWriter::RequestOf(Access& access) {
  const std::string& table = TableOfKey(access.key);
  Condition condition = nullptr;
  if (access.guard.kind != Guard::Kind::kNone || access.action == Action::kCheck) {
    condition = [&access](const Item* item) {
      const Content content = ContentOf(item);
      access.seen = content;
      return access.guard.Holds(content);
    };
  }
  switch (access.action) {
    case Action::kPut:
      return WriteRequest::Put(table, ItemWith(access.key, access.id), condition);
    case Action::kDelete:
      return WriteRequest::Delete(table, ItemKeyOf(access.key), condition);
    case Action::kAppend:
      return WriteRequest::Update(
          table, ItemKeyOf(access.key),
          [&access](std::optional<Item>& item) {
            access.seen = ContentOf(item);
            AppendToItem(access.key, access.id, item);
            return Status::Ok();
          },
          condition);
    case Action::kRead:
    case Action::kCheck:
      break;
  }
  return WriteRequest::Check(table, ItemKeyOf(access.key), condition);
}

void TrafficWriter::TakeResult(const WriteResult& result, Operation& operation, Access& access) {
  access.sequence = result.sequence.value;
  // The store may have tried before, and have been overtaken by a change of the table: its updater
  // ran then, but not in the attempt that was rejected. Conditions run in each.
  const bool has_condition =
      access.guard.kind != Guard::Kind::kNone || access.action == Action::kCheck;
  if (operation.outcome == Outcome::kRejected && !has_condition) access.seen.reset();
  if (result.old_item) See(access, ContentOf(result.old_item));
  if (result.new_item && operation.outcome != Outcome::kRejected) {
    access.left = ContentOf(result.new_item);
  }
}

void TrafficWriter::WriteOne() {
  const auto key = static_cast<uint32_t>(random_.Below(kRegisters));
  Operation operation = Begin();
  operation.accesses.push_back(DrawAccess(key, false));
  Access& access = operation.accesses[0];
  const WriteRequest request = RequestOf(access);
  const WriteOptions options{
      .condition = request.condition,
      .return_items = static_cast<ReturnItems>(random_.Below(4)),
      .wait = random_.OneIn(4) ? WaitFor::kSafe : WaitFor::kNothing,
  };
  operation.invoked_ns = NowNs();
  const auto result = request.kind == WriteRequest::Kind::kPut
                          ? store_.Put(request.table, request.item, options)
                      : request.kind == WriteRequest::Kind::kDelete
                          ? store_.Delete(request.table, request.item, options)
                          : store_.Update(request.table, request.item, request.updater, options);
  End(operation);
  ASSERT_OK(result);
  operation.outcome = OutcomeOf(result->outcome);
  operation.commit = result->sequence.value;
  TakeResult(*result, operation, access);
  const bool wants_old =
      options.return_items == ReturnItems::kOld || options.return_items == ReturnItems::kBoth;
  if (wants_old && !result->old_item) See(access, kAbsent);
  Keep(std::move(operation));
  if (options.wait == WaitFor::kNothing) KeepUnsafe(result->token, false);
}

void TrafficWriter::WriteSome() {
  const std::vector<uint32_t> keys = DrawKeys(5, 0, kRegisters);
  std::vector<Operation> operations(keys.size(), Operation{.client = client_});
  std::vector<WriteRequest> requests;
  for (size_t i = 0; i < keys.size(); ++i) {
    operations[i].accesses.push_back(DrawAccess(keys[i], false));
    requests.push_back(RequestOf(operations[i].accesses[0]));
  }
  const int64_t invoked_ns = NowNs();
  const auto results = store_.BatchWrite(requests);
  const int64_t returned_ns = NowNs();
  ASSERT_OK(results);
  for (size_t i = 0; i < keys.size(); ++i) {
    const auto& result = (*results)[i];
    ASSERT_OK(result);
    operations[i].invoked_ns = invoked_ns;
    operations[i].returned_ns = operations[i].safe_ns = returned_ns;
    operations[i].outcome = OutcomeOf(result->outcome);
    operations[i].commit = result->sequence.value;
    TakeResult(*result, operations[i], operations[i].accesses[0]);
    Keep(std::move(operations[i]));
  }
}

void TrafficWriter::TransactRegisters() {
  Operation operation{.client = client_};
  for (const uint32_t key : DrawKeys(5, 0, kRegisters)) {
    operation.accesses.push_back(DrawAccess(key, true));
  }
  std::vector<WriteRequest> requests;
  for (Access& access : operation.accesses) {
    requests.push_back(RequestOf(access));
    requests.back().return_items = static_cast<ReturnItems>(random_.Below(4));
  }
  const TransactOptions options{.wait = random_.OneIn(4) ? WaitFor::kSafe : WaitFor::kNothing};
  operation.invoked_ns = NowNs();
  const auto result = store_.Transact(requests, options);
  End(operation);
  ASSERT_OK(result);
  operation.outcome = OutcomeOf(result->outcome);
  operation.commit = result->commit.value;
  for (size_t i = 0; i < requests.size(); ++i) {
    TakeResult(result->items[i], operation, operation.accesses[i]);
  }
  Keep(std::move(operation));
  if (options.wait == WaitFor::kNothing) KeepUnsafe(result->token, false);
}

// Appends to some lists, reads others, and sometimes is rejected.
void TrafficWriter::TransactLists() {
  Operation operation{.client = client_};
  const auto keys = DrawKeys(3, state_.FirstList(), TrafficState::kListsAtOnce);
  std::vector<std::vector<uint64_t>> seen(keys.size());
  for (const uint32_t key : keys) {
    const bool append = !random_.OneIn(3);
    operation.accesses.push_back({.key = key,
                                  .action = append ? Action::kAppend : Action::kCheck,
                                  .id = append ? NextId() : 0});
    if (random_.OneIn(20)) operation.accesses.back().guard = {Guard::Kind::kIs, 2};  // Never.
  }
  std::vector<WriteRequest> requests;
  for (size_t i = 0; i < keys.size(); ++i) {
    Access& access = operation.accesses[i];
    requests.push_back(RequestOf(access));
    requests.back().condition = [&access, &list = seen[i]](const Item* item) {
      list = ListOf(item);
      access.seen = ContentOf(item);
      return access.guard.Holds(*access.seen);
    };
  }
  const TransactOptions options{.wait = random_.OneIn(4) ? WaitFor::kSafe : WaitFor::kNothing};
  operation.invoked_ns = NowNs();
  const auto result = store_.Transact(requests, options);
  End(operation);
  ASSERT_OK(result);
  operation.outcome = OutcomeOf(result->outcome);
  operation.commit = result->commit.value;
  for (size_t i = 0; i < keys.size(); ++i) {
    TakeResult(result->items[i], operation, operation.accesses[i]);
    if (operation.accesses[i].sequence != 0) ++state_.appended;
  }
  KeepList(operation, seen);
  Keep(std::move(operation));
  if (options.wait == WaitFor::kNothing) KeepUnsafe(result->token, true);
}

void TrafficWriter::KeepList(const Operation& operation,
                             const std::vector<std::vector<uint64_t>>& seen) {
  ListTransaction transaction{.invoked_ns = operation.invoked_ns,
                              .responded_ns = operation.safe_ns,
                              .applied = operation.outcome != Outcome::kRejected};
  for (size_t i = 0; i < seen.size(); ++i) {
    const Access& access = operation.accesses[i];
    if (access.key < kRegisters) continue;
    transaction.reads.push_back({access.key, seen[i]});
    if (access.action == Action::kAppend) transaction.appends.push_back({access.key, access.id});
  }
  if (!transaction.reads.empty()) lists_.push_back(std::move(transaction));
}

void TrafficWriter::Read(const std::vector<uint32_t>& keys) {
  std::vector<ItemKey> wanted;
  for (const uint32_t key : keys) wanted.push_back(FullKey(key));
  Operation operation = Begin();
  std::vector<std::optional<Item>> items;
  if (keys.size() == 1) {
    auto item = store_.Get(wanted[0].table, wanted[0].key);
    End(operation);
    ASSERT_OK(item);
    items.push_back(std::move(*item));
  } else {
    auto found = store_.TransactGet(wanted);
    End(operation);
    ASSERT_OK(found);
    items = std::move(*found);
  }
  std::vector<std::vector<uint64_t>> seen;
  for (size_t i = 0; i < keys.size(); ++i) {
    seen.push_back(ListOf(items[i] ? &*items[i] : nullptr));
    operation.accesses.push_back({.key = keys[i], .seen = ContentOf(items[i])});
  }
  KeepList(operation, seen);
  Keep(std::move(operation));
}

// Each item as some moment has it.
void TrafficWriter::ReadMany() {
  const std::vector<uint32_t> keys = DrawKeys(8, 0, kRegisters);
  std::vector<ItemKey> wanted;
  for (const uint32_t key : keys) wanted.push_back(FullKey(key));
  Operation call = Begin();
  const auto items = store_.BatchGet(wanted);
  End(call);
  ASSERT_OK(items);
  for (size_t i = 0; i < keys.size(); ++i) {
    Operation operation = call;
    operation.accesses = {{.key = keys[i], .seen = ContentOf((*items)[i])}};
    Keep(std::move(operation));
  }
}

// A partition in one page, or the table in one: what is there, and what is not.
void TrafficWriter::ReadPage() {
  const auto table = static_cast<uint32_t>(random_.Below(kTrafficTables.size()));
  const auto partition = static_cast<uint32_t>(random_.Below(kRegisters / kKeysOfPartition));
  const bool whole = random_.OneIn(8);
  Operation call = Begin();
  const auto page =
      whole ? store_.Scan(kTrafficTables[table], {.items_max = UINT32_MAX, .bytes_max = 1 << 30})
            : store_.Query(kTrafficTables[table],
                           {.partition = Value::N(partition), .forward = random_.OneIn(2)});
  End(call);
  ASSERT_OK(page);
  ASSERT_FALSE(page->last_key.has_value());
  std::vector<Content> contents(kRegisters, kAbsent);
  for (const Item& item : page->items) {
    const uint32_t key = KeyOfTrafficItem(item);
    ASSERT_EQ(key % kTrafficTables.size(), table);
    if (key < kRegisters) contents[key] = ContentOf(&item);
  }
  for (uint32_t key = table; key < kRegisters; key += 2) {
    if (!whole && key / kKeysOfPartition != partition) {
      ASSERT_EQ(contents[key], kAbsent) << "of another partition";
      continue;
    }
    Operation operation = call;
    operation.accesses = {{.key = key, .seen = contents[key]}};
    Keep(std::move(operation));
  }
}

}  // namespace tailrace::test
