// A consumer on a simulated disk whose power is cut, or whose process is killed, at any operation:
// what its handler derives from the stream, written together with its checkpoints, is exactly what
// a recomputation gives.
#include <map>

#include "tests/engine/consumer_fixture.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "tests/support/sim_fs.h"

namespace tailrace::test {
namespace {

constexpr char kDirectory[] = "/store";
constexpr int64_t kGames = 60;

struct Case {
  Durability durability;
  ConsumerStart start;
};

std::string CaseName(const ::testing::TestParamInfo<Case>& info) {
  return std::string(info.param.durability == Durability::kSync ? "Sync" : "Buffered") +
         (info.param.start == ConsumerStart::kBootstrap ? "Bootstrap" : "TrimHorizon");
}

class ConsumerCrashTest : public ::testing::TestWithParam<Case> {
 protected:
  ConsumerCrashTest()
      : random_(MixSeed(TestSeed(), static_cast<uint64_t>(GetParam().durability) * 10 +
                                        static_cast<uint64_t>(GetParam().start))),
        fs_(SimFsOptions{.disk = {.ordered_directories = {std::string(kDirectory) + "/items"}}}) {}

  Status Open() {
    StoreOptions options = SmallOptions(clock_, GetParam().durability);
    options.fs = &fs_;
    options.shards_per_stream = 2;
    options.journal_segment_bytes = 64 << 10;
    options.generation_bytes_max = 4 << 10;
    options.journal_bytes_max = 1 << 20;
    options.block_cache_bytes = 1 << 20;
    options.item_cache_bytes = 1 << 20;
    auto store = Store::Open(kDirectory, options);
    if (store.ok()) store_ = std::move(*store);
    return store.status();
  }

  // The power is cut, or the process killed, and the store opened again.
  void Crash() {
    if (!fs_.power_is_cut()) fs_.CutPowerAt(1, CrashMoment::kBefore);
    worker_.reset();
    store_.reset();
    if (GetParam().durability == Durability::kBuffered && random_.OneIn(2)) {
      fs_.KillProcess();
    } else {
      using Keep = CrashChoice::Keep;
      constexpr Keep kKeeps[] = {Keep::kNone, Keep::kAll, Keep::kRandomUnits, Keep::kRandomPieces};
      fs_.CutPower({.keep = kKeeps[random_.Below(std::size(kKeeps))],
                    .argument = random_.Next(),
                    .fill = static_cast<CrashChoice::Fill>(random_.Below(3))});
    }
    ASSERT_OK(Open());
  }

  void MakeTables() {
    ASSERT_OK(store_->CreateTable(
        {.name = "UserGames", .keys = kGameKeys, .stream = ViewType::kNewAndOldImages}));
    ASSERT_OK(store_->CreateTable({.name = kCopyTable, .keys = kGameKeys}));
    stream_ = *store_->DescribeTable("UserGames")->latest_stream;
    for (int64_t id = 0; id < kGames; id += 2) {
      ASSERT_OK(store_->Put("UserGames", Game(id, "first")));
    }
    ASSERT_OK(OpenWorker());  // The consumer is there from the beginning.
    ASSERT_OK(store_->Checkpoint());
  }

  Status OpenWorker() {
    auto worker = ConsumerWorker::Open(
        *store_, "copy", stream_, "worker",
        {.start = GetParam().start, .limits = {.records_max = random_.Between(1, 12)}});
    if (worker.ok()) worker_ = std::move(*worker);
    return worker.status();
  }

  Status ChangeSomething() {
    const auto id = static_cast<int64_t>(random_.Below(kGames));
    switch (random_.Below(12)) {
      case 0:
        return store_->Checkpoint();
      case 1: {
        TAILRACE_ASSIGN_OR_RETURN(const StreamInfo info, store_->DescribeStream(stream_));
        const ShardInfo& shard = info.shards[random_.Below(info.shards.size())];
        if (shard.ending || info.shards.size() > 12) return Status::Ok();
        return store_->SplitShard(stream_, shard.id).status();
      }
      case 2:
      case 3:
      case 4:
        return store_->Delete("UserGames", GameKey(id)).status();
      default:
        return store_->Put("UserGames", Game(id, "user " + std::to_string(++writes_))).status();
    }
  }

