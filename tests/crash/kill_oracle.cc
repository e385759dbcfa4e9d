#include "tests/crash/kill_oracle.h"

#include <algorithm>

#include "tests/crash/kill_verdict.h"

namespace tailrace::test {

const ProvenShard* ProvenStream::Showing(uint64_t hash, uint64_t sequence) const {
  for (const auto& [id, shard] : shards) {
    if (shard.hash_first <= hash && hash <= shard.hash_last && shard.Shows(sequence)) return &shard;
  }
  return nullptr;
}

KillCounts Oracle::counts() const {
  KillCounts counts = counts_;
  counts.resumed = history_.ledger().resumed();
  return counts;
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
  uint64_t& ordinal = effects_[{event.stream, event.shard}];
  if (event.kind == EventKind::kEffect) {
    ++counts_.effects;
    ordinal = event.ordinal;
    return;
  }
  if (event.ordinal != 0) ++counts_.effects_found;
  if (event.ordinal < ordinal) {
    Complain("stream " + std::to_string(event.stream) + ", shard " + std::to_string(event.shard) +
             ": a consumer goes on behind the effect of ordinal " + std::to_string(event.ordinal) +
             ", and " + std::to_string(ordinal) + " was acknowledged");
  }
}

void Oracle::Judge(const std::vector<Event>& events) {
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
    } else if (event.kind == EventKind::kEffect || event.kind == EventKind::kEffectFound) {
      HearEffect(event);
    } else if (event.kind == EventKind::kStopped) {
      stopped = true;
    } else if (dumped) {
      history_.Hear(event, complain);
    } else if (event.kind == EventKind::kDumpEnd) {
      dumped = true;
      dump.push_back(event);
      proven_ = Verdict(proven_, history_, dump, counts_, complain).Pass();
      proven_.lsn = highest_lsn_;
      history_.Begin(highest_lsn_ - 1, event.true_ms, confirmation_ms_, wall_ms_);
    } else {
      dump.push_back(event);
    }
  }
  // Even a process that was killed early may have begun a new epoch.
  stopped_ = stopped;
}

}  // namespace tailrace::test
