// A short story of a store, told as the processes of a crash test would tell it, for tests of their
// oracle: it is right as it stands, and a test changes it.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "tools/crashtest/oracle.h"
#include "tools/crashtest/world.h"
#include "wal/check.h"

namespace tailrace::crashtest {

using Story = std::vector<std::vector<Event>>;  // What each life told.

inline constexpr uint64_t kHourMs = 3600'000;
inline constexpr uint64_t kRetentionMs = 24 * kHourMs;
inline constexpr uint64_t kPut = 1001;      // Ids of the writes: of key 3,
inline constexpr uint64_t kUpdate = 1002;   // of key 3 again,
inline constexpr uint64_t kPending = 1003;  // of key 4, under way when the process dies.
inline constexpr uint64_t kBare = 1004;     // In the table without a stream.
inline constexpr uint64_t kBarePending = 1005;
inline constexpr uint32_t kStreamed = 0;  // Numbers of the two tables.
inline constexpr uint32_t kPlain = 3;

inline Event Opened(uint64_t epoch, uint64_t lsn, uint64_t true_ms) {
  Event event{.kind = EventKind::kOpened, .true_ms = true_ms};
  event.first = epoch;
  event.second = lsn;
  event.write = 77;
  event.ordinal = 1;
  return event;
}

inline Event TableChanged(EventKind kind, Operation operation, uint32_t table, uint64_t id,
                          uint64_t stream, uint64_t sequence) {
  Event event{.kind = kind, .operation = operation, .table = table};
  event.outcome = stream != 0;
  event.first = id;
  event.stream = stream;
  event.sequence = sequence;
  return event;
}

inline void Create(std::vector<Event>& life, uint32_t table, uint64_t id, uint64_t stream,
                   uint64_t sequence) {
  life.push_back(
      TableChanged(EventKind::kTableChangeBegin, Operation::kCreateTable, table, 0, stream, 0));
  life.push_back(TableChanged(EventKind::kTableChangeEnd, Operation::kCreateTable, table, id,
                              stream, sequence));
}

inline Event WriteBegin(uint64_t id, Operation operation, uint32_t table, uint32_t key) {
  Event event{.kind = EventKind::kWriteBegin, .operation = operation, .table = table, .key = key};
  event.thread = kFirstWriterThread;
  event.write = id;
  event.true_ms = 1;
  return event;
}

inline Event WriteEnd(Event event, uint64_t sequence, const ItemState& old, const ItemState& made) {
  event.kind = EventKind::kWriteEnd;
  event.sequence = sequence;
  event.has_old_image = true;
  event.old_state = old;
  event.new_state = made;
  event.true_ms = 2;
  return event;
}

inline Event Read(EventKind kind, uint32_t table, uint32_t key, const ItemState& state) {
  Event event{.kind = kind, .table = table, .key = key};
  event.thread = kFirstWriterThread + 1;
  event.new_state = state;
  return event;
}

inline Event Record(uint64_t ordinal, uint64_t sequence, uint32_t key, const ItemState& old,
                    const ItemState& made) {
  Event event{.kind = EventKind::kRecord, .view = ViewType::kNewAndOldImages, .key = key};
  event.stream = 1;
  event.shard = 1;
  event.ordinal = ordinal;
  event.sequence = sequence;
  event.change = old.present() ? ChangeKind::kModify : ChangeKind::kInsert;
  event.has_new_image = true;
  event.has_old_image = old.present();
  event.old_state = old;
  event.new_state = made;
  event.first = 5000 + ordinal;
  event.second = sequence;
  event.last = 1;
  return event;
}

inline Event ItemOf(uint32_t table, uint32_t key, const ItemState& state) {
  Event event{.kind = EventKind::kItem, .table = table, .key = key};
  event.new_state = state;
  return event;
}

inline const ItemState kPutState{kPut, 0, 0};
inline const ItemState kUpdateState{kUpdate, 1, kPut};
inline const ItemState kPendingState{kPending, 0, 0};
inline const ItemState kBareState{kBare, 0, 0};
inline const ItemState kBarePendingState{kBarePending, 0, 0};

// A whole dump; the pending writes did not survive.
inline std::vector<Event> Dump(uint64_t epoch, uint64_t lsn, uint64_t true_ms) {
  std::vector<Event> life{Opened(epoch, lsn, true_ms)};
  Event table{.kind = EventKind::kTable, .view = ViewType::kNewAndOldImages, .table = kStreamed};
  table.first = 1;
  table.stream = 1;
  life.push_back(table);
  life.push_back(ItemOf(kStreamed, 3, kUpdateState));
  Event plain{.kind = EventKind::kTable, .table = kPlain};
  plain.first = 2;
  life.push_back(plain);
  life.push_back(ItemOf(kPlain, 5, kBareState));
  Event stream{.kind = EventKind::kStream, .view = ViewType::kNewAndOldImages, .table = kStreamed};
  stream.stream = 1;
  stream.first = 1;
  stream.second = kRetentionMs;
  stream.outcome = 1;
  life.push_back(stream);
  Event shard{.kind = EventKind::kShard, .table = kStreamed};
  shard.stream = 1;
  shard.shard = 1;
  shard.last = UINT64_MAX;
  shard.sequence = 101;
  shard.ordinal = 101;
  life.push_back(shard);
  life.push_back(Record(1, 140, 3, {}, kPutState));
  life.push_back(Record(2, 160, 3, kPutState, kUpdateState));
  life.push_back({.kind = EventKind::kDumpEnd, .true_ms = true_ms});
  return life;
}

// A second shard of the stream, open, for the hashes from `hash_first` on.
inline void AddShard(std::vector<Event>& life, uint64_t starting, uint64_t hash_first) {
  Event shard{.kind = EventKind::kShard, .table = kStreamed};
  shard.stream = 1;
  shard.shard = 2;
  shard.first = hash_first;
  shard.last = UINT64_MAX;
  shard.sequence = shard.ordinal = starting;
  const auto first = std::find_if(life.begin(), life.end(), [](const Event& event) {
    return event.kind == EventKind::kRecord;
  });
  life.insert(first, shard);
}

// Three lives: one that writes, one that is looked at, one more that is looked at.
inline Story RightStory() {
  std::vector<Event> first{Opened(1, 90, 0), {.kind = EventKind::kDumpEnd}};
  first.push_back({.kind = EventKind::kTrafficBegin});
  Create(first, kStreamed, 1, 1, 100);
  Create(first, kPlain, 2, 0, 110);
  const Event put = WriteBegin(kPut, Operation::kPut, kStreamed, 3);
  first.push_back(put);
  first.push_back(WriteEnd(put, 140, {}, kPutState));
  const Event update = WriteBegin(kUpdate, Operation::kUpdate, kStreamed, 3);
  first.push_back(update);
  first.push_back(WriteEnd(update, 160, kPutState, kUpdateState));
  const Event bare = WriteBegin(kBare, Operation::kPut, kPlain, 5);
  first.push_back(bare);
  first.push_back(WriteEnd(bare, 180, {}, kBareState));
  first.push_back(WriteBegin(kPending, Operation::kPut, kStreamed, 4));
  first.push_back(WriteBegin(kBarePending, Operation::kPut, kPlain, 5));
  return {first, Dump(2, 300, 10), Dump(3, 400, 20)};
}

// What is wrong with it, a line each.
inline std::string ProblemsOf(const Oracle& oracle) {
  std::string all;
  for (const std::string& problem : oracle.problems()) all += problem + "\n";
  return all;
}

inline std::string ProblemsOf(const Story& story) {
  Oracle oracle;
  for (const auto& life : story) oracle.Judge(life);
  return ProblemsOf(oracle);
}

inline Event& Find(std::vector<Event>& life, EventKind kind, uint64_t number) {
  const auto found = std::find_if(life.begin(), life.end(), [&](const Event& event) {
    return event.kind == kind &&
           (event.ordinal == number || event.key == number || event.write == number);
  });
  TAILRACE_CHECK(found != life.end(), "the story has that event");
  return *found;
}

inline void Erase(std::vector<Event>& life, EventKind kind, uint64_t number) {
  const Event& victim = Find(life, kind, number);
  life.erase(life.begin() + (&victim - life.data()));
}

inline void InsertBeforeEnd(std::vector<Event>& life, const Event& event) {
  life.insert(std::prev(life.end()), event);
}

// The same in both dumps.
inline void InBoth(Story& story, const std::function<void(std::vector<Event>&)>& change) {
  change(story[1]);
  change(story[2]);
}

}  // namespace tailrace::crashtest
