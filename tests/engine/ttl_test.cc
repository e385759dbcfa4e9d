// Time to live: what expires and what does not, that the deletion looks again, who it is by in each
// view, and what becomes of it in a crash.
#include <algorithm>
#include <set>
#include <thread>

#include "engine/expiry.h"
#include "engine/expiry_queue.h"
#include "engine/item_codec.h"
#include "tests/engine/store_fixture.h"

namespace tailrace::test {
namespace {

constexpr char kTable[] = "Sessions";
constexpr char kAttribute[] = "expires_at";

Item SessionKey(int64_t id) { return Item{{"id", Value::N(id)}}; }
Item Session(int64_t id, Value expires_at) {
  return Item{{"id", Value::N(id)}, {kAttribute, std::move(expires_at)}};
}

// ---- The rules, on bytes ----

TEST(ExpiryTest, OnlyANumberThatIsNotNegativeCounts) {
  const auto expiry = [](Value value) {
    return engine::ExpiryOf(EncodeItem(Session(1, std::move(value))), kAttribute);
  };
  const auto number = [&](const char* text) { return expiry(Value::N(*Number::Parse(text))); };
  EXPECT_EQ(number("0"), 0u);
  EXPECT_EQ(number("1588982400"), 1'588'982'400u);
  EXPECT_EQ(number("1588982400.999"), 1'588'982'400u);
  EXPECT_EQ(number("1.5889824E+9"), 1'588'982'400u);
  EXPECT_EQ(number("9223372036854775807"), 9'223'372'036'854'775'807u);
  EXPECT_EQ(number("9223372036854775808"), std::nullopt);
  EXPECT_EQ(number("1E+125"), std::nullopt);
  EXPECT_EQ(number("-1"), std::nullopt);
  EXPECT_EQ(number("-0.5"), std::nullopt);
  EXPECT_EQ(expiry(Value::S("1588982400")), std::nullopt);
  EXPECT_EQ(expiry(Value::Bool(true)), std::nullopt);
  EXPECT_EQ(expiry(Value::Null()), std::nullopt);
}

TEST(ExpiryTest, TheAttributeIsFoundAmongOthers) {
  for (const char* name : {"a", "expires_a", "expires_at", "expires_at2", "z", "id"}) {
    const Item item{{"a", Value::N(1)},
                    {"expires_a", Value::N(2)},
                    {"expires_at", Value::N(3)},
                    {"z", Value::N(4)}};
    const auto* number = item.GetNumber(name);
    const auto found = engine::ExpiryOf(EncodeItem(item), name);
    EXPECT_EQ(found.has_value(), number != nullptr) << name;
    if (number != nullptr) {
      EXPECT_EQ(static_cast<int64_t>(*found), number->ToInt64());
    }
  }
}

TEST(ExpiryTest, AnyBytesAreSafe) {
  const std::string good = EncodeItem(Session(1, Value::N(1'588'982'400)));
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    (void)engine::ExpiryOf(bad, kAttribute);
  }
  for (size_t size = 0; size < good.size(); ++size) {
    (void)engine::ExpiryOf(ByteView(good).substr(0, size), kAttribute);
  }
}

TEST(ExpiryTest, ASecondIsOverBeforeItExpiresAndFiveYearsAreTheLimit) {
  EXPECT_FALSE(engine::IsExpired(100, 99'999));
  EXPECT_FALSE(engine::IsExpired(100, 100'999));
  EXPECT_TRUE(engine::IsExpired(100, 101'000));
  EXPECT_TRUE(engine::IsExpired(100, (100 + engine::kExpiryAgeMaxS) * 1000));
  EXPECT_FALSE(engine::IsExpired(100, (101 + engine::kExpiryAgeMaxS) * 1000));
  EXPECT_FALSE(engine::IsExpired(INT64_MAX, 100'000));
}

// ---- The queue ----

TEST(ExpiryQueueTest, GivesWhatIsDueByTimeAndForgetsTheLatest) {
  engine::ExpiryQueue queue(10 * 160);
  const TableId table{1};
  for (uint64_t i = 0; i < 100; ++i) queue.Note(table, "key" + std::to_string(i), 1000 - i);
  EXPECT_LE(queue.size(), 12u);
  EXPECT_GE(queue.size(), 8u);
  const uint64_t complete_until = queue.complete_until_s();
  EXPECT_EQ(complete_until, 901 + queue.size()) << "what was forgotten expires from here on";
  EXPECT_FALSE(queue.PopDue(901).has_value());
  uint64_t last = 0;
  while (const auto due = queue.PopDue(2000)) {
    EXPECT_LT(last, due->expiry_s);
    EXPECT_LT(due->expiry_s, complete_until);
    last = due->expiry_s;
  }
  queue.Restart();
  EXPECT_EQ(queue.complete_until_s(), UINT64_MAX);
}

TEST(ExpiryQueueTest, ANoteReplacesAndAnOfferOnlyGoesBack) {
  engine::ExpiryQueue queue(1 << 20);
  const TableId table{1};
  queue.Note(table, "a", 10);
  queue.Note(table, "a", 30);
  queue.Offer(table, "a", 40);
  EXPECT_FALSE(queue.PopDue(30).has_value());
  queue.Offer(table, "a", 20);
  queue.Note(TableId{2}, "a", 25);
  EXPECT_EQ(queue.size(), 2u);
  EXPECT_EQ(queue.PopDue(30)->table, table);
  EXPECT_EQ(queue.PopDue(30)->table, TableId{2});
  queue.Note(table, "b", 10);
  queue.Note(table, "b", std::nullopt);
  EXPECT_EQ(queue.size(), 0u);
}

// ---- The store ----

class TtlTest : public StoreTest {
 protected:
  uint64_t NowS() const { return clock_.WallMs() / 1000; }
  Value InSeconds(int64_t seconds) const {
    return Value::N(static_cast<int64_t>(NowS()) + seconds);
  }
  void MakeSessions(std::optional<ViewType> stream = std::nullopt) {
    ASSERT_OK(store_->CreateTable(
        {.name = kTable, .keys = {{"id", ScalarType::kN}, std::nullopt}, .stream = stream}));
  }
  void Put(int64_t id, Value expires_at) {
    ASSERT_OK(store_->Put(kTable, Session(id, std::move(expires_at))));
  }
  std::set<int64_t> Ids() {
    std::set<int64_t> ids;
    for (const Item& item : ReadTable(*store_, kTable))
      ids.insert(*item.GetNumber("id")->ToInt64());
    return ids;
  }
};

INSTANTIATE_TEST_SUITE_P(Durabilities, TtlTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

TEST_P(TtlTest, ExpiredItemsStayVisibleUntilTheyAreSwept) {
  Open();
  MakeSessions();
  Put(1, InSeconds(-10));  // From before it was enabled.
  Put(2, InSeconds(10));
  ASSERT_OK(store_->UpdateTimeToLive(kTable, kAttribute));
  Put(3, InSeconds(-20));
  Put(4, InSeconds(20));
  Put(5, InSeconds(0));  // Its second is not over.
  EXPECT_EQ(Ids(), (std::set<int64_t>{1, 2, 3, 4, 5}));
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(Ids(), (std::set<int64_t>{2, 4, 5}));
  clock_.Advance(11'000);
  EXPECT_EQ(Ids(), (std::set<int64_t>{2, 4, 5}));
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(Ids(), (std::set<int64_t>{4}));
  clock_.Advance(10'000);
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(Ids(), (std::set<int64_t>{}));
}

TEST_P(TtlTest, WhatIsNoTimeOrTooLongPastStays) {
  Open();
  MakeSessions();
  ASSERT_OK(store_->UpdateTimeToLive(kTable, kAttribute));
  Put(1, Value::S(std::to_string(NowS() - 10)));
  Put(2, Value::Null());
  Put(3, Value::N(0));
  Put(4, InSeconds(-static_cast<int64_t>(engine::kExpiryAgeMaxS) - 2));
  Put(5, InSeconds(-static_cast<int64_t>(engine::kExpiryAgeMaxS) + 60));
  Put(6, Value::N(*Number::Parse("-5")));
  ASSERT_OK(store_->Put(kTable, SessionKey(7)));
  ASSERT_OK(store_->Put(kTable, Item{{"id", Value::N(8)}, {"other", InSeconds(-10)}}));
  for (int round = 0; round < 2; ++round) {
    ASSERT_OK(store_->RunMaintenance());
    EXPECT_EQ(Ids(), (std::set<int64_t>{1, 2, 3, 4, 6, 7, 8}));
    if (round == 0) Reopen();  // Scanned, where writes told of them before.
  }
}

TEST_P(TtlTest, TheStateIsShownAndSurvives) {
  Open();
  MakeSessions();
  EXPECT_EQ(store_->DescribeTable(kTable)->time_to_live_attribute, std::nullopt);
  EXPECT_EQ(store_->UpdateTimeToLive(kTable, std::nullopt).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(store_->UpdateTimeToLive("Nothing", kAttribute).code(), StatusCode::kNotFound);
  EXPECT_EQ(store_->UpdateTimeToLive(kTable, "").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->UpdateTimeToLive(kTable, std::string(256, 'x')).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->UpdateTimeToLive(kTable, "\xff").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->UpdateTimeToLive("_tailrace.transactions", kAttribute).code(),
            StatusCode::kInvalidArgument);
  ASSERT_OK(store_->UpdateTimeToLive(kTable, kAttribute));
  EXPECT_EQ(store_->UpdateTimeToLive(kTable, kAttribute).message(),
            "TimeToLive is already enabled");
  EXPECT_EQ(store_->UpdateTimeToLive(kTable, "other").message(),
            "TimeToLive is active on a different AttributeName: current AttributeName is "
            "expires_at");
  CopyStore(directory_, temp_.path() + "/died");  // The frame is in the journal alone.
  for (const bool died : {true, false}) {
    if (died) directory_ = temp_.path() + "/died";
    if (died) Close();
    died ? Open() : Reopen();
    EXPECT_EQ(store_->DescribeTable(kTable)->time_to_live_attribute, kAttribute);
    EXPECT_EQ(store_->ListTables()->front().time_to_live_attribute, kAttribute);
  }
  ASSERT_OK(store_->UpdateTimeToLive(kTable, std::nullopt));
  Reopen();
  EXPECT_EQ(store_->DescribeTable(kTable)->time_to_live_attribute, std::nullopt);
}

TEST_P(TtlTest, DisablingEndsItAndEnablingFindsWhatWasWrittenMeanwhile) {
  Open();
  MakeSessions();
  ASSERT_OK(store_->UpdateTimeToLive(kTable, kAttribute));
  Put(1, InSeconds(5));
  ASSERT_OK(store_->RunMaintenance());
  ASSERT_OK(store_->UpdateTimeToLive(kTable, std::nullopt));
  clock_.Advance(10'000);
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(Ids(), (std::set<int64_t>{1}));
  // Off and on again without a sweep in between.
  ASSERT_OK(store_->UpdateTimeToLive(kTable, kAttribute));
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(Ids(), (std::set<int64_t>{}));
  ASSERT_OK(store_->UpdateTimeToLive(kTable, std::nullopt));
  Put(2, InSeconds(5));
  ASSERT_OK(store_->UpdateTimeToLive(kTable, kAttribute));
  clock_.Advance(10'000);
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(Ids(), (std::set<int64_t>{}));
  // By another attribute.
  ASSERT_OK(store_->UpdateTimeToLive(kTable, std::nullopt));
  Put(3, InSeconds(-5));
  ASSERT_OK(store_->Put(kTable, Item{{"id", Value::N(4)}, {"other", InSeconds(-10)}}));
  ASSERT_OK(store_->UpdateTimeToLive(kTable, "other"));
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(Ids(), (std::set<int64_t>{3}));
}

TEST_P(TtlTest, ADroppedTableIsForgotten) {
  Open();
  MakeSessions();
  ASSERT_OK(store_->UpdateTimeToLive(kTable, kAttribute));
  Put(1, InSeconds(5));
  ASSERT_OK(store_->DropTable(kTable));
  MakeSessions();
  Put(1, InSeconds(5));
  clock_.Advance(10'000);
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(Ids(), (std::set<int64_t>{1})) << "the new table has no time to live";
}

TEST_P(TtlTest, TheRecordSaysWhoDeletedInEachView) {
  Open();
  for (const ViewType view : {ViewType::kKeysOnly, ViewType::kNewImage, ViewType::kOldImage,
                              ViewType::kNewAndOldImages}) {
    SCOPED_TRACE(std::string(ViewTypeName(view)));
    MakeSessions(view);
    ASSERT_OK(store_->UpdateTimeToLive(kTable, kAttribute));
    Put(1, InSeconds(-5));
    Put(2, InSeconds(-5));
    ASSERT_OK(store_->Delete(kTable, SessionKey(2)));  // By a caller, though it is expired.
    const Item item = Session(1, InSeconds(-5));
    ASSERT_OK(store_->RunMaintenance());
    EXPECT_TRUE(Ids().empty());  // What is shown is safe, so the stream may have it.
    const StreamId stream = LatestStream(kTable);
    const auto check = [&] {
      int by_service = 0;
      int by_user = 0;
      for (const ChangeRecord& record : ReadStream(*store_, stream)) {
        if (record.kind != ChangeKind::kRemove) {
          EXPECT_EQ(record.actor, Actor::kUser);
          continue;
        }
        ++(record.actor == Actor::kTimeToLive ? by_service : by_user);
        if (record.actor != Actor::kTimeToLive) continue;
        EXPECT_EQ(record.keys, SessionKey(1));
        EXPECT_EQ(record.new_image, std::nullopt);
        const bool shows_old = view == ViewType::kOldImage || view == ViewType::kNewAndOldImages;
        EXPECT_EQ(record.old_image, shows_old ? std::optional<Item>(item) : std::nullopt);
      }
      EXPECT_EQ(by_service, 1);
      EXPECT_EQ(by_user, 1);
    };
    check();
    Reopen();
    check();
    ASSERT_OK(store_->DropTable(kTable));
  }
}

TEST_P(TtlTest, ASweepCostsWhatThereIsToDelete) {
  Open();
  MakeSessions();
  ASSERT_OK(store_->UpdateTimeToLive(kTable, kAttribute));
  constexpr int64_t kItems = 2000;
  for (int64_t id = 0; id < kItems; ++id) {
    ASSERT_OK(store_->Put(kTable, Session(id, InSeconds(1 + id)), {.wait = WaitFor::kNothing}));
  }
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(store_->Stats()->expiry_items_scanned, static_cast<uint64_t>(kItems));
  for (int64_t second = 1; second <= 20; ++second) {
    ASSERT_OK(store_->RunMaintenance());
    ASSERT_OK(store_->RunMaintenance());
    clock_.Advance(1000);
    EXPECT_EQ(store_->Stats()->expired_items_deleted,
              static_cast<uint64_t>(std::max<int64_t>(0, second - 2)));
  }
  EXPECT_EQ(store_->Stats()->expiry_items_scanned, static_cast<uint64_t>(kItems))
      << "what expires next is known without looking at the rest";
  EXPECT_EQ(Ids().size(), static_cast<size_t>(kItems - 18));
}

TEST_P(TtlTest, MoreThanTheQueueHoldsExpiresAllTheSame) {
  options_.expiry_queue_bytes_max = 4 << 10;  // A few dozen.
  Open();
  MakeSessions(ViewType::kKeysOnly);
  ASSERT_OK(store_->UpdateTimeToLive(kTable, kAttribute));
  constexpr int64_t kItems = 1500;
  for (int64_t id = 0; id < kItems; ++id) {
    ASSERT_OK(
        store_->Put(kTable, Session(id, InSeconds(1 + id % 100)), {.wait = WaitFor::kNothing}));
  }
  for (int step = 0; step < 5; ++step) {
    clock_.Advance(20'000);
    ASSERT_OK(store_->RunMaintenance());
    const int64_t expired_of_100 = 20 * (step + 1) - 1;  // Those of this second are not over.
    EXPECT_EQ(Ids().size(), static_cast<size_t>(kItems / 100 * (100 - expired_of_100)));
  }
  clock_.Advance(1'000);
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_TRUE(Ids().empty());
  size_t removed = 0;
  for (const ChangeRecord& record : ReadStream(*store_, LatestStream(kTable))) {
    removed += record.kind == ChangeKind::kRemove && record.actor == Actor::kTimeToLive;
  }
  EXPECT_EQ(removed, static_cast<size_t>(kItems));
}

// A crash after some of the deletions: they stand or are made again, each once.
TEST_P(TtlTest, ASweepThatACrashCutShortIsFinishedByTheNext) {
  const std::string died = temp_.path() + "/died";
  int deletions = 0;
  options_.on_pause_point = [&](PausePoint point) {
    if (point == PausePoint::kBeforeExpiryDelete && ++deletions == 40) CopyStore(directory_, died);
  };
  Open();
  MakeSessions(ViewType::kOldImage);
  ASSERT_OK(store_->UpdateTimeToLive(kTable, kAttribute));
  for (int64_t id = 0; id < 100; ++id) Put(id, InSeconds(id < 80 ? -5 : 5));
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(deletions, 80);
  EXPECT_EQ(Ids().size(), 20u);
  Close();
  directory_ = died;
  Open();
  const size_t left = Ids().size();
  EXPECT_GE(left, 61u) << "39 were deleted before the crash";
  EXPECT_LE(left, 100u);
  if (GetParam() == Durability::kBuffered) {
    EXPECT_EQ(left, 61u);
  }
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(Ids().size(), 20u);
  std::multiset<int64_t> removed;
  for (const ChangeRecord& record : ReadStream(*store_, LatestStream(kTable))) {
    if (record.kind == ChangeKind::kRemove) removed.insert(*record.keys.GetNumber("id")->ToInt64());
  }
  EXPECT_EQ(removed.size(), 80u);
  EXPECT_EQ(std::set<int64_t>(removed.begin(), removed.end()).size(), 80u);
  store_.reset();
}

// ---- Races: something happens between the sweep's look at an item and its deletion ----

class TtlRaceTest : public TtlTest {
 protected:
  // Sweeps; at the first deletion, `meanwhile` runs in another thread, as a caller's would.
  void SweepWith(const std::function<void()>& meanwhile) {
    bool ran = false;
    race_ = [&] {
      if (std::exchange(ran, true)) return;
      std::thread(meanwhile).join();
    };
    ASSERT_OK(store_->RunMaintenance());
    race_ = nullptr;
    EXPECT_TRUE(ran);
  }
  void OpenWithRaces() {
    options_.on_pause_point = [this](PausePoint point) {
      if (point == PausePoint::kBeforeExpiryDelete && race_) race_();
    };
    Open();
  }
  ~TtlRaceTest() override { store_.reset(); }  // While there is something to call.

  std::function<void()> race_;
};

INSTANTIATE_TEST_SUITE_P(Durabilities, TtlRaceTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

TEST_P(TtlRaceTest, AnItemRenewedInBetweenStaysAndExpiresLater) {
  for (const bool scanned : {false, true}) {
    OpenWithRaces();
    MakeSessions(ViewType::kNewAndOldImages);
    if (scanned) Put(1, InSeconds(-5));
    ASSERT_OK(store_->UpdateTimeToLive(kTable, kAttribute));
    if (!scanned) Put(1, InSeconds(-5));
    SweepWith([&] { Put(1, InSeconds(30)); });
    EXPECT_EQ(Ids(), (std::set<int64_t>{1}));
    for (const ChangeRecord& record : ReadStream(*store_, LatestStream(kTable))) {
      EXPECT_NE(record.kind, ChangeKind::kRemove);
    }
    clock_.Advance(31'000);
    ASSERT_OK(store_->RunMaintenance());
    EXPECT_EQ(Ids(), (std::set<int64_t>{})) << "its new time is known";
    ASSERT_OK(store_->DropTable(kTable));
    Close();
  }
}

TEST_P(TtlRaceTest, DisabledInBetweenNothingIsDeleted) {
  OpenWithRaces();
  MakeSessions();
  ASSERT_OK(store_->UpdateTimeToLive(kTable, kAttribute));
  for (int64_t id = 0; id < 10; ++id) Put(id, InSeconds(-5));
  SweepWith([&] { ASSERT_OK(store_->UpdateTimeToLive(kTable, std::nullopt)); });
  EXPECT_EQ(Ids().size(), 10u);
}

TEST_P(TtlRaceTest, GoneInBetweenIsNoRecordOfTheServices) {
  OpenWithRaces();
  MakeSessions(ViewType::kKeysOnly);
  ASSERT_OK(store_->UpdateTimeToLive(kTable, kAttribute));
  Put(1, InSeconds(-5));
  SweepWith([&] { ASSERT_OK(store_->Delete(kTable, SessionKey(1))); });
  for (const ChangeRecord& record : ReadStream(*store_, LatestStream(kTable))) {
    EXPECT_EQ(record.actor, Actor::kUser);
  }
}

TEST_P(TtlRaceTest, TheTableDroppedInBetweenEndsTheSweepInPeace) {
  OpenWithRaces();
  MakeSessions();
  ASSERT_OK(store_->UpdateTimeToLive(kTable, kAttribute));
  for (int64_t id = 0; id < 10; ++id) Put(id, InSeconds(-5));
  SweepWith([&] {
    ASSERT_OK(store_->DropTable(kTable));
    MakeSessions();
    Put(1, InSeconds(-5));
  });
  EXPECT_EQ(Ids(), (std::set<int64_t>{1}));
}

// ---- By itself ----

TEST_P(TtlTest, UpkeepSweepsByItselfAtItsPace) {
  options_.maintenance_interval_ms = 1;
  options_.expiry_items_per_second = 100'000;
  Open();
  MakeSessions(ViewType::kKeysOnly);
  ASSERT_OK(store_->UpdateTimeToLive(kTable, kAttribute));
  for (int64_t id = 0; id < 50; ++id) Put(id, InSeconds(-5));
  const StreamId stream = LatestStream(kTable);
  const auto shards = store_->DescribeStream(stream)->shards;
  size_t removed = 0;
  std::vector<Position> positions;
  for (const ShardInfo& shard : shards) {
    positions.push_back(*store_->SeekShard(stream, shard.id, StartAt::kTrimHorizon));
  }
  while (removed < 50) {
    for (Position& position : positions) {
      const auto page = store_->ReadShard(position);
      ASSERT_OK(page);
      position = page->next;
      for (const ChangeRecord& record : page->records) {
        removed += record.kind == ChangeKind::kRemove && record.actor == Actor::kTimeToLive;
      }
    }
    if (removed < 50) {
      ASSERT_TRUE(*store_->WaitShards(positions, 60'000));
    }
  }
  EXPECT_TRUE(Ids().empty());
}

}  // namespace
}  // namespace tailrace::test
