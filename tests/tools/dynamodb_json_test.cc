#include "tools/dynamodb_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "engine/base64.h"
#include "tests/engine/random_items.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"

namespace tailrace::tools {
namespace {

Value N(const char* text) { return Value::N(Number::Parse(text).value()); }

// One attribute of each type.
Item EveryType() {
  return Item{{"b", Value::B("Hi")},
              {"bool", Value::Bool(true)},
              {"bs", Value::BS({Binary{"a"}, Binary{""}}).value()},
              {"l", Value::L({Value::S("x"), Value::L({}), Value::Null()})},
              {"m", Value::M({{"inner", Value::M({})}})},
              {"n", N("-1.5")},
              {"ns", Value::NS({Number::FromInt64(10), Number::FromInt64(-2)}).value()},
              {"null", Value::Null()},
              {"s", Value::S("a\"b\\c\n\t\x01\x7F/\xC3\xA4")},
              {"ss", Value::SS({"b", "a"}).value()}};
}

constexpr char kEveryType[] =
    R"({"b":{"B":"SGk="},"bool":{"BOOL":true},"bs":{"BS":["","YQ=="]},)"
    R"("l":{"L":[{"S":"x"},{"L":[]},{"NULL":true}]},"m":{"M":{"inner":{"M":{}}}},)"
    R"("n":{"N":"-1.5"},"ns":{"NS":["-2","10"]},"null":{"NULL":true},)"
    R"("s":{"S":"a\"b\\c\n\t\u0001\u007f/)"
    "\xC3\xA4"
    R"("},"ss":{"SS":["a","b"]}})";

std::string RefusalOf(const Result<Item>& item) {
  if (item.ok()) return "accepted as " + ItemToDynamoDbJson(*item);
  EXPECT_EQ(item.status().code(), StatusCode::kInvalidArgument);
  return item.status().message();
}
std::string Refusal(const std::string& text) { return RefusalOf(ItemFromDynamoDbJson(text)); }
std::string PlainRefusal(const std::string& text) { return RefusalOf(ItemFromPlainJson(text)); }

TEST(DynamoDbJsonTest, EveryTypeBothWays) {
  EXPECT_EQ(ItemToDynamoDbJson(EveryType()), kEveryType);
  EXPECT_EQ(ItemFromDynamoDbJson(kEveryType).value(), EveryType());
  EXPECT_EQ(ItemToExportLine(EveryType()), std::string(R"({"Item":)") + kEveryType + "}");
  EXPECT_EQ(ItemFromExportLine(ItemToExportLine(EveryType())).value(), EveryType());
  EXPECT_EQ(ValueToDynamoDbJson(N("5")), R"({"N":"5"})");
  EXPECT_EQ(ItemToDynamoDbJson({}), "{}");
}

TEST(DynamoDbJsonTest, SpacesAndEscapesAreRead) {
  EXPECT_EQ(ItemFromDynamoDbJson(" {\n\t\"\\u0061\" : { \"S\" : \"\\ud83d\\ude00\\/\\b\" } } \r\n")
                .value(),
            (Item{{"a", Value::S("\xF0\x9F\x98\x80/\b")}}));
  EXPECT_EQ(ItemFromDynamoDbJson(R"({"a":{"S":"x\u0000y"}})").value(),
            (Item{{"a", Value::S(std::string("x\0y", 3))}}));
  EXPECT_EQ(ItemFromDynamoDbJson(R"({"a":{"N":"1e2"}})").value(), (Item{{"a", N("100")}}));
}

// What nlohmann's own tree says about our text.
TEST(DynamoDbJsonTest, WhatIsWrittenIsJsonAndIsReadBack) {
  test::Random random(test::TestSeed());
  for (int i = 0; i < 3000; ++i) {
    const Item item = test::RandomItem(random, 8);
    const std::string text = ItemToDynamoDbJson(item);
    const Result<Item> read = ItemFromDynamoDbJson(text);
    ASSERT_TRUE(read.ok()) << text << ": " << read.status().ToString();
    ASSERT_EQ(*read, item) << text;

    const nlohmann::json tree = nlohmann::json::parse(text, nullptr, false);
    ASSERT_FALSE(tree.is_discarded()) << text;
    ASSERT_EQ(tree.size(), item.size());
    for (const Attribute& attribute : item) {
      const nlohmann::json& value = tree[attribute.name];
      ASSERT_EQ(value.size(), 1u) << text;
      const std::string type(ValueTypeName(attribute.value.type()));
      ASSERT_TRUE(value.contains(type)) << text;
      if (attribute.value.string()) {
        ASSERT_EQ(value[type], *attribute.value.string());
      }
      if (attribute.value.number()) {
        ASSERT_EQ(value[type], attribute.value.number()->ToString());
      }
      if (attribute.value.binary()) {
        ASSERT_EQ(value[type], EncodeBase64(attribute.value.binary()->bytes));
      }
    }
  }
}

