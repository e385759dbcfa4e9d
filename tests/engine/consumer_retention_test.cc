// Records that a consumer pins outlive their stream's retention, as far as its budget goes; what
// goes beyond it is reported.
#include <algorithm>

#include "tests/engine/consumer_fixture.h"

namespace tailrace::test {
namespace {

constexpr uint64_t kRetentionMs = 24ull * 3600'000;
constexpr uint64_t kSegmentBytes = 16 << 10;
constexpr char kName[] = "slow";

class ConsumerRetentionTest : public StoreTest {
 protected:
  ConsumerRetentionTest() {
    options_.shards_per_stream = 2;
    options_.shard_segment_bytes_max = kSegmentBytes;
  }

  StreamId MakeStream() {
    MakeGames(ViewType::kNewImage);
    return LatestStream("UserGames");
  }
  std::unique_ptr<ConsumerWorker> OpenWorker(StreamId stream, std::optional<uint64_t> pin) {
    auto worker = ConsumerWorker::Open(*store_, kName, stream, "a",
                                       {.pin_bytes_max = pin, .limits = {.records_max = 10}});
    EXPECT_OK(worker);
    return worker.ok() ? std::move(*worker) : nullptr;
  }
  void PutGames(int count) {
    for (int i = 0; i < count; ++i) {
      ASSERT_OK(store_->Put("UserGames", Game(next_id_++, std::string(300, 'x'))));
    }
    ASSERT_OK(store_->WaitFannedOut({store_->Stats()->safe}));
  }
  // Records since the last time are too old now, and upkeep looks.
  void Expire() {
    clock_.Advance(kRetentionMs + 1);
    ASSERT_OK(store_->RunMaintenance());
  }
  size_t Kept(StreamId stream) { return ReadKept(stream).size(); }
  std::vector<uint64_t> ReadKept(StreamId stream) {
    std::vector<uint64_t> ordinals;
    const auto info = store_->DescribeStream(stream);
    for (const ShardInfo& shard : info->shards) {
      auto position = store_->SeekShard(stream, shard.id, StartAt::kTrimHorizon);
      EXPECT_OK(position);
      for (bool more = true; more;) {
        const auto page = store_->ReadShard(*position);
        EXPECT_OK(page);
        for (const ChangeRecord& record : page->records) ordinals.push_back(record.ordinal);
        position = page->next;
        more = !page->caught_up;
      }
    }
    return ordinals;
  }
  uint64_t StreamBytes() {
    uint64_t bytes = 0;
    const auto stats = store_->Stats();
    for (const auto& shard : stats->shards) bytes += shard.bytes;
    return bytes;
  }
  struct Found {
    size_t records = 0;
    std::vector<Gap> gaps;
  };
  // All that is left, checkpointed.
  Found Drain(ConsumerWorker& worker) {
    Found found;
    while (true) {
      const auto batch = worker.Next(0);
      EXPECT_OK(batch);
      if (!batch.ok() || !*batch) return found;
      if ((*batch)->gap) found.gaps.push_back(*(*batch)->gap);
      found.records += (*batch)->records.size();
      EXPECT_EQ(*worker.Checkpoint(**batch), CheckpointOutcome::kStored);
    }
  }

