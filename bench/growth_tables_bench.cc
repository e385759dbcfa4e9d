// growth/tables/<n>: what so many tables, each with a stream, cost: making them, a put and a get in
// any of them, a checkpoint, opening and closing the store, file descriptors, disk, memory, and
// what the process does while nobody calls. As many items and writes for every number of tables.
#include <algorithm>

#include "bench/cases.h"
#include "bench/growth.h"
#include "bench/meters.h"
#include "bench/must.h"
#include "bench/settings.h"
#include "bench/workload.h"

namespace tailrace::bench {
namespace {

constexpr uint64_t kItems = 2000;
constexpr uint64_t kWrites = 20'000;

std::string NameOfTable(uint64_t number) { return "Table" + std::to_string(number); }

// The i-th operation goes to the tables one after another, and within a table to its items.
uint64_t TableOf(uint64_t i, uint64_t tables) { return i % tables; }
uint64_t IdOf(uint64_t i, uint64_t tables) {
  return i / tables % std::max<uint64_t>(kItems / tables, 1);
}

void CreateTables(benchmark::State& state, Store& store, uint64_t tables) {
  const uint64_t begin_ns = NowNs();
  for (uint64_t t = 0; t < tables; ++t) CreateStreamingTable(store, NameOfTable(t));
  state.counters["create_ms"] = MillisecondsSince(begin_ns) / static_cast<double>(tables);
}

// The time of the calls, and of the calls with their fan-out.
struct PutTimes {
  double call_us;
  double put_us;
};
PutTimes PutItems(Store& store, uint64_t tables, uint64_t writes, ValueMaker& values) {
  CommitToken last;
  const uint64_t begin_ns = NowNs();
  for (uint64_t i = 0; i < writes; ++i) {
    const Item item = GrowthItem(IdOf(i, tables), values.Next());
    last = Must(store.Put(NameOfTable(TableOf(i, tables)), item)).token;
  }
  const double call_ms = MillisecondsSince(begin_ns);
  Must(store.WaitFannedOut(last));
  const double scale = 1e3 / static_cast<double>(writes);
  return {call_ms * scale, MillisecondsSince(begin_ns) * scale};
}

// The first put of each item makes the files of its table's shards.
void MeasurePuts(benchmark::State& state, Store& store, uint64_t tables, uint64_t writes) {
  ValueMaker values(kGrowthValueBytes, 1);
  state.counters["first_put_us"] = PutItems(store, tables, std::max(kItems, tables), values).put_us;
  const PutTimes times = PutItems(store, tables, writes, values);
  state.counters["call_us"] = times.call_us;
  state.counters["put_us"] = times.put_us;
}

void MeasureGets(benchmark::State& state, Store& store, uint64_t tables, uint64_t reads) {
  const uint64_t begin_ns = NowNs();
  for (uint64_t i = 0; i < reads; ++i) {
    const auto item = Must(store.Get(NameOfTable(TableOf(i, tables)), GrowthKey(IdOf(i, tables))));
    TAILRACE_CHECK(item.has_value(), "the store lost what it was given");
  }
  state.counters["get_us"] = MillisecondsSince(begin_ns) * 1e3 / static_cast<double>(reads);
}

// Of all tables, and one that only one table has anything for.
void MeasureCheckpoints(benchmark::State& state, Store& store) {
  uint64_t begin_ns = NowNs();
  Must(store.Checkpoint());
  state.counters["checkpoint_ms"] = MillisecondsSince(begin_ns);
  Must(store.Put(NameOfTable(0), GrowthItem(0, "another")));
  begin_ns = NowNs();
  Must(store.Checkpoint());
  state.counters["checkpoint_one_ms"] = MillisecondsSince(begin_ns);
}

// The case's own time is that of the opening.
void MeasureClosingAndOpening(benchmark::State& state, GrowingStore& growing) {
  uint64_t begin_ns = NowNs();
  growing.Close();
  state.counters["close_ms"] = MillisecondsSince(begin_ns);
  begin_ns = NowNs();
  growing.Open();
  state.counters["open_ms"] = MillisecondsSince(begin_ns);
  state.SetIterationTime(MillisecondsSince(begin_ns) / 1e3);
}

void RunTables(benchmark::State& state, uint64_t tables) {
  const uint64_t operations = std::max({std::min(kWrites, TheSettings().items), kItems, tables});
  for (auto _ : state) {
    GrowingStore growing;
    CreateTables(state, *growing.store, tables);
    MeasurePuts(state, *growing.store, tables, operations);
    MeasureCheckpoints(state, *growing.store);
    MeasureGets(state, *growing.store, tables, operations);
    growing.holdings.Count(state);
    MeasureIdling(state, *growing.store);
    MeasureClosingAndOpening(state, growing);
    const uint64_t begin_ns = NowNs();
    for (uint64_t t = 0; t < tables; ++t) Must(growing.store->DropTable(NameOfTable(t)));
    state.counters["drop_ms"] = MillisecondsSince(begin_ns) / static_cast<double>(tables);
  }
}

}  // namespace

void AddTableGrowthCases() { AddGrowthCasesOf("tables", {1, 10, 100, 1000}, RunTables); }

}  // namespace tailrace::bench
