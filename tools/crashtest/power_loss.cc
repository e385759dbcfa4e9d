// What is left of the things that were heard when the power failed and the store had promised
// nothing against that: all that lies below one end of the journal, and nothing else.
#include <algorithm>

#include "tools/crashtest/history.h"

namespace tailrace::crashtest {

// ---- Readers ----

void ReaderLedger::Settle() {
  for (auto& [shard, kept] : kept_) {
    kept.settled = kept.sure;
    kept.since.clear();
  }
}

void ReaderLedger::TakeBack(uint64_t end) {
  for (auto& [shard, kept] : kept_) {
    std::optional<Cursor> maybe;
    if (kept.maybe && kept.maybe_before < end) maybe = kept.maybe;
    kept.sure = kept.settled;
    for (const Placed& placed : kept.since) {
      if (placed.after <= end) kept.sure = placed.cursor;
      // One reader makes them all: at most one lies on both sides of the end.
      if (placed.before < end && end < placed.after) maybe = placed.cursor;
    }
    kept.maybe = maybe;
  }
}

// ---- All ----

void History::TakeBack(uint64_t end, const Complaint& complain) {
  if (synced_ != 0 && end <= synced_) {
    complain("a power cut has taken back what a sync had covered: the journal ends at " +
             std::to_string(end) + ", and " + std::to_string(synced_) + " was durable");
  }
  // From which of its writes on a key's state may have been another one than what is left.
  std::map<KeyOfTable, size_t> unsure;
  for (size_t i = 0; i < writes_.size(); ++i) {
    const bool left = writes_[i].changed && writes_[i].sequence < end;
    const bool without_effect =
        writes_[i].stage == HeardWrite::Stage::kEnded && !writes_[i].changed;
    if (!left && !without_effect) unsure.emplace(KeyOfTable{writes_[i].table, writes_[i].key}, i);
  }
  std::vector<bool> unsure_tables(kTableNames);
  for (const TableChange& change : table_changes_) {
    if (!change.ended || change.journal_after > end) unsure_tables[change.table] = true;
  }
  TakeBackWrites(end);
  TakeBackTables(end);
  TakeBackObservations(unsure, unsure_tables);
  std::erase_if(deliveries_, [end](const Delivery& each) { return each.sequence >= end; });
  // What had been trimmed may be back.
  for (Delivery& delivery : deliveries_) delivery.from_trim_horizon = false;
  gaps_.clear();
  maintained_.reset();
  ledger_.TakeBack(end);
}

void History::TakeBackWrites(uint64_t end) {
  std::erase_if(writes_, [&](const HeardWrite& write) {
    const bool left_token = !write.changed && write.with_token && !write.rejected && !write.failed;
    const bool lost = write.changed ? write.commit >= end : left_token && write.frame_end > end;
    if (!lost) return false;
    if (write.safe) ++taken_back_.writes;
    if (write.transaction != 0) taken_back_.transactions.push_back(write.transaction);
    return true;
  });
  for (HeardWrite& write : writes_) write.safe = write.safe || write.changed;
  by_id_.clear();
  queued_.clear();
}

// One thread makes all changes of tables, so at most one of them lies on both sides of the end.
void History::TakeBackTables(uint64_t end) {
  std::erase_if(table_changes_, [end](const TableChange& change) {
    return change.journal_before >= end && (change.done || !change.ended);
  });
  for (TableChange& change : table_changes_) {
    if (change.done && change.journal_after > end) change.ended = change.done = false;
  }
}

// Who saw what a lost write had left saw nothing that must still be there; nor who saw nothing: the
// store may have deleted what had expired, and that is lost.
void History::TakeBackObservations(const std::map<KeyOfTable, size_t>& unsure,
                                   const std::vector<bool>& unsure_tables) {
  std::erase_if(observations_, [&](const Observation& seen) {
    if (!seen.state.present() || unsure_tables[seen.table]) return true;
    const auto first = unsure.find({seen.table, seen.key});
    return first != unsure.end() && first->second < seen.writes_begun;
  });
}

}  // namespace tailrace::crashtest