  // A batch, with its effect. True: there was one.
  Result<bool> Consume() {
    if (!worker_) TAILRACE_RETURN_IF_ERROR(OpenWorker());
    TAILRACE_ASSIGN_OR_RETURN(const auto batch, worker_->Next(0));
    if (!batch) return false;
    EXPECT_FALSE(batch->gap.has_value());
    TAILRACE_ASSIGN_OR_RETURN(const CheckpointOutcome outcome,
                              ApplyToCopy(*worker_, kGameKeys, *batch));
    EXPECT_EQ(outcome, CheckpointOutcome::kStored);
    return true;
  }

  // Whether the failure may be a crash's doing. Busy: the journal is at its limit, and the power
  // went in the checkpoint that would have made room.
  bool IsOfACrash(const Status& status) const {
    return fs_.power_is_cut() &&
           (status.code() == StatusCode::kIoError || status.code() == StatusCode::kReadOnly ||
            status.code() == StatusCode::kOutcomeUnknown || status.code() == StatusCode::kClosed ||
            status.code() == StatusCode::kBusy);
  }

  void CatchUp() {
    ASSERT_OK(store_->WaitFannedOut({store_->Stats()->safe}));
    while (true) {
      const auto more = Consume();
      ASSERT_OK(more);
      if (!*more) return;
    }
  }

  Random random_;
  SimClock clock_;
  SimFs fs_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<ConsumerWorker> worker_;
  StreamId stream_;
  uint64_t writes_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Cases, ConsumerCrashTest,
                         ::testing::Values(Case{Durability::kSync, ConsumerStart::kTrimHorizon},
                                           Case{Durability::kSync, ConsumerStart::kBootstrap},
                                           Case{Durability::kBuffered, ConsumerStart::kTrimHorizon},
                                           Case{Durability::kBuffered, ConsumerStart::kBootstrap}),
                         CaseName);

TEST_P(ConsumerCrashTest, TheDerivedTableIsARecomputation) {
  constexpr int kCrashes = 60;
  ASSERT_OK(Open());
  MakeTables();
  int interrupted = 0;
  int caught_up = 0;
  for (int crash = 0; crash < kCrashes; ++crash) {
    SCOPED_TRACE(crash);
    fs_.CutPowerAt(random_.Between(1, 40),
                   random_.OneIn(4) ? CrashMoment::kBefore : CrashMoment::kDuring);
    for (int i = 0; i < 40; ++i) {
      if (random_.OneIn(2)) {
        const Status changed = ChangeSomething();
        if (changed.ok()) continue;
        ASSERT_TRUE(IsOfACrash(changed)) << changed.ToString();
        break;
      }
      const auto consumed = Consume();
      if (consumed.ok()) continue;
      ASSERT_TRUE(IsOfACrash(consumed.status())) << consumed.status().ToString();
      ++interrupted;
      break;
    }
    Crash();
    if (HasFailure()) return;
    if (!random_.OneIn(5)) continue;
    CatchUp();
    ASSERT_EQ(ReadTable(*store_, kCopyTable), ReadTable(*store_, "UserGames"));
    ++caught_up;
  }
  EXPECT_GT(interrupted, 0) << "no crash hit the consumer";
  EXPECT_GT(caught_up, 0);
  CatchUp();
  EXPECT_EQ(ReadTable(*store_, kCopyTable), ReadTable(*store_, "UserGames"));
  const auto info = DescribeConsumer(*store_, "copy");
  ASSERT_OK(info);
  for (const ConsumerShard& shard : info->shards) EXPECT_EQ(shard.lag_records, 0u);
}

}  // namespace
}  // namespace tailrace::test
