// The store through its public face: tables, items, pages, streams, retention, durable readers.
#include <gmock/gmock.h>

#include <thread>

#include "engine/durable_reader.h"
#include "tests/engine/store_fixture.h"

namespace tailrace::test {
namespace {

using ::testing::HasSubstr;

INSTANTIATE_TEST_SUITE_P(Durabilities, StoreTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

TEST_P(StoreTest, TablesAreMadeListedAndDropped) {
  Open();
  MakeGames(std::nullopt);
  ASSERT_OK(store_->CreateTable({.name = "Scores", .keys = kScoreKeys}));
  EXPECT_EQ(store_->CreateTable({.name = "Scores", .keys = kScoreKeys}).status().code(),
            StatusCode::kAlreadyExists);
  EXPECT_EQ(store_->CreateTable({.name = "a/b", .keys = kScoreKeys}).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->CreateTable({.name = "_tailrace.x", .keys = kScoreKeys}).status().code(),
            StatusCode::kInvalidArgument);
  Reopen();
  const auto tables = store_->ListTables();
  ASSERT_OK(tables);
  ASSERT_EQ(tables->size(), 2u);
  EXPECT_EQ((*tables)[0].name, "Scores");
  EXPECT_EQ((*tables)[0].keys, kScoreKeys);
  EXPECT_EQ((*tables)[1].name, "UserGames");

  ASSERT_OK(store_->Put("UserGames", Game(1, "a")));
  ASSERT_OK(store_->DropTable("UserGames"));
  EXPECT_EQ(store_->DropTable("UserGames").code(), StatusCode::kNotFound);
  EXPECT_EQ(store_->Get("UserGames", GameKey(1)).status().code(), StatusCode::kNotFound);
  MakeGames(std::nullopt);
  EXPECT_THAT(ReadTable(*store_, "UserGames"), ::testing::IsEmpty())
      << "a table made again begins empty";
  Reopen();
  EXPECT_THAT(ReadTable(*store_, "UserGames"), ::testing::IsEmpty());
}

TEST_P(StoreTest, WritesReturnWhatTheyDid) {
  Open();
  MakeGames(std::nullopt);
  auto put = store_->Put("UserGames", Game(1, "a"), {.return_items = ReturnItems::kBoth});
  ASSERT_OK(put);
  EXPECT_EQ(put->outcome, WriteOutcome::kApplied);
  EXPECT_FALSE(put->old_item.has_value());
  EXPECT_EQ(put->new_item, Game(1, "a"));

  put = store_->Put("UserGames", Game(1, "a"));
  ASSERT_OK(put);
  EXPECT_EQ(put->outcome, WriteOutcome::kUnchanged);
  EXPECT_EQ(put->sequence, SequenceNumber{});

  put = store_->Put("UserGames", Game(1, "b"),
                    {.condition = [](const Item* old) { return old == nullptr; },
                     .return_items = ReturnItems::kOld});
  ASSERT_OK(put);
  EXPECT_EQ(put->outcome, WriteOutcome::kRejected);
  EXPECT_EQ(put->old_item, Game(1, "a"));
  EXPECT_EQ(*store_->Get("UserGames", GameKey(1)), Game(1, "a"));

  const auto add_level = [](std::optional<Item>& item) {
    if (!item) item = GameKey(1);
    item->Set("level", Value::N(7));
    return Status::Ok();
  };
  auto update =
      store_->Update("UserGames", GameKey(1), add_level, {.return_items = ReturnItems::kBoth});
  ASSERT_OK(update);
  EXPECT_EQ(update->old_item, Game(1, "a"));
  EXPECT_EQ(*update->new_item->GetNumber("level"), Number::FromInt64(7));
  EXPECT_EQ(store_->Update("UserGames", GameKey(1), add_level)->outcome, WriteOutcome::kUnchanged);

  auto removed = store_->Delete("UserGames", GameKey(1), {.return_items = ReturnItems::kOld});
  ASSERT_OK(removed);
  EXPECT_TRUE(removed->old_item.has_value());
  EXPECT_EQ(store_->Delete("UserGames", GameKey(1))->outcome, WriteOutcome::kUnchanged);
  EXPECT_EQ(*store_->Get("UserGames", GameKey(1)), std::nullopt);
}

TEST_P(StoreTest, UpdatersMayFailAndMayNotMoveTheKey) {
  Open();
  MakeGames(std::nullopt);
  ASSERT_OK(store_->Put("UserGames", Game(1, "a")));
  EXPECT_EQ(store_
                ->Update("UserGames", GameKey(1),
                         [](std::optional<Item>&) { return FailedPrecondition("no"); })
                .status(),
            FailedPrecondition("no"));
  EXPECT_EQ(store_
                ->Update("UserGames", GameKey(1),
                         [](std::optional<Item>& item) {
                           item->Set("game_id", Value::N(2));
                           return Status::Ok();
                         })
                .status()
                .code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(*store_->Get("UserGames", GameKey(1)), Game(1, "a"));
}

TEST_P(StoreTest, CallablesMayNotCallTheStore) {
  Open();
  MakeGames(std::nullopt);
  Status inside;
  ASSERT_OK(store_->Put("UserGames", Game(1, "a"), {.condition = [&](const Item*) {
                          inside = store_->Put("UserGames", Game(2, "b")).status();
                          return true;
                        }}));
  EXPECT_EQ(inside.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(*store_->Get("UserGames", GameKey(2)), std::nullopt);
}

TEST_P(StoreTest, QueriesMeetSortConditionsBothWaysInPages) {
  Open();
  ASSERT_OK(store_->CreateTable({.name = "Scores", .keys = kScoreKeys}));
  const auto score = [](int at, int points) {
    return Item{{"user", Value::S("u")}, {"at", Value::N(at)}, {"points", Value::N(points)}};
  };
  // Half of them drained, some changed and some deleted since.
  for (int at = 0; at < 200; ++at) ASSERT_OK(store_->Put("Scores", score(at, 1)));
  ASSERT_OK(store_->Put("Scores", Item{{"user", Value::S("v")}, {"at", Value::N(5)}}));
  ASSERT_OK(store_->Checkpoint());
  for (int at = 0; at < 200; at += 3) ASSERT_OK(store_->Put("Scores", score(at, 2)));
  for (int at = 1; at < 200; at += 3) {
    ASSERT_OK(store_->Delete("Scores", Item{{"user", Value::S("u")}, {"at", Value::N(at)}}));
  }
  for (int at = 200; at < 220; ++at) ASSERT_OK(store_->Put("Scores", score(at, 3)));
  std::vector<Item> expected;
  for (int at = 0; at < 220; ++at) {
    if (at < 200 && at % 3 == 1) continue;
    if (at >= 50 && at < 210) expected.push_back(score(at, at >= 200 ? 3 : at % 3 == 0 ? 2 : 1));
  }
  for (const bool forward : {true, false}) {
    QueryRequest request{.partition = Value::S("u"),
                         .sort = {SortCondition::Kind::kBetween, Value::N(50), Value::N(209)},
                         .forward = forward,
                         .items_max = 7};
    std::vector<Item> found;
    while (true) {
      auto page = store_->Query("Scores", request);
      ASSERT_OK(page);
      EXPECT_LE(page->items.size(), 7u);
      for (Item& item : page->items) found.push_back(std::move(item));
      if (!page->last_key) break;
      request.start_after = page->last_key;
    }
    if (!forward) std::reverse(found.begin(), found.end());
    EXPECT_EQ(found, expected) << (forward ? "forward" : "backward");
  }
  const auto none = store_->Query("Scores", {.partition = Value::S("nobody")});
  ASSERT_OK(none);
  EXPECT_TRUE(none->items.empty());
}

TEST_P(StoreTest, ScansSeeEveryItemOnceWhereverItIs) {
  Open();
  MakeGames(std::nullopt);
  for (int id = 0; id < 500; ++id) {
    ASSERT_OK(store_->Put("UserGames", Game(id, "a")));
    if (id == 250) {
      ASSERT_OK(store_->Checkpoint());
    }
  }
  for (int id = 0; id < 500; id += 2) ASSERT_OK(store_->Delete("UserGames", GameKey(id)));
  for (const uint32_t items_max : {1u, 33u, 1000u}) {
    std::set<std::string> ids;
    for (const Item& item : ReadTable(*store_, "UserGames", items_max)) {
      EXPECT_TRUE(ids.insert(item.GetNumber("game_id")->ToString()).second);
    }
    EXPECT_EQ(ids.size(), 250u);
  }
}

TEST_P(StoreTest, EveryViewShowsWhatItSays) {
  Open();
  struct View {
    ViewType type;
    bool shows_new;
    bool shows_old;
  };
  for (const View& view :
       {View{ViewType::kKeysOnly, false, false}, View{ViewType::kNewImage, true, false},
        View{ViewType::kOldImage, false, true}, View{ViewType::kNewAndOldImages, true, true}}) {
    const std::string table = "Games." + std::string(ViewTypeName(view.type));
    ASSERT_OK(store_->CreateTable({.name = table, .keys = kGameKeys, .stream = view.type}));
    ASSERT_OK(store_->Put(table, Game(1, "a")));
    ASSERT_OK(store_->Put(table, Game(1, "b")));
    ASSERT_OK(store_->Put(table, Game(1, "b")));  // Changes nothing.
    ASSERT_OK(store_->Delete(table, GameKey(1)));
    ASSERT_OK(store_->Delete(table, GameKey(1)));  // Nor does this.
    const auto records = ReadStream(*store_, LatestStream(table));
    ASSERT_EQ(records.size(), 3u) << table;
    using Image = std::optional<Item>;
    const auto is = [](bool shown, Image image) { return shown ? image : std::nullopt; };
    EXPECT_EQ(records[0].kind, ChangeKind::kInsert);
    EXPECT_EQ(records[0].new_image, is(view.shows_new, Game(1, "a")));
    EXPECT_EQ(records[0].old_image, std::nullopt);
    EXPECT_EQ(records[1].kind, ChangeKind::kModify);
    EXPECT_EQ(records[1].new_image, is(view.shows_new, Game(1, "b")));
    EXPECT_EQ(records[1].old_image, is(view.shows_old, Game(1, "a")));
    EXPECT_EQ(records[2].kind, ChangeKind::kRemove);
    EXPECT_EQ(records[2].new_image, std::nullopt);
    EXPECT_EQ(records[2].old_image, is(view.shows_old, Game(1, "b")));
    for (size_t i = 0; i < records.size(); ++i) {
      EXPECT_EQ(records[i].keys, GameKey(1));
      EXPECT_EQ(records[i].ordinal, i + 1);
      EXPECT_EQ(records[i].event_id.size(), 32u);
      if (i > 0) {
        EXPECT_LT(records[i - 1].sequence, records[i].sequence);
      }
    }
  }
}

TEST_P(StoreTest, NothingFromBeforeEnablingAppears) {
  Open();
  MakeGames(std::nullopt);
  ASSERT_OK(store_->Put("UserGames", Game(1, "before")));
  const auto first = store_->EnableStream("UserGames", ViewType::kNewAndOldImages);
  ASSERT_OK(first);
  EXPECT_EQ(store_->EnableStream("UserGames", ViewType::kKeysOnly).status().message(),
            "Table already has an enabled stream: TableName: UserGames");
  ASSERT_OK(store_->Put("UserGames", Game(1, "after")));
  ASSERT_OK(store_->DisableStream("UserGames"));
  EXPECT_EQ(store_->DisableStream("UserGames").message(),
            "Table has no stream to disable: TableName: UserGames");
  ASSERT_OK(store_->Put("UserGames", Game(1, "off")));
  const auto second = store_->EnableStream("UserGames", ViewType::kNewImage);
  ASSERT_OK(second);
  EXPECT_NE(first->label, second->label);
  ASSERT_OK(store_->Put("UserGames", Game(1, "on again")));
  Reopen();
  auto records = ReadStream(*store_, first->id);
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].kind, ChangeKind::kModify);
  EXPECT_EQ(records[0].old_image, Game(1, "before"));
  records = ReadStream(*store_, second->id);
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].new_image, Game(1, "on again"));
  const auto described = store_->DescribeStream(first->id);
  ASSERT_OK(described);
  EXPECT_FALSE(described->enabled);
  for (const ShardInfo& shard : described->shards) EXPECT_TRUE(shard.ending.has_value());
}

TEST_P(StoreTest, RecordSizesAreTheServices) {
  Open();
  ASSERT_OK(store_->CreateTable({.name = "Users",
                                 .keys = {{"id", ScalarType::kS}, std::nullopt},
                                 .stream = ViewType::kNewAndOldImages}));
  const Item plain{{"id", Value::S("Fred")}};
  ASSERT_OK(store_->Put("Users", plain));
  ASSERT_OK(store_->Put("Users", Item{{"id", Value::S("Fred")}, {"name", Value::S("Fred")}}));
  const auto records = ReadStream(*store_, LatestStream("Users"));
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].size_bytes, 12u);
  EXPECT_EQ(records[1].size_bytes, 26u);
}

