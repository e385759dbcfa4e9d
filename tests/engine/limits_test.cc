// Bad input through the public interface. Every limit is tried where it still holds and one beyond;
// what is refused says why, and changes nothing.
#include "engine/limits.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <set>
#include <thread>

#include "engine/durable_reader.h"
#include "shards/stream_catalogue.h"
#include "tests/engine/store_fixture.h"

namespace tailrace::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class LimitsTest : public StoreTest {
 protected:
  // The call was refused as what it is, in words that have `hint`.
  template <typename T>
  static void ExpectInvalid(const Result<T>& result, const std::string& hint) {
    ExpectInvalid(result.status(), hint);
  }
  static void ExpectInvalid(const Status& status, const std::string& hint) {
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status.ToString();
    EXPECT_THAT(status.message(), HasSubstr(hint));
  }

  Status Create(const std::string& name, const KeySchema& keys = kGameKeys,
                std::optional<ViewType> stream = std::nullopt) {
    return store_->CreateTable({.name = name, .keys = keys, .stream = stream}).status();
  }

  std::set<std::string> TableNames() {
    std::set<std::string> names;
    for (const TableInfo& table : store_->ListTables().value()) names.insert(table.name);
    return names;
  }

  // An item under GameKey(1) that measures exactly so many bytes.
  static Item GameOfSize(size_t bytes) {
    Item item = GameKey(1);
    item.Set("fill", Value::S(""));
    item.Set("fill", Value::S(std::string(bytes - item.SizeBytes(), 'x')));
    EXPECT_EQ(item.SizeBytes(), bytes);
    return item;
  }
};

INSTANTIATE_TEST_SUITE_P(Durabilities, LimitsTest, ::testing::Values(Durability::kBuffered),
                         DurabilityName);

TEST_P(LimitsTest, TableNames) {
  Open();
  const std::string longest(kTableNameBytesMax, 'a');
  const std::set<std::string> good = {"abc", "ABC",     "...", "..-",      ".-.",
                                      "CON", "a_b.c-9", "-rf", "_tailrac", longest};
  for (const std::string& name : good) EXPECT_OK(Create(name)) << name;
  EXPECT_EQ(TableNames(), good);
  const std::vector<std::string> bad = {"",
                                        "ab",
                                        longest + "a",
                                        "a/b",
                                        "../x",
                                        "a b",
                                        "%2e%2e%2f",
                                        "\xc3\xa4\xc3\xb6\xc3\xbc",
                                        std::string("a\0b", 3),
                                        "abc\n"};
  for (const std::string& name : bad) {
    EXPECT_EQ(Create(name).code(), StatusCode::kInvalidArgument) << name;
    EXPECT_EQ(store_->Put(name, Game(1, "a")).status().code(), StatusCode::kNotFound);
    EXPECT_EQ(store_->DescribeTable(name).status().code(), StatusCode::kNotFound);
  }
  EXPECT_EQ(Create("abc").code(), StatusCode::kAlreadyExists);
  Reopen();
  EXPECT_EQ(TableNames(), good);
}

TEST_P(LimitsTest, NoNameBecomesAPath) {
  Open();
  ASSERT_OK(Create("secret-table", kGameKeys, ViewType::kNewImage));
  ASSERT_OK(store_->Put("secret-table", Game(1, "secret-user")));
  const StreamId stream = LatestStream("secret-table");
  ASSERT_OK(DurableReader::Open(*store_, "secret-reader/../..", stream, {}));
  Close();
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_)) {
    EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr("secret")));
  }
}

