// A follower while the owner, another process, writes, splits, trims, disables, dies and comes
// back.
#include "engine/store_follower.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>
#include <thread>

#include "tests/followers/owner.h"
#include "tests/support/expect_ok.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "tests/support/temp_dir.h"

namespace tailrace::test {
namespace {

constexpr uint64_t kWaitMs = 60'000;

// Follows all streams of a store as a program would, and checks what it gets: each shard's records
// without a hole, a parent's before its children's, no gap that was not expected.
class Chaser {
 public:
  explicit Chaser(const std::string& directory)
      : follower_(StoreFollower::Open(directory).value()) {}

  // Reads until it has met changes 1 to `n`.
  void ReadUpTo(uint64_t n) {
    while (numbers_.size() < n) {
      if (::testing::Test::HasFailure()) return;
      if (ReadOnce()) continue;
      std::vector<Position> positions;
      for (const auto& [id, cursor] : cursors_) {
        if (!cursor.done && !Waits(cursor)) positions.push_back(cursor.position);
      }
      const auto woken = follower_->WaitShards(positions, kWaitMs);
      if (woken.status().code() == StatusCode::kNotFound) continue;
      ASSERT_OK(woken);
      ASSERT_TRUE(*woken) << "change " << n << " did not come";
    }
  }

  // One page of every shard; whether there was anything.
  bool ReadOnce() {
    FindShards();
    bool any = false;
    for (auto& [id, cursor] : cursors_) {
      if (cursor.done || Waits(cursor)) continue;
      const auto page = follower_->ReadShard(cursor.position, limits);
      if (page.status().code() == StatusCode::kNotFound) {
        cursor.done = any = true;
        ++expired_;
        continue;
      }
      EXPECT_OK(page);
      if (!page.ok()) return false;
      if (page->gap) gaps_.push_back(*page->gap);
      for (const ChangeRecord& record : page->records) Take(cursor, record, page->gap.has_value());
      cursor.position = page->next;
      cursor.done = page->end_of_shard;
      any = any || page->gap || !page->records.empty() || cursor.done;
    }
    return any;
  }

  // Every change from `first` to `last` was met.
  void ExpectAll(uint64_t first, uint64_t last) const {
    for (uint64_t n = first; n <= last; ++n) {
      if (!numbers_.contains(n)) {
        ADD_FAILURE() << "change " << n << " was not met";
        return;
      }
    }
  }

  StoreFollower& follower() { return *follower_; }
  const std::vector<Gap>& gaps() const { return gaps_; }
  const std::set<uint64_t>& numbers() const { return numbers_; }
  uint64_t records() const { return records_; }
  size_t shards() const { return cursors_.size(); }
  std::map<ShardId, Position> positions() const {
    std::map<ShardId, Position> all;
    for (const auto& [id, cursor] : cursors_) all[id] = cursor.position;
    return all;
  }

  PageLimits limits = {};

 private:
  struct Cursor {
    Position position;
    std::optional<ShardId> parent;
    bool done = false;
    uint64_t ordinal = 0;
    SequenceNumber sequence;
  };

  bool Waits(const Cursor& cursor) const {
    if (!cursor.parent) return false;
    const auto parent = cursors_.find(*cursor.parent);
    return parent != cursors_.end() && !parent->second.done;
  }

  void FindShards() {
    const auto streams = follower_->ListStreams();
    ASSERT_OK(streams);
    for (const StreamInfo& stream : *streams) {
      for (const ShardInfo& shard : stream.shards) {
        if (cursors_.contains(shard.id)) continue;
        const auto position = follower_->SeekShard(stream.id, shard.id, StartAt::kTrimHorizon);
        if (position.status().code() == StatusCode::kBusy ||
            position.status().code() == StatusCode::kNotFound) {
          continue;
        }
        ASSERT_OK(position);
        cursors_[shard.id] = {.position = *position, .parent = shard.parent};
      }
    }
  }

  void Take(Cursor& cursor, const ChangeRecord& record, bool after_gap) {
    ++records_;
    EXPECT_GT(record.sequence, cursor.sequence);
    if (!after_gap && cursor.ordinal != 0) {
      EXPECT_EQ(record.ordinal, cursor.ordinal + 1);
    }
    cursor.sequence = record.sequence;
    cursor.ordinal = record.ordinal;
    const int64_t game = std::stoll(record.keys.GetNumber("game_id")->ToString());
    // Each item's changes in order, whatever shards they came through.
    EXPECT_GT(record.sequence, last_of_game_[game]) << "game " << game;
    last_of_game_[game] = record.sequence;
    const uint64_t n = std::stoull(record.new_image->GetNumber("n")->ToString());
    if (game < 0) return;
    EXPECT_TRUE(numbers_.insert(n).second) << "change " << n << " came twice";
  }

