#include "tools/crashtest/verdict.h"

#include <algorithm>

namespace tailrace::crashtest {
namespace {

std::string Text(uint64_t number) { return std::to_string(number); }

bool EndedWithChange(const HeardWrite& write) {
  return write.changed && write.stage == HeardWrite::Stage::kEnded;
}

}  // namespace

Verdict::Verdict(const Proven& before, const History& history, const std::vector<Event>& dump,
                 Counts& counts, const Complaint& complain)
    : before_(before), history_(history), counts_(counts), complain_(complain) {
  now_.highest_table_id = before.highest_table_id;
  now_.highest_stream = before.highest_stream;
  ReadDump(dump);
  for (const HeardWrite& write : history.writes()) {
    writes_[{write.table, write.key}].push_back(&write);
    if (write.changed && write.safe) survivors_end_ = std::max(survivors_end_, write.sequence);
  }
  for (const Observation& observation : history.observations()) {
    observations_[{observation.table, observation.key}].push_back(&observation);
  }
  for (const Delivery& delivery : history.deliveries()) {
    survivors_end_ = std::max(survivors_end_, delivery.sequence);
  }
}

void Verdict::ReadDump(const std::vector<Event>& dump) {
  for (const Event& event : dump) {
    now_ms_ = std::max(now_ms_, event.true_ms);
    if (event.kind == EventKind::kTable) {
      ProvenTable& table = now_.tables[event.table];
      table.id = event.first;
      table.stream = event.stream;
    } else if (event.kind == EventKind::kItem) {
      now_.tables[event.table].items[event.key] = event.new_state;
    } else if (event.kind == EventKind::kStream) {
      ProvenStream& stream = now_.streams[event.stream];
      stream.table = event.table;
      stream.table_id = event.first;
      stream.view = event.view;
      stream.retention_ms = event.second;
      stream.enabled = event.outcome != 0;
    } else if (event.kind == EventKind::kShard) {
      ProvenShard& shard = now_.streams[event.stream].shards[event.shard];
      shard.hash_first = event.first;
      shard.hash_last = event.last;
      shard.starting = event.sequence;
      if (event.second != 0) shard.ending = event.second;
      shard.trimmed_below = event.ordinal;
    } else if (event.kind == EventKind::kRecord) {
      shard_records_[{event.stream, event.shard}].push_back(&event);
      survivors_end_ = std::max(survivors_end_, event.sequence);
    } else if (event.kind == EventKind::kToken) {
      tokens_.insert(event.transaction);
    } else if (event.kind == EventKind::kDumpEnd) {
      dump_from_ = event.sequence;
      tokens_from_ = event.first;
    }
  }
  now_ms_ = std::max(now_ms_, history_.last_ms());
}

Proven Verdict::Pass() {
  ++counts_.judged;
  JudgeCatalogue();
  JudgeStreams();
  JudgeKeys();
  JudgeTransactions();
  KeepNewRecords();
  JudgeReaders();
  for (const HeardWrite& write : history_.writes()) {
    if (EndedWithChange(write) || (write.changed && write.safe)) ++counts_.acknowledged;
    if (write.stage == HeardWrite::Stage::kEnded && !write.changed) ++counts_.other_answers;
    if (!write.safe) ++counts_.pending;
    if (!write.safe && write.changed && write.sequence <= survivors_end_) ++counts_.survived;
  }
  counts_.other_answers += history_.observations().size();
  counts_.deliveries += history_.deliveries().size();
  counts_.table_changes += history_.table_changes().size();
  return std::move(now_);
}

// ---- Tables and which streams there are ----

void Verdict::JudgeCatalogue() {
  std::map<uint32_t, Expected> expected;
  for (const auto& [table, proven] : before_.tables) {
    expected[table] = {proven.id, proven.stream};
    incarnations_[table].push_back({.table_id = proven.id});
  }
  for (const TableChange& change : history_.table_changes()) {
    if (!change.ended) {
      JudgePendingChange(change, expected);
    } else if (change.done) {
      FollowTableChange(change, expected);
    }
  }
  std::map<uint32_t, Expected> found;
  for (const auto& [table, proven] : now_.tables) {
    found[table] = {proven.id, proven.stream};
    now_.highest_table_id = std::max(now_.highest_table_id, proven.id);
  }
  for (uint32_t table = 0; table < kTableNames; ++table) {
    const Expected want = expected[table];
    const Expected have = found[table];
    if (want == have) continue;
    complain_("table " + KeySpace::Of(table).name() + " has id " + Text(have.table_id) +
              " and stream " + Text(have.stream) + ", not " + Text(want.table_id) + " and " +
              Text(want.stream));
  }
}

void Verdict::FollowTableChange(const TableChange& change, std::map<uint32_t, Expected>& expected) {
  auto& incarnations = incarnations_[change.table];
  switch (change.operation) {
    case Operation::kCreateTable:
      if (change.table_id <= now_.highest_table_id) complain_("a table's id was used before");
      now_.highest_table_id = std::max(now_.highest_table_id, change.table_id);
      expected[change.table] = {change.table_id, change.stream};
      incarnations.push_back({.table_id = change.table_id, .above = change.sequence});
      if (change.stream != 0) announced_streams_.insert(change.stream);
      return;
    case Operation::kDropTable:
      expected.erase(change.table);
      incarnations.back().below = change.sequence;
      return;
    case Operation::kEnableStream:
      expected[change.table].stream = change.stream;
      announced_streams_.insert(change.stream);
      return;
    default:
      expected[change.table].stream = 0;
      return;
  }
}

// It was under way when the process died: it happened or it did not.
void Verdict::JudgePendingChange(const TableChange& change,
                                 std::map<uint32_t, Expected>& expected) {
  const auto found = now_.tables.find(change.table);
  const bool exists = found != now_.tables.end();
  const auto known = expected.find(change.table);
  const bool existed = known != expected.end();
  if (change.operation == Operation::kCreateTable && exists) {
    const ProvenTable& table = found->second;
    if (table.id <= now_.highest_table_id) complain_("a table's id was used before");
    if (change.with_stream != (table.stream != 0)) complain_("a table was made half");
    uint64_t above = history_.highest_sequence();
    const auto stream = now_.streams.find(table.stream);
    if (stream != now_.streams.end() && !stream->second.shards.empty()) {
      above = stream->second.shards.begin()->second.starting - 1;
    }
    expected[change.table] = {table.id, table.stream};
    incarnations_[change.table].push_back({.table_id = table.id, .above = above});
    announced_streams_.insert(table.stream);
  } else if (change.operation == Operation::kDropTable && !exists && existed) {
    expected.erase(known);
    const auto stream = now_.streams.find(change.stream);
    if (stream != now_.streams.end() && !stream->second.shards.empty()) {
      // The newest shard was open until then.
      incarnations_[change.table].back().below =
          stream->second.shards.rbegin()->second.ending.value_or(UINT64_MAX);
    }
  } else if (change.operation == Operation::kEnableStream && exists && existed &&
             known->second.stream == 0) {
    known->second.stream = found->second.stream;
    announced_streams_.insert(found->second.stream);
  } else if (change.operation == Operation::kDisableStream && exists && existed &&
             found->second.stream == 0) {
    known->second.stream = 0;
  }
}

// ---- Streams and their records ----

void Verdict::JudgeStreams() {
  for (auto& [id, stream] : now_.streams) {
    const std::string name = "stream " + Text(id);
    const auto old = before_.streams.find(id);
    if (old == before_.streams.end()) {
      JudgeNewStream(id);
    } else if (old->second.table_id != stream.table_id || old->second.view != stream.view ||
               old->second.retention_ms != stream.retention_ms) {
      complain_(name + " has changed its table, view or retention");
    }
    const auto table = now_.tables.find(stream.table);
    const bool enabled = table != now_.tables.end() && table->second.stream == id;
    if (enabled != stream.enabled) complain_(name + " and its table do not agree on its state");
    JudgeRanges(name, stream);
    for (auto& [shard_id, shard] : stream.shards) JudgeShard(id, stream, shard_id, shard);
    now_.highest_stream = std::max(now_.highest_stream, id);
  }
  for (const auto& [id, stream] : before_.streams) JudgeStreamGone(id, stream);
}

void Verdict::JudgeNewStream(uint64_t id) {
  const std::string name = "stream " + Text(id);
  if (id <= before_.highest_stream) complain_(name + " has an id that was used before");
  if (!announced_streams_.contains(id)) complain_(name + " was enabled by nobody");
}

// The open shards take every hash once, none when the stream is disabled; and no two shards take
// the same hash at the same sequence number.
void Verdict::JudgeRanges(const std::string& name, const ProvenStream& stream) {
  std::map<uint64_t, uint64_t> open;
  for (const auto& [shard_id, shard] : stream.shards) {
    if (!shard.ending) open.emplace(shard.hash_first, shard.hash_last);
    for (const auto& [other_id, other] : stream.shards) {
      if (other_id <= shard_id || other.hash_first > shard.hash_last ||
          shard.hash_first > other.hash_last) {
        continue;
      }
      if (!shard.ending || other.starting <= *shard.ending) {
        complain_(name + ": shards " + Text(shard_id) + " and " + Text(other_id) + " overlap");
      }
    }
  }
  uint64_t next = 0;
  for (const auto& [first, last] : open) {
    if (first != next) complain_(name + ": its open shards leave a hole");
    next = last + 1;
  }
  if (next != 0 || stream.enabled == open.empty()) {
    complain_(name + ": its open shards do not cover all hashes");
  }
}

// Whole shards and streams go once they are sealed and all of their records have expired.
void Verdict::JudgeStreamGone(uint64_t id, const ProvenStream& stream) {
  const auto still = now_.streams.find(id);
  for (const auto& [shard_id, shard] : stream.shards) {
    if (still != now_.streams.end() && still->second.shards.contains(shard_id)) continue;
    const std::string name = "stream " + Text(id) + ", shard " + Text(shard_id);
    for (const ProvenRecord& record : shard.records) {
      JudgeExpiry(name, stream.retention_ms, record.begun_ms);
      ++counts_.expired;
    }
  }
}

void Verdict::JudgeExpiry(const std::string& name, uint64_t retention_ms, uint64_t begun_ms) {
  if (now_ms_ - begun_ms >= retention_ms) return;
  complain_(name + ": a record is gone after at most " + Text(now_ms_ - begun_ms) +
            " ms; the retention is " + Text(retention_ms));
}

void Verdict::JudgeShard(uint64_t id, const ProvenStream& stream, uint64_t shard_id,
                         ProvenShard& shard) {
  const std::string name = "stream " + Text(id) + ", shard " + Text(shard_id);
  ProvenShard old;
  old.hash_first = shard.hash_first;
  old.hash_last = shard.hash_last;
  old.starting = shard.starting;
  old.trimmed_below = shard.starting;
  if (const auto known = before_.streams.find(id); known != before_.streams.end()) {
    const auto found = known->second.shards.find(shard_id);
    if (found != known->second.shards.end()) {
      old = found->second;
    } else {
      if (shard.starting <= before_.lsn) complain_(name + " has come out of nowhere");
      ++counts_.shards_opened;
    }
  }
  if (old.hash_first != shard.hash_first || old.hash_last != shard.hash_last ||
      old.starting != shard.starting || (old.ending && old.ending != shard.ending)) {
    complain_(name + " has changed its range");
  }
  if (shard.trimmed_below < old.trimmed_below) complain_(name + ": its trim point went back");
  JudgeRecords(name, stream, old, shard, shard_records_[{id, shard_id}]);
}

void Verdict::JudgeRecords(const std::string& name, const ProvenStream& stream,
                           const ProvenShard& old_shard, ProvenShard& shard,
                           const std::vector<const Event*>& records) {
  for (const ProvenRecord& record : old_shard.records) {
    if (record.sequence >= shard.trimmed_below) {
      shard.records.push_back(record);
    } else {
      JudgeExpiry(name, stream.retention_ms, record.begun_ms);
      ++counts_.expired;
    }
  }
  const size_t known = shard.records.size();
  // The first record that the dump had to tell again.
  size_t at = 0;
  while (at < known && shard.records[at].sequence < dump_from_) ++at;
  uint64_t last_ordinal =
      old_shard.records.empty() ? old_shard.last_ordinal : old_shard.records.back().ordinal;
  const uint64_t last_sequence = old_shard.records.empty() ? 0 : old_shard.records.back().sequence;
  // What came and was trimmed between two looks is not known.
  bool dense = old_shard.dense &&
               shard.trimmed_below <= std::max(last_sequence + 1, old_shard.trimmed_below);
  for (const Event* record : records) {
    if (at < known) {
      const ProvenRecord& same = shard.records[at++];
      if (same.ordinal != record->ordinal || same.sequence != record->sequence ||
          same.digest != record->first) {
        complain_(name + ": the record with ordinal " + Text(same.ordinal) + " has changed");
      }
      continue;
    }
    if (dense ? record->ordinal != last_ordinal + 1 : record->ordinal <= last_ordinal) {
      complain_(name + ": ordinal " + Text(record->ordinal) + " follows " + Text(last_ordinal));
    }
    dense = true;
    last_ordinal = record->ordinal;
    JudgeNewRecord(name, stream, shard, *record);
    shard.records.push_back({record->ordinal, record->sequence, record->first, 0});
  }
  if (at < known) complain_(name + ": records that were seen are gone");
  shard.last_ordinal = last_ordinal;
  shard.dense = dense;
}

void Verdict::JudgeNewRecord(const std::string& name, const ProvenStream& stream,
                             const ProvenShard& shard, const Event& record) {
  const std::string what = name + ", ordinal " + Text(record.ordinal);
  if (!shard.Shows(record.sequence)) complain_(what + " lies outside of its shard's numbers");
  if (!shard.records.empty() && record.sequence <= shard.records.back().sequence) {
    complain_(what + ": sequence numbers do not rise");
  }
  const uint64_t hash = KeySpace::Of(stream.table).Hash(record.key);
  if (record.table != stream.table || hash < shard.hash_first || shard.hash_last < hash) {
    complain_(what + " belongs to another shard");
  }
  const bool news = stream.view == ViewType::kNewImage || stream.view == ViewType::kNewAndOldImages;
  const bool olds = stream.view == ViewType::kOldImage || stream.view == ViewType::kNewAndOldImages;
  if (record.has_new_image != (news && record.change != ChangeKind::kRemove) ||
      record.has_old_image != (olds && record.change != ChangeKind::kInsert) ||
      record.view != stream.view) {
    complain_(what + " does not have the images of its view");
  }
  new_records_[{stream.table_id, record.key}].push_back({&record, 0});
  ++counts_.records;
}

// The new records are proven from now on; who wrote them tells their age.
void Verdict::KeepNewRecords() {
  std::map<std::pair<ShardKey, uint64_t>, uint64_t> begun_ms;
  for (const auto& [key, records] : new_records_) {
    for (const NewRecord& record : records) {
      begun_ms[{{record.event->stream, record.event->shard}, record.event->ordinal}] =
          record.begun_ms;
    }
  }
  for (auto& [id, stream] : now_.streams) {
    for (auto& [shard_id, shard] : stream.shards) {
      for (ProvenRecord& record : shard.records) {
        const auto found = begun_ms.find({{id, shard_id}, record.ordinal});
        if (found != begun_ms.end()) record.begun_ms = found->second;
      }
    }
  }
}

// ---- What readers were given ----

void Verdict::JudgeReaders() {
  for (const Delivery& delivery : history_.deliveries()) JudgeDelivery(delivery);
  for (const HeardGap& gap : history_.gaps()) {
    const auto stream = now_.streams.find(gap.stream);
    if (stream == now_.streams.end()) continue;
    const auto shard = stream->second.shards.find(gap.shard);
    if (shard == stream->second.shards.end()) continue;
    const auto& records = shard->second.records;
    const bool hides = std::any_of(records.begin(), records.end(), [&](const ProvenRecord& each) {
      return gap.first <= each.sequence && each.sequence <= gap.last;
    });
    if (gap.last < gap.first || hides || (!gap.lost && gap.last >= shard->second.trimmed_below)) {
      complain_("stream " + Text(gap.stream) + ", shard " + Text(gap.shard) +
                ": a reader was told of a gap from " + Text(gap.first) + " to " + Text(gap.last) +
                ", and the shard is trimmed below " + Text(shard->second.trimmed_below));
    }
  }
}

void Verdict::JudgeDelivery(const Delivery& delivery) {
  const auto stream = now_.streams.find(delivery.stream);
  if (stream == now_.streams.end()) return;
  const auto found = stream->second.shards.find(delivery.shard);
  if (found == stream->second.shards.end()) return;
  const ProvenShard& shard = found->second;
  const std::string name = "stream " + Text(delivery.stream) + ", shard " + Text(delivery.shard) +
                           ": the record with ordinal " + Text(delivery.ordinal) +
                           " that a reader was given";
  const auto at = std::lower_bound(
      shard.records.begin(), shard.records.end(), delivery.ordinal,
      [](const ProvenRecord& record, uint64_t ordinal) { return record.ordinal < ordinal; });
  if (at == shard.records.end() || at->ordinal != delivery.ordinal) {
    if (delivery.sequence >= shard.trimmed_below) complain_(name + " is gone");
    return;
  }
  if (at->sequence != delivery.sequence || at->digest != delivery.digest) {
    complain_(name + " has changed");
  }
  if (at == shard.records.begin()) return;
  const ProvenRecord& previous = *std::prev(at);
  if (delivery.from_trim_horizon) complain_(name + " from the trim horizon is not the first");
  if (delivery.first_at_least && (delivery.sequence < *delivery.first_at_least ||
                                  previous.sequence >= *delivery.first_at_least)) {
    complain_(name + " is not the first at or above " + Text(*delivery.first_at_least));
  }
}

}  // namespace tailrace::crashtest
