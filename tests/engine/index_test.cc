// Indexes of a store: what they show, pages, segments, what writes are refused, filling on a live
// table, and what becomes of it in crashes and races.
#include <atomic>
#include <future>
#include <map>
#include <set>
#include <thread>

#include "engine/cut.pb.h"
#include "engine/index_check.h"
#include "engine/limits.h"
#include "engine/replay.h"
#include "engine/store_files.h"
#include "tests/engine/store_fixture.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"

namespace tailrace::test {
namespace {

constexpr char kTable[] = "Scores";
const IndexSpec kByGame{"by_game",
                        {{"game", ScalarType::kS}, KeyAttribute{"score", ScalarType::kN}}};
const IndexSpec kByScore{.name = "by_score",
                         .keys = {{"user", ScalarType::kS}, KeyAttribute{"score", ScalarType::kN}},
                         .local = true,
                         .projection = Projection::kKeysOnly};

Item ScoreKey(const std::string& user, int64_t at) {
  return Item{{"user", Value::S(user)}, {"at", Value::N(at)}};
}
Item Score(const std::string& user, int64_t at, const std::string& game, int64_t score) {
  return ScoreKey(user, at).Set("game", Value::S(game)).Set("score", Value::N(score));
}

// All pages of a query of an index.
std::vector<Item> QueryIndex(Store& store, const std::string& index, const Value& partition,
                             uint32_t items_max = 1000, bool forward = true) {
  std::vector<Item> items;
  QueryRequest request{
      .partition = partition, .forward = forward, .items_max = items_max, .index = index};
  while (true) {
    auto page = store.Query(kTable, request);
    EXPECT_OK(page);
    if (!page.ok()) return items;
    for (Item& item : page->items) items.push_back(std::move(item));
    if (!page->last_key) return items;
    request.start_after = page->last_key;
  }
}

// All entries of an index, of one segment after another.
std::vector<Item> ScanIndex(Store& store, const std::string& index, uint32_t total_segments = 1,
                            uint32_t items_max = 1000) {
  std::vector<Item> items;
  for (uint32_t segment = 0; segment < total_segments; ++segment) {
    ScanRequest request{.items_max = items_max,
                        .index = index,
                        .segment = segment,
                        .total_segments = total_segments};
    while (true) {
      auto page = store.Scan(kTable, request);
      EXPECT_OK(page);
      if (!page.ok()) return items;
      for (Item& item : page->items) items.push_back(std::move(item));
      if (!page->last_key) break;
      request.start_after = page->last_key;
    }
  }
  return items;
}

// By the table's key, which tells items of an index apart.
std::map<std::string, Item> ByKey(const std::vector<Item>& items) {
  std::map<std::string, Item> by_key;
  for (const Item& item : items) {
    const bool is_new = by_key.emplace(EncodeKeyOfItem(kScoreKeys, item).value(), item).second;
    EXPECT_TRUE(is_new) << "twice in the index";
  }
  return by_key;
}

// What an index of whole items must hold.
std::map<std::string, Item> Expected(Store& store) {
  std::vector<Item> expected;
  for (const Item& item : ReadTable(store, kTable)) {
    if (item.GetString("game") != nullptr && item.GetNumber("score") != nullptr) {
      expected.push_back(item);
    }
  }
  return ByKey(expected);
}

class IndexTest : public StoreTest {
 protected:
  void MakeTable(const std::vector<IndexSpec>& indexes) {
    Open();
    ASSERT_OK(store_->CreateTable({.name = kTable,
                                   .keys = kScoreKeys,
                                   .stream = ViewType::kNewAndOldImages,
                                   .indexes = indexes}));
  }

  IndexState StateOf(const std::string& index) {
    const auto table = store_->DescribeTable(kTable);
    EXPECT_OK(table);
    for (const IndexInfo& info : table->indexes) {
      if (info.spec.name == index) return info.state;
    }
    ADD_FAILURE() << "there is no index " << index;
    return IndexState::kBackfilling;
  }

  void PutMany(int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      ASSERT_OK(store_->Put(
          kTable,
          Score("user" + std::to_string(i % 7), i, "game" + std::to_string(i % 5), i * 37 % 101),
          {.wait = WaitFor::kNothing}));
    }
  }

