// A table as it was: against copies of a model kept at every commit, with splits, checkpoints,
// reopenings and writers in between; and what no stream can tell.
#include "engine/table_as_of.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <thread>

#include "tests/engine/store_fixture.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"

namespace tailrace::test {
namespace {

using ::testing::HasSubstr;

constexpr char kTable[] = "UserGames";

using Items = std::map<int64_t, Item>;  // By game_id.

int64_t IdOf(const Item& item) { return std::stoll(item.GetNumber("game_id")->ToString()); }

class TableAsOfTest : public StoreTest {
 protected:
  std::unique_ptr<TableAsOf> Then(const Moment& moment, const TableAsOfOptions& options = {}) {
    auto then = TableAsOf::Open(*store_, kTable, moment, options);
    EXPECT_OK(then);
    return then.ok() ? std::move(*then) : nullptr;
  }
  Status Refused(const Moment& moment) {
    const auto then = TableAsOf::Open(*store_, kTable, moment, {});
    EXPECT_FALSE(then.ok());
    return then.status();
  }

  // All pages, at most `items_max` items each.
  Items ScanAll(TableAsOf& then, uint32_t items_max) {
    Items items;
    ScanRequest request{.items_max = items_max};
    std::string last;
    while (true) {
      auto page = then.Scan(request);
      EXPECT_OK(page);
      if (!page.ok()) return items;
      EXPECT_LE(page->items.size(), items_max);
      for (Item& item : page->items) {
        const std::string key = EncodeKeyOfItem(kGameKeys, item).value();
        EXPECT_LT(last, key) << "items come in the order of their keys, each once";
        last = key;
        items.emplace(IdOf(item), item);
      }
      if (!page->last_key) return items;
      request.start_after = page->last_key;
    }
  }

  // The newest sequence number given out.
  SequenceNumber Newest() { return SequenceNumber{store_->Stats()->safe.value - 1}; }

  void ExpectThen(const Moment& moment, const Items& expected, uint32_t items_max) {
    auto then = Then(moment);
    ASSERT_NE(then, nullptr);
    EXPECT_EQ(ScanAll(*then, items_max), expected);
    for (const int64_t id : {0, 3, 17, 39, 1000}) {
      const auto item = then->Get(GameKey(id));
      ASSERT_OK(item);
      const auto found = expected.find(id);
      EXPECT_EQ(*item, found == expected.end() ? std::nullopt : std::optional(found->second));
    }
  }
};

struct Remembered {
  SequenceNumber sequence;
  uint64_t wall_ms = 0;
  Items items;
};

TEST_P(TableAsOfTest, IsWhatItWasAtEveryMoment) {
  Random random(MixSeed(TestSeed(), static_cast<uint64_t>(GetParam())));
  Open();
  ASSERT_OK(store_->CreateTable({.name = kTable, .keys = kGameKeys}));
  Items items;
  for (int64_t id = 0; id < 10; ++id) {  // Older than the stream.
    ASSERT_OK(store_->Put(kTable, Game(id, "old")));
    items[id] = Game(id, "old");
  }
  ASSERT_OK(store_->EnableStream(kTable, ViewType::kNewAndOldImages, {.shards = 2}));
  std::vector<Remembered> moments{{Newest(), clock_.WallMs(), items}};
  for (int step = 0; step < 400; ++step) {
    clock_.Advance(random.Between(1, 1000));
    std::vector<WriteRequest> writes;
    std::map<int64_t, std::optional<Item>> changes;
    for (uint64_t n = random.OneIn(4) ? random.Between(2, 5) : 1; n > 0; --n) {
      const auto id = static_cast<int64_t>(random.Below(40));
      if (!changes.try_emplace(id).second) continue;
      if (random.OneIn(3)) {
        writes.push_back(WriteRequest::Delete(kTable, GameKey(id)));
      } else {
        changes[id] = Game(id, "user" + std::to_string(random.Below(3)));
        writes.push_back(WriteRequest::Put(kTable, *changes[id]));
      }
    }
    const auto result = store_->Transact(writes);
    ASSERT_OK(result);
    for (const auto& [id, item] : changes) {
      if (item) {
        items[id] = *item;
      } else {
        items.erase(id);
      }
    }
    if (result->outcome == WriteOutcome::kApplied) {
      // The number of any change in the commit stands for all of it.
      SequenceNumber one = result->commit;
      for (const WriteResult& each : result->items) {
        if (each.outcome == WriteOutcome::kApplied && random.OneIn(2)) one = each.sequence;
      }
      moments.push_back({one, clock_.WallMs(), items});
    }
    if (random.OneIn(60)) Reopen();
    if (random.OneIn(40)) {
      ASSERT_OK(store_->Checkpoint());
    }
    if (random.OneIn(50)) {
      const auto stream = store_->DescribeStream(LatestStream(kTable));
      ASSERT_OK(stream);
      const ShardInfo& last = stream->shards.back();
      ASSERT_FALSE(last.ending.has_value());
      ASSERT_OK(store_->SplitShard(stream->id, last.id));
    }
  }
  for (int check = 0; check < 60; ++check) {
    const Remembered& moment = moments[random.Below(moments.size())];
    SCOPED_TRACE(moment.sequence.value);
    ExpectThen(Moment::At(moment.sequence), moment.items,
               static_cast<uint32_t>(random.Between(1, 50)));
    ExpectThen(Moment::AtTime(moment.wall_ms), moment.items, 7);
  }
}

TEST_P(TableAsOfTest, WritersGoOnMeanwhile) {
  Open();
  MakeGames(ViewType::kOldImage);
  Items items;
  for (int64_t id = 0; id < 200; ++id) {
    ASSERT_OK(store_->Put(kTable, Game(id, "then")));
    items[id] = Game(id, "then");
  }
  const SequenceNumber moment = Newest();
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (uint64_t turn = 0; !stop; ++turn) {
      const auto id = static_cast<int64_t>(turn * 7 % 300);
      if (turn % 3 == 0) {
        ASSERT_OK(store_->Delete(kTable, GameKey(id)));
      } else {
        ASSERT_OK(store_->Put(kTable, Game(id, "now" + std::to_string(turn))));
      }
      if (turn % 500 == 499 && turn < 20'000) {
        const auto stream = store_->DescribeStream(LatestStream(kTable));
        ASSERT_OK(stream);
        // The writer is the only one that splits, so the last shard is open.
        ASSERT_OK(store_->SplitShard(stream->id, stream->shards.back().id));
      }
    }
  });
  for (int round = 0; round < 8; ++round) ExpectThen(Moment::At(moment), items, 9);
  stop = true;
  writer.join();
  ExpectThen(Moment::At(moment), items, 50);
}

