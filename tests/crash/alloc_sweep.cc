// The allocation sweep: the n-th allocation of a process within the library fails. The process may
// end, which is a crash like any other, or go on with an error; no exception leaves the library,
// nothing hangs, and what was acknowledged is there afterwards: transactions whole, in table, index
// and stream alike, and what a reader checkpointed.
//
//   alloc_sweep [--runs N] [--seed S]
//
// Each of several workloads, which together call every public entry, is run N times for each
// durability. A run makes two processes: one works until its n-th allocation fails, one looks what
// is left. n goes up to what a clean run allocates, in even steps, the first drawn from the seed.
// Prints runs and how they ended. Exits 1 at the first broken promise, with the workload and its n.
//
// Allocations of the caller's own code do not count: what an Item or another value throws there is
// the caller's.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "engine/consumer.h"
#include "engine/durable_reader.h"
#include "engine/local_server.h"
#include "engine/local_store.h"
#include "engine/merged_reader.h"
#include "engine/replay.h"
#include "engine/store.h"
#include "engine/store_follower.h"
#include "engine/table_as_of.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace {

std::atomic<bool> g_armed{false};
std::atomic<uint64_t> g_allocations{0};
std::atomic<uint64_t> g_fails_at{0};
thread_local bool t_within_caller = false;

void* Allocate(size_t bytes) {
  const bool counts = g_armed.load(std::memory_order_relaxed) && !t_within_caller;
  if (counts && g_allocations.fetch_add(1) + 1 == g_fails_at) return nullptr;
  return std::malloc(bytes == 0 ? 1 : bytes);
}

}  // namespace