  int64_t next_id_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Durabilities, ConsumerRetentionTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

TEST_P(ConsumerRetentionTest, WithoutAPinRecordsExpire) {
  Open();
  const StreamId stream = MakeStream();
  const auto worker = OpenWorker(stream, std::nullopt);
  PutGames(100);
  Expire();
  EXPECT_EQ(Kept(stream), 0u);
}

TEST_P(ConsumerRetentionTest, APinKeepsWhatIsNotCheckpointed) {
  Open();
  const StreamId stream = MakeStream();
  auto worker = OpenWorker(stream, 1 << 20);
  PutGames(200);
  std::map<ShardId, size_t> read;
  for (int i = 0; i < 4; ++i) {
    const auto batch = worker->Next(0);
    ASSERT_TRUE(batch.ok() && batch->has_value());
    read[(*batch)->shard] += (*batch)->records.size();
    ASSERT_EQ(*worker->Checkpoint(**batch), CheckpointOutcome::kStored);
  }
  ASSERT_EQ(read.size(), 2u);
  Expire();
  EXPECT_EQ(Kept(stream), 160u) << "what was checkpointed has expired";
  Expire();
  worker.reset();
  Reopen();
  Expire();
  EXPECT_EQ(Kept(stream), 160u);

  worker = OpenWorker(stream, std::nullopt);
  const Found found = Drain(*worker);
  EXPECT_EQ(found.records, 160u);
  EXPECT_TRUE(found.gaps.empty());
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(Kept(stream), 0u) << "nothing new has expired, but the pin has moved";
}

TEST_P(ConsumerRetentionTest, APinKeepsWhatItsShardsChildrenHold) {
  Open();
  const StreamId stream = MakeStream();
  const auto worker = OpenWorker(stream, 1 << 20);
  PutGames(50);
  ASSERT_OK(store_->SplitShard(stream, store_->DescribeStream(stream)->shards[0].id));
  PutGames(50);
  Expire();
  Expire();
  EXPECT_EQ(Kept(stream), 100u);
  const Found found = Drain(*worker);
  EXPECT_EQ(found.records, 100u);
  EXPECT_TRUE(found.gaps.empty());
  Expire();
  EXPECT_EQ(store_->DescribeStream(stream)->shards.size(), 3u) << "the parent has left";
}

TEST_P(ConsumerRetentionTest, WhatGoesBeyondTheBudgetIsAGap) {
  Open();
  const StreamId stream = MakeStream();
  constexpr uint64_t kBudget = 10 * kSegmentBytes;
  auto worker = OpenWorker(stream, kBudget);
  PutGames(1000);
  ASSERT_GT(StreamBytes(), 2 * kBudget);
  Expire();
  EXPECT_LE(StreamBytes(), kBudget);
  EXPECT_GT(StreamBytes(), kBudget - 2 * kSegmentBytes) << "no more went than had to";
  const size_t kept = Kept(stream);
  EXPECT_GT(kept, 100u);

  const Found found = Drain(*worker);
  EXPECT_EQ(found.records, kept);
  ASSERT_EQ(found.gaps.size(), 2u) << "both shards lost their oldest records, and say so";
  for (const Gap& gap : found.gaps) EXPECT_EQ(gap.kind, Gap::Kind::kTrimmed);
}

TEST_P(ConsumerRetentionTest, WhatHasNotExpiredStaysWhateverTheBudget) {
  Open();
  const StreamId stream = MakeStream();
  const auto worker = OpenWorker(stream, 1);
  PutGames(400);
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(Kept(stream), 400u);
}

TEST_P(ConsumerRetentionTest, APinEndsWithItsConsumerOrWhenItIsTakenBack) {
  Open();
  const StreamId stream = MakeStream();
  auto worker = OpenWorker(stream, 1 << 20);
  ASSERT_OK(worker->KeepLeases());
  auto other = ConsumerWorker::Open(*store_, "other", stream, "a", {.pin_bytes_max = 1 << 20});
  ASSERT_OK(other);
  ASSERT_OK((*other)->KeepLeases());
  PutGames(100);
  Expire();
  EXPECT_EQ(Kept(stream), 100u);
  ASSERT_OK(ForgetConsumer(*store_, "other"));
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(Kept(stream), 100u) << "one pin is left";
  worker = OpenWorker(stream, 0);
  EXPECT_EQ(DescribeConsumer(*store_, kName)->pin_bytes_max, 0u);
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(Kept(stream), 0u);
}

TEST_P(ConsumerRetentionTest, TheLagIsWhatIsLeft) {
  Open();
  const StreamId stream = MakeStream();
  const auto worker = OpenWorker(stream, std::nullopt);
  ASSERT_OK(worker->KeepLeases());
  PutGames(200);
  clock_.Advance(5000);
  PutGames(100);
  const auto lag = [&] {
    ConsumerShard sum;
    const auto info = DescribeConsumer(*store_, kName);
    EXPECT_OK(info);
    for (const ConsumerShard& shard : info->shards) {
      sum.lag_records += shard.lag_records;
      sum.lag_bytes += shard.lag_bytes;
      sum.lag_ms = std::max(sum.lag_ms, shard.lag_ms);
    }
    return sum;
  };
  uint64_t headers = 0;
  const auto stats = store_->Stats();
  for (const auto& shard : stats->shards) headers += shard.segments * 4096;
  EXPECT_EQ(lag().lag_records, 300u);
  EXPECT_EQ(lag().lag_ms, 5000u);
  EXPECT_EQ(lag().lag_bytes, StreamBytes() - headers) << "the records and nothing else";
  uint64_t records = 300;
  uint64_t bytes = lag().lag_bytes;
  while (true) {
    const auto batch = worker->Next(0);
    ASSERT_OK(batch);
    if (!*batch) break;
    ASSERT_EQ(*worker->Checkpoint(**batch), CheckpointOutcome::kStored);
    records -= (*batch)->records.size();
    EXPECT_EQ(lag().lag_records, records);
    EXPECT_LT(lag().lag_bytes, bytes);
    bytes = lag().lag_bytes;
  }
  EXPECT_EQ(records, 0u);
  EXPECT_EQ(bytes, 0u);
  EXPECT_EQ(lag().lag_ms, 0u);
}

}  // namespace
}  // namespace tailrace::test
