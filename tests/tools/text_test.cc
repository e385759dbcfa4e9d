// Text for people: what reaches a terminal cannot steer it, and numbers read well.
#include "tools/text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "tools/dynamodb_json.h"
#include "tools/output.h"

namespace tailrace::tools {
namespace {

TEST(Text, ControlCharactersAreEscaped) {
  EXPECT_EQ(EscapeForTerminal("a\x1b[31mb"), "a\\u{1b}[31mb");
  EXPECT_EQ(EscapeForTerminal("line\nnext\ttab\r"), "line\\nnext\\ttab\\r");
  EXPECT_EQ(EscapeForTerminal(std::string("\0\x7f", 2)), "\\u{0}\\u{7f}");
  EXPECT_EQ(EscapeForTerminal("\xc2\x9b"
                              "31m"),
            "\\u{9b}31m");  // A one-character escape.
  EXPECT_EQ(EscapeForTerminal("\xe2\x80\xae"
                              "abc"),
            "\\u{202e}abc");  // Turns the direction.
  EXPECT_EQ(EscapeForTerminal("\xe2\x81\xa6\xef\xbb\xbf"), "\\u{2066}\\u{feff}");
}

TEST(Text, OrdinaryTextStaysAsItIs) {
  const std::string text = "Zürich, 東京, 🎲 \"quoted\" back\\slash";
  EXPECT_EQ(EscapeForTerminal(text), text);
  EXPECT_EQ(QuoteForTerminal("say \"a\\b\""), "\"say \\\"a\\\\b\\\"\"");
}

TEST(Text, BytesThatAreNotTextAreEscaped) {
  EXPECT_EQ(EscapeForTerminal("\xff\xfe"), "\\xff\\xfe");
  EXPECT_EQ(EscapeForTerminal("\xc3"), "\\xc3");                    // Cut short.
  EXPECT_EQ(EscapeForTerminal("\xc0\x80"), "\\xc0\\x80");           // Overlong.
  EXPECT_EQ(EscapeForTerminal("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // A surrogate.
  EXPECT_EQ(EscapeForTerminal("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
  EXPECT_EQ(ToUtf8("a\xff"
                   "b"),
            "a\xef\xbf\xbd"
            "b");
}

TEST(Text, NothingThatSteersSurvivesInJsonAndItStaysTheSameJson) {
  test::Random random(test::TestSeed());
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    const uint64_t length = random.Below(12);
    for (uint64_t c = 0; c < length; ++c) {
      constexpr std::string_view kPieces[] = {
          "a",  "\x1b", "\x7f",     "\xc2\x9b",     "\xe2\x80\xae", "\n",
          "\"", "\\",   "\xc3\xbc", "\xe2\x82\xac", "\xef\xbb\xbf", "\xd8\x9c"};
      text += kPieces[random.Below(std::size(kPieces))];
    }
    const std::string json = ItemToDynamoDbJson(Item{{"a", Value::S(text)}});
    const std::string escaped = EscapeJsonLine(json);
    EXPECT_EQ(EscapeForTerminal(escaped), escaped) << json;
    EXPECT_EQ(nlohmann::json::parse(escaped), nlohmann::json::parse(json));
  }
}

TEST(Text, ItemsReadLikeLiterals) {
  const Item item{{"id", Value::N(5)},
                  {"name", Value::S("x\ny")},
                  {"odd name", Value::Null()},
                  {"raw", Value::B(std::string("\0\1\2", 3))},
                  {"list", Value::L({Value::Bool(true), Value::N(-1)})},
                  {"map", Value::M(Item{{"k", Value::S("v")}})},
                  {"tags", Value::SS({"b", "a"}).value()},
                  {"nums", Value::NS({Number::FromInt64(2), Number::FromInt64(1)}).value()}};
  EXPECT_EQ(ItemText(item),
            "{id: 5, list: [true, -1], map: {k: \"v\"}, name: \"x\\ny\", nums: <1, 2>, \"odd "
            "name\": null, "
            "raw: b\"AAEC\", tags: <\"a\", \"b\">}");
}

TEST(Text, Numbers) {
  EXPECT_EQ(CountText(0), "0");
  EXPECT_EQ(CountText(999), "999");
  EXPECT_EQ(CountText(1000), "1,000");
  EXPECT_EQ(CountText(1234567), "1,234,567");
  EXPECT_EQ(BytesText(812), "812 B");
  EXPECT_EQ(BytesText(1536), "1.5 KiB");
  EXPECT_EQ(BytesText(UINT64_MAX), "16.0 EiB");
  EXPECT_EQ(DurationText(800), "0.8 ms");
  EXPECT_EQ(DurationText(12'000), "12 ms");
  EXPECT_EQ(DurationText(3'400'000), "3.4 s");
  EXPECT_EQ(DurationText(125'000'000), "2:05 min");
  EXPECT_EQ(RateText(1000, 500'000), "2,000/s");
  EXPECT_EQ(RateText(1000, 0), "-");
  EXPECT_EQ(Plural(1, "item"), "1 item");
  EXPECT_EQ(Plural(2000, "item"), "2,000 items");
}

TEST(Text, TablesAlignTheirColumns) {
  std::FILE* file = std::tmpfile();
  Output out(file);
  TextTable table({{"name"}, {"count", TextTable::Align::kRight}});
  table.Row({"Zürich", "7"});
  table.Row({"a\x1b", "1,000"});
  table.Print(out, "  ");
  ASSERT_TRUE(out.Finish().ok());
  std::rewind(file);
  char bytes[256] = {};
  const size_t read_bytes = std::fread(bytes, 1, sizeof bytes, file);
  std::fclose(file);
  EXPECT_EQ(std::string(bytes, read_bytes),
            "  name     count\n"
            "  Zürich       7\n"
            "  a\\u{1b}  1,000\n");
}

}  // namespace
}  // namespace tailrace::tools
