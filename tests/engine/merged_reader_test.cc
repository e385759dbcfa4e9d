// Streams in commit order: every transaction whole, in the journal's order, whatever the shards do.
#include "engine/merged_reader.h"

#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "tests/engine/store_fixture.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"

namespace tailrace::test {
namespace {

constexpr int kWriters = 3;
constexpr int kWritesPerWriter = 300;
constexpr int kWritesPaced = kWriters * kWritesPerWriter;

class MergedReaderTest : public StoreTest {
 protected:
  void MakeTables() {
    for (const char* name : {"Left", "Right"}) {
      ASSERT_OK(store_->CreateTable(
          {.name = name, .keys = kGameKeys, .stream = ViewType::kNewAndOldImages}));
      streams_.push_back(LatestStream(name));
    }
    ASSERT_OK(store_->CreateTable({.name = "Silent", .keys = kGameKeys}));
  }
  std::unique_ptr<MergedReader> OpenReader(const MergedReaderOptions& options = {}) {
    auto reader = MergedReader::Open(*store_, streams_, options);
    EXPECT_OK(reader);
    return reader.ok() ? std::move(*reader) : nullptr;
  }
  // What there is now.
  std::vector<MergedTransaction> Drain(MergedReader& reader) {
    EXPECT_OK(store_->WaitFannedOut({store_->Stats()->safe}));
    std::vector<MergedTransaction> all;
    while (true) {
      auto batch = reader.Next(0);
      EXPECT_OK(batch);
      if (!batch.ok() || !*batch) return all;
      EXPECT_TRUE((*batch)->gaps.empty());
      for (auto& transaction : (*batch)->transactions) all.push_back(std::move(transaction));
    }
  }
  // Transactions of one to four items in up to three tables. One of them has no stream.
  void Write(int writer, int count) {
    Random random(MixSeed(TestSeed(), static_cast<uint64_t>(writer)));
    for (int i = 0; i < count; ++i) {
      std::vector<WriteRequest> writes;
      std::set<std::pair<std::string, int64_t>> chosen;
      for (uint64_t n = random.Between(1, 4); n > 0; --n) {
        const char* const kTables[] = {"Left", "Right", "Silent"};
        const std::string table = kTables[random.Below(3)];
        const auto id = static_cast<int64_t>(random.Below(50));
        if (!chosen.emplace(table, id).second) continue;
        writes.push_back(
            WriteRequest::Put(table, Game(id, std::to_string(writer) + "/" + std::to_string(i))));
      }
      ASSERT_OK(store_->Transact(writes));
      ++written_;
      while (!HasFailure() && splits_ < splits_wanted_ * written_ / kWritesPaced) {
        std::this_thread::yield();
      }
    }
  }
  // All records of the streams, by their numbers: the journal's order.
  std::map<SequenceNumber, ChangeRecord> ByNumber() {
    std::map<SequenceNumber, ChangeRecord> all;
    for (const StreamId stream : streams_) {
      for (ChangeRecord& record : ReadStream(*store_, stream)) {
        const SequenceNumber number = record.sequence;
        all.emplace(number, std::move(record));
      }
    }
    return all;
  }
  void ExpectJournalsOrder(const std::vector<MergedTransaction>& read) {
    auto expected = ByNumber();
    auto next = expected.begin();
    SequenceNumber before;
    for (const MergedTransaction& transaction : read) {
      ASSERT_LT(before, transaction.commit);
      before = transaction.commit;
      ASSERT_FALSE(transaction.records.empty());
      for (const ChangeRecord& record : transaction.records) {
        ASSERT_TRUE(next != expected.end());
        ASSERT_EQ(record.event_id, next->second.event_id);
        ASSERT_EQ(record.commit, transaction.commit);
        ASSERT_EQ(record.commit_changes, transaction.commit_changes);
        ++next;
      }
      // Whole: the next record is of another commit.
      if (next != expected.end()) {
        ASSERT_NE(next->second.commit, transaction.commit);
      }
    }
    EXPECT_TRUE(next == expected.end()) << "records are missing at the end";
  }

