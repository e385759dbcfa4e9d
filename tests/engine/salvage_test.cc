// Salvage: what a damaged store still proves is in the new one, the rest is listed, nothing is
// invented, and the damaged store stays as it was.
#include "engine/salvage.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>

#include "engine/key.h"
#include "tests/engine/store_fixture.h"
#include "tests/support/file_bytes.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"

namespace tailrace::test {
namespace {

namespace fs = std::filesystem;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::map<std::string, std::string> ReadTree(const std::string& directory) {
  std::map<std::string, std::string> tree;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) tree[entry.path()] = ReadBytes(entry.path());
  }
  return tree;
}

class SalvageTest : public StoreTest {
 protected:
  // Games has a stream and Plain has none; both have items in RocksDB, and changes that only the
  // journal has when `crash`.
  void Build(bool crash) {
    options_.shard_segment_bytes_max = 16 << 10;
    options_.shards_per_stream = 2;
    options_.shared_table_bytes_max = 0;  // Files of its own for each table.
    Open();
    MakeGames(ViewType::kNewAndOldImages);
    ASSERT_OK(store_->CreateTable({.name = "Plain", .keys = kGameKeys}));
    ASSERT_OK(store_->CreateIndex(
        "UserGames", {.name = "ByUser", .keys = {{"user_id", ScalarType::kS}, std::nullopt}}));
    for (const char* table : {"UserGames", "Plain"}) {
      for (int64_t id = 0; id < 400; ++id) {
        ASSERT_OK(store_->Put(table, Game(id, Text(id, 0)), {.wait = WaitFor::kNothing}));
      }
    }
    ASSERT_OK(store_->Checkpoint());
    for (const char* table : {"UserGames", "Plain"}) {
      for (int64_t id = 0; id < 400; id += changed_step_) {
        ASSERT_OK(store_->Put(table, Game(id, Text(id, 1)), {.wait = WaitFor::kNothing}));
      }
      ASSERT_OK(store_->Delete(table, GameKey(7)));
    }
    Note();
    if (crash) {
      CopyStore(directory_, damaged_);
      Close();
    } else {
      Close();
      CopyStore(directory_, damaged_);
    }
  }

  // What the store says.
  void Note() {
    for (const char* table : {"UserGames", "Plain"}) expected_[table] = ReadTable(*store_, table);
    stream_ = LatestStream("UserGames");
    records_ = ReadStream(*store_, stream_);
  }

  static std::string Text(int64_t id, int round) {
    std::string text = std::to_string(round) + "/" + std::to_string(id) + "/";
    for (int64_t i = 0; i < 60; ++i) text += std::to_string((id * 7919 + i * 104729) % 9973);
    return text;
  }

  Result<SalvageReport> Salvage() {
    const auto before = ReadTree(damaged_);
    auto report = SalvageStore(wal::FileSystem::Posix(), damaged_, salvaged_, {.clock = &clock_});
    EXPECT_EQ(ReadTree(damaged_), before) << "the damaged store was changed";
    return report;
  }

  // Whether the store has each of the changes that Build made after the checkpoint, in their order.
  std::vector<bool> ChangesBehindTheCheckpoint(Store& store) const {
    std::vector<bool> changes;
    for (const char* table : {"UserGames", "Plain"}) {
      for (int64_t id = 0; id < 400; id += changed_step_) {
        const auto item = store.Get(table, GameKey(id)).value();
        EXPECT_TRUE(item.has_value());
        const std::string text = item ? *item->GetString("user_id") : "";
        EXPECT_TRUE(text == Text(id, 0) || text == Text(id, 1)) << text;
        changes.push_back(text == Text(id, 1));
      }
      changes.push_back(!store.Get(table, GameKey(7)).value().has_value());
    }
    return changes;
  }

  // That the items are among what was there, and how many are missing.
  size_t CountMissing(Store& store, const std::string& table) {
    const auto found = ReadTable(store, table);
    const auto& right = expected_[table];
    for (const Item& item : found) {
      EXPECT_TRUE(std::find(right.begin(), right.end(), item) != right.end())
          << table << " has an item that was not there";
    }
    return right.size() - found.size();
  }