TEST_P(LimitsTest, TheStoresOwnTablesAreLeftAlone) {
  Open();
  MakeGames(ViewType::kKeysOnly);
  ASSERT_OK(store_->Put("UserGames", Game(1, "a")));
  auto reader = DurableReader::Open(*store_, "r", LatestStream("UserGames"), {}).value();
  const auto batch = reader->Next(10'000).value();
  ASSERT_TRUE(batch.has_value());
  ASSERT_OK(reader->Checkpoint(batch->shard));
  const std::string own = "_tailrace.readers";
  ExpectInvalid(Create("_tailrace.mine"), "_tailrace.");
  ExpectInvalid(store_->DropTable(own), "_tailrace.");
  ExpectInvalid(store_->EnableStream(own, ViewType::kKeysOnly), "_tailrace.");
  ExpectInvalid(store_->DisableStream(own), "_tailrace.");
  reader = DurableReader::Open(*store_, "r", LatestStream("UserGames"), {}).value();
  EXPECT_TRUE(reader->attachments().contains(batch->shard));
}

TEST_P(LimitsTest, KeySchemas) {
  Open();
  const std::string longest(kKeyNameBytesMax, 'k');
  EXPECT_OK(Create("one", {{longest, ScalarType::kS}, std::nullopt}));
  EXPECT_OK(Create("two", {{"k", ScalarType::kS}, KeyAttribute{longest, ScalarType::kB}}));
  const auto schema = [](const std::string& partition, std::optional<std::string> sort) {
    KeySchema keys{{partition, ScalarType::kS}, std::nullopt};
    if (sort) keys.sort = KeyAttribute{*sort, ScalarType::kS};
    return keys;
  };
  for (const KeySchema& keys : {schema("", {}), schema(longest + "k", {}), schema("\xff", {}),
                                schema("k", ""), schema("k", longest + "k"), schema("k", "k"),
                                KeySchema{{"k", static_cast<ScalarType>(9)}, std::nullopt}}) {
    EXPECT_EQ(Create("bad", keys).code(), StatusCode::kInvalidArgument) << keys.partition.name;
  }
  EXPECT_EQ(TableNames(), (std::set<std::string>{"one", "two"}));
}

TEST_P(LimitsTest, Keys) {
  Open();
  for (const ScalarType type : {ScalarType::kS, ScalarType::kB}) {
    const std::string table = type == ScalarType::kS ? "text" : "raw";
    ASSERT_OK(Create(table, {{"p", type}, KeyAttribute{"s", type}}));
    const auto value = [&](size_t bytes) {
      const std::string text(bytes, 'x');
      return type == ScalarType::kS ? Value::S(text) : Value::B(text);
    };
    const Item longest{{"p", value(kPartitionKeyBytesMax)}, {"s", value(kSortKeyBytesMax)}};
    ASSERT_OK(store_->Put(table, longest));
    EXPECT_EQ(*store_->Get(table, longest), longest);
    const std::vector<std::pair<Item, std::string>> bad = {
        {{{"p", value(kPartitionKeyBytesMax + 1)}, {"s", value(1)}}, "Size of hashkey"},
        {{{"p", value(1)}, {"s", value(kSortKeyBytesMax + 1)}}, "Aggregated size of all range"},
        {{{"p", value(0)}, {"s", value(1)}}, "empty"},
        {{{"p", value(1)}, {"s", value(0)}}, "empty"},
        {{{"p", value(1)}}, ""},
        {{{"s", value(1)}}, ""},
        {{{"p", Value::N(1)}, {"s", value(1)}}, ""},
        {{{"p", Value::Null()}, {"s", value(1)}}, ""},
    };
    for (const auto& [key, hint] : bad) {
      ExpectInvalid(store_->Put(table, key), hint);
      ExpectInvalid(store_->Get(table, key), hint);
      ExpectInvalid(store_->Delete(table, key), hint);
      ExpectInvalid(store_->Update(table, key, [](auto&) { return Status::Ok(); }), hint);
    }
    const Item more{{"p", value(1)}, {"s", value(1)}, {"more", Value::N(1)}};
    ExpectInvalid(store_->Get(table, more), "does not match the schema");
    ExpectInvalid(store_->Delete(table, more), "does not match the schema");
    ExpectInvalid(store_->Scan(table, {.start_after = more}), "does not match the schema");
    EXPECT_EQ(ReadTable(*store_, table).size(), 1u);
  }
}

TEST_P(LimitsTest, ItemSize) {
  Open();
  MakeGames(ViewType::kNewAndOldImages);
  options_.journal_segment_bytes = StoreOptions{}.journal_segment_bytes;
  Reopen();
  const Item small = Game(1, "a");
  ASSERT_OK(store_->Put("UserGames", small));
  const Item large = GameOfSize(kItemBytesMax);
  const Item too_large = GameOfSize(kItemBytesMax + 1);
  ExpectInvalid(store_->Put("UserGames", too_large), "Item size has exceeded");
  ExpectInvalid(store_->Update("UserGames", GameKey(1),
                               [&](std::optional<Item>& item) {
                                 item = too_large;
                                 return Status::Ok();
                               }),
                "exceeded the maximum allowed size");
  EXPECT_EQ(*store_->Get("UserGames", GameKey(1)), small);

  // The largest item goes through journal, stream, checkpoint and recovery, both images of it.
  ASSERT_OK(store_->Put("UserGames", large));
  Item other = large;
  other.Set("fill", Value::S(std::string(large.GetString("fill")->size(), 'y')));
  ASSERT_OK(store_->Put("UserGames", other));
  const std::string crashed = temp_.path() + "/crashed";
  CopyStore(directory_, crashed);
  Reopen();
  store_ = Store::Open(crashed, options_).value();
  EXPECT_EQ(*store_->Get("UserGames", GameKey(1)), other);
  const auto records = ReadStream(*store_, LatestStream("UserGames"));
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[2].old_image, large);
  EXPECT_EQ(records[2].new_image, other);
}

