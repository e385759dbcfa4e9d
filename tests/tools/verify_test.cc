// verify: clean stores pass, and each kind of damage is found, named and placed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <optional>
#include <thread>

#include "engine/store.h"
#include "tests/support/copy_store.h"
#include "tests/support/expect_ok.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/run_command.h"

namespace tailrace::test {
namespace {

using testing::HasSubstr;

const KeySchema kKeys{.partition = {"id", ScalarType::kN}};

Item Game(int64_t id, int64_t round) {
  return Item{
      {"id", Value::N(id)}, {"round", Value::N(round)}, {"text", Value::S(std::string(200, 'x'))}};
}

StoreOptions Options(Durability durability = Durability::kSync) {
  StoreOptions options;
  options.durability = durability;
  options.journal_segment_bytes = 1 << 20;
  options.generation_bytes_max = 256 << 10;
  options.journal_bytes_max = 4 << 20;
  options.shard_segment_bytes_max = 32 << 10;
  options.shards_per_stream = 2;
  options.maintenance_interval_ms = 0;
  return options;
}

// Changes of all kinds in two shards, several segments each.
void Fill(Store& store) {
  ASSERT_OK(
      store.CreateTable({.name = "Games", .keys = kKeys, .stream = ViewType::kNewAndOldImages}));
  for (int64_t round = 1; round <= 3; ++round) {
    for (int64_t id = 0; id < 100; ++id) ASSERT_OK(store.Put("Games", Game(id, round)));
  }
  for (int64_t id = 0; id < 30; ++id) ASSERT_OK(store.Delete("Games", Item{{"id", Value::N(id)}}));
}

class Verify : public testing::Test {
 protected:
  void MakeClosedStore(Durability durability = Durability::kSync) {
    auto store = Store::Open(run_.store(), Options(durability));
    ASSERT_OK(store);
    Fill(**store);
    ASSERT_OK((*store)->Close());
  }

  // The segment files of the first shard, oldest first.
  std::vector<std::string> ShardSegments() const {
    std::vector<std::string> paths;
    const std::string shard = run_.store() + "/streams/stream-000000000001/shard-000000000001";
    for (const auto& entry : std::filesystem::directory_iterator(shard)) {
      if (entry.path().extension() == ".seg") paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    EXPECT_GE(paths.size(), 3u);
    return paths;
  }

  static void Flip(const std::string& path, uint64_t offset) {
    std::string bytes = ReadFile(path);
    ASSERT_LT(offset, bytes.size());
    bytes[offset] = static_cast<char>(bytes[offset] ^ 0x01);
    WriteFile(path, bytes);
  }

  // Every file of the store but RocksDB's, to see that nothing is changed.
  std::map<std::string, std::string> Contents() const {
    std::map<std::string, std::string> contents;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(run_.store())) {
      if (entry.is_regular_file()) contents[entry.path()] = ReadFile(entry.path());
    }
    return contents;
  }

  // The damages that verify finds; it must exit with 1 if and only if there are any.
  std::vector<nlohmann::json> Damages(std::vector<std::string> words = {"verify"}) const {
    words.push_back("--json");
    const CommandResult result = run_(words);
    std::vector<nlohmann::json> damages = result.Json();
    std::erase_if(damages, [](const auto& line) { return !line.contains("damage"); });
    EXPECT_EQ(result.exit_code, damages.empty() ? 0 : 1) << result.err << result.out;
    return damages;
  }

  // That exactly these places are damaged: `file` at `offset` (any if absent).
  void ExpectDamage(const std::string& file, std::optional<uint64_t> offset,
                    const std::string& affects) const {
    const auto damages = Damages();
    ASSERT_FALSE(damages.empty());
    EXPECT_EQ(damages[0]["file"], file);
    if (offset) {
      EXPECT_EQ(damages[0]["offset"], *offset);
    }
    EXPECT_THAT(damages[0]["affects"].get<std::string>(), HasSubstr(affects));
  }

