// Many readers beside one writer, retention and syncs: each reader gets every record or a typed
// gap, in order, once; those who wait are woken by what they wait for and by nothing else they
// could see.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <thread>

#include "shards/shard_set.h"
#include "tests/shards/shard_rig.h"
#include "tests/support/expect_ok.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "tests/support/sim_fs.h"
#include "tests/support/temp_dir.h"

namespace tailrace::shards::test {
namespace {

using tailrace::test::Random;
using tailrace::test::SimFs;
using tailrace::test::TempDir;

constexpr StreamId kStream{1};
constexpr uint64_t kLongMs = 600'000;  // Never reached: a test that needs it has failed.

ShardSetOptions SmallOptions() {
  return {.segment_bytes_max = 8000,
          .segment_age_ms_max = 3600'000,
          .index_interval_bytes = 500,
          .buffer_bytes_max = 2000,
          .open_files_max = 6};
}

// Follows a shard to its end and checks order, ordinals and gaps on the way.
struct Follower {
  std::vector<Record> records;
  std::vector<Gap> gaps;
  std::string problem;  // Empty: all well.

  // Counts down `started` once it has its first position: one that came only after records were
  // trimmed would rightly begin behind them.
  void Run(const ShardSet& set, ShardId shard, const PageLimits& limits, bool slow,
           const std::atomic<uint64_t>& progress, std::latch& started) {
    const auto start = set.Seek(kStream, shard, StartAt::kTrimHorizon);
    started.count_down();
    if (!start.ok()) return Fail(start.status().ToString());
    Position position = *start;
    while (problem.empty()) {
      const auto woken = set.Wait(position, kLongMs);
      if (!woken.ok()) return Fail("wait: " + woken.status().ToString());
      if (!*woken) return Fail("waited in vain");
      auto page = set.Read(position, limits);
      if (!page.ok()) return Fail("read: " + page.status().ToString());
      Take(*page, position);
      if (page->end_of_shard) return;
      position = page->next;
      // A slow reader lets the writer get ahead, so that retention overtakes it.
      const uint64_t seen = progress.load();
      while (slow && progress.load() < seen + 40 && progress.load() != UINT64_MAX) {
        std::this_thread::yield();
      }
    }
  }

  void Fail(const std::string& what) { problem = what; }

