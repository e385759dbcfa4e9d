// A follower gets what readers in the owner's process get, on every way that the owner takes.
#include "shards/follower.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "shards/control.h"
#include "shards/shard_header.h"
#include "tests/shards/shard_rig.h"
#include "tests/support/expect_ok.h"
#include "tests/support/seed.h"
#include "tests/support/sim_fs.h"

namespace tailrace::shards::test {
namespace {

using tailrace::test::CrashChoice;
using tailrace::test::Random;
using tailrace::test::SimFs;

constexpr char kStreams[] = "/streams";
constexpr char kLockPath[] = "/LOCK";
constexpr StreamId kStream{1};

class FollowerTest : public ::testing::Test {
 protected:
  // As a store's process begins: with the lock.
  void OpenOwner(const ShardSetState& state = {}) {
    lock_ = fs_.Lock(kLockPath).value();
    auto set = ShardSet::Open(fs_, kStreams, kStore, journal_.epoch(), state, journal_.jumps(),
                              {.segment_bytes_max = 6000,
                               .index_interval_bytes = 300,
                               .buffer_bytes_max = 700,
                               .open_files_max = 4,
                               .followers = true});
    ASSERT_OK(set);
    owner_ = *std::move(set);
  }
  void Fold(Lsn from) { ASSERT_OK(FoldFrom(journal_, from, *owner_)); }
  void OpenFollower() { follower_ = Follower::Open(fs_, kStreams, kLockPath, kStore).value(); }

