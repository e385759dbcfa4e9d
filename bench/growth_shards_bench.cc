// growth/shards/<n>: what so many shards of one stream cost: the first put of each item, by which
// shards get their files; later puts, with their fan-out; a checkpoint, file descriptors, disk,
// memory, and what the process does while nobody calls.
#include <algorithm>

#include "bench/cases.h"
#include "bench/growth.h"
#include "bench/meters.h"
#include "bench/must.h"
#include "bench/settings.h"
#include "bench/workload.h"

namespace tailrace::bench {
namespace {

constexpr char kTable[] = "Items";
constexpr uint64_t kItems = 5000;
constexpr uint64_t kWrites = 50'000;

void CreateTable(Store& store, uint64_t shards) {
  Must(store.CreateTable({.name = kTable, .keys = {{"id", ScalarType::kS}, {}}}));
  Must(store.EnableStream(kTable, ViewType::kNewAndOldImages,
                          {.shards = static_cast<uint32_t>(shards)}));
}

// The first put of each item makes the files of its shard.
void MeasureFirstPuts(benchmark::State& state, Store& store, uint64_t items) {
  ValueMaker values(kGrowthValueBytes, 1);
  CommitToken last;
  const uint64_t begin_ns = NowNs();
  for (uint64_t id = 0; id < items; ++id) {
    last = Must(store.Put(kTable, GrowthItem(id, values.Next()))).token;
  }
  Must(store.WaitFannedOut(last));
  state.counters["first_put_us"] = MillisecondsSince(begin_ns) * 1e3 / static_cast<double>(items);
}

void MeasurePuts(benchmark::State& state, Store& store, uint64_t items) {
  KeyChooser keys(KeyChooser::Kind::kUniform, items, 17);
  ValueMaker values(kGrowthValueBytes, 1'000'000);
  CommitToken last;
  const uint64_t writes = std::min(kWrites, TheSettings().items);
  const uint64_t begin_ns = NowNs();
  for (uint64_t i = 0; i < writes; ++i) {
    last = Must(store.Put(kTable, GrowthItem(keys.Next(), values.Next()))).token;
  }
  const double call_ms = MillisecondsSince(begin_ns);
  Must(store.WaitFannedOut(last));
  const double milliseconds = MillisecondsSince(begin_ns);
  state.SetIterationTime(milliseconds / 1e3);
  state.SetItemsProcessed(static_cast<int64_t>(writes));
  state.counters["call_us"] = call_ms * 1e3 / static_cast<double>(writes);
  state.counters["put_us"] = milliseconds * 1e3 / static_cast<double>(writes);
}

void RunShards(benchmark::State& state, uint64_t shards) {
  for (auto _ : state) {
    GrowingStore growing;
    CreateTable(*growing.store, shards);
    const uint64_t items = std::min(kItems, TheSettings().items);
    MeasureFirstPuts(state, *growing.store, items);
    MeasurePuts(state, *growing.store, items);
    const uint64_t begin_ns = NowNs();
    Must(growing.store->Checkpoint());
    state.counters["checkpoint_ms"] = MillisecondsSince(begin_ns);
    growing.holdings.Count(state);
    MeasureIdling(state, *growing.store);
  }
}

}  // namespace

void AddShardGrowthCases() { AddGrowthCasesOf("shards", {1, 16, 128, 1024}, RunShards); }

}  // namespace tailrace::bench