TEST_P(LimitsTest, ACommitIsAtMostAQuarterOfASegment) {
  options_.journal_segment_bytes = 64 << 10;
  Open();
  MakeGames(ViewType::kNewAndOldImages);
  const Item fits = GameOfSize((16 << 10) - 512);
  ASSERT_OK(store_->Put("UserGames", fits));
  ExpectInvalid(store_->Put("UserGames", GameOfSize(17 << 10)), "a quarter of a segment");
  EXPECT_EQ(*store_->Get("UserGames", GameKey(1)), fits);
  // The stream keeps the old image too: it must fit in beside the new one.
  ExpectInvalid(store_->Put("UserGames", GameOfSize(8 << 10)), "a quarter of a segment");
  ASSERT_OK(store_->Put("UserGames", Game(2, "b")));
  EXPECT_EQ(ReadStream(*store_, LatestStream("UserGames")).size(), 2u);
}

TEST_P(LimitsTest, Nesting) {
  Open();
  MakeGames(ViewType::kNewImage);
  const auto nested = [](int levels) {
    Value value = Value::N(1);
    for (int level = 1; level < levels; ++level) {
      value = level % 2 == 0 ? Value::L({std::move(value)}) : Value::M({{"n", std::move(value)}});
    }
    Item item = GameKey(1);
    item.Set("deep", std::move(value));
    return item;
  };
  ExpectInvalid(store_->Put("UserGames", nested(kNestingLevelsMax + 1)), "Nesting Levels");
  ExpectInvalid(store_->Put("UserGames", nested(2000)), "Nesting Levels");
  EXPECT_EQ(*store_->Get("UserGames", GameKey(1)), std::nullopt);
  ASSERT_OK(store_->Put("UserGames", nested(kNestingLevelsMax)));
  Reopen();
  EXPECT_EQ(*store_->Get("UserGames", GameKey(1)), nested(kNestingLevelsMax));
  EXPECT_EQ(ReadStream(*store_, LatestStream("UserGames")).front().new_image,
            nested(kNestingLevelsMax));
}