TEST_P(StoreTest, ADroppedTablesStreamStaysReadable) {
  Open();
  MakeGames(ViewType::kNewImage);
  const StreamId stream = LatestStream("UserGames");
  ASSERT_OK(store_->Put("UserGames", Game(1, "a")));
  ASSERT_OK(store_->DropTable("UserGames"));
  Reopen();
  const auto records = ReadStream(*store_, stream);
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].new_image, Game(1, "a"));
  EXPECT_EQ(store_->ListStreams("UserGames")->size(), 1u);
}

TEST_P(StoreTest, ManyGenerationsSurviveReopening) {
  Open();
  MakeGames(ViewType::kNewAndOldImages);
  std::vector<CommitToken> tokens;
  for (int id = 0; id < 3000; ++id) {
    auto put =
        store_->Put("UserGames", Game(id, std::string(500, 'x')), {.wait = WaitFor::kNothing});
    ASSERT_OK(put);
    tokens.push_back(put->token);
    if (id % 1000 == 0) {
      ASSERT_OK(store_->Checkpoint());
    }
  }
  for (const auto& token : tokens) ASSERT_OK(store_->Wait(token));
  ASSERT_OK(store_->Checkpoint());
  EXPECT_GT(store_->Stats()->checkpoints, 3u);
  Reopen();
  EXPECT_EQ(store_->Stats()->recovered_frames, 0u) << "a closed store has nothing to replay";
  EXPECT_EQ(ReadTable(*store_, "UserGames").size(), 3000u);
  EXPECT_EQ(ReadStream(*store_, LatestStream("UserGames")).size(), 3000u);
}

