// Items, keys and schemas from command lines and lines of files.
#include "tools/item_input.h"

#include <gtest/gtest.h>

namespace tailrace::tools {
namespace {

const KeySchema kKeys{.partition = {"id", ScalarType::kN},
                      .sort = KeyAttribute{"at", ScalarType::kS}};
const KeySchema kBinaryKey{.partition = {"raw", ScalarType::kB}};

TEST(ItemInput, WordsFollowTheKeySchema) {
  const auto item =
      ParseItemWords({"id=7", "at=5", "name=x=y", "n:=12.50", "tags:={\"SS\":[\"a\"]}"}, kKeys);
  ASSERT_TRUE(item.ok()) << item.status().ToString();
  EXPECT_EQ(*item, (Item{{"id", Value::N(7)},
                         {"at", Value::S("5")},
                         {"name", Value::S("x=y")},
                         {"n", Value::N(Number::Parse("12.5").value())},
                         {"tags", Value::SS({"a"}).value()}}));
  EXPECT_EQ(ParseItemWords({"raw=AAEC"}, kBinaryKey).value(),
            (Item{{"raw", Value::B(std::string("\0\1\2", 3))}}));
}

TEST(ItemInput, JsonIsReadAsItIsWritten) {
  const Item item{{"id", Value::N(7)}, {"at", Value::S("x")}};
  EXPECT_EQ(ParseItem("{\"id\":7,\"at\":\"x\"}").value(), item);
  EXPECT_EQ(ParseItem("{\"id\":{\"N\":\"7\"},\"at\":{\"S\":\"x\"}}").value(), item);
  EXPECT_EQ(ParseItem("{\"Item\":{\"id\":{\"N\":\"7\"},\"at\":{\"S\":\"x\"}}}").value(), item);
  EXPECT_EQ(ParseItemWords({"  {\"id\":7,\"at\":\"x\"}"}, kKeys).value(), item);
}

TEST(ItemInput, FormatsAreToldApart) {
  EXPECT_EQ(DetectItemFormat("{\"id\":7}").value(), ItemFormat::kPlain);
  EXPECT_EQ(DetectItemFormat("{}").value(), ItemFormat::kPlain);
  EXPECT_EQ(DetectItemFormat("{\"a\":{\"S\":\"x\"},\"b\":1}").value(), ItemFormat::kPlain);
  EXPECT_EQ(DetectItemFormat("{\"Item\":{\"a\":1}}").value(), ItemFormat::kPlain);
  EXPECT_EQ(DetectItemFormat("{\"a\":{\"S\":\"x\"}}").value(), ItemFormat::kDynamoDb);
  EXPECT_EQ(DetectItemFormat("{\"Item\":{\"a\":{\"S\":\"x\"}}}").value(), ItemFormat::kExportLine);
  EXPECT_FALSE(DetectItemFormat("[1]").ok());
  EXPECT_FALSE(DetectItemFormat("{\"a\":").ok());
}

TEST(ItemInput, BadWordsAreNamed) {
  for (const auto& words : std::vector<std::vector<std::string>>{
           {"id"}, {"=5"}, {"id=seven"}, {"id=7", "id=8"}, {"n:=nonsense"}, {"{\"id\":"}}) {
    const auto item = ParseItemWords(words, kKeys);
    ASSERT_FALSE(item.ok()) << words[0];
    EXPECT_EQ(item.status().code(), StatusCode::kInvalidArgument);
    EXPECT_FALSE(item.status().message().empty());
  }
}

TEST(ItemInput, KeysHaveExactlyTheKeyAttributes) {
  EXPECT_EQ(ParseKeyWords({"id=7", "at=x"}, kKeys).value(),
            (Item{{"id", Value::N(7)}, {"at", Value::S("x")}}));
  EXPECT_EQ(ParseKeyWords({"AAEC"}, kBinaryKey).value(),
            (Item{{"raw", Value::B(std::string("\0\1\2", 3))}}));
  for (const auto& words : std::vector<std::vector<std::string>>{
           {"7"}, {"id=7"}, {"id=7", "at=x", "b=1"}, {"id=7", "at="}}) {
    const auto key = ParseKeyWords(words, kKeys);
    ASSERT_FALSE(key.ok());
    EXPECT_NE(key.status().message().find("id:N, at:S"), std::string::npos)
        << key.status().message();
  }
}

TEST(ItemInput, KeySchemas) {
  EXPECT_EQ(ParseKeySchema("id:N", "at:S").value(), kKeys);
  EXPECT_EQ(ParseKeySchema("a:b:B", "").value().partition, (KeyAttribute{"a:b", ScalarType::kB}));
  EXPECT_EQ(KeySchemaText(kKeys), "id:N, at:S");
  for (const char* text : {"", "id", "id:", ":N", "id:BOOL", "id:n"}) {
    EXPECT_FALSE(ParseKeyAttribute(text).ok()) << text;
  }
}

}  // namespace
}  // namespace tailrace::tools