  // The store as it lies there now, opened elsewhere; this one goes away without closing.
  void Crash() {
    const auto stats = store_->Stats();
    ASSERT_OK(stats);
    ASSERT_OK(store_->Wait({stats->safe}));
    const std::string copy = directory_ + "x";
    CopyStore(directory_, copy);
    store_.reset();
    directory_ = copy;
    Open();
  }
};

INSTANTIATE_TEST_SUITE_P(Durabilities, IndexTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

TEST_P(IndexTest, QueriesFollowWritesAcrossCheckpointsAndReopening) {
  MakeTable({kByGame, kByScore});
  EXPECT_EQ(StateOf("by_game"), IndexState::kActive);
  ASSERT_OK(store_->Put(kTable, Score("ann", 1, "chess", 30)));
  ASSERT_OK(store_->Put(kTable, Score("ann", 2, "go", 10)));
  ASSERT_OK(store_->Put(kTable, Score("bob", 1, "chess", 20)));
  ASSERT_OK(store_->Put(kTable, ScoreKey("cid", 1)));  // In no index.
  const std::vector<Item> chess{Score("bob", 1, "chess", 20), Score("ann", 1, "chess", 30)};
  const auto check = [&] {
    EXPECT_EQ(QueryIndex(*store_, "by_game", Value::S("chess")), chess);
    EXPECT_EQ(QueryIndex(*store_, "by_game", Value::S("chess"), 1, false),
              (std::vector<Item>{chess[1], chess[0]}));
    EXPECT_EQ(QueryIndex(*store_, "by_game", Value::S("none")), std::vector<Item>{});
    const auto local = QueryIndex(*store_, "by_score", Value::S("ann"), 1);
    ASSERT_EQ(local.size(), 2u);
    EXPECT_EQ(local[0], ScoreKey("ann", 2).Set("score", Value::N(10))) << "keys only";
    EXPECT_EQ(local[1], ScoreKey("ann", 1).Set("score", Value::N(30)));
    EXPECT_EQ(ScanIndex(*store_, "by_game").size(), 3u);
  };
  check();
  ASSERT_OK(store_->Checkpoint());
  check();
  Reopen();
  check();
  Crash();
  check();

  // An update moves the entry, a delete removes it.
  ASSERT_OK(store_->Update(kTable, ScoreKey("ann", 1), [](std::optional<Item>& item) {
    item->Set("game", Value::S("go"));
    return Status::Ok();
  }));
  ASSERT_OK(store_->Delete(kTable, ScoreKey("bob", 1)));
  EXPECT_EQ(QueryIndex(*store_, "by_game", Value::S("chess")), std::vector<Item>{});
  EXPECT_EQ(QueryIndex(*store_, "by_game", Value::S("go")),
            (std::vector<Item>{Score("ann", 2, "go", 10), Score("ann", 1, "go", 30)}));
  Crash();
  EXPECT_EQ(QueryIndex(*store_, "by_game", Value::S("chess")), std::vector<Item>{});
  EXPECT_EQ(ByKey(ScanIndex(*store_, "by_game")), Expected(*store_));
}

TEST_P(IndexTest, ATransactionsEntriesComeWithIt) {
  MakeTable({kByGame});
  ASSERT_OK(store_->Put(kTable, Score("ann", 1, "chess", 1)));
  const auto no = [](const Item*) { return false; };
  const auto refused = store_->Transact({WriteRequest::Put(kTable, Score("ann", 2, "chess", 2)),
                                         WriteRequest::Check(kTable, ScoreKey("ann", 1), no)});
  ASSERT_OK(refused);
  EXPECT_EQ(QueryIndex(*store_, "by_game", Value::S("chess")).size(), 1u);
  ASSERT_OK(store_->Transact({WriteRequest::Put(kTable, Score("ann", 2, "chess", 2)),
                              WriteRequest::Put(kTable, Score("ann", 3, "chess", 3)),
                              WriteRequest::Delete(kTable, ScoreKey("ann", 1))}));
  EXPECT_EQ(QueryIndex(*store_, "by_game", Value::S("chess")),
            (std::vector<Item>{Score("ann", 2, "chess", 2), Score("ann", 3, "chess", 3)}));
}

TEST_P(IndexTest, PagesGoOnAmongItemsOfOneKey) {
  MakeTable({kByGame});
  for (int64_t at = 0; at < 40; ++at) {
    ASSERT_OK(store_->Put(kTable, Score("user" + std::to_string(at % 3), at, "chess", at / 20)));
  }
  const auto whole = QueryIndex(*store_, "by_game", Value::S("chess"));
  ASSERT_EQ(whole.size(), 40u);
  EXPECT_EQ(QueryIndex(*store_, "by_game", Value::S("chess"), 3), whole);
  auto backward = QueryIndex(*store_, "by_game", Value::S("chess"), 3, false);
  std::reverse(backward.begin(), backward.end());
  EXPECT_EQ(backward, whole);

  const auto page =
      store_->Query(kTable, {.partition = Value::S("chess"), .items_max = 1, .index = "by_game"});
  ASSERT_OK(page);
  ASSERT_TRUE(page->last_key.has_value());
  std::set<std::string> names;
  for (const Attribute& attribute : *page->last_key) names.insert(attribute.name);
  EXPECT_EQ(names, (std::set<std::string>{"user", "at", "game", "score"}));
  EXPECT_EQ(store_
                ->Query(kTable, {.partition = Value::S("chess"),
                                 .start_after = ScoreKey("user0", 0),
                                 .index = "by_game"})
                .status()
                .code(),
            StatusCode::kInvalidArgument);
}

TEST_P(IndexTest, SegmentsShareAScan) {
  MakeTable({kByGame});
  PutMany(200);
  const auto all = Expected(*store_);
  for (const uint32_t total : {1u, 2u, 3u, 16u}) {
    EXPECT_EQ(ByKey(ScanIndex(*store_, "by_game", total, 7)), all);
    EXPECT_EQ(ByKey(ScanIndex(*store_, "", total, 7)), all);
  }
  size_t with_items = 0;
  for (uint32_t segment = 0; segment < 16; ++segment) {
    const auto page = store_->Scan(kTable, {.segment = segment, .total_segments = 16});
    ASSERT_OK(page);
    with_items += !page->items.empty();
  }
  EXPECT_GT(with_items, 3u) << "seven users lie in seven places";
  const auto code = [&](const ScanRequest& request) {
    return store_->Scan(kTable, request).status().code();
  };
  EXPECT_EQ(code({.segment = 2, .total_segments = 2}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.segment = 0, .total_segments = 0}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.segment = 0, .total_segments = kScanSegmentsMax + 1}),
            StatusCode::kInvalidArgument);
  const auto first = store_->Scan(kTable, {.items_max = 1});
  ASSERT_TRUE(first.ok() && first->last_key.has_value());
  EXPECT_EQ(code({.start_after = first->last_key, .segment = 1, .total_segments = 2}),
            StatusCode::kInvalidArgument)
      << "the first item lies in the first half";
}

