// read/get/<engine>/<where>, read/range:100/<engine>: of items of 100 bytes.
//
// Where: "files" (uniformly chosen items of a store that has caught up), "buffer" (items written
// just before), "absent". The rival on the same bytes is rocksdb_items. rocksdb_put has values
// alone, and keys in the order of the ids, so that no file can have what is absent.
//
// stream_scan/<engine>: every change record of a store that took writes of
// TheSettings().stream_bytes, in records and in bytes of keys and images; read as bytes, and for
// tailrace/items as items.
#include <vector>

#include "bench/cases.h"
#include "bench/engine.h"
#include "bench/meters.h"
#include "bench/settings.h"
#include "bench/workload.h"

namespace tailrace::bench {
namespace {

constexpr uint64_t kValueBytes = 100;
constexpr uint64_t kBufferItems = 1000;
constexpr uint64_t kRangeItems = 100;

enum class Where { kFiles, kBuffer, kAbsent };

const char* NameOf(Where where) {
  switch (where) {
    case Where::kFiles:
      return "files";
    case Where::kBuffer:
      return "buffer";
    case Where::kAbsent:
      return "absent";
  }
  return "";
}

// Calls `read` for TheSettings().seconds, and says how often.
template <typename Read>
void Repeat(benchmark::State& state, const Read& read) {
  for (auto _ : state) {
    const uint64_t begin_ns = NowNs();
    const auto end_ns = begin_ns + static_cast<uint64_t>(TheSettings().seconds * 1e9);
    Latencies latencies;
    int64_t reads = 0;
    uint64_t now_ns = begin_ns;
    for (; now_ns < end_ns; ++reads) {
      read();
      const uint64_t after_ns = NowNs();
      latencies.Add(after_ns - now_ns);
      now_ns = after_ns;
    }
    state.SetIterationTime(static_cast<double>(now_ns - begin_ns) / 1e9);
    state.SetItemsProcessed(reads);
    state.counters["p50_us"] = latencies.QuantileUs(0.5);
    state.counters["p99_us"] = latencies.QuantileUs(0.99);
  }
}

void RunGet(benchmark::State& state, Kind kind, Where where) {
  Engine& engine = LoadedEngine(kind, Safety::kBuffered, kValueBytes);
  const uint64_t items = TheSettings().items;
  KeyChooser keys(KeyChooser::Kind::kUniform,
                  where == Where::kBuffer ? std::min(kBufferItems, items) : items, 7);
  if (where == Where::kBuffer) {
    static uint64_t seed = 1'000'000'000'000;
    ValueMaker values(kValueBytes, seed += 1'000'000);
    for (uint64_t id = 0; id < std::min(kBufferItems, items); ++id) engine.Write(id, values.Next());
  } else {
    engine.CatchUp();
  }
  const uint64_t first = where == Where::kAbsent ? items : 0;
  Repeat(state, [&] {
    const uint64_t bytes = engine.Read(first + keys.Next());
    TAILRACE_CHECK((bytes == 0) == (where == Where::kAbsent), "an item is not what it should be");
  });
}

void RunRange(benchmark::State& state, Kind kind) {
  Engine& engine = LoadedEngine(kind, Safety::kBuffered, kValueBytes);
  engine.CatchUp();
  KeyChooser keys(KeyChooser::Kind::kUniform, TheSettings().items, 7);
  Repeat(state, [&] { benchmark::DoNotOptimize(engine.ReadRange(keys.Next(), kRangeItems)); });
}

void RunStreamScan(benchmark::State& state, Kind kind, Decoding decoding) {
  constexpr uint64_t kBytes = 1000;
  Engine& engine = LoadedEngine(kind, Safety::kBuffered, kBytes);
  static std::vector<Kind> written;
  if (std::find(written.begin(), written.end(), kind) == written.end()) {
    written.push_back(kind);
    KeyChooser keys(KeyChooser::Kind::kUniform, TheSettings().items, 11);
    ValueMaker values(kBytes, 2'000'000'000'000);
    // Two images a record.
    for (uint64_t i = 0; i < TheSettings().stream_bytes / (2 * kBytes); ++i) {
      engine.Write(keys.Next(), values.Next());
    }
    engine.CatchUp();
  }
  for (auto _ : state) {
    const uint64_t begin_ns = NowNs();
    const Engine::Changes changes = engine.ReadChanges(decoding);
    state.SetIterationTime(static_cast<double>(NowNs() - begin_ns) / 1e9);
    state.SetItemsProcessed(static_cast<int64_t>(changes.records));
    state.SetBytesProcessed(static_cast<int64_t>(changes.bytes));
  }
}

}  // namespace

void AddReadCases() {
  for (const Where where : {Where::kFiles, Where::kBuffer, Where::kAbsent}) {
    for (const Kind kind : {Kind::kTailrace, Kind::kRocksItems, Kind::kRocksPut}) {
      AddCase(std::string("read/get/") + NameOf(kind) + "/" + NameOf(where),
              [=](benchmark::State& state) { RunGet(state, kind, where); });
    }
  }
  for (const Kind kind : {Kind::kTailrace, Kind::kRocksItems, Kind::kRocksPut}) {
    AddCase(std::string("read/range:100/") + NameOf(kind),
            [=](benchmark::State& state) { RunRange(state, kind); });
  }
  for (const Kind kind : {Kind::kTailrace, Kind::kRocksOutbox}) {
    AddCase(std::string("stream_scan/") + NameOf(kind),
            [=](benchmark::State& state) { RunStreamScan(state, kind, Decoding::kNone); });
  }
  AddCase("stream_scan/tailrace/items",
          [](benchmark::State& state) { RunStreamScan(state, Kind::kTailrace, Decoding::kItems); });
}

}  // namespace tailrace::bench