TEST(DynamoDbJsonTest, BadValuesAreRefusedWithTheirPlace) {
  const std::string no_type =
      "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes";
  const std::string many_types =
      "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the "
      "supported datatypes";
  const std::string invalid = "One or more parameter values were invalid: ";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"a":{}})", R"("a": )" + no_type},
      {R"({"a":{"X":"1"}})", R"("a": )" + no_type},
      {R"({"a":{"s":"1"}})", R"("a": )" + no_type},
      {R"({"a":{"S":"1","N":"1"}})", R"("a": )" + many_types},
      {R"({"a":"x"})", R"("a": expected an object, found a string)"},
      {R"({"a":{"S":1}})", R"("a": S: expected a string, found a number)"},
      {R"({"a":{"N":1}})", R"("a": N: expected a string, found a number)"},
      {R"({"a":{"N":"x"}})", R"("a": N: The parameter cannot be converted to a numeric value: x)"},
      {R"({"a":{"N":""}})", R"("a": N: The parameter cannot be converted to a numeric value)"},
      {R"({"a":{"B":"?"}})", R"("a": B: base64: length is not a multiple of 4)"},
      {R"({"a":{"BOOL":"true"}})", R"("a": BOOL: expected a boolean, found a string)"},
      {R"({"a":{"NULL":false}})",
       R"("a": NULL: )" + invalid + "Null attribute value types must have the value of true"},
      {R"({"a":{"NULL":null}})", R"("a": NULL: expected a boolean, found null)"},
      {R"({"a":{"L":{}}})", R"("a": L: expected an array, found an object)"},
      {R"({"a":{"M":[]}})", R"("a": M: expected an object, found an array)"},
      {R"({"a":{"L":[{"S":"x"},{"M":{"b c":{}}}]}})", R"("a": L: [1]: M: "b c": )" + no_type},
      {R"({"a":{"SS":[]}})", R"("a": SS: )" + invalid + "An string set  may not be empty"},
      {R"({"a":{"NS":[]}})", R"("a": NS: )" + invalid + "An number set  may not be empty"},
      {R"({"a":{"BS":[]}})", R"("a": BS: )" + invalid + "Binary sets should not be empty"},
      {R"({"a":{"SS":["a","a"]}})",
       R"("a": SS: )" + invalid + "Input collection [a, a] contains duplicates."},
      {R"({"a":{"NS":["1","1.0"]}})", R"("a": NS: Input collection contains duplicates)"},
      {R"({"a":{"BS":["Yg==","Yg=="]}})",
       R"("a": BS: )" + invalid + "Input collection [Yg==, Yg==]of type BS contains duplicates."},
      {R"({"a":{"SS":["a",1]}})", R"("a": SS: [1]: expected a string, found a number)"},
      {R"([])", "expected an object, found an array"},
      {R"(null)", "expected an object, found null"}};
  for (const auto& [text, message] : cases) EXPECT_EQ(Refusal(text), message) << text;
}

TEST(DynamoDbJsonTest, WhatIsNotJsonIsRefused) {
  for (const std::string text :
       {"", " ", "{", "{}x", "{} {}", R"({"a":{"S":"x"})", R"({"a":{"S":"x"},})", R"({'a':1})",
        "{\"a\":{\"S\":\"\xFF\"}}", "{\"a\":{\"S\":\"\x01\"}}", R"({"a":{"S":"\ud800"}})",
        R"({"a":{"S":"\x"}})", "nul", "// x\n{}"}) {
    EXPECT_EQ(Refusal(text).substr(0, 6), "JSON: ") << text;
    EXPECT_EQ(Refusal(text).find("[json"), std::string::npos) << Refusal(text);
  }
  EXPECT_NE(Refusal("{\"a\":\n x}").find("line 2"), std::string::npos);
}

TEST(DynamoDbJsonTest, RepeatedNamesAreRefused) {
  EXPECT_EQ(Refusal(R"({"a":{"S":"x"},"b":{"S":"x"},"\u0061":{"S":"y"}})"),
            R"(JSON: the name "a" is there twice)");
  EXPECT_EQ(Refusal(R"({"a":{"S":"x","S":"y"}})"), R"(JSON: the name "S" is there twice)");
  EXPECT_EQ(Refusal(R"({"a":{"M":{"q\"":{"S":"x"},"q\"":{"S":"x"}}}})"),
            R"(JSON: the name "q\"" is there twice)");
  EXPECT_EQ(PlainRefusal(R"({"a":{"x":1,"x":1}})"), R"(JSON: the name "x" is there twice)");
}

