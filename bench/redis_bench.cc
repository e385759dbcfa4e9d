// latency/redis/in_other_process/<durability>: Redis Streams, the rival of
// latency/commit_to_reader: XADD by a writer, XREAD BLOCK by a reader with a connection of its own.
// The other process is the server; writer and reader are threads of this one.
//
// The server listens at a unix socket alone and writes every XADD to its append-only file: buffered
// it syncs that every second, sync before it answers.
#include <hiredis.h>
#include <sys/wait.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <thread>
#include <vector>

#include "bench/cases.h"
#include "bench/child.h"
#include "bench/engine.h"
#include "bench/meters.h"
#include "bench/reader_latency.h"
#include "bench/settings.h"
#include "wal/check.h"

namespace tailrace::bench {
namespace {

constexpr char kStream[] = "Items";

struct Free {
  void operator()(redisContext* context) const { redisFree(context); }
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using Connection = std::unique_ptr<redisContext, Free>;
using Reply = std::unique_ptr<redisReply, Free>;

Reply Call(redisContext& connection, const std::vector<std::string_view>& words) {
  std::vector<const char*> begins;
  std::vector<size_t> sizes;
  for (const std::string_view word : words) {
    begins.push_back(word.data());
    sizes.push_back(word.size());
  }
  Reply reply(static_cast<redisReply*>(
      redisCommandArgv(&connection, static_cast<int>(words.size()), begins.data(), sizes.data())));
  TAILRACE_CHECK(reply != nullptr, connection.errstr);
  TAILRACE_CHECK(reply->type != REDIS_REPLY_ERROR, reply->str);
  return reply;
}

// A server with an empty directory of its own.
class Server {
 public:
  explicit Server(Safety safety) : child_(Command(MakeDirectory(), safety)) {}
  ~Server() {
    child_.reset();
    std::filesystem::remove_all(Directory());
  }

  // Waits until it answers. Null: there is no redis-server on this machine.
  Connection Connect() {
    const uint64_t end_ns = NowNs() + 30'000'000'000;
    while (NowNs() < end_ns) {
      Connection connection(redisConnectUnix(Socket().c_str()));
      if (connection != nullptr && connection->err == 0) return connection;
      if (const auto status = child_->Ended()) {
        const bool missing = WIFEXITED(*status) && WEXITSTATUS(*status) == kCommandNotFound;
        TAILRACE_CHECK(missing, "redis-server ended at once; its directory has a log");
        return nullptr;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    TAILRACE_CHECK(false, "redis-server does not listen");
    return nullptr;
  }

 private:
  static std::string Directory() { return TheSettings().directory + "/redis"; }
  // Relative where it can be: the path of a socket is 107 bytes at most.
  static std::string Socket() { return std::filesystem::proximate(Directory() + "/socket"); }
  static std::string MakeDirectory() {
    std::filesystem::remove_all(Directory());
    std::filesystem::create_directories(Directory());
    return Directory();
  }
  // No snapshots and no rewriting of the file, which would only disturb it.
  static std::vector<std::string> Command(const std::string& directory, Safety safety) {
    return {"redis-server",
            "--port",
            "0",
            "--unixsocket",
            "socket",
            "--dir",
            directory,
            "--logfile",
            "log",
            "--save",
            "",
            "--auto-aof-rewrite-percentage",
            "0",
            "--appendonly",
            "yes",
            "--appendfsync",
            safety == Safety::kSync ? "always" : "everysec"};
  }

  std::optional<Child> child_;
};

// Reads one entry of the stream after another in a thread of its own.
class BlockedReader {
 public:
  explicit BlockedReader(Connection connection)
      : connection_(std::move(connection)), thread_([this] { Run(); }) {}
  ~BlockedReader() {
    stop_ = true;
    thread_.join();
  }

  uint64_t Arrival() { return arrivals_.Next(); }

 private:
  void Run() {
    std::string last = "0-0";
    while (!stop_) {
      // The wait is cut short now and then, so that the end is noticed.
      const Reply reply = Call(*connection_, {"XREAD", "BLOCK", "100", "STREAMS", kStream, last});
      if (reply->type == REDIS_REPLY_NIL) continue;
      // One stream, its name and its entries; of an entry, its id and its fields.
      const redisReply& entries = *reply->element[0]->element[1];
      last = entries.element[entries.elements - 1]->element[0]->str;
      arrivals_.Add(NowNs());
    }
  }

  const Connection connection_;
  std::atomic<bool> stop_{false};
  Arrivals arrivals_;
  std::thread thread_;
};

void RunRedis(benchmark::State& state, Safety safety) {
  Server server(safety);
  const Connection writer = server.Connect();
  if (writer == nullptr) return state.SkipWithError("redis-server is not installed");
  const TimedWrite write = [&](const std::string& key, std::string_view value) {
    const uint64_t begin_ns = NowNs();
    Call(*writer, {"XADD", kStream, "*", "id", key, "value", value});
    return begin_ns;
  };
  for (auto _ : state) {
    BlockedReader reader(server.Connect());
    MeasureReaderLatency(state, write, [&] { return reader.Arrival(); });
  }
}

}  // namespace

void AddRedisCases() {
  for (const Safety safety : {Safety::kBuffered, Safety::kSync}) {
    AddCase(std::string("latency/redis/in_other_process/") + NameOf(safety),
            [=](benchmark::State& state) { RunRedis(state, safety); });
  }
}

}  // namespace tailrace::bench
