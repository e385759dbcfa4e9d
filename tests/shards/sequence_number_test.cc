#include "shards/sequence_number.h"

#include <gtest/gtest.h>

#include "tests/support/expect_ok.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"

namespace tailrace::shards {
namespace {

TEST(SequenceNumberTest, ConstantWidthAndOrder) {
  EXPECT_EQ(FormatSequenceNumber({0}), "100000000000000000000");
  EXPECT_EQ(FormatSequenceNumber({4096}), "100000000000000004096");
  EXPECT_EQ(FormatSequenceNumber({UINT64_MAX}), "118446744073709551615");
  tailrace::test::Random random(tailrace::test::TestSeed());
  for (int i = 0; i < 1000; ++i) {
    const SequenceNumber a{random.Next() >> random.Below(64)};
    const SequenceNumber b{random.Next() >> random.Below(64)};
    const std::string text = FormatSequenceNumber(a);
    EXPECT_EQ(text.size(), kSequenceNumberDigits);
    EXPECT_EQ(a < b, text < FormatSequenceNumber(b));
    const auto parsed = ParseSequenceNumber(text);
    ASSERT_OK(parsed);
    EXPECT_EQ(*parsed, a);
  }
}

TEST(SequenceNumberTest, ReadsLeadingZerosUpToFortyDigits) {
  const std::string digits = "100000000000000004096";
  for (size_t width = digits.size(); width <= kSequenceNumberDigitsMax; ++width) {
    const auto parsed = ParseSequenceNumber(std::string(width - digits.size(), '0') + digits);
    ASSERT_OK(parsed);
    EXPECT_EQ(parsed->value, 4096u);
  }
}

TEST(SequenceNumberTest, RefusesWhatIsNoNumber) {
  for (const std::string& text :
       {std::string(), std::string("12a"), std::string("-100000000000000004096"),
        std::string("+100000000000000004096"), std::string(" 100000000000000004096"),
        std::string("0"), std::string("99999999999999999999"), std::string("118446744073709551616"),
        std::string("999999999999999999999"), std::string(40, '9'),
        std::string(20, '0') + "100000000000000004096",
        std::string("1\0"
                    "0",
                    3)}) {
    EXPECT_EQ(ParseSequenceNumber(text).status().code(), StatusCode::kInvalidArgument) << text;
  }
}

TEST(SequenceNumberTest, ShardNames) {
  EXPECT_EQ(FormatShardName(1414562045508, ShardId{0x2bac9cd2}),
            "shardId-00000001414562045508-2bac9cd2");
  for (const ShardName name : {ShardName{0, ShardId{1}}, ShardName{1414562045508, ShardId{7}},
                               ShardName{UINT64_MAX, ShardId{UINT64_MAX}}}) {
    const std::string text = FormatShardName(name.created_ms, name.id);
    EXPECT_GE(text.size(), 28u);  // The service model's limits.
    EXPECT_LE(text.size(), 65u);
    const auto parsed = ParseShardName(text);
    ASSERT_OK(parsed);
    EXPECT_EQ(*parsed, name);
  }
}

TEST(SequenceNumberTest, RefusesWhatIsNoShardName) {
  for (const char* text :
       {"", "shardId-", "shardId-00000001414562045508-2BAC9CD2",
        "shardId-0000000141456204550-2bac9cd2", "shardId-00000001414562045508-2bac9cd",
        "shardId-00000001414562045508-02bac9cd2", "shardId-00000001414562045508_2bac9cd2",
        "shardId-99999999999999999999-2bac9cd2", "ShardId-00000001414562045508-2bac9cd2",
        "shardId-00000001414562045508-2bac9cd2 ", "shardId-+0000001414562045508-2bac9cd2"}) {
    EXPECT_EQ(ParseShardName(text).status().code(), StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace tailrace::shards
