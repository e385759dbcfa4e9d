// Makes inputs for the fuzzers to begin with, one directory for each target: logs as the store
// writes them, items, keys and numbers of every kind. The same ones every time.
//
//   fuzz_seeds DIRECTORY
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "engine/item_codec.h"
#include "engine/store.h"
#include "tests/engine/random_items.h"
#include "tests/fuzz/directory_image.h"
#include "tests/support/random.h"
#include "tests/support/sim_clock.h"
#include "tests/support/sim_fs.h"
#include "wal/journal.h"
#include "wal/segment.h"

namespace tailrace::fuzz {
namespace {

constexpr StoreId kStore{0x5eed'0123'4567'89ab};

class Seeds {
 public:
  explicit Seeds(std::string directory) : directory_(std::move(directory)) {}

  void Add(const std::string& target, const std::string& bytes) {
    const std::string path = directory_ + "/" + target;
    std::filesystem::create_directories(path);
    std::ofstream file(path + "/seed-" + std::to_string(count_++), std::ios::binary);
    file << bytes;
  }

 private:
  const std::string directory_;
  int count_ = 0;
};

// The segments, and a shard's header, directly below `directory`.
DirectoryImage ImageOf(const test::SimDisk& disk, const std::string& directory, uint8_t flags) {
  DirectoryImage image{.flags = flags, .files = {}};
  for (const std::string& path : disk.Files()) {
    if (path.substr(0, path.rfind('/')) != directory) continue;
    const std::string name = path.substr(directory.size() + 1);
    const auto base = wal::ParseSegmentFileName(name);
    if (!base && name != "shard.header") continue;
    image.files.push_back({base.value_or(0), disk.Contents(path).value()});
  }
  return image;
}

void AppendTo(wal::Journal& journal, int frames, size_t bytes) {
  for (int i = 0; i < frames; ++i) {
    Require(journal
                .Append(wal::FrameType{wal::kFirstCallerFrame}, std::string(bytes, 'x'),
                        wal::Quota::kOrdinary)
                .ok(),
            "the journal takes a frame");
    if (i % 2 == 0) Require(journal.Sync().ok(), "the journal syncs");
  }
}

void MakeJournals(Seeds& seeds) {
  for (uint8_t flags = 0; flags < 16; ++flags) {
    test::SimFs fs;
    test::SimClock clock;
    wal::JournalOptions options;
    options.durability = flags % 2 == 1 ? wal::Durability::kBuffered : wal::Durability::kSync;
    options.threads = wal::JournalThreads::kNone;
    options.segment_bytes = 16 << 10;
    options.live_bytes_max = 1 << 20;
    options.idle_mark_ms = 0;
    for (int opening = 0; opening <= flags % 3; ++opening) {
      auto journal = wal::OpenJournal(fs, clock, "/journal",
                                      {.store_id = kStore, .may_create = true}, options);
      Require(journal.ok(), journal.status().ToString());
      AppendTo(**journal, 2 + flags % 5, flags < 8 ? 40 : 2500);
      if (flags % 4 == 0) Require((*journal)->Close().ok(), "the journal closes");
      journal->reset();
      if (flags % 4 == 1) fs.CutPower({.keep = test::CrashChoice::Keep::kPrefix, .argument = 2});
      fs.KillProcess();
    }
    const std::string bytes = ImageOf(fs.disk(), "/journal", flags).Encode();
    seeds.Add("journal_recovery", bytes);
  }
}

// Journals and shard logs of stores.
void MakeStores(Seeds& seeds) {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    test::SimFs fs;
    test::SimClock clock;
    test::Random random(seed);
    StoreOptions options;
    options.fs = &fs;
    options.clock = &clock;
    options.journal_segment_bytes = 64 << 10;
    options.shards_per_stream = 1;
    options.shard_segment_bytes_max = 2000;
    options.maintenance_interval_ms = 0;
    auto store = Store::Open("/store", options);
    Require(store.ok(), store.status().ToString());
    const auto table = (*store)->CreateTable(
        {.name = "Table",
         .keys = {{"id", ScalarType::kN}},
         .stream = static_cast<ViewType>(seed + 1),
         .indexes = {{.name = "by_name", .keys = {{"name", ScalarType::kS}}}}});
    Require(table.ok(), table.status().ToString());
    for (int i = 0; i < 12; ++i) {
      const Item item{{"id", Value::N(random.Below(4))},
                      {"name", Value::S(test::RandomText(random, 1, 9))},
                      {"value", Value::N(test::RandomNumber(random))}};
      const auto put = i % 4 == 3 ? (*store)->Delete("Table", {{"id", Value::N(random.Below(4))}})
                                  : (*store)->Put("Table", item);
      Require(put.ok(), put.status().ToString());
    }
    seeds.Add("frame", ImageOf(fs.disk(), "/store/journal", 0).Encode());
    Require((*store)->Checkpoint().ok(), "the store makes a checkpoint");
    for (const std::string& path : fs.disk().Files()) {
      if (!path.ends_with("shard.header")) continue;
      const std::string directory = path.substr(0, path.rfind('/'));
      seeds.Add("shard_log", ImageOf(fs.disk(), directory, 0).Encode());
    }
  }
}

void MakeItems(Seeds& seeds) {
  test::Random random(1);
  for (int i = 0; i < 20; ++i) {
    const Item item = test::RandomItem(random, 4);
    if (!ValidateItem(item).ok()) continue;
    const std::string bytes = EncodeItem(item);
    if (bytes.size() < 500) seeds.Add("item_codec", std::string(1, 1) + bytes);
    seeds.Add("item_codec", std::string(1, 0) + random.Bytes(random.Between(20, 200)));
  }
}

void MakeTexts(Seeds& seeds) {
  seeds.Add("json_import", R"({"id":{"S":"a"},"n":{"N":"-1.50e3"},"b":{"B":"AQID"}})");
  seeds.Add("json_import",
            R"({"l":{"L":[{"BOOL":true},{"NULL":true}]},"m":{"M":{"x":{"N":"0"}}}})");
  seeds.Add("json_import", R"({"Item":{"s":{"SS":["a","b"]},"n":{"NS":["1","2"]}}})");
  seeds.Add("json_import", R"({"Item":{"b":{"BS":["AA==","AQ=="]}}})");
  seeds.Add("json_import", R"({"id":"\u00e9\ud83d\ude00\n","n":1E-130,"l":[true,null,{}],"m":{}})");
  for (const char* text :
       {"0", "-0.0", "1e125", "9.9999999999999999999999999999999999999E+125", "1E-130", ".5",
        "+12.500", "00012345678901234567890123456789012345678"}) {
    const std::string number = text;
    seeds.Add("number", std::string(1, static_cast<char>(number.size())) + number + "-17.25");
  }
  test::Random random(2);
  for (int i = 0; i < 24; ++i) seeds.Add("key_codec", random.Bytes(random.Between(8, 60)));
  for (int i = 0; i < 24; ++i) {
    seeds.Add("store_operations", random.Bytes(random.Between(100, 1500)));
  }
}

}  // namespace
}  // namespace tailrace::fuzz

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: fuzz_seeds DIRECTORY\n");
    return 2;
  }
  tailrace::fuzz::Seeds seeds(argv[1]);
  tailrace::fuzz::MakeJournals(seeds);
  tailrace::fuzz::MakeStores(seeds);
  tailrace::fuzz::MakeItems(seeds);
  tailrace::fuzz::MakeTexts(seeds);
  return 0;
}