TEST_P(IndexTest, WritesThatTheIndexCannotTakeAreRefused) {
  MakeTable({kByGame});
  const auto code = [&](const Item& item) { return store_->Put(kTable, item).status().code(); };
  EXPECT_EQ(code(ScoreKey("ann", 1).Set("game", Value::N(1))), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(ScoreKey("ann", 1).Set("game", Value::S(""))), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(ScoreKey("ann", 1).Set("score", Value::S("1"))), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(ScoreKey("ann", 1).Set("game", Value::S("chess"))), StatusCode::kOk)
      << "not in the index, and no harm";
  EXPECT_EQ(store_
                ->Update(kTable, ScoreKey("ann", 1),
                         [](std::optional<Item>& item) {
                           item->Set("score", Value::Null());
                           return Status::Ok();
                         })
                .status()
                .code(),
            StatusCode::kInvalidArgument);
  const auto transaction =
      store_->Transact({WriteRequest::Put(kTable, Score("ann", 2, "chess", 1)),
                        WriteRequest::Put(kTable, ScoreKey("ann", 3).Set("game", Value::N(1)))});
  EXPECT_EQ(transaction.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(transaction.status().message().find("write 1"), std::string::npos);
  EXPECT_EQ(ReadTable(*store_, kTable).size(), 1u);
  EXPECT_TRUE(ScanIndex(*store_, "by_game").empty());
}

TEST_P(IndexTest, WhatDoesNotExistOrIsNotAllowed) {
  MakeTable({kByScore});
  EXPECT_EQ(store_->Query(kTable, {.partition = Value::S("a"), .index = "none"}).status().code(),
            StatusCode::kNotFound);
  EXPECT_EQ(store_->CreateIndex("Nothing", kByGame).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(store_->CreateIndex(kTable, kByScore).status().code(), StatusCode::kInvalidArgument);
  ASSERT_OK(store_->CreateIndex(kTable, kByGame));
  EXPECT_EQ(store_->CreateIndex(kTable, kByGame).status().code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(store_->DropIndex(kTable, "none").code(), StatusCode::kNotFound);
  EXPECT_EQ(store_->DropIndex(kTable, "by_score").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->DropIndex("Nothing", "by_game").code(), StatusCode::kNotFound);
  EXPECT_EQ(store_->CreateIndex("_tailrace.tokens", kByGame).status().code(),
            StatusCode::kInvalidArgument);
}

TEST_P(IndexTest, ExpiredItemsLeaveTheIndex) {
  MakeTable({kByGame});
  ASSERT_OK(store_->UpdateTimeToLive(kTable, "expires"));
  const auto now_s = static_cast<int64_t>(clock_.WallMs() / 1000);
  ASSERT_OK(store_->Put(kTable, Score("ann", 1, "chess", 1).Set("expires", Value::N(now_s - 10))));
  ASSERT_OK(store_->Put(kTable, Score("ann", 2, "chess", 2)));
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(QueryIndex(*store_, "by_game", Value::S("chess")),
            (std::vector<Item>{Score("ann", 2, "chess", 2)}));
  EXPECT_EQ(ReadStream(*store_, LatestStream(kTable)).back().actor, Actor::kTimeToLive);
}

// The largest item fits into any number of indexes that hold it whole; where each has a part of its
// own, and the encoding is wide, there is a limit.
TEST_P(IndexTest, EntriesCountToTheLimitOfImages) {
  options_ = StoreOptions{.durability = GetParam(), .clock = &clock_, .maintenance_interval_ms = 0};
  const auto indexes = [](Projection projection) {
    std::vector<IndexSpec> all;
    for (size_t i = 0; i < kGlobalIndexesMax; ++i) {
      all.push_back({.name = "index" + std::to_string(i),
                     .keys = {{"game", ScalarType::kS}},
                     .projection = projection});
      if (projection == Projection::kInclude) all.back().included = {"wide"};
    }
    return all;
  };
  Open();
  ASSERT_OK(store_->CreateTable(
      {.name = "Whole", .keys = kScoreKeys, .indexes = indexes(Projection::kAll)}));
  ASSERT_OK(store_->CreateTable(
      {.name = "Parts", .keys = kScoreKeys, .indexes = indexes(Projection::kInclude)}));
  Item item = Score("ann", 1, "chess", 1);
  item.Set("wide", Value::L(Value::List(400'000, Value::S(""))));
  ASSERT_OK(store_->Put("Whole", item));
  EXPECT_EQ(store_->Scan("Whole", {.index = "index7"})->items, (std::vector<Item>{item}));
  const auto refused = store_->Put("Parts", item);
  EXPECT_EQ(refused.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(refused.status().message().find("index entries"), std::string::npos)
      << refused.status().ToString();
  EXPECT_TRUE(ReadTable(*store_, "Parts").empty());
  item.Set("wide", Value::L(Value::List(100'000, Value::S(""))));
  ASSERT_OK(store_->Put("Parts", item));
  item.Remove("score");
  EXPECT_EQ(store_->Scan("Parts", {.index = "index19"})->items, (std::vector<Item>{item}));
}

// What is not the store's own, by name of the table.
struct Copy final : ReplaySink {
  void CreateTable(const TableInfo& table) override { tables[table.name]; }
  void DropTable(const TableInfo& table) override { tables.erase(table.name); }
  void SetItem(const TableInfo& table, const Item& key, Lsn, std::optional<Item> item) override {
    const std::string storage_key = EncodeKey(kScoreKeys, key).value();
    tables[table.name].erase(storage_key);
    if (item) tables[table.name].emplace(storage_key, *std::move(item));
  }
  std::map<std::string, std::map<std::string, Item>> tables;
};

TEST_P(IndexTest, AReplayOfTheJournalShowsItemsAndNotEntries) {
  MakeTable({kByScore});
  PutMany(30);
  ASSERT_OK(store_->CreateIndex(kTable, kByGame));
  ASSERT_OK(store_->RunMaintenance());
  ASSERT_OK(store_->Put(kTable, Score("ann", 1, "chess", 1)));
  Copy copy;
  Replay replay(copy);
  ASSERT_OK(ReplayJournal(wal::FileSystem::Posix(), directory_, replay));
  EXPECT_TRUE(copy.tables.at(kTable) == ByKey(ReadTable(*store_, kTable)));
  ASSERT_EQ(replay.tables().size(), 1u);
  const std::vector<IndexInfo> indexes = replay.tables()[0].indexes;
  ASSERT_EQ(indexes.size(), 2u);
  EXPECT_EQ(indexes[0].spec, kByGame);
  EXPECT_EQ(indexes[0].state, IndexState::kActive);
  EXPECT_EQ(indexes[1].spec, kByScore);
}

// ---- The check ----

TEST_P(IndexTest, TheCheckFindsWhatIsMissingWrongOrStray) {
  MakeTable({kByGame});
  PutMany(10);
  Close();
  auto items =
      engine::ItemIndex::Open(wal::FileSystem::Posix(), engine::StorePaths(directory_).items, {});
  ASSERT_OK(items);
  const std::string bytes = (*items)->ReadCut()->value();
  engine::Cut cut;
  ASSERT_TRUE(cut.ParseFromString(bytes));
  const auto catalogue = engine::Catalogue::FromProto(cut.catalogue());
  ASSERT_OK(catalogue);
  const engine::Table& table = *catalogue->Find(kTable);
  const engine::Index& index = table.indexes[0];
  const auto check = [&] { return engine::CheckIndex(**items, table, index).value(); };
  EXPECT_EQ(check().entries, 10u);
  EXPECT_EQ(check().problems(), 0u);

  std::vector<std::string> keys;
  std::string image;
  const auto cursor = (*items)->NewCursor(index.id).value();
  for (cursor->SeekAtLeast({}); cursor->valid(); cursor->Next()) {
    keys.emplace_back(cursor->key());
    image = cursor->image();
  }
  const auto spoil = [&](const std::string& key, const std::optional<std::string>& with) {
    const auto ingest = (*items)->NewIngest().value();
    ASSERT_OK(with ? ingest->Set(index.id, key, Lsn{1}, *with) : ingest->Delete(index.id, key));
    ASSERT_OK(ingest->Finish());
    ASSERT_OK(ingest->Commit(bytes));
  };
  spoil(keys[0], std::nullopt);
  EXPECT_EQ(check().missing, 1u);
  EXPECT_EQ(check().problems(), 1u);
  spoil(keys[1], image);  // Another item's.
  EXPECT_EQ(check().wrong, 1u);
  EXPECT_EQ(check().stray, 1u);
  EXPECT_EQ(check().problems(), 3u);
  spoil(keys[2] + "x", image);
  EXPECT_EQ(check().stray, 2u);
  spoil(keys[3] + "x", "no item");
  EXPECT_EQ(check().stray, 3u);
}

// ---- Filling ----

TEST_P(IndexTest, ANewIndexOfALiveTableIsFilledAndThenActive) {
  std::vector<std::string> events;
  options_.on_event = [&](const Event& event) {
    if (event.kind == Event::Kind::kIndexActive) events.push_back(event.text);
  };
  MakeTable({});
  PutMany(700);
  ASSERT_OK(store_->Put(kTable, ScoreKey("odd", 1).Set("game", Value::N(1))));
  ASSERT_OK(store_->Checkpoint());
  PutMany(800);
  ASSERT_OK(store_->Put(kTable, ScoreKey("last", 1)));
  const size_t records = ReadStream(*store_, LatestStream(kTable)).size();
  const auto made = store_->CreateIndex(kTable, kByGame);
  ASSERT_OK(made);
  EXPECT_EQ(made->spec, kByGame);
  EXPECT_EQ(StateOf("by_game"), IndexState::kBackfilling);
  EXPECT_EQ(
      store_->Query(kTable, {.partition = Value::S("game1"), .index = "by_game"}).status().code(),
      StatusCode::kFailedPrecondition);
  EXPECT_EQ(store_->Scan(kTable, {.index = "by_game"}).status().code(),
            StatusCode::kFailedPrecondition);
  ASSERT_OK(store_->Put(kTable, Score("new", 1, "game1", 1)));
  ASSERT_OK(store_->Delete(kTable, ScoreKey("user0", 0)));
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(StateOf("by_game"), IndexState::kActive);
  EXPECT_EQ(events.size(), 1u);
  EXPECT_EQ(ByKey(ScanIndex(*store_, "by_game")), Expected(*store_));
  EXPECT_EQ(ScanIndex(*store_, "by_game").size(), 800u);
  EXPECT_EQ(ReadStream(*store_, LatestStream(kTable)).size(), records + 2)
      << "filling changes no item";
  Reopen();
  EXPECT_EQ(StateOf("by_game"), IndexState::kActive);
  EXPECT_EQ(ByKey(ScanIndex(*store_, "by_game")), Expected(*store_));
}

TEST_P(IndexTest, UpkeepFillsByItself) {
  std::promise<void> active;
  options_.on_event = [&](const Event& event) {
    if (event.kind == Event::Kind::kIndexActive) active.set_value();
  };
  options_.maintenance_interval_ms = 3600'000;
  MakeTable({});
  PutMany(300);
  ASSERT_OK(store_->CreateIndex(kTable, kByGame));
  active.get_future().wait();
  EXPECT_EQ(StateOf("by_game"), IndexState::kActive);
  EXPECT_EQ(ByKey(ScanIndex(*store_, "by_game")), Expected(*store_));
}

TEST_P(IndexTest, DroppedIndexesGoWithTheirEntries) {
  options_.shared_table_bytes_max = 0;  // So that it can be seen that their families are gone.
  MakeTable({kByGame});
  PutMany(50);
  ASSERT_OK(store_->Checkpoint());
  const TableId old_id = store_->DescribeTable(kTable)->indexes[0].id;
  ASSERT_OK(store_->DropIndex(kTable, "by_game"));
  EXPECT_TRUE(store_->DescribeTable(kTable)->indexes.empty());
  EXPECT_EQ(store_->Scan(kTable, {.index = "by_game"}).status().code(), StatusCode::kNotFound);
  ASSERT_OK(store_->Put(kTable, ScoreKey("ann", 1).Set("game", Value::N(1))));
  ASSERT_OK(store_->Delete(kTable, ScoreKey("user1", 1)));

  // The same name again: another index, with nothing of the old one.
  ASSERT_OK(store_->CreateIndex(kTable, kByGame));
  EXPECT_NE(store_->DescribeTable(kTable)->indexes[0].id, old_id);
  Crash();
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(ByKey(ScanIndex(*store_, "by_game")), Expected(*store_));
  EXPECT_EQ(ScanIndex(*store_, "by_game").size(), 49u);

  ASSERT_OK(store_->DropTable(kTable));
  ASSERT_OK(store_->CreateTable({.name = kTable, .keys = kScoreKeys, .indexes = {kByGame}}));
  Reopen();
  EXPECT_TRUE(ScanIndex(*store_, "by_game").empty());
  EXPECT_TRUE(ReadTable(*store_, kTable).empty());
  Close();
  auto items =
      engine::ItemIndex::Open(wal::FileSystem::Posix(), engine::StorePaths(directory_).items, {});
  ASSERT_OK(items);
  for (const TableId table : (*items)->Tables()) {
    EXPECT_GT(table.value, old_id.value) << "the families of what was dropped are gone";
  }
}

TEST_P(IndexTest, AnIndexDroppedWhileItIsFilledIsGone) {
  MakeTable({});
  PutMany(300);
  Store* store = nullptr;
  bool dropped = false;
  Close();
  options_.on_pause_point = [&](PausePoint point) {
    if (point != PausePoint::kBeforeBackfill || dropped) return;
    dropped = true;
    std::thread([&] { ASSERT_OK(store->DropIndex(kTable, "by_game")); }).join();
  };
  Open();
  store = store_.get();
  ASSERT_OK(store_->CreateIndex(kTable, kByGame));
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_TRUE(dropped);
  EXPECT_TRUE(store_->DescribeTable(kTable)->indexes.empty());
  Crash();
  EXPECT_EQ(ReadTable(*store_, kTable).size(), 300u);
}

// The page is read, then the items change before the filling looks again.
TEST_P(IndexTest, ItemsThatChangeWhileTheyAreFilledAreSeenAsTheyAre) {
  MakeTable({});
  PutMany(100);
  Store* store = nullptr;
  int calls = 0;
  Close();
  options_.on_pause_point = [&](PausePoint point) {
    if (point != PausePoint::kBeforeBackfill || calls++ > 0) return;
    std::thread([&] {
      ASSERT_OK(store->Delete(kTable, ScoreKey("user0", 0)));
      ASSERT_OK(store->Put(kTable, Score("user1", 1, "moved", 1)));
      ASSERT_OK(store->Put(kTable, ScoreKey("user2", 2)));
      ASSERT_OK(store->Put(kTable, Score("user3", 1000, "new", 1)));
    }).join();
  };
  Open();
  store = store_.get();
  ASSERT_OK(store_->CreateIndex(kTable, kByGame));
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_GT(calls, 0);
  EXPECT_EQ(ByKey(ScanIndex(*store_, "by_game")), Expected(*store_));
  EXPECT_EQ(ScanIndex(*store_, "by_game").size(), 99u);
  EXPECT_EQ(QueryIndex(*store_, "by_game", Value::S("moved")).size(), 1u);
}

TEST_P(IndexTest, FillingGoesOnAfterACrash) {
  MakeTable({});
  PutMany(1000);
  ASSERT_OK(store_->Checkpoint());
  Close();
  // Dies at the third page of four; what was written before is safe then.
  const std::string copy = directory_ + "copy";
  Store* store = nullptr;
  int pages = 0;
  options_.on_pause_point = [&](PausePoint point) {
    if (point != PausePoint::kBeforeBackfill || ++pages != 3) return;
    std::thread([&] { ASSERT_OK(store->Put(kTable, Score("last", 1, "game1", 1))); }).join();
    CopyStore(directory_, copy);
  };
  Open();
  store = store_.get();
  ASSERT_OK(store_->CreateIndex(kTable, kByGame));
  ASSERT_OK(store_->RunMaintenance());
  const int pages_in_all = pages;
  ASSERT_GE(pages_in_all, 4);
  Close();
  directory_ = copy;
  pages = 1000;
  Open();
  ASSERT_EQ(StateOf("by_game"), IndexState::kBackfilling);
  ASSERT_OK(store_->Put(kTable, Score("user1", 1, "moved", 1)));
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(pages - 1000, pages_in_all - 2) << "two pages were done";
  EXPECT_EQ(ByKey(ScanIndex(*store_, "by_game")), Expected(*store_));
  EXPECT_EQ(ScanIndex(*store_, "by_game").size(), 1001u);
}

TEST_P(IndexTest, WritersRaceTheFilling) {
  MakeTable({});
  PutMany(400);
  std::atomic<bool> done{false};
  const auto write = [&](uint64_t seed) {
    Random random(MixSeed(TestSeed(), seed));
    while (!done) {
      const auto at = static_cast<int64_t>(random.Below(400));
      const std::string user = "user" + std::to_string(at % 7);
      Result<WriteResult> result =
          random.OneIn(3) ? store_->Delete(kTable, ScoreKey(user, at), {.wait = WaitFor::kNothing})
                          : store_->Put(kTable,
                                        Score(user, at, "game" + std::to_string(random.Below(5)),
                                              static_cast<int64_t>(random.Below(100))),
                                        {.wait = WaitFor::kNothing});
      ASSERT_OK(result);
    }
  };
  std::vector<std::thread> threads;
  for (uint64_t seed = 1; seed <= 2; ++seed) threads.emplace_back(write, seed);
  for (int round = 0; round < 5; ++round) {
    ASSERT_OK(store_->CreateIndex(kTable, kByGame));
    ASSERT_OK(store_->RunMaintenance());
    ASSERT_OK(store_->Checkpoint());
    if (round == 4) break;
    ASSERT_OK(store_->DropIndex(kTable, "by_game"));
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
  const auto expected = Expected(*store_);
  EXPECT_GT(expected.size(), 100u);
  EXPECT_EQ(ByKey(ScanIndex(*store_, "by_game")), expected);
  Crash();
  EXPECT_EQ(ByKey(ScanIndex(*store_, "by_game")), Expected(*store_));
}

}  // namespace
}  // namespace tailrace::test
