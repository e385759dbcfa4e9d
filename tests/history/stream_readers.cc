#include "tests/history/stream_readers.h"

#include <algorithm>

#include "tests/engine/lineage_check.h"
#include "tests/engine/store_fixture.h"

namespace tailrace::test {
namespace {

// A shard from its trim horizon on, by pages of so many records.
std::vector<ChangeRecord> ReadShardBy(Store& store, StreamId stream, ShardId shard,
                                      uint32_t records_max) {
  std::vector<ChangeRecord> records;
  auto position = store.SeekShard(stream, shard, StartAt::kTrimHorizon);
  EXPECT_OK(position);
  while (position.ok()) {
    auto page = store.ReadShard(*position, {.records_max = records_max});
    EXPECT_OK(page);
    if (!page.ok()) break;
    EXPECT_FALSE(page->gap.has_value());
    for (ChangeRecord& record : page->records) records.push_back(std::move(record));
    if (page->caught_up || page->end_of_shard) break;
    position = page->next;
  }
  return records;
}

StreamRecord Convert(const ChangeRecord& record) {
  StreamRecord converted{.sequence = record.sequence.value,
                         .commit = record.commit.value,
                         .commit_changes = record.commit_changes,
                         .ordinal = record.ordinal,
                         .wall_ms = record.wall_ms,
                         .kind = record.kind,
                         .key = KeyOfTrafficItem(record.keys)};
  if (record.new_image) converted.new_image = ContentOf(record.new_image);
  if (record.old_image) converted.old_image = ContentOf(record.old_image);
  return converted;
}

void WaitForFanOut(Store& store) {
  const auto stats = store.Stats();
  ASSERT_OK(stats);
  ASSERT_OK(store.WaitFannedOut({stats->safe}));
}

StreamHistory ReadStreamOf(Store& store, const StreamInfo& info) {
  StreamHistory stream{.view = info.view, .first = UINT64_MAX, .last = 0};
  stream.keys_step = static_cast<uint32_t>(kTrafficTables.size());
  const auto table = std::find(kTrafficTables.begin(), kTrafficTables.end(), info.table_name);
  stream.keys_rest = static_cast<uint32_t>(table - kTrafficTables.begin());
  const LineageCheck lineage(info);
  lineage.CheckShards();
  std::vector<ChangeRecord> all;
  for (const ShardInfo& shard : info.shards) {
    ShardHistory history{.starting = shard.starting.value};
    if (shard.ending) history.ending = shard.ending->value;
    stream.first = std::min(stream.first, shard.starting.value);
    stream.last = std::max(stream.last, shard.ending ? shard.ending->value : UINT64_MAX);
    std::vector<ChangeRecord> records = ReadShardBy(store, info.id, shard.id, 1000);
    for (const ChangeRecord& record : records) history.records.push_back(Convert(record));
    stream.shards.push_back(std::move(history));
    all.insert(all.end(), std::make_move_iterator(records.begin()),
               std::make_move_iterator(records.end()));
  }
  lineage.CheckOrder(all);
  return stream;
}

// The first record that a reader gets, if any.
std::optional<ChangeRecord> FirstFrom(Store& store, const ChangeRecord& at, StartAt start) {
  const auto position = store.SeekShard(at.stream, at.shard, start, at.sequence);
  EXPECT_OK(position);
  if (!position.ok()) return std::nullopt;
  auto page = store.ReadShard(*position, {.records_max = 1});
  EXPECT_OK(page);
  if (!page.ok() || page->records.empty()) return std::nullopt;
  return std::move(page->records[0]);
}

uint64_t ResumeInShard(Store& store, const std::vector<ChangeRecord>& records, uint64_t probes,
                       Random& random) {
  uint64_t resumed = 0;
  for (size_t i = 0; i < records.size() && !::testing::Test::HasFailure(); ++i) {
    if (records.size() > probes && random.Below(records.size()) >= probes) continue;
    const auto at = FirstFrom(store, records[i], StartAt::kAtSequenceNumber);
    const auto after = FirstFrom(store, records[i], StartAt::kAfterSequenceNumber);
    EXPECT_TRUE(at && at->event_id == records[i].event_id);
    EXPECT_EQ(after.has_value(), i + 1 < records.size());
    if (after) {
      EXPECT_EQ(after->event_id, records[i + 1].event_id);
    }
    ++resumed;
  }
  return resumed;
}

}  // namespace

std::vector<StreamHistory> ReadStreams(Store& store) {
  WaitForFanOut(store);
  std::vector<StreamHistory> streams;
  const auto infos = store.ListStreams();
  EXPECT_OK(infos);
  for (const StreamInfo& info : *infos) streams.push_back(ReadStreamOf(store, info));
  return streams;
}

uint64_t CheckResumption(Store& store, uint64_t probes, Random& random) {
  uint64_t resumed = 0;
  const auto infos = store.ListStreams();
  EXPECT_OK(infos);
  for (const StreamInfo& info : *infos) {
    for (const ShardInfo& shard : info.shards) {
      const auto records = ReadShardBy(store, info.id, shard.id, 1000);
      const auto again =
          ReadShardBy(store, info.id, shard.id, static_cast<uint32_t>(random.Between(1, 7)));
      EXPECT_EQ(records.size(), again.size());
      EXPECT_TRUE(std::equal(records.begin(), records.end(), again.begin(), again.end(),
                             [](const ChangeRecord& a, const ChangeRecord& b) {
                               return a.event_id == b.event_id && Convert(a) == Convert(b);
                             }));
      resumed += ResumeInShard(store, records, probes, random);
    }
  }
  return resumed;
}

void CheckIndexes(Store& store) {
  for (const std::string& table : kTrafficTables) {
    if (store.DescribeTable(table)->indexes.empty()) {
      ASSERT_OK(store.CreateIndex(table, {.name = "by_s", .keys = {{"s", ScalarType::kN}}}));
    }
    ASSERT_OK(store.RunMaintenance());
    const auto by_key = [](const Item& a, const Item& b) {
      return KeyOfTrafficItem(a) < KeyOfTrafficItem(b);
    };
    std::vector<Item> items = ReadTable(store, table);
    std::vector<Item> entries;
    ScanRequest request{.index = "by_s"};
    while (true) {
      auto page = store.Scan(table, request);
      ASSERT_OK(page);
      for (Item& item : page->items) entries.push_back(std::move(item));
      if (!page->last_key) break;
      request.start_after = page->last_key;
    }
    std::sort(items.begin(), items.end(), by_key);
    std::sort(entries.begin(), entries.end(), by_key);
    ASSERT_EQ(items, entries) << table;
  }
}

}  // namespace tailrace::test
