// latency/commit_to_reader/in_process/<durability>: from the moment a thread calls Put to the
// moment a reader that waited has the record in its hands.
#include <atomic>
#include <filesystem>
#include <semaphore>
#include <thread>

#include "bench/cases.h"
#include "bench/meters.h"
#include "bench/must.h"
#include "bench/settings.h"
#include "bench/workload.h"
#include "engine/store.h"

namespace tailrace::bench {
namespace {

constexpr char kTable[] = "Items";
constexpr uint64_t kWaitMs = 10'000;

// Reads one record after another and hands the time at which each came to `arrived`.
class WaitingReader {
 public:
  WaitingReader(Store& store, StreamId stream)
      : store_(store),
        position_(Must(store.SeekShard(stream, Must(store.DescribeStream(stream)).shards[0].id,
                                       StartAt::kLatest))),
        thread_([this] { Run(); }) {}
  ~WaitingReader() {
    stop_ = true;
    thread_.join();
  }

  // When the next record came.
  uint64_t Arrival() {
    came_.acquire();
    return arrived_ns_.load();
  }

 private:
  void Run() {
    while (!stop_) {
      // The wait is cut short now and then, so that the end is noticed.
      if (!Must(store_.WaitShard(position_, 100))) continue;
      const ChangePage page = Must(store_.ReadShard(position_));
      position_ = page.next;
      if (page.records.empty()) continue;
      arrived_ns_ = NowNs();
      came_.release();
    }
  }

  Store& store_;
  Position position_;
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> arrived_ns_{0};
  std::binary_semaphore came_{0};
  std::thread thread_;
};

void RunInProcess(benchmark::State& state, Durability durability) {
  const std::string directory = TheSettings().directory + "/latency";
  std::filesystem::remove_all(directory);
  auto store = Must(Store::Open(directory, {.durability = durability, .shards_per_stream = 1}));
  Must(store->CreateTable({.name = kTable,
                           .keys = {{"id", ScalarType::kS}, {}},
                           .stream = ViewType::kNewAndOldImages}));
  const StreamId stream = *Must(store->DescribeTable(kTable)).latest_stream;
  ValueMaker values(100, 3);
  for (auto _ : state) {
    WaitingReader reader(*store, stream);
    Latencies latencies;
    const uint64_t begin_ns = NowNs();
    const auto end_ns = begin_ns + static_cast<uint64_t>(TheSettings().seconds * 1e9);
    int64_t writes = 0;
    while (NowNs() < end_ns) {
      const Item item{{"id", Value::S(KeyOf(static_cast<uint64_t>(writes % 1000)))},
                      {"value", Value::B(Binary{std::string(values.Next())})}};
      // The reader is to be asleep when the record comes.
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      const uint64_t written_ns = NowNs();
      Must(store->Put(kTable, item));
      latencies.Add(reader.Arrival() - written_ns);
      ++writes;
    }
    state.SetIterationTime(static_cast<double>(NowNs() - begin_ns) / 1e9);
    state.SetItemsProcessed(writes);
    state.counters["p50_us"] = latencies.QuantileUs(0.5);
    state.counters["p99_us"] = latencies.QuantileUs(0.99);
    state.counters["p99.9_us"] = latencies.QuantileUs(0.999);
  }
  Must(store->Close());
  std::filesystem::remove_all(directory);
}

}  // namespace

void AddReaderLatencyCases() {
  for (const Durability durability : {Durability::kBuffered, Durability::kSync}) {
    const std::string name = std::string("latency/commit_to_reader/in_process/") +
                             (durability == Durability::kSync ? "sync" : "buffered");
    AddCase(name, [=](benchmark::State& state) { RunInProcess(state, durability); });
  }
}

}  // namespace tailrace::bench
