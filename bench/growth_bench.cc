// growth/tables/<n>: what so many tables, each with a stream and an item or two, cost: making them,
// a put and a get in any of them, a checkpoint, opening and closing the store, file descriptors,
// disk, and what the process does while nobody calls. Cases beyond TheSettings().items tables are
// left out.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>

#include "bench/cases.h"
#include "bench/meters.h"
#include "bench/must.h"
#include "bench/settings.h"
#include "bench/workload.h"
#include "engine/store.h"

namespace tailrace::bench {
namespace {

constexpr uint64_t kTables[] = {1, 10, 100, 1000};
constexpr uint64_t kValueBytes = 200;

std::string NameOfTable(uint64_t number) { return "Table" + std::to_string(number); }

Item ItemOf(uint64_t id, std::string_view value) {
  return Item{{"id", Value::S(KeyOf(id))}, {"value", Value::B(Binary{std::string(value)})}};
}

uint64_t FilesIn(const std::string& directory, uint64_t& bytes) {
  uint64_t files = 0;
  bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    ++files;
    bytes += entry.file_size();
  }
  return files;
}

uint64_t OpenDescriptors() {
  const std::filesystem::directory_iterator entries("/proc/self/fd");
  return static_cast<uint64_t>(std::distance(begin(entries), end(entries)));
}

double Milliseconds(uint64_t begin_ns) { return static_cast<double>(NowNs() - begin_ns) / 1e6; }

// Of the whole process.
struct Usage {
  double cpu_ms;
  double switches;  // How often a thread slept and woke.
};

Usage UsageNow() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto ms = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_usec) / 1e3;
  };
  return {ms(usage.ru_utime) + ms(usage.ru_stime), static_cast<double>(usage.ru_nvcsw)};
}

// So long that a wake-up a second would show.
void MeasureIdling(benchmark::State& state) {
  const auto idle = std::chrono::milliseconds(static_cast<int64_t>(TheSettings().seconds * 1000));
  const Usage before = UsageNow();
  std::this_thread::sleep_for(idle);
  const Usage after = UsageNow();
  state.counters["idle_cpu_ms"] = after.cpu_ms - before.cpu_ms;
  state.counters["idle_wakes"] = after.switches - before.switches - 1;  // Our own sleep.
}

void RunTables(benchmark::State& state, uint64_t tables) {
  const std::string directory = TheSettings().directory + "/growth-tables";
  StoreOptions options;
  options.block_cache_bytes = options.item_cache_bytes = kCacheBytes / 2;
  ValueMaker values(kValueBytes, 1);
  for (auto _ : state) {
    std::filesystem::remove_all(directory);
    const uint64_t descriptors_before = OpenDescriptors();
    auto store = Must(Store::Open(directory, options));
    uint64_t begin_ns = NowNs();
    for (uint64_t t = 0; t < tables; ++t) {
      Must(store->CreateTable({.name = NameOfTable(t),
                               .keys = {{"id", ScalarType::kS}, {}},
                               .stream = ViewType::kNewAndOldImages}));
    }
    state.counters["create_ms"] = Milliseconds(begin_ns) / static_cast<double>(tables);

    // A trickle over all tables, one after another; as many for every number of tables.
    const uint64_t writes = std::max(std::min<uint64_t>(TheSettings().items, 2000), tables);
    begin_ns = NowNs();
    for (uint64_t i = 0; i < writes; ++i) {
      Must(store->Put(NameOfTable(i % tables), ItemOf(i / tables % 2, values.Next())));
    }
    state.counters["put_us"] = Milliseconds(begin_ns) * 1e3 / static_cast<double>(writes);
    begin_ns = NowNs();
    Must(store->Checkpoint());
    state.counters["checkpoint_ms"] = Milliseconds(begin_ns);
    // One that only one table has anything for.
    Must(store->Put(NameOfTable(0), ItemOf(0, values.Next())));
    begin_ns = NowNs();
    Must(store->Checkpoint());
    state.counters["checkpoint_one_ms"] = Milliseconds(begin_ns);
    begin_ns = NowNs();
    for (uint64_t i = 0; i < writes; ++i) {
      const auto item = Must(store->Get(NameOfTable(i % tables), Item{{"id", Value::S(KeyOf(0))}}));
      TAILRACE_CHECK(item.has_value(), "the store lost what it was given");
    }
    state.counters["get_us"] = Milliseconds(begin_ns) * 1e3 / static_cast<double>(writes);
    state.counters["fds"] = static_cast<double>(OpenDescriptors() - descriptors_before);
    MeasureIdling(state);

    begin_ns = NowNs();
    Must(store->Close());
    store.reset();
    state.counters["close_ms"] = Milliseconds(begin_ns);
    uint64_t bytes = 0;
    state.counters["files"] = static_cast<double>(FilesIn(directory, bytes));
    FilesIn(directory + "/items", bytes);
    state.counters["items_kb"] = static_cast<double>(bytes) / 1024;
    FilesIn(directory + "/streams", bytes);
    state.counters["streams_kb"] = static_cast<double>(bytes) / 1024;

    begin_ns = NowNs();
    store = Must(Store::Open(directory, options));
    state.SetIterationTime(Milliseconds(begin_ns) / 1e3);
    begin_ns = NowNs();
    for (uint64_t t = 0; t < tables; ++t) Must(store->DropTable(NameOfTable(t)));
    state.counters["drop_ms"] = Milliseconds(begin_ns) / static_cast<double>(tables);
    Must(store->Close());
  }
  std::filesystem::remove_all(directory);
}

}  // namespace

void AddGrowthCases() {
  for (const uint64_t tables : kTables) {
    if (tables > TheSettings().items) continue;
    AddCase("growth/tables/" + std::to_string(tables),
            [=](benchmark::State& state) { RunTables(state, tables); });
  }
}

}  // namespace tailrace::bench
