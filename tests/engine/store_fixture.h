// A store of a test's own: small segments and generations, a clock that tests step, no background
// upkeep.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "engine/store.h"
#include "tests/support/copy_store.h"
#include "tests/support/expect_ok.h"
#include "tests/support/sim_clock.h"
#include "tests/support/temp_dir.h"

namespace tailrace::test {

inline StoreOptions SmallOptions(const Clock& clock, Durability durability) {
  StoreOptions options;
  options.durability = durability;
  options.clock = &clock;
  options.journal_segment_bytes = 1 << 20;
  options.generation_bytes_max = 256 << 10;
  options.journal_bytes_max = 4 << 20;
  options.shard_segment_bytes_max = 64 << 10;
  options.maintenance_interval_ms = 0;
  return options;
}

inline const KeySchema kGameKeys{{"game_id", ScalarType::kN}, std::nullopt};
inline const KeySchema kScoreKeys{{"user", ScalarType::kS}, KeyAttribute{"at", ScalarType::kN}};

inline Item Game(int64_t id, const std::string& user) {
  return Item{{"game_id", Value::N(id)}, {"user_id", Value::S(user)}};
}
inline Item GameKey(int64_t id) { return Item{{"game_id", Value::N(id)}}; }

// Every record of a stream, shard by shard, from the trim horizon to its end, of all that is safe
// now.
inline std::vector<ChangeRecord> ReadStream(Store& store, StreamId stream) {
  std::vector<ChangeRecord> records;
  const auto stats = store.Stats();
  EXPECT_OK(stats);
  if (!stats.ok()) return records;
  EXPECT_OK(store.WaitFannedOut({stats->safe}));
  const auto info = store.DescribeStream(stream);
  EXPECT_OK(info);
  if (!info.ok()) return records;
  for (const ShardInfo& shard : info->shards) {
    auto position = store.SeekShard(stream, shard.id, StartAt::kTrimHorizon);
    EXPECT_OK(position);
    if (!position.ok()) return records;
    while (true) {
      auto page = store.ReadShard(*position);
      EXPECT_OK(page);
      if (!page.ok()) return records;
      EXPECT_FALSE(page->gap.has_value());
      for (ChangeRecord& record : page->records) records.push_back(std::move(record));
      if (page->caught_up || page->end_of_shard) break;
      position = page->next;
    }
  }
  return records;
}

// Every item of a table.
inline std::vector<Item> ReadTable(Store& store, const std::string& table,
                                   uint32_t items_max = 1000) {
  std::vector<Item> items;
  ScanRequest request{.items_max = items_max};
  while (true) {
    auto page = store.Scan(table, request);
    EXPECT_OK(page);
    if (!page.ok()) return items;
    for (Item& item : page->items) items.push_back(std::move(item));
    if (!page->last_key) return items;
    request.start_after = page->last_key;
  }
}

// Tests of the store, once for each durability.
class StoreTest : public ::testing::TestWithParam<Durability> {
 protected:
  StoreTest() : options_(SmallOptions(clock_, GetParam())) {}

  void Open() {
    auto opened = Store::Open(directory_, options_);
    ASSERT_OK(opened);
    store_ = std::move(*opened);
  }
  void Close() {
    ASSERT_OK(store_->Close());
    store_.reset();
  }
  void Reopen() {
    Close();
    Open();
  }
  void MakeGames(std::optional<ViewType> stream) {
    ASSERT_OK(store_->CreateTable({.name = "UserGames", .keys = kGameKeys, .stream = stream}));
  }
  StreamId LatestStream(const std::string& table) {
    return store_->DescribeTable(table)->latest_stream.value();
  }

  SimClock clock_;
  TempDir temp_;
  std::string directory_ = temp_.path() + "/store";
  StoreOptions options_;
  std::unique_ptr<Store> store_;
};

inline std::string DurabilityName(const ::testing::TestParamInfo<Durability>& info) {
  return info.param == Durability::kSync ? "Sync" : "Buffered";
}

}  // namespace tailrace::test