TEST_P(StoreTest, RecordsExpireByTheStoresAgeAndReadersLearnOfIt) {
  Open();
  MakeGames(ViewType::kNewImage);
  const StreamId stream = LatestStream("UserGames");
  std::vector<Position> starts;
  const auto described = store_->DescribeStream(stream);
  for (const ShardInfo& shard : described->shards) {
    starts.push_back(*store_->SeekShard(stream, shard.id, StartAt::kTrimHorizon));
  }
  for (int id = 0; id < 40; ++id) ASSERT_OK(store_->Put("UserGames", Game(id, "old")));
  clock_.JumpWall(48 * 3600'000);  // A clock that jumps expires nothing.
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(ReadStream(*store_, stream).size(), 40u);
  clock_.Advance(23 * 3600'000);
  for (int id = 0; id < 40; ++id) ASSERT_OK(store_->Put("UserGames", Game(id, "new")));
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(ReadStream(*store_, stream).size(), 80u) << "nothing is 24 hours old";
  clock_.Advance(3600'000);
  ASSERT_OK(store_->RunMaintenance());
  const auto kept = ReadStream(*store_, stream);
  ASSERT_EQ(kept.size(), 40u);
  for (const auto& record : kept) EXPECT_EQ(record.new_image->GetString("user_id")[0], "new");
  for (const Position& start : starts) {
    const auto page = store_->ReadShard(start);
    ASSERT_OK(page);
    ASSERT_TRUE(page->gap.has_value());
    EXPECT_EQ(page->gap->kind, Gap::Kind::kTrimmed);
  }
}

TEST_P(StoreTest, DowntimeCountsOnceConfirmed) {
  Open();
  MakeGames(ViewType::kNewImage);
  const StreamId stream = LatestStream("UserGames");
  ASSERT_OK(store_->Put("UserGames", Game(1, "a")));
  Close();
  clock_.Reboot(72 * 3600'000);
  Open();
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(store_->Stats()->downtime_pending_ms, 72u * 3600'000);
  EXPECT_EQ(ReadStream(*store_, stream).size(), 1u);
  // Opened again before it was confirmed: it stays pending.
  Reopen();
  EXPECT_EQ(store_->Stats()->downtime_pending_ms, 72u * 3600'000);
  clock_.Advance(3600'000);
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(store_->Stats()->downtime_pending_ms, 0u);
  EXPECT_EQ(ReadStream(*store_, stream).size(), 0u);
}

TEST_P(StoreTest, AWaitingReaderIsWoken) {
  Open();
  MakeGames(ViewType::kNewImage);
  const StreamId stream = LatestStream("UserGames");
  std::vector<Position> positions;
  const auto described = store_->DescribeStream(stream);
  for (const ShardInfo& shard : described->shards) {
    positions.push_back(*store_->SeekShard(stream, shard.id, StartAt::kLatest));
  }
  EXPECT_EQ(*store_->WaitShards(positions, 1), false);
  std::thread writer([&] { EXPECT_OK(store_->Put("UserGames", Game(7, "x"))); });
  EXPECT_EQ(*store_->WaitShards(positions, 60'000), true);
  writer.join();
}

TEST_P(StoreTest, NobodyWaitsForWhatNoWriteHasAppended) {
  Open();
  MakeGames(ViewType::kKeysOnly);
  const CommitToken last = store_->Put("UserGames", Game(1, "a"))->token;
  ASSERT_OK(store_->Wait(last));
  ASSERT_OK(store_->WaitFannedOut(last));
  if (GetParam() == Durability::kSync) {
    // An idle journal appends a frame of its own, which nobody's token is for.
    while (store_->Wait({store_->Stats()->appended}).ok()) std::this_thread::yield();
  }
  const Lsn appended = store_->Stats()->appended;
  EXPECT_EQ(store_->Wait({appended + 1}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->WaitFannedOut({appended + 1}).code(), StatusCode::kInvalidArgument);
}

TEST_P(StoreTest, ADurableReaderGoesOnWhereItWas) {
  Open();
  MakeGames(ViewType::kNewImage);
  const StreamId stream = LatestStream("UserGames");
  for (int id = 0; id < 100; ++id) ASSERT_OK(store_->Put("UserGames", Game(id, "a")));
  std::map<ShardId, int64_t> counts;
  const auto drain = [&](DurableReader& reader, int batches_max) {
    for (int i = 0; i < batches_max; ++i) {
      auto batch = reader.Next(0);
      ASSERT_OK(batch);
      if (!*batch) return;
      counts[(*batch)->shard] += static_cast<int64_t>((*batch)->records.size());
      ASSERT_OK(
          reader.Checkpoint((*batch)->shard, Item{{"count", Value::N(counts[(*batch)->shard])}}));
    }
  };
  {
    auto reader = DurableReader::Open(*store_, "counter", stream, {.limits = {.records_max = 10}});
    ASSERT_OK(reader);
    drain(**reader, 3);
  }
  Reopen();
  auto reader = DurableReader::Open(*store_, "counter", stream, {.limits = {.records_max = 10}});
  ASSERT_OK(reader);
  counts.clear();
  for (const auto& [shard, attachment] : (*reader)->attachments()) {
    counts[shard] = std::stoll(attachment.GetNumber("count")->ToString());
  }
  drain(**reader, 1000);
  int64_t total = 0;
  for (const auto& [shard, count] : counts) total += count;
  EXPECT_EQ(total, 100);
  EXPECT_FALSE((*reader)->finished());
  ASSERT_OK(store_->DisableStream("UserGames"));
  drain(**reader, 1000);
  EXPECT_TRUE((*reader)->finished());
  EXPECT_EQ(store_->ListTables()->size(), 1u) << "the readers' table is the store's own";
}

TEST_P(StoreTest, ADurableReaderLearnsThatAShardExpired) {
  Open();
  MakeGames(ViewType::kNewImage);
  const StreamId stream = LatestStream("UserGames");
  for (int id = 0; id < 20; ++id) ASSERT_OK(store_->Put("UserGames", Game(id, "a")));
  auto reader = DurableReader::Open(*store_, "late", stream, {.limits = {.records_max = 1}});
  ASSERT_OK(reader);
  ASSERT_OK(store_->DisableStream("UserGames"));
  // Keeps the stream in the catalogue while its shards expire one after another.
  clock_.Advance(25 * 3600'000);
  ASSERT_OK(store_->RunMaintenance());
  const auto batch = (*reader)->Next(0);
  if (batch.ok()) {
    ASSERT_TRUE(batch->has_value());
    ASSERT_TRUE((*batch)->gap.has_value());
    EXPECT_EQ((*batch)->gap->kind, Gap::Kind::kTrimmed);
    EXPECT_TRUE((*batch)->records.empty());
  } else {
    EXPECT_EQ(batch.status().code(), StatusCode::kNotFound) << batch.status().ToString();
  }
}

TEST_P(StoreTest, ASecondOpenerIsRefused) {
  Open();
  const auto second = Store::Open(directory_, options_);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), StatusCode::kBusy);
  EXPECT_THAT(second.status().message(), HasSubstr("already open in this process"));
  Reopen();
}

TEST_P(StoreTest, AClosedStoreSaysSo) {
  Open();
  MakeGames(std::nullopt);
  ASSERT_OK(store_->Close());
  EXPECT_EQ(store_->Put("UserGames", Game(1, "a")).status().code(), StatusCode::kClosed);
  EXPECT_EQ(store_->Get("UserGames", GameKey(1)).status().code(), StatusCode::kClosed);
  EXPECT_EQ(store_->ListTables().status().code(), StatusCode::kClosed);
  EXPECT_OK(store_->Close());
}

TEST_P(StoreTest, WritersOfOneKeyAreSerialised) {
  Open();
  MakeGames(ViewType::kNewAndOldImages);
  constexpr int kThreads = 4;
  constexpr int kEach = 200;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        EXPECT_OK(store_->Update("UserGames", GameKey(1),
                                 [](std::optional<Item>& item) {
                                   if (!item) item = GameKey(1);
                                   const Number* n = item->GetNumber("n");
                                   const int64_t next =
                                       n == nullptr ? 1 : std::stoll(n->ToString()) + 1;
                                   item->Set("n", Value::N(next));
                                   return Status::Ok();
                                 },
                                 {.wait = WaitFor::kNothing}));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  ASSERT_OK(store_->Checkpoint());
  const auto item = store_->Get("UserGames", GameKey(1));
  EXPECT_EQ(*(*item)->GetNumber("n"), Number::FromInt64(kThreads * kEach));
  const auto records = ReadStream(*store_, LatestStream("UserGames"));
  ASSERT_EQ(records.size(), static_cast<size_t>(kThreads * kEach));
  for (size_t i = 1; i < records.size(); ++i) {
    EXPECT_EQ(records[i].old_image, records[i - 1].new_image);
  }
}

}  // namespace
}  // namespace tailrace::test