  // That the stream of the new store is a suffix of each shard of the old one.
  size_t CountMissingRecords(Store& store) {
    const auto found = ReadStream(store, stream_);
    std::map<uint64_t, std::vector<uint64_t>> right, left;
    for (const auto& record : records_) right[record.shard.value].push_back(record.sequence.value);
    for (const auto& record : found) left[record.shard.value].push_back(record.sequence.value);
    for (auto& [shard, numbers] : left) {
      auto& all = right[shard];
      EXPECT_LE(numbers.size(), all.size());
      EXPECT_TRUE(std::equal(numbers.rbegin(), numbers.rend(), all.rbegin()))
          << "shard " << shard << " has a hole";
    }
    return records_.size() - found.size();
  }

  std::vector<std::string> FilesOf(const std::string& folder, const std::string& suffix) const {
    std::vector<std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(damaged_ + "/" + folder)) {
      if (entry.path().string().ends_with(suffix)) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    return files;
  }

  static void Flip(const std::string& path, uint64_t at) {
    std::string bytes = ReadBytes(path);
    ASSERT_LT(at, bytes.size());
    bytes[at] = static_cast<char>(bytes[at] ^ 0x20);
    WriteBytes(path, bytes);
  }

  // The segments of the damaged store's journal that hold frames, oldest first.
  std::vector<wal::SegmentSummary> SegmentsInUse() const {
    auto scanned = wal::ScanJournal(wal::FileSystem::Posix(), damaged_ + "/journal",
                                    [](const wal::Frame&) { return true; });
    EXPECT_OK(scanned);
    std::erase_if(*scanned, [](const wal::SegmentSummary& segment) { return segment.frames == 0; });
    return *std::move(scanned);
  }

  // Damages the frame behind this share of the store's own frames in the segment.
  void DamageFrameBehind(const wal::SegmentSummary& segment, double share) const {
    std::vector<uint64_t> frames;
    ASSERT_OK(wal::ScanJournal(
        wal::FileSystem::Posix(), damaged_ + "/journal", [&](const wal::Frame& frame) {
          const bool own = static_cast<uint8_t>(frame.type) >= wal::kFirstCallerFrame;
          const bool within =
              frame.lsn.value >= segment.header.base && frame.lsn < segment.valid_end;
          if (own && within) frames.push_back(frame.lsn.value);
          return true;
        }));
    ASSERT_FALSE(frames.empty());
    const uint64_t lsn = frames[static_cast<size_t>(static_cast<double>(frames.size()) * share)];
    Flip(segment.path, wal::kSegmentHeaderBytes + (lsn - segment.header.base) + 8);
  }

  const std::string damaged_ = temp_.path() + "/damaged";
  const std::string salvaged_ = temp_.path() + "/salvaged";
  std::map<std::string, std::vector<Item>> expected_;
  std::vector<ChangeRecord> records_;
  StreamId stream_;
  int64_t changed_step_ = 10;  // Of the ids of the items that Build changes last.
};

