// Which expired records pins keep.
#include "shards/retention_pin.h"

#include <gtest/gtest.h>

namespace tailrace::shards {
namespace {

constexpr StreamId kStream{1};
constexpr ShardId kOne{1};
constexpr ShardId kTwo{2};

using Trims = std::map<ShardId, SequenceNumber>;

SequenceNumber Number(uint64_t value) { return SequenceNumber{value}; }

// Segments of 100 bytes that begin at 10, 20, 30 and 40; the last still grows. Ages are numbers.
ExpiredShard MakeShard(ShardId id, std::optional<uint64_t> expired_below, uint64_t age_shift = 0) {
  ExpiredShard shard{.shard = id, .expired_below = std::nullopt, .spans = {}};
  if (expired_below) shard.expired_below = Number(*expired_below);
  for (const uint64_t base : {10u, 20u, 30u, 40u}) {
    SegmentSpan& span = shard.spans.emplace_back();
    span.bytes = 100;
    span.first_age_ms = base + age_shift;
    if (base < 40) span.next_base = Number(base + 10);
  }
  return shard;
}

TEST(RetentionPinTest, WithoutPinsAllThatHasExpiredGoes) {
  EXPECT_EQ(TrimsUnderPins({MakeShard(kOne, 35), MakeShard(kTwo, std::nullopt)}, {}),
            (Trims{{kOne, Number(35)}}));
}

TEST(RetentionPinTest, APinKeepsFromWhereItSays) {
  const std::vector<ExpiredShard> shards{MakeShard(kOne, 35), MakeShard(kTwo, 35)};
  const Pin pin{.stream = kStream, .kept_from = {{kOne, Number(17)}}, .bytes_max = 800};
  EXPECT_EQ(TrimsUnderPins(shards, {pin}), (Trims{{kOne, Number(17)}, {kTwo, Number(35)}}));
  const Pin beyond{.stream = kStream, .kept_from = {{kOne, Number(90)}}, .bytes_max = 800};
  EXPECT_EQ(TrimsUnderPins(shards, {beyond}), (Trims{{kOne, Number(35)}, {kTwo, Number(35)}}))
      << "a pin trims nothing";
}

TEST(RetentionPinTest, ThePinThatNeedsMostCounts) {
  const std::vector<ExpiredShard> shards{MakeShard(kOne, 35)};
  const Pin early{.stream = kStream, .kept_from = {{kOne, Number(12)}}, .bytes_max = 400};
  const Pin late{.stream = kStream, .kept_from = {{kOne, Number(25)}}, .bytes_max = 400};
  EXPECT_EQ(TrimsUnderPins(shards, {late, early}), (Trims{{kOne, Number(12)}}));
  // The one that needs more has too small a budget for it.
  const Pin poor{.stream = kStream, .kept_from = {{kOne, Number(12)}}, .bytes_max = 200};
  EXPECT_EQ(TrimsUnderPins(shards, {late, poor}), (Trims{{kOne, Number(25)}}));
}

TEST(RetentionPinTest, BeyondTheBudgetTheOldestSegmentsGo) {
  // Shard two's segments are older than shard one's of the same numbers, by half a segment.
  const std::vector<ExpiredShard> shards{MakeShard(kOne, 40, 5), MakeShard(kTwo, 40)};
  Pin pin{
      .stream = kStream, .kept_from = {{kOne, Number(10)}, {kTwo, Number(10)}}, .bytes_max = 800};
  EXPECT_EQ(TrimsUnderPins(shards, {pin}), (Trims{{kOne, Number(10)}, {kTwo, Number(10)}}));
  pin.bytes_max = 799;
  EXPECT_EQ(TrimsUnderPins(shards, {pin}), (Trims{{kOne, Number(10)}, {kTwo, Number(20)}}));
  pin.bytes_max = 500;
  EXPECT_EQ(TrimsUnderPins(shards, {pin}), (Trims{{kOne, Number(20)}, {kTwo, Number(30)}}));
  pin.bytes_max = 0;
  EXPECT_EQ(TrimsUnderPins(shards, {pin}), (Trims{{kOne, Number(40)}, {kTwo, Number(40)}}))
      << "and never what has not expired";
}

TEST(RetentionPinTest, WhatHasNotExpiredCountsAgainstTheBudget) {
  const std::vector<ExpiredShard> shards{MakeShard(kOne, 30), MakeShard(kTwo, std::nullopt)};
  Pin pin{.stream = kStream, .kept_from = {{kOne, Number(10)}}, .bytes_max = 600};
  EXPECT_EQ(TrimsUnderPins(shards, {pin}), (Trims{{kOne, Number(30)}}));
  pin.bytes_max = 700;
  EXPECT_EQ(TrimsUnderPins(shards, {pin}), (Trims{{kOne, Number(20)}}));
}

TEST(RetentionPinTest, ASegmentWithRecordsThatHaveNotExpiredFreesNothing) {
  const std::vector<ExpiredShard> shards{MakeShard(kOne, 15)};
  const Pin pin{.stream = kStream, .kept_from = {{kOne, Number(10)}}, .bytes_max = 0};
  EXPECT_EQ(TrimsUnderPins(shards, {pin}), (Trims{{kOne, Number(10)}}));
}

}  // namespace
}  // namespace tailrace::shards