  void Take(const Page& page, const Position& position) {
    SequenceNumber next = position.next;
    if (page.gap) {
      if (page.gap->kind != Gap::Kind::kTrimmed || page.gap->first != next ||
          page.gap->last < page.gap->first) {
        return Fail("a gap that does not begin where the reader stood");
      }
      gaps.push_back(*page.gap);
      next = SequenceNumber{page.gap->last.value + 1};
    }
    for (const Record& record : page.records) {
      if (record.sequence < next) return Fail("a record came twice or out of order");
      next = SequenceNumber{record.sequence.value + 1};
      if (!records.empty() && !page.gap && record.ordinal != records.back().ordinal + 1) {
        return Fail("an ordinal is missing and there was no gap");
      }
      if (!records.empty() && page.gap && &record == &page.records.front() &&
          record.previous.value > page.gap->last.value) {
        return Fail("the gap ends before what is missing");
      }
      records.push_back(record);
    }
    if (page.next.next < next) Fail("the position fell behind");
  }
};

void RunReadersAndWriter(wal::FileSystem& fs, const std::string& directory) {
  constexpr uint32_t kShards = 3;
  constexpr int kBatches = 300;
  Random random(tailrace::test::TestSeed());
  TestJournal journal;
  journal.EnableStream(kStream, TableId{1}, ViewType::kNewAndOldImages, kShards, ShardId{1}, 4000);
  auto opened = ShardSet::Open(fs, directory, kStore, Epoch{1}, {}, {}, SmallOptions());
  ASSERT_OK(opened);
  ShardSet& set = **opened;
  ASSERT_OK(FoldFrom(journal, Lsn{0}, set));

  std::atomic<uint64_t> progress{0};
  std::vector<Follower> followers(kShards * 4);
  std::latch started(static_cast<std::ptrdiff_t>(followers.size()));
  std::vector<std::thread> threads;
  for (size_t i = 0; i < followers.size(); ++i) {
    threads.emplace_back([&, i] {
      const PageLimits limits{.records_max = 1 + i * 7, .bytes_max = 200 + i * 900};
      followers[i].Run(set, ShardId{1 + i % kShards}, limits, i / kShards == 0, progress, started);
    });
  }
  started.wait();
  // Retention and checkpoints beside the writer, as the engine runs them.
  Mutex mutex;
  CondVar changed;
  std::optional<ShardSetState> captured;
  bool done = false;
  std::thread checkpoints([&] {
    while (true) {
      ShardSetState state;
      {
        MutexLock lock(mutex);
        while (!captured && !done) changed.Wait(mutex);
        if (!captured) return;
        state = std::move(*captured);
        captured.reset();
      }
      EXPECT_OK(set.Sync());
      EXPECT_OK(set.RemoveTrimmed(state));
      (void)set.Stats();
    }
  });
  for (int batch = 0; batch < kBatches; ++batch) {
    const Lsn from = journal.end();
    for (uint64_t n = random.Between(1, 6); n > 0; --n) {
      journal.Commit({RandomChange(random, kStream, 40, 120)});
    }
    journal.PassTime(random.Below(60));
    if (batch % 10 == 9) {
      const auto plan = set.PlanTrim(journal.age_ms());
      ASSERT_OK(plan);
      if (plan->trims_size() > 0) journal.Trim(*plan);
    }
    if (batch + 1 == kBatches) journal.DisableStream(kStream);
    ASSERT_OK(FoldFrom(journal, from, set));
    progress += 1;
    if (batch % 15 == 14) {
      MutexLock lock(mutex);
      captured = set.Capture();
      changed.NotifyAll();
    }
  }
  progress = UINT64_MAX;
  for (std::thread& thread : threads) thread.join();
  {
    MutexLock lock(mutex);
    done = true;
    changed.NotifyAll();
  }
  checkpoints.join();

  for (size_t i = 0; i < followers.size(); ++i) {
    const Follower& follower = followers[i];
    ASSERT_EQ(follower.problem, "") << "reader " << i;
    const auto& truth = journal.model().at(ShardId{1 + i % kShards}).records;
    // Every record came, or lies in a gap.
    size_t read = 0;
    for (const Record& record : truth) {
      if (read < follower.records.size() && follower.records[read].sequence == record.sequence) {
        ASSERT_EQ(CompareRecords(follower.records[read], record), "");
        ++read;
        continue;
      }
      const bool in_gap =
          std::any_of(follower.gaps.begin(), follower.gaps.end(), [&](const Gap& gap) {
            return gap.first <= record.sequence && record.sequence <= gap.last;
          });
      ASSERT_TRUE(in_gap) << "reader " << i << " missed record " << record.sequence.value;
    }
    ASSERT_EQ(read, follower.records.size()) << "reader " << i;
  }
  EXPECT_EQ(CompareWithModel(set, journal), "");
}

TEST(ConcurrencyTest, EveryReaderGetsEveryRecordOrAGap) {
  SimFs fs;
  RunReadersAndWriter(fs, "/streams");
}

TEST(ConcurrencyTest, EveryReaderGetsEveryRecordOrAGapOnTheMachinesDisk) {
  TempDir directory;
  RunReadersAndWriter(wal::FileSystem::Posix(), directory.path() + "/streams");
}

void CommitTo(TestJournal& journal, ShardSet& set, uint64_t hash) {
  const Lsn from = journal.end();
  journal.Commit(
      {{.stream = kStream, .key = KeyOf(hash), .new_image = "x", .old_image = std::nullopt}});
  ASSERT_OK(FoldFrom(journal, from, set));
}

TEST(WaitTest, WakesForARecordOfItsShardOnly) {
  SimFs fs;
  TestJournal journal;
  journal.EnableStream(kStream, TableId{1}, ViewType::kNewImage, 2, ShardId{1});
  auto opened = ShardSet::Open(fs, "/streams", kStore, Epoch{1}, {}, {}, {});
  ASSERT_OK(opened);
  ShardSet& set = **opened;
  ASSERT_OK(FoldFrom(journal, Lsn{0}, set));
  std::atomic<int> woken_first{0};
  std::atomic<int> woken_second{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 20; ++i) {
    for (const ShardId shard : {ShardId{1}, ShardId{2}}) {
      threads.emplace_back([&, shard] {
        const auto at = set.Seek(kStream, shard, StartAt::kLatest);
        ASSERT_OK(at);
        const auto woken = set.Wait(*at, kLongMs);
        ASSERT_OK(woken);
        EXPECT_TRUE(*woken);
        ++(shard == ShardId{1} ? woken_first : woken_second);
      });
    }
  }
  // Waiters that have not yet sought LATEST would miss a single record, so there is one for each
  // look.
  while (woken_first < 20) CommitTo(journal, set, 0);
  EXPECT_EQ(woken_second, 0);
  while (woken_second < 20) CommitTo(journal, set, UINT64_MAX);
  for (std::thread& thread : threads) thread.join();
}

// One sleeper over several shards: any of them wakes it, and what it waits for may come before it
// looks.
TEST(WaitTest, WaitsForAnyOfSeveralShards) {
  SimFs fs;
  TestJournal journal;
  journal.EnableStream(kStream, TableId{1}, ViewType::kNewImage, 4, ShardId{1});
  auto opened = ShardSet::Open(fs, "/streams", kStore, Epoch{1}, {}, {}, {});
  ASSERT_OK(opened);
  ShardSet& set = **opened;
  ASSERT_OK(FoldFrom(journal, Lsn{0}, set));
  const auto latest = [&] {
    std::vector<Position> positions;
    for (uint64_t shard = 1; shard <= 4; ++shard) {
      positions.push_back(*set.Seek(kStream, ShardId{shard}, StartAt::kLatest));
    }
    return positions;
  };
  EXPECT_FALSE(*set.WaitAny(latest(), 0));
  EXPECT_FALSE(*set.WaitAny({}, 0));
  for (const uint64_t hash : {uint64_t{0}, UINT64_MAX, UINT64_MAX / 2}) {
    const std::vector<Position> positions = latest();
    std::thread waiter([&] {
      const auto woken = set.WaitAny(positions, kLongMs);
      ASSERT_OK(woken);
      EXPECT_TRUE(*woken);
    });
    CommitTo(journal, set, hash);
    waiter.join();
  }
  std::vector<Position> positions = latest();
  positions[2].shard = ShardId{99};
  EXPECT_EQ(set.WaitAny(positions, kLongMs).status().code(), StatusCode::kNotFound);
  positions = latest();
  set.Close();
  EXPECT_EQ(set.WaitAny(positions, kLongMs).status().code(), StatusCode::kClosed);
}

TEST(WaitTest, ReturnsWhatEndsAWait) {
  SimFs fs;
  TestJournal journal;
  journal.EnableStream(kStream, TableId{1}, ViewType::kNewImage, 2, ShardId{1}, 1000);
  auto opened = ShardSet::Open(fs, "/streams", kStore, Epoch{1}, {}, {}, {});
  ASSERT_OK(opened);
  ShardSet& set = **opened;
  ASSERT_OK(FoldFrom(journal, Lsn{0}, set));
  const Position first = *set.Seek(kStream, ShardId{1}, StartAt::kTrimHorizon);
  const Position second = *set.Seek(kStream, ShardId{2}, StartAt::kTrimHorizon);
  EXPECT_FALSE(*set.Wait(first, 0));
  EXPECT_FALSE(*set.Wait(first, 1));  // In vain: the time runs out.
  CommitTo(journal, set, 0);
  EXPECT_TRUE(*set.Wait(first, 0));

  // A trim is something to see for who stands below it.
  Lsn from = journal.end();
  journal.PassTime(1000);
  const auto plan = set.PlanTrim(journal.age_ms());
  ASSERT_OK(plan);
  ASSERT_EQ(plan->trims_size(), 1);
  journal.Trim(*plan);
  std::thread trimmed([&] { EXPECT_TRUE(*set.Wait(first, kLongMs)); });
  ASSERT_OK(FoldFrom(journal, from, set));
  trimmed.join();
  EXPECT_TRUE(set.Read(first, {})->gap.has_value());

  // So is the end of the shard.
  from = journal.end();
  std::thread sealed([&] { EXPECT_TRUE(*set.Wait(second, kLongMs)); });
  journal.DisableStream(kStream);
  ASSERT_OK(FoldFrom(journal, from, set));
  sealed.join();
  EXPECT_TRUE(set.Read(second, {})->end_of_shard);
}

TEST(WaitTest, CloseWakesEverybody) {
  SimFs fs;
  TestJournal journal;
  journal.EnableStream(kStream, TableId{1}, ViewType::kNewImage, 2, ShardId{1}, 1000);
  auto opened = ShardSet::Open(fs, "/streams", kStore, Epoch{1}, {}, {}, {});
  ASSERT_OK(opened);
  ShardSet& set = **opened;
  ASSERT_OK(FoldFrom(journal, Lsn{0}, set));
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < 10; ++i) {
    threads.emplace_back([&, i] {
      const auto at = set.Seek(kStream, ShardId{1 + i % 2}, StartAt::kLatest);
      ASSERT_OK(at);
      EXPECT_EQ(set.Wait(*at, kLongMs).status().code(), StatusCode::kClosed);
    });
  }
  set.Close();
  for (std::thread& thread : threads) thread.join();
  // Shards that come later are closed as well.
  const Lsn from = journal.end();
  journal.EnableStream(StreamId{2}, TableId{2}, ViewType::kNewImage, 1, ShardId{3});
  ASSERT_OK(FoldFrom(journal, from, set));
  const auto at = set.Seek(StreamId{2}, ShardId{3}, StartAt::kLatest);
  ASSERT_OK(at);
  EXPECT_EQ(set.Wait(*at, kLongMs).status().code(), StatusCode::kClosed);
}

TEST(WaitTest, WakesWhoWaitsForAShardThatExpires) {
  SimFs fs;
  TestJournal journal;
  journal.EnableStream(kStream, TableId{1}, ViewType::kNewImage, 1, ShardId{1}, 1000);
  auto opened = ShardSet::Open(fs, "/streams", kStore, Epoch{1}, {}, {}, {});
  ASSERT_OK(opened);
  ShardSet& set = **opened;
  ASSERT_OK(FoldFrom(journal, Lsn{0}, set));
  const Position at = *set.Seek(kStream, ShardId{1}, StartAt::kLatest);
  std::thread waiter([&] {
    while (true) {
      const auto woken = set.Wait(at, kLongMs);
      if (woken.ok()) continue;  // The end of the shard came first.
      EXPECT_EQ(woken.status().code(), StatusCode::kNotFound);
      return;
    }
  });
  Lsn from = journal.end();
  journal.DisableStream(kStream);
  ASSERT_OK(FoldFrom(journal, from, set));
  from = journal.end();
  journal.PassTime(5000);
  const auto plan = set.PlanTrim(journal.age_ms());
  ASSERT_OK(plan);
  journal.Trim(*plan);
  ASSERT_OK(FoldFrom(journal, from, set));
  waiter.join();
}

}  // namespace
}  // namespace tailrace::shards::test
