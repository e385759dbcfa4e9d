// growth/readers/<n>: what so many readers cost that wait in WaitShard, a thread each, all at one
// shard: a put to another table, which wakes none of them; a put to theirs, which wakes all, until
// the last of them has the record; and what they do while nobody writes.
#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "bench/cases.h"
#include "bench/growth.h"
#include "bench/meters.h"
#include "bench/must.h"
#include "bench/settings.h"
#include "bench/workload.h"

namespace tailrace::bench {
namespace {

constexpr char kWaitedAt[] = "Waited";
constexpr char kQuiet[] = "Quiet";
constexpr uint64_t kItems = 1000;

class Readers {
 public:
  // A reader for each of `times`, which takes how long its records took from the call of Put.
  Readers(Store& store, const Position& position, std::vector<Latencies>& times)
      : store_(store), count_(times.size()) {
    for (Latencies& each : times) {
      threads_.emplace_back([this, position, &each] { Read(position, each); });
    }
  }
  // A last record wakes those that wait.
  ~Readers() {
    stop_ = true;
    Must(store_.Put(kWaitedAt, GrowthItem(0, "last")));
    for (std::thread& thread : threads_) thread.join();
  }

  // Until every reader has the record; then nobody touches `times`.
  void PutAndAwaitAll(std::string_view value) {
    const uint64_t wanted = arrivals_ + count_;
    begin_ns_ = NowNs();
    Must(store_.Put(kWaitedAt, GrowthItem(writes_++ % kItems, value)));
    for (uint64_t seen = arrivals_; seen != wanted; seen = arrivals_) arrivals_.wait(seen);
  }

 private:
  void Read(Position position, Latencies& times) {
    while (!stop_) {
      if (!Must(store_.WaitShard(position, 60'000))) continue;
      const ChangePage page = Must(store_.ReadShard(position));
      position = page.next;
      if (page.records.empty()) continue;
      times.Add(NowNs() - begin_ns_);
      // The writer sleeps until the last has come.
      if ((arrivals_.fetch_add(1) + 1) % count_ == 0) arrivals_.notify_one();
    }
  }

  Store& store_;
  const uint64_t count_;
  std::vector<std::thread> threads_;
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> begin_ns_{0};
  std::atomic<uint64_t> arrivals_{0};
  uint64_t writes_ = 0;
};

// Calls `write` for a time; returns the µs that each call took.
double MeasureWrites(double seconds, const std::function<void()>& write) {
  const uint64_t begin_ns = NowNs();
  const auto end_ns = begin_ns + static_cast<uint64_t>(seconds * 1e9);
  uint64_t writes = 0;
  do {
    write();
    ++writes;
  } while (NowNs() < end_ns);
  return MillisecondsSince(begin_ns) * 1e3 / static_cast<double>(writes);
}

void MeasureQuietPuts(benchmark::State& state, Store& store) {
  ValueMaker values(kGrowthValueBytes, 1);
  uint64_t writes = 0;
  state.counters["quiet_put_us"] = MeasureWrites(TheSettings().seconds / 2, [&] {
    Must(store.Put(kQuiet, GrowthItem(writes++ % kItems, values.Next())));
  });
}

void MeasureWakingPuts(benchmark::State& state, Readers& readers, std::vector<Latencies>& times) {
  std::fill(times.begin(), times.end(), Latencies());
  ValueMaker values(kGrowthValueBytes, 2);
  uint64_t writes = 0;
  const double cpu_ms = UsageNow().cpu_ms;
  const double put_us = MeasureWrites(TheSettings().seconds / 2, [&] {
    readers.PutAndAwaitAll(values.Next());
    ++writes;
  });
  const double used_ms = UsageNow().cpu_ms - cpu_ms;
  Latencies all;
  for (const Latencies& each : times) all.Add(each);
  state.SetIterationTime(put_us * static_cast<double>(writes) / 1e6);
  state.counters["all_woken_us"] = put_us;
  state.counters["cpu_us"] = used_ms * 1e3 / static_cast<double>(writes);
  state.counters["p50_us"] = all.QuantileUs(0.5);
  state.counters["p99_us"] = all.QuantileUs(0.99);
}

Position EndOf(Store& store, const std::string& table) {
  const StreamId stream = *Must(store.DescribeTable(table)).latest_stream;
  return Must(
      store.SeekShard(stream, Must(store.DescribeStream(stream)).shards[0].id, StartAt::kLatest));
}

void CreateTables(Store& store) {
  for (const char* table : {kWaitedAt, kQuiet}) {
    Must(store.CreateTable({.name = table, .keys = {{"id", ScalarType::kS}, {}}}));
    Must(store.EnableStream(table, ViewType::kNewAndOldImages, {.shards = 1}));
  }
}

void RunReaders(benchmark::State& state, uint64_t count) {
  for (auto _ : state) {
    std::vector<Latencies> times(count);  // Made first, so as not to count as the store's memory.
    GrowingStore growing;
    CreateTables(*growing.store);
    Readers readers(*growing.store, EndOf(*growing.store, kWaitedAt), times);
    readers.PutAndAwaitAll("first");  // All have begun to wait, or will find it.
    MeasureQuietPuts(state, *growing.store);
    MeasureWakingPuts(state, readers, times);
    growing.holdings.Count(state);
    MeasureIdling(state, *growing.store);
  }
}

}  // namespace

void AddReaderGrowthCases() { AddGrowthCasesOf("readers", {1, 10, 100, 1000}, RunReaders); }

}  // namespace tailrace::bench
