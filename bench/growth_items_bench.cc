// growth/items/<engine>/<n>: what so many loaded items cost: overwriting one of them, with the
// engine's catching up, reading one, memory, file descriptors and disk. The largest number is
// TheSettings().items_max, or below it.
#include <filesystem>

#include "bench/cases.h"
#include "bench/engine.h"
#include "bench/growth.h"
#include "bench/meters.h"
#include "bench/settings.h"
#include "bench/workload.h"
#include "wal/check.h"

namespace tailrace::bench {
namespace {

constexpr uint64_t kValueBytes = 100;

void MeasurePuts(benchmark::State& state, Engine& engine, uint64_t items) {
  KeyChooser keys(KeyChooser::Kind::kUniform, items, 19);
  ValueMaker values(kValueBytes, 4'000'000'000'000);
  const uint64_t begin_ns = NowNs();
  const auto end_ns = begin_ns + static_cast<uint64_t>(TheSettings().seconds * 1e9);
  uint64_t writes = 0;
  for (; NowNs() < end_ns; ++writes) engine.Write(keys.Next(), values.Next());
  engine.CatchUp();
  const double milliseconds = MillisecondsSince(begin_ns);
  state.SetIterationTime(milliseconds / 1e3);
  state.SetItemsProcessed(static_cast<int64_t>(writes));
  state.counters["put_us"] = milliseconds * 1e3 / static_cast<double>(writes);
}

void MeasureGets(benchmark::State& state, Engine& engine, uint64_t items) {
  KeyChooser keys(KeyChooser::Kind::kUniform, items, 23);
  const uint64_t begin_ns = NowNs();
  const auto end_ns = begin_ns + static_cast<uint64_t>(TheSettings().seconds * 1e9);
  uint64_t reads = 0;
  for (; NowNs() < end_ns; ++reads) {
    TAILRACE_CHECK(engine.Read(keys.Next()) == kValueBytes, "an item is not what it should be");
  }
  state.counters["get_us"] = MillisecondsSince(begin_ns) * 1e3 / static_cast<double>(reads);
}

void RunItems(benchmark::State& state, Kind kind, uint64_t items) {
  const std::string directory = TheSettings().directory + "/growth-items";
  for (auto _ : state) {
    std::filesystem::remove_all(directory);
    const HoldingsMeter holdings(directory);
    const auto engine = OpenEngine(
        directory, {.kind = kind, .safety = Safety::kBuffered, .buffer_bytes = kWriteBufferBytes});
    engine->Load(items, kValueBytes);
    MeasurePuts(state, *engine, items);
    MeasureGets(state, *engine, items);
    holdings.Count(state);
  }
  std::filesystem::remove_all(directory);
}

}  // namespace

void AddItemGrowthCases() {
  std::vector<uint64_t> counts;
  for (const uint64_t count : {100'000, 1'000'000, 10'000'000}) {
    if (count <= TheSettings().items_max) counts.push_back(count);
  }
  if (counts.empty()) counts.push_back(TheSettings().items_max);
  for (const uint64_t count : counts) {
    for (const Kind kind : {Kind::kTailrace, Kind::kRocksGetPut}) {
      AddCase(std::string("growth/items/") + NameOf(kind) + "/" + std::to_string(count),
              [=](benchmark::State& state) { RunItems(state, kind, count); });
    }
  }
}

}  // namespace tailrace::bench