// All other forms end here, but those for alignments beyond malloc's.
void* operator new(size_t bytes) {
  void* const memory = Allocate(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace tailrace::test {
namespace {

constexpr int kPairs = 24;
constexpr unsigned kHangSeconds = 60;
constexpr char kTable[] = "Pairs";
constexpr char kOther[] = "Other";
constexpr char kIndexName[] = "by_count";
constexpr char kReader[] = "reader";
const KeySchema kKeys{{"id", ScalarType::kN}, std::nullopt};
const IndexSpec kIndex{.name = kIndexName, .keys = {{"count", ScalarType::kN}, std::nullopt}};

enum Ending { kClean = 0, kTyped = 10, kEscaped = 11, kBroken = 12 };

// What the worker's process leaves for the others to see.
struct Shared {
  std::atomic<bool> opened{false};   // The store.
  std::atomic<int> answered{0};      // Pair up to which writes were acknowledged.
  std::atomic<int> checkpointed{0};  // Pair up to which the durable reader's checkpoint was.
  std::atomic<int> handed_out{0};    // Pair up to which it may have been.
  std::atomic<uint64_t> allocations{0};
};

// One call of the library.
template <typename Call>
auto In(const Call& call) {
  t_within_caller = false;
  auto result = call();
  t_within_caller = true;
  return result;
}

Item KeyOf(int64_t id) { return Item{{"id", Value::N(id)}}; }
Item At(int64_t id, int64_t count) {
  return Item{{"id", Value::N(id)}, {"count", Value::N(count)}};
}

int64_t CountOf(const std::optional<Item>& item) {
  return item ? item->GetNumber("count")->ToInt64().value() : 0;
}

int64_t IdOf(const ChangeRecord& record) { return record.keys.GetNumber("id")->ToInt64().value(); }

StoreOptions Options(Durability durability) {
  StoreOptions options;
  options.durability = durability;
  options.journal_segment_bytes = 64 << 10;
  options.generation_bytes_max = 64 << 10;
  options.journal_bytes_max = 1 << 20;
  options.block_cache_bytes = 1 << 20;
  options.maintenance_interval_ms = 0;
  return options;
}

// A process with a store, at work. Every method ends with the first error.
class Worker {
 public:
  Worker(std::string directory, Durability durability, Shared& shared)
      : directory_(std::move(directory)), options_(Options(durability)), shared_(shared) {}

  Status Open() {
    auto opened = In([&] { return Store::Open(directory_, options_); });
    if (!opened.ok()) return opened.status();
    store_ = std::move(*opened);
    shared_.opened = true;
    const TableSpec spec{.name = kTable, .keys = kKeys, .stream = ViewType::kNewAndOldImages};
    TAILRACE_ASSIGN_OR_RETURN(const TableInfo made, In([&] { return store_->CreateTable(spec); }));
    stream_ = *made.latest_stream;
    return Status::Ok();
  }

  Status Close() {
    TAILRACE_RETURN_IF_ERROR(In([&] { return store_->Close(); }));
    In([&] {
      store_.reset();
      return 0;
    });
    return Status::Ok();
  }

  Status Writes() {
    for (int n = 1; n <= kPairs; ++n) {
      TAILRACE_RETURN_IF_ERROR(WritePair());
      if (n == 4) TAILRACE_RETURN_IF_ERROR(MakeIndex());
      if (n == 8) TAILRACE_RETURN_IF_ERROR(OtherWrites());
      if (n % 10 == 0) TAILRACE_RETURN_IF_ERROR(In([&] { return store_->Checkpoint(); }));
      if (n == 15) TAILRACE_RETURN_IF_ERROR(ChangeShards());
    }
    return Status::Ok();
  }

  Status Catalogue() {
    TAILRACE_RETURN_IF_ERROR(WritePair());
    const TableSpec spec{.name = kOther, .keys = kKeys, .indexes = {kIndex}};
    const std::optional<std::string> ttl = "until";
    TAILRACE_RETURN_IF_ERROR(In([&] { return store_->CreateTable(spec); }).status());
    TAILRACE_RETURN_IF_ERROR(In([&] {
                               return store_->EnableStream(kOther, ViewType::kKeysOnly,
                                                           {.shards = 2});
                             }).status());
    TAILRACE_RETURN_IF_ERROR(In([&] { return store_->UpdateTimeToLive(kOther, ttl); }));
    TAILRACE_RETURN_IF_ERROR(WritePair());
    TAILRACE_RETURN_IF_ERROR(In([&] { return store_->DropIndex(kOther, kIndexName); }));
    TAILRACE_RETURN_IF_ERROR(In([&] { return store_->DisableStream(kOther); }));
    TAILRACE_RETURN_IF_ERROR(In([&] { return store_->RunMaintenance(); }));
    TAILRACE_RETURN_IF_ERROR(In([&] { return store_->DropTable(kOther); }));
    TAILRACE_RETURN_IF_ERROR(In([&] { return store_->ConfirmDowntime(); }));
    TAILRACE_RETURN_IF_ERROR(WritePair());
    return In([&] { return store_->Checkpoint(); });
  }

  Status Reads() {
    for (int i = 0; i < 3; ++i) TAILRACE_RETURN_IF_ERROR(WritePair());
    TAILRACE_RETURN_IF_ERROR(MakeIndex());
    TAILRACE_RETURN_IF_ERROR(In([&] { return store_->Checkpoint(); }));
    TAILRACE_RETURN_IF_ERROR(WritePair());
    TAILRACE_RETURN_IF_ERROR(ReadItems(*store_));
    const std::vector<ItemKey> keys{{kTable, KeyOf(1)}, {kTable, KeyOf(2)}, {kTable, KeyOf(3)}};
    TAILRACE_RETURN_IF_ERROR(In([&] { return store_->BatchGet(keys); }).status());
    TAILRACE_RETURN_IF_ERROR(In([&] { return store_->TransactGet(keys); }).status());
    return ReadShards();
  }

  Status Readers() {
    TAILRACE_ASSIGN_OR_RETURN(
        auto durable, In([&] { return DurableReader::Open(*store_, kReader, stream_, {}); }));
    TAILRACE_ASSIGN_OR_RETURN(auto merged,
                              In([&] { return MergedReader::Open(*store_, {stream_}, {}); }));
    TAILRACE_ASSIGN_OR_RETURN(
        auto consumer,
        In([&] { return ConsumerWorker::Open(*store_, "consumer", stream_, "worker", {}); }));
    for (int i = 0; i < 4; ++i) {
      TAILRACE_RETURN_IF_ERROR(WritePair());
      TAILRACE_RETURN_IF_ERROR(ReadDurably(*durable));
      TAILRACE_RETURN_IF_ERROR(In([&] { return merged->Next(0); }).status());
      TAILRACE_RETURN_IF_ERROR(Consume(*consumer));
    }
    TAILRACE_RETURN_IF_ERROR(In([&] { return ListConsumers(*store_); }).status());
    TAILRACE_RETURN_IF_ERROR(In([&] { return DescribeConsumer(*store_, "consumer"); }).status());
    TAILRACE_RETURN_IF_ERROR(In([&] { return consumer->Release(); }));
    TAILRACE_RETURN_IF_ERROR(In([&] { return ForgetConsumer(*store_, "consumer"); }));
    return ReadPast();
  }

  Status OtherProcesses() {
    TAILRACE_ASSIGN_OR_RETURN(auto follower, In([&] { return StoreFollower::Open(directory_); }));
    TAILRACE_RETURN_IF_ERROR(WritePair());
    TAILRACE_RETURN_IF_ERROR(Follow(*follower));
    TAILRACE_ASSIGN_OR_RETURN(auto server,
                              In([&] { return LocalServer::Start(*store_, directory_); }));
    TAILRACE_ASSIGN_OR_RETURN(auto local, In([&] { return LocalStore::Connect(directory_); }));
    const Item item = At(7, 1);
    TAILRACE_RETURN_IF_ERROR(In([&] { return local->Put(kTable, item); }).status());
    TAILRACE_RETURN_IF_ERROR(ReadItems(*local));
    TAILRACE_RETURN_IF_ERROR(In([&] { return local->Delete(kTable, key7_); }).status());
    TAILRACE_RETURN_IF_ERROR(WritePair());
    In([&] {
      server.reset();
      return 0;
    });
    return Status::Ok();
  }

  // After Close.
  Status ReplayAll() {
    class Sink final : public ReplaySink {
      void CreateTable(const TableInfo&) override {}
      void DropTable(const TableInfo&) override {}
      void SetItem(const TableInfo&, const Item&, Lsn, std::optional<Item>) override {}
    } sink;
    Replay replay(sink);
    const Status replayed =
        In([&] { return ReplayJournal(wal::FileSystem::Posix(), directory_, replay); });
    // What was drained is not there any more.
    return replayed.code() == StatusCode::kFailedPrecondition ? Status::Ok() : replayed;
  }

 private:
  // Write number n puts n under two keys at once.
  Status WritePair() {
    const int n = shared_.answered + 1;
    const std::vector<WriteRequest> pair{WriteRequest::Put(kTable, At(1, n)),
                                         WriteRequest::Put(kTable, At(2, n))};
    TAILRACE_RETURN_IF_ERROR(In([&] { return store_->Transact(pair); }).status());
    shared_.answered = n;
    return Status::Ok();
  }

  Status MakeIndex() {
    TAILRACE_RETURN_IF_ERROR(In([&] { return store_->CreateIndex(kTable, kIndex); }).status());
    return In([&] { return store_->RunMaintenance(); });
  }

  Status OtherWrites() {
    const Item item = At(3, 1);
    TAILRACE_ASSIGN_OR_RETURN(const WriteResult put, In([&] {
                                return store_->Put(kTable, item, {.wait = WaitFor::kNothing});
                              }));
    TAILRACE_RETURN_IF_ERROR(In([&] { return store_->Wait(put.token); }));
    TAILRACE_RETURN_IF_ERROR(In([&] { return store_->WaitFannedOut(put.token); }));
    const Updater updater = [](std::optional<Item>& old) {
      t_within_caller = true;
      old->Set("count", Value::N(2));
      t_within_caller = false;
      return Status::Ok();
    };
    TAILRACE_RETURN_IF_ERROR(In([&] { return store_->Update(kTable, key3_, updater); }).status());
    TAILRACE_RETURN_IF_ERROR(In([&] { return store_->Delete(kTable, key3_); }).status());
    const std::vector<WriteRequest> batch{WriteRequest::Put(kTable, At(4, 1)),
                                          WriteRequest::Put(kTable, At(5, 1))};
    return In([&] { return store_->BatchWrite(batch); }).status();
  }

  Status ChangeShards() {
    TAILRACE_ASSIGN_OR_RETURN(const StreamInfo stream,
                              In([&] { return store_->DescribeStream(stream_); }));
    TAILRACE_ASSIGN_OR_RETURN(const auto children, In([&] {
                                return store_->SplitShard(stream_, stream.shards.front().id);
                              }));
    const auto merged =
        In([&] { return store_->MergeShards(stream_, children[0].id, children[1].id); });
    // The parent has records.
    return merged.status().code() == StatusCode::kFailedPrecondition ? Status::Ok()
                                                                     : merged.status();
  }

  Status ReadItems(Store& store) const {
    const QueryRequest query{.partition = Value::N(1)};
    const ScanRequest scan{.items_max = 1};
    TAILRACE_RETURN_IF_ERROR(In([&] { return store.Get(kTable, key1_); }).status());
    TAILRACE_RETURN_IF_ERROR(In([&] { return store.Query(kTable, query); }).status());
    TAILRACE_RETURN_IF_ERROR(In([&] { return store.Scan(kTable, scan); }).status());
    TAILRACE_RETURN_IF_ERROR(In([&] { return store.DescribeTable(kTable); }).status());
    TAILRACE_RETURN_IF_ERROR(In([&] { return store.ListTables(); }).status());
    TAILRACE_RETURN_IF_ERROR(In([&] { return store.ListStreams(); }).status());
    return In([&] { return store.Stats(); }).status();
  }

  Status ReadShards() {
    TAILRACE_ASSIGN_OR_RETURN(const StreamInfo stream,
                              In([&] { return store_->DescribeStream(stream_); }));
    const ShardId shard = stream.shards.front().id;
    TAILRACE_ASSIGN_OR_RETURN(const Position begin, In([&] {
                                return store_->SeekShard(stream_, shard, StartAt::kTrimHorizon);
                              }));
    TAILRACE_ASSIGN_OR_RETURN(const ChangePage page, In([&] { return store_->ReadShard(begin); }));
    TAILRACE_RETURN_IF_ERROR(In([&] { return store_->WaitShard(page.next, 0); }).status());
    const std::vector<Position> positions{page.next};
    return In([&] { return store_->WaitShards(positions, 0); }).status();
  }

  Status ReadDurably(DurableReader& reader) {
    TAILRACE_ASSIGN_OR_RETURN(const auto batch, In([&] { return reader.Next(0); }));
    if (!batch || batch->records.empty()) return Status::Ok();
    int n = shared_.handed_out;
    for (const ChangeRecord& record : batch->records) {
      if (IdOf(record) <= 2) n = static_cast<int>(CountOf(record.new_image));
    }
    shared_.handed_out = n;
    TAILRACE_RETURN_IF_ERROR(In([&] { return reader.Checkpoint(batch->shard); }));
    shared_.checkpointed = n;
    return Status::Ok();
  }

  static Status Consume(ConsumerWorker& consumer) {
    TAILRACE_RETURN_IF_ERROR(In([&] { return consumer.KeepLeases(); }));
    TAILRACE_ASSIGN_OR_RETURN(const auto batch, In([&] { return consumer.Next(0); }));
    if (!batch) return Status::Ok();
    std::vector<WriteRequest> effect{WriteRequest::Put(kTable, At(9, 1))};
    return In([&] { return consumer.CheckpointWith(*batch, std::move(effect)); }).status();
  }

  Status ReadPast() {
    TAILRACE_ASSIGN_OR_RETURN(
        auto past,
        In([&] { return TableAsOf::Open(*store_, kTable, Moment::AtTime(UINT64_MAX / 2), {}); }));
    TAILRACE_RETURN_IF_ERROR(In([&] { return past->Get(key1_); }).status());
    return In([&] { return past->Scan({}); }).status();
  }

  Status Follow(StoreFollower& follower) {
    TAILRACE_RETURN_IF_ERROR(In([&] { return follower.Published(); }).status());
    TAILRACE_RETURN_IF_ERROR(In([&] { return follower.OwnerLives(); }).status());
    TAILRACE_ASSIGN_OR_RETURN(const auto streams, In([&] { return follower.ListStreams(); }));
    for (const StreamInfo& stream : streams) {
      TAILRACE_RETURN_IF_ERROR(In([&] { return follower.DescribeStream(stream.id); }).status());
      const ShardId shard = stream.shards.front().id;
      TAILRACE_ASSIGN_OR_RETURN(
          const Position begin,
          In([&] { return follower.SeekShard(stream.id, shard, StartAt::kTrimHorizon); }));
      TAILRACE_ASSIGN_OR_RETURN(const ChangePage page,
                                In([&] { return follower.ReadShard(begin); }));
      const std::vector<Position> positions{page.next};
      TAILRACE_RETURN_IF_ERROR(In([&] { return follower.WaitShards(positions, 0); }).status());
    }
    return Status::Ok();
  }

  const std::string directory_;
  const StoreOptions options_;
  Shared& shared_;
  // Made before an allocation fails: these are the caller's own.
  const Item key1_ = KeyOf(1), key3_ = KeyOf(3), key7_ = KeyOf(7);
  std::unique_ptr<Store> store_;
  StreamId stream_;
};

struct Workload {
  const char* name;
  Status (Worker::*body)();
};
constexpr Workload kWorkloads[] = {
    {"writes", &Worker::Writes},
    {"catalogue", &Worker::Catalogue},
    {"reads", &Worker::Reads},
    {"readers", &Worker::Readers},
    {"other processes", &Worker::OtherProcesses},
};

int Work(const Workload& workload, const std::string& directory, Durability durability,
         uint64_t fails_at, Shared& shared) {
  Worker worker(directory, durability, shared);
  t_within_caller = true;
  g_fails_at = fails_at;
  g_armed = true;
  Status status;
  try {
    status = worker.Open();
    if (status.ok()) status = (worker.*workload.body)();
    if (status.ok()) status = worker.Close();
    if (status.ok()) status = worker.ReplayAll();
  } catch (const std::bad_alloc&) {
    return kEscaped;
  }
  g_armed = false;
  shared.allocations = g_allocations.load();
  if (!status.ok() && fails_at == 0) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? kClean : kTyped;
}

// ---- What is left. ----

std::string CheckIndex(Store& store) {
  const auto table = store.DescribeTable(kTable);
  if (!table.ok()) return table.status().ToString();
  if (table->indexes.empty() || table->indexes[0].state != IndexState::kActive) return "";
  const auto items = store.Scan(kTable, {});
  const auto entries = store.Scan(kTable, {.index = kIndexName});
  if (!items.ok() || !entries.ok()) return "a scan fails";
  auto sorted = entries->items;
  for (const Item& item : items->items) {
    const auto found = std::find(sorted.begin(), sorted.end(), item);
    if (found == sorted.end()) return "the index lacks an item";
    sorted.erase(found);
  }
  return sorted.empty() ? "" : "the index has more than the table";
}

// The stream's records of the pairs lead to what the table has; and the durable reader goes on
// where its checkpoint was.
std::string CheckStream(Store& store, int64_t count, const Shared& shared) {
  const auto table = store.DescribeTable(kTable);
  if (!table.ok()) return table.status().ToString();
  for (const char* name : {kReader, "another"}) {
    auto reader = DurableReader::Open(store, name, *table->latest_stream, {});
    if (!reader.ok()) return reader.status().ToString();
    int64_t first = 0, last[2] = {0, 0};
    while (true) {
      const auto batch = (*reader)->Next(0);
      if (!batch.ok()) return batch.status().ToString();
      if (!*batch) break;
      if ((*batch)->gap) return "a gap";
      for (const ChangeRecord& record : (*batch)->records) {
        const int64_t id = IdOf(record);
        if (id > 2) continue;
        if (first == 0) first = CountOf(record.new_image);
        last[id - 1] = CountOf(record.new_image);
      }
    }
    if (name != kReader) {
      if (last[0] != count || last[1] != count) return "the stream ends otherwise than the table";
    } else if (first != 0 && (first <= shared.checkpointed || first > shared.handed_out + 1)) {
      return "the reader goes on with " + std::to_string(first) + ", and its checkpoint was at " +
             std::to_string(shared.checkpointed);
    } else if (first == 0 && shared.handed_out < count) {
      return "the reader skips what is left";
    }
  }
  return "";
}

std::string CheckLeft(const std::string& directory, Durability durability, const Shared& shared) {
  const auto store = Store::Open(directory, Options(durability));
  if (!store.ok()) return "open: " + store.status().ToString();
  int64_t counts[2] = {0, 0};
  for (const int64_t id : {1, 2}) {
    const auto item = (*store)->Get(kTable, KeyOf(id));
    if (item.status().code() == StatusCode::kNotFound && shared.answered == 0) return "";
    if (!item.ok()) return item.status().ToString();
    counts[id - 1] = CountOf(*item);
  }
  if (counts[0] != counts[1]) return "a transaction is there in part";
  if (counts[0] < shared.answered || counts[0] > shared.answered + 1) {
    return "found " + std::to_string(counts[0]) + " of " + std::to_string(shared.answered);
  }
  const std::string problem = CheckIndex(**store);
  return problem.empty() ? CheckStream(**store, counts[0], shared) : problem;
}

int Look(const std::string& directory, Durability durability, const Shared& shared) {
  const std::string problem = CheckLeft(directory, durability, shared);
  if (!problem.empty()) std::printf("%s\n", problem.c_str());
  return problem.empty() ? kClean : kBroken;
}

// The child's exit code; 128 and its signal if one ended it.
template <typename Body>
int InChild(const Body& body) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(kHangSeconds);
    const int code = body();
    std::fflush(nullptr);
    ::_exit(code);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) return kBroken;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// What a process says that ends itself is of no use, nor is its core.
void BeQuiet() {
  const rlimit none{0, 0};
  (void)::setrlimit(RLIMIT_CORE, &none);
  const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (null >= 0) (void)::dup2(null, STDERR_FILENO);
}

struct Totals {
  uint64_t runs = 0;
  uint64_t ended = 0;
  uint64_t typed = 0;
  uint64_t clean = 0;
};

bool Sweep(const Workload& workload, Durability durability, uint64_t runs, uint64_t seed,
           Shared& shared, Totals& totals) {
  const char* const name = durability == Durability::kSync ? "sync" : "buffered";
  const auto run = [&](uint64_t n) {
    const TempDir temp;
    const std::string directory = temp.path() + "/store";
    shared.opened = false;
    shared.answered = shared.checkpointed = shared.handed_out = 0;
    const int ending = InChild([&] {
      if (n != 0) BeQuiet();
      return Work(workload, directory, durability, n, shared);
    });
    // Threads that RocksDB's opening has begun run beside the exception which takes their objects
    // apart. Until that is through to us and ends the process, one of them may end it.
    const bool ended =
        ending == 128 + SIGABRT || (ending == 128 + SIGSEGV && !shared.opened.load());
    totals.ended += ended;
    totals.typed += ending == kTyped;
    totals.clean += ending == kClean;
    const bool expected = n == 0 ? ending == kClean : ended || ending == kTyped || ending == kClean;
    const int found = InChild([&] { return Look(directory, durability, shared); });
    if (expected && found == kClean) return true;
    std::printf("FAILED: %s, %s, allocation %llu: the process ended with %d, looking with %d\n",
                workload.name, name, static_cast<unsigned long long>(n), ending, found);
    return false;
  };
  if (!run(0)) return false;
  --totals.clean;
  const uint64_t allocations = shared.allocations;
  const uint64_t step = std::max<uint64_t>(allocations / runs, 1);
  const uint64_t runs_before = totals.runs;
  for (uint64_t n = 1 + MixSeed(seed, allocations) % step; n <= allocations; n += step) {
    if (!run(n)) return false;
    ++totals.runs;
  }
  std::printf("%s, %s: %llu of %llu allocations failed\n", workload.name, name,
              static_cast<unsigned long long>(totals.runs - runs_before),
              static_cast<unsigned long long>(allocations));
  return true;
}

int Main(int count, char** values) {
  uint64_t runs = 100, seed = 1;
  if (const char* from = std::getenv("TAILRACE_SEED"); from != nullptr) {
    seed = std::strtoull(from, nullptr, 10);
  }
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = values[i];
    (name == "--runs" ? runs : seed) = std::strtoull(values[i + 1], nullptr, 10);
  }
  void* const memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 2;
  Shared& shared = *new (memory) Shared;
  Totals totals;
  for (const Workload& workload : kWorkloads) {
    for (const Durability durability : {Durability::kSync, Durability::kBuffered}) {
      if (!Sweep(workload, durability, runs, seed, shared, totals)) return 1;
    }
  }
  std::printf(
      "figure: allocation sweep, %llu runs: %llu processes ended, %llu went on with a typed error, "
      "%llu took no notice; seed %llu\n",
      static_cast<unsigned long long>(totals.runs), static_cast<unsigned long long>(totals.ended),
      static_cast<unsigned long long>(totals.typed), static_cast<unsigned long long>(totals.clean),
      static_cast<unsigned long long>(seed));
  return 0;
}

}  // namespace
}  // namespace tailrace::test

int main(int count, char** values) { return tailrace::test::Main(count, values); }
