// Several workers on threads, while others write and split shards: every change has its effect on a
// copy of the table exactly once and in order, though workers die in between and take each other's
// leases.
#include <atomic>
#include <thread>

#include "tests/engine/consumer_fixture.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"

namespace tailrace::test {
namespace {

constexpr int kWriters = 2;
constexpr int kWritesPerWriter = 600;
constexpr int kWorkers = 3;
constexpr int kSplits = 12;
constexpr int kWritesPerSplit = kWriters * kWritesPerWriter / kSplits;
constexpr int64_t kGames = 90;  // No batch makes more writes than a transaction takes.

struct Case {
  Durability durability;
  ConsumerStart start;
};

std::string CaseName(const ::testing::TestParamInfo<Case>& info) {
  return std::string(info.param.durability == Durability::kSync ? "Sync" : "Buffered") +
         (info.param.start == ConsumerStart::kBootstrap ? "Bootstrap" : "TrimHorizon");
}

class ConsumerRaceTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    StoreOptions options = SmallOptions(Clock::System(), GetParam().durability);
    options.shards_per_stream = 2;
    options.generation_bytes_max = 16 << 10;  // So that items are read from everywhere.
    options.journal_bytes_max = 1 << 20;
    auto opened = Store::Open(temp_.path() + "/store", options);
    ASSERT_OK(opened);
    store_ = std::move(*opened);
    ASSERT_OK(store_->CreateTable(
        {.name = "UserGames", .keys = kGameKeys, .stream = ViewType::kNewAndOldImages}));
    ASSERT_OK(store_->CreateTable({.name = kCopyTable, .keys = kGameKeys}));
    stream_ = *store_->DescribeTable("UserGames")->latest_stream;
  }

  // Inserts, updates and deletes; every item is different from all before it.
  void Write(int writer) {
    Random random(MixSeed(TestSeed(), static_cast<uint64_t>(writer)));
    for (int i = 0; i < kWritesPerWriter; ++i) {
      const auto id = static_cast<int64_t>(random.Below(kGames));
      const std::string user = std::to_string(writer) + "/" + std::to_string(i);
      if (random.OneIn(4)) {
        ASSERT_OK(store_->Delete("UserGames", GameKey(id)));
      } else {
        ASSERT_OK(store_->Put("UserGames", Game(id, user)));
      }
      ++written_;
      // Neither outruns the other, so that shards are split all the while.
      while (!HasFailure() && splits_ + 1 < written_ / kWritesPerSplit) std::this_thread::yield();
    }
  }

  void Split() {
    Random random(MixSeed(TestSeed(), 10));
    while (!HasFailure() && splits_ < kSplits) {
      if (written_ / kWritesPerSplit <= splits_) {
        std::this_thread::yield();
        continue;
      }
      const auto info = store_->DescribeStream(stream_);
      ASSERT_OK(info);
      const ShardInfo& shard = info->shards[random.Below(info->shards.size())];
      if (shard.ending) continue;
      ASSERT_OK(store_->SplitShard(stream_, shard.id));
      ++splits_;
    }
  }

  // One worker after another, each under a name of its own: most die without a word.
  void Consume(int thread) {
    Random random(MixSeed(TestSeed(), 20 + static_cast<uint64_t>(thread)));
    for (int life = 0;; ++life) {
      const std::string id = std::to_string(thread) + "." + std::to_string(life);
      auto worker = ConsumerWorker::Open(*store_, "copy", stream_, id,
                                         {.start = GetParam().start,
                                          .lease_ms = 150,
                                          .retry_ms = 5,
                                          .limits = {.records_max = random.Between(1, 40)}});
      ASSERT_OK(worker);
      for (uint64_t batches = random.Between(1, 60); batches > 0; --batches) {
        const auto batch = (*worker)->Next(20);
        ASSERT_OK(batch);
        if ((*worker)->finished()) return;
        if (!*batch) continue;
        ASSERT_FALSE((*batch)->gap.has_value());
        if (random.OneIn(12)) {  // Whoever has the shard then gets it again.
          ASSERT_OK((*worker)->Fail(**batch, "a bad day"));
          continue;
        }
        const auto kept = ApplyToCopy(**worker, kGameKeys, **batch);
        ASSERT_OK(kept);
        lost_ += *kept == CheckpointOutcome::kLeaseLost;
      }
      if (random.OneIn(3)) {
        ASSERT_OK((*worker)->Release());
      }
    }
  }

  TempDir temp_;
  std::unique_ptr<Store> store_;
  StreamId stream_;
  std::atomic<int> written_{0};
  std::atomic<int> splits_{0};
  std::atomic<int> lost_{0};
};

INSTANTIATE_TEST_SUITE_P(Cases, ConsumerRaceTest,
                         ::testing::Values(Case{Durability::kBuffered, ConsumerStart::kTrimHorizon},
                                           Case{Durability::kBuffered, ConsumerStart::kBootstrap},
                                           Case{Durability::kSync, ConsumerStart::kBootstrap}),
                         CaseName);

TEST_P(ConsumerRaceTest, EveryChangeHasItsEffectOnce) {
  // What a bootstrap finds; others read it from the stream.
  for (int64_t id = 0; id < kGames; id += 2) {
    ASSERT_OK(store_->Put("UserGames", Game(id, "first")));
  }
  std::vector<std::thread> writers;
  for (int i = 0; i < kWriters; ++i) writers.emplace_back([this, i] { Write(i); });
  std::thread splitter([this] { Split(); });
  std::vector<std::thread> workers;
  for (int i = 0; i < kWorkers; ++i) workers.emplace_back([this, i] { Consume(i); });
  for (std::thread& writer : writers) writer.join();
  splitter.join();
  if (GetParam().start == ConsumerStart::kBootstrap) {
    // A stream that ends takes the rest of the bootstrap with it.
    while (!HasFailure()) {
      const auto info = DescribeConsumer(*store_, "copy");
      if (info.ok() && !info->bootstrapping) break;
      std::this_thread::yield();
    }
  }
  ASSERT_OK(store_->DisableStream("UserGames"));
  for (std::thread& worker : workers) worker.join();
  if (HasFailure()) return;
  EXPECT_EQ(ReadTable(*store_, kCopyTable), ReadTable(*store_, "UserGames"));
  EXPECT_EQ(store_->DescribeStream(stream_)->shards.size(), 2u + 2u * kSplits);
  RecordProperty("leases_lost", lost_.load());
}

}  // namespace
}  // namespace tailrace::test
