// The part of the judgement that follows the changes of one key: what callers were told, what the
// stream shows, and what is in the table must be one history.
#include <algorithm>

#include "tools/crashtest/verdict.h"

namespace tailrace::crashtest {
namespace {

std::string Text(uint64_t number) { return std::to_string(number); }

std::string Text(const std::optional<ItemState>& state) {
  return state ? state->ToString() : "something";
}

ChangeKind KindOf(const ItemState& old, bool present) {
  if (!present) return ChangeKind::kRemove;
  return old.present() ? ChangeKind::kModify : ChangeKind::kInsert;
}

}  // namespace

std::string Verdict::NameOf(const Walk& walk) const {
  return "table " + KeySpace::Of(walk.table).name() + " (" + Text(walk.incarnation->table_id) +
         "), key " + Text(walk.key);
}

void Verdict::JudgeKeys() {
  for (uint32_t table = 0; table < kTableNames; ++table) {
    for (uint32_t key = 0; key < kKeysPerTable; ++key) {
      for (const Incarnation& incarnation : incarnations_[table]) {
        Walk walk{.table = table, .key = key, .incarnation = &incarnation};
        WalkIncarnation(walk);
      }
      JudgeObservations(table, key);
    }
  }
}

ItemState Verdict::StateBefore(uint32_t table, uint32_t key, uint64_t table_id) const {
  const auto found = before_.tables.find(table);
  if (found == before_.tables.end() || found->second.id != table_id) return {};
  const auto item = found->second.items.find(key);
  return item == found->second.items.end() ? ItemState{} : item->second;
}

void Verdict::WalkIncarnation(Walk& walk) {
  walk.state = StateBefore(walk.table, walk.key, walk.incarnation->table_id);
  walk.sequence = std::max(walk.incarnation->above, before_.lsn == 0 ? 0 : before_.lsn - 1);
  for (const Entry& entry : EntriesOf(walk)) Take(walk, entry);
  const auto table = now_.tables.find(walk.table);
  if (table == now_.tables.end() || table->second.id != walk.incarnation->table_id) return;
  JudgeFinal(walk);
}

// The changes of a key that are sure to have happened, in the order of their sequence numbers; what
// may have happened goes into walk.pending.
std::vector<Verdict::Entry> Verdict::EntriesOf(Walk& walk) {
  std::map<uint64_t, Entry> entries;
  for (NewRecord& record : new_records_[{walk.incarnation->table_id, walk.key}]) {
    entries[record.event->sequence] = {record.event->sequence, nullptr, &record};
  }
  for (const HeardWrite* write : writes_[{walk.table, walk.key}]) {
    if (!write->changed) {
      if (write->stage == HeardWrite::Stage::kBegun) walk.pending.push_back(write);
      continue;
    }
    if (write->sequence <= walk.incarnation->above || write->sequence >= walk.incarnation->below) {
      continue;
    }
    if (write->safe || write->sequence <= survivors_end_ || entries.contains(write->sequence)) {
      Entry& entry = entries[write->sequence];
      entry.sequence = write->sequence;
      entry.write = write;
    } else if (ShardShowing(walk, write->sequence) == nullptr) {
      walk.pending.push_back(write);  // Queued, and no stream tells what became of it.
    }
  }
  std::vector<Entry> ordered;
  for (const auto& [sequence, entry] : entries) ordered.push_back(entry);
  return ordered;
}

// One step along the key's history.
void Verdict::Take(Walk& walk, const Entry& entry) {
  const HeardWrite* write = entry.write;
  const Event* record = entry.record == nullptr ? nullptr : entry.record->event;
  const std::string name = NameOf(walk) + ", change " + Text(entry.sequence);
  std::optional<ItemState> old;
  std::optional<ItemState> made;
  if (record != nullptr) {
    if (record->has_old_image) old = record->old_state;
    if (record->change == ChangeKind::kInsert) old = ItemState{};
    if (record->has_new_image) made = record->new_state;
    if (record->change == ChangeKind::kRemove) made = ItemState{};
  }
  if (write != nullptr) {
    if (write->has_states) old = write->old_state;
    made = write->new_state;
  }
  if (write != nullptr && record != nullptr && record->by_service) {
    complain_(name + " says that the store made it, and somebody else did");
  }
  if (write == nullptr && record->by_service) {
    MatchExpiry(walk, *entry.record);
  } else if (write == nullptr) {
    MatchRecord(walk, *entry.record);
  } else if (record == nullptr) {
    JudgeMissing(walk, *write);
  } else {
    entry.record->begun_ms = write->begun_ms;
    CompareRecord(walk, *write, *record);
  }
  if (walk.state && old && !(*walk.state == *old) && !Explain(walk, *old, entry.sequence)) {
    complain_(name + " was made over " + old->ToString() + ", and what was there was " +
              walk.state->ToString());
  }
  const std::optional<ItemState> prior = old ? old : walk.state;
  if (record != nullptr && prior &&
      record->change != KindOf(*prior, record->change != ChangeKind::kRemove)) {
    complain_(name + ": " + std::string(ChangeKindName(record->change)) + " over " + Text(prior));
  }
  if (prior && made && *prior == *made) complain_(name + " changed nothing");
  walk.state = made;
  walk.sequence = entry.sequence;
  const bool ended = write != nullptr && write->stage == HeardWrite::Stage::kEnded;
  if (ended) walk.newest_ended = entry.sequence;
  walk.beyond_newest = !ended;
}

// A record of a change that no caller was told of: somebody was about to make it.
void Verdict::MatchRecord(Walk& walk, NewRecord& record) {
  const Event& event = *record.event;
  const std::string name = NameOf(walk) + ", record " + Text(event.sequence);
  const bool removed = event.change == ChangeKind::kRemove;
  record.begun_ms = history_.first_ms();
  bool possible = false;
  for (const HeardWrite* write : walk.pending) {
    if (placed_.contains(write)) continue;
    if (!removed && !event.has_new_image) {
      // The view shows only that something was put. Which write it was, its successor may tell.
      possible = possible || !write->MayLeave({});
      continue;
    }
    if (!write->MayLeave(event.new_state)) continue;
    placed_.insert(write);
    record.begun_ms = write->begun_ms;
    ++counts_.survived;
    return;
  }
  if (!possible) complain_(name + " is of a write that nobody made");
}

// A record of a deletion by the store: what was there had expired.
void Verdict::MatchExpiry(const Walk& walk, NewRecord& record) {
  const Event& event = *record.event;
  record.begun_ms = history_.first_ms();
  ++counts_.items_expired;
  std::optional<ItemState> old = walk.state;
  if (event.has_old_image) old = event.old_state;
  if (event.change != ChangeKind::kRemove || (old && !history_.MayHaveExpired(*old))) {
    complain_(NameOf(walk) + ", record " + Text(event.sequence) +
              " is of the store, which had no reason: there was " + Text(old));
  }
}

void Verdict::CompareRecord(const Walk& walk, const HeardWrite& write, const Event& record) {
  const std::string name = NameOf(walk) + ", record " + Text(record.sequence);
  if ((record.change != ChangeKind::kRemove) != write.new_state.present()) {
    complain_(name + " is a " + std::string(ChangeKindName(record.change)) +
              ", and the write left " + write.new_state.ToString());
  }
  if (record.has_new_image && !(record.new_state == write.new_state)) {
    complain_(name + " shows " + record.new_state.ToString() + ", and the write left " +
              write.new_state.ToString());
  }
  if (record.has_old_image && write.has_states && !(record.old_state == write.old_state)) {
    complain_(name + " shows the old image " + record.old_state.ToString() +
              ", and the write found " + write.old_state.ToString());
  }
  const auto& maintained = history_.maintained();
  const uint64_t retention_ms = now_.streams.at(record.stream).retention_ms;
  if (maintained && record.sequence <= maintained->delivered && write.ended_ms != 0 &&
      write.ended_ms + retention_ms < maintained->begun_ms) {
    complain_(name + " had expired before the last upkeep and is still there");
  }
}

// A change that happened and is in no stream: rightly so if none was enabled, or if it expired.
void Verdict::JudgeMissing(const Walk& walk, const HeardWrite& write) {
  const std::string name = NameOf(walk) + ", change " + Text(write.sequence);
  if (ShardShowing(walk, write.sequence) != nullptr) {
    return complain_(name + " is in the table's history and not in its stream");
  }
  const uint64_t hash = KeySpace::Of(walk.table).Hash(walk.key);
  for (const auto& [id, stream] : now_.streams) {
    if (stream.table_id != walk.incarnation->table_id) continue;
    for (const auto& [shard_id, shard] : stream.shards) {
      if (hash < shard.hash_first || shard.hash_last < hash || write.sequence < shard.starting ||
          write.sequence >= shard.trimmed_below ||
          (shard.ending && *shard.ending < write.sequence)) {
        continue;
      }
      JudgeExpiry(name, stream.retention_ms, write.begun_ms);
    }
  }
}

const ProvenShard* Verdict::ShardShowing(const Walk& walk, uint64_t sequence) const {
  const uint64_t hash = KeySpace::Of(walk.table).Hash(walk.key);
  for (const auto& [id, stream] : now_.streams) {
    if (stream.table_id != walk.incarnation->table_id) continue;
    if (const ProvenShard* shard = stream.Showing(hash, sequence)) return shard;
  }
  return nullptr;
}

// Whether streams show every change of the key between the two sequence numbers.
bool Verdict::Covered(const Walk& walk, uint64_t above, uint64_t below) const {
  uint64_t sequence = above + 1;
  while (sequence < below) {
    const ProvenShard* shard = ShardShowing(walk, sequence);
    if (shard == nullptr) return false;
    if (!shard->ending) return true;
    sequence = *shard->ending + 1;
  }
  return true;
}

// Whether a write that was under way, and that no stream had to show, may have left this state
// between the last change and `until`; or the store, because the item had expired. If a write, it
// is taken for that.
bool Verdict::Explain(Walk& walk, const ItemState& state, uint64_t until) {
  if (Covered(walk, walk.sequence, until)) return false;
  if (!state.present() && (!walk.state || history_.MayHaveExpired(*walk.state))) {
    walk.beyond_newest = true;
    return true;
  }
  for (const HeardWrite* write : walk.pending) {
    if (placed_.contains(write)) continue;
    // What it left may have expired in its turn; that depends on the write alone.
    const ItemState left =
        write->operation == Operation::kPutState ? write->wanted : ItemState{.write = write->id};
    const bool may_have_expired =
        !state.present() && write->MayLeave(left) && history_.MayHaveExpired(left);
    if (!may_have_expired && !write->MayLeave(state)) continue;
    placed_.insert(write);
    ++counts_.survived;
    walk.beyond_newest = true;
    return true;
  }
  return false;
}

void Verdict::JudgeFinal(Walk& walk) {
  const ProvenTable& table = now_.tables.at(walk.table);
  const auto item = table.items.find(walk.key);
  const ItemState final = item == table.items.end() ? ItemState{} : item->second;
  const std::optional<ItemState> settled = walk.state;
  bool right = false;
  if (settled) {
    right = *settled == final || Explain(walk, final, UINT64_MAX);
  } else {
    right = Explain(walk, final, UINT64_MAX) ||
            std::any_of(walk.pending.begin(), walk.pending.end(), [&](const HeardWrite* write) {
              return !placed_.contains(write) && write->MayLeave(final);
            });
  }
  if (!right) {
    complain_(NameOf(walk) + " holds " + final.ToString() + ", and its history, up to " +
              Text(walk.sequence) + ", ends with " + Text(settled));
  }
  if (walk.beyond_newest || (walk.newest_ended == 0 && incarnations_[walk.table].size() > 1)) {
    return;
  }
  // Who read after the newest change that a caller knows of, and saw anything else, saw a change
  // behind it. That one may not be lost.
  for (const Observation* seen : observations_[{walk.table, walk.key}]) {
    if (seen->key_floor == walk.newest_ended && !(seen->state == final)) {
      complain_(NameOf(walk) + ": " + seen->state.ToString() +
                " was shown and is lost; what is left is " + final.ToString());
    }
  }
}

// No reader sees a state that nobody made, or one older than a change that had ended.
void Verdict::JudgeObservations(uint32_t table, uint32_t key) {
  const auto& writes = writes_[{table, key}];
  for (const Observation* seen : observations_[{table, key}]) {
    if (!seen->state.present()) continue;
    bool under_way = false;
    std::optional<uint64_t> newest;
    const auto base = before_.tables.find(table);
    if (base != before_.tables.end() && StateBefore(table, key, base->second.id) == seen->state) {
      newest = 0;
    }
    for (const HeardWrite* write : writes) {
      if (write->changed && write->new_state == seen->state) {
        newest = std::max(newest.value_or(0), write->sequence);
      } else if (write->stage == HeardWrite::Stage::kBegun && write->MayLeave(seen->state)) {
        under_way = true;
      }
    }
    const std::string name = "table " + KeySpace::Of(table).name() + ", key " + Text(key) + ": " +
                             seen->state.ToString();
    if (!newest && !under_way) complain_(name + " was shown, and nobody wrote it");
    if (newest && !under_way && *newest < seen->key_floor) {
      complain_(name + " was shown when it had been overwritten at " + Text(seen->key_floor));
    }
  }
}

}  // namespace tailrace::crashtest
