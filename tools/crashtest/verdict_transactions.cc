// The part of the judgement that is about transactions: all of their writes happened or none, and
// what is remembered of them agrees.
#include <algorithm>

#include "engine/limits.h"
#include "tools/crashtest/verdict.h"

namespace tailrace::crashtest {
namespace {

std::string Text(uint64_t number) { return std::to_string(number); }

bool ShowsNewImages(ViewType view) {
  return view == ViewType::kNewImage || view == ViewType::kNewAndOldImages;
}

}  // namespace

void Verdict::JudgeTransactions() {
  JudgeCommits();
  std::map<uint64_t, std::vector<const HeardWrite*>> transactions;
  for (const HeardWrite& write : history_.writes()) {
    if (write.transaction != 0) transactions[write.transaction].push_back(&write);
  }
  for (const auto& [id, writes] : transactions) {
    const bool ended = std::all_of(writes.begin(), writes.end(), [](const HeardWrite* write) {
      return write->stage == HeardWrite::Stage::kEnded;
    });
    if (ended) JudgeEnded(writes);
    if (!ended) ++counts_.transactions_pending;
    const auto happened = std::find_if(writes.begin(), writes.end(), [&](const HeardWrite* write) {
      return SurelyHappened(*write);
    });
    const auto absent = std::find_if(writes.begin(), writes.end(),
                                     [&](const HeardWrite* write) { return SurelyAbsent(*write); });
    const bool done = ended && !writes[0]->failed && !writes[0]->rejected;
    const bool whole = done || happened != writes.end() || Remembered(*writes[0]);
    const bool none = absent != writes.end() || Forgotten(*writes[0]);
    if (!ended && whole) ++counts_.transactions_found;
    if (!whole || !none) continue;
    complain_("transaction " + Text(id) + " is there in part: " +
              (happened != writes.end() ? "write " + Text((*happened)->id) + " is there"
               : done                   ? "it ended well"
                                        : "its token is there") +
              ", " + (absent != writes.end() ? "write " + Text((*absent)->id) : "its token") +
              " is not");
  }
}

// What records say of their commits agrees with each other, and with what callers were told.
void Verdict::JudgeCommits() {
  std::map<uint64_t, uint64_t> told;
  for (const HeardWrite& write : history_.writes()) {
    if (!write.changed) continue;
    told[write.commit] = write.commit_changes;
    if (write.sequence < write.commit || write.sequence - write.commit >= write.commit_changes) {
      complain_("write " + Text(write.id) + " has the sequence number " + Text(write.sequence) +
                " in the commit " + Text(write.commit) + " of " + Text(write.commit_changes));
    }
  }
  for (const auto& [key, records] : new_records_) {
    for (const NewRecord& record : records) {
      const uint64_t changes = record.event->last;
      const auto [known, added] = told.emplace(record.event->second, changes);
      if (known->second == changes) continue;
      complain_("record " + Text(record.event->sequence) + " says that its commit has " +
                Text(changes) + " changes, and it has " + Text(known->second));
    }
  }
}

void Verdict::JudgeEnded(const std::vector<const HeardWrite*>& writes) {
  const HeardWrite& first = *writes[0];
  if (first.failed) return;
  const bool refused = std::any_of(writes.begin(), writes.end(),
                                   [](const HeardWrite* write) { return write->refused; });
  if (first.rejected != refused) {
    complain_("transaction " + Text(first.transaction) + " was rejected for no reason, or was not");
  }
  uint64_t changes = 0;
  for (const HeardWrite* write : writes) {
    if (!write->changed) continue;
    if (write->sequence != write->commit + changes++) {
      complain_("write " + Text(write->id) + " does not follow the one before it in its commit");
    }
  }
  if (changes > 0) ++counts_.transactions;
}

bool Verdict::SurelyHappened(const HeardWrite& write) const {
  if (write.changed) return true;
  // Only a state with the write's own id tells it from others.
  return placed_.contains(&write) && write.operation != Operation::kDelete &&
         write.operation != Operation::kDeleteIfCountEven;
}

// A write that would have changed its item, whatever that was, and that cannot have done so.
bool Verdict::SurelyAbsent(const HeardWrite& write) const {
  if (write.stage == HeardWrite::Stage::kEnded) return write.rejected || write.failed;
  if (write.operation != Operation::kPut && write.operation != Operation::kUpdate) return false;
  const auto table = now_.tables.find(write.table);
  const auto lives = incarnations_.find(write.table);
  if (placed_.contains(&write) || table == now_.tables.end() || lives == incarnations_.end() ||
      lives->second.size() != 1) {
    return false;
  }
  // Streams show every new image since it began, and this is none of them.
  const Walk walk{.table = write.table, .key = write.key, .incarnation = &lives->second[0]};
  const bool images = std::all_of(now_.streams.begin(), now_.streams.end(), [&](const auto& each) {
    return each.second.table_id != table->second.id || ShowsNewImages(each.second.view);
  });
  if (images && Covered(walk, write.floor, UINT64_MAX)) return true;
  // The item is as it was before, and nobody has put that again.
  const auto item = table->second.items.find(write.key);
  const ItemState left = item == table->second.items.end() ? ItemState{} : item->second;
  const auto others = writes_.find({write.table, write.key});
  const HeardWrite* made_by = nullptr;
  for (const HeardWrite* other : others->second) {
    if (other->operation == Operation::kPutState && other->wanted == left) return false;
    if (!left.present() && (other->MayLeave(left) || history_.MayHaveExpired({other->id, 0, 0}) ||
                            history_.MayHaveExpired(other->wanted))) {
      return false;
    }
    if (left.present() && other->id == left.write) made_by = other;
  }
  if (made_by == nullptr) return left == StateBefore(write.table, write.key, table->second.id);
  return made_by->stage == HeardWrite::Stage::kEnded && made_by->changed &&
         made_by->sequence <= write.floor;
}

bool Verdict::Remembered(const HeardWrite& write) const {
  return tokens_.contains(write.transaction);
}

// It has a token, the store would remember it, and does not.
bool Verdict::Forgotten(const HeardWrite& write) const {
  return write.with_token && write.transaction >> 32 >= tokens_from_ &&
         !tokens_.contains(write.transaction) && now_ms_ - write.begun_ms < kIdempotencyTokenMs;
}

}  // namespace tailrace::crashtest
