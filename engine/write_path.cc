#include "engine/write_path.h"

#include <utility>

#include "engine/item_codec.h"
#include "shards/commit.h"

namespace tailrace::engine {
namespace {

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

}  // namespace

Status RefuseReentry() {
  if (!in_callable) return Status::Ok();
  return FailedPrecondition(
      "a condition or updater called the store while its item was locked; return from it first");
}

Result<WriteResult> WritePath::Put(const std::string& table, const Item& item,
                                   const WriteOptions& options) {
  TAILRACE_RETURN_IF_ERROR(ValidateItem(item));
  Write write;
  write.new_image = EncodeItem(item);
  write.options = &options;
  return Run(table, item, KeyFrom::kItem, std::move(write));
}

Result<WriteResult> WritePath::Delete(const std::string& table, const Item& key,
                                      const WriteOptions& options) {
  Write write;
  write.options = &options;
  return Run(table, key, KeyFrom::kKey, std::move(write));
}

Result<WriteResult> WritePath::Update(const std::string& table, const Item& key,
                                      const Updater& updater, const WriteOptions& options) {
  if (!updater) return InvalidArgument("an update needs an updater");
  Write write;
  write.updater = &updater;
  write.options = &options;
  return Run(table, key, KeyFrom::kKey, std::move(write));
}

Result<WriteResult> WritePath::Run(const std::string& table, const Item& item, KeyFrom key_from,
                                   Write write) {
  TAILRACE_RETURN_IF_ERROR(RefuseReentry());
  TAILRACE_RETURN_IF_ERROR(core_.Writable());
  while (true) {
    // Which table, and the item's storage key there.
    write.catalogue = core_.catalogue.Get();
    write.table = write.catalogue.catalogue->Find(table);
    if (write.table == nullptr) return NotFound("there is no table '" + table + "'");
    TAILRACE_ASSIGN_OR_RETURN(write.key, key_from == KeyFrom::kItem
                                             ? EncodeKeyOfItem(write.table->keys, item)
                                             : EncodeKey(write.table->keys, item));
    TAILRACE_RETURN_IF_ERROR(checkpointer_.WaitForRoom());

    std::optional<wal::Frame> frame;
    WriteOutcome outcome;
    {
      const KeyLocks::Held held = core_.key_locks.Lock({{write.table->id, write.key}});
      TAILRACE_ASSIGN_OR_RETURN(write.old,
                                FindItem(core_.buffer, *core_.index, write.table->id, write.key));
      TAILRACE_ASSIGN_OR_RETURN(outcome, Decide(write));
      if (outcome == WriteOutcome::kApplied) {
        TAILRACE_ASSIGN_OR_RETURN(frame, Append(write));
        if (!frame) continue;  // The table changed under our feet: look again.
      }
    }
    // No lock is held from here on.
    if (!frame) return Answer(write, outcome, write.old.rests_on, SequenceNumber{});
    core_.Pause(PausePoint::kAfterEntry);
    checkpointer_.RequestIfFull();
    return Answer(write, outcome, frame->lsn, SequenceNumber{frame->lsn.value});
  }
}

// Condition and update, under the key's lock.
Result<WriteOutcome> WritePath::Decide(Write& write) const {
  const WriteOptions& options = *write.options;
  const bool needs_old = options.condition || write.updater != nullptr ||
                         Wants(options.return_items, ReturnItems::kOld);
  write.old_item.reset();
  if (needs_old && write.old.image) {
    TAILRACE_ASSIGN_OR_RETURN(write.old_item, DecodeItem(*write.old.image));
  }
  if (options.condition) {
    const CallableScope scope;
    if (!options.condition(write.old_item ? &*write.old_item : nullptr)) {
      return WriteOutcome::kRejected;
    }
  }
  if (write.updater != nullptr) TAILRACE_RETURN_IF_ERROR(CallUpdater(write));
  return write.new_image == write.old.image ? WriteOutcome::kUnchanged : WriteOutcome::kApplied;
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
  return Status::Ok();
}

// Appends the change and enters it in the write buffer. Absent: the table or its stream changed
// meanwhile.
Result<std::optional<wal::Frame>> WritePath::Append(const Write& write) {
  const Table& table = *write.table;
  const GateShared gate(core_.gate);
  if (core_.catalogue.version() != write.catalogue.version) {
    const auto now = core_.catalogue.Get();
    const Table* still = now.catalogue->Find(table.id);
    if (still == nullptr || still->stream != table.stream) return std::optional<wal::Frame>();
  }
  TAILRACE_RETURN_IF_ERROR(core_.Writable());

  shards::Commit commit;
  const ClockReading now = core_.clock->Now();
  commit.wall_ms = now.wall_ms;
  commit.age_ms = now.stamp_ms();
  shards::Change& change = commit.changes.emplace_back();
  change.table = table.id;
  change.key = write.key;
  change.new_image = write.new_image;
  change.existed = write.old.image.has_value();
  if (table.stream != StreamId{}) change.old_image = write.old.image;
  change.stream = table.stream;

  // Room was waited for before the gate: waiting here would hold up the checkpoint that makes room.
  TAILRACE_ASSIGN_OR_RETURN(
      const wal::Appended appended,
      core_.journal->Append(shards::kCommitFrame, shards::EncodeCommit(commit),
                            wal::Quota::kReserved));
  core_.Pause(PausePoint::kAfterAppend);
  const Status entered = ApplyCommit(appended.frame, core_.buffer, nullptr);
  TAILRACE_CHECK(entered.ok(), entered.ToString());
  core_.positions->Enter(appended.previous_end, appended.frame.end);
  return std::optional<wal::Frame>(appended.frame);
}

Result<WriteResult> WritePath::Answer(Write& write, WriteOutcome outcome, Lsn rests_on,
                                      SequenceNumber sequence) const {
  WriteResult result;
  result.outcome = outcome;
  result.sequence = sequence;
  // An answer also rests on the table being there.
  result.token.end = std::max(rests_on + 1, write.catalogue.catalogue->lsn());
  const WriteOptions& options = *write.options;
  if (Wants(options.return_items, ReturnItems::kOld)) result.old_item = std::move(write.old_item);
  if (Wants(options.return_items, ReturnItems::kNew)) {
    const auto& image = outcome == WriteOutcome::kRejected ? write.old.image : write.new_image;
    if (image) {
      TAILRACE_ASSIGN_OR_RETURN(result.new_item, DecodeItem(*image));
    }
  }
  // Items that are shown now must be safe now.
  if (options.wait == WaitFor::kSafe || result.old_item || result.new_item ||
      outcome != WriteOutcome::kApplied) {
    TAILRACE_RETURN_IF_ERROR(core_.positions->WaitSafe(result.token.end));
  }
  return result;
}

}  // namespace tailrace::engine
