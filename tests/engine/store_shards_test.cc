// Shards that are split, rotated and merged while a store runs: lineage, and what readers get along
// it.
#include <gmock/gmock.h>

#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "engine/durable_reader.h"
#include "tests/engine/lineage_check.h"
#include "tests/engine/store_fixture.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"

namespace tailrace::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class StoreShardsTest : public StoreTest {
 protected:
  StoreShardsTest() {
    options_.shards_per_stream = 1;
    options_.shard_split_records_per_second = 0;
    options_.shard_split_bytes_per_second = 0;
  }

  StreamId MakeStream() {
    MakeGames(ViewType::kNewAndOldImages);
    return LatestStream("UserGames");
  }
  std::vector<ShardInfo> Shards(StreamId stream) {
    auto info = store_->DescribeStream(stream);
    EXPECT_OK(info);
    return info.ok() ? info->shards : std::vector<ShardInfo>();
  }
  std::vector<ShardInfo> OpenShards(StreamId stream) {
    std::vector<ShardInfo> shards = Shards(stream);
    std::erase_if(shards, [](const ShardInfo& shard) { return shard.ending.has_value(); });
    return shards;
  }
  void Put(int64_t first, int64_t last, const std::string& user) {
    for (int64_t id = first; id <= last; ++id) ASSERT_OK(store_->Put("UserGames", Game(id, user)));
  }
  // The numbers of the games in a shard's records, from a position on.
  std::vector<std::string> GamesFrom(Position position) {
    std::vector<std::string> games;
    while (true) {
      const auto page = store_->ReadShard(position);
      EXPECT_OK(page);
      if (!page.ok()) return games;
      for (const ChangeRecord& record : page->records) {
        games.push_back(record.keys.GetNumber("game_id")->ToString());
      }
      if (page->caught_up || page->end_of_shard) return games;
      position = page->next;
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Durabilities, StoreShardsTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

// ---------------------------------------------------------------------------------------- splits

TEST_P(StoreShardsTest, ASplitEndsTheParentAndBeginsItsChildrenRightBehind) {
  Open();
  const StreamId stream = MakeStream();
  Put(1, 20, "before");
  const ShardId parent_id = Shards(stream).at(0).id;
  const auto children = store_->SplitShard(stream, parent_id);
  ASSERT_OK(children);
  Put(1, 20, "after");
  const auto check = [&] {
    const std::vector<ShardInfo> shards = Shards(stream);
    ASSERT_EQ(shards.size(), 3u);
    const ShardInfo& parent = shards[0];
    ASSERT_EQ(parent.id, parent_id);
    ASSERT_TRUE(parent.ending.has_value());
    const uint64_t half = UINT64_MAX / 2;
    for (int i = 0; i < 2; ++i) {
      const ShardInfo& child = shards[static_cast<size_t>(i) + 1];
      EXPECT_EQ(child.id, (*children)[static_cast<size_t>(i)].id);
      EXPECT_EQ(child.parent, parent_id);
      EXPECT_EQ(child.starting.value, parent.ending->value + 1);
      EXPECT_FALSE(child.ending.has_value());
      EXPECT_LT(parent.name, child.name);
      EXPECT_EQ(child.hash_first, i == 0 ? 0 : half + 1);
      EXPECT_EQ(child.hash_last, i == 0 ? half : UINT64_MAX);
    }
    std::map<ShardId, size_t> counts;
    for (const ChangeRecord& record : ReadStream(*store_, stream)) {
      ++counts[record.shard];
      EXPECT_EQ(record.shard == parent_id, *record.new_image->GetString("user_id") == "before");
      EXPECT_EQ(record.shard == parent_id, record.sequence <= *parent.ending);
    }
    EXPECT_EQ(counts[parent_id], 20u);
    EXPECT_EQ(counts[shards[1].id] + counts[shards[2].id], 20u);
    EXPECT_GT(counts[shards[1].id], 0u);
    EXPECT_GT(counts[shards[2].id], 0u);
  };
  check();
  Reopen();
  check();
}

TEST_P(StoreShardsTest, WhatCannotBeSplitIsRefused) {
  options_.shards_per_stream_max = 3;
  Open();
  const StreamId stream = MakeStream();
  const ShardId parent = Shards(stream).at(0).id;
  EXPECT_EQ(store_->SplitShard(StreamId{77}, parent).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(store_->SplitShard(stream, ShardId{77}).status().code(), StatusCode::kNotFound);
  const auto children = store_->SplitShard(stream, parent);
  ASSERT_OK(children);
  EXPECT_EQ(store_->SplitShard(stream, parent).status().code(), StatusCode::kFailedPrecondition);
  const auto grandchildren = store_->SplitShard(stream, children->at(0).id);
  ASSERT_OK(grandchildren);
  const Status full = store_->SplitShard(stream, children->at(1).id).status();
  EXPECT_EQ(full.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(full.message(), HasSubstr("shards_per_stream_max"));
  ASSERT_OK(store_->DisableStream("UserGames"));
  EXPECT_EQ(store_->SplitShard(stream, children->at(1).id).status().code(),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(Shards(stream).size(), 5u);
}

TEST_P(StoreShardsTest, AShardUnderLoadIsSplitByUpkeep) {
  options_.shard_split_records_per_second = 10;
  options_.shard_split_window_ms = 10'000;
  Open();
  const StreamId stream = MakeStream();
  // 99 records in a window, twice: never 100.
  for (int window = 0; window < 2; ++window) {
    Put(window * 1000, window * 1000 + 98, "slow");
    clock_.Advance(10'000);
  }
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(Shards(stream).size(), 1u);
  Put(5000, 5049, "fast");
  clock_.Advance(9'999);
  Put(5050, 5099, "fast");
  ASSERT_OK(store_->WaitFannedOut({store_->Stats()->safe}));
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(OpenShards(stream).size(), 2u);
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(OpenShards(stream).size(), 2u) << "one window, one split";
}

TEST_P(StoreShardsTest, ManyBytesAreLoadToo) {
  options_.shard_split_bytes_per_second = 10'000;
  options_.shard_split_window_ms = 1000;
  options_.shards_per_stream_max = 2;
  Open();
  const StreamId stream = MakeStream();
  Put(1, 20, "small");
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(Shards(stream).size(), 1u);
  Put(21, 25, std::string(3000, 'x'));
  ASSERT_OK(store_->WaitFannedOut({store_->Stats()->safe}));
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(OpenShards(stream).size(), 2u);
  Put(31, 55, std::string(3000, 'y'));
  ASSERT_OK(store_->WaitFannedOut({store_->Stats()->safe}));
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(OpenShards(stream).size(), 2u) << "shards_per_stream_max holds";
}

TEST_P(StoreShardsTest, OneBusyKeyIsNoReasonToSplit) {
  options_.shard_split_records_per_second = 100;
  options_.shard_split_window_ms = 1000;
  Open();
  const StreamId stream = MakeStream();
  for (int i = 0; i < 1000; ++i) {
    ASSERT_OK(store_->Put("UserGames", Game(i % 5 == 0 ? i : 3, std::to_string(i))));
  }
  ASSERT_OK(store_->WaitFannedOut({store_->Stats()->safe}));
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(Shards(stream).size(), 1u);
}

TEST_P(StoreShardsTest, UpkeepSplitsInTheBackgroundAndWakesReaders) {
  options_.shard_split_records_per_second = 100;
  options_.shard_split_window_ms = 1000;
  options_.maintenance_interval_ms = 24ull * 3600'000;  // Only load can wake it.
  Open();
  const StreamId stream = MakeStream();
  const ShardId parent = Shards(stream).at(0).id;
  Put(1, 150, "busy");
  auto position = store_->SeekShard(stream, parent, StartAt::kTrimHorizon);
  ASSERT_OK(position);
  size_t records = 0;
  while (true) {
    const auto page = store_->ReadShard(*position);
    ASSERT_OK(page);
    records += page->records.size();
    position = page->next;
    if (page->end_of_shard) break;
    const auto more = store_->WaitShard(*position, 60'000);
    ASSERT_OK(more);
    ASSERT_TRUE(*more) << "the busy shard was not split";
  }
  EXPECT_GE(records, 100u) << "it was split before it was busy";
  EXPECT_EQ(ReadStream(*store_, stream).size(), 150u);
  EXPECT_EQ(OpenShards(stream).size(), 2u);
}

// -------------------------------------------------------------------------------------- rotation

TEST_P(StoreShardsTest, ShardsRotateByAgeUnlessIdle) {
  options_.shards_per_stream = 2;
  options_.shard_rotation_ms = 4ull * 3600'000;
  Open();
  const StreamId stream = MakeStream();
  ASSERT_OK(store_->Put("UserGames", Game(1, "a")));
  const ShardId busy = ReadStream(*store_, stream).at(0).shard;
  clock_.Advance(options_.shard_rotation_ms - 1);
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(Shards(stream).size(), 2u);
  clock_.Advance(1);
  ASSERT_OK(store_->RunMaintenance());
  std::vector<ShardInfo> shards = Shards(stream);
  ASSERT_EQ(shards.size(), 3u) << "one was never written to";
  const ShardInfo child = shards.back();
  EXPECT_EQ(child.parent, busy);
  for (const ShardInfo& shard : shards) {
    EXPECT_EQ(shard.ending.has_value(), shard.id == busy);
    if (shard.id != busy) continue;
    EXPECT_EQ(shard.ending->value + 1, child.starting.value);
    EXPECT_EQ(shard.hash_first, child.hash_first);
    EXPECT_EQ(shard.hash_last, child.hash_last);
  }
  // The child is idle: it stays, also over a reopening. Then it is written to.
  clock_.Advance(3 * options_.shard_rotation_ms);
  Reopen();
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(Shards(stream).size(), 3u);
  ASSERT_OK(store_->Put("UserGames", Game(1, "b")));
  ASSERT_OK(store_->WaitFannedOut({store_->Stats()->safe}));
  ASSERT_OK(store_->ConfirmDowntime());
  ASSERT_OK(store_->RunMaintenance());
  shards = Shards(stream);
  ASSERT_EQ(shards.size(), 4u);
  EXPECT_EQ(shards.back().parent, child.id);
}

// ----------------------------------------------------------------------------------------- merges

TEST_P(StoreShardsTest, OnlyEmptyNeighboursAreMerged) {
  options_.shards_per_stream = 4;
  Open();
  const StreamId stream = MakeStream();
  const std::vector<ShardInfo> shards = Shards(stream);
  ASSERT_OK(store_->Put("UserGames", Game(1, "a")));
  const ShardId written = ReadStream(*store_, stream).at(0).shard;
  EXPECT_EQ(store_->MergeShards(stream, shards[0].id, shards[2].id).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->MergeShards(stream, shards[0].id, shards[0].id).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->MergeShards(stream, shards[3].id, shards[0].id).status().code(),
            StatusCode::kInvalidArgument);
  for (size_t i = 0; i < 3; ++i) {
    if (shards[i].id != written && shards[i + 1].id != written) continue;
    const Status refused = store_->MergeShards(stream, shards[i].id, shards[i + 1].id).status();
    EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
    EXPECT_THAT(refused.message(), HasSubstr("not expired"));
  }
  clock_.Advance(options_.retention_ms);
  ASSERT_OK(store_->RunMaintenance());
  // In either order.
  const auto left = store_->MergeShards(stream, shards[1].id, shards[0].id);
  ASSERT_OK(left);
  const auto right = store_->MergeShards(stream, shards[2].id, shards[3].id);
  ASSERT_OK(right);
  const auto whole = store_->MergeShards(stream, left->id, right->id);
  ASSERT_OK(whole);
  EXPECT_EQ(left->parent, shards[0].id);
  EXPECT_EQ(right->parent, shards[2].id);
  EXPECT_EQ(whole->parent, left->id);
  EXPECT_EQ(whole->hash_first, 0u);
  EXPECT_EQ(whole->hash_last, UINT64_MAX);
  EXPECT_EQ(store_->MergeShards(stream, shards[0].id, shards[1].id).status().code(),
            StatusCode::kFailedPrecondition)
      << "sealed";
  ASSERT_OK(store_->Put("UserGames", Game(1, "b")));
  Reopen();
  ASSERT_EQ(OpenShards(stream).size(), 1u);
  EXPECT_THAT(GamesFrom(*store_->SeekShard(stream, whole->id, StartAt::kTrimHorizon)),
              ElementsAre("1"));
}

// Shards 1 and 2 are split; of their four children the two in the middle, empty, would have only
// one of them as an ancestor when merged.
TEST_P(StoreShardsTest, AMergeLosesNoAncestorWithRecords) {
  options_.shards_per_stream = 2;
  Open();
  const StreamId stream = MakeStream();
  const std::vector<ShardInfo> roots = Shards(stream);
  Put(1, 20, "a");  // Into both.
  const auto lower = store_->SplitShard(stream, roots[0].id);
  const auto upper = store_->SplitShard(stream, roots[1].id);
  ASSERT_OK(lower);
  ASSERT_OK(upper);
  const ShardId inner[] = {lower->at(1).id, upper->at(0).id};
  const Status refused = store_->MergeShards(stream, inner[0], inner[1]).status();
  EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.message(), HasSubstr("not expired"));
  // Siblings have all ancestors in common.
  const auto again = store_->MergeShards(stream, lower->at(0).id, lower->at(1).id);
  ASSERT_OK(again);
  EXPECT_EQ(again->parent, lower->at(0).id);
  clock_.Advance(options_.retention_ms);
  ASSERT_OK(store_->RunMaintenance());
  const auto merged = store_->MergeShards(stream, again->id, inner[1]);
  ASSERT_OK(merged);
  EXPECT_EQ(merged->hash_first, 0u);
  EXPECT_EQ(merged->hash_last, upper->at(0).hash_last);
}

// Only the upper one's ancestor has records: the merged shard names that one.
TEST_P(StoreShardsTest, AMergeNamesTheParentWhoseAncestorHasRecords) {
  options_.shards_per_stream = 2;
  Open();
  const StreamId stream = MakeStream();
  const std::vector<ShardInfo> roots = Shards(stream);
  int64_t id = 0;
  do {
    ASSERT_OK(store_->Put("UserGames", Game(++id, "a")));
  } while (ReadStream(*store_, stream).back().shard != roots[1].id);
  clock_.Advance(options_.retention_ms);
  ASSERT_OK(store_->RunMaintenance());
  ASSERT_OK(store_->Put("UserGames", Game(id, "b")));
  const auto upper = store_->SplitShard(stream, roots[1].id);
  ASSERT_OK(upper);
  const auto merged = store_->MergeShards(stream, roots[0].id, upper->at(0).id);
  ASSERT_OK(merged);
  EXPECT_EQ(merged->parent, upper->at(0).id);
}

// --------------------------------------------------------------------------- streams that ended

TEST_P(StoreShardsTest, EndedStreamsKeepTheirNameAndKeysUntilTheyExpire) {
  Open();
  const StreamId disabled = MakeStream();
  Put(1, 5, "disabled");
  ASSERT_OK(store_->SplitShard(disabled, Shards(disabled).at(0).id));
  Put(6, 10, "disabled");
  ASSERT_OK(store_->DisableStream("UserGames"));
  clock_.Advance(1000);
  const auto again = store_->EnableStream("UserGames", ViewType::kNewImage);
  ASSERT_OK(again);
  const StreamId dropped = again->id;
  Put(11, 20, "dropped");
  ASSERT_OK(store_->DropTable("UserGames"));
  // The name's next table has another key, and a stream of its own.
  ASSERT_OK(store_->CreateTable(
      {.name = "UserGames", .keys = kScoreKeys, .stream = ViewType::kNewImage}));
  ASSERT_OK(store_->Put("UserGames", Item{{"user", Value::S("u")}, {"at", Value::N(1)}}));
  const StreamId enabled = LatestStream("UserGames");
  const auto check = [&] {
    const auto streams = store_->ListStreams("UserGames");
    ASSERT_OK(streams);
    ASSERT_EQ(streams->size(), 3u);
    for (const StreamInfo& stream : *streams) {
      EXPECT_EQ(stream.table_name, "UserGames");
      EXPECT_EQ(stream.keys, stream.id == enabled ? kScoreKeys : kGameKeys);
      EXPECT_EQ(stream.enabled, stream.id == enabled);
      for (const ShardInfo& shard : stream.shards) {
        EXPECT_EQ(shard.ending.has_value(),
                  stream.id != enabled || &shard != &stream.shards.back());
      }
    }
    EXPECT_EQ(ReadStream(*store_, disabled).size(), 10u);
    const auto records = ReadStream(*store_, dropped);
    ASSERT_EQ(records.size(), 10u);
    for (const ChangeRecord& record : records) {
      EXPECT_EQ(*record.new_image->GetString("user_id"), "dropped");
    }
    EXPECT_EQ(ReadStream(*store_, enabled).size(), 1u);
  };
  check();
  Reopen();
  check();
  ASSERT_OK(store_->Checkpoint());
  Reopen();
  check();
  clock_.Advance(options_.retention_ms - 1000);
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(store_->DescribeStream(disabled).status().code(), StatusCode::kNotFound)
      << "expired as a whole";
  EXPECT_EQ(ReadStream(*store_, dropped).size(), 10u) << "sealed a second later";
  clock_.Advance(1000);
  ASSERT_OK(store_->RunMaintenance());
  const auto left = store_->ListStreams("UserGames");
  ASSERT_OK(left);
  ASSERT_EQ(left->size(), 1u);
  EXPECT_EQ(left->front().id, enabled);
}

// ------------------------------------------------------------------------------- durable readers

class DurableLineageTest : public StoreShardsTest {
 protected:
  std::unique_ptr<DurableReader> OpenReader(StreamId stream, DurableReaderOptions options = {}) {
    auto reader = DurableReader::Open(*store_, "reader", stream, options);
    EXPECT_OK(reader);
    return reader.ok() ? std::move(*reader) : nullptr;
  }
  // What the reader gets until it is caught up, in its order: the shard of each record.
  std::vector<std::pair<ShardId, std::string>> ReadOn(DurableReader& reader,
                                                      const std::set<ShardId>& kept = {}) {
    EXPECT_OK(store_->WaitFannedOut({store_->Stats()->safe}));
    std::vector<std::pair<ShardId, std::string>> records;
    while (true) {
      const auto batch = reader.Next(0);
      EXPECT_OK(batch);
      if (!batch.ok() || !*batch) return records;
      EXPECT_FALSE((*batch)->gap.has_value());
      for (const ChangeRecord& record : (*batch)->records) {
        records.emplace_back(record.shard, *record.new_image->GetString("user_id"));
      }
      if (kept.contains((*batch)->shard)) {
        EXPECT_OK(reader.Checkpoint((*batch)->shard));
      }
    }
  }
  std::vector<std::string> Users(const std::vector<std::pair<ShardId, std::string>>& records) {
    std::vector<std::string> users;
    for (const auto& [shard, user] : records) users.push_back(user);
    return users;
  }
  // The shards with a checkpoint.
  std::set<uint64_t> Kept() {
    std::set<uint64_t> shards;
    for (const Item& item : ReadTable(*store_, "_tailrace.readers")) {
      shards.insert(static_cast<uint64_t>(*item.GetNumber("shard")->ToInt64()));
    }
    return shards;
  }
  ShardId SplitFirst(StreamId stream) {
    const ShardId shard = OpenShards(stream).at(0).id;
    EXPECT_OK(store_->SplitShard(stream, shard));
    return shard;
  }
  std::set<ShardId> All(StreamId stream) {
    std::set<ShardId> all;
    for (const ShardInfo& shard : Shards(stream)) all.insert(shard.id);
    return all;
  }
};

INSTANTIATE_TEST_SUITE_P(Durabilities, DurableLineageTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

TEST_P(DurableLineageTest, ParentsComeFirstAndTheirCheckpointsGo) {
  Open();
  const StreamId stream = MakeStream();
  const ShardId root = OpenShards(stream).at(0).id;
  for (const char* user : {"a", "b", "c"}) {
    Put(1, 10, user);
    SplitFirst(stream);
  }
  Put(1, 10, "d");
  auto reader = OpenReader(stream);
  const auto records = ReadOn(*reader);
  ASSERT_EQ(records.size(), 40u);
  const auto infos = Shards(stream);
  std::set<ShardId> seen;
  for (const auto& [shard, user] : records) {
    seen.insert(shard);
    for (const ShardInfo& info : infos) {
      if (info.parent != shard) continue;
      EXPECT_FALSE(seen.contains(info.id)) << "a child came before its parent's end";
    }
  }
  // Nothing was kept, so all comes again; now the root's checkpoint is kept only.
  Reopen();
  reader = OpenReader(stream);
  EXPECT_EQ(ReadOn(*reader, {root}).size(), 40u);
  EXPECT_THAT(Kept(), ElementsAre(root.value));
  Reopen();
  reader = OpenReader(stream);
  EXPECT_EQ(ReadOn(*reader, All(stream)).size(), 30u);
  std::set<uint64_t> open;
  for (const ShardInfo& info : OpenShards(stream)) open.insert(info.id.value);
  for (const uint64_t shard : Kept()) EXPECT_TRUE(open.contains(shard)) << "shard " << shard;
  Reopen();
  reader = OpenReader(stream);
  EXPECT_THAT(ReadOn(*reader), ::testing::IsEmpty()) << "what was read does not come again";
  Put(1, 10, "e");
  EXPECT_EQ(ReadOn(*reader, All(stream)).size(), 10u);
  SplitFirst(stream);
  Put(1, 10, "f");
  Reopen();
  reader = OpenReader(stream);
  EXPECT_EQ(ReadOn(*reader, All(stream)).size(), 10u);
}

TEST_P(DurableLineageTest, AttachmentsOfEndedShardsStayUntilTakenBack) {
  Open();
  const StreamId stream = MakeStream();
  Put(1, 10, "a");
  auto reader = OpenReader(stream);
  const Item attachment{{"total", Value::N(10)}};
  const ShardId parent = OpenShards(stream).at(0).id;
  SplitFirst(stream);
  Put(1, 10, "b");
  ASSERT_OK(store_->WaitFannedOut({store_->Stats()->safe}));
  while (true) {
    const auto batch = reader->Next(0);
    ASSERT_OK(batch);
    if (!*batch) break;
    ASSERT_OK(reader->Checkpoint((*batch)->shard, attachment));
  }
  EXPECT_EQ(Kept().size(), 3u);
  Reopen();
  reader = OpenReader(stream);
  EXPECT_EQ(reader->attachments().at(parent), attachment);
  ASSERT_OK(reader->Checkpoint(parent, {}));
  EXPECT_EQ(Kept().size(), 2u);
  EXPECT_FALSE(Kept().contains(parent.value));
  EXPECT_THAT(ReadOn(*reader), ::testing::IsEmpty());
}

TEST_P(DurableLineageTest, LatestIsTheMomentOfTheFirstOpening) {
  Open();
  const StreamId stream = MakeStream();
  Put(1, 10, "old");
  SplitFirst(stream);
  Put(1, 10, "old");
  const DurableReaderOptions latest{.start = StartAt::kLatest};
  auto reader = OpenReader(stream, latest);
  Put(1, 10, "new");
  SplitFirst(stream);
  Put(1, 10, "newer");
  Reopen();  // No checkpoint was stored.
  reader = OpenReader(stream, latest);
  const auto records = ReadOn(*reader);
  EXPECT_EQ(records.size(), 20u);
  EXPECT_THAT(Users(records), ::testing::Not(::testing::Contains("old")));
}

TEST_P(DurableLineageTest, WhatExpiredBeforeAChildWasBegunIsAGap) {
  Open();
  const StreamId stream = MakeStream();
  Put(1, 40, "read");
  const ShardId parent = SplitFirst(stream);
  EXPECT_EQ(ReadOn(*OpenReader(stream), {parent}).size(), 40u);
  Put(1, 40, "expired");
  clock_.Advance(25 * 3600'000);
  ASSERT_OK(store_->RunMaintenance());
  Put(1, 40, "new");
  ASSERT_OK(store_->WaitFannedOut({store_->Stats()->safe}));
  std::set<ShardId> expected;
  for (const ShardInfo& shard : Shards(stream)) {
    if (shard.parent == parent && shard.trimmed_below > shard.starting) expected.insert(shard.id);
  }
  EXPECT_EQ(expected.size(), 2u);
  const auto reader = OpenReader(stream);
  std::set<ShardId> gaps;
  while (true) {
    const auto batch = reader->Next(0);
    ASSERT_OK(batch);
    if (!*batch) break;
    if ((*batch)->gap) gaps.insert((*batch)->shard);
  }
  EXPECT_EQ(gaps, expected);
}

TEST_P(DurableLineageTest, AMomentBeginsEveryLineage) {
  Open();
  const StreamId stream = MakeStream();
  Put(1, 10, "old");
  SplitFirst(stream);
  clock_.Advance(1000);
  Put(1, 10, "old");
  clock_.Advance(1000);
  const uint64_t moment = clock_.WallMs();
  Put(1, 10, "new");
  SplitFirst(stream);
  // The clock falls back, so the children's records are stamped before the moment; what follows
  // records that are to be read is to be read.
  clock_.JumpWall(-1500);
  Put(1, 10, "late");
  auto reader = OpenReader(stream, {.start = StartAt::kAtTimestamp, .wall_ms = moment});
  const auto records = ReadOn(*reader);
  EXPECT_EQ(records.size(), 20u);
  EXPECT_THAT(Users(records), ::testing::Not(::testing::Contains("old")));
}

// ---------------------------------------------------------------------- order along the lineage

// Each key's records: counts from 1 up without a hole, each old image the new one before.
void CheckCounts(const std::vector<ChangeRecord>& records,
                 const std::map<int64_t, int64_t>& counts) {
  std::map<int64_t, const ChangeRecord*> last;
  std::map<int64_t, int64_t> found;
  for (const ChangeRecord& record : records) {
    const int64_t key = *record.keys.GetNumber("game_id")->ToInt64();
    ASSERT_EQ(*record.new_image->GetNumber("count")->ToInt64(), ++found[key]) << "game " << key;
    const ChangeRecord* before = std::exchange(last[key], &record);
    ASSERT_EQ(record.old_image, before ? before->new_image : std::nullopt);
  }
  EXPECT_EQ(found, counts);
}

// Writers count up the same few items while shards are split, rotated and merged all the time.
class LineageTest : public StoreShardsTest {
 protected:
  static constexpr int kWriters = 4;
  static constexpr int kWritesPerWriter = 1200;
  static constexpr int kWritesPerChange = 60;
  static constexpr int kWritesAheadMax = 600;  // Of the next change: so that there are many.
  static constexpr int kKeys = 24;

  LineageTest() {
    options_.shards_per_stream_max = 1000;
    options_.shard_rotation_ms = 1;
    options_.generation_bytes_max = 64 << 10;
  }

  void Write(int writer) {
    Random random(MixSeed(TestSeed(), static_cast<uint64_t>(writer)));
    for (int i = 0; i < kWritesPerWriter; ++i) {
      for (int due = due_.load(); written_.load() >= due + kWritesAheadMax; due = due_.load()) {
        due_.wait(due);
      }
      const auto key = static_cast<int64_t>(random.Below(kKeys));
      const auto count_up = [&](std::optional<Item>& item) {
        const int64_t count = item ? *item->GetNumber("count")->ToInt64() : 0;
        if (!item) item = GameKey(key);
        item->Set("count", Value::N(count + 1));
        return Status::Ok();
      };
      const auto written = store_->Update("UserGames", GameKey(key), count_up);
      ASSERT_OK(written);
      written_.fetch_add(1);
      written_.notify_all();
    }
  }

  // Changes shards until all is written.
  void ChangeShards(StreamId stream) {
    Random random(MixSeed(TestSeed(), 99));
    while (due_.load() < kWriters * kWritesPerWriter) {
      const std::vector<ShardInfo> open = OpenShards(stream);
      const size_t at = random.Below(open.size());
      Status changed;
      switch (random.Below(4)) {
        case 0:
          clock_.Advance(1);
          changed = store_->RunMaintenance();
          break;
        case 1:
          // Nothing has expired, so most often this is refused.
          changed =
              store_->MergeShards(stream, open[at].id, open[(at + 1) % open.size()].id).status();
          if (changed.code() == StatusCode::kFailedPrecondition ||
              changed.code() == StatusCode::kInvalidArgument) {
            changed = Status::Ok();
          }
          break;
        default:
          // A split's children are empty for a moment: writers and a merge race for them.
          const auto children = store_->SplitShard(stream, open[at].id);
          changed = children.status();
          if (children.ok() && (open.size() > 12 || random.OneIn(2))) {
            changed = store_->MergeShards(stream, children->at(0).id, children->at(1).id).status();
            merges_ += changed.ok() ? 1 : 0;
          }
          // Rotated by the store's own upkeep, or down to a single hash.
          if (changed.code() == StatusCode::kFailedPrecondition) changed = Status::Ok();
          break;
      }
      EXPECT_OK(changed);
      const int due = due_.fetch_add(kWritesPerChange) + kWritesPerChange;
      due_.notify_all();
      for (int seen = written_.load(); seen < due; seen = written_.load()) written_.wait(seen);
    }
  }

  int merges_ = 0;
  std::atomic<int> due_{0};  // The next change comes when so many are written.
  std::atomic<int> written_{0};
};

INSTANTIATE_TEST_SUITE_P(Durabilities, LineageTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

TEST_P(LineageTest, EachItemsChangesKeepTheirOrderAlongTheLineage) {
  Open();
  const StreamId stream = MakeStream();
  auto reader = DurableReader::Open(*store_, "follower", stream, {});
  ASSERT_OK(reader);
  std::vector<ChangeRecord> followed;
  std::thread follower([&] {
    while (followed.size() < kWriters * kWritesPerWriter) {
      auto batch = (*reader)->Next(60'000);
      ASSERT_OK(batch);
      ASSERT_TRUE(batch->has_value()) << "records are missing after " << followed.size();
      EXPECT_FALSE((*batch)->gap.has_value());
      for (ChangeRecord& record : (*batch)->records) followed.push_back(std::move(record));
    }
  });
  std::vector<std::thread> writers;
  for (int i = 0; i < kWriters; ++i) writers.emplace_back([this, i] { Write(i); });
  ChangeShards(stream);
  for (std::thread& writer : writers) writer.join();
  follower.join();
  if (HasFailure()) return;
  EXPECT_GT(merges_, 0);

  std::map<int64_t, int64_t> counts;
  for (const Item& item : ReadTable(*store_, "UserGames")) {
    counts[*item.GetNumber("game_id")->ToInt64()] = *item.GetNumber("count")->ToInt64();
  }
  const auto check = [&] {
    const auto info = store_->DescribeStream(stream);
    ASSERT_OK(info);
    const LineageCheck lineage(*info);
    EXPECT_GT(lineage.shards(), 20u);
    lineage.CheckShards();
    const std::vector<ChangeRecord> records = ReadStream(*store_, stream);
    EXPECT_EQ(records.size(), static_cast<size_t>(kWriters * kWritesPerWriter));
    // Shards are listed by id, and ids rise with creation: parents come before their children.
    for (const auto& read : {records, followed}) {
      lineage.CheckOrder(read);
      CheckCounts(read, counts);
    }
  };
  check();
  if (HasFailure()) return;
  Reopen();
  check();
}

}  // namespace
}  // namespace tailrace::test