TEST_P(TableAsOfTest, AllThatWasThereAndIsNoMore) {
  Open();
  MakeGames(ViewType::kNewAndOldImages);
  Items items;
  for (int64_t id = 0; id < 50; ++id) {
    ASSERT_OK(store_->Put(kTable, Game(id, "then")));
    items[id] = Game(id, "then");
  }
  const SequenceNumber moment = Newest();
  for (int64_t id = 0; id < 50; ++id) ASSERT_OK(store_->Delete(kTable, GameKey(id)));
  ExpectThen(Moment::At(moment), items, 3);
  ExpectThen(Moment::At(Newest()), {}, 3);
}

TEST_P(TableAsOfTest, WhatNoStreamTells) {
  Open();
  EXPECT_EQ(Refused(Moment::At(SequenceNumber{0})).code(), StatusCode::kNotFound);
  MakeGames(std::nullopt);
  EXPECT_EQ(Refused(Moment::At(SequenceNumber{0})).code(), StatusCode::kFailedPrecondition);
  for (const ViewType view : {ViewType::kKeysOnly, ViewType::kNewImage}) {
    ASSERT_OK(store_->EnableStream(kTable, view));
    const Status refused = Refused(Moment::At(Newest()));
    EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
    EXPECT_THAT(refused.message(), HasSubstr(std::string(ViewTypeName(view))));
    ASSERT_OK(store_->DisableStream(kTable));
  }
  ASSERT_OK(store_->Put(kTable, Game(1, "a")));
  const SequenceNumber before = Newest();
  const uint64_t before_ms = clock_.WallMs();
  clock_.Advance(1000);
  ASSERT_OK(store_->EnableStream(kTable, ViewType::kOldImage));
  EXPECT_EQ(Refused(Moment::At(before)).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(Refused(Moment::AtTime(before_ms)).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(Refused(Moment::At(SequenceNumber{Newest().value + 1})).code(),
            StatusCode::kInvalidArgument);
  ExpectThen(Moment::At(Newest()), {{1, Game(1, "a")}}, 10);
  ExpectThen(Moment::AtTime(UINT64_MAX), {{1, Game(1, "a")}}, 10);
  auto then = Then(Moment::At(Newest()));
  ASSERT_NE(then, nullptr);
  EXPECT_EQ(then->Get(Item{{"wrong", Value::N(1)}}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(then->Scan({.start_after = Item{}}).status().code(), StatusCode::kInvalidArgument);
}

TEST_P(TableAsOfTest, RecordsThatExpiredAreMissed) {
  options_.retention_ms = 3600'000;
  options_.shards_per_stream = 1;
  Open();
  MakeGames(ViewType::kNewAndOldImages);
  ASSERT_OK(store_->Put(kTable, Game(1, "a")));
  const SequenceNumber first = Newest();
  const uint64_t first_ms = clock_.WallMs();
  auto open_since = Then(Moment::At(first));
  clock_.Advance(1000);
  ASSERT_OK(store_->Put(kTable, Game(1, "b")));
  const SequenceNumber second = Newest();
  clock_.Advance(3000'000);
  ASSERT_OK(store_->Put(kTable, Game(1, "c")));
  const SequenceNumber third = Newest();
  clock_.Advance(1000'000);  // "b" has expired, "c" has not.
  ASSERT_OK(store_->RunMaintenance());
  ExpectThen(Moment::At(third), {{1, Game(1, "c")}}, 10);
  ExpectThen(Moment::At(second), {{1, Game(1, "b")}}, 10);
  ExpectThen(Moment::AtTime(clock_.WallMs() - 2000'000), {{1, Game(1, "b")}}, 10);
  EXPECT_THAT(Refused(Moment::At(first)).message(), HasSubstr("it tells of what came behind"));
  EXPECT_THAT(Refused(Moment::AtTime(first_ms)).message(), HasSubstr("expired"));
  ASSERT_NE(open_since, nullptr);
  EXPECT_EQ(open_since->Get(GameKey(1)).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(open_since->Scan({}).status().code(), StatusCode::kFailedPrecondition);
  clock_.Advance(10'000'000);  // Nothing is left; the last hour is known to be quiet.
  ASSERT_OK(store_->RunMaintenance());
  ExpectThen(Moment::AtTime(clock_.WallMs() - 1000), {{1, Game(1, "c")}}, 10);
  EXPECT_THAT(Refused(Moment::AtTime(first_ms)).message(), HasSubstr("expired"));
}

TEST_P(TableAsOfTest, EndsWithItsTableAndItsStream) {
  Open();
  MakeGames(ViewType::kNewAndOldImages);
  ASSERT_OK(store_->Put(kTable, Game(1, "a")));
  auto then = Then(Moment::At(Newest()));
  ASSERT_OK(store_->DisableStream(kTable));
  EXPECT_EQ(then->Get(GameKey(1)).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(then->Scan({}).status().code(), StatusCode::kFailedPrecondition);
  ASSERT_OK(store_->EnableStream(kTable, ViewType::kNewAndOldImages));
  then = Then(Moment::At(Newest()));
  ASSERT_OK(store_->DropTable(kTable));
  EXPECT_EQ(then->Get(GameKey(1)).status().code(), StatusCode::kNotFound);
  MakeGames(ViewType::kNewAndOldImages);
  EXPECT_EQ(then->Get(GameKey(1)).status().code(), StatusCode::kFailedPrecondition);
}

TEST_P(TableAsOfTest, TheMemoryOfAScanHasALimit) {
  Open();
  MakeGames(ViewType::kNewAndOldImages);
  Items items;
  for (int64_t id = 0; id < 30; ++id) {
    ASSERT_OK(store_->Put(kTable, Game(id, "then")));
    items[id] = Game(id, "then");
  }
  const SequenceNumber moment = Newest();
  for (int64_t id = 0; id < 30; ++id) ASSERT_OK(store_->Put(kTable, Game(id, "now")));
  auto small = Then(Moment::At(moment), {.undo_bytes_max = 500});
  const Status refused = small->Scan({}).status();
  EXPECT_EQ(refused.code(), StatusCode::kNoSpace);
  EXPECT_THAT(refused.message(), HasSubstr("undo_bytes_max"));
  const auto item = small->Get(GameKey(7));  // Needs none.
  ASSERT_OK(item);
  EXPECT_EQ(*item, Game(7, "then"));
  auto large = Then(Moment::At(moment), {.undo_bytes_max = 5000});
  EXPECT_EQ(ScanAll(*large, 4), items);
}

INSTANTIATE_TEST_SUITE_P(Durabilities, TableAsOfTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

}  // namespace
}  // namespace tailrace::test
