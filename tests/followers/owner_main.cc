// The owner in tests of followers and of the local socket: a process that has a store open and does
// as it is told, a line at a time.
//
//   owner DIRECTORY sync|buffered WALL_MS
//
// Orders on standard input, each answered by "ok", more words perhaps, or "error: ...":
//   write N [BYTES]  puts N changes of table Games, numbered on over all openings; "ok LAST" when
//                    followers can see them
//   flood            writes for ever from another thread; no answer but "ok" first
//   split            splits the first open shard
//   disable, enable  the table's stream
//   drop             the table
//   pass MS          moves the clock
//   upkeep           trims what has expired
//   checkpoint
//   serve            begins to serve the local socket
//   close            closes the store and ends
#include <algorithm>
#include <atomic>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>

#include "engine/local_server.h"
#include "engine/store.h"
#include "tests/support/sim_clock.h"

namespace tailrace::test {
namespace {

constexpr char kTable[] = "Games";
constexpr int64_t kGames = 40;

class Owner {
 public:
  Owner(const std::string& directory, Durability durability, uint64_t wall_ms)
      : directory_(directory), clock_(wall_ms) {
    StoreOptions options;
    options.durability = durability;
    options.clock = &clock_;
    options.journal_segment_bytes = 1 << 20;
    options.generation_bytes_max = 256 << 10;
    options.journal_bytes_max = 4 << 20;
    options.shard_segment_bytes_max = 32 << 10;
    options.shards_per_stream = 2;
    options.maintenance_interval_ms = 0;
    options.downtime_confirmation_ms = 0;
    store_ = Store::Open(directory, options).value();
    if (!store_->DescribeTable(kTable).ok()) {
      store_
          ->CreateTable({.name = kTable,
                         .keys = {{"game_id", ScalarType::kN}, std::nullopt},
                         .stream = ViewType::kNewAndOldImages})
          .value();
    }
    for (const Item& item : store_->Scan(kTable, {}).value().items) {
      next_ = std::max<uint64_t>(next_.load(), std::stoull(item.GetNumber("n")->ToString()) + 1);
    }
  }

  // Each change says its number; one more, which readers do not count, ends the order.
  Status Write(uint64_t count, uint64_t bytes) {
    CommitToken token;
    for (uint64_t i = 0; i < count; ++i) {
      Item item{{"game_id", Value::N(static_cast<int64_t>(next_.load()) % kGames)},
                {"n", Value::N(next_.load())}};
      if (bytes > 0) item.Set("fill", Value::S(std::string(bytes, 'x')));
      TAILRACE_ASSIGN_OR_RETURN(const WriteResult put,
                                store_->Put(kTable, item, {.wait = WaitFor::kNothing}));
      token = put.token;
      ++next_;
    }
    TAILRACE_ASSIGN_OR_RETURN(
        const WriteResult put,
        store_->Put(kTable, {{"game_id", Value::N(int64_t{-1})}, {"n", Value::N(next_ - 1)}}));
    return store_->WaitFannedOut(put.token);
  }

  Status Split() {
    TAILRACE_ASSIGN_OR_RETURN(const StreamInfo stream, Stream());
    const auto open = std::find_if(stream.shards.begin(), stream.shards.end(),
                                   [](const ShardInfo& shard) { return !shard.ending; });
    if (open == stream.shards.end()) return FailedPrecondition("no shard is open");
    return store_->SplitShard(stream.id, open->id).status();
  }

  Status Obey(const std::string& order, std::istringstream& words) {
    uint64_t number = 0;
    uint64_t bytes = 0;
    words >> number >> bytes;
    if (order == "write") return Write(number, bytes);
    if (order == "split") return Split();
    if (order == "disable") return store_->DisableStream(kTable);
    if (order == "enable") {
      return store_->EnableStream(kTable, ViewType::kNewAndOldImages).status();
    }
    if (order == "drop") return store_->DropTable(kTable);
    if (order == "upkeep") return store_->RunMaintenance();
    if (order == "checkpoint") return store_->Checkpoint();
    if (order == "pass") clock_.Advance(number);
    if (order == "serve") {
      TAILRACE_ASSIGN_OR_RETURN(server_, LocalServer::Start(*store_, directory_));
    }
    if (order == "flood") {
      std::thread([this] {
        while (Write(10, 100).ok()) {
        }
      }).detach();
    }
    return Status::Ok();
  }

  int Run() {
    std::cout << "ok " << next_ << std::endl;
    for (std::string line; std::getline(std::cin, line);) {
      std::istringstream words(line);
      std::string order;
      words >> order;
      if (order == "close") break;
      const Status obeyed = Obey(order, words);
      if (obeyed.ok()) {
        std::cout << "ok " << next_ - 1 << std::endl;
      } else {
        std::cout << "error: " << obeyed.ToString() << std::endl;
      }
    }
    server_ = nullptr;
    const Status closed = store_->Close();
    std::cout << (closed.ok() ? "ok" : "error: " + closed.ToString()) << std::endl;
    return closed.ok() ? 0 : 1;
  }

 private:
  Result<StreamInfo> Stream() {
    TAILRACE_ASSIGN_OR_RETURN(const TableInfo table, store_->DescribeTable(kTable));
    return store_->DescribeStream(*table.latest_stream);
  }

  const std::string directory_;
  SimClock clock_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<LocalServer> server_;
  std::atomic<uint64_t> next_ = 1;
};

}  // namespace
}  // namespace tailrace::test

int main(int argc, char** argv) {
  using namespace tailrace;
  if (argc != 4) return 2;
  const std::string mode = argv[2];
  test::Owner owner(argv[1], mode == "sync" ? Durability::kSync : Durability::kBuffered,
                    std::stoull(argv[3]));
  return owner.Run();
}
