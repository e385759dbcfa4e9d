// Pages that are read without decoding: the same records as decoded ones, in every view.
#include <gtest/gtest.h>

#include <string>

#include "engine/item_codec.h"
#include "tests/engine/store_fixture.h"

namespace tailrace::test {
namespace {

class EncodedPageTest : public StoreTest {
 protected:
  EncodedPageTest() { options_.shards_per_stream = 1; }

  // Inserts, changes and a deletion.
  void WriteAll() {
    for (int id = 0; id < 30; ++id) ASSERT_OK(store_->Put("UserGames", Game(id, "first")));
    for (int id = 0; id < 30; ++id) ASSERT_OK(store_->Put("UserGames", Game(id, "second")));
    const auto deleted = store_->Delete("UserGames", GameKey(7));
    ASSERT_OK(deleted);
    ASSERT_OK(store_->WaitFannedOut(deleted->token));
  }
  Position Start(StreamId stream) {
    const ShardId shard = store_->DescribeStream(stream)->shards.at(0).id;
    return *store_->SeekShard(stream, shard, StartAt::kTrimHorizon);
  }
};

INSTANTIATE_TEST_SUITE_P(Durabilities, EncodedPageTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

void ExpectSame(const ChangeRecord& one, const ChangeRecord& other) {
  EXPECT_EQ(one.event_id, other.event_id);
  EXPECT_EQ(one.kind, other.kind);
  EXPECT_EQ(one.sequence, other.sequence);
  EXPECT_EQ(one.commit, other.commit);
  EXPECT_EQ(one.shard, other.shard);
  EXPECT_EQ(one.ordinal, other.ordinal);
  EXPECT_EQ(one.keys, other.keys);
  EXPECT_EQ(one.new_image, other.new_image);
  EXPECT_EQ(one.old_image, other.old_image);
  EXPECT_EQ(one.size_bytes, other.size_bytes);
}

TEST_P(EncodedPageTest, HoldsWhatADecodedPageHolds) {
  Open();
  EncodedPage encoded;  // For all of them.
  for (const ViewType view : {ViewType::kKeysOnly, ViewType::kNewImage, ViewType::kOldImage,
                              ViewType::kNewAndOldImages}) {
    SCOPED_TRACE(ViewTypeName(view));
    MakeGames(view);
    WriteAll();
    Position position = Start(LatestStream("UserGames"));
    uint64_t records = 0;
    while (true) {
      const PageLimits limits{.records_max = 25};
      const auto decoded = store_->ReadShard(position, limits);
      ASSERT_OK(decoded);
      ASSERT_OK(store_->ReadEncoded(position, limits, encoded));
      ASSERT_EQ(encoded.records.size(), decoded->records.size());
      EXPECT_EQ(encoded.next, decoded->next);
      EXPECT_EQ(encoded.caught_up, decoded->caught_up);
      for (size_t i = 0; i < decoded->records.size(); ++i) {
        const ChangeRecord& expected = decoded->records[i];
        const RecordView& record = encoded.records[i];
        ExpectSame(*encoded.Decode(record), expected);
        EXPECT_EQ(*encoded.DecodeKeys(record), expected.keys);
        ASSERT_EQ(record.new_image.has_value(), expected.new_image.has_value());
        if (record.new_image) {
          EXPECT_EQ(*DecodeItem(*record.new_image), *expected.new_image);
        }
      }
      records += decoded->records.size();
      position = decoded->next;
      if (decoded->caught_up) break;
    }
    EXPECT_EQ(records, 61u);
    ASSERT_OK(store_->DropTable("UserGames"));
  }
}

TEST_P(EncodedPageTest, OutlivesItsRecordsAndIsEmptyAfterAnError) {
  Open();
  MakeGames(ViewType::kNewImage);
  WriteAll();
  const Position start = Start(LatestStream("UserGames"));
  EncodedPage page;
  ASSERT_OK(store_->ReadEncoded(start, {}, page));
  ASSERT_EQ(page.records.size(), 61u);
  clock_.Advance(25 * 3600'000);
  ASSERT_OK(store_->RunMaintenance());
  ASSERT_OK(store_->Checkpoint());  // With which the files go.
  EncodedPage other;
  ASSERT_OK(store_->ReadEncoded(start, {}, other));
  EXPECT_TRUE(other.gap.has_value());
  for (const RecordView& record : page.records) {
    const auto decoded = page.Decode(record);
    ASSERT_OK(decoded);
    EXPECT_EQ(decoded->ordinal, record.ordinal);
  }
  Position foreign = start;
  foreign.store = StoreId{start.store.value + 1};
  EXPECT_EQ(store_->ReadEncoded(foreign, {}, page).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(page.records.empty());
  foreign = start;
  foreign.stream = StreamId{999};
  EXPECT_EQ(store_->ReadEncoded(foreign, {}, page).code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace tailrace::test
