#include "bench/growth.h"

#include <chrono>
#include <filesystem>
#include <thread>

#include "bench/cases.h"
#include "bench/meters.h"
#include "bench/must.h"
#include "bench/settings.h"
#include "bench/workload.h"

namespace tailrace::bench {

void AddGrowthCasesOf(const std::string& what, const std::vector<uint64_t>& counts,
                      const std::function<void(benchmark::State&, uint64_t)>& run) {
  for (const uint64_t count : counts) {
    if (count > TheSettings().items) continue;
    AddCase("growth/" + what + "/" + std::to_string(count),
            [=](benchmark::State& state) { run(state, count); });
  }
}

HoldingsMeter::HoldingsMeter(std::string directory)
    : directory_(std::move(directory)),
      descriptors_(OpenDescriptors()),
      resident_bytes_(ResidentBytes()) {}

void HoldingsMeter::Count(benchmark::State& state) const {
  const auto since = [](uint64_t now, uint64_t before) {
    return static_cast<double>(now) - static_cast<double>(before);
  };
  const DiskUse disk = DiskUseOf(directory_);
  state.counters["fds"] = since(OpenDescriptors(), descriptors_);
  state.counters["rss_mb"] = since(ResidentBytes(), resident_bytes_) / 1e6;
  state.counters["files"] = static_cast<double>(disk.files);
  state.counters["disk_mb"] = static_cast<double>(disk.allocated_bytes) / 1e6;
}

GrowingStore::GrowingStore() : directory(TheSettings().directory + "/growth"), holdings(directory) {
  std::filesystem::remove_all(directory);
  Open();
}

GrowingStore::~GrowingStore() {
  Close();
  std::filesystem::remove_all(directory);
}

void GrowingStore::Open() {
  Close();
  StoreOptions options;
  options.durability = Durability::kBuffered;
  store = Must(Store::Open(directory, options));
}

void GrowingStore::Close() {
  if (store != nullptr) Must(store->Close());
  store.reset();
}

void CreateStreamingTable(Store& store, const std::string& name) {
  Must(store.CreateTable(
      {.name = name, .keys = {{"id", ScalarType::kS}, {}}, .stream = ViewType::kNewAndOldImages}));
}

Item GrowthKey(uint64_t id) { return Item{{"id", Value::S(KeyOf(id))}}; }

Item GrowthItem(uint64_t id, std::string_view value) {
  return GrowthKey(id).Set("value", Value::B(Binary{std::string(value)}));
}

void MeasureIdling(benchmark::State& state, Store& store) {
  // So long that a wake-up a second would show.
  const double seconds = TheSettings().seconds;
  const Usage before = UsageNow();
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  const Usage after = UsageNow();
  state.counters["idle_cpu_ms_per_s"] = (after.cpu_ms - before.cpu_ms) / seconds;
  // But for our own sleep.
  state.counters["idle_wakes_per_s"] = (after.switches - before.switches - 1) / seconds;
  Must(store.RunMaintenance());
  state.counters["upkeep_cpu_ms"] = UsageNow().cpu_ms - after.cpu_ms;
}

}  // namespace tailrace::bench
