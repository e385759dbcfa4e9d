#include "bench/reader_latency.h"

#include <chrono>
#include <thread>

#include "bench/meters.h"
#include "bench/settings.h"
#include "bench/workload.h"

namespace tailrace::bench {
namespace {

constexpr uint64_t kValueBytes = 100;
constexpr uint64_t kItems = 1000;
constexpr auto kPause = std::chrono::microseconds(200);  // Until the reader sleeps again.

}  // namespace

void MeasureReaderLatency(benchmark::State& state, const TimedWrite& write,
                          const Arrival& arrival) {
  ValueMaker values(kValueBytes, 3);
  Latencies latencies;
  const uint64_t begin_ns = NowNs();
  const auto end_ns = begin_ns + static_cast<uint64_t>(TheSettings().seconds * 1e9);
  uint64_t writes = 0;
  for (; NowNs() < end_ns; ++writes) {
    std::this_thread::sleep_for(kPause);
    const uint64_t written_ns = write(KeyOf(writes % kItems), values.Next());
    latencies.Add(arrival() - written_ns);
  }
  state.SetIterationTime(static_cast<double>(NowNs() - begin_ns) / 1e9);
  state.SetItemsProcessed(static_cast<int64_t>(writes));
  state.counters["records"] = static_cast<double>(writes);
  state.counters["p50_us"] = latencies.QuantileUs(0.5);
  state.counters["p99_us"] = latencies.QuantileUs(0.99);
  state.counters["p99.9_us"] = latencies.QuantileUs(0.999);
}

}  // namespace tailrace::bench
