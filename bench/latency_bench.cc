// latency/commit_to_reader/<where>/<durability>: from the moment a thread calls Put to the moment a
// reader that waited has the record in its hands.
//
// Where: "in_process" (another thread, in WaitShard), "other_process" (a child that follows the
// store and waits in WaitShards). The rival is in redis_bench.cc.
#include <atomic>
#include <filesystem>
#include <thread>

#include "bench/cases.h"
#include "bench/child.h"
#include "bench/meters.h"
#include "bench/must.h"
#include "bench/reader_latency.h"
#include "bench/settings.h"
#include "bench/workload.h"
#include "engine/store.h"
#include "engine/store_follower.h"

namespace tailrace::bench {
namespace {

constexpr char kTable[] = "Items";

// Reads one record after another in a thread of its own.
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

  uint64_t Arrival() { return arrivals_.Next(); }

 private:
  void Run() {
    while (!stop_) {
      // The wait is cut short now and then, so that the end is noticed.
      if (!Must(store_.WaitShard(position_, 100))) continue;
      const ChangePage page = Must(store_.ReadShard(position_));
      position_ = page.next;
      if (!page.records.empty()) arrivals_.Add(NowNs());
    }
  }

  Store& store_;
  Position position_;
  std::atomic<bool> stop_{false};
  Arrivals arrivals_;
  std::thread thread_;
};

struct Streaming {
  std::unique_ptr<Store> store;
  StreamId stream;
};

std::string DirectoryOfStore() { return TheSettings().directory + "/latency"; }

// A new store with one item, whose record readers can see.
Streaming OpenStore(Durability durability) {
  std::filesystem::remove_all(DirectoryOfStore());
  auto store =
      Must(Store::Open(DirectoryOfStore(), {.durability = durability, .shards_per_stream = 1}));
  Must(store->CreateTable({.name = kTable,
                           .keys = {{"id", ScalarType::kS}, {}},
                           .stream = ViewType::kNewAndOldImages}));
  const auto first = Must(store->Put(kTable, Item{{"id", Value::S("first")}}));
  Must(store->WaitFannedOut(first.token));
  const StreamId stream = *Must(store->DescribeTable(kTable)).latest_stream;
  return {std::move(store), stream};
}

void Close(Streaming& opened) {
  Must(opened.store->Close());
  opened.store.reset();
  std::filesystem::remove_all(DirectoryOfStore());
}

TimedWrite WriteTo(Store& store) {
  return [&store](const std::string& key, std::string_view value) {
    const Item item{{"id", Value::S(key)}, {"value", Value::B(Binary{std::string(value)})}};
    const uint64_t begin_ns = NowNs();
    Must(store.Put(kTable, item));
    return begin_ns;
  };
}

void RunInProcess(benchmark::State& state, Durability durability) {
  Streaming opened = OpenStore(durability);
  for (auto _ : state) {
    WaitingReader reader(*opened.store, opened.stream);
    MeasureReaderLatency(state, WriteTo(*opened.store), [&] { return reader.Arrival(); });
  }
  Close(opened);
}

void RunInOtherProcess(benchmark::State& state, Durability durability) {
  Streaming opened = OpenStore(durability);
  for (auto _ : state) {
    Child reader(ThisProgram({kFollowFlag + DirectoryOfStore()}));
    reader.NextWord();  // It is behind the first record.
    MeasureReaderLatency(state, WriteTo(*opened.store), [&] { return reader.NextWord(); });
  }
  Close(opened);
}

}  // namespace

void FollowAndTell(const char* directory) {
  const auto follower = Must(StoreFollower::Open(directory));
  const StreamInfo stream = Must(follower->ListStreams(kTable)).at(0);
  Position position =
      Must(follower->SeekShard(stream.id, stream.shards.at(0).id, StartAt::kLatest));
  TellParent(0);
  while (true) {
    Must(follower->WaitShards({position}, 60'000));
    const ChangePage page = Must(follower->ReadShard(position));
    position = page.next;
    if (!page.records.empty()) TellParent(NowNs());
  }
}

void AddReaderLatencyCases() {
  for (const Durability durability : {Durability::kBuffered, Durability::kSync}) {
    const std::string name = durability == Durability::kSync ? "sync" : "buffered";
    AddCase("latency/commit_to_reader/in_process/" + name,
            [=](benchmark::State& state) { RunInProcess(state, durability); });
    AddCase("latency/commit_to_reader/other_process/" + name,
            [=](benchmark::State& state) { RunInOtherProcess(state, durability); });
  }
}

}  // namespace tailrace::bench
