// Transactions on a simulated disk whose power is cut, or whose process is killed, at any
// operation: each is there whole or not at all, together with its token, and sending one again with
// its token makes it happen exactly once.
#include <map>

#include "tests/engine/store_fixture.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "tests/support/sim_fs.h"

namespace tailrace::test {
namespace {

constexpr char kDirectory[] = "/store";

class TransactionCrashTest : public ::testing::TestWithParam<Durability> {
 protected:
  TransactionCrashTest()
      : random_(MixSeed(TestSeed(), static_cast<uint64_t>(GetParam()))),
        fs_(SimFsOptions{.disk = {.ordered_directories = {std::string(kDirectory) + "/items"}}}) {}

  Status Open() {
    StoreOptions options = SmallOptions(clock_, GetParam());
    options.fs = &fs_;
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
    store_.reset();
    if (GetParam() == Durability::kBuffered && random_.OneIn(2)) {
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
    for (const char* table : {"Left", "Right"}) {
      ASSERT_OK(store_->CreateTable(
          {.name = table, .keys = kGameKeys, .stream = ViewType::kNewAndOldImages}));
    }
    // So that the table of tokens is not made while the power is cut.
    ASSERT_OK(store_->Transact({WriteRequest::Delete("Left", GameKey(0))},
                               {.idempotency_token = "first"}));
    ASSERT_OK(store_->Checkpoint());
  }

  static Status Count(std::optional<Item>& item) {
    const int64_t before =
        item->GetNumber("count") == nullptr ? 0 : item->GetNumber("count")->ToInt64().value();
    item->Set("count", Value::N(before + 1));
    return Status::Ok();
  }
  static Updater CountAt(int64_t id) {
    return [id](std::optional<Item>& item) {
      if (!item) item = GameKey(id);
      return Count(item);
    };
  }

  // Transaction number n, which counts in both tables and leaves an item of its own.
  Result<TransactResult> Send(uint64_t n) {
    const auto id = static_cast<int64_t>(n);
    return store_->Transact({WriteRequest::Update("Left", GameKey(0), CountAt(0)),
                             WriteRequest::Update("Right", GameKey(0), CountAt(0)),
                             WriteRequest::Put("Right", Game(id, std::string(400, 'x')))},
                            {.idempotency_token = "transaction " + std::to_string(n)});
  }

  // How many transactions there are, if each is whole.
  void ReadCount(uint64_t& count) {
    const auto items = store_->TransactGet({{"Left", GameKey(0)}, {"Right", GameKey(0)}});
    ASSERT_OK(items);
    ASSERT_EQ((*items)[0], (*items)[1]);
    const auto& counter = (*items)[0];
    count = counter ? static_cast<uint64_t>(counter->GetNumber("count")->ToInt64().value()) : 0;
    ASSERT_EQ(ReadTable(*store_, "Right").size(), count == 0 ? 0 : count + 1);
    for (uint64_t n = 1; n <= count; ++n) {
      ASSERT_TRUE(store_->Get("Right", GameKey(static_cast<int64_t>(n)))->has_value()) << n;
    }
  }

  void VerifyStreams(uint64_t count) {
    std::map<SequenceNumber, uint64_t> records;
    for (const char* table : {"Left", "Right"}) {
      const auto stream = store_->DescribeTable(table)->latest_stream;
      for (const ChangeRecord& record : ReadStream(*store_, *stream)) {
        ASSERT_EQ(record.commit_changes, 3u);
        ++records[record.commit];
      }
    }
    ASSERT_EQ(records.size(), count);
    for (const auto& [commit, found] : records) ASSERT_EQ(found, 3u);
  }

  Random random_;
  SimClock clock_;
  SimFs fs_;
  std::unique_ptr<Store> store_;
};

INSTANTIATE_TEST_SUITE_P(Durabilities, TransactionCrashTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

TEST_P(TransactionCrashTest, EachIsWholeOrAbsentAndHappensOnce) {
  constexpr int kCrashes = 60;
  ASSERT_OK(Open());
  MakeTables();
  uint64_t sent = 0;  // All below were answered.
  uint64_t interrupted = 0;
  uint64_t found_unanswered = 0;
  uint64_t lost = 0;
  for (int crash = 0; crash < kCrashes; ++crash) {
    fs_.CutPowerAt(random_.Between(1, 20),
                   random_.OneIn(4) ? CrashMoment::kBefore : CrashMoment::kDuring);
    for (int i = 0; i < 12; ++i) {
      const auto result = Send(sent + 1);
      interrupted += !result.ok();
      if (!result.ok()) break;
      ++sent;
      if (random_.OneIn(6) && !store_->Checkpoint().ok()) break;
    }
    Crash();
    uint64_t count = 0;
    ReadCount(count);
    VerifyStreams(count);
    if (HasFatalFailure()) return;
    ASSERT_LE(count, sent + 1);
    if (GetParam() == Durability::kSync) {
      ASSERT_GE(count, sent);
    }
    found_unanswered += count > sent;
    lost += count < sent;

    // Those that are there are remembered, and nothing else is.
    for (uint64_t n = count > 3 ? count - 3 : 1; n <= count; ++n) {
      const auto again = Send(n);
      ASSERT_OK(again);
      ASSERT_TRUE(again->repeated) << n;
      ASSERT_EQ(again->outcome, WriteOutcome::kApplied);
    }
    const auto next = Send(count + 1);
    ASSERT_OK(next);
    ASSERT_FALSE(next->repeated);
    sent = count + 1;
    ReadCount(count);
    ASSERT_EQ(count, sent);
  }
  EXPECT_GT(interrupted, 0u) << "no crash hit a transaction under way";
  RecordProperty("found_unanswered", static_cast<int>(found_unanswered));
  RecordProperty("lost", static_cast<int>(lost));
  ASSERT_OK(store_->Close());
  ASSERT_OK(Open());
  VerifyStreams(sent);
}

}  // namespace
}  // namespace tailrace::test
