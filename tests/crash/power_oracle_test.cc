// The oracle on trial for stores that the power failed under: a kBuffered store may have lost a
// tail that no sync had covered, the same everywhere; each other loss is noticed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/crash/oracle_story.h"

namespace tailrace::crashtest {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kBehindAll = 290;     // The journal's end, if nothing was lost,
constexpr uint64_t kBehindUpdate = 170;  // or only the write without a stream, at 180.

// The right story; then the power failed, and the journal ended at `end`.
struct PowerStory {
  explicit PowerStory(uint64_t end) {
    Story story = RightStory();
    before = story[0];
    after = story[1];
    Event epoch{.kind = EventKind::kEpoch};
    epoch.first = 2;
    epoch.second = end;
    after.insert(after.begin() + 1, epoch);
  }

  std::vector<Event> before;
  std::vector<Event> after;
};

// As it is right if the journal ended there.
PowerStory WithoutTail() {
  PowerStory story(kBehindUpdate);
  Erase(story.after, EventKind::kItem, 5);
  return story;
}

std::string ProblemsOf(const PowerStory& story, bool buffered = true, bool power_cut = true) {
  Oracle oracle(buffered);
  oracle.Judge(story.before, power_cut);
  oracle.Judge(story.after);
  return ProblemsOf(oracle);
}

void Sync(std::vector<Event>& life) {
  life.push_back({.kind = EventKind::kSyncBegin});
  life.push_back({.kind = EventKind::kSyncEnd});
}

Event OfShard(EventKind kind, uint64_t ordinal) {
  Event event{.kind = kind, .thread = kDurableReaderThread};
  event.stream = event.shard = 1;
  event.ordinal = ordinal;
  return event;
}

TEST(PowerOracleTest, NothingNeedBeLost) { EXPECT_EQ(ProblemsOf(PowerStory(kBehindAll)), ""); }

TEST(PowerOracleTest, ATailMayBeLost) {
  Oracle oracle(true);
  const PowerStory story = WithoutTail();
  oracle.Judge(story.before, true);
  oracle.Judge(story.after);
  EXPECT_EQ(ProblemsOf(oracle), "");
  EXPECT_EQ(oracle.counts().taken_back, 1u);
  EXPECT_EQ(oracle.counts().tails, 1u);
  EXPECT_EQ(oracle.counts().acknowledged, 2u);
}

TEST(PowerOracleTest, ASyncBeforeTheTailIsKept) {
  PowerStory story = WithoutTail();
  std::vector<Event> sync;
  Sync(sync);
  const Event& bare = Find(story.before, EventKind::kWriteBegin, 5);
  story.before.insert(story.before.begin() + (&bare - story.before.data()), sync.begin(),
                      sync.end());
  EXPECT_EQ(ProblemsOf(story), "");
}

TEST(PowerOracleTest, ASyncCoversWhatWasBefore) {
  PowerStory story = WithoutTail();
  Sync(story.before);
  EXPECT_THAT(ProblemsOf(story), HasSubstr("what a sync had covered"));
}

TEST(PowerOracleTest, ACloseCoversAll) {
  PowerStory story = WithoutTail();
  story.before.push_back({.kind = EventKind::kStopped});
  EXPECT_THAT(ProblemsOf(story), HasSubstr("what a sync had covered"));
}

TEST(PowerOracleTest, ASyncStoreLosesNothing) {
  EXPECT_THAT(ProblemsOf(WithoutTail(), /*buffered=*/false), HasSubstr("its history"));
}

TEST(PowerOracleTest, AKilledProcessLosesNothing) {
  EXPECT_THAT(ProblemsOf(WithoutTail(), true, /*power_cut=*/false), HasSubstr("its history"));
}

TEST(PowerOracleTest, WhatAnOpeningFoundIsKept) {
  Oracle oracle(true);
  const PowerStory story = WithoutTail();
  oracle.Judge(story.before, /*power_cut=*/false);
  // It opened the store, and then the power failed before all was told.
  oracle.Judge({Opened(2, 300, 10)}, /*power_cut=*/true);
  std::vector<Event> last = story.after;
  last[0] = Opened(3, 400, 20);
  oracle.Judge(last);
  EXPECT_THAT(ProblemsOf(oracle), HasSubstr("its history"));
}

TEST(PowerOracleTest, WhatNoOpeningFoundMayBeLost) {
  Oracle oracle(true);
  const PowerStory story = WithoutTail();
  oracle.Judge(story.before, /*power_cut=*/false);
  oracle.Judge({}, /*power_cut=*/true);
  oracle.Judge(story.after);
  EXPECT_EQ(ProblemsOf(oracle), "");
}

// Upkeep had sealed a shard before the dump of an opening was made; the power failed, the journal
// ended at `end`, and the shard is open.
std::string ProblemsOfASeal(uint64_t ending, uint64_t end) {
  Story story = RightStory();
  Find(story[1], EventKind::kShard, 101).second = ending;
  AddShard(story[1], ending + 1, 0);
  Event epoch{.kind = EventKind::kEpoch};
  epoch.first = 3;
  epoch.second = end;
  story[2].insert(story[2].begin() + 1, epoch);
  Oracle oracle(true);
  oracle.Judge(story[0]);
  oracle.Judge(story[1], /*power_cut=*/true);
  oracle.Judge(story[2]);
  return ProblemsOf(oracle);
}

TEST(PowerOracleTest, AShardSealedInTheTailIsOpenAgain) {
  EXPECT_EQ(ProblemsOfASeal(350, 350), "");
}

TEST(PowerOracleTest, AShardSealedBeforeTheTailStaysSo) {
  EXPECT_THAT(ProblemsOfASeal(350, 351), HasSubstr("changed its range"));
}

TEST(PowerOracleTest, WhatIsLostIsLostInTheTable) {
  PowerStory story(kBehindUpdate);  // With the item of the lost write.
  EXPECT_THAT(ProblemsOf(story), HasSubstr("holds"));
}

TEST(PowerOracleTest, WhatIsLostIsLostInTheStream) {
  PowerStory story = WithoutTail();
  Find(story.after, EventKind::kEpoch, 0).second = 150;  // The record of the update is there.
  EXPECT_THAT(ProblemsOf(story), HasSubstr("the journal had ended at 150"));
}

TEST(PowerOracleTest, NothingBeforeTheTailIsLost) {
  PowerStory story = WithoutTail();
  Erase(story.after, EventKind::kRecord, 2);
  Find(story.after, EventKind::kItem, 3).new_state = kPutState;
  EXPECT_THAT(ProblemsOf(story), HasSubstr("not in its stream"));
}

TEST(PowerOracleTest, ATableMadeInTheTailIsGone) {
  PowerStory story(115);
  std::vector<Event> kept;
  for (const Event& event : story.after) {
    if (event.kind != EventKind::kRecord && event.kind != EventKind::kItem) kept.push_back(event);
  }
  story.after = kept;
  EXPECT_EQ(ProblemsOf(story), "");
  for (Event& event : story.before) {
    if (event.kind == EventKind::kTableChangeBegin && event.table == kPlain) event.second = 116;
    if (event.kind == EventKind::kTableChangeEnd && event.table == kPlain) event.last = 130;
  }
  EXPECT_THAT(ProblemsOf(story), HasSubstr("has id 2"));
}

TEST(PowerOracleTest, ATokenIsLostWithItsTransaction) {
  PowerStory story = WithoutTail();
  for (const EventKind kind : {EventKind::kWriteBegin, EventKind::kWriteEnd}) {
    Event& bare = Find(story.before, kind, 5);
    bare.transaction = kBare;
    bare.with_token = true;
    bare.second = 180;
    bare.last = 1;
  }
  EXPECT_EQ(ProblemsOf(story), "");
  Event token{.kind = EventKind::kToken};
  token.transaction = kBare;
  InsertBeforeEnd(story.after, token);
  EXPECT_THAT(ProblemsOf(story), HasSubstr("the token of transaction"));
}

// A consumer that stored an effect in the tail, and what it finds afterwards.
std::string ProblemsOfEffect(uint64_t sequence, uint64_t found) {
  PowerStory story = WithoutTail();
  story.before.push_back(OfShard(EventKind::kEffect, 1));
  story.before.back().sequence = 150;
  story.before.push_back(OfShard(EventKind::kEffect, 2));
  story.before.back().sequence = sequence;
  story.after.push_back(OfShard(EventKind::kEffectFound, found));
  return ProblemsOf(story);
}

TEST(PowerOracleTest, AnEffectInTheTailIsLost) {
  EXPECT_EQ(ProblemsOfEffect(185, 1), "");
  EXPECT_THAT(ProblemsOfEffect(185, 2), HasSubstr("goes on behind the effect of ordinal 2"));
}

TEST(PowerOracleTest, AnEffectBeforeTheTailIsKept) {
  EXPECT_EQ(ProblemsOfEffect(165, 2), "");
  EXPECT_THAT(ProblemsOfEffect(165, 1), HasSubstr("goes on behind the effect of ordinal 1"));
}

// The consumer went on and stored an effect, and the process died before it told.
TEST(PowerOracleTest, BehindALostEffectOneMayBeStoredAndNotTold) {
  PowerStory story = WithoutTail();
  story.before.push_back(OfShard(EventKind::kEffect, 1));
  story.before.back().sequence = 185;
  story.after.push_back(OfShard(EventKind::kEffectFound, 0));
  story.after.push_back(OfShard(EventKind::kEffectFound, 1));
  EXPECT_EQ(ProblemsOf(story), "");
}

// A process died before it told of effect 1. The next one found it and stored effect 2, which was
// lost: effect 1 is still there.
TEST(PowerOracleTest, AnEffectThatWasFoundIsKept) {
  PowerStory story = WithoutTail();
  story.before.push_back(OfShard(EventKind::kEffectFound, 1));
  story.before.push_back(OfShard(EventKind::kEffect, 2));
  story.before.back().sequence = 185;
  for (uint64_t found = 0; found <= 2; ++found) {
    PowerStory told = story;
    told.after.push_back(OfShard(EventKind::kEffectFound, found));
    const std::string problems = ProblemsOf(told);
    if (found == 1) {
      EXPECT_EQ(problems, "");
    } else {
      EXPECT_THAT(problems, HasSubstr("goes on behind the effect of ordinal"));
    }
  }
}

// One thread stores and finds them all.
TEST(PowerOracleTest, AnEffectIsNotFoundBeforeItIsStored) {
  PowerStory story = WithoutTail();
  story.before.push_back(OfShard(EventKind::kEffect, 1));
  story.before.push_back(OfShard(EventKind::kEffectFound, 2));
  EXPECT_THAT(ProblemsOf(story), HasSubstr("goes on behind the effect of ordinal 2"));
}

// A durable reader that kept a checkpoint, and another between two ends of the journal; it goes on
// behind the record `resumed`, or at the beginning.
std::string ProblemsOfReader(uint64_t before, uint64_t after, uint64_t resumed) {
  PowerStory story = WithoutTail();
  const auto keep = [&story](uint64_t ordinal, uint64_t journal_before, uint64_t journal_after) {
    story.before.push_back(OfShard(EventKind::kCheckpointBegin, ordinal));
    story.before.back().second = journal_before;
    story.before.push_back(OfShard(EventKind::kCheckpointEnd, ordinal));
    story.before.back().last = journal_after;
  };
  keep(1, 162, 165);
  keep(2, before, after);
  story.after.push_back(OfShard(EventKind::kReaderOpen, 0));
  if (resumed != 0) {
    story.after.push_back(OfShard(EventKind::kAttachment, resumed));
  } else {
    story.after.push_back(OfShard(EventKind::kDelivered, 1));
    story.after.back().sequence = 140;
    story.after.back().first = 5001;
  }
  return ProblemsOf(story);
}

TEST(PowerOracleTest, ACheckpointInTheTailIsLost) {
  EXPECT_EQ(ProblemsOfReader(182, 186, 1), "");
  EXPECT_THAT(ProblemsOfReader(182, 186, 2), HasSubstr("a checkpoint at ordinal 2 is there"));
}

TEST(PowerOracleTest, ACheckpointBeforeTheTailIsKept) {
  EXPECT_EQ(ProblemsOfReader(166, 169, 2), "");
  EXPECT_THAT(ProblemsOfReader(166, 169, 1), HasSubstr("a checkpoint at ordinal 1 is there"));
  EXPECT_THAT(ProblemsOfReader(166, 169, 0), HasSubstr("has lost its checkpoint"));
}

TEST(PowerOracleTest, ACheckpointAtTheEndMayBeEither) {
  EXPECT_EQ(ProblemsOfReader(166, 186, 1), "");
  EXPECT_EQ(ProblemsOfReader(166, 186, 2), "");
}

TEST(PowerOracleTest, ALossOfWhichNobodyWasToldIsNotJudged) {
  PowerStory story = WithoutTail();
  Erase(story.after, EventKind::kEpoch, 0);
  Oracle oracle(true);
  oracle.Judge(story.before, true);
  oracle.Judge(story.after);
  EXPECT_EQ(ProblemsOf(oracle), "");
  EXPECT_TRUE(oracle.lost_track());
}

}  // namespace
}  // namespace tailrace::crashtest