TEST_P(LimitsTest, AttributesAndSets) {
  Open();
  MakeGames(std::nullopt);
  const auto with = [](const std::string& name, Value value) {
    Item item = GameKey(1);
    item.Set(name, std::move(value));
    return item;
  };
  const std::string longest(kAttributeNameBytesMax, 'n');
  ASSERT_OK(store_->Put("UserGames", with(longest, Value::Null())));
  ExpectInvalid(store_->Put("UserGames", with(longest + "n", Value::Null())), "");
  ExpectInvalid(store_->Put("UserGames", with("", Value::Null())), "");
  ExpectInvalid(store_->Put("UserGames", with("\xff", Value::Null())), "");
  ExpectInvalid(store_->Put("UserGames", with("s", Value::S("\xed\xa0\x80"))), "");
  ExpectInvalid(store_->Put("UserGames", with("m", Value::M({{"", Value::N(1)}}))), "");
  EXPECT_EQ(*store_->Get("UserGames", GameKey(1)), with(longest, Value::Null()));

  EXPECT_EQ(Value::SS({}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Value::NS({}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Value::BS({}).status().code(), StatusCode::kInvalidArgument);
  ExpectInvalid(Value::SS({"a", "a"}), "contains duplicates");
  ExpectInvalid(Value::NS({Number::FromInt64(1), Number::Parse("1.0").value()}), "duplicates");
  EXPECT_EQ(Number::Parse(std::string(kNumberDigitsMax + 1, '1')).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(Number::Parse("1e126").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Number::Parse("1e-131").status().code(), StatusCode::kInvalidArgument);
  Item widest = with("max", Value::N(Number::Parse(std::string(38, '9')).value()));
  widest.Set("large", Value::N(Number::Parse("9.9e125").value()));
  widest.Set("small", Value::N(Number::Parse("-1e-130").value()));
  ASSERT_OK(store_->Put("UserGames", widest));
  Reopen();
  EXPECT_EQ(*store_->Get("UserGames", GameKey(1)), widest);
}

TEST_P(LimitsTest, Pages) {
  Open();
  ASSERT_OK(Create("Scores", kScoreKeys, ViewType::kKeysOnly));
  CommitToken last;
  for (int at = 0; at < 5; ++at) {
    const auto put = store_->Put("Scores", Item{{"user", Value::S("u")}, {"at", Value::N(at)}});
    ASSERT_OK(put);
    last = put->token;
  }
  ExpectInvalid(store_->Scan("Scores", {.items_max = 0}), "items_max");
  ExpectInvalid(store_->Query("Scores", {.partition = Value::S("u"), .items_max = 0}), "items_max");
  EXPECT_EQ(store_->Scan("Scores", {.bytes_max = 0})->items.size(), 1u);
  EXPECT_EQ(store_->Query("Scores", {.partition = Value::S("u"), .bytes_max = 0})->items.size(),
            1u);
  ExpectInvalid(store_->Query("Scores", {.partition = Value::N(1)}), "");
  QueryRequest after_nothing;
  after_nothing.partition = Value::S("u");
  after_nothing.start_after = Item{};
  ExpectInvalid(store_->Query("Scores", after_nothing), "");

  ASSERT_OK(store_->WaitFannedOut(last));
  const StreamId stream = LatestStream("Scores");
  const auto info = store_->DescribeStream(stream).value();
  uint64_t records = 0;
  for (const ShardInfo& shard : info.shards) {
    auto position = store_->SeekShard(stream, shard.id, StartAt::kTrimHorizon).value();
    // However low the limits, a page that has something to show shows one record.
    for (const PageLimits limits : {PageLimits{.records_max = 0}, PageLimits{.bytes_max = 0}}) {
      const auto page = store_->ReadShard(position, limits);
      ASSERT_OK(page);
      EXPECT_LE(page->records.size(), 1u);
      EXPECT_EQ(page->records.empty(), page->caught_up && page->next == position);
      records += page->records.size();
      position = page->next;
    }
  }
  EXPECT_GE(records, 2u);
}

TEST_P(LimitsTest, StreamsAndPositions) {
  Open();
  MakeGames(ViewType::kKeysOnly);
  ASSERT_OK(store_->Put("UserGames", Game(1, "a")));
  EXPECT_EQ(store_->EnableStream("UserGames", ViewType::kNewImage).status().code(),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(store_->EnableStream("nowhere", ViewType::kNewImage).status().code(),
            StatusCode::kNotFound);
  ASSERT_OK(store_->DisableStream("UserGames"));
  EXPECT_EQ(store_->DisableStream("UserGames").code(), StatusCode::kFailedPrecondition);
  ExpectInvalid(
      store_->EnableStream("UserGames", ViewType::kNewImage, {.shards = kShardsPerStreamMax + 1}),
      std::to_string(kShardsPerStreamMax));
  ExpectInvalid(store_->EnableStream("UserGames", static_cast<ViewType>(7)), "view");
  EXPECT_FALSE(store_->DescribeTable("UserGames")->stream_view.has_value());

  const StreamId stream = LatestStream("UserGames");
  const ShardInfo shard = store_->DescribeStream(stream)->shards.front();
  EXPECT_EQ(store_->DescribeStream(StreamId{99}).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(store_->SeekShard(StreamId{99}, shard.id, StartAt::kLatest).status().code(),
            StatusCode::kNotFound);
  EXPECT_EQ(store_->SeekShard(stream, ShardId{99}, StartAt::kLatest).status().code(),
            StatusCode::kNotFound);
  for (const uint64_t outside :
       {uint64_t{0}, shard.starting.value - 1, shard.ending->value + 1, UINT64_MAX}) {
    ExpectInvalid(
        store_->SeekShard(stream, shard.id, StartAt::kAtSequenceNumber, SequenceNumber{outside}),
        std::to_string(outside));
  }
  for (const SequenceNumber inside : {shard.starting, *shard.ending}) {
    EXPECT_OK(store_->SeekShard(stream, shard.id, StartAt::kAtSequenceNumber, inside));
  }
  const Position good = store_->SeekShard(stream, shard.id, StartAt::kTrimHorizon).value();
  ASSERT_OK(store_->ReadShard(good));
  Position bad = good;
  bad.store.value += 1;
  ExpectInvalid(store_->ReadShard(bad), "another store");
  ExpectInvalid(store_->WaitShard(bad, 0), "another store");
  bad = good;
  bad.epoch.value += 1;
  ExpectInvalid(store_->ReadShard(bad), "epoch");
  bad = good;
  bad.next = SequenceNumber{0};
  ExpectInvalid(store_->ReadShard(bad), "before the beginning");
  bad = good;
  bad.shard = ShardId{99};
  EXPECT_EQ(store_->ReadShard(bad).status().code(), StatusCode::kNotFound);
  bad = good;
  bad.next = SequenceNumber{UINT64_MAX};
  const auto beyond = store_->ReadShard(bad);
  EXPECT_TRUE(!beyond.ok() || beyond->records.empty());
}

TEST_P(LimitsTest, AStreamOfAsManyShardsAsThereMayBe) {
  options_.journal_segment_bytes = StoreOptions{}.journal_segment_bytes;
  Open();
  MakeGames(std::nullopt);
  const auto stream =
      store_->EnableStream("UserGames", ViewType::kKeysOnly, {.shards = kShardsPerStreamMax});
  ASSERT_OK(stream);
  EXPECT_EQ(stream->shards.size(), kShardsPerStreamMax);
  EXPECT_EQ(stream->shards.back().hash_last, UINT64_MAX);
  ASSERT_OK(store_->Put("UserGames", Game(1, "a")));
  ASSERT_OK(store_->Put("UserGames", Game(2, "b")));
  Reopen();
  uint64_t records = 0;
  const StoreStats stats = store_->Stats().value();
  for (const StoreStats::Shard& shard : stats.shards) records += shard.records;
  EXPECT_EQ(records, 2u);
}

TEST_P(LimitsTest, TokensAndTimes) {
  Open();
  MakeGames(ViewType::kKeysOnly);
  const auto written = store_->Put("UserGames", Game(1, "a"), {.wait = WaitFor::kNothing});
  ASSERT_OK(written);
  EXPECT_OK(store_->Wait(written->token));
  EXPECT_OK(store_->Wait(CommitToken{}));
  ExpectInvalid(store_->Wait(CommitToken{Lsn{UINT64_MAX}}), "token");

  // "For ever" is not an overflow: whoever waits so long is woken by what comes.
  auto reader = DurableReader::Open(*store_, "r", LatestStream("UserGames"), {}).value();
  ASSERT_TRUE(reader->Next(UINT64_MAX)->has_value());
  std::thread writer([&] { EXPECT_OK(store_->Put("UserGames", Game(2, "b"))); });
  EXPECT_TRUE(reader->Next(UINT64_MAX)->has_value());
  writer.join();
}

TEST_P(LimitsTest, ReadersNamesAndAttachments) {
  Open();
  MakeGames(ViewType::kKeysOnly);
  ASSERT_OK(store_->Put("UserGames", Game(1, "a")));
  const StreamId stream = LatestStream("UserGames");
  const std::string longest(DurableReader::kNameBytesMax, 'r');
  ExpectInvalid(DurableReader::Open(*store_, "", stream, {}), "name");
  ExpectInvalid(DurableReader::Open(*store_, longest + "r", stream, {}), "name");
  ExpectInvalid(DurableReader::Open(*store_, "\xff", stream, {}),
                "name has 1 to 255 bytes of UTF-8");
  ExpectInvalid(DurableReader::Forget(*store_, ""), "name");
  ExpectInvalid(DurableReader::Open(*store_, "r", stream, {.start = StartAt::kAtSequenceNumber}),
                "starts");
  EXPECT_EQ(DurableReader::Open(*store_, "r", StreamId{99}, {}).status().code(),
            StatusCode::kNotFound);
  auto reader = DurableReader::Open(*store_, longest, stream, {}).value();
  const auto batch = reader->Next(10'000).value();
  ASSERT_TRUE(batch.has_value());
  ExpectInvalid(reader->Checkpoint(ShardId{99}), "shard 99");
  const auto attachment = [](size_t bytes) {
    return Item{{"a", Value::S(std::string(bytes, 'x'))}};
  };
  ExpectInvalid(reader->Checkpoint(batch->shard, attachment(kItemBytesMax)), "Item size");
  EXPECT_THAT(reader->attachments(), IsEmpty());
  ASSERT_OK(reader->Checkpoint(batch->shard, attachment(1000)));
  EXPECT_EQ(
      DurableReader::Open(*store_, longest, stream, {}).value()->attachments().at(batch->shard),
      attachment(1000));
}

TEST_P(LimitsTest, Options) {
  struct Case {
    std::function<void(StoreOptions&)> set;
    std::string hint;
  };
  const std::vector<Case> bad = {
      {[](auto& o) { o.fs = nullptr; }, "file system"},
      {[](auto& o) { o.clock = nullptr; }, "clock"},
      {[](auto& o) { o.generation_bytes_max = 0; }, "generation_bytes_max"},
      {[](auto& o) { o.generation_bytes_max = UINT64_MAX; }, "generation_bytes_max"},
      {[](auto& o) { o.journal_bytes_max = 2 * o.generation_bytes_max - 1; }, "journal_bytes_max"},
      {[](auto& o) { o.journal_segment_bytes = 0; }, "journal_segment_bytes"},
      {[](auto& o) { o.journal_segment_bytes = wal::kJournalSegmentBytesMin - wal::kBlockBytes; },
       "journal_segment_bytes"},
      {[](auto& o) { o.journal_segment_bytes = wal::kJournalSegmentBytesMin + 1; },
       "journal_segment_bytes"},
      {[](auto& o) { o.journal_segment_bytes = wal::kJournalSegmentBytesMax + wal::kBlockBytes; },
       "journal_segment_bytes"},
      {[](auto& o) { o.shards_per_stream = 0; }, "shards_per_stream"},
      {[](auto& o) { o.shards_per_stream = kShardsPerStreamMax + 1; }, "shards_per_stream"},
      {[](auto& o) { o.retention_ms = 0; }, "retention_ms"},
      {[](auto& o) { o.shard_segment_bytes_max = 0; }, "shard_segment_bytes_max"},
  };
  for (const Case& each : bad) {
    StoreOptions options = options_;
    each.set(options);
    ExpectInvalid(Store::Open(directory_, options), each.hint);
    EXPECT_FALSE(std::filesystem::exists(directory_)) << "a refused opening makes nothing";
  }
}

TEST_P(LimitsTest, OptionsAtTheirLimitsWork) {
  const std::vector<std::function<void(StoreOptions&)>> good = {
      [](auto& o) { o.journal_bytes_max = 2 * o.generation_bytes_max; },
      [](auto& o) { o.generation_bytes_max = 1; },
      [](auto& o) {
        o.generation_bytes_max = UINT64_MAX / 2;
        o.journal_bytes_max = UINT64_MAX;
      },
      [](auto& o) { o.journal_segment_bytes = wal::kJournalSegmentBytesMin; },
      [](auto& o) { o.shards_per_stream = 1; },
      [](auto& o) { o.retention_ms = 1; },
      [](auto& o) { o.retention_ms = UINT64_MAX; },
      [](auto& o) { o.downtime_confirmation_ms = 0; },
      [](auto& o) { o.downtime_confirmation_ms = UINT64_MAX; },
      [](auto& o) { o.maintenance_interval_ms = UINT64_MAX; },
      [](auto& o) { o.shard_segment_bytes_max = 1; },
      [](auto& o) { o.shard_segment_age_ms_max = 0; },
      [](auto& o) { o.shard_log_handles_max = 1; },
      [](auto& o) { o.block_cache_bytes = 0; },
      [](auto& o) { o.item_cache_bytes = 0; },
  };
  for (size_t i = 0; i < good.size(); ++i) {
    SCOPED_TRACE(i);
    StoreOptions options = options_;
    good[i](options);
    const std::string directory = directory_ + std::to_string(i);
    for (int life = 0; life < 2; ++life) {
      store_ = Store::Open(directory, options).value();
      if (life == 0) MakeGames(ViewType::kNewAndOldImages);
      for (int64_t id = 0; id < 5; ++id) {
        ASSERT_OK(store_->Put("UserGames", Game(id, std::to_string(life))));
      }
      ASSERT_OK(store_->Checkpoint());
      ASSERT_OK(store_->RunMaintenance());
      EXPECT_EQ(ReadTable(*store_, "UserGames").size(), 5u);
      EXPECT_EQ(ReadStream(*store_, LatestStream("UserGames")).size(), life == 0 ? 5u : 10u);
      ASSERT_OK(store_->Close());
      store_.reset();
    }
  }
}

}  // namespace
}  // namespace tailrace::test