  void Write(uint64_t commits) {
    for (uint64_t i = 0; i < commits; ++i) {
      std::vector<TestChange> changes;
      for (uint64_t n = random_.Between(1, 3); n > 0; --n) {
        changes.push_back(RandomChange(random_, kStream, 30, 200));
      }
      journal_.Commit(changes);
      journal_.PassTime(random_.Below(10'000));
    }
  }

  // The owner's process dies, and its memory with it.
  void KillOwner() {
    owner_ = nullptr;
    lock_ = nullptr;
  }

  Result<ReadOutcome> FollowAll(Position position, const PageLimits& limits = {}) {
    ReadOutcome outcome;
    while (true) {
      TAILRACE_ASSIGN_OR_RETURN(Page page, follower_->Read(position, limits));
      if (page.gap) outcome.gaps.push_back(*page.gap);
      for (Record& record : page.records) outcome.records.push_back(std::move(record));
      if (page.next == position && !page.caught_up) return Corruption("it does not move");
      position = outcome.end = page.next;
      outcome.end_of_shard = page.end_of_shard;
      if (page.caught_up) return outcome;
    }
  }

  // The first difference between what the follower and the owner show of every shard, or empty.
  std::string Compare(const PageLimits& limits = {}) {
    const auto catalogue = follower_->catalogue();
    if (!catalogue.ok()) return catalogue.status().ToString();
    if (!*catalogue) return "nothing is published";
    if ((*catalogue)->ToProto().SerializeAsString() !=
        owner_->catalogue().ToProto().SerializeAsString()) {
      return "the catalogues differ";
    }
    for (const auto& [stream_id, stream] : (*catalogue)->streams()) {
      for (const auto& [id, shard] : stream.shards) {
        const std::string difference = CompareShard(stream_id, id, limits);
        if (!difference.empty()) return NameOf(id) + difference;
      }
    }
    return "";
  }

  static std::string NameOf(ShardId id) { return "shard " + std::to_string(id.value) + ": "; }

  std::string CompareShard(StreamId stream, ShardId id, const PageLimits& limits) {
    for (const StartAt start : {StartAt::kTrimHorizon, StartAt::kLatest}) {
      const auto ours = follower_->Seek(stream, id, start);
      const auto theirs = owner_->Seek(stream, id, start);
      if (!ours.ok()) return ours.status().ToString();
      if (*ours != *theirs) return "another position";
    }
    const auto theirs = ReadAllFrom(*owner_, stream, id, StartAt::kTrimHorizon);
    const auto ours = FollowAll(follower_->Seek(stream, id, StartAt::kTrimHorizon).value(), limits);
    if (!ours.ok()) return ours.status().ToString();
    if (ours->records.size() != theirs->records.size()) {
      return std::to_string(ours->records.size()) + " records, the owner has " +
             std::to_string(theirs->records.size());
    }
    if (ours->end != theirs->end || ours->end_of_shard != theirs->end_of_shard) {
      return "another end";
    }
    if (!ours->gaps.empty()) return "a gap";
    for (size_t i = 0; i < ours->records.size(); ++i) {
      const std::string difference = CompareRecords(ours->records[i], theirs->records[i]);
      if (!difference.empty()) return difference;
    }
    if (ours->records.empty()) return "";
    // From one in the middle, by its number and by its time.
    const Record& some = ours->records[random_.Below(ours->records.size())];
    for (const StartAt start :
         {StartAt::kAtSequenceNumber, StartAt::kAfterSequenceNumber, StartAt::kAtTimestamp}) {
      const auto mine = follower_->Seek(stream, id, start, some.sequence, some.wall_ms);
      const auto its = owner_->Seek(stream, id, start, some.sequence, some.wall_ms);
      if (!mine.ok()) return mine.status().ToString();
      if (*mine != *its) return "another position of the same record";
    }
    return "";
  }

  Random random_{tailrace::test::TestSeed()};
  SimFs fs_;
  TestJournal journal_;
  std::unique_ptr<wal::FileLock> lock_;
  std::unique_ptr<ShardSet> owner_;
  std::unique_ptr<Follower> follower_;
};

TEST_F(FollowerTest, ThereMustHaveBeenAnOwner) {
  ASSERT_OK(fs_.CreateDirectory(kStreams));
  EXPECT_EQ(Follower::Open(fs_, kStreams, kLockPath, kStore).status().code(),
            StatusCode::kNotFound);
}

TEST_F(FollowerTest, SeesWhatReadersOfTheOwnerSee) {
  journal_.EnableStream(kStream, TableId{1}, ViewType::kNewAndOldImages, 2, ShardId{1});
  OpenOwner();
  Fold(Lsn{0});
  OpenFollower();
  EXPECT_EQ(Compare(), "");  // No record, and so no file, yet.
  for (int round = 0; round < 12; ++round) {
    const Lsn before = journal_.end();
    Write(random_.Between(1, 60));
    if (round == 3) journal_.Split(kStream, ShardId{1}, ShardId{3});
    if (round == 5) journal_.Rotate(kStream, ShardId{2}, ShardId{5});
    if (round == 7) {
      journal_.EnableStream(StreamId{2}, TableId{2}, ViewType::kKeysOnly, 3, ShardId{20});
    }
    Fold(before);
    EXPECT_EQ(Compare({.records_max = 5, .bytes_max = 900}), "") << "round " << round;
  }
  const Lsn before = journal_.end();
  journal_.DisableStream(kStream);
  Fold(before);
  EXPECT_EQ(Compare(), "");
}

TEST_F(FollowerTest, NothingAboveThePublishedEndIsShown) {
  journal_.EnableStream(kStream, TableId{1}, ViewType::kNewAndOldImages, 1, ShardId{1});
  OpenOwner();
  Fold(Lsn{0});
  OpenFollower();
  Write(50);
  // In the files, since the buffers are small, but not published.
  for (const TestFrame& frame : journal_.frames()) {
    if (frame.type != kCommitFrame) continue;
    ASSERT_OK(owner_->Apply(frame.View()));
  }
  const Position start = follower_->Seek(kStream, ShardId{1}, StartAt::kTrimHorizon).value();
  EXPECT_TRUE(FollowAll(start)->records.empty());
  EXPECT_FALSE(follower_->WaitAny({start}, nullptr, 0).value());
  ASSERT_OK(owner_->Publish(journal_.end()));
  EXPECT_TRUE(follower_->WaitAny({start}, nullptr, 0).value());
  EXPECT_EQ(Compare(), "");
}

TEST_F(FollowerTest, TrimsGiveTypedGapsAndNothingElse) {
  journal_.EnableStream(kStream, TableId{1}, ViewType::kNewAndOldImages, 1, ShardId{1}, 100'000);
  OpenOwner();
  Fold(Lsn{0});
  OpenFollower();
  const Position start = follower_->Seek(kStream, ShardId{1}, StartAt::kTrimHorizon).value();
  uint64_t gaps = 0;
  Position position = start;
  for (int round = 0; round < 20; ++round) {
    Lsn before = journal_.end();
    Write(30);
    Fold(before);
    if (round % 2 == 0) {  // The follower falls behind now and then.
      const auto read = FollowAll(position);
      ASSERT_OK(read);
      gaps += read->gaps.size();
      for (const Gap& gap : read->gaps) EXPECT_EQ(gap.kind, Gap::Kind::kTrimmed);
      position = read->end;
    }
    if (round % 4 != 3) continue;
    journal_.PassTime(90'000);
    const frames::Trim plan = owner_->PlanTrim(journal_.age_ms()).value();
    if (plan.trims().empty()) continue;
    before = journal_.end();
    journal_.Trim(plan);
    Fold(before);
    // The files go, also those that the follower has found.
    ASSERT_OK(owner_->RemoveTrimmed(owner_->Capture()));
    EXPECT_EQ(Compare(), "") << "round " << round;
  }
  EXPECT_GT(gaps, 0u);
  const Page page = follower_->Read(start, {}).value();
  ASSERT_TRUE(page.gap);
  EXPECT_EQ(page.gap->kind, Gap::Kind::kTrimmed);
  EXPECT_EQ(page.gap->first, start.next);
}

// A shard that expired as a whole is gone, for the follower as well.
TEST_F(FollowerTest, ShardsLeave) {
  journal_.EnableStream(kStream, TableId{1}, ViewType::kNewAndOldImages, 1, ShardId{1}, 1000);
  OpenOwner();
  Write(20);
  journal_.Split(kStream, ShardId{1}, ShardId{2});
  Fold(Lsn{0});
  OpenFollower();
  const Position in_parent = follower_->Seek(kStream, ShardId{1}, StartAt::kTrimHorizon).value();
  journal_.PassTime(2000);
  const Lsn before = journal_.end();
  journal_.Trim(owner_->PlanTrim(journal_.age_ms()).value());
  Fold(before);
  ASSERT_OK(owner_->RemoveTrimmed(owner_->Capture()));
  EXPECT_EQ(follower_->Read(in_parent, {}).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(follower_->WaitAny({in_parent}, nullptr, 0).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(Compare(), "");
}

TEST_F(FollowerTest, TheNextOwnerCutsFilesAndWritesThemAgain) {
  journal_.EnableStream(kStream, TableId{1}, ViewType::kNewAndOldImages, 2, ShardId{1});
  OpenOwner();
  Fold(Lsn{0});
  OpenFollower();
  ShardSetState state = owner_->Capture();
  Lsn cut = journal_.end();
  for (int round = 0; round < 8; ++round) {
    const Lsn before = journal_.end();
    Write(random_.Between(1, 80));
    Fold(before);
    KillOwner();
    EXPECT_EQ((*follower_->catalogue())->streams().size(), 1u);  // What it published is there.
    journal_.Jump(5000);  // Every opening is of its own epoch.
    OpenOwner(state);
    // It recovers: what was shown is hidden for a while.
    const auto hidden = follower_->catalogue();
    ASSERT_OK(hidden);
    EXPECT_EQ(*hidden, nullptr);
    Fold(cut);
    EXPECT_EQ(Compare({.records_max = 7}), "") << "round " << round;
    if (round % 2 == 1) {
      state = owner_->Capture();
      cut = journal_.end();
      ASSERT_OK(owner_->Sync());
    }
  }
}

// What a power loss took back (kBuffered) is told, to positions of before as by in-process readers.
TEST_F(FollowerTest, LostRecordsGiveATypedGap) {
  journal_.EnableStream(kStream, TableId{1}, ViewType::kNewAndOldImages, 1, ShardId{1});
  OpenOwner();
  Write(20);
  Fold(Lsn{0});
  ASSERT_OK(owner_->Sync());
  const ShardSetState state = owner_->Capture();
  const Lsn kept = journal_.end();
  Write(20);
  Fold(kept);
  OpenFollower();
  const auto read = FollowAll(follower_->Seek(kStream, ShardId{1}, StartAt::kTrimHorizon).value());
  ASSERT_OK(read);
  KillOwner();
  follower_ = nullptr;
  fs_.CutPower({.keep = CrashChoice::Keep::kAll});
  journal_.CutBack(kept);
  journal_.Jump(100'000);
  // Nothing is shown before an owner has settled what is left.
  OpenFollower();
  EXPECT_TRUE(FollowAll(read->end)->gaps.empty());
  OpenOwner(state);
  Fold(kept);
  const Page page = follower_->Read(read->end, {}).value();
  ASSERT_TRUE(page.gap);
  EXPECT_EQ(page.gap->kind, Gap::Kind::kLost);
  EXPECT_EQ(page.gap->first.value, kept.value);
  EXPECT_EQ(page.gap->last.value, read->end.next.value - 1);
  EXPECT_TRUE(follower_->WaitAny({read->end}, nullptr, 0).value());
  const Lsn before = journal_.end();
  Write(5);
  Fold(before);
  EXPECT_EQ(Compare(), "");
}

// Damage is told while an owner lives, and not before: one that died may have been writing.
TEST_F(FollowerTest, DamageIsNoGapAndNoEnd) {
  journal_.EnableStream(kStream, TableId{1}, ViewType::kNewAndOldImages, 1, ShardId{1});
  OpenOwner();
  Write(30);
  Fold(Lsn{0});
  OpenFollower();
  const Position start = follower_->Seek(kStream, ShardId{1}, StartAt::kTrimHorizon).value();
  const std::string shard = ShardPath(kStreams, kStream, ShardId{1});
  std::string segment;
  for (const auto& entry : fs_.List(shard).value()) {
    if (entry.name.ends_with(".seg")) segment = wal::JoinPath(shard, entry.name);
  }
  const auto file = fs_.Open(segment, wal::OpenMode::kReadWrite).value();
  ASSERT_OK(file->Write(wal::kBlockBytes + 60, "damage"));
  EXPECT_EQ(FollowAll(start).status().code(), StatusCode::kCorruption);
  KillOwner();
  const auto waiting = FollowAll(start);
  ASSERT_OK(waiting);
  EXPECT_TRUE(waiting->gaps.empty());
  EXPECT_FALSE(waiting->end_of_shard);
}

TEST_F(FollowerTest, PositionsOfOthersAreRefused) {
  journal_.EnableStream(kStream, TableId{1}, ViewType::kNewAndOldImages, 1, ShardId{1});
  OpenOwner();
  Fold(Lsn{0});
  OpenFollower();
  const Position good = follower_->Seek(kStream, ShardId{1}, StartAt::kTrimHorizon).value();
  Position position = good;
  position.store = StoreId{1};
  EXPECT_EQ(follower_->Read(position, {}).status().code(), StatusCode::kInvalidArgument);
  position = good;
  position.epoch = Epoch{99};
  EXPECT_EQ(follower_->Read(position, {}).status().code(), StatusCode::kInvalidArgument);
  position = good;
  position.next = SequenceNumber{1};
  EXPECT_EQ(follower_->Read(position, {}).status().code(), StatusCode::kInvalidArgument);
  position = good;
  position.shard = ShardId{7};
  EXPECT_EQ(follower_->Read(position, {}).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(
      follower_->Seek(kStream, ShardId{1}, StartAt::kAtSequenceNumber, SequenceNumber{1 << 30})
          .status()
          .code(),
      StatusCode::kInvalidArgument);
}

// One sleep, and one wake for what is published; none of itself.
TEST_F(FollowerTest, WaitingTakesOneSleep) {
  journal_.EnableStream(kStream, TableId{1}, ViewType::kNewAndOldImages, 1, ShardId{1});
  OpenOwner();
  Fold(Lsn{0});
  OpenFollower();
  const Position start = follower_->Seek(kStream, ShardId{1}, StartAt::kTrimHorizon).value();
  const auto catalogue = follower_->catalogue().value();
  std::thread waits([&] { EXPECT_TRUE(follower_->WaitAny({start}, catalogue, 3600'000).value()); });
  while (follower_->sleeps() == 0) std::this_thread::yield();
  const Lsn before = journal_.end();
  Write(1);
  Fold(before);
  waits.join();
  EXPECT_EQ(follower_->sleeps(), 1u);
  // A new shard is news for those who know the catalogue.
  const Position end = FollowAll(start)->end;
  std::thread again([&] { EXPECT_TRUE(follower_->WaitAny({end}, catalogue, 3600'000).value()); });
  while (follower_->sleeps() == 1) std::this_thread::yield();
  const Lsn split = journal_.end();
  journal_.EnableStream(StreamId{2}, TableId{2}, ViewType::kKeysOnly, 1, ShardId{9});
  Fold(split);
  again.join();
}

// Readers of one follower, while the owner goes on: for the thread sanitizer above all.
TEST_F(FollowerTest, ReadersRaceWithTheOwner) {
  journal_.EnableStream(kStream, TableId{1}, ViewType::kNewAndOldImages, 2, ShardId{1}, 50'000);
  OpenOwner();
  Fold(Lsn{0});
  OpenFollower();
  std::atomic<bool> done{false};
  const auto read = [&](ShardId shard) {
    Position position = follower_->Seek(kStream, shard, StartAt::kTrimHorizon).value();
    SequenceNumber last;
    bool gap = false;
    while (true) {
      const bool was_done = done;
      const auto page = follower_->Read(position, {.records_max = 20});
      ASSERT_OK(page);
      gap = gap || page->gap;
      for (const Record& record : page->records) {
        if (!page->gap && last.value != 0 && !gap) {
          EXPECT_EQ(record.previous, last);
        }
        EXPECT_GT(record.sequence, last);
        last = record.sequence;
        gap = false;
      }
      position = page->next;
      if (!page->caught_up) continue;
      if (was_done) return;
      ASSERT_OK(follower_->WaitAny({position}, nullptr, 1));
    }
  };
  std::vector<std::thread> readers;
  for (const uint64_t shard : {1u, 1u, 2u, 2u}) readers.emplace_back(read, ShardId{shard});
  for (int round = 0; round < 60; ++round) {
    Lsn before = journal_.end();
    Write(10);
    Fold(before);
    if (round % 10 != 9) continue;
    const frames::Trim plan = owner_->PlanTrim(journal_.age_ms()).value();
    if (plan.trims().empty()) continue;
    before = journal_.end();
    journal_.Trim(plan);
    Fold(before);
    ASSERT_OK(owner_->RemoveTrimmed(owner_->Capture()));
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
}

}  // namespace
}  // namespace tailrace::shards::test
