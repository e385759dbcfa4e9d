// Makes a store with something of everything in it, for tests/golden/stores/: see its README.
//
//   make_golden_store sync|buffered DIRECTORY
//
// DIRECTORY holds it afterwards as if its process had died: part of it is in RocksDB, part only in
// the journal. The clock stands still but for steps that are written here.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "engine/store.h"
#include "tests/support/copy_store.h"
#include "tests/support/sim_clock.h"
#include "tests/support/temp_dir.h"
#include "wal/check.h"

namespace tailrace::test {
namespace {

void Must(const Status& status) { TAILRACE_CHECK(status.ok(), status.ToString()); }

Item Everything(int64_t id, const std::string& word) {
  return Item{{"id", Value::N(id)},
              {"string", Value::S(word)},
              {"number", Value::N(-7)},
              {"binary", Value::B(std::string("\0\xff", 2))},
              {"true", Value::Bool(true)},
              {"null", Value::Null()},
              {"strings", Value::SS(SortedUnique{}, {"", "a", "b"})},
              {"numbers", Value::NS(SortedUnique{}, {Number::FromInt64(-5), Number::FromInt64(5)})},
              {"binaries", Value::BS(SortedUnique{}, {Binary{"\x01"}, Binary{"\xff"}})},
              {"list", Value::L({Value::N(1), Value::S(""), Value::L({})})},
              {"map", Value::M(Item{{"x", Value::N(1)}, {"y", Value::M({})}})}};
}

Item Score(const std::string& user, int64_t at) {
  return Item{{"user", Value::S(user)}, {"at", Value::N(at)}, {"expires", Value::N(4'000'000'000)}};
}

Item Blob(char first, const std::string& text) {
  return Item{{"raw", Value::B(std::string(1, first))}, {"text", Value::S(text)}};
}

class Maker {
 public:
  Maker(Store& store, SimClock& clock) : store_(store), clock_(clock) {}

  // Before the checkpoint.
  void Begin() {
    Create({.name = "everything",
            .keys = {.partition = {"id", ScalarType::kN}},
            .stream = ViewType::kNewAndOldImages});
    Create(
        {.name = "scores",
         .keys = {{"user", ScalarType::kS}, KeyAttribute{"at", ScalarType::kN}},
         .stream = ViewType::kKeysOnly,
         .indexes = {{.name = "by_expiry",
                      .keys = {{"user", ScalarType::kS}, KeyAttribute{"expires", ScalarType::kN}},
                      .local = true,
                      .projection = Projection::kKeysOnly}}});
    Create({.name = "blobs", .keys = {.partition = {"raw", ScalarType::kB}}});
    Create({.name = "dropped",
            .keys = {.partition = {"raw", ScalarType::kB}},
            .stream = ViewType::kNewImage});
    Must(store_.UpdateTimeToLive("scores", "expires"));
    for (int64_t id = 0; id < 20; ++id) Put("everything", Everything(id, "first"));
    for (int64_t at = 0; at < 6; ++at) Put("scores", Score(at % 2 == 0 ? "ada" : "bob", at));
    Put("blobs", Blob('a', "before any stream"));
    Put("dropped", Blob('b', "goes with its table"));
    Must(store_.DropTable("dropped"));
    const StreamInfo stream = Stream("everything");
    Must(store_.SplitShard(stream.id, stream.shards.front().id).status());
    for (int64_t id = 0; id < 10; ++id) Put("everything", Everything(id, "second"));
    CreateIndex("everything", "by_string", "string", Projection::kAll);
    Must(store_.RunMaintenance());  // It is filled.
  }

  // Behind it.
  void End() {
    Must(store_.DisableStream("scores"));
    Put("scores", Score("ada", 100));
    Must(store_.EnableStream("scores", ViewType::kOldImage, {.shards = 2}).status());
    Must(store_.Delete("scores", {{"user", Value::S("ada")}, {"at", Value::N(0)}}).status());
    Must(store_.EnableStream("blobs", ViewType::kNewImage).status());
    Must(store_
             .Transact({WriteRequest::Put("blobs", Blob('c', "together")),
                        WriteRequest::Put("everything", Everything(100, "together")),
                        WriteRequest::Delete("everything", {{"id", Value::N(3)}})},
                       {.idempotency_token = "golden"})
             .status());
    Step();
    Put("everything", Everything(4, "last"));
    CreateIndex("blobs", "by_text", "text", Projection::kKeysOnly);  // It is not.
  }

 private:
  void Create(const TableSpec& spec) { Must(store_.CreateTable(spec).status()); }
  void CreateIndex(const std::string& table, const std::string& name, const std::string& key,
                   Projection projection) {
    Must(store_
             .CreateIndex(table, {.name = name,
                                  .keys = {{key, ScalarType::kS}, std::nullopt},
                                  .projection = projection})
             .status());
  }
  void Put(const std::string& table, const Item& item) {
    Must(store_.Put(table, item).status());
    Step();
  }
  void Step() { clock_.Advance(250); }
  StreamInfo Stream(const std::string& table) {
    return store_.DescribeStream(*store_.DescribeTable(table)->latest_stream).value();
  }

  Store& store_;
  SimClock& clock_;
};

int Main(const std::string& durability, const std::string& directory) {
  SimClock clock;
  const TempDir temp;
  StoreOptions options;
  options.durability = durability == "sync" ? Durability::kSync : Durability::kBuffered;
  options.clock = &clock;
  options.journal_segment_bytes = 256 << 10;
  options.shards_per_stream = 2;
  options.maintenance_interval_ms = 0;
  auto store = Store::Open(temp.path() + "/store", options).value();
  Maker maker(*store, clock);
  maker.Begin();
  Must(store->Checkpoint());
  maker.End();
  Must(store->WaitFannedOut({store->Stats()->safe}));
  CopyStore(temp.path() + "/store", directory);
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace tailrace::test

int main(int argc, char** argv) {
  if (argc == 3 && (std::string(argv[1]) == "sync" || std::string(argv[1]) == "buffered")) {
    return tailrace::test::Main(argv[1], argv[2]);
  }
  std::fprintf(stderr, "usage: make_golden_store sync|buffered DIRECTORY\n");
  return EXIT_FAILURE;
}
