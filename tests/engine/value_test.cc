#include "engine/value.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "engine/base64.h"
#include "engine/limits.h"
#include "engine/utf8.h"
#include "tests/engine/random_items.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"

namespace tailrace {
namespace {

Number N(const char* text) { return Number::Parse(text).value(); }

// A value of `levels` levels, the innermost being `leaf`.
Value Nested(int levels, Value leaf) {
  for (int level = 1; level < levels; ++level) {
    leaf = level % 2 == 0 ? Value::L({std::move(leaf)}) : Value::M(Item{{"n", std::move(leaf)}});
  }
  return leaf;
}

TEST(ItemTest, KeepsAttributesByName) {
  Item item{{"b", Value::N(2)}, {"a", Value::S("x")}, {"b", Value::N(3)}, {"", Value::Null()}};
  EXPECT_EQ(item.size(), 3u);
  std::vector<std::string> names;
  for (const Attribute& attribute : item) names.push_back(attribute.name);
  EXPECT_EQ(names, (std::vector<std::string>{"", "a", "b"}));
  EXPECT_EQ(*item.GetNumber("b"), Number::FromInt64(3)) << "the last of a name counts";

  item.Set("aa", Value::Bool(true)).Set("a", Value::S("y"));
  EXPECT_EQ(item.size(), 4u);
  EXPECT_EQ(*item.GetString("a"), "y");
  EXPECT_TRUE(*item.GetBool("aa"));
  EXPECT_TRUE(item.Remove("aa"));
  EXPECT_FALSE(item.Remove("aa"));
  EXPECT_FALSE(item.Has("aa"));
  EXPECT_TRUE(item.Has("a"));
}

TEST(ItemTest, NamesAreOrderedByUnsignedBytes) {
  const Item item{{"\xC3\xA4", Value::N(2)}, {"z", Value::N(1)}};
  EXPECT_EQ(item.begin()->name, "z");
}

TEST(ItemTest, TypedAccessRefusesOtherTypes) {
  const Item item{{"s", Value::S("5")},
                  {"n", Value::N(5)},
                  {"b", Value::B("5")},
                  {"m", Value::M(Item{{"x", Value::N(1)}})},
                  {"l", Value::L({Value::N(1)})}};
  EXPECT_EQ(item.GetNumber("s"), nullptr);
  EXPECT_EQ(item.GetString("n"), nullptr);
  EXPECT_EQ(item.GetString("b"), nullptr);
  EXPECT_EQ(item.GetNumber("missing"), nullptr);
  EXPECT_EQ(item.GetBool("s"), nullptr);
  EXPECT_EQ(item.GetBinary("b")->bytes, "5");
  EXPECT_EQ(*item.GetMap("m")->GetNumber("x"), Number::FromInt64(1));
  EXPECT_EQ(item.GetList("l")->size(), 1u);
  EXPECT_EQ(item.GetMap("l"), nullptr);
  EXPECT_EQ(item.GetList("m"), nullptr);
}

TEST(ValueTest, TypesHaveTheServicesNames) {
  const std::vector<std::pair<Value, std::string>> cases = {
      {Value::S(""), "S"},
      {Value::N(1), "N"},
      {Value::B(""), "B"},
      {Value::Bool(false), "BOOL"},
      {Value::Null(), "NULL"},
      {Value::M({}), "M"},
      {Value::L({}), "L"},
      {Value::SS({"a"}).value(), "SS"},
      {Value::NS({N("1")}).value(), "NS"},
      {Value::BS({Binary{"a"}}).value(), "BS"}};
  for (const auto& [value, name] : cases) {
    EXPECT_EQ(ValueTypeName(value.type()), name);
    EXPECT_EQ(ValueTypeOfName(name), value.type());
  }
  EXPECT_EQ(ValueTypeOfName("s"), std::nullopt);
  EXPECT_EQ(ValueTypeOfName(""), std::nullopt);
  EXPECT_TRUE(Value().is_null());
}

TEST(ValueTest, EqualityIsTheServices) {
  EXPECT_EQ(Value::N(N("1.0")), Value::N(1));
  EXPECT_NE(Value::N(1), Value::S("1"));
  EXPECT_NE(Value::S("1"), Value::B("1"));
  EXPECT_EQ(Value::SS({"a", "b"}).value(), Value::SS({"b", "a"}).value());
  EXPECT_EQ(Value::NS({N("1"), N("2")}).value(), Value::NS({N("2.0"), N("1e0")}).value());
  EXPECT_NE(Value::SS({"a"}).value(), Value::BS({Binary{"a"}}).value());
  EXPECT_EQ(Value::M({{"a", Value::N(1)}, {"b", Value::N(2)}}),
            Value::M({{"b", Value::N(2)}, {"a", Value::N(1)}}));
  EXPECT_NE(Value::L({Value::N(1), Value::N(2)}), Value::L({Value::N(2), Value::N(1)}));
  EXPECT_NE(Value::Null(), Value::Bool(false));
}

TEST(ValueTest, SetsAreNeverEmptyAndHaveNoDuplicates) {
  const std::string invalid = "One or more parameter values were invalid: ";
  EXPECT_EQ(Value::SS({}).status().message(), invalid + "An string set  may not be empty");
  EXPECT_EQ(Value::NS({}).status().message(), invalid + "An number set  may not be empty");
  EXPECT_EQ(Value::BS({}).status().message(), invalid + "Binary sets should not be empty");
  EXPECT_EQ(Value::SS({"b", "a", "b"}).status().message(),
            invalid + "Input collection [b, a, b] contains duplicates.");
  EXPECT_EQ(Value::NS({N("1"), N("1.0")}).status().message(),
            "Input collection contains duplicates");
  EXPECT_EQ(Value::BS({Binary{"b"}, Binary{"b"}}).status().message(),
            invalid + "Input collection [Yg==, Yg==]of type BS contains duplicates.");
  EXPECT_EQ(Value::BS({Binary{""}, Binary{""}}).status().message(),
            invalid + "Input collection [, ]of type BS contains duplicates.");
  EXPECT_EQ(Value::SS({}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Value::SS({"b", ""}).value().string_set()->front(), "") << "elements may be empty";
}

TEST(ValueTest, SizeIsWhatTheServiceCounts) {
  EXPECT_EQ((Item{{"id", Value::S("Fred")}}.SizeBytes()), 6u);
  EXPECT_EQ(Value::S("\xC3\xA4").SizeBytes(), 2u);
  EXPECT_EQ(Value::B(std::string(3, '\0')).SizeBytes(), 3u);
  EXPECT_EQ(Value::Bool(true).SizeBytes(), 1u);
  EXPECT_EQ(Value::Null().SizeBytes(), 1u);
  EXPECT_EQ(Value::L({}).SizeBytes(), 3u);
  EXPECT_EQ(Value::M({}).SizeBytes(), 3u);
  EXPECT_EQ(Value::L({Value::S("aa"), Value::N(1)}).SizeBytes(), 3u + 3 + 3);
  EXPECT_EQ(Value::M({{"a", Value::S("b")}}).SizeBytes(), 3u + 1 + 1 + 1);
  EXPECT_EQ(Value::SS({"a", "bc"}).value().SizeBytes(), 3u);
  EXPECT_EQ(Value::NS({N("0"), N("1")}).value().SizeBytes(), 3u);
  EXPECT_EQ(Value::BS({Binary{"a"}, Binary{"bcd"}}).value().SizeBytes(), 4u);
}

TEST(ValidateItemTest, SizeLimitIsExact) {
  const Item fits{{"id", Value::S(std::string(kItemBytesMax - 2, 'x'))}};
  EXPECT_TRUE(ValidateItem(fits).ok());
  const Item too_large{{"id", Value::S(std::string(kItemBytesMax - 1, 'x'))}};
  EXPECT_EQ(ValidateItem(too_large).message(), "Item size has exceeded the maximum allowed size");
}

TEST(ValidateItemTest, NestingLimitIsExact) {
  EXPECT_TRUE(ValidateItem(Item{{"a", Nested(32, Value::S("leaf"))}}).ok());
  EXPECT_TRUE(ValidateItem(Item{{"a", Nested(32, Value::L({}))}}).ok());
  EXPECT_EQ(ValidateItem(Item{{"a", Nested(33, Value::S("leaf"))}}).message(),
            "Nesting Levels have exceeded supported limits: Attributes in the item have nested "
            "levels beyond supported limit");
}

TEST(ValidateItemTest, NamesAndTextMustBeText) {
  EXPECT_TRUE(ValidateItem(Item{{"\xF0\x9F\x90\x9F", Value::S(std::string(1, '\0'))}}).ok());
  EXPECT_TRUE(ValidateItem(Item{{"a", Value::B("\xFF")}}).ok());
  EXPECT_TRUE(ValidateItem(Item{{std::string(65'535, 'n'), Value::N(1)}}).ok());
  for (const Item& item :
       {Item{{"", Value::N(1)}}, Item{{std::string(65'536, 'n'), Value::N(1)}},
        Item{{"\xFF", Value::N(1)}}, Item{{"a", Value::S("\xC3")}},
        Item{{"a", Value::SS({"a", "\xED\xA0\x80"}).value()}},
        Item{{"a", Value::L({Value::S("\x80")})}}, Item{{"a", Value::M({{"", Value::N(1)}})}},
        Item{{"a", Value::M({{"b", Value::S("\x80")}})}}}) {
    EXPECT_EQ(ValidateItem(item).code(), StatusCode::kInvalidArgument);
  }
}

TEST(ValidateItemTest, RandomItemsAreValid) {
  test::Random random(test::TestSeed());
  for (int i = 0; i < 2000; ++i) {
    const Item item = test::RandomItem(random, 8);
    ASSERT_EQ(ValidateItem(item), Status::Ok());
    std::vector<Attribute> shuffled(item.begin(), item.end());
    std::reverse(shuffled.begin(), shuffled.end());
    ASSERT_EQ(Item(shuffled), item);
  }
}

// The definition itself, read bit by bit: decode, then ask whether that is how the character is
// encoded.
bool IsUtf8ByDefinition(const std::string& bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const auto lead = static_cast<uint8_t>(bytes[at]);
    const size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : 4;
    if (length == 4 && lead >> 3 != 30) return false;
    if (at + length > bytes.size()) return false;
    constexpr uint32_t kLeadMask[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t character = lead & kLeadMask[length];
    for (size_t i = 1; i < length; ++i) {
      const auto byte = static_cast<uint8_t>(bytes[at + i]);
      if (byte >> 6 != 2) return false;
      character = character << 6 | (byte & 0x3F);
    }
    constexpr uint32_t kShortest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (character < kShortest[length] || character > 0x10FFFF) return false;
    if (0xD800 <= character && character <= 0xDFFF) return false;
    at += length;
  }
  return true;
}

TEST(Utf8Test, AgreesWithTheDefinition) {
  test::Random random(test::TestSeed());
  for (int i = 0; i < 50'000; ++i) {
    const std::string text = test::RandomText(random, 0, 12);
    ASSERT_TRUE(IsUtf8(text)) << test::Hex(text);
    const std::string mutated = test::Mutated(random, text);
    ASSERT_EQ(IsUtf8(mutated), IsUtf8ByDefinition(mutated)) << test::Hex(mutated);
  }
  for (uint32_t lead = 0x80; lead < 0x100; ++lead) {
    for (uint32_t second = 0; second < 0x100; ++second) {
      for (const std::string tail : {"", "\x80", "\x80\x80", "\x80\x80\x80"}) {
        const std::string bytes =
            std::string{static_cast<char>(lead), static_cast<char>(second)} + tail;
        ASSERT_EQ(IsUtf8(bytes), IsUtf8ByDefinition(bytes)) << test::Hex(bytes);
      }
    }
  }
}

TEST(Base64Test, EncodesAsTheStandardsExamples) {
  const std::vector<std::pair<std::string, std::string>> cases = {{"", ""},
                                                                  {"f", "Zg=="},
                                                                  {"fo", "Zm8="},
                                                                  {"foo", "Zm9v"},
                                                                  {"foob", "Zm9vYg=="},
                                                                  {"fooba", "Zm9vYmE="},
                                                                  {"foobar", "Zm9vYmFy"},
                                                                  {"\xFB\xFF", "+/8="}};
  for (const auto& [bytes, text] : cases) {
    EXPECT_EQ(EncodeBase64(bytes), text);
    EXPECT_EQ(DecodeBase64(text).value(), bytes);
  }
}

TEST(Base64Test, OnlyTheOneTextIsDecoded) {
  for (const char* text : {"Z", "Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==", "Zg=v",
                           "Zm9v\n", "Zm 9", "Zm-_", "=Zg="}) {
    EXPECT_EQ(DecodeBase64(text).status().code(), StatusCode::kInvalidArgument) << text;
  }
  test::Random random(test::TestSeed());
  for (int i = 0; i < 2000; ++i) {
    const std::string bytes = random.Bytes(random.Below(40));
    const std::string text = EncodeBase64(bytes);
    ASSERT_EQ(DecodeBase64(text).value(), bytes);
    const std::string mutated = test::Mutated(random, text);
    const Result<std::string> decoded = DecodeBase64(mutated);
    if (decoded.ok()) {
      ASSERT_EQ(EncodeBase64(*decoded), mutated);
    }
  }
}

}  // namespace
}  // namespace tailrace
