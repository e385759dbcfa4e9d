// A thousand tables in a store: what they cost in files, file descriptors and disk, made, written,
// reopened and dropped; tables that grow out of the shared family while they are used; stores of
// the layout before tables shared anything.
#include <filesystem>
#include <iterator>
#include <set>

#include "engine/item_index.h"
#include "engine/store_files.h"
#include "tests/engine/store_fixture.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "tests/support/sim_fs.h"
#include "wal/coding.h"
#include "wal/hash.h"

namespace tailrace::test {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kTables = 1000;
constexpr uint64_t kFilesOfShards = 4;  // Of one shard's log, at most, with one segment.

struct Disk {
  uint64_t files = 0;
  uint64_t bytes = 0;
};

Disk DiskOf(const std::string& directory) {
  Disk disk;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    ++disk.files;
    disk.bytes += entry.file_size();
  }
  return disk;
}

uint64_t OpenDescriptors() {
  const fs::directory_iterator entries("/proc/self/fd");
  return static_cast<uint64_t>(std::distance(begin(entries), end(entries)));
}

class ManyTablesTest : public StoreTest {
 protected:
  static std::string Name(uint64_t number) { return "Table" + std::to_string(number); }

  void MakeTables(uint64_t first, uint64_t count) {
    for (uint64_t t = first; t < first + count; ++t) {
      // Every second has a stream.
      const auto stream = t % 2 == 0 ? std::optional(ViewType::kNewAndOldImages) : std::nullopt;
      ASSERT_OK(store_->CreateTable({.name = Name(t), .keys = kGameKeys, .stream = stream}));
    }
  }
  // An item in each; the last write is waited for, and so all are.
  void Trickle(uint64_t first, uint64_t count, int64_t id) {
    for (uint64_t t = first; t < first + count; ++t) {
      const bool last = t + 1 == first + count;
      ASSERT_OK(store_->Put(Name(t), Game(id, "user" + std::to_string(t)),
                            {.wait = last ? WaitFor::kSafe : WaitFor::kNothing}));
    }
  }
  void ExpectItems(uint64_t first, uint64_t count, int64_t id) {
    for (uint64_t t = first; t < first + count; ++t) {
      const auto item = store_->Get(Name(t), GameKey(id));
      ASSERT_OK(item);
      ASSERT_EQ(*item, Game(id, "user" + std::to_string(t))) << t;
    }
  }
  // Of the closed store.
  engine::ItemIndex::Stats IndexStats() {
    const auto index = engine::ItemIndex::Open(wal::FileSystem::Posix(), directory_ + "/items", {});
    EXPECT_OK(index);
    return index.ok() ? (*index)->GetStats() : engine::ItemIndex::Stats{};
  }
};