  std::unique_ptr<StoreFollower> follower_;
  std::map<ShardId, Cursor> cursors_;
  std::map<int64_t, SequenceNumber> last_of_game_;
  std::set<uint64_t> numbers_;
  std::vector<Gap> gaps_;
  uint64_t records_ = 0;
  uint64_t expired_ = 0;
};

class StoreFollowerTest : public ::testing::TestWithParam<std::string> {
 protected:
  TempDir temp_;
  std::string directory_ = temp_.path() + "/store";
};

TEST_P(StoreFollowerTest, SeesWhatTheOwnerWrites) {
  Owner owner(directory_, GetParam());
  const uint64_t first = owner.Order("write 100");
  Chaser chaser(directory_);
  chaser.ReadUpTo(first);
  const uint64_t last = owner.Order("write 400 500");  // Over several segments.
  chaser.ReadUpTo(last);
  chaser.ExpectAll(1, last);
  EXPECT_TRUE(chaser.gaps().empty());
  EXPECT_TRUE(chaser.follower().OwnerLives().value());
  owner.Close();
  EXPECT_FALSE(chaser.follower().OwnerLives().value());
}

TEST_P(StoreFollowerTest, GoesOnOverSplitsDisablingAndEnabling) {
  Owner owner(directory_, GetParam());
  Chaser chaser(directory_);
  uint64_t last = 0;
  for (int round = 0; round < 4; ++round) {
    last = owner.Order("write 50 200");
    owner.Order("split");
  }
  last = owner.Order("write 50");
  chaser.ReadUpTo(last);
  EXPECT_EQ(chaser.shards(), 2u + 4 * 2);
  owner.Order("disable");
  owner.Order("enable");
  last = owner.Order("write 50");
  chaser.ReadUpTo(last);
  chaser.ExpectAll(1, last);
  EXPECT_EQ(chaser.shards(), 2u + 4 * 2 + 2);
  EXPECT_TRUE(chaser.gaps().empty());
}

TEST_P(StoreFollowerTest, TheOwnerMayBeKilledAndComeBack) {
  auto owner = std::make_unique<Owner>(directory_, GetParam());
  Chaser chaser(directory_);
  chaser.limits.records_max = 7;
  uint64_t last = 0;
  for (int round = 0; round < 6; ++round) {
    last = owner->Order("write 100 300");
    if (round % 2 == 0) owner->Order("checkpoint");
    if (round == 3) owner->Order("split");
    owner->Kill();
    // What the dead one has published is there.
    if (round % 3 == 0) chaser.ReadUpTo(last);
    owner = std::make_unique<Owner>(directory_, GetParam());
  }
  last = owner->Order("write 10");
  chaser.ReadUpTo(last);
  chaser.ExpectAll(1, last);
  EXPECT_TRUE(chaser.gaps().empty());
}

// Killed at any moment, in the middle of writes, checkpoints and recovery: what was shown stays,
// and nothing is shown that the next owner does not have.
TEST_P(StoreFollowerTest, TheOwnerMayBeKilledWhileItWrites) {
  auto owner = std::make_unique<Owner>(directory_, GetParam());
  Chaser chaser(directory_);
  Random random(TestSeed());
  for (int round = 0; round < 8; ++round) {
    owner->Order("flood");
    const uint64_t enough = chaser.records() + random.Between(1, 400);
    while (chaser.records() < enough && !HasFailure()) {
      if (chaser.ReadOnce()) continue;
      ASSERT_OK(chaser.follower().WaitShards({}, 1));
    }
    if (random.OneIn(3)) owner->Order("split");
    if (random.OneIn(3)) owner->Order("checkpoint");
    owner->Kill();
    while (chaser.ReadOnce()) {
    }
    owner = std::make_unique<Owner>(directory_, GetParam());
  }
  const uint64_t last = owner->Order("write 1");
  chaser.ReadUpTo(last);
  EXPECT_EQ(chaser.numbers().size(), last);
  EXPECT_TRUE(chaser.gaps().empty());
}

TEST_P(StoreFollowerTest, WhatExpiredIsTold) {
  Owner owner(directory_, GetParam());
  Chaser early(directory_);
  const uint64_t first = owner.Order("write 200 500");
  early.limits.records_max = 5;
  ASSERT_TRUE(early.ReadOnce());
  owner.Order("pass 90000000");  // More than a day.
  owner.Order("upkeep");
  const uint64_t last = owner.Order("write 20");
  while (early.ReadOnce()) {
  }
  ASSERT_EQ(early.gaps().size(), 2u);  // One in each shard.
  for (const Gap& gap : early.gaps()) EXPECT_EQ(gap.kind, Gap::Kind::kTrimmed);
  early.ExpectAll(first + 1, last);

  // Who begins at the trim horizon misses nothing, and a shard that is gone is not there.
  owner.Order("split");
  owner.Order("pass 90000000");
  owner.Order("upkeep");
  Chaser late(directory_);
  while (late.ReadOnce()) {
  }
  EXPECT_EQ(late.records(), 0u);
  EXPECT_EQ(late.shards(), 3u);
  EXPECT_TRUE(late.gaps().empty());
  while (early.ReadOnce()) {
  }
  late.ReadOnce();
  owner.Order("write 30");
  while (late.ReadOnce()) {
  }
  late.ExpectAll(last + 1, last + 30);
  EXPECT_TRUE(late.gaps().empty());
}

INSTANTIATE_TEST_SUITE_P(Durabilities, StoreFollowerTest, ::testing::Values("sync", "buffered"),
                         [](const auto& of) { return of.param; });

}  // namespace
}  // namespace tailrace::test