  std::vector<StreamId> streams_;
  std::atomic<int> written_{0};
  std::atomic<int> splits_{0};
  int splits_wanted_ = 0;  // Writers wait for so many splits while they make kWritesPaced writes.
};

INSTANTIATE_TEST_SUITE_P(Durabilities, MergedReaderTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

TEST_P(MergedReaderTest, TransactionsComeWholeAndInOrder) {
  Open();
  MakeTables();
  Write(1, 200);
  const auto reader = OpenReader({.records_max = 7, .page = {.records_max = 3}});
  const auto read = Drain(*reader);
  ExpectJournalsOrder(read);
  ASSERT_OK(store_->SplitShard(streams_[0], store_->DescribeStream(streams_[0])->shards[1].id));
  Write(2, 50);
  auto all = read;
  for (auto& more : Drain(*reader)) all.push_back(std::move(more));
  ExpectJournalsOrder(all);
  EXPECT_FALSE(reader->finished());
  ASSERT_OK(store_->DisableStream("Left"));
  ASSERT_OK(store_->DisableStream("Right"));
  EXPECT_TRUE(Drain(*reader).empty());
  EXPECT_TRUE(reader->finished());
}

// It is there at once, without waiting for anything.
TEST_P(MergedReaderTest, ACommitMayBeLongerThanAPage) {
  options_.shards_per_stream = 1;
  Open();
  MakeTables();
  std::vector<WriteRequest> writes;
  for (int64_t id = 0; id < 4; ++id) writes.push_back(WriteRequest::Put("Left", Game(id, "a")));
  ASSERT_OK(store_->Transact(writes));
  const auto reader = OpenReader({.page = {.records_max = 3}});
  const auto read = Drain(*reader);
  ASSERT_EQ(read.size(), 1u);
  EXPECT_EQ(read[0].records.size(), 4u);
}

TEST_P(MergedReaderTest, AnIdleShardHoldsNothingUp) {
  Open();
  MakeTables();
  const auto reader = OpenReader();
  ASSERT_OK(store_->Put("Left", Game(1, "a")));  // All other shards stay empty.
  const auto batch = reader->Next(60'000);
  ASSERT_OK(batch);
  ASSERT_TRUE(batch->has_value());
  ASSERT_EQ((*batch)->transactions.size(), 1u);
  EXPECT_FALSE(reader->Next(0)->has_value());
}

TEST_P(MergedReaderTest, GoesOnAtItsPosition) {
  Open();
  MakeTables();
  Write(1, 100);
  ASSERT_OK(store_->WaitFannedOut({store_->Stats()->safe}));
  std::vector<MergedTransaction> all;
  SequenceNumber position;
  while (true) {
    const auto reader =
        OpenReader({.start = StartAt::kAtSequenceNumber, .number = position, .records_max = 13});
    auto batch = reader->Next(0);
    ASSERT_OK(batch);
    if (!*batch) break;
    for (auto& transaction : (*batch)->transactions) all.push_back(std::move(transaction));
    position = reader->position();
    if (all.size() % 3 == 0) Reopen();
  }
  ExpectJournalsOrder(all);
  const auto latest = OpenReader({.start = StartAt::kLatest});
  EXPECT_TRUE(Drain(*latest).empty());
  Write(2, 3);
  EXPECT_FALSE(Drain(*latest).empty());
}

TEST_P(MergedReaderTest, WhatExpiredIsAGap) {
  Open();
  MakeTables();
  Write(1, 50);
  const auto reader = OpenReader();
  clock_.Advance(25 * 3600'000);
  ASSERT_OK(store_->RunMaintenance());
  Write(2, 50);
  ASSERT_OK(store_->WaitFannedOut({store_->Stats()->safe}));
  size_t gaps = 0;
  std::vector<MergedTransaction> all;
  while (true) {
    auto batch = reader->Next(0);
    ASSERT_OK(batch);
    if (!*batch) break;
    gaps += (*batch)->gaps.size();
    for (auto& transaction : (*batch)->transactions) all.push_back(std::move(transaction));
  }
  EXPECT_EQ(gaps, 8u);
  ExpectJournalsOrder(all);
}

TEST_P(MergedReaderTest, HandsOutATransactionWhateverTheLimit) {
  Open();
  MakeTables();
  ASSERT_OK(store_->Put("Left", Game(1, "a")));
  ASSERT_OK(store_->Put("Right", Game(1, "b")));
  ASSERT_OK(store_->WaitFannedOut({store_->Stats()->safe}));
  const auto reader = OpenReader({.records_max = 0});
  for (int transaction = 1; transaction <= 2; ++transaction) {
    const auto batch = reader->Next(0);
    ASSERT_OK(batch);
    ASSERT_TRUE(batch->has_value());
    EXPECT_EQ((*batch)->transactions.size(), 1u);
  }
}

TEST_P(MergedReaderTest, RefusesWhatMakesNoSense) {
  Open();
  MakeTables();
  const auto open = [&](std::vector<StreamId> streams, const MergedReaderOptions& options = {}) {
    return MergedReader::Open(*store_, streams, options).status().code();
  };
  EXPECT_EQ(open({}), StatusCode::kInvalidArgument);
  EXPECT_EQ(open({streams_[0], streams_[0]}), StatusCode::kInvalidArgument);
  EXPECT_EQ(open({StreamId{99}}), StatusCode::kNotFound);
  EXPECT_EQ(open(streams_, {.start = StartAt::kAtTimestamp}), StatusCode::kInvalidArgument);
}

// While writers write and shards split, what is read is the journal's order all the same.
TEST_P(MergedReaderTest, KeepsTheOrderUnderWritersAndSplits) {
  Open();
  MakeTables();
  splits_wanted_ = 20;
  std::vector<MergedTransaction> read;
  const auto reader = OpenReader({.records_max = 20, .page = {.records_max = 5}});
  std::thread follower([&] {
    while (!reader->finished()) {
      auto batch = reader->Next(60'000);
      ASSERT_OK(batch);
      if (!*batch) continue;
      ASSERT_TRUE((*batch)->gaps.empty());
      for (auto& transaction : (*batch)->transactions) read.push_back(std::move(transaction));
    }
  });
  std::thread splitter([&] {
    Random random(MixSeed(TestSeed(), 77));
    while (!HasFailure() && splits_ < splits_wanted_) {
      if (splits_ > splits_wanted_ * written_ / kWritesPaced) {
        std::this_thread::yield();
        continue;
      }
      const StreamId stream = streams_[random.Below(2)];
      const auto info = store_->DescribeStream(stream);
      ASSERT_OK(info);
      const ShardInfo& shard = info->shards[random.Below(info->shards.size())];
      if (shard.ending) continue;
      ASSERT_OK(store_->SplitShard(stream, shard.id));
      ++splits_;
    }
  });
  std::vector<std::thread> writers;
  for (int i = 0; i < kWriters; ++i)
    writers.emplace_back([this, i] { Write(i, kWritesPerWriter); });
  for (std::thread& writer : writers) writer.join();
  splitter.join();
  ASSERT_OK(store_->DisableStream("Left"));
  ASSERT_OK(store_->DisableStream("Right"));
  follower.join();
  if (HasFailure()) return;
  ExpectJournalsOrder(read);
}

}  // namespace
}  // namespace tailrace::test
