// write/<engine>/<durability>/keys:<kind>/value:<bytes>/threads:<n>/in_flight:<n>
//
// Threads overwrite items of a loaded store for TheSettings().seconds. The time that the engine
// then needs to catch up is part of the case's time, so no engine wins by putting work off. In
// flight: writes that a thread has begun and not waited for; without such a thing an engine has one
// a thread.
#include <atomic>
#include <deque>
#include <thread>
#include <vector>

#include "bench/cases.h"
#include "bench/engine.h"
#include "bench/meters.h"
#include "bench/settings.h"
#include "bench/workload.h"

namespace tailrace::bench {
namespace {

struct WriteCase {
  Kind kind{};
  Safety safety{};
  KeyChooser::Kind keys = KeyChooser::Kind::kUniform;
  uint64_t value_bytes = 100;
  int threads = 1;
  int in_flight = 1;  // Of each thread.
};

struct Written {
  uint64_t writes = 0;
  Latencies latencies;  // From a write's beginning to its acknowledgement.
};

// One thread's part. Seeds differ from run to run, so that values do too.
Written WriteUntil(const std::atomic<bool>& stop, Engine& engine, const WriteCase& what,
                   uint64_t seed) {
  KeyChooser keys(what.keys, TheSettings().items, seed);
  ValueMaker values(what.value_bytes, seed);
  Written written;
  struct Begun {
    uint64_t token;
    uint64_t begin_ns;
  };
  std::deque<Begun> begun;
  const auto await_oldest = [&] {
    engine.Await(begun.front().token);
    written.latencies.Add(NowNs() - begun.front().begin_ns);
    begun.pop_front();
  };
  while (!stop.load(std::memory_order_relaxed)) {
    const uint64_t begin_ns = NowNs();
    if (what.in_flight == 1) {
      engine.Write(keys.Next(), values.Next());
      written.latencies.Add(NowNs() - begin_ns);
    } else {
      begun.push_back({engine.Begin(keys.Next(), values.Next()), begin_ns});
      if (begun.size() == static_cast<size_t>(what.in_flight)) await_oldest();
    }
    ++written.writes;
  }
  while (!begun.empty()) await_oldest();
  return written;
}

void RunWrite(benchmark::State& state, const WriteCase& what) {
  static std::atomic<uint64_t> seed{1'000'000};
  Engine& engine = LoadedEngine(what.kind, what.safety, what.value_bytes);
  const auto threads = static_cast<size_t>(what.threads);
  for (auto _ : state) {
    const DiskMeter disk(TheSettings().directory);
    const uint64_t begin_ns = NowNs();
    std::atomic<bool> stop{false};
    std::vector<Written> parts(threads);
    std::vector<std::thread> writers;
    for (size_t i = 0; i < threads; ++i) {
      writers.emplace_back([&, i, each = seed.fetch_add(1'000'000)] {
        parts[i] = WriteUntil(stop, engine, what, each);
      });
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(TheSettings().seconds));
    stop = true;
    for (std::thread& writer : writers) writer.join();
    engine.CatchUp();
    const double seconds = static_cast<double>(NowNs() - begin_ns) / 1e9;
    Written all;
    for (const Written& part : parts) {
      all.writes += part.writes;
      all.latencies.Add(part.latencies);
    }
    state.SetIterationTime(seconds);
    state.SetItemsProcessed(static_cast<int64_t>(all.writes));
    const double user_bytes =
        static_cast<double>(all.writes) * static_cast<double>(KeyOf(0).size() + what.value_bytes);
    state.counters["written_per_user_byte"] = static_cast<double>(disk.WrittenBytes()) / user_bytes;
    state.counters["disk_busy"] = disk.BusyShare();
    state.counters["p50_us"] = all.latencies.QuantileUs(0.5);
    state.counters["p99_us"] = all.latencies.QuantileUs(0.99);
    state.counters["p99.9_us"] = all.latencies.QuantileUs(0.999);
  }
}

// Whether docs/benchmarks.md has a use for it. A round of all takes three times as long.
bool IsShown(const WriteCase& what) {
  const bool one_thread = what.threads == 1 && what.in_flight == 1;
  const bool buffered = what.safety == Safety::kBuffered;
  const bool uniform = what.keys == KeyChooser::Kind::kUniform;
  switch (what.kind) {
    case Kind::kTailraceKeysOnly:
      return buffered && uniform && one_thread;
    case Kind::kTailraceNoStream:
      return buffered && uniform && what.threads != 2 && what.in_flight == 1;
    case Kind::kRocksOutbox:
    case Kind::kRocksTxnOutbox:
      return uniform && (buffered || one_thread);
    default:
      return uniform || (buffered && what.threads != 2 && what.in_flight == 1);
  }
}

void Add(const WriteCase& what) {
  if (!TheSettings().every_write && !IsShown(what)) return;
  const std::string name =
      std::string("write/") + NameOf(what.kind) + "/" + NameOf(what.safety) +
      "/keys:" + (what.keys == KeyChooser::Kind::kUniform ? "uniform" : "zipfian") +
      "/value:" + std::to_string(what.value_bytes) + "/threads:" + std::to_string(what.threads) +
      "/in_flight:" + std::to_string(what.in_flight);
  AddCase(name, [what](benchmark::State& state) { RunWrite(state, what); });
}

// Many writes behind one sync: rivals need a thread for each.
void AddManyInFlight(Kind kind, KeyChooser::Kind keys, uint64_t value_bytes) {
  if (!IsTailrace(kind)) return Add({kind, Safety::kSync, keys, value_bytes, 64});
  for (const int in_flight : {64, 4096}) {
    Add({kind, Safety::kSync, keys, value_bytes, 1, in_flight});
    Add({kind, Safety::kSync, keys, value_bytes, 2, in_flight / 2});
  }
  Add({kind, Safety::kBuffered, keys, value_bytes, 1, 64});
}

}  // namespace

void AddWriteCases() {
  for (const uint64_t value_bytes : {100, 1000}) {
    for (const auto keys : {KeyChooser::Kind::kUniform, KeyChooser::Kind::kZipfian}) {
      for (const Safety safety : {Safety::kBuffered, Safety::kSync}) {
        for (const int threads : {1, 2, 8}) {
          for (const Kind kind : kEveryKind) Add({kind, safety, keys, value_bytes, threads});
        }
      }
      for (const Kind kind : kEveryKind) AddManyInFlight(kind, keys, value_bytes);
    }
  }
}

}  // namespace tailrace::bench
