// Retention: what expires by the store's age, exactly, under hostile clocks and over years; files
// go with the checkpoint that no longer needs them, and never before.
#include <gtest/gtest.h>

#include "shards/shard_header.h"
#include "shards/shard_set.h"
#include "tests/shards/shard_rig.h"
#include "tests/support/expect_ok.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "tests/support/sim_fs.h"

namespace tailrace::shards::test {
namespace {

using tailrace::test::Random;
using tailrace::test::SimFs;

constexpr StreamId kStream{1};
constexpr ShardId kShard{1};

ShardSetOptions SmallOptions() {
  return {.segment_bytes_max = 5000,
          .segment_age_ms_max = 4 * 3600'000,
          .index_interval_bytes = 300,
          .open_files_max = 8};
}

// A journal, the set that follows it, and what a checkpoint does.
struct Store {
  SimFs fs;
  TestJournal journal;
  std::unique_ptr<ShardSet> set;
  Lsn folded{0};
  ShardSetState durable;
  Lsn cut{0};

  void Open() {
    set.reset();
    auto opened = ShardSet::Open(fs, "/streams", kStore, journal.epoch(), durable, journal.jumps(),
                                 SmallOptions());
    ASSERT_OK(opened);
    set = std::move(*opened);
    folded = cut;
    Fold();
  }

  void Fold() {
    ASSERT_OK(FoldFrom(journal, folded, *set));
    folded = journal.end();
  }

  void Checkpoint() {
    Fold();
    durable = set->Capture();
    cut = folded;
    ASSERT_OK(set->Sync());
    ASSERT_OK(set->RemoveTrimmed(durable));
  }

  // Plans and does what the engine does; how many shards moved.
  int Trim() {
    Fold();
    auto plan = set->PlanTrim(journal.age_ms());
    EXPECT_OK(plan);
    if (!plan.ok() || plan->trims().empty()) return 0;
    journal.Trim(*plan);
    Fold();
    return plan->trims_size();
  }

