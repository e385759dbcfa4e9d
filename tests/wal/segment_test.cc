// Segment headers, names and seeds.
#include "wal/segment.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "wal/coding.h"
#include "wal/hash.h"

namespace tailrace::wal {
namespace {

const SegmentHeader kHeader{.store_id = StoreId{11},
                            .log_id = 0,
                            .base = 3 * kBlockBytes,
                            .segment_bytes = 64 << 10,
                            .epoch = Epoch{4},
                            .durability = 1,
                            .wall_ms = 1588982400000,
                            .base_ordinal = 7,
                            .previous = 8,
                            .base_chain = 9,
                            .epoch_start = 2 * kBlockBytes};

// Writes the hash that belongs to changed bytes.
void Reseal(std::string& bytes) {
  StoreLittle<uint64_t>(bytes.data() + kSegmentHashAt,
                        Hash64(ByteView(bytes).substr(0, kSegmentHashAt)));
}

TEST(SegmentTest, HeaderComesBack) {
  const std::string bytes = EncodeSegmentHeader(kHeader);
  ASSERT_EQ(bytes.size(), kSegmentHeaderBytes);
  SegmentHeader header;
  ASSERT_EQ(DecodeSegmentHeader(bytes, header), SegmentHeaderState::kValid);
  EXPECT_EQ(header, kHeader);
}

TEST(SegmentTest, EverySingleBitOfAHeaderCounts) {
  const std::string good = EncodeSegmentHeader(kHeader);
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    SegmentHeader header;
    ASSERT_EQ(DecodeSegmentHeader(bad, header), SegmentHeaderState::kInvalid) << "bit " << bit;
  }
}

TEST(SegmentTest, ShortAndEmptyHeadersAreInvalid) {
  const std::string good = EncodeSegmentHeader(kHeader);
  SegmentHeader header;
  for (const size_t bytes : {size_t{0}, size_t{8}, size_t{100}, good.size() - 1}) {
    EXPECT_EQ(DecodeSegmentHeader(good.substr(0, bytes), header), SegmentHeaderState::kInvalid);
  }
  EXPECT_EQ(DecodeSegmentHeader(std::string(kSegmentHeaderBytes, '\0'), header),
            SegmentHeaderState::kInvalid);
}

TEST(SegmentTest, NewerVersionIsRecognised) {
  std::string bytes = EncodeSegmentHeader(kHeader);
  bytes[kSegmentVersionAt] = kFormatVersion + 1;
  Reseal(bytes);
  SegmentHeader header;
  EXPECT_EQ(DecodeSegmentHeader(bytes, header), SegmentHeaderState::kNewer);
  EXPECT_EQ(header.version, kFormatVersion + 1);
}

TEST(SegmentTest, WholeHeadersWithImpossibleNumbersAreInvalid) {
  const auto state = [](uint64_t at, uint64_t value) {
    std::string bytes = EncodeSegmentHeader(kHeader);
    StoreLittle<uint64_t>(bytes.data() + at, value);
    Reseal(bytes);
    SegmentHeader header;
    return DecodeSegmentHeader(bytes, header);
  };
  EXPECT_EQ(state(kSegmentBaseAt, 4 * kBlockBytes), SegmentHeaderState::kValid);
  EXPECT_EQ(state(kSegmentBaseAt, ~uint64_t{0}), SegmentHeaderState::kInvalid);
  EXPECT_EQ(state(kSegmentBaseAt, 3 * kBlockBytes + 8), SegmentHeaderState::kInvalid);
  EXPECT_EQ(state(kSegmentBytesAt, 0), SegmentHeaderState::kInvalid);
  EXPECT_EQ(state(kSegmentBytesAt, kSegmentHeaderBytes), SegmentHeaderState::kInvalid);
  EXPECT_EQ(state(kSegmentBytesAt, ~uint64_t{0}), SegmentHeaderState::kInvalid);
  EXPECT_EQ(state(kSegmentEpochAt, uint64_t{1} << 32), SegmentHeaderState::kInvalid);
  EXPECT_EQ(state(kSegmentEpochStartAt, 4 * kBlockBytes), SegmentHeaderState::kInvalid);
}

TEST(SegmentTest, SeedDependsOnEveryPartOfTheIdentity) {
  std::set<uint64_t> seeds;
  seeds.insert(SegmentSeed(StoreId{1}, 2, 3, Epoch{4}).value);
  seeds.insert(SegmentSeed(StoreId{9}, 2, 3, Epoch{4}).value);
  seeds.insert(SegmentSeed(StoreId{1}, 9, 3, Epoch{4}).value);
  seeds.insert(SegmentSeed(StoreId{1}, 2, 9, Epoch{4}).value);
  seeds.insert(SegmentSeed(StoreId{1}, 2, 3, Epoch{9}).value);
  EXPECT_EQ(seeds.size(), 5u);
}

TEST(SegmentTest, NamesSortAsNumbersAndComeBack) {
  EXPECT_EQ(SegmentFileName(4096), "00000000000000004096.seg");
  EXPECT_LT(SegmentFileName(999), SegmentFileName(1000));
  EXPECT_EQ(ParseSegmentFileName("00000000000000004096.seg"), 4096u);
  for (const char* name : {"4096.seg", "00000000000000004096.tmp", "0000000000000000409x.seg",
                           "99999999999999999999.seg", "+0000000000000004096.seg",
                           "00000000000000004096.seg.torn", ""}) {
    EXPECT_EQ(ParseSegmentFileName(name), std::nullopt) << name;
  }
}

}  // namespace
}  // namespace tailrace::wal
