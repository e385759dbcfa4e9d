// Fan-out over a real journal: everything that is safe reaches the shard logs in order, captures
// are exact, failures stop it for good.
#include "shards/fan_out.h"

#include <gtest/gtest.h>

#include "shards/control.h"
#include "tests/shards/shard_rig.h"
#include "tests/support/expect_ok.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "tests/support/sim_clock.h"
#include "tests/support/sim_fs.h"

namespace tailrace::shards::test {
namespace {

using tailrace::test::Random;
using tailrace::test::SimCall;
using tailrace::test::SimClock;
using tailrace::test::SimFs;

constexpr StreamId kStream{1};

// A journal on a simulated disk with fan-out behind it.
struct Rig {
  SimFs fs;
  SimClock clock;
  std::unique_ptr<wal::Journal> journal;
  std::unique_ptr<wal::Positions> positions;
  std::unique_ptr<ShardSet> shards;
  std::unique_ptr<FanOut> fan_out;
  std::atomic<int> failures{0};
  Lsn entered;

  explicit Rig(wal::Durability durability, uint64_t gather_us = wal::kFanOutGatherUs) {
    wal::JournalOptions options;
    options.durability = durability;
    options.segment_bytes = 1 << 20;
    options.on_durable = [this](Lsn end) {
      if (positions) positions->AdvanceDurable(end);
    };
    wal::JournalStart start;
    start.store_id = kStore;
    start.may_create = true;
    auto opened = wal::OpenJournal(fs, clock, "/journal", start, options);
    EXPECT_OK(opened);
    entered = (*opened)->recovery().start;
    positions = std::make_unique<wal::Positions>(durability, entered, gather_us);
    journal = std::move(*opened);
    auto set = ShardSet::Open(fs, "/streams", kStore, Epoch{1}, {}, {}, {.followers = true});
    EXPECT_OK(set);
    shards = std::move(*set);
    fan_out = std::make_unique<FanOut>(*journal, *positions, *shards,
                                       [this](const Status&) { ++failures; });
  }

  ~Rig() {
    if (fan_out) fan_out->Stop();
    EXPECT_OK(journal->Close());
  }

