// What the cases of growth/… share: each is one number of something, and what that costs.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/store.h"

namespace tailrace::bench {

// Adds growth/<what>/<count> for each count that TheSettings().items does not forbid: smoke runs
// stay small.
void AddGrowthCasesOf(const std::string& what, const std::vector<uint64_t>& counts,
                      const std::function<void(benchmark::State&, uint64_t)>& run);

// What the process holds since its construction, and what a directory holds.
class HoldingsMeter {
 public:
  explicit HoldingsMeter(std::string directory);
  // Counters "fds", "rss_mb", "files" and "disk_mb".
  void Count(benchmark::State& state) const;

 private:
  const std::string directory_;
  const uint64_t descriptors_;
  const uint64_t resident_bytes_;
};

// A new store of its own, in kBuffered: what a disk's syncs cost would hide everything else.
struct GrowingStore {
  GrowingStore();
  // Closes and removes it.
  ~GrowingStore();
  GrowingStore(const GrowingStore&) = delete;
  GrowingStore& operator=(const GrowingStore&) = delete;

  // Closes it, should it be open, and opens it again.
  void Open();
  void Close();

  const std::string directory;
  const HoldingsMeter holdings;
  std::unique_ptr<Store> store;
};

void CreateStreamingTable(Store& store, const std::string& name);

Item GrowthKey(uint64_t id);
Item GrowthItem(uint64_t id, std::string_view value);
inline constexpr uint64_t kGrowthValueBytes = 200;

// Counters "idle_cpu_ms_per_s" and "idle_wakes_per_s": what the process does while nobody calls.
// "upkeep_cpu_ms": what a round of upkeep takes, of which an idle store has one each
// maintenance_interval_ms.
void MeasureIdling(benchmark::State& state, Store& store);

}  // namespace tailrace::bench
