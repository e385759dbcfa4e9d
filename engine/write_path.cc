#include "engine/write_path.h"

#include <algorithm>
#include <utility>

#include "engine/expiry.h"
#include "engine/item_codec.h"
#include "engine/limits.h"
#include "shards/commit.h"
#include "wal/mutants.h"

namespace tailrace::engine {
namespace {

static_assert(kCommitFrameBytesMax + wal::kFrameHeaderBytes + 8 <= kJournalSegmentBytesDefault / 4,
              "every legal transaction fits into a segment of the default size");

thread_local bool in_callable = false;

// Marks the time in which a caller's code runs under the item's lock.
class CallableScope {
 public:
  CallableScope() { in_callable = true; }
  ~CallableScope() { in_callable = false; }
  CallableScope(const CallableScope&) = delete;
  CallableScope& operator=(const CallableScope&) = delete;
};

bool Wants(ReturnItems asked, ReturnItems which) {
  return asked == ReturnItems::kBoth || asked == which;
}

// Which of several writes a failure concerns. A single write needs no number.
Status Numbered(const Status& status, size_t at, size_t count) {
  return count == 1 ? status : status.WithContext("write " + std::to_string(at));
}

// Items that are shown must be safe, and so must be what a refusal rests on.
bool ShowsState(const WriteResult& result) {
  return result.old_item || result.new_item || result.outcome != WriteOutcome::kApplied;
}

}  // namespace

Status RefuseReentry() {
  if (!in_callable) return Status::Ok();
  return FailedPrecondition(
      "a condition or updater called the store while its item was locked; return from it first");
}

// ---- The public calls ----

Result<WriteResult> WritePath::Put(const std::string& table, const Item& item,
                                   const WriteOptions& options) {
  TAILRACE_ASSIGN_OR_RETURN(Write write,
                            MakePut(table, item, options.condition, options.return_items));
  return RunOne(write, options.wait);
}

Result<WriteResult> WritePath::Delete(const std::string& table, const Item& key,
                                      const WriteOptions& options) {
  Write write = MakeKeyed(Kind::kDelete, table, key, options.condition, options.return_items);
  return RunOne(write, options.wait);
}

Result<WriteResult> WritePath::Update(const std::string& table, const Item& key,
                                      const Updater& updater, const WriteOptions& options) {
  if (!updater) return InvalidArgument("an update needs an updater");
  Write write = MakeKeyed(Kind::kUpdate, table, key, options.condition, options.return_items);
  write.updater = &updater;
  return RunOne(write, options.wait);
}

Result<TransactResult> WritePath::Transact(const std::vector<WriteRequest>& requests,
                                           const TransactOptions& options) {
  if (requests.empty() || requests.size() > kTransactionItemsMax) {
    return InvalidArgument("a transaction has 1 to " + std::to_string(kTransactionItemsMax) +
                           " writes");
  }
  std::vector<Write> writes;
  writes.reserve(requests.size());
  for (const WriteRequest& request : requests) {
    auto write = MakeWrite(request);
    if (!write.ok()) return Numbered(write.status(), writes.size(), requests.size());
    writes.push_back(*std::move(write));
  }
  Transaction transaction{.writes = writes};
  Token token;
  if (!options.idempotency_token.empty()) {
    TAILRACE_ASSIGN_OR_RETURN(token.key, TokenKey(options.idempotency_token));
    transaction.token = &token;
    transaction.fingerprint = &options.fingerprint;
  }
  TAILRACE_RETURN_IF_ERROR(Run(transaction));
  TAILRACE_ASSIGN_OR_RETURN(TransactResult result,
                            token.remembered ? AnswerAgain(transaction) : AnswerAll(transaction));
  const bool shows = std::any_of(result.items.begin(), result.items.end(), [](const auto& item) {
    return item.old_item.has_value() || item.new_item.has_value();
  });
  if (options.wait == WaitFor::kSafe || shows || result.repeated ||
      result.outcome != WriteOutcome::kApplied) {
    TAILRACE_RETURN_IF_ERROR(core_.positions->WaitSafe(result.token.end));
  }
  return result;
}

Result<std::vector<Result<WriteResult>>> WritePath::BatchWrite(
    const std::vector<WriteRequest>& requests, WaitFor wait) {
  if (requests.empty() || requests.size() > kBatchWriteItemsMax) {
    return InvalidArgument("a batch has 1 to " + std::to_string(kBatchWriteItemsMax) + " writes");
  }
  std::vector<Result<WriteResult>> results;
  Lsn rests_on;
  for (const WriteRequest& request : requests) {
    auto write = MakeWrite(request);
    if (!write.ok()) {
      results.emplace_back(write.status());
      continue;
    }
    Transaction transaction{.writes = {&*write, 1}};
    const Status done = Run(transaction);
    results.push_back(done.ok() ? Answer(*write, RestsOn(transaction)) : done);
    if (const auto& result = results.back();
        result.ok() && (wait == WaitFor::kSafe || ShowsState(*result))) {
      rests_on = std::max(rests_on, result->token.end);
    }
  }
  TAILRACE_RETURN_IF_ERROR(core_.positions->WaitSafe(rests_on));
  return results;
}

Status WritePath::DeleteIfRoom(const std::string& table, const Item& key,
                               const Condition& condition) {
  Write write = MakeKeyed(Kind::kDelete, table, key, condition, ReturnItems::kNone);
  Transaction transaction{.writes = {&write, 1}};
  transaction.waits_for_room = false;
  return Run(transaction);
}

Result<WriteOutcome> WritePath::DeleteExpired(const std::string& table, const Item& key,
                                              uint64_t wall_ms) {
  Write write = MakeKeyed(Kind::kDelete, table, key, nullptr, ReturnItems::kNone);
  write.if_expired_at_ms = wall_ms;
  Transaction transaction{.writes = {&write, 1}};
  transaction.waits_for_room = false;
  TAILRACE_RETURN_IF_ERROR(Run(transaction));
  return write.outcome;
}

Result<WriteResult> WritePath::RunOne(Write& write, WaitFor wait) {
  Transaction transaction{.writes = {&write, 1}};
  TAILRACE_RETURN_IF_ERROR(Run(transaction));
  TAILRACE_ASSIGN_OR_RETURN(WriteResult result, Answer(write, RestsOn(transaction)));
  const bool at_once =
      (TAILRACE_MUTANT("unchanged-answered-at-once") &&
       result.outcome == WriteOutcome::kUnchanged) ||
      (TAILRACE_MUTANT("refusal-answered-at-once") && result.outcome == WriteOutcome::kRejected);
  if (!at_once && (wait == WaitFor::kSafe || ShowsState(result))) {
    TAILRACE_RETURN_IF_ERROR(core_.positions->WaitSafe(result.token.end));
  }
  return result;
}

// ---- What is asked for ----

Result<WritePath::Write> WritePath::MakePut(const std::string& table, const Item& item,
                                            const Condition& condition, ReturnItems return_items) {
  TAILRACE_RETURN_IF_ERROR(ValidateItem(item));
  Write write = MakeKeyed(Kind::kPut, table, item, condition, return_items);
  write.new_image = EncodeItem(item);
  return write;
}

WritePath::Write WritePath::MakeKeyed(Kind kind, const std::string& table, const Item& key,
                                      const Condition& condition, ReturnItems return_items) {
  Write write;
  write.kind = kind;
  write.table_name = &table;
  write.item = &key;
  if (condition) write.condition = &condition;
  write.return_items = return_items;
  return write;
}

Result<WritePath::Write> WritePath::MakeWrite(const WriteRequest& request) {
  if ((request.kind == Kind::kUpdate) != static_cast<bool>(request.updater)) {
    return InvalidArgument("an update needs an updater, and no other write has one");
  }
  switch (request.kind) {
    case Kind::kPut: {
      TAILRACE_ASSIGN_OR_RETURN(Write write, MakePut(request.table, request.item, request.condition,
                                                     request.return_items));
      write.new_item_bytes = request.item.SizeBytes();
      return write;
    }
    case Kind::kCheck:
      if (!request.condition) return InvalidArgument("a check needs a condition");
      [[fallthrough]];
    case Kind::kDelete:
    case Kind::kUpdate: {
      Write write = MakeKeyed(request.kind, request.table, request.item, request.condition,
                              request.return_items);
      if (request.updater) write.updater = &request.updater;
      return write;
    }
  }
  return InvalidArgument("there is no such kind of write");
}

// ---- From the table's name to the frame ----

Status WritePath::Run(Transaction& transaction) {
  TAILRACE_RETURN_IF_ERROR(RefuseReentry());
  TAILRACE_RETURN_IF_ERROR(core_.Writable());
  while (true) {
    TAILRACE_RETURN_IF_ERROR(Resolve(transaction));
    if (transaction.waits_for_room) {
      TAILRACE_RETURN_IF_ERROR(checkpointer_.WaitForRoom());
    } else if (!checkpointer_.HasRoom()) {
      return Busy("the journal is at its limit");
    }
    absl::InlinedVector<KeyLocks::Key, 1> keys;
    for (const Write& write : transaction.writes) keys.push_back({write.table->id, write.key});
    const Token* token = transaction.token;
    if (token != nullptr && !TAILRACE_MUTANT("token-not-locked")) {
      keys.push_back({token->write.table->id, token->write.key});
    }
    {
      const KeyLocks::Held held = core_.key_locks.Lock(keys);
      TAILRACE_RETURN_IF_ERROR(ReadOldItems(transaction));
      if (transaction.token != nullptr && transaction.token->remembered) return Status::Ok();
      TAILRACE_RETURN_IF_ERROR(Decide(transaction));
      TAILRACE_ASSIGN_OR_RETURN(const bool done, Append(transaction));
      if (!done) continue;  // A table changed under our feet: look again.
    }
    // No lock is held from here on.
    if (transaction.appended) {
      core_.Pause(PausePoint::kAfterEntry);
      checkpointer_.RequestIfFull();
    }
    return Status::Ok();
  }
}

// Which tables, and the items' storage keys there.
Status WritePath::Resolve(Transaction& transaction) const {
  transaction.catalogue = core_.catalogue.Get();
  const Catalogue& catalogue = *transaction.catalogue.catalogue;
  const std::span<Write> writes = transaction.writes;
  for (size_t i = 0; i < writes.size(); ++i) {
    Write& write = writes[i];
    write.table = catalogue.Find(*write.table_name);
    if (write.table == nullptr) {
      return Numbered(NotFound("there is no table '" + *write.table_name + "'"), i, writes.size());
    }
    const KeySchema& schema = write.table->keys;
    auto key = write.kind == Kind::kPut ? EncodeKeyOfItem(schema, *write.item)
                                        : EncodeKey(schema, *write.item);
    if (!key.ok()) return Numbered(key.status(), i, writes.size());
    write.key = *std::move(key);
  }
  if (writes.size() == 1 && transaction.token == nullptr) return Status::Ok();
  return ResolveTogether(transaction);
}

// What only concerns several items together: none may be there twice, and the token's belongs to
// them.
Status WritePath::ResolveTogether(Transaction& transaction) const {
  std::vector<std::pair<TableId, ByteView>> keys;
  for (const Write& write : transaction.writes) keys.emplace_back(write.table->id, write.key);
  if (Token* token = transaction.token) {
    token->write.table = transaction.catalogue.catalogue->Find(kTokenTable);
    TAILRACE_CHECK(token->write.table != nullptr, "the table of tokens is made beforehand");
    TAILRACE_ASSIGN_OR_RETURN(token->write.key, EncodeKey(token->write.table->keys, token->key));
    keys.emplace_back(token->write.table->id, token->write.key);
    RequestDigest digest(*transaction.fingerprint);
    for (const Write& write : transaction.writes) {
      digest.Add(write.kind, *write.table_name,
                 write.kind == Kind::kPut ? ByteView(*write.new_image) : ByteView(write.key),
                 write.condition != nullptr);
    }
    token->request_digest = digest.value();
  }
  std::sort(keys.begin(), keys.end());
  if (std::adjacent_find(keys.begin(), keys.end()) != keys.end()) {
    return InvalidArgument("a transaction cannot hold several writes of one item");
  }
  return Status::Ok();
}

// Under the keys' locks. Of a transaction that is remembered, nothing but that is read.
Status WritePath::ReadOldItems(Transaction& transaction) {
  if (Token* token = transaction.token) {
    TAILRACE_RETURN_IF_ERROR(ReadToken(*token));
    if (token->remembered) return Status::Ok();
  }
  for (Write& write : transaction.writes) {
    TAILRACE_ASSIGN_OR_RETURN(write.old,
                              FindItem(core_.buffer, *core_.index, write.table->id, write.key));
  }
  return Status::Ok();
}

Status WritePath::ReadToken(Token& token) {
  Write& write = token.write;
  TAILRACE_ASSIGN_OR_RETURN(write.old,
                            FindItem(core_.buffer, *core_.index, write.table->id, write.key));
  if (!write.old.image) return Status::Ok();
  TAILRACE_ASSIGN_OR_RETURN(const Item item, DecodeItem(*write.old.image));
  TAILRACE_ASSIGN_OR_RETURN(RememberedTransaction remembered, FromItem(item));
  if (!remembered.Expired(core_.clock->AgeMs())) token.remembered = std::move(remembered);
  return Status::Ok();
}

// Conditions and updaters, under the keys' locks. All conditions come before any updater.
Status WritePath::Decide(Transaction& transaction) const {
  const std::span<Write> writes = transaction.writes;
  transaction.rejected = false;
  for (Write& write : writes) {
    TAILRACE_RETURN_IF_ERROR(CheckCondition(write));
    if (TAILRACE_MUTANT("last-condition-decides")) transaction.rejected = false;
    if (write.outcome == WriteOutcome::kRejected) transaction.rejected = true;
  }
  if (transaction.rejected) return Status::Ok();
  size_t item_bytes = 0;
  size_t image_bytes = 0;
  for (size_t i = 0; i < writes.size(); ++i) {
    if (const Status made = MakeNew(writes[i]); !made.ok()) {
      return Numbered(made, i, writes.size());
    }
    if (writes[i].outcome != WriteOutcome::kApplied) continue;
    item_bytes += writes[i].new_image ? writes[i].new_item_bytes : 0;
    for (const auto& image : {&writes[i].old.image, &writes[i].new_image}) {
      image_bytes += *image ? (*image)->size() : 0;
    }
    for (const EntryChange& entry : writes[i].entries) image_bytes += entry.Bytes();
  }
  if (item_bytes > kTransactionItemBytesMax || image_bytes > kTransactionImageBytesMax) {
    return InvalidArgument("the transaction's items are too large: " + std::to_string(item_bytes) +
                           " bytes of at most " + std::to_string(kTransactionItemBytesMax) + ", " +
                           std::to_string(image_bytes) +
                           " bytes of images and index entries of at most " +
                           std::to_string(kTransactionImageBytesMax));
  }
  return Status::Ok();
}

Status WritePath::CheckCondition(Write& write) const {
  const bool needs_old = write.condition != nullptr || write.updater != nullptr ||
                         Wants(write.return_items, ReturnItems::kOld);
  write.outcome = WriteOutcome::kUnchanged;
  write.old_item.reset();
  if (needs_old && write.old.image) {
    TAILRACE_ASSIGN_OR_RETURN(write.old_item, DecodeItem(*write.old.image));
  }
  if (write.if_expired_at_ms && !TAILRACE_MUTANT("expiry-not-looked-at-again")) {
    const std::string& attribute = write.table->time_to_live.attribute;
    const auto expiry_s = write.old.image && !attribute.empty()
                              ? ExpiryOf(*write.old.image, attribute)
                              : std::nullopt;
    if (!expiry_s || !IsExpired(*expiry_s, *write.if_expired_at_ms)) {
      write.outcome = WriteOutcome::kRejected;
    }
  }
  if (write.condition != nullptr) {
    const CallableScope scope;
    const bool holds = (*write.condition)(write.old_item ? &*write.old_item : nullptr);
    if (!holds) write.outcome = WriteOutcome::kRejected;
  }
  return Status::Ok();
}

Status WritePath::MakeNew(Write& write) const {
  if (write.kind == Kind::kCheck) return Status::Ok();
  if (write.updater != nullptr) TAILRACE_RETURN_IF_ERROR(CallUpdater(write));
  write.entries.clear();
  if (write.new_image == write.old.image) return Status::Ok();
  write.outcome = WriteOutcome::kApplied;
  if (write.table->indexes.empty()) return Status::Ok();
  if (TAILRACE_MUTANT("index-not-updated") && write.old.image && write.new_image) {
    return Status::Ok();
  }
  TAILRACE_ASSIGN_OR_RETURN(
      write.entries, ChangesOfEntries(*write.table, write.key, write.old.image, write.new_image));
  return Status::Ok();
}

Status WritePath::CallUpdater(Write& write) const {
  std::optional<Item> item = write.old_item;
  {
    const CallableScope scope;
    TAILRACE_RETURN_IF_ERROR((*write.updater)(item));
  }
  if (!item) {
    write.new_image.reset();
    return Status::Ok();
  }
  TAILRACE_RETURN_IF_ERROR(ValidateItem(*item));
  TAILRACE_ASSIGN_OR_RETURN(const std::string key, EncodeKeyOfItem(write.table->keys, *item));
  if (key != write.key) {
    return InvalidArgument("an update must leave the key attributes as they are");
  }
  write.new_image = EncodeItem(*item);
  write.new_item_bytes = item->SizeBytes();
  return Status::Ok();
}

// Appends the changes, if there are any, and enters them in the write buffer. False: a table or its
// stream changed meanwhile.
Result<bool> WritePath::Append(Transaction& transaction) {
  Token* const token = transaction.token;
  const bool changed =
      std::any_of(transaction.writes.begin(), transaction.writes.end(),
                  [](const Write& write) { return write.outcome == WriteOutcome::kApplied; });
  // A refused transaction is not remembered: it left nothing that must not happen again.
  if (transaction.rejected || (!changed && token == nullptr)) return true;

  const GateShared gate(core_.gate);
  if (!TablesStand(transaction)) return false;
  TAILRACE_RETURN_IF_ERROR(core_.Writable());
  shards::Commit commit;
  const ClockReading now = core_.clock->Now();
  commit.wall_ms = now.wall_ms;
  commit.age_ms = now.stamp_ms();
  commit.changes.reserve(transaction.writes.size());
  for (const Write& write : transaction.writes) {
    if (write.outcome == WriteOutcome::kApplied) commit.changes.push_back(ChangeOf(write));
  }
  if (token != nullptr) {
    token->write.new_image = Remember(transaction, now);
    commit.token = ChangeOf(token->write);
  }
  TAILRACE_ASSIGN_OR_RETURN(const wal::Frame frame, AppendCommit(core_, commit));
  NoteExpiries(transaction);
  transaction.appended = frame.lsn;
  uint64_t index = 0;
  for (Write& write : transaction.writes) {
    if (write.outcome != WriteOutcome::kApplied) continue;
    write.sequence = SequenceNumber{frame.lsn.value + index++};
  }
  return true;
}

// Under the keys' locks, so that an item's last note is of its last write.
void WritePath::NoteExpiries(const Transaction& transaction) {
  for (const Write& write : transaction.writes) {
    const TimeToLive& time_to_live = write.table->time_to_live;
    if (!time_to_live.enabled() || write.outcome != WriteOutcome::kApplied) continue;
    core_.expiries.Note(
        write.table->id, write.key,
        write.new_image ? ExpiryOf(*write.new_image, time_to_live.attribute) : std::nullopt);
  }
}

bool SameIndexes(const Table& a, const Table& b) {
  return std::equal(a.indexes.begin(), a.indexes.end(), b.indexes.begin(), b.indexes.end(),
                    [](const Index& one, const Index& other) { return one.id == other.id; });
}

// Whether each table is still there with the same stream, time to live and indexes. The caller has
// passed the gate, so that it stays so.
bool WritePath::TablesStand(const Transaction& transaction) const {
  if (core_.catalogue.version() == transaction.catalogue.version) [[likely]]
    return true;
  if (TAILRACE_MUTANT("catalogue-change-not-noticed")) return true;
  const auto now = core_.catalogue.Get();
  return std::all_of(transaction.writes.begin(), transaction.writes.end(), [&](const Write& write) {
    const Table* still = now.catalogue->Find(write.table->id);
    return still != nullptr && still->stream == write.table->stream &&
           still->time_to_live == write.table->time_to_live && SameIndexes(*still, *write.table);
  });
}

shards::Change WritePath::ChangeOf(const Write& write) {
  shards::Change change;
  change.table = write.table->id;
  change.key = write.key;
  change.new_image = write.new_image;
  change.existed = write.old.image.has_value();
  if (write.table->stream != StreamId{}) change.old_image = write.old.image;
  if (TAILRACE_MUTANT("old-image-is-the-new")) change.old_image = write.new_image;
  change.stream = write.table->stream;
  const bool by_user = TAILRACE_MUTANT("expiry-by-the-user");
  if (write.if_expired_at_ms && !by_user) change.actor = Actor::kTimeToLive;
  for (const EntryChange& entry : write.entries) change.deltas.push_back(entry.View());
  return change;
}

// The image of the item that remembers the transaction.
std::string WritePath::Remember(const Transaction& transaction, const ClockReading& now) {
  RememberedTransaction remembered{.request_digest = transaction.token->request_digest,
                                   .age_ms = now.stamp_ms(),
                                   .outcomes = {}};
  for (const Write& write : transaction.writes) remembered.outcomes.push_back(write.outcome);
  return EncodeItem(ToItem(transaction.token->key, remembered));
}

// ---- Answers ----

// An answer rests on every item that was looked at, and on the tables being there.
CommitToken WritePath::RestsOn(const Transaction& transaction) const {
  Lsn rests_on = transaction.appended.value_or(Lsn{});
  if (transaction.token != nullptr)
    rests_on = std::max(rests_on, transaction.token->write.old.rests_on);
  for (const Write& write : transaction.writes) rests_on = std::max(rests_on, write.old.rests_on);
  return {std::max(rests_on + 1, transaction.catalogue.catalogue->lsn())};
}

Result<WriteResult> WritePath::Answer(Write& write, CommitToken token) const {
  WriteResult result;
  result.outcome = write.outcome;
  result.sequence = write.sequence;
  result.token = token;
  if (Wants(write.return_items, ReturnItems::kOld)) result.old_item = std::move(write.old_item);
  if (Wants(write.return_items, ReturnItems::kNew)) {
    const auto& image = write.outcome == WriteOutcome::kApplied ? write.new_image : write.old.image;
    if (image) {
      TAILRACE_ASSIGN_OR_RETURN(result.new_item, DecodeItem(*image));
    }
  }
  return result;
}

Result<TransactResult> WritePath::AnswerAll(Transaction& transaction) const {
  TransactResult result;
  result.token = RestsOn(transaction);
  result.outcome = transaction.rejected ? WriteOutcome::kRejected : WriteOutcome::kUnchanged;
  for (Write& write : transaction.writes) {
    TAILRACE_ASSIGN_OR_RETURN(WriteResult one, Answer(write, result.token));
    if (one.outcome == WriteOutcome::kApplied) result.outcome = WriteOutcome::kApplied;
    result.items.push_back(std::move(one));
  }
  if (result.outcome == WriteOutcome::kApplied) {
    result.commit = SequenceNumber{transaction.appended->value};
  }
  return result;
}

// The answer that was given the first time.
Result<TransactResult> WritePath::AnswerAgain(Transaction& transaction) const {
  const Token& token = *transaction.token;
  TransactResult result;
  result.outcome = WriteOutcome::kUnchanged;
  result.repeated = true;
  result.token = RestsOn(transaction);
  const bool any_request = TAILRACE_MUTANT("token-of-another-request");
  if ((token.remembered->request_digest != token.request_digest && !any_request) ||
      token.remembered->outcomes.size() != transaction.writes.size()) {
    TAILRACE_RETURN_IF_ERROR(core_.positions->WaitSafe(result.token.end));
    return AlreadyExists("the idempotency token was used for a different request");
  }
  SequenceNumber next{token.write.old.lsn.value};
  for (const WriteOutcome outcome : token.remembered->outcomes) {
    WriteResult& one = result.items.emplace_back();
    one.outcome = outcome;
    one.token = result.token;
    if (outcome != WriteOutcome::kApplied) continue;
    result.outcome = outcome;
    result.commit = SequenceNumber{token.write.old.lsn.value};
    one.sequence = next;
    ++next.value;
  }
  return result;
}

}  // namespace tailrace::engine