INSTANTIATE_TEST_SUITE_P(Durabilities, ManyTablesTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

TEST_P(ManyTablesTest, AThousandCostLittle) {
  const uint64_t descriptors_before = OpenDescriptors();
  options_.shard_log_handles_max = 256;
  Open();
  MakeTables(0, kTables);
  for (const int64_t id : {1, 2}) {
    Trickle(0, kTables, id);
    ASSERT_OK(store_->Checkpoint());
  }
  ExpectItems(0, kTables, 1);
  const uint64_t descriptors = OpenDescriptors() - descriptors_before;
  EXPECT_LT(descriptors, 256u + 100u) << "bounded, whatever the number of tables";
  EXPECT_EQ(store_->ListTables()->size(), kTables);
  Close();

  EXPECT_EQ(IndexStats().families, 2u);
  EXPECT_EQ(IndexStats().shared_tables, kTables);
  const Disk items = DiskOf(directory_ + "/items");
  const Disk streams = DiskOf(directory_ + "/streams");
  EXPECT_LT(items.files, 40u);
  EXPECT_LT(items.bytes, kTables * 4096);
  // Only shards with a record have files: an item each table, twice.
  EXPECT_LE(streams.files, kTables / 2 * 2 * kFilesOfShards);
  std::printf(
      "figure: 1000 tables: %llu descriptors; items %llu files, %llu bytes; streams %llu files, "
      "%llu bytes\n",
      static_cast<unsigned long long>(descriptors), static_cast<unsigned long long>(items.files),
      static_cast<unsigned long long>(items.bytes), static_cast<unsigned long long>(streams.files),
      static_cast<unsigned long long>(streams.bytes));

  // Opened, written and read again; then most are dropped, and new ones made under their names.
  Open();
  ExpectItems(0, kTables, 2);
  for (uint64_t t = 100; t < kTables; ++t) ASSERT_OK(store_->DropTable(Name(t)));
  ASSERT_OK(store_->Checkpoint());
  ExpectItems(0, 100, 1);
  MakeTables(100, 50);
  EXPECT_FALSE(store_->Get(Name(120), GameKey(1))->has_value());
  Trickle(0, 150, 3);
  Reopen();
  ExpectItems(0, 150, 3);
  ExpectItems(0, 100, 1);
  EXPECT_FALSE(store_->Get(Name(120), GameKey(1))->has_value());
  EXPECT_EQ(store_->ListTables()->size(), 150u);
  Close();
  EXPECT_EQ(IndexStats().families, 2u);
}

// Every table passes the limit while it is written and scanned.
TEST_P(ManyTablesTest, TablesGrowOutOfTheSharedFamilyWhileTheyAreUsed) {
  options_.shared_table_bytes_max = 4 << 10;
  Open();
  MakeTables(0, 8);
  Random random(TestSeed());
  std::vector<std::set<int64_t>> ids(8);
  for (int round = 0; round < 12; ++round) {
    for (uint64_t t = 0; t < 8; ++t) {
      if (t == 3 && round > 0) continue;  // This one stays small.
      for (int i = 0; i < 4; ++i) {
        const auto id = static_cast<int64_t>(random.Below(100));
        ASSERT_OK(store_->Put(
            Name(t),
            Item{{"game_id", Value::N(id)}, {"bytes", Value::B(Binary{random.Bytes(300)})}},
            {.wait = WaitFor::kNothing}));
        ids[t].insert(id);
      }
      if (random.OneIn(2)) {
        ASSERT_OK(store_->Delete(Name(t), GameKey(*ids[t].begin())));
        ids[t].erase(ids[t].begin());
      }
    }
    ASSERT_OK(store_->Checkpoint());
    for (uint64_t t = 0; t < 8; ++t) {
      std::set<int64_t> found;
      for (const Item& item : ReadTable(*store_, Name(t), 3)) {
        found.insert(item.GetNumber("game_id")->ToInt64().value());
      }
      ASSERT_EQ(found, ids[t]) << "table " << t << ", round " << round;
    }
    if (random.OneIn(3)) Reopen();
  }
  Close();
  EXPECT_EQ(IndexStats().shared_tables, 1u);
  EXPECT_EQ(IndexStats().families, 9u);
}

// With a limit of 0 the items are laid out as they were before tables shared anything; the identity
// file says the rest.
TEST_P(ManyTablesTest, AStoreOfFormatVersion1IsReadAndBecomesVersion2) {
  options_.shared_table_bytes_max = 0;
  Open();
  MakeTables(0, 3);
  Trickle(0, 3, 1);
  Close();
  EXPECT_EQ(IndexStats().families, 4u);
  const std::string path = directory_ + "/STORE";
  const engine::StorePaths paths(directory_);
  auto& disk = wal::FileSystem::Posix();
  std::string identity = wal::ReadWholeFile(disk, path, 100).value();
  StoreLittle<uint32_t>(identity.data() + 8, 1);
  const size_t hash_at = identity.size() - 8;
  StoreLittle<uint64_t>(identity.data() + hash_at, Hash64(ByteView(identity.data(), hash_at)));
  ASSERT_OK(wal::ReplaceFile(disk, path, identity));
  EXPECT_EQ(engine::ReadIdentity(disk, paths)->format_version, 1u);

  options_.shared_table_bytes_max = engine::kSharedTableBytesMax;
  Open();
  EXPECT_EQ(engine::ReadIdentity(disk, paths)->format_version, 2u);
  ExpectItems(0, 3, 1);
  MakeTables(3, 2);
  Trickle(0, 5, 2);
  Reopen();
  ExpectItems(0, 3, 1);
  ExpectItems(0, 5, 2);
  ASSERT_OK(store_->DropTable(Name(0)));
  Close();
  EXPECT_EQ(IndexStats().families, 4u) << "the default, the shared, and two of old";
  EXPECT_EQ(IndexStats().shared_tables, 2u);
}

// RocksDB is not asked again after that: it would end the process.
TEST_P(ManyTablesTest, AFailedWriteOfTheManifestTurnsTheStoreReadOnlyUntilItIsReopened) {
  SimFs sim({.disk = {.ordered_directories = {"/store/items"}}});
  directory_ = "/store";
  options_.fs = &sim;
  Open();
  MakeTables(0, 3);
  Trickle(0, 3, 1);
  ASSERT_OK(store_->Checkpoint());
  Trickle(0, 3, 2);
  sim.Inject({.call = SimCall::kWrite, .path_part = "/MANIFEST-", .status = NoSpace("full")});
  EXPECT_EQ(store_->Checkpoint().code(), StatusCode::kNoSpace);
  EXPECT_EQ(sim.faults_hit(), 1u);
  sim.ClearFaults();
  ExpectItems(0, 3, 2);
  const Status again = store_->Checkpoint();
  EXPECT_EQ(again.code(), StatusCode::kReadOnly) << again.ToString();
  EXPECT_EQ(store_->Put(Name(0), Game(3, "late")).status().code(), StatusCode::kReadOnly);
  store_.reset();
  Open();
  ExpectItems(0, 3, 1);
  ExpectItems(0, 3, 2);
  EXPECT_FALSE(store_->Get(Name(0), GameKey(3))->has_value());
  ASSERT_OK(store_->Checkpoint());
  Close();
}

}  // namespace
}  // namespace tailrace::test