  const TempDir directory_;
  const StoreCommand run_{directory_.path() + "/store"};
};

TEST_F(Verify, ACleanStorePassesAndIsNotChanged) {
  for (const Durability durability : {Durability::kSync, Durability::kBuffered}) {
    std::filesystem::remove_all(run_.store());
    MakeClosedStore(durability);
    const auto before = Contents();
    const CommandResult result = run_({"verify", "--json"});
    EXPECT_EQ(result.exit_code, 0) << result.out;
    EXPECT_EQ(Contents(), before);
    const auto report = result.Json().back();
    EXPECT_EQ(report["damages"], 0);
    EXPECT_EQ(report["closed"], true);
    EXPECT_EQ(report["shards"], 2);
    EXPECT_EQ(report["records"], 330);
    EXPECT_EQ(report["keys"], 100);
    EXPECT_GT(report["recordsComparedWithJournal"], 0);
    const auto deep = run_.Json({"verify", "--deep"}).back();
    EXPECT_EQ(deep["damages"], 0);
    EXPECT_EQ(deep["itemsCompared"], 100);
    EXPECT_EQ(deep["checksums"], true);
    EXPECT_THAT(run_({"verify"}).out, HasSubstr("\nclean; the items were not looked at"));
    // It still opens.
    EXPECT_EQ(run_({"scan", "Games", "--count"}).out, "70\n");
  }
}

TEST_F(Verify, AStoreInUsePasses) {
  auto store = Store::Open(run_.store(), Options());
  ASSERT_OK(store);
  Fill(**store);
  const auto damages = Damages();
  EXPECT_TRUE(damages.empty()) << damages;
}

// What the owner recycles while the journal is read is not missing.
TEST_F(Verify, AStoreInUseMayMoveOnWhileItIsRead) {
  auto store = Store::Open(run_.store(), Options());
  ASSERT_OK(store);
  Fill(**store);
  std::atomic<bool> stop{false};
  std::thread owner([&] {
    for (int64_t round = 4; !stop; ++round) {
      for (int64_t id = 0; id < 1000; ++id) ASSERT_OK((*store)->Put("Games", Game(id, round)));
      ASSERT_OK((*store)->Checkpoint());
    }
  });
  for (int i = 0; i < 20; ++i) {
    const auto damages = Damages();
    EXPECT_TRUE(damages.empty()) << damages;
  }
  stop = true;
  owner.join();
}

TEST_F(Verify, AFlippedBitInAShardLogIsFound) {
  MakeClosedStore();
  const std::string segment = ShardSegments()[1];
  Flip(segment, 4096 + 60);  // Within the first record's payload.
  ExpectDamage(segment, 4096, "table Games, shardId-");
}

TEST_F(Verify, EveryBitOfARecordCounts) {
  MakeClosedStore();
  const std::string segment = ShardSegments()[0];
  const std::string whole = ReadFile(segment);
  for (uint64_t offset = 4096; offset < 4096 + 400; offset += 13) {
    Flip(segment, offset);
    EXPECT_EQ(run_({"verify"}).exit_code, 1) << offset;
    WriteFile(segment, whole);
  }
  EXPECT_EQ(run_({"verify"}).exit_code, 0);
}

TEST_F(Verify, AMissingSegmentIsFound) {
  MakeClosedStore();
  std::filesystem::remove(ShardSegments()[1]);
  const auto damages = Damages();
  ASSERT_FALSE(damages.empty());
  EXPECT_THAT(damages[0]["damage"].get<std::string>(), HasSubstr("missing"));
  EXPECT_TRUE(damages[0].contains("first"));
  EXPECT_TRUE(damages[0].contains("last"));
}

TEST_F(Verify, ASegmentOfAnotherShardIsFound) {
  MakeClosedStore();
  const auto segments = ShardSegments();
  std::filesystem::copy_file(segments[0], segments[1],
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_FALSE(Damages().empty());
}

TEST_F(Verify, ALogThatEndsTooEarlyIsFoundDeep) {
  MakeClosedStore();
  std::filesystem::remove(ShardSegments().back());
  EXPECT_FALSE(Damages({"verify", "--deep"}).empty());
  std::filesystem::remove_all(run_.store() + "/streams/stream-000000000001/shard-000000000001");
  const auto damages = Damages({"verify", "--deep"});
  ASSERT_FALSE(damages.empty());
  EXPECT_THAT(damages[0]["damage"].get<std::string>(), HasSubstr("directory is missing"));
}

TEST_F(Verify, ADamagedJournalIsFound) {
  // A store that was not closed: its journal is what it lives on.
  {
    auto store = Store::Open(run_.store(), Options());
    ASSERT_OK(store);
    Fill(**store);
    CopyStore(run_.store(), directory_.path() + "/copy");
  }
  const StoreCommand copy(directory_.path() + "/copy");
  EXPECT_EQ(copy({"verify"}).exit_code, 0) << copy({"verify"}).out;
  const auto frames = copy.Json({"journal", "--type", "commit", "--limit", "3"});
  const auto segments = copy.Json({"journal", "--segments"});
  const std::string path = segments[0]["segment"];
  const uint64_t offset =
      frames[1]["lsn"].get<uint64_t>() - segments[0]["base"].get<uint64_t>() + 4096;
  Flip(path, offset + 50);
  const CommandResult result = copy({"verify", "--json"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.Json()[0]["affects"].get<std::string>(), HasSubstr("does not open"));
  EXPECT_EQ(copy({"scan", "Games", "--count"}).exit_code, 4);  // So it is.
}

TEST_F(Verify, DamagedItemsAreFoundDeep) {
  MakeClosedStore();
  std::string largest;
  for (const auto& entry : std::filesystem::directory_iterator(run_.store() + "/items")) {
    if (entry.path().extension() != ".sst") continue;
    if (largest.empty() || entry.file_size() > std::filesystem::file_size(largest))
      largest = entry.path();
  }
  ASSERT_FALSE(largest.empty());
  Flip(largest, 100);
  EXPECT_EQ(run_({"verify"}).exit_code, 0);  // It does not look there.
  EXPECT_FALSE(Damages({"verify", "--deep"}).empty());
}

TEST_F(Verify, ADamagedIdentityIsFound) {
  MakeClosedStore();
  Flip(run_.store() + "/STORE", 20);
  const auto damages = Damages();
  ASSERT_EQ(damages.size(), 1u);
  EXPECT_EQ(damages[0]["file"], run_.store() + "/STORE");
}

// Logs whose every checksum holds, but whose contents do not belong together.
TEST_F(Verify, AShardLogOfAnotherHistoryIsFound) {
  MakeClosedStore();
  const StoreCommand other(directory_.path() + "/other");
  {
    auto store = Store::Open(other.store(), Options());
    ASSERT_OK(store);
    Fill(**store);
    ASSERT_OK((*store)->Put("Games", Game(1, 99)));
    ASSERT_OK((*store)->Close());
  }
  std::filesystem::remove_all(run_.store() + "/streams");
  std::filesystem::copy(other.store() + "/streams", run_.store() + "/streams",
                        std::filesystem::copy_options::recursive);
  EXPECT_FALSE(Damages({"verify", "--deep"}).empty());
}

}  // namespace
}  // namespace tailrace::test
