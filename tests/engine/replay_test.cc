// The public fold: a journal replayed into a map is the store.
#include "engine/replay.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "tests/engine/store_fixture.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"

namespace tailrace::test {
namespace {

using ::testing::HasSubstr;

using ReplayTest = StoreTest;
INSTANTIATE_TEST_SUITE_P(Durabilities, ReplayTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

// Items by table and user and time, as a program would keep them.
class Copy final : public ReplaySink {
 public:
  using Items = std::map<std::string, Item>;

  static std::string KeyText(const Item& item) {
    return *item.GetString("user") + "/" + item.GetNumber("at")->ToString();
  }

  void CreateTable(const TableInfo& table) override {
    EXPECT_TRUE(tables_.emplace(table.name, Items()).second) << table.name;
  }
  void DropTable(const TableInfo& table) override {
    EXPECT_EQ(tables_.erase(table.name), 1u) << table.name;
  }
  void SetItem(const TableInfo& table, const Item& key, Lsn commit,
               std::optional<Item> item) override {
    EXPECT_GE(commit, last_commit_);
    last_commit_ = commit;
    ASSERT_TRUE(tables_.contains(table.name));
    if (item) {
      tables_[table.name][KeyText(key)] = std::move(*item);
    } else {
      EXPECT_EQ(tables_[table.name].erase(KeyText(key)), 1u);
    }
  }

  const std::map<std::string, Items>& tables() const { return tables_; }

 private:
  std::map<std::string, Items> tables_;
  Lsn last_commit_;
};

std::map<std::string, Copy::Items> StateOf(Store& store) {
  std::map<std::string, Copy::Items> state;
  for (const TableInfo& table : store.ListTables().value()) {
    for (const Item& item : ReadTable(store, table.name)) {
      state[table.name][Copy::KeyText(item)] = item;
    }
    state[table.name];
  }
  return state;
}

Item Score(Random& random) {
  return {{"user", Value::S("u" + std::to_string(random.Below(5)))},
          {"at", Value::N(static_cast<int64_t>(random.Below(20)))},
          {"points", Value::N(static_cast<int64_t>(random.Below(1000)))}};
}

// Random writes to three tables that come and go, transactions among them.
void RandomWrites(Store& store, Random& random, int count) {
  for (int i = 0; i < count; ++i) {
    const std::string table = "Scores" + std::to_string(random.Below(3));
    if (!store.DescribeTable(table).ok()) {
      ASSERT_OK(store.CreateTable({.name = table, .keys = kScoreKeys}));
    }
    const Item item = Score(random);
    const uint64_t kind = random.Below(20);
    if (kind == 0) {
      ASSERT_OK(store.DropTable(table));
    } else if (kind == 1) {
      (void)store.EnableStream(table, ViewType::kNewAndOldImages).ok();
    } else if (kind < 8) {
      ASSERT_OK(store.Delete(table, KeyOfItem(kScoreKeys, item)));
    } else if (kind < 10) {
      ASSERT_OK(store.Transact({WriteRequest::Put(table, item)},
                               {.idempotency_token = "t" + std::to_string(random.Next())}));
    } else {
      ASSERT_OK(store.Put(table, item));
    }
  }
}

TEST_P(ReplayTest, TheFoldOfTheJournalIsTheStore) {
  Random random(TestSeed());
  options_.journal_segment_bytes = 16 << 20;  // Nothing is recycled before a copy was made.
  options_.generation_bytes_max = 32 << 20;
  options_.journal_bytes_max = 64 << 20;
  Open();
  Copy copy;
  Replay replay(copy);
  // Over the jumps of positions at openings, after clean ends and crashes by turns.
  for (int opening = 0; opening < 4; ++opening) {
    const bool crash = opening % 2 == 0;
    RandomWrites(*store_, random, 60);
    const auto state = StateOf(*store_);
    const Lsn safe = store_->Stats()->safe;
    if (!crash) Close();
    const std::string copied = temp_.path() + "/copy" + std::to_string(opening);
    CopyStore(directory_, copied);
    ASSERT_OK(ReplayJournal(wal::FileSystem::Posix(), copied, replay));
    EXPECT_EQ(copy.tables(), state);
    EXPECT_GE(replay.end(), safe);
    std::vector<std::string> names;
    for (const TableInfo& table : replay.tables()) names.push_back(table.name);
    std::vector<std::string> expected;
    for (const auto& [name, items] : state) expected.push_back(name);
    EXPECT_EQ(names, expected);

    // What comes twice is passed over.
    const Lsn end = replay.end();
    ASSERT_OK(ReplayJournal(wal::FileSystem::Posix(), copied, replay));
    EXPECT_EQ(copy.tables(), state);
    EXPECT_EQ(replay.end(), end);

    store_.reset();
    directory_ = copied;
    Open();
    EXPECT_EQ(StateOf(*store_), state);
  }
}

TEST_P(ReplayTest, FramesThatAreMissingAreNoticed) {
  Open();
  ASSERT_OK(store_->CreateTable({.name = "Scores", .keys = kScoreKeys}));
  Random random(TestSeed());
  for (int i = 0; i < 20; ++i) ASSERT_OK(store_->Put("Scores", Score(random)));
  const std::string copied = temp_.path() + "/copy";
  CopyStore(directory_, copied);
  auto& fs = wal::FileSystem::Posix();
  std::vector<wal::Frame> frames;
  std::vector<std::string> payloads;
  ASSERT_OK(wal::ScanJournal(fs, copied + "/journal", [&](const wal::Frame& frame) {
    frames.push_back(frame);
    payloads.emplace_back(frame.payload);
    return true;
  }));
  for (size_t i = 0; i < frames.size(); ++i) frames[i].payload = payloads[i];
  ASSERT_GT(frames.size(), 22u);
  for (size_t missing = 0; missing + 1 < frames.size(); ++missing) {
    Copy copy;
    Replay replay(copy);
    Status status;
    for (size_t i = 0; i < frames.size(); ++i) {
      if (i != missing) status = replay.Apply(frames[i]);
    }
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << "without frame " << missing;
    EXPECT_EQ(replay.end(), missing == 0 ? Lsn{} : frames[missing - 1].end);
  }
}

TEST_P(ReplayTest, FramesThatAnOpeningTookBackAreNoticed) {
  Open();
  ASSERT_OK(store_->CreateTable({.name = "Scores", .keys = kScoreKeys}));
  const std::string before = temp_.path() + "/before";
  CopyStore(directory_, before);
  ASSERT_OK(store_->Put("Scores", {{"user", Value::S("a")}, {"at", Value::N(1)}}));
  const std::string after = temp_.path() + "/after";
  CopyStore(directory_, after);
  Copy copy;
  Replay replay(copy);
  ASSERT_OK(ReplayJournal(wal::FileSystem::Posix(), after, replay));
  // The store goes on from the older copy, as after a power loss in kBuffered.
  store_.reset();
  directory_ = before;
  Open();
  Close();
  const Status status = ReplayJournal(wal::FileSystem::Posix(), before, replay);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status.ToString();
  EXPECT_THAT(status.message(), HasSubstr("took back"));
}

TEST_P(ReplayTest, AJournalWithoutItsBeginningIsRefused) {
  Open();
  MakeGames(std::nullopt);
  const std::string much(100'000, 'x');
  for (int64_t id = 0; id < 40; ++id) ASSERT_OK(store_->Put("UserGames", Game(id, much)));
  ASSERT_OK(store_->Checkpoint());
  Close();
  Copy copy;
  Replay replay(copy);
  const Status status = ReplayJournal(wal::FileSystem::Posix(), directory_, replay);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status.ToString();
  EXPECT_THAT(status.message(), HasSubstr("drained"));
  EXPECT_TRUE(copy.tables().empty());
  // The replay stays where it failed.
  EXPECT_EQ(replay.Apply({}), status);
}

TEST_P(ReplayTest, DamageBeforeTheEndIsRefused) {
  options_.generation_bytes_max = 4 << 20;  // No checkpoint recycles what is to be damaged.
  options_.journal_bytes_max = 8 << 20;
  Open();
  ASSERT_OK(store_->CreateTable({.name = "Scores", .keys = kScoreKeys}));
  const std::string much(100'000, 'x');
  for (int64_t at = 0; at < 20; ++at) {  // More than one segment.
    ASSERT_OK(store_->Put(
        "Scores", {{"user", Value::S("a")}, {"at", Value::N(at)}, {"text", Value::S(much)}}));
  }
  const std::string copied = temp_.path() + "/copy";
  CopyStore(directory_, copied);
  std::vector<std::string> segments;
  for (const auto& entry : std::filesystem::directory_iterator(copied + "/journal")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789.seg") == std::string::npos) segments.push_back(name);
  }
  std::sort(segments.begin(), segments.end());
  ASSERT_GE(segments.size(), 2u);
  auto& fs = wal::FileSystem::Posix();
  auto file = fs.Open(copied + "/journal/" + segments[0], wal::OpenMode::kReadWrite).value();
  ASSERT_OK(file->Write(300'000, "damage"));
  Copy copy;
  Replay replay(copy);
  const Status status = ReplayJournal(fs, copied, replay);
  EXPECT_EQ(status.code(), StatusCode::kCorruption) << status.ToString();
  EXPECT_THAT(status.message(), HasSubstr(segments[0]));
  EXPECT_TRUE(copy.tables().empty());
}

TEST(ReplayFrames, WhatDoesNotFitIsCorruption) {
  Copy copy;
  Replay replay(copy);
  EXPECT_EQ(replay.end(), Lsn{});
  EXPECT_TRUE(replay.tables().empty());
  // A frame of a caller's type cannot be a journal's first.
  wal::Frame frame{.lsn = Lsn{4096}, .end = Lsn{5000}, .type = wal::FrameType{16}};
  EXPECT_EQ(replay.Apply(frame).code(), StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace tailrace::test