  // Appends what the test journal holds, whose frames must get the same positions.
  Lsn Append(const TestFrame& frame) {
    const auto appended = journal->Append(frame.type, frame.payload, wal::Quota::kOrdinary);
    EXPECT_OK(appended);
    positions->Enter(appended->previous_end, appended->frame.end);
    entered = appended->frame.end;
    return entered;
  }
};

// Frames with any positions: only types and payloads are used.
TestJournal Frames(Random& random, int commits) {
  TestJournal frames;
  frames.EnableStream(kStream, TableId{1}, ViewType::kNewAndOldImages, 3, ShardId{1});
  for (int i = 0; i < commits; ++i) {
    std::vector<TestChange> changes;
    for (uint64_t n = random.Between(1, 3); n > 0; --n) {
      changes.push_back(RandomChange(random, kStream, 50, 100));
    }
    frames.Commit(changes);
  }
  return frames;
}

uint64_t CountRecords(const ShardSet& set) {
  uint64_t records = 0;
  for (uint64_t shard = 1; shard <= 3; ++shard) {
    const auto read = ReadAllFrom(set, kStream, ShardId{shard}, StartAt::kTrimHorizon);
    EXPECT_OK(read);
    records += read->records.size();
  }
  return records;
}

TEST(FanOutTest, WhatIsSafeReachesTheLogs) {
  for (const auto durability : {wal::Durability::kSync, wal::Durability::kBuffered}) {
    Random random(tailrace::test::TestSeed());
    const TestJournal frames = Frames(random, 200);
    uint64_t changes = 0;
    for (const auto& [id, shard] : frames.model()) changes += shard.records.size();
    Rig rig(durability);
    rig.fan_out->Start();
    for (const TestFrame& frame : frames.frames()) rig.Append(frame);
    ASSERT_OK(rig.journal->Sync());
    ASSERT_OK(rig.positions->WaitFannedOut(rig.entered));
    EXPECT_EQ(rig.shards->published(), rig.entered);
    EXPECT_EQ(CountRecords(*rig.shards), changes);
    EXPECT_EQ(rig.failures, 0);
  }
}

// A capture at the end of a frame holds that frame's records and none of a later one.
void CheckCapture(FanOut& fan_out, const TestFrame& frame, Lsn end) {
  const auto state = fan_out.TakeCapture(end);
  ASSERT_OK(state);
  uint64_t last_sequence = 0;
  for (const frames::ShardEnd& shard : state->ends) {
    last_sequence = std::max(last_sequence, shard.last_sequence());
  }
  EXPECT_LT(last_sequence, end.value);
  EXPECT_GE(last_sequence + frame.payload.size() + 100, end.value);
}

TEST(FanOutTest, ACaptureIsTheStateAtExactlyThatPosition) {
  Random random(tailrace::test::TestSeed());
  const TestJournal frames = Frames(random, 300);
  Rig rig(wal::Durability::kBuffered);
  rig.fan_out->Start();
  uint64_t captures = 0;
  for (const TestFrame& frame : frames.frames()) {
    const Lsn at = rig.Append(frame);
    if (frame.type != kCommitFrame || !random.OneIn(10)) continue;
    rig.fan_out->RequestCapture(at);
    // More follows before the capture is taken, sometimes.
    if (random.OneIn(2)) rig.Append(frames.frames().back());
    CheckCapture(*rig.fan_out, frame, at);
    EXPECT_GE(rig.positions->fanned_out(), at);
    ++captures;
  }
  EXPECT_GT(captures, 5u);
}

TEST(FanOutTest, CapturesAskedForTogetherAreEachOfTheirOwnPosition) {
  Random random(tailrace::test::TestSeed());
  const TestJournal frames = Frames(random, 30);
  Rig rig(wal::Durability::kBuffered);
  std::vector<std::pair<const TestFrame*, Lsn>> asked;
  for (const TestFrame& frame : frames.frames()) {
    const Lsn at = rig.Append(frame);
    if (frame.type != kCommitFrame) continue;
    rig.fan_out->RequestCapture(at);
    asked.emplace_back(&frame, at);
  }
  ASSERT_EQ(asked.size(), 30u);
  // All of it is safe by now, so that a batch would go on behind each position.
  rig.fan_out->Start();
  for (const auto& [frame, at] : asked) CheckCapture(*rig.fan_out, *frame, at);
}

TEST(FanOutTest, ACaptureWhereFanOutStandsNeedsNoNewFrame) {
  Random random(1);
  const TestJournal frames = Frames(random, 5);
  Rig rig(wal::Durability::kBuffered);
  rig.fan_out->Start();
  for (const TestFrame& frame : frames.frames()) rig.Append(frame);
  ASSERT_OK(rig.positions->WaitFannedOut(rig.entered));
  for (int i = 0; i < 3; ++i) {
    rig.fan_out->RequestCapture(rig.entered);
    EXPECT_OK(rig.fan_out->TakeCapture(rig.entered));
  }
}

TEST(FanOutTest, AShardLogThatCannotBeWrittenStopsIt) {
  Random random(1);
  const TestJournal frames = Frames(random, 50);
  Rig rig(wal::Durability::kBuffered);
  rig.fs.Inject({.call = SimCall::kWrite,
                 .path_part = "/streams",
                 .nth = 5,
                 .for_ever = true,
                 .status = NoSpace("injected")});
  rig.fan_out->Start();
  Lsn at;
  for (const TestFrame& frame : frames.frames()) at = rig.Append(frame);
  rig.fan_out->RequestCapture(at);
  const auto state = rig.fan_out->TakeCapture(at);
  EXPECT_EQ(state.status().code(), StatusCode::kNoSpace) << state.status().ToString();
  rig.fan_out->Stop();
  EXPECT_EQ(rig.failures, 1);
  EXPECT_LT(rig.positions->fanned_out(), at);
}

// Reads a shard to its end, asleep whenever it is caught up.
void FollowToTheEnd(Rig& rig, ShardId shard) {
  auto position = rig.shards->Seek(kStream, shard, StartAt::kTrimHorizon);
  ASSERT_OK(position);
  for (uint64_t ordinal = 1;;) {
    const auto page = rig.shards->Read(*position, {.records_max = 3});
    ASSERT_OK(page);
    EXPECT_FALSE(page->gap);
    for (const Record& record : page->records) ASSERT_EQ(record.ordinal, ordinal++);
    if (page->end_of_shard) return;
    position = page->next;
    if (!page->caught_up) continue;
    const auto woken = rig.fan_out->WaitAny({*position}, 60'000);
    ASSERT_OK(woken);
    ASSERT_TRUE(*woken) << "shard " << shard.value << " has nothing behind record " << ordinal;
  }
}

// Whoever folds: the thread, or one of the readers in its place.
TEST(FanOutTest, ReadersThatWaitGetEverything) {
  for (const auto durability : {wal::Durability::kSync, wal::Durability::kBuffered}) {
    Random random(tailrace::test::TestSeed());
    TestJournal frames = Frames(random, 500);
    frames.DisableStream(kStream);
    uint64_t changes = 0;
    for (const auto& [id, shard] : frames.model()) changes += shard.records.size();
    Rig rig(durability);
    rig.fan_out->Start();
    rig.Append(frames.frames().front());
    ASSERT_OK(rig.positions->WaitFannedOut(rig.entered));
    std::vector<std::thread> readers;
    for (uint64_t shard = 1; shard <= 3; ++shard) {
      readers.emplace_back([&rig, shard] { FollowToTheEnd(rig, ShardId{shard}); });
    }
    for (size_t i = 1; i < frames.frames().size(); ++i) {
      const Lsn end = rig.Append(frames.frames()[i]);
      // Readers fall asleep in between, sometimes.
      if (!random.OneIn(10)) continue;
      ASSERT_OK(rig.positions->WaitFannedOut(end));
    }
    for (std::thread& reader : readers) reader.join();
    EXPECT_EQ(CountRecords(*rig.shards), changes);
    EXPECT_EQ(rig.failures, 0);
  }
}

// If changes gathered, each of these waits would last an hour.
TEST(FanOutTest, AFollowerThatSleepsDoesNotWaitForMore) {
  constexpr uint64_t kHourUs = 3'600'000'000;
  constexpr uint64_t kMinuteUs = 60'000'000;
  Random random(tailrace::test::TestSeed());
  const TestJournal frames = Frames(random, 100);
  Rig rig(wal::Durability::kBuffered, kHourUs);
  rig.fan_out->Start();
  rig.Append(frames.frames().front());
  ASSERT_OK(rig.positions->WaitFannedOut(rig.entered));
  const auto reader = ControlReader::Open(rig.fs, "/streams", kStore);
  ASSERT_OK(reader);
  for (size_t i = 1; i < frames.frames().size(); ++i) {
    const uint64_t sequence = (*reader)->sequence();
    (*reader)->AnnounceWait();
    const Lsn end = rig.Append(frames.frames()[i]);
    ASSERT_TRUE((*reader)->Wait(sequence, kMinuteUs, nullptr)) << "commit " << i;
    const auto view = (*reader)->Look();
    ASSERT_TRUE(view);
    EXPECT_EQ(view->published, end);
  }
}

TEST(FanOutTest, AReaderThatFoldsReportsWhatFails) {
  Random random(1);
  const TestJournal frames = Frames(random, 1);
  Rig rig(wal::Durability::kBuffered);
  rig.fan_out->Start();
  rig.Append(frames.frames().front());
  ASSERT_OK(rig.positions->WaitFannedOut(rig.entered));
  rig.fs.Inject({.call = SimCall::kWrite,
                 .path_part = "/streams",
                 .nth = 1,
                 .for_ever = true,
                 .status = NoSpace("injected")});
  const auto position = rig.shards->Seek(kStream, ShardId{1}, StartAt::kTrimHorizon);
  ASSERT_OK(position);
  std::thread reader([&] {
    // As after any failure: nothing comes, and the end of the streams ends the wait.
    EXPECT_EQ(rig.fan_out->WaitAny({*position}, 60'000).status().code(), StatusCode::kClosed);
  });
  for (size_t i = 1; i < frames.frames().size(); ++i) rig.Append(frames.frames()[i]);
  rig.fan_out->RequestCapture(rig.entered);
  EXPECT_EQ(rig.fan_out->TakeCapture(rig.entered).status().code(), StatusCode::kNoSpace);
  rig.fan_out->Stop();
  rig.shards->Close();
  reader.join();
  EXPECT_EQ(rig.failures, 1);
}

TEST(FanOutTest, StopEndsWaitsForCaptures) {
  Rig rig(wal::Durability::kSync);
  rig.fan_out->Start();
  // A position that fan-out does not reach: nothing makes it safe.
  rig.fan_out->RequestCapture(rig.entered + 1'000'000);
  std::thread taker([&] {
    EXPECT_EQ(rig.fan_out->TakeCapture(rig.entered + 1'000'000).status().code(),
              StatusCode::kClosed);
  });
  rig.fan_out->Stop();
  taker.join();
  rig.fan_out->Stop();
}

}  // namespace
}  // namespace tailrace::shards::test