  std::vector<std::string> Segments() const {
    std::vector<std::string> segments;
    for (const std::string& path : fs.disk().Files()) {
      if (path.ends_with(".seg")) segments.push_back(path);
    }
    return segments;
  }
};

void CommitOne(TestJournal& journal, StreamId stream = kStream) {
  journal.Commit({{.stream = stream,
                   .key = KeyOf(1),
                   .new_image = std::string(200, 'x'),
                   .old_image = std::nullopt}});
}

TEST(RetentionTest, ExactlyAtTheBoundaryRecord) {
  Store store;
  store.journal.EnableStream(kStream, TableId{1}, ViewType::kNewImage, 1, kShard, 1000);
  store.Open();
  for (int i = 0; i < 5; ++i) {
    CommitOne(store.journal);
    store.journal.PassTime(100);
  }
  const auto& records = store.journal.model().at(kShard).records;
  store.journal.SetAgeMs(kStartAgeMs + 999);
  EXPECT_EQ(store.Trim(), 0);  // The first is 999 ms old.
  store.journal.SetAgeMs(kStartAgeMs + 1000);
  EXPECT_EQ(store.Trim(), 1);  // 1000 ms: it is gone, and only it.
  EXPECT_EQ(store.journal.model().at(kShard).trimmed_below.value, records[0].sequence.value + 1);
  EXPECT_EQ(store.Trim(), 0);
  store.journal.SetAgeMs(kStartAgeMs + 1299);
  EXPECT_EQ(store.Trim(), 1);
  EXPECT_EQ(store.journal.model().at(kShard).trimmed_below.value, records[2].sequence.value + 1);
  EXPECT_EQ(CompareWithModel(*store.set, store.journal), "");
  store.journal.SetAgeMs(kStartAgeMs + 5000);
  EXPECT_EQ(store.Trim(), 1);
  EXPECT_EQ(store.journal.model().at(kShard).trimmed_below.value, records[4].sequence.value + 1);
  EXPECT_EQ(store.Trim(), 0);
  // New records are kept, and numbers, ordinals and chain go on as if nothing had been trimmed.
  CommitOne(store.journal);
  store.Fold();
  EXPECT_EQ(CompareWithModel(*store.set, store.journal), "");
  store.Checkpoint();
  EXPECT_EQ(store.Segments().size(), 1u);
  store.Open();
  EXPECT_EQ(CompareWithModel(*store.set, store.journal), "");
}

TEST(RetentionTest, AnIdleShardKeepsNoFile) {
  Store store;
  store.journal.EnableStream(kStream, TableId{1}, ViewType::kNewImage, 1, kShard, 1000);
  store.Open();
  for (int i = 0; i < 30; ++i) CommitOne(store.journal);
  store.Checkpoint();
  EXPECT_GT(store.Segments().size(), 1u);
  store.journal.PassTime(2000);
  EXPECT_EQ(store.Trim(), 1);
  EXPECT_GT(store.Segments().size(), 1u);  // Recovery from the last cut still needs them.
  store.Checkpoint();
  EXPECT_EQ(store.Segments().size(), 0u);
  store.Open();
  CommitOne(store.journal);
  store.Fold();
  EXPECT_EQ(CompareWithModel(*store.set, store.journal), "");
  const auto read = ReadAllFrom(*store.set, kStream, kShard, StartAt::kTrimHorizon);
  ASSERT_OK(read);
  EXPECT_EQ(read->records.at(0).ordinal, 31u);
}

TEST(RetentionTest, RecoveryFromTheLastCutMissesNothingThatIsRemovedLater) {
  Store store;
  store.journal.EnableStream(kStream, TableId{1}, ViewType::kNewImage, 1, kShard, 1000);
  store.Open();
  for (int i = 0; i < 30; ++i) CommitOne(store.journal);
  store.Checkpoint();
  store.journal.PassTime(2000);
  for (int i = 0; i < 3; ++i) CommitOne(store.journal);
  EXPECT_EQ(store.Trim(), 1);
  // Removing by the old checkpoint takes nothing, so opening from it works.
  EXPECT_EQ(*store.set->RemoveTrimmed(store.durable), 0u);
  store.Open();
  EXPECT_EQ(CompareWithModel(*store.set, store.journal), "");
}

TEST(RetentionTest, SealedShardsStayForTheirTimeAndThenLeave) {
  Store store;
  store.journal.EnableStream(kStream, TableId{1}, ViewType::kNewImage, 2, kShard, 1000);
  store.Open();
  CommitOne(store.journal);  // Into the first shard; the second stays empty.
  store.Checkpoint();
  store.journal.PassTime(5000);
  store.journal.DisableStream(kStream);
  store.Fold();
  EXPECT_EQ(store.Trim(), 1);  // The record; the shards were sealed just now.
  EXPECT_EQ(store.set->catalogue().Find(kStream)->shards.size(), 2u);
  store.journal.PassTime(999);
  EXPECT_EQ(store.Trim(), 0);
  store.journal.PassTime(1);
  EXPECT_EQ(store.Trim(), 2);
  EXPECT_EQ(store.set->catalogue().Find(kStream), nullptr);
  EXPECT_EQ(CompareWithModel(*store.set, store.journal), "");
  const std::string path = ShardPath("/streams", kStream, kShard);
  EXPECT_TRUE(*store.fs.Exists(path));
  store.Checkpoint();
  EXPECT_FALSE(*store.fs.Exists(path));
  store.Open();
  EXPECT_EQ(CompareWithModel(*store.set, store.journal), "");
}

TEST(RetentionTest, StreamsHaveTheirOwnRetention) {
  Store store;
  store.journal.EnableStream(StreamId{1}, TableId{1}, ViewType::kNewImage, 1, ShardId{1}, 1000);
  store.journal.EnableStream(StreamId{2}, TableId{2}, ViewType::kNewImage, 1, ShardId{2}, 9000);
  store.Open();
  CommitOne(store.journal, StreamId{1});
  CommitOne(store.journal, StreamId{2});
  store.journal.PassTime(5000);
  EXPECT_EQ(store.Trim(), 1);
  EXPECT_EQ(CompareWithModel(*store.set, store.journal), "");
  store.journal.PassTime(5000);
  EXPECT_EQ(store.Trim(), 1);
}

// Ten virtual years in steps of hours, with wall clocks that jump by decades and ages that a
// hostile caller moves back: no record younger than its retention is ever trimmed, none much older
// stays, disk use is bounded, and every reader sees records in order or a typed gap.
TEST(RetentionTest, TenYearsOfHostileClocks) {
  Random random(tailrace::test::TestSeed());
  Store store;
  const uint64_t retention_ms = kDayMs;
  store.journal.EnableStream(kStream, TableId{1}, ViewType::kNewImage, 2, kShard, retention_ms);
  store.Open();
  const uint64_t end_age_ms = kStartAgeMs + 10 * 365 * kDayMs;
  size_t segments_max = 0;
  uint64_t last_trim_ms = 0;
  while (store.journal.age_ms() < end_age_ms) {
    for (uint64_t n = random.Below(4); n > 0; --n) {
      store.journal.Commit({RandomChange(random, kStream, 20, 100)});
    }
    store.journal.PassTime(random.Below(24 * 3600'000));
    if (random.OneIn(20)) store.journal.SetWallMs(random.Next() >> random.Between(16, 40));
    const uint64_t age_ms = store.journal.age_ms();
    if (random.OneIn(20)) {
      store.Fold();
      // Ages from the past or from nowhere move nothing that must stay.
      const auto plan = store.set->PlanTrim(random.OneIn(2) ? 0 : random.Below(age_ms));
      ASSERT_OK(plan);
    }
    store.Trim();
    last_trim_ms = age_ms;
    for (const ShardId id : {kShard, ShardId{2}}) {
      const ModelShard& model = store.journal.model().at(id);
      for (auto record = model.records.rbegin();
           record != model.records.rend() && record->age_ms + 3 * kDayMs > age_ms; ++record) {
        const bool trimmed = record->sequence < model.trimmed_below;
        ASSERT_EQ(trimmed, age_ms - record->age_ms >= retention_ms) << "age " << age_ms;
      }
    }
    if (random.OneIn(10)) store.Checkpoint();
    if (random.OneIn(60)) store.Open();
    segments_max = std::max(segments_max, store.Segments().size());
  }
  store.Fold();
  EXPECT_EQ(CompareWithModel(*store.set, store.journal), "");
  EXPECT_LT(segments_max, 200u);
  EXPECT_GT(last_trim_ms, end_age_ms - 2 * kDayMs);
  store.Checkpoint();
  EXPECT_LT(store.Segments().size(), 20u);
}

// Where a segment is damaged, the exact record cannot be told; it goes as a whole, once the next
// one's first record has expired.
TEST(RetentionTest, ADamagedSegmentExpiresAsAWhole) {
  Store store;
  store.journal.EnableStream(kStream, TableId{1}, ViewType::kNewImage, 1, kShard, 1000);
  store.Open();
  for (int i = 0; i < 40; ++i) {
    CommitOne(store.journal);
    store.journal.PassTime(10);
  }
  store.Checkpoint();
  const auto segments = store.Segments();
  ASSERT_GT(segments.size(), 2u);
  tailrace::test::SimDisk disk = store.fs.disk();
  ASSERT_OK(disk.Patch(segments[0], 4096 + 60, "damage"));
  store.set.reset();
  SimFs fs(disk);
  auto set = ShardSet::Open(fs, "/streams", kStore, Epoch{1}, store.durable, {}, SmallOptions());
  ASSERT_OK(set);
  ASSERT_OK((*set)->Publish(store.cut));
  // The first record has expired, but nobody can read how far that goes.
  auto plan = (*set)->PlanTrim(kStartAgeMs + 1000);
  ASSERT_OK(plan);
  EXPECT_EQ(plan->trims_size(), 0);
  plan = (*set)->PlanTrim(kStartAgeMs + 1000 + 390);
  ASSERT_OK(plan);
  ASSERT_EQ(plan->trims_size(), 1);
  EXPECT_EQ(plan->trims(0).below(),
            store.journal.model().at(kShard).records.back().sequence.value + 1);
}

}  // namespace
}  // namespace tailrace::shards::test