INSTANTIATE_TEST_SUITE_P(Durabilities, SalvageTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

TEST_P(SalvageTest, AWholeStoreIsSavedWhole) {
  for (const bool crash : {false, true}) {
    fs::remove_all(directory_);
    fs::remove_all(salvaged_);
    Build(crash);
    const auto report = Salvage();
    ASSERT_OK(report);
    EXPECT_THAT(report->losses, IsEmpty());
    EXPECT_EQ(report->tables, 2u);
    const auto store = Store::Open(salvaged_, options_);
    ASSERT_OK(store);
    EXPECT_EQ(CountMissing(**store, "UserGames"), 0u);
    EXPECT_EQ(CountMissing(**store, "Plain"), 0u);
    EXPECT_EQ(CountMissingRecords(**store), 0u);
    // The index is filled anew, and the store takes writes.
    ASSERT_OK((*store)->Put("UserGames", Game(9999, "new")));
    ASSERT_OK((*store)->RunMaintenance());
    const auto found =
        (*store)->Query("UserGames", {.partition = Value::S("new"), .index = "ByUser"});
    ASSERT_OK(found);
    EXPECT_THAT(found->items, SizeIs(1));
    const auto old =
        (*store)->Query("UserGames", {.partition = Value::S(Text(3, 0)), .index = "ByUser"});
    ASSERT_OK(old);
    EXPECT_THAT(old->items, SizeIs(1));
    ASSERT_OK((*store)->Close());
    ASSERT_OK(Store::Open(salvaged_, options_));
  }
}

// A damaged block: its items are lost, those around it are not; what the stream proves comes back.
TEST_P(SalvageTest, ADamagedBlockOfItemsCostsNoMore) {
  Random random{MixSeed(TestSeed(), 5)};
  size_t lists = 0;
  size_t missing_ever = 0;
  Build(false);
  const auto good = ReadTree(damaged_);
  for (const std::string& path : FilesOf("items", ".sst")) {
    const std::string bytes = good.at(path);
    if (bytes.size() < 16'000) continue;  // The largest are the tables' first ones.
    SCOPED_TRACE(path);
    for (int i = 0; i < 3; ++i) {
      // In the blocks of items, not in what is behind them.
      Flip(path, random.Below(bytes.size() / 2));
      fs::remove_all(salvaged_);
      const auto report = Salvage();
      ASSERT_OK(report);
      WriteBytes(path, bytes);
      const auto store = Store::Open(salvaged_, options_);
      ASSERT_OK(store);
      EXPECT_EQ(CountMissing(**store, "UserGames"), 0u) << "its stream has them all";
      const size_t missing = CountMissing(**store, "Plain");
      EXPECT_LT(missing, 100u);
      missing_ever += missing;
      lists += report->losses.size();
      if (missing > 0) {
        ASSERT_FALSE(report->losses.empty());
        EXPECT_EQ(report->losses[0].table, "Plain");
        EXPECT_EQ(report->losses[0].kind, SalvageLoss::Kind::kItems);
      }
      EXPECT_EQ(CountMissingRecords(**store), 0u);
    }
  }
  std::printf("figure: %zu ranges of items lost, %zu items in them\n", lists, missing_ever);
  EXPECT_GT(missing_ever, 0u);
}

TEST_P(SalvageTest, WhatLiesBehindTheHoleOfALogStays) {
  Build(false);
  const auto segments = FilesOf("streams", ".seg");
  ASSERT_GT(segments.size(), 4u);
  const auto good = ReadTree(damaged_);
  for (const size_t which : {size_t{0}, size_t{1}, segments.size() - 1}) {
    fs::remove_all(salvaged_);
    const std::string& bytes = good.at(segments[which]);
    Flip(segments[which], bytes.size() / 2);
    const auto report = Salvage();
    ASSERT_OK(report);
    WriteBytes(segments[which], bytes);
    ASSERT_FALSE(report->losses.empty());
    for (const SalvageLoss& loss : report->losses) {
      EXPECT_EQ(loss.kind, SalvageLoss::Kind::kRecords);
      EXPECT_EQ(loss.table, "UserGames");
      ASSERT_TRUE(loss.shard && loss.first && loss.last);
      EXPECT_LE(loss.first->value, loss.last->value);
    }
    const auto store = Store::Open(salvaged_, options_);
    ASSERT_OK(store);
    EXPECT_EQ(CountMissing(**store, "UserGames"), 0u);
    EXPECT_EQ(CountMissing(**store, "Plain"), 0u);
    const size_t missing = CountMissingRecords(**store);
    EXPECT_GT(missing, 0u);
    EXPECT_LT(missing, records_.size());
    ASSERT_OK((*store)->Put("UserGames", Game(9999, "new")));
    EXPECT_EQ(ReadStream(**store, stream_).size(), records_.size() - missing + 1);
  }
  // A shard that is gone as a whole.
  fs::remove_all(salvaged_);
  fs::remove_all(fs::path(segments[0]).parent_path());
  const auto report = Salvage();
  ASSERT_OK(report);
  EXPECT_FALSE(report->complete());
  const auto store = Store::Open(salvaged_, options_);
  ASSERT_OK(store);
  EXPECT_GT(CountMissingRecords(**store), 0u);
  EXPECT_EQ(CountMissing(**store, "UserGames"), 0u);
}

TEST_P(SalvageTest, AJournalIsFoldedUpToItsFirstHole) {
  Build(true);
  // In the middle of the changes that only the journal has.
  DamageFrameBehind(SegmentsInUse().back(), 0.95);
  const auto refused = Store::Open(damaged_, options_).status();
  fs::remove(damaged_ + "/LOCK");
  const auto report = Salvage();
  ASSERT_OK(report);
  const auto store = Store::Open(salvaged_, options_);
  ASSERT_OK(store);
  // The changes that are there are the first so many: nothing from behind the hole is.
  const auto changes = ChangesBehindTheCheckpoint(**store);
  EXPECT_TRUE(std::is_sorted(changes.begin(), changes.end(), std::greater<>()));
  EXPECT_TRUE(changes.front());
  EXPECT_FALSE(changes.back());
  if (refused.code() == StatusCode::kCorruption) {
    ASSERT_THAT(report->losses, SizeIs(1));
    EXPECT_EQ(report->losses[0].kind, SalvageLoss::Kind::kJournal);
    ASSERT_TRUE(report->losses[0].first);
    if (report->losses[0].last) {
      EXPECT_LE(report->losses[0].first->value, report->losses[0].last->value);
    }
  }
}

// Where whole segments follow the hole, they are listed as lost and not folded.
TEST_P(SalvageTest, SegmentsBehindAHoleOfTheJournalStay) {
  options_.journal_segment_bytes = 32 << 10;  // The changes fill several, and no checkpoint
  options_.generation_bytes_max = 64 << 20;   // drains them by itself.
  options_.journal_bytes_max = 256 << 20;
  changed_step_ = 2;
  Build(true);
  const auto segments = SegmentsInUse();
  ASSERT_GT(segments.size(), 2u);
  DamageFrameBehind(segments[segments.size() - 2], 0.5);
  fs::remove(damaged_ + "/LOCK");
  const auto report = Salvage();
  ASSERT_OK(report);
  const auto store = Store::Open(salvaged_, options_);
  ASSERT_OK(store);
  const auto changes = ChangesBehindTheCheckpoint(**store);
  EXPECT_TRUE(std::is_sorted(changes.begin(), changes.end(), std::greater<>()));
  EXPECT_TRUE(changes.front());
  EXPECT_FALSE(changes.back());
  // What was never synced may end in a hole by itself: then nothing is known to be lost.
  if (GetParam() == Durability::kBuffered) return;
  ASSERT_THAT(report->losses, SizeIs(1));
  const SalvageLoss& loss = report->losses[0];
  EXPECT_EQ(loss.kind, SalvageLoss::Kind::kJournal);
  ASSERT_TRUE(loss.first && loss.last);
  EXPECT_LT(loss.first->value, segments.back().header.base);
  EXPECT_GT(loss.last->value, segments.back().header.base);
}

TEST_P(SalvageTest, RefusesWhatItCannotDo) {
  Build(false);
  EXPECT_EQ(SalvageStore(wal::FileSystem::Posix(), damaged_, directory_, {.clock = &clock_})
                .status()
                .code(),
            StatusCode::kAlreadyExists);
  EXPECT_EQ(
      SalvageStore(wal::FileSystem::Posix(), temp_.path() + "/none", salvaged_, {.clock = &clock_})
          .status()
          .code(),
      StatusCode::kNotFound);
  {
    const auto open = Store::Open(damaged_, options_);
    ASSERT_OK(open);
    EXPECT_EQ(SalvageStore(wal::FileSystem::Posix(), damaged_, salvaged_, {.clock = &clock_})
                  .status()
                  .code(),
              StatusCode::kBusy);
  }
  // Without its MANIFEST nobody knows which version of an item is the newest.
  for (const std::string& path : FilesOf("items", "CURRENT")) fs::remove(path);
  const auto lost = Salvage();
  EXPECT_EQ(lost.status().code(), StatusCode::kCorruption) << lost.status().ToString();
  EXPECT_EQ(Store::Open(salvaged_, options_).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tailrace::test
