// The positions of a store: their order, who is woken, and how fan-out lets changes gather.
#include "wal/positions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/expect_ok.h"

namespace tailrace::wal {
namespace {

constexpr Lsn kStart{100};

// Until a thread of this process sleeps: it waits for what nobody has done yet.
void AwaitSleep(const std::atomic<pid_t>& thread) {
  for (std::string state; state != "S"; std::this_thread::yield()) {
    std::ifstream stat("/proc/self/task/" + std::to_string(thread.load()) + "/stat");
    // "number (name) state …"
    while (stat >> state && !state.ends_with(')')) continue;
    stat >> state;
  }
}

TEST(PositionsTest, EnteredFollowsTheUnbrokenChain) {
  Positions positions(Durability::kBuffered, kStart);
  positions.Enter(Lsn{120}, Lsn{130});
  positions.Enter(Lsn{140}, Lsn{150});
  EXPECT_EQ(positions.entered(), kStart);
  positions.Enter(kStart, Lsn{120});
  EXPECT_EQ(positions.entered(), Lsn{130});
  positions.Enter(Lsn{130}, Lsn{140});
  EXPECT_EQ(positions.entered(), Lsn{150});
  EXPECT_EQ(positions.safe(), Lsn{150});
}

TEST(PositionsTest, WhatIsSafeIsDurableToo) {
  Positions positions(Durability::kSync, kStart);
  positions.Enter(kStart, Lsn{120});
  EXPECT_EQ(positions.safe(), kStart);
  positions.AdvanceDurable(Lsn{110});
  EXPECT_EQ(positions.safe(), Lsn{110});
  positions.AdvanceDurable(Lsn{128});
  EXPECT_EQ(positions.safe(), Lsn{120});
}

// Each waits for a position of its own, and nothing but that position's rise ends it.
TEST(PositionsTest, EveryoneWhoWaitsIsWoken) {
  Positions positions(Durability::kSync, kStart);
  std::vector<std::thread> waiters;
  for (const uint64_t end : {110u, 120u, 130u}) {
    waiters.emplace_back([&, end] {
      EXPECT_OK(positions.WaitSafe(Lsn{end}));
      EXPECT_GE(positions.safe().value, end);
    });
    waiters.emplace_back([&, end] {
      EXPECT_OK(positions.WaitDurable(Lsn{end}));
      EXPECT_GE(positions.durable().value, end);
    });
    waiters.emplace_back([&, end] {
      EXPECT_OK(positions.WaitFannedOut(Lsn{end}));
      EXPECT_GE(positions.fanned_out().value, end);
    });
  }
  positions.Enter(kStart, Lsn{130});
  for (const uint64_t end : {110u, 120u, 130u}) {
    positions.AdvanceDurable(Lsn{end});
    positions.AdvanceFannedOut(Lsn{end});
  }
  for (std::thread& waiter : waiters) waiter.join();
}

TEST(PositionsTest, AFailureEndsEveryWaitAndPositionsReachedStay) {
  Positions positions(Durability::kSync, kStart);
  positions.Enter(kStart, Lsn{130});
  positions.AdvanceDurable(Lsn{110});
  std::vector<std::thread> waiters;
  waiters.emplace_back(
      [&] { EXPECT_EQ(positions.WaitSafe(Lsn{120}).code(), StatusCode::kNoSpace); });
  waiters.emplace_back(
      [&] { EXPECT_EQ(positions.WaitDurable(Lsn{120}).code(), StatusCode::kNoSpace); });
  waiters.emplace_back(
      [&] { EXPECT_EQ(positions.WaitFannedOut(Lsn{120}).code(), StatusCode::kNoSpace); });
  waiters.emplace_back([&] {
    const std::atomic<bool> never{false};
    EXPECT_EQ(positions.AwaitFanOutWork(Lsn{110}, never).status().code(), StatusCode::kNoSpace);
  });
  positions.Fail(NoSpace("the disk is full"));
  positions.Fail(Closed("too late to matter"));
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_OK(positions.WaitSafe(Lsn{110}));
}

// The journal lets frames gather as long as nobody waits for them.
TEST(PositionsTest, WhoWaitsForTheDiskSaysSo) {
  Positions positions(Durability::kSync, kStart);
  std::vector<Lsn> told;
  positions.SetWorkers({.hasten = [&](Lsn end) {
    told.push_back(end);
    positions.AdvanceDurable(end);
    positions.AdvanceFannedOut(end);
  }});
  positions.Enter(kStart, Lsn{110});
  ASSERT_OK(positions.WaitSafe(Lsn{110}));
  positions.Enter(Lsn{110}, Lsn{120});
  ASSERT_OK(positions.WaitDurable(Lsn{120}));
  positions.Enter(Lsn{120}, Lsn{130});
  ASSERT_OK(positions.WaitFannedOut(Lsn{130}));
  const std::vector<Lsn> waited_for{Lsn{110}, Lsn{120}, Lsn{130}};
  EXPECT_EQ(told, waited_for);
  ASSERT_OK(positions.WaitDurable(Lsn{130}));
  EXPECT_EQ(told, waited_for) << "it is durable already";

  Positions buffered(Durability::kBuffered, kStart);
  buffered.SetWorkers({.hasten = [](Lsn) { FAIL() << "nobody waits for the disk"; }});
  buffered.Enter(kStart, Lsn{110});
  ASSERT_OK(buffered.WaitSafe(Lsn{110}));
}

// What gathers while fan-out waits is handed to it together: it is not woken for each frame.
TEST(PositionsTest, ChangesGatherForFanOut) {
  Positions positions(Durability::kBuffered, kStart);
  const std::atomic<bool> never{false};
  uint64_t rounds = 0;
  std::thread fan_out([&] {
    for (Lsn folded = kStart; folded < Lsn{100'100}; ++rounds) {
      const auto work = positions.AwaitFanOutWork(folded, never);
      ASSERT_OK(work);
      ASSERT_GT(*work, folded);
      positions.GatherFanOutWork(never);
      folded = positions.safe();
    }
  });
  const auto begin = std::chrono::steady_clock::now();
  for (uint64_t end = kStart.value; end < 100'100; ++end) {
    positions.Enter(Lsn{end}, Lsn{end + 1});
  }
  fan_out.join();
  const auto elapsed = std::chrono::steady_clock::now() - begin;
  // A round lasts as long as changes may gather, at least: however slow the machine is.
  EXPECT_LE((rounds - 1) * std::chrono::microseconds(kFanOutGatherUs), elapsed);
}

// Without haste, each of these waits would last an hour.
TEST(PositionsTest, HasteEndsTheGathering) {
  constexpr uint64_t kHourUs = 3'600'000'000;
  Positions positions(Durability::kBuffered, kStart, kHourUs);
  std::atomic<bool> stop{false};
  std::thread fan_out([&] {
    while (!stop) {
      ASSERT_OK(positions.AwaitFanOutWork(positions.fanned_out(), stop));
      positions.GatherFanOutWork(stop);
      positions.AdvanceFannedOut(positions.safe());
    }
  });
  for (uint64_t end = kStart.value; end < 2000; ++end) {
    positions.Enter(Lsn{end}, Lsn{end + 1});
    EXPECT_OK(positions.WaitFannedOut(Lsn{end + 1}));
  }
  stop = true;
  positions.Interrupt();
  fan_out.join();
}

// What becomes safe rings the leader and leaves fan-out asleep, until the leader goes.
TEST(PositionsTest, ALeaderIsToldInFanOutsPlaceAndLeavesItTheRest) {
  Positions positions(Durability::kBuffered, kStart, 0);
  const std::atomic<bool> never{false};
  uint64_t rings = 0;
  std::optional<Positions::Lead> lead(std::in_place, positions, [&rings] { ++rings; });
  ASSERT_TRUE(lead->taken());
  {
    const Positions::Lead second(positions, [] { FAIL() << "there is one leader at a time"; });
    EXPECT_FALSE(second.taken());
  }
  std::atomic<uint64_t> woken_at{0};
  std::atomic<pid_t> thread{0};
  std::thread fan_out([&] {
    thread = ::gettid();
    const auto safe = positions.AwaitFanOutWork(kStart, never);
    ASSERT_OK(safe);
    woken_at = safe->value;
  });
  AwaitSleep(thread);
  positions.Enter(kStart, Lsn{kStart.value + 10});
  EXPECT_EQ(rings, 1u);
  positions.AdvanceFannedOut(Lsn{kStart.value + 10});
  positions.Enter(Lsn{kStart.value + 10}, Lsn{kStart.value + 20});
  EXPECT_EQ(rings, 2u);
  lead.reset();
  fan_out.join();
  EXPECT_GE(woken_at, kStart.value + 10);
  EXPECT_TRUE(Positions::Lead(positions, [] {}).taken());
}

TEST(PositionsDeathTest, ABrokenOrderStopsTheProcess) {
  Positions positions(Durability::kSync, kStart);
  positions.Enter(kStart, Lsn{130});
  EXPECT_DEATH(positions.Enter(Lsn{110}, Lsn{120}), "entered twice");
  EXPECT_DEATH(positions.AdvanceFannedOut(Lsn{120}), "up to safe");
  EXPECT_DEATH(positions.AdvanceShardSynced(Lsn{120}), "up to fanned_out");
  EXPECT_DEATH(positions.AdvanceCut(Lsn{120}), "up to shard_synced");
  EXPECT_DEATH(positions.AdvanceRecycled(Lsn{120}), "up to cut");
}

}  // namespace
}  // namespace tailrace::wal
