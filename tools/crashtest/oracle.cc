#include "tools/crashtest/oracle.h"

#include <algorithm>
#include <set>

#include "tools/crashtest/verdict.h"

namespace tailrace::crashtest {

const ProvenShard* ProvenStream::Showing(uint64_t hash, uint64_t sequence) const {
  for (const auto& [id, shard] : shards) {
    if (shard.hash_first <= hash && hash <= shard.hash_last && shard.Shows(sequence)) return &shard;
  }
  return nullptr;
}

void Counts::Add(const Counts& more) {
  processes += more.processes;
  judged += more.judged;
  acknowledged += more.acknowledged;
  other_answers += more.other_answers;
  pending += more.pending;
  survived += more.survived;
  records += more.records;
  expired += more.expired;
  items_expired += more.items_expired;
  deliveries += more.deliveries;
  resumed += more.resumed;
  transactions += more.transactions;
  transactions_pending += more.transactions_pending;
  transactions_found += more.transactions_found;
  shards_opened += more.shards_opened;
  table_changes += more.table_changes;
  effects += more.effects;
  effects_found += more.effects_found;
  taken_back += more.taken_back;
  tails += more.tails;
  untold += more.untold;
}

Counts Oracle::counts() const {
  Counts counts = counts_;
  counts.resumed = history_.ledger().resumed();
  return counts;
}

uint64_t Oracle::proven_record() const {
  uint64_t newest = 0;
  for (const auto& [id, stream] : proven_.streams) {
    for (const auto& [shard_id, shard] : stream.shards) {
      if (!shard.records.empty()) newest = std::max(newest, shard.records.back().sequence);
    }
  }
  return newest;
}

uint64_t Oracle::last_ms() const { return std::max(history_.last_ms(), highest_ms_); }

void Oracle::Opened(const Event& event) {
  if (event.first <= highest_epoch_) Complain("the epoch has not risen");
  if (event.second <= std::max(highest_lsn_, history_.highest_sequence())) {
    Complain("the journal goes on at " + std::to_string(event.second) + ", which is not above " +
             std::to_string(std::max(highest_lsn_, history_.highest_sequence())));
  }
  if (store_id_ != 0 && event.write != store_id_) Complain("it is another store");
  store_id_ = event.write;
  if (stopped_ && (event.outcome == 0 || event.ordinal != 0)) {
    Complain("the store was closed, and the next opening replays something");
  }
  confirmation_ms_ = event.last;
  wall_ms_ = event.sequence;
  highest_epoch_ = std::max(highest_epoch_, event.first);
  highest_lsn_ = std::max(highest_lsn_, event.second);
}

void Oracle::HearEffect(const Event& event) {
  Effects& effects = effects_[{event.stream, event.shard}];
  if (event.kind == EventKind::kEffect) {
    ++counts_.effects;
    // One that changed nothing rests on the one before.
    uint64_t sequence = event.sequence;
    if (sequence == 0 && !effects.since.empty()) sequence = effects.since.back().sequence;
    effects.since.push_back({event.ordinal, sequence});
    effects.taken_back = false;
    return;
  }
  if (event.ordinal != 0) ++counts_.effects_found;
  const uint64_t newest = effects.newest();
  const bool may_be_untold = !effects.taken_back && effects.since.empty();
  if (event.ordinal < newest || (event.ordinal > newest && !may_be_untold)) {
    Complain("stream " + std::to_string(event.stream) + ", shard " + std::to_string(event.shard) +
             ": a consumer goes on behind the effect of ordinal " + std::to_string(event.ordinal) +
             ", and " + std::to_string(newest) + " was acknowledged and is left");
  }
  // From here on it makes new ones, of which the last may be stored and never told. This one may be
  // such, of an earlier life: then it was there when the store was opened, and nothing takes it
  // back.
  effects.taken_back = false;
  if (effects.since.empty()) effects.settled = event.ordinal;
}

// Those in the lost tail are gone, and nothing behind them can be there.
void Oracle::TakeBackEffects(uint64_t end) {
  for (auto& [shard, effects] : effects_) {
    const size_t lost = std::erase_if(
        effects.since, [end](const Effects::Stored& each) { return each.sequence >= end; });
    if (lost > 0) effects.taken_back = true;
  }
}

// A dump may show shards that upkeep has sealed since the opening, and those that took their place:
// that may be lost.
void Oracle::TakeBackShards(uint64_t end) {
  for (auto& [id, stream] : proven_.streams) {
    std::erase_if(stream.shards, [end](const auto& each) { return each.second.starting > end; });
    for (auto& [shard_id, shard] : stream.shards) {
      if (shard.ending && *shard.ending >= end) shard.ending.reset();
    }
  }
}

// The power failed and the store may have lost a tail: history_ becomes what is left.
void Oracle::TakeBack(const std::vector<Event>& dump, const Complaint& complain) {
  const auto next = epoch_ends_.upper_bound(traffic_epoch_);
  if (next == epoch_ends_.end()) {
    ++counts_.untold;
    return;
  }
  const uint64_t end = next->second;
  history_.TakeBack(end, complain);
  TakeBackEffects(end);
  TakeBackShards(end);
  const History::TakenBack& taken = history_.taken_back();
  counts_.taken_back += taken.writes;
  if (taken.writes > 0) ++counts_.tails;
  const std::set<uint64_t> transactions(taken.transactions.begin(), taken.transactions.end());
  for (const Event& event : dump) {
    if (event.kind == EventKind::kToken && transactions.contains(event.transaction)) {
      Complain("the token of transaction " + std::to_string(event.transaction) +
               " is there, and a power cut has taken its changes back");
    }
    if (event.kind == EventKind::kRecord && event.sequence >= end) {
      Complain("stream " + std::to_string(event.stream) + " has a record " +
               std::to_string(event.sequence) + ", and the journal had ended at " +
               std::to_string(end));
    }
  }
}

void Oracle::HearDumpEnd(std::vector<Event>& dump, const Event& event, const Complaint& complain) {
  dump.push_back(event);
  if (exposed_ && traffic_epoch_ != 0) TakeBack(dump, complain);
  if (lost_track()) return;
  proven_ = Verdict(proven_, history_, dump, counts_, complain).Pass();
  proven_.lsn = highest_lsn_;
  history_.Begin(highest_lsn_ - 1, event.true_ms, confirmation_ms_, wall_ms_);
  for (auto& [shard, effects] : effects_) {
    effects.settled = effects.newest();
    effects.since.clear();
  }
  traffic_epoch_ = highest_epoch_;
  reopened_ = exposed_ = false;
}

void Oracle::Judge(const std::vector<Event>& events, bool power_cut) {
  ++counts_.processes;
  const Complaint complain = [this](const std::string& problem) { Complain(problem); };
  std::vector<Event> dump;
  bool dumped = false;
  bool stopped = false;
  history_.ProcessDied();
  for (const Event& event : events) {
    highest_ms_ = std::max(highest_ms_, event.true_ms);
    if (event.kind == EventKind::kFailure) {
      Complain(event.text.data());
    } else if (event.kind == EventKind::kOpened) {
      Opened(event);
      reopened_ = true;
    } else if (event.kind == EventKind::kEpoch) {
      epoch_ends_[event.first] = event.second;
    } else if (event.kind == EventKind::kEffect || event.kind == EventKind::kEffectFound) {
      HearEffect(event);
    } else if (event.kind == EventKind::kStopped) {
      stopped = true;
      history_.Synced();
    } else if (dumped) {
      history_.Hear(event, complain);
    } else if (event.kind == EventKind::kDumpEnd) {
      dumped = true;
      HearDumpEnd(dump, event, complain);
      if (lost_track()) return;
    } else {
      dump.push_back(event);
    }
  }
  // Even a process that was killed early may have begun a new epoch.
  stopped_ = stopped;
  if (power_cut && power_takes_back_ && !reopened_) exposed_ = true;
}

}  // namespace tailrace::crashtest
