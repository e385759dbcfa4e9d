// The store's age: no time is counted twice, whenever the process dies and whatever the machine
// does between two looks at its clocks.
#include "engine/store_clock.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/engine/store_fixture.h"

namespace tailrace::test {
namespace {

using engine::ClockReading;
using engine::StoreClock;

constexpr uint64_t kHourMs = 3600'000;

// The machine sleeps for an hour after every look.
class DrowsyClock final : public Clock {
 public:
  explicit DrowsyClock(SimClock& clock) : clock_(clock) {}

  uint64_t WallMs() const override {
    const uint64_t now = clock_.WallMs();
    clock_.Advance(kHourMs);
    return now;
  }
  uint64_t BootMs() const override {
    const uint64_t now = clock_.BootMs();
    clock_.Advance(kHourMs);
    return now;
  }

 private:
  SimClock& clock_;
};

TEST(StoreClockTest, TimeBetweenTwoLooksIsNotCountedTwice) {
  SimClock time;
  const DrowsyClock drowsy(time);
  const uint64_t began_ms = time.WallMs();
  ClockReading last{.wall_ms = began_ms, .age_ms = 0, .pending_downtime_ms = 0};
  for (int life = 0; life < 5; ++life) {
    const StoreClock clock(drowsy, last, kHourMs);
    last = clock.Now();
    EXPECT_LE(last.age_ms + last.pending_downtime_ms, last.wall_ms - began_ms);
    time.Advance(kHourMs);
  }
  StoreClock clock(drowsy, last, kHourMs);
  clock.ConfirmDowntime();
  last = clock.Now();
  EXPECT_LE(last.age_ms, last.wall_ms - began_ms);
  EXPECT_GE(last.age_ms, 5 * kHourMs) << "downtime is not lost either";
}

TEST(StoreClockTest, ConfirmedIsWhatNowWillBe) {
  SimClock time;
  StoreClock clock(time, {time.WallMs() - 7, 100, 20}, kHourMs);
  time.Advance(3);
  const ClockReading confirmed = clock.Confirmed();
  EXPECT_EQ(confirmed.age_ms, 130u);
  EXPECT_EQ(confirmed.pending_downtime_ms, 0u);
  EXPECT_EQ(clock.Now().age_ms, 103u);
  EXPECT_EQ(clock.ConfirmDowntime(), 27u);
  EXPECT_EQ(clock.Now().age_ms, confirmed.age_ms);
}

// While a commit is under way, downtime is not confirmed: the commit would carry an age whose cause
// the journal does not know yet.
TEST(StoreClockTest, DowntimeIsConfirmedBetweenCommits) {
  SimClock time;
  TempDir temp;
  const std::string directory = temp.path() + "/store";
  StoreOptions options = SmallOptions(time, Durability::kSync);
  {
    auto store = Store::Open(directory, options).value();
    ASSERT_OK(store->CreateTable({.name = "UserGames", .keys = kGameKeys}));
    ASSERT_OK(store->Close());
  }
  time.Advance(10 * kHourMs);
  std::atomic<bool> hold{true};
  std::atomic<bool> held{false};
  options.on_pause_point = [&](PausePoint point) {
    if (point != PausePoint::kAfterAppend || !hold.load()) return;
    held.store(true);
    held.notify_all();
    hold.wait(true);
  };
  auto store = Store::Open(directory, options).value();
  std::thread writer([&] { EXPECT_OK(store->Put("UserGames", Game(1, "a"))); });
  held.wait(false);
  std::atomic<bool> confirming{false};
  std::thread confirmer([&] {
    confirming.store(true);
    confirming.notify_all();
    EXPECT_OK(store->ConfirmDowntime());
  });
  confirming.wait(false);
  // It has all the time it needs to do it too early.
  for (int i = 0; i < 2000; ++i) {
    std::this_thread::yield();
    ASSERT_EQ(store->Stats()->downtime_pending_ms, 10 * kHourMs);
  }
  const std::string crashed = temp.path() + "/crashed";
  CopyStore(directory, crashed);
  hold.store(false);
  hold.notify_all();
  writer.join();
  confirmer.join();
  EXPECT_EQ(store->Stats()->downtime_pending_ms, 0u);
  ASSERT_OK(store->Close());

  const auto after = Store::Open(crashed, options).value()->Stats();
  ASSERT_OK(after);
  EXPECT_EQ(after->age_ms + after->downtime_pending_ms, 10 * kHourMs);
}

// Downtime lies before what is written after it, confirmed or not yet.
TEST(StoreClockTest, ConfirmedDowntimeAgesOnlyWhatWasWrittenBeforeIt) {
  SimClock time;
  TempDir temp;
  const std::string directory = temp.path() + "/store";
  const StoreOptions options = SmallOptions(time, Durability::kSync);
  auto store = Store::Open(directory, options).value();
  ASSERT_OK(
      store->CreateTable({.name = "UserGames", .keys = kGameKeys, .stream = ViewType::kKeysOnly}));
  const StreamId stream = *store->DescribeTable("UserGames")->latest_stream;
  ASSERT_OK(store->Put("UserGames", Game(1, "before")));
  for (int64_t life = 2; life <= 4; ++life) {
    ASSERT_OK(store->Close());
    time.Reboot(30 * kHourMs);
    store = Store::Open(directory, options).value();
    ASSERT_OK(store->Put("UserGames", Game(life, "after")));
  }
  // Pending since three openings; nothing has expired yet.
  ASSERT_OK(store->RunMaintenance());
  EXPECT_EQ(ReadStream(*store, stream).size(), 4u);
  ASSERT_OK(store->ConfirmDowntime());
  ASSERT_OK(store->RunMaintenance());
  const auto left = ReadStream(*store, stream);
  ASSERT_EQ(left.size(), 1u) << "90, 60 and 30 hours ago, and now";
  EXPECT_EQ(left.front().keys, GameKey(4));
  time.Advance(23 * kHourMs);
  ASSERT_OK(store->RunMaintenance());
  EXPECT_EQ(ReadStream(*store, stream).size(), 1u);
  time.Advance(kHourMs);
  ASSERT_OK(store->RunMaintenance());
  EXPECT_EQ(ReadStream(*store, stream).size(), 0u);
}

// The fold takes the age back out of the stamps.
TEST(StoreClockTest, ACrashBeforeConfirmationCountsNoDowntimeTwice) {
  SimClock time;
  TempDir temp;
  const StoreOptions options = SmallOptions(time, Durability::kSync);
  std::string directory = temp.path() + "/0";
  auto store = Store::Open(directory, options).value();
  ASSERT_OK(store->CreateTable({.name = "UserGames", .keys = kGameKeys}));
  for (uint64_t life = 1; life <= 4; ++life) {
    time.Advance(kHourMs);  // It runs for an hour,
    ASSERT_OK(store->Put("UserGames", Game(static_cast<int64_t>(life), "a")));
    const std::string copy = temp.path() + "/" + std::to_string(life);
    CopyStore(directory, copy);
    ASSERT_OK(store->Close());
    directory = copy;
    time.Reboot(10 * kHourMs);  // and is down for ten.
    store = Store::Open(directory, options).value();
    const auto stats = store->Stats();
    EXPECT_EQ(stats->age_ms, life * kHourMs);
    EXPECT_EQ(stats->downtime_pending_ms, life * 10 * kHourMs);
  }
}

}  // namespace
}  // namespace tailrace::test