TEST(DynamoDbJsonTest, LevelsAreLimitedAsInItems) {
  const auto nested = [](int levels, const std::string& leaf) {
    std::string text = leaf;
    for (int level = 1; level < levels; ++level) {
      text = level % 2 == 0 ? R"({"L":[)" + text + "]}" : R"({"M":{"n":)" + text + "}}";
    }
    return R"({"a":)" + text + "}";
  };
  const std::string too_many = "Nesting Levels have exceeded supported limits";
  EXPECT_TRUE(ItemFromDynamoDbJson(nested(32, R"({"S":"x"})")).ok());
  EXPECT_TRUE(ItemFromDynamoDbJson(nested(32, R"({"L":[]})")).ok());
  EXPECT_TRUE(ItemFromExportLine(R"({"Item":)" + nested(32, R"({"SS":["x"]})") + "}").ok());
  EXPECT_NE(Refusal(nested(33, R"({"S":"x"})")).find(too_many), std::string::npos);
  EXPECT_EQ(Refusal(nested(5000, R"({"S":"x"})")).substr(0, too_many.size()), too_many);
  EXPECT_EQ(Refusal(std::string(200'000, '[')).substr(0, too_many.size()), too_many);

  const auto plain = [](int levels) {
    const auto depth = static_cast<size_t>(levels - 1);
    return R"({"a":)" + std::string(depth, '[') + "1" + std::string(depth, ']') + "}";
  };
  EXPECT_TRUE(ItemFromPlainJson(plain(32)).ok());
  EXPECT_NE(PlainRefusal(plain(33)).find(too_many), std::string::npos);
}

TEST(ExportLineTest, OtherShapesAreRefused) {
  const auto refusal = [](const std::string& text) { return RefusalOf(ItemFromExportLine(text)); };
  const std::string shape = "an export line is an object with \"Item\" and nothing else";
  EXPECT_EQ(refusal("{}"), shape);
  EXPECT_EQ(refusal(R"({"id":{"S":"a"}})"), shape);
  EXPECT_EQ(refusal(R"({"Item":{},"Other":{}})"), shape);
  EXPECT_EQ(refusal(R"({"Item":{"a":{"N":"x"}}})"),
            R"("Item": "a": N: The parameter cannot be converted to a numeric value: x)");
  EXPECT_EQ(ItemFromExportLine(R"({"Item":{}})").value(), Item());
}

TEST(PlainJsonTest, EveryKindHasItsType) {
  EXPECT_EQ(ItemFromPlainJson(
                R"({"s":"x","n":5,"t":true,"f":false,"z":null,"l":[1,"a",[]],"m":{"k":{}}})")
                .value(),
            (Item{{"s", Value::S("x")},
                  {"n", N("5")},
                  {"t", Value::Bool(true)},
                  {"f", Value::Bool(false)},
                  {"z", Value::Null()},
                  {"l", Value::L({N("1"), Value::S("a"), Value::L({})})},
                  {"m", Value::M({{"k", Value::M({})}})}}));
}

TEST(PlainJsonTest, NumbersAreTakenFromTheirText) {
  for (const char* literal :
       {"0", "-0", "-1", "18446744073709551615", "18446744073709551616", "-9223372036854775809",
        "0.1", "3.1415926535897932384626433832795028841", "1e125", "-1E-130",
        "12345678901234567890123456789012345678", "9007199254740993", "0.30000000000000004",
        "1.0"}) {
    const std::string text = std::string(R"({"n":)") + literal + "}";
    const Result<Item> item = ItemFromPlainJson(text);
    ASSERT_TRUE(item.ok()) << text << ": " << item.status().ToString();
    EXPECT_EQ(*item->GetNumber("n"), Number::Parse(literal).value()) << text;
  }
  const std::string overflow = "Number overflow.";
  const std::string underflow = "Number underflow.";
  EXPECT_NE(PlainRefusal(R"({"n":1e126})").find(overflow), std::string::npos);
  EXPECT_NE(PlainRefusal(R"({"n":1e400})").find(overflow), std::string::npos);
  EXPECT_NE(PlainRefusal(R"({"n":1e-131})").find(underflow), std::string::npos);
  EXPECT_NE(PlainRefusal(R"({"n":1e-9999})").find(underflow), std::string::npos);
  EXPECT_NE(PlainRefusal(R"({"n":123456789012345678901234567890123456789})").find("38"),
            std::string::npos);
  EXPECT_EQ(PlainRefusal(R"({"n":01})").substr(0, 6), "JSON: ");
  EXPECT_EQ(PlainRefusal(R"({"n":NaN})").substr(0, 6), "JSON: ");
}

TEST(PlainJsonTest, RandomNumbersKeepTheirValue) {
  test::Random random(test::TestSeed());
  for (int i = 0; i < 5000; ++i) {
    const Number number = test::RandomNumber(random);
    const Result<Item> item = ItemFromPlainJson(R"({"n":)" + number.ToString() + "}");
    ASSERT_TRUE(item.ok()) << item.status().ToString();
    ASSERT_EQ(*item->GetNumber("n"), number);
  }
}

TEST(DynamoDbJsonTest, HostileTextIsSafe) {
  test::Random random(test::TestSeed());
  int refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::string text = test::Mutated(random, ItemToExportLine(test::RandomItem(random, 3)));
    for (const auto& read : {ItemFromExportLine, ItemFromDynamoDbJson, ItemFromPlainJson}) {
      const Result<Item> item = read(text);
      refused += item.ok() ? 0 : 1;
      if (item.ok()) {
        ASSERT_EQ(ItemFromDynamoDbJson(ItemToDynamoDbJson(*item)).value(), *item) << text;
      }
    }
  }
  EXPECT_GT(refused, 10'000);
}

}  // namespace
}  // namespace tailrace::tools
