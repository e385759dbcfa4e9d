// The fold as a whole: what readers get from a ShardSet equals the model, over rolls, restarts and
// every kind of catalogue change.
#include "shards/shard_set.h"

#include <gtest/gtest.h>

#include "tests/shards/shard_rig.h"
#include "tests/support/expect_ok.h"
#include "tests/support/seed.h"
#include "tests/support/sim_fs.h"
#include "tests/support/temp_dir.h"

namespace tailrace::shards::test {
namespace {

using tailrace::test::Random;
using tailrace::test::SimFs;
using tailrace::test::TempDir;

// Small enough that a few dozen records roll segments.
ShardSetOptions SmallOptions() {
  return {.segment_bytes_max = 6000,
          .segment_age_ms_max = 3600'000,
          .index_interval_bytes = 300,
          .buffer_bytes_max = 700,
          .buffers_bytes_max = 2000,
          .open_files_max = 4};
}

std::unique_ptr<ShardSet> OpenSet(wal::FileSystem& fs, const std::string& directory,
                                  const TestJournal& journal, const ShardSetState& state = {},
                                  const ShardSetOptions& options = SmallOptions()) {
  auto set =
      ShardSet::Open(fs, directory, kStore, journal.epoch(), state, journal.jumps(), options);
  EXPECT_OK(set);
  return set.ok() ? std::move(*set) : nullptr;
}

TEST(ShardSetTest, RecordsOfEveryKindInEveryView) {
  TempDir directory;
  TestJournal journal;
  uint64_t stream = 0;
  for (const ViewType view : {ViewType::kKeysOnly, ViewType::kNewImage, ViewType::kOldImage,
                              ViewType::kNewAndOldImages}) {
    ++stream;
    journal.EnableStream(StreamId{stream}, TableId{stream}, view, 1, ShardId{stream});
    journal.Commit({{.stream = StreamId{stream},
                     .key = KeyOf(1),
                     .new_image = "new",
                     .old_image = std::nullopt}});
    journal.Commit(
        {{.stream = StreamId{stream}, .key = KeyOf(1), .new_image = "newer", .old_image = "new"}});
    journal.Commit({{.stream = StreamId{stream},
                     .key = KeyOf(1),
                     .new_image = std::nullopt,
                     .old_image = "newer",
                     .actor = Actor::kTimeToLive}});
  }
  const auto set = OpenSet(wal::FileSystem::Posix(), directory.path() + "/streams", journal);
  ASSERT_OK(FoldFrom(journal, Lsn{0}, *set));
  EXPECT_EQ(CompareWithModel(*set, journal), "");

  const auto keys_only = ReadAllFrom(*set, StreamId{1}, ShardId{1}, StartAt::kTrimHorizon);
  ASSERT_OK(keys_only);
  ASSERT_EQ(keys_only->records.size(), 3u);
  EXPECT_FALSE(keys_only->records[0].new_image || keys_only->records[0].old_image);
  const auto both = ReadAllFrom(*set, StreamId{4}, ShardId{4}, StartAt::kTrimHorizon);
  ASSERT_OK(both);
  EXPECT_EQ(both->records[1].kind, ChangeKind::kModify);
  EXPECT_EQ(both->records[1].new_image, "newer");
  EXPECT_EQ(both->records[1].old_image, "new");
  EXPECT_EQ(both->records[2].kind, ChangeKind::kRemove);
  EXPECT_EQ(both->records[2].actor, Actor::kTimeToLive);
  EXPECT_FALSE(both->records[2].new_image);
}

TEST(ShardSetTest, NothingIsVisibleBeforePublish) {
  SimFs fs;
  TestJournal journal;
  journal.EnableStream(StreamId{1}, TableId{1}, ViewType::kKeysOnly, 1, ShardId{1});
  const auto set = OpenSet(fs, "/streams", journal);
  ASSERT_OK(FoldFrom(journal, Lsn{0}, *set));
  const Lsn published = journal.end();
  journal.Commit(
      {{.stream = StreamId{1}, .key = KeyOf(1), .new_image = "x", .old_image = std::nullopt}});
  ASSERT_OK(set->Apply(journal.frames().back().View()));
  EXPECT_EQ(set->published(), published);
  auto read = ReadAllFrom(*set, StreamId{1}, ShardId{1}, StartAt::kTrimHorizon);
  ASSERT_OK(read);
  EXPECT_TRUE(read->records.empty());
  ASSERT_OK(set->Publish(journal.end()));
  read = ReadAllFrom(*set, StreamId{1}, ShardId{1}, StartAt::kTrimHorizon);
  ASSERT_OK(read);
  EXPECT_EQ(read->records.size(), 1u);
}

TEST(ShardSetTest, ChangesOfNoStreamLeaveNoRecord) {
  SimFs fs;
  TestJournal journal;
  journal.Commit(
      {{.stream = StreamId{0}, .key = KeyOf(1), .new_image = "before", .old_image = std::nullopt}});
  journal.EnableStream(StreamId{1}, TableId{1}, ViewType::kKeysOnly, 1, ShardId{1});
  const Lsn lsn = journal.Commit(
      {{.stream = StreamId{0}, .key = KeyOf(1), .new_image = "x", .old_image = "before"},
       {.stream = StreamId{1}, .key = KeyOf(2), .new_image = "y", .old_image = std::nullopt}});
  const auto set = OpenSet(fs, "/streams", journal);
  ASSERT_OK(FoldFrom(journal, Lsn{0}, *set));
  const auto read = ReadAllFrom(*set, StreamId{1}, ShardId{1}, StartAt::kTrimHorizon);
  ASSERT_OK(read);
  ASSERT_EQ(read->records.size(), 1u);
  EXPECT_EQ(read->records[0].sequence.value, lsn.value + 1);
  EXPECT_EQ(read->records[0].change_index, 1u);
  EXPECT_EQ(read->records[0].change_count, 2u);
}

TEST(ShardSetTest, SplitRotationAndMergeKeepEveryRecordInItsPlace) {
  SimFs fs;
  TestJournal journal;
  Random random(3);
  const auto write = [&](int commits) {
    for (int i = 0; i < commits; ++i) {
      journal.Commit(
          {RandomChange(random, StreamId{1}, 50, 40), RandomChange(random, StreamId{1}, 50, 40)});
    }
  };
  journal.EnableStream(StreamId{1}, TableId{1}, ViewType::kNewImage, 2, ShardId{1});
  write(20);
  const Lsn split = journal.Split(StreamId{1}, ShardId{1}, ShardId{3});
  write(20);
  journal.Rotate(StreamId{1}, ShardId{2}, ShardId{5});
  write(20);
  journal.Merge(StreamId{1}, ShardId{3}, ShardId{4}, ShardId{6});
  write(20);
  const auto set = OpenSet(fs, "/streams", journal);
  ASSERT_OK(FoldFrom(journal, Lsn{0}, *set));
  EXPECT_EQ(CompareWithModel(*set, journal), "");

  const StreamCatalogue catalogue = set->catalogue();
  const Shard* const parent = catalogue.FindShard(StreamId{1}, ShardId{1});
  const Shard* const child = catalogue.FindShard(StreamId{1}, ShardId{3});
  ASSERT_TRUE(parent != nullptr && child != nullptr);
  EXPECT_EQ(parent->ending, SequenceNumber{split.value});
  EXPECT_EQ(child->starting, SequenceNumber{split.value + 1});
  EXPECT_EQ(child->parent, ShardId{1});
}

TEST(ShardSetTest, ManyShardsOfManyStreamsOverRestarts) {
  SimFs fs;
  TestJournal journal;
  Random random(tailrace::test::TestSeed());
  for (uint64_t stream = 1; stream <= 5; ++stream) {
    journal.EnableStream(StreamId{stream}, TableId{stream}, ViewType::kNewAndOldImages, 3,
                         ShardId{stream * 10});
  }
  ShardSetState state;
  Lsn cut{0};
  for (int round = 0; round < 8; ++round) {
    const auto set = OpenSet(fs, "/streams", journal, state);
    ASSERT_TRUE(set);
    ASSERT_OK(FoldFrom(journal, cut, *set));
    EXPECT_EQ(CompareWithModel(*set, journal), "") << "round " << round;
    const Lsn folded = journal.end();
    for (int i = 0; i < 60; ++i) {
      std::vector<TestChange> changes;
      for (uint64_t n = random.Between(1, 4); n > 0; --n) {
        changes.push_back(RandomChange(random, StreamId{random.Between(1, 5)}, 30, 200));
      }
      journal.Commit(changes);
      journal.PassTime(random.Below(400'000));
    }
    ASSERT_OK(FoldFrom(journal, folded, *set));
    EXPECT_EQ(CompareWithModel(*set, journal, {.records_max = 7, .bytes_max = 900}), "");
    state = set->Capture();
    cut = journal.end();
    ASSERT_OK(set->Sync());
    // What comes behind the cut is cut off by the next opening and folded again.
    journal.Commit({RandomChange(random, StreamId{1}, 30, 200)});
    ASSERT_OK(FoldFrom(journal, cut, *set));
    if (round % 2 == 1) journal.Jump(5000);
  }
}

TEST(ShardSetTest, RefusesFramesThatDoNotFit) {
  SimFs fs;
  TestJournal journal;
  journal.EnableStream(StreamId{1}, TableId{1}, ViewType::kKeysOnly, 1, ShardId{1});
  const auto set = OpenSet(fs, "/streams", journal);
  ASSERT_OK(FoldFrom(journal, Lsn{0}, *set));
  Commit commit;
  commit.changes.push_back({.table = TableId{1},
                            .key = "12345678",
                            .new_image = "x",
                            .existed = false,
                            .old_image = std::nullopt,
                            .stream = StreamId{9}});
  const std::string payload = EncodeCommit(commit);
  const wal::Frame frame{journal.end(), journal.end() + 100, kCommitFrame, Epoch{1}, payload};
  const Status refused = set->Apply(frame);
  EXPECT_EQ(refused.code(), StatusCode::kCorruption);
  EXPECT_NE(refused.message().find("stream 9"), std::string::npos) << refused.ToString();
  // After that the set takes no more frames and shows what it showed before.
  EXPECT_EQ(set->Publish(journal.end()), refused);
  EXPECT_OK(ReadAllFrom(*set, StreamId{1}, ShardId{1}, StartAt::kTrimHorizon));
}

}  // namespace
}  // namespace tailrace::shards::test
