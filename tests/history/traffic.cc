#include "tests/history/traffic.h"

#include <atomic>
#include <thread>

#include "tests/history/traffic_writer.h"
#include "tests/support/expect_ok.h"

namespace tailrace::test {
namespace {

constexpr uint64_t kCallsBetweenEvents = 250;

// What happens beside the writers.
class Control {
 public:
  Control(Store& store, uint64_t seed) : store_(store), random_(seed) {}

  void Run(TrafficState& state, TrafficHistory& history) {
    uint64_t next = kCallsBetweenEvents;
    while (true) {
      uint64_t calls = state.calls.load();
      while (calls < next && !state.done) {
        state.calls.wait(calls);
        calls = state.calls.load();
      }
      if (state.done) return;
      next = calls + kCallsBetweenEvents;
      switch (random_.Below(8)) {
        case 0:
        case 1:
        case 2:
          EXPECT_OK(store_.Checkpoint());
          ++history.checkpoints;
          break;
        case 3:
        case 4:
          history.splits += Split();
          break;
        case 5:
          Toggle();
          ++history.toggles;
          break;
        case 6:
          ChangeIndex();
          ++history.indexes;
          break;
        default:
          EXPECT_OK(store_.RunMaintenance());
      }
    }
  }

 private:
  const std::string& RandomTable() { return kTrafficTables[random_.Below(kTrafficTables.size())]; }

  bool Split() {
    const auto table = store_.DescribeTable(RandomTable());
    EXPECT_OK(table);
    const auto stream = store_.DescribeStream(*table->latest_stream);
    EXPECT_OK(stream);
    const ShardInfo& shard = stream->shards[random_.Below(stream->shards.size())];
    const auto split = store_.SplitShard(stream->id, shard.id);
    EXPECT_TRUE(split.ok() || split.status().code() == StatusCode::kFailedPrecondition)
        << split.status().ToString();
    return split.ok();
  }

  void Toggle() {
    const std::string& name = RandomTable();
    const auto table = store_.DescribeTable(name);
    EXPECT_OK(table);
    if (table->stream_view) {
      EXPECT_OK(store_.DisableStream(name));
    } else {
      const auto view = static_cast<ViewType>(random_.Between(1, 4));
      EXPECT_OK(store_.EnableStream(name, view));
    }
  }

  void ChangeIndex() {
    const std::string& name = RandomTable();
    const auto table = store_.DescribeTable(name);
    EXPECT_OK(table);
    if (table->indexes.empty()) {
      EXPECT_OK(store_.CreateIndex(name, {.name = "by_s", .keys = {{"s", ScalarType::kN}}}));
    } else {
      EXPECT_OK(store_.DropIndex(name, "by_s"));
    }
  }

  Store& store_;
  Random random_;
};

// Every key at the end, by one client.
void ReadAll(TrafficWriter& reader, uint32_t keys) {
  for (uint32_t key = 0; key < keys; ++key) reader.Read({key});
}

void Take(TrafficHistory& history, TrafficWriter& writer) {
  auto& operations = writer.operations();
  history.operations.insert(history.operations.end(), std::make_move_iterator(operations.begin()),
                            std::make_move_iterator(operations.end()));
  history.lists.insert(history.lists.end(), std::make_move_iterator(writer.lists().begin()),
                       std::make_move_iterator(writer.lists().end()));
}

}  // namespace

TrafficHistory RunTraffic(Store& store, const TrafficOptions& options) {
  for (const std::string& table : kTrafficTables) {
    EXPECT_OK(store.CreateTable(
        {.name = table, .keys = kTrafficKeys, .stream = ViewType::kNewAndOldImages}));
  }
  TrafficHistory history;
  TrafficState state;
  std::vector<std::unique_ptr<TrafficWriter>> writers;
  for (uint32_t i = 0; i < options.writers; ++i) {
    writers.push_back(
        std::make_unique<TrafficWriter>(store, state, i, MixSeed(options.seed, i + 1)));
  }
  std::thread control([&] { Control(store, MixSeed(options.seed, 0)).Run(state, history); });
  std::vector<std::thread> threads;
  for (auto& writer : writers) {
    threads.emplace_back(
        [&] { writer->Run((options.calls + options.writers - 1) / options.writers); });
  }
  for (std::thread& thread : threads) thread.join();
  history.calls = state.calls;
  state.done = true;
  ++state.calls;  // Wakes.
  state.calls.notify_all();
  control.join();
  history.keys = state.KeysInUse();
  ReadAll(*writers[0], history.keys);
  for (auto& writer : writers) Take(history, *writer);
  return history;
}

}  // namespace tailrace::test
