#include "tools/crashtest/history.h"

#include <algorithm>

#include "tools/crashtest/world.h"

namespace tailrace::crashtest {
namespace {

std::string Name(const HeardWrite& write) {
  return "write " + std::to_string(write.id) + " of table " + KeySpace::Of(write.table).name() +
         ", key " + std::to_string(write.key);
}

std::string Name(const ShardKey& shard) {
  return "stream " + std::to_string(shard.first) + ", shard " + std::to_string(shard.second);
}

}  // namespace

bool HeardWrite::MayLeave(const ItemState& state) const {
  if (operation == Operation::kUpdate) return state.write == id;
  if (operation == Operation::kUpdateUnchanged || operation == Operation::kUpdateFailing ||
      operation == Operation::kCheckCountEven) {
    return false;
  }
  return state == ResultOf(operation, {}, id, wanted);
}

// ---- Readers ----

void ReaderLedger::Open(const Event& event) {
  std::erase_if(session_, [&](const auto& each) { return each.first.first == event.stream; });
}

void ReaderLedger::Attachment(const Event& event, const Complaint& complain) {
  const ShardKey shard{event.stream, event.shard};
  Kept& kept = kept_[shard];
  const auto is = [&](const std::optional<Cursor>& cursor) {
    return cursor && cursor->ordinal == event.ordinal;
  };
  if (!is(kept.sure) && !is(kept.maybe)) {
    complain(Name(shard) + ": a checkpoint at ordinal " + std::to_string(event.ordinal) +
             " is there, " + (kept.sure ? std::to_string(kept.sure->ordinal) : "none") +
             " was kept");
  }
  // One that was under way may stand for the same record, and for the gap behind it.
  Cursor cursor{event.ordinal, is(kept.sure) && kept.sure->gap};
  if (is(kept.maybe)) cursor.gap = cursor.gap || kept.maybe->gap;
  if (kept.since.empty()) kept.settled = cursor;
  kept.sure = cursor;
  kept.maybe.reset();
  session_[shard] = cursor;
  ++resumed_;
}

void ReaderLedger::Gap(const Event& event) { session_[{event.stream, event.shard}].gap = true; }

bool ReaderLedger::Delivered(const Event& event, const Complaint& complain) {
  const ShardKey shard{event.stream, event.shard};
  const auto found = session_.find(shard);
  const bool first = found == session_.end();
  if (first) {
    Kept& kept = kept_[shard];
    if (kept.sure) complain(Name(shard) + ": a reader has lost its checkpoint");
    kept.maybe.reset();
  } else {
    const Cursor& cursor = found->second;
    const bool follows =
        cursor.gap ? event.ordinal > cursor.ordinal : event.ordinal == cursor.ordinal + 1;
    if (!follows) {
      complain(Name(shard) + ": a durable reader was given ordinal " +
               std::to_string(event.ordinal) + " after " + std::to_string(cursor.ordinal));
    }
  }
  session_[shard] = {event.ordinal, false};
  return first;
}

void ReaderLedger::CheckpointBegin(const Event& event) {
  const ShardKey shard{event.stream, event.shard};
  Kept& kept = kept_[shard];
  kept.maybe = Cursor{event.ordinal, session_[shard].gap};
  kept.maybe_before = event.second;
}

void ReaderLedger::CheckpointEnd(const Event& event) {
  Kept& kept = kept_[{event.stream, event.shard}];
  if (event.code != StatusCode::kOk || !kept.maybe) return;
  kept.sure = kept.maybe;
  kept.since.push_back({*kept.maybe, kept.maybe_before, event.last});
  kept.maybe.reset();
}

// ---- All ----

void History::Begin(uint64_t floor, uint64_t true_ms, uint64_t confirmation_ms, uint64_t wall_ms) {
  ReaderLedger ledger = std::move(ledger_);
  *this = {};
  ledger_ = std::move(ledger);
  ledger_.Settle();
  highest_sequence_ = sync_begun_ = floor;
  first_ms_ = last_ms_ = true_ms;
  confirmation_ms_ = confirmation_ms;
  first_wall_ms_ = wall_ms;
}

// The rule is the service's: an item expires when its second is over, and what has expired more
// than five years ago is kept.
bool History::MayHaveExpired(const ItemState& state) const {
  constexpr uint64_t kAgeMaxS = 5ull * 365 * 24 * 3600;
  const auto expiry_s = ExpiryOf(state);
  const uint64_t first_s = first_wall_ms_ / 1000;
  const uint64_t last_s = (first_wall_ms_ + (last_ms_ - first_ms_)) / 1000;
  return expiry_s && *expiry_s < last_s && first_s <= *expiry_s + kAgeMaxS;
}

void History::ProcessDied() {
  ledger_.ProcessDied();
  plain_ = {};
}

uint64_t History::KeyFloor(uint32_t table, uint32_t key) const {
  const auto found = key_floors_.find({table, key});
  return found == key_floors_.end() ? 0 : found->second;
}

void History::Hear(const Event& event, const Complaint& complain) {
  last_ms_ = std::max(last_ms_, event.true_ms);
  switch (event.kind) {
    case EventKind::kWriteBegin:
      return WriteBegin(event);
    case EventKind::kWriteEnd:
      return WriteEnd(event, complain);
    case EventKind::kWriteQueued:
      return WriteQueued(event, complain);
    case EventKind::kWaitEnd:
      for (const size_t index : queued_[event.thread]) writes_[index].safe = true;
      queued_[event.thread].clear();
      return;
    case EventKind::kReadBegin:
      read_floors_[{event.thread, {event.table, event.key}}] = KeyFloor(event.table, event.key);
      return;
    case EventKind::kReadEnd:
      if (event.code == StatusCode::kOk) {
        observations_.push_back({event.table, event.key, event.new_state,
                                 read_floors_[{event.thread, {event.table, event.key}}],
                                 writes_.size()});
      } else if (event.code != StatusCode::kNotFound) {
        complain("a read failed: " + std::string(StatusCodeName(event.code)));
      }
      return;
    case EventKind::kTableChangeBegin:
    case EventKind::kTableChangeEnd:
      return HearTableChange(event, complain);
    case EventKind::kSyncBegin:
      sync_begun_ = highest_sequence_;
      return;
    case EventKind::kSyncEnd:
      synced_ = sync_begun_;
      return;
    case EventKind::kMaintenanceBegin:
      maintenance_begun_ = {event.true_ms, highest_delivered_};
      return;
    case EventKind::kMaintenanceEnd:
      if (maintenance_begun_.begun_ms - first_ms_ >= confirmation_ms_) {
        maintained_ = maintenance_begun_;
      }
      return;
    default:
      return HearReader(event, complain);
  }
}

void History::WriteBegin(const Event& event) {
  HeardWrite write;
  write.operation = event.operation;
  write.thread = event.thread;
  write.table = event.table;
  write.key = event.key;
  write.id = event.write;
  write.wanted = event.new_state;
  write.begun_ms = event.true_ms;
  write.floor = highest_sequence_;
  write.key_floor = KeyFloor(event.table, event.key);
  write.transaction = event.transaction;
  write.with_token = event.with_token;
  by_id_[write.id] = writes_.size();
  writes_.push_back(write);
}

void History::TakeSequence(HeardWrite& write, const Event& event, const Complaint& complain) {
  const uint64_t sequence = event.sequence;
  write.changed = true;
  write.sequence = sequence;
  write.commit = write.transaction != 0 ? event.second : sequence;
  write.commit_changes = write.transaction != 0 ? event.last : 1;
  if (sequence <= write.floor) {
    complain(Name(write) + " has the sequence number " + std::to_string(sequence) +
             ", and when it began " + std::to_string(write.floor) + " had been given");
  }
  highest_sequence_ = std::max(highest_sequence_, sequence);
}

void History::WriteQueued(const Event& event, const Complaint& complain) {
  const size_t index = by_id_.at(event.write);
  HeardWrite& write = writes_[index];
  write.stage = HeardWrite::Stage::kQueued;
  TakeSequence(write, event, complain);
  write.new_state = ResultOf(write.operation, {}, write.id, write.wanted);
  queued_[event.thread].push_back(index);
}

void History::WriteEnd(const Event& event, const Complaint& complain) {
  HeardWrite& write = writes_[by_id_.at(event.write)];
  write.stage = HeardWrite::Stage::kEnded;
  write.ended_ms = event.true_ms;
  write.safe = true;
  write.failed = event.code != StatusCode::kOk;
  if (write.failed) return JudgeError(write, event, complain);
  write.rejected = event.rejected;
  write.frame_end = event.first;
  const auto outcome = static_cast<WriteOutcome>(event.outcome);
  if (outcome == WriteOutcome::kApplied) {
    TakeSequence(write, event, complain);
    uint64_t& floor = key_floors_[{write.table, write.key}];
    floor = std::max(floor, write.sequence);
  } else if (event.sequence != 0) {
    complain(Name(write) + " changed nothing and has a sequence number");
  }
  write.refused = outcome == WriteOutcome::kRejected;
  write.has_states = event.has_old_image;
  if (!write.has_states) return;
  write.old_state = event.old_state;
  write.new_state = event.new_state;
  JudgeOutcome(write, event, complain);
  if (outcome != WriteOutcome::kApplied) {
    observations_.push_back(
        {write.table, write.key, event.old_state, write.key_floor, writes_.size()});
  }
}

void History::JudgeError(const HeardWrite& write, const Event& event,
                         const Complaint& complain) const {
  const bool expected =
      event.code == StatusCode::kNotFound ||
      (write.operation == Operation::kUpdateFailing && event.code == StatusCode::kBusy);
  if (!expected) {
    complain(Name(write) + " failed: " + std::string(StatusCodeName(event.code)) + ": " +
             event.text.data());
  }
}

void History::JudgeOutcome(const HeardWrite& write, const Event& event,
                           const Complaint& complain) const {
  const ItemState& old = event.old_state;
  const bool holds = ConditionHolds(write.operation, old);
  // In a rejected transaction nothing is made of any item.
  const bool makes = holds && !event.rejected;
  const ItemState made = makes ? ResultOf(write.operation, old, write.id, write.wanted) : old;
  const WriteOutcome expected = !holds        ? WriteOutcome::kRejected
                                : made == old ? WriteOutcome::kUnchanged
                                              : WriteOutcome::kApplied;
  if (static_cast<WriteOutcome>(event.outcome) != expected || !(event.new_state == made)) {
    complain(Name(write) + " over " + old.ToString() + " ended with outcome " +
             std::to_string(event.outcome) + " and " + event.new_state.ToString() + ", not " +
             std::to_string(static_cast<int>(expected)) + " and " + made.ToString());
  }
  if (write.operation == Operation::kUpdateFailing) {
    complain(Name(write) + " succeeded, though its updater failed");
  }
}

void History::HearTableChange(const Event& event, const Complaint& complain) {
  if (event.kind == EventKind::kTableChangeBegin) {
    TableChange change;
    change.operation = event.operation;
    change.table = event.table;
    change.view = event.view;
    change.with_stream = event.outcome != 0;
    change.table_id = event.first;
    change.stream = event.stream;
    change.journal_before = event.second;
    table_changes_.push_back(change);
    return;
  }
  TableChange& change = table_changes_.back();
  change.ended = true;
  change.done = event.code == StatusCode::kOk;
  change.table_id = event.first;
  change.stream = event.stream;
  change.sequence = event.sequence;
  change.journal_after = event.last;
  if (!change.done && change.operation != Operation::kEnableStream) {
    complain("a change of table " + KeySpace::Of(change.table).name() +
             " failed: " + event.text.data());
  }
}

void History::DeliveredPlain(const Event& event, Delivery& delivery, const Complaint& complain) {
  if (plain_.shard != ShardKey{event.stream, event.shard}) {
    return complain("a reader was given a record of another shard");
  }
  if (!plain_.ordinal) {
    if (plain_.start == StartAt::kTrimHorizon) delivery.from_trim_horizon = true;
    if (plain_.start == StartAt::kAtSequenceNumber) delivery.first_at_least = plain_.asked;
    if (plain_.start == StartAt::kAfterSequenceNumber) delivery.first_at_least = plain_.asked + 1;
  } else if (plain_.gap ? event.ordinal <= *plain_.ordinal : event.ordinal != *plain_.ordinal + 1) {
    complain(Name(plain_.shard) + ": a reader was given ordinal " + std::to_string(event.ordinal) +
             " after " + std::to_string(*plain_.ordinal));
  }
  // What was asked for may be gone, and the reader was told so.
  if (plain_.gap) delivery.first_at_least.reset();
  plain_.ordinal = event.ordinal;
  plain_.gap = false;
}

void History::HearGap(const Event& event, const Complaint& complain) {
  const bool lost = event.outcome != 0;
  gaps_.push_back({event.stream, event.shard, event.first, event.last, lost});
  if (event.thread == kDurableReaderThread) {
    if (lost) complain("a durable reader was told that records were lost");
    return ledger_.Gap(event);
  }
  // The death of a process loses nothing; but who asks for a number between two lives, which no
  // record ever had, is told that it might have been one.
  if (lost && (plain_.ordinal || plain_.asked < event.last)) {
    complain("a reader was told that records from " + std::to_string(event.first) + " to " +
             std::to_string(event.last) + " were lost");
  }
  plain_.gap = plain_.gap || !lost;
}

void History::HearReader(const Event& event, const Complaint& complain) {
  switch (event.kind) {
    case EventKind::kReaderOpen:
      return ledger_.Open(event);
    case EventKind::kAttachment:
      return ledger_.Attachment(event, complain);
    case EventKind::kCheckpointBegin:
      return ledger_.CheckpointBegin(event);
    case EventKind::kCheckpointEnd:
      return ledger_.CheckpointEnd(event);
    case EventKind::kSought:
      plain_ = {{event.stream, event.shard},
                std::nullopt,
                false,
                static_cast<StartAt>(event.outcome),
                event.sequence};
      return;
    case EventKind::kGap:
      return HearGap(event, complain);
    case EventKind::kDelivered: {
      Delivery delivery{event.stream, event.shard, event.ordinal, event.sequence,
                        event.first,  false,       std::nullopt};
      if (event.thread == kDurableReaderThread) {
        delivery.from_trim_horizon = ledger_.Delivered(event, complain);
      } else {
        DeliveredPlain(event, delivery, complain);
      }
      highest_sequence_ = std::max(highest_sequence_, event.sequence);
      highest_delivered_ = std::max(highest_delivered_, event.sequence);
      deliveries_.push_back(delivery);
      return;
    }
    default:
      return;
  }
}

}  // namespace tailrace::crashtest
