#include "engine/key.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <compare>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "engine/limits.h"
#include "tests/engine/random_items.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "tests/support/test_paths.h"
#include "wal/coding.h"
#include "wal/hash.h"

namespace tailrace {
namespace {

using Kind = SortCondition::Kind;

constexpr std::array kTypes = {ScalarType::kS, ScalarType::kN, ScalarType::kB};
constexpr char kNotOfSchema[] = "The provided key element does not match the schema";

KeySchema Schema(ScalarType partition) { return {.partition = {"p", partition}, .sort = {}}; }
KeySchema Schema(ScalarType partition, ScalarType sort) {
  return {.partition = {"p", partition}, .sort = KeyAttribute{"s", sort}};
}

Value N(const char* text) { return Value::N(Number::Parse(text).value()); }

// How the service orders two key values of one type, reckoned from the values.
std::strong_ordering Compare(const Value& a, const Value& b) {
  if (a.number()) return *a.number() <=> *b.number();
  const auto unsigned_bytes = [](const Value& value) {
    const std::string& raw = value.string() ? *value.string() : value.binary()->bytes;
    return std::vector<uint8_t>(raw.begin(), raw.end());
  };
  return unsigned_bytes(a) <=> unsigned_bytes(b);
}

// ---- Whole keys. ----

TEST(KeyTest, AKeyIsDecodedExactly) {
  test::Random random(test::TestSeed());
  for (int i = 0; i < 20'000; ++i) {
    const ScalarType partition = kTypes[random.Below(3)];
    const ScalarType sort = kTypes[random.Below(3)];
    const bool with_sort = random.OneIn(2);
    const KeySchema schema = with_sort ? Schema(partition, sort) : Schema(partition);
    Item item{{"p", test::RandomKeyValue(random, partition)}, {"other", Value::N(1)}};
    if (with_sort) item.Set("s", test::RandomKeyValue(random, sort));
    const Item key = KeyOfItem(schema, item);
    ASSERT_EQ(key.size(), with_sort ? 2u : 1u);

    const std::string encoded = EncodeKeyOfItem(schema, item).value();
    ASSERT_EQ(EncodeKey(schema, key).value(), encoded);
    ASSERT_LE(encoded.size(), kStorageKeyBytesMax);
    const Result<Item> decoded = DecodeKey(schema, encoded);
    ASSERT_TRUE(decoded.ok()) << decoded.status().ToString();
    ASSERT_EQ(*decoded, key);

    const std::string prefix = EncodePartition(schema, *key.Get("p")).value();
    ASSERT_EQ(encoded.substr(0, prefix.size()), prefix);
    ASSERT_EQ(encoded.size() == prefix.size(), !with_sort);
    ASSERT_EQ(PartitionHash(encoded), Hash64(ByteView(prefix).substr(8)));
    ASSERT_EQ(PartitionHash(encoded), LoadBig64(encoded.data()));
  }
}

TEST(KeyTest, EqualKeysAreEqualBytes) {
  const KeySchema schema = Schema(ScalarType::kN, ScalarType::kN);
  EXPECT_EQ(EncodeKey(schema, Item{{"p", N("1")}, {"s", N("1000")}}).value(),
            EncodeKey(schema, Item{{"p", N("1.0")}, {"s", N("1e3")}}).value());
  EXPECT_NE(EncodeKey(schema, Item{{"p", N("1")}, {"s", N("1")}}).value(),
            EncodeKey(schema, Item{{"p", N("1")}, {"s", N("1.1")}}).value());
}

TEST(KeyTest, SortKeysAreStoredInTheirOrder) {
  test::Random random(test::TestSeed());
  for (const ScalarType type : kTypes) {
    const KeySchema schema = Schema(ScalarType::kS, type);
    for (int i = 0; i < 10'000; ++i) {
      const Value a = test::RandomKeyValue(random, type);
      const Value b = random.OneIn(8) ? a : test::RandomKeyValue(random, type);
      const std::string key_a = EncodeKey(schema, Item{{"p", Value::S("x")}, {"s", a}}).value();
      const std::string key_b = EncodeKey(schema, Item{{"p", Value::S("x")}, {"s", b}}).value();
      ASSERT_EQ(key_a <=> key_b, Compare(a, b)) << test::Hex(key_a) << " " << test::Hex(key_b);
    }
  }
}

TEST(KeyTest, NoPartitionIsAPrefixOfAnother) {
  test::Random random(test::TestSeed());
  for (const ScalarType type : kTypes) {
    const KeySchema schema = Schema(type, ScalarType::kB);
    for (int i = 0; i < 10'000; ++i) {
      const Value a = test::RandomKeyValue(random, type);
      const Value b = test::RandomKeyValue(random, type);
      // Without the hash, which tells nearly all of them apart by itself.
      const std::string bytes_a = EncodePartition(schema, a).value().substr(8);
      const std::string bytes_b = EncodePartition(schema, b).value().substr(8);
      ASSERT_EQ(bytes_a.substr(0, bytes_b.size()) == bytes_b, a == b);
      ASSERT_EQ(bytes_a <=> bytes_b, Compare(a, b));
    }
  }
}

TEST(KeyTest, LongestKeysFit) {
  const KeySchema schema = Schema(ScalarType::kB, ScalarType::kB);
  const Item longest{{"p", Value::B(std::string(2048, '\0'))},
                     {"s", Value::B(std::string(1024, '\xFF'))}};
  const std::string key = EncodeKey(schema, longest).value();
  EXPECT_EQ(key.size(), kStorageKeyBytesMax);
  EXPECT_EQ(DecodeKey(schema, key).value(), longest);
}

// ---- Refusals. ----

TEST(KeyTest, AnItemWithoutAValidKeyIsRefusedInPutsWords) {
  const std::string invalid = "One or more parameter values were invalid: ";
  const std::string not_valid = "One or more parameter values are not valid. ";
  const KeySchema schema = Schema(ScalarType::kS, ScalarType::kB);
  const auto refusal = [&](const Item& item) {
    const Status status = EncodeKeyOfItem(schema, item).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    return status.message();
  };
  EXPECT_EQ(refusal({}), invalid + "Missing the key p in the item");
  EXPECT_EQ(refusal({{"p", Value::S("x")}}), invalid + "Missing the key s in the item");
  EXPECT_EQ(refusal({{"p", Value::N(1)}, {"s", Value::B("x")}}),
            invalid + "Type mismatch for key p expected: S actual: N");
  EXPECT_EQ(refusal({{"p", Value::S("x")}, {"s", Value::Null()}}),
            invalid + "Type mismatch for key s expected: B actual: NULL");
  EXPECT_EQ(refusal({{"p", Value::S("")}, {"s", Value::B("x")}}),
            not_valid +
                "The AttributeValue for a key attribute cannot contain an empty string value. "
                "Key: p");
  EXPECT_EQ(refusal({{"p", Value::S("x")}, {"s", Value::B("")}}),
            not_valid +
                "The AttributeValue for a key attribute cannot contain an empty binary value. "
                "Key: s");
  EXPECT_EQ(refusal({{"p", Value::S(std::string(2049, 'x'))}, {"s", Value::B("x")}}),
            invalid + "Size of hashkey has exceeded the maximum size limit of2048 bytes");
  EXPECT_EQ(
      refusal({{"p", Value::S("x")}, {"s", Value::B(std::string(1025, 'x'))}}),
      invalid + "Aggregated size of all range keys has exceeded the size limit of 1024 bytes");
  EXPECT_FALSE(refusal({{"p", Value::S("\xFF")}, {"s", Value::B("x")}}).empty());
}

TEST(KeyTest, AKeyThatIsNotOfTheSchemaIsRefusedInGetsWords) {
  const KeySchema schema = Schema(ScalarType::kS, ScalarType::kN);
  for (const Item& key :
       {Item{}, Item{{"p", Value::S("x")}}, Item{{"p", Value::S("x")}, {"other", Value::N(1)}},
        Item{{"p", Value::S("x")}, {"s", Value::N(1)}, {"other", Value::N(1)}},
        Item{{"p", Value::N(1)}, {"s", Value::N(1)}},
        Item{{"p", Value::S("x")}, {"s", Value::S("1")}}}) {
    EXPECT_EQ(EncodeKey(schema, key).status(), InvalidArgument(kNotOfSchema));
  }
  EXPECT_EQ(
      EncodeKey(Schema(ScalarType::kS), Item{{"p", Value::S("x")}, {"s", Value::N(1)}}).status(),
      InvalidArgument(kNotOfSchema));
  EXPECT_EQ(EncodeKey(schema, Item{{"p", Value::S(std::string(2049, 'x'))}, {"s", Value::N(1)}})
                .status()
                .message(),
            "One or more parameter values were invalid: Size of hashkey has exceeded the maximum "
            "size limit of2048 bytes");
}

TEST(KeyTest, DamagedStorageKeysAreRefusedOrCanonical) {
  test::Random random(test::TestSeed());
  int refused = 0;
  for (int i = 0; i < 100'000; ++i) {
    const ScalarType partition = kTypes[random.Below(3)];
    const ScalarType sort = kTypes[random.Below(3)];
    const KeySchema schema = Schema(partition, sort);
    const std::string key = EncodeKey(schema, Item{{"p", test::RandomKeyValue(random, partition)},
                                                   {"s", test::RandomKeyValue(random, sort)}})
                                .value();
    std::string damaged = key.substr(8);
    damaged = test::Mutated(random, damaged);
    // Half of them with a hash that fits, so that the rest is looked at.
    std::string hashed;
    if (random.OneIn(2)) {
      hashed = key.substr(0, 8);
    } else {
      const size_t end = random.Below(damaged.size() + 1);
      AppendBig64(hashed, Hash64(ByteView(damaged).substr(0, end)));
    }
    hashed += damaged;
    const Result<Item> decoded = DecodeKey(schema, hashed);
    if (decoded.ok()) {
      ASSERT_EQ(EncodeKey(schema, *decoded).value(), hashed);
    } else {
      ASSERT_EQ(decoded.status().code(), StatusCode::kCorruption);
      ++refused;
    }
  }
  EXPECT_GT(refused, 10'000);
}

TEST(KeyTest, AStorageKeyOfAnotherSchemaIsCorruption) {
  const std::string key =
      EncodeKey(Schema(ScalarType::kS, ScalarType::kN), Item{{"p", Value::S("x")}, {"s", N("1")}})
          .value();
  for (const KeySchema& schema : {Schema(ScalarType::kS), Schema(ScalarType::kB, ScalarType::kN),
                                  Schema(ScalarType::kS, ScalarType::kS)}) {
    EXPECT_EQ(DecodeKey(schema, key).status().code(), StatusCode::kCorruption);
  }
  for (size_t length = 0; length < key.size(); ++length) {
    const ByteView prefix = ByteView(key).substr(0, length);
    EXPECT_EQ(DecodeKey(Schema(ScalarType::kS, ScalarType::kN), prefix).status().code(),
              StatusCode::kCorruption);
  }
}

TEST(KeyDeathTest, AHashNeedsEightBytes) {
  EXPECT_DEATH((void)PartitionHash("1234567"), "begins with its hash");
}

// ---- Schemas and names. ----

TEST(KeySchemaTest, NamesAndTypesAreChecked) {
  EXPECT_TRUE(ValidateKeySchema(Schema(ScalarType::kN)).ok());
  EXPECT_TRUE(ValidateKeySchema(Schema(ScalarType::kN, ScalarType::kB)).ok());
  EXPECT_TRUE(ValidateKeySchema({.partition = {std::string(255, 'n')}, .sort = {}}).ok());
  for (const KeySchema& schema :
       {KeySchema{.partition = {""}, .sort = {}},
        KeySchema{.partition = {std::string(256, 'n')}, .sort = {}},
        KeySchema{.partition = {"\xFF"}, .sort = {}},
        KeySchema{.partition = {"a", static_cast<ScalarType>(0)}, .sort = {}},
        KeySchema{.partition = {"a", static_cast<ScalarType>(4)}, .sort = {}},
        KeySchema{.partition = {"a"}, .sort = KeyAttribute{""}},
        KeySchema{.partition = {"a"}, .sort = KeyAttribute{"a", ScalarType::kN}}}) {
    EXPECT_EQ(ValidateKeySchema(schema).code(), StatusCode::kInvalidArgument);
  }
}

TEST(TableNameTest, IsLimitedInLengthAndCharacters) {
  const auto refusal = [](const std::string& name) { return ValidateTableName(name).message(); };
  EXPECT_TRUE(ValidateTableName("abc").ok());
  EXPECT_TRUE(ValidateTableName("User_Games-2.v1").ok());
  EXPECT_TRUE(ValidateTableName(std::string(255, 'x')).ok());
  const std::string failed =
      "1 validation error detected: Value at 'TableName' failed to satisfy constraint: Member "
      "must ";
  EXPECT_EQ(refusal("ab"), failed + "have length greater than or equal to 3");
  EXPECT_EQ(refusal(""), failed + "have length greater than or equal to 3");
  EXPECT_EQ(refusal(std::string(256, 'x')), failed + "have length less than or equal to 255");
  for (const std::string name : {"a b", "a/b", "a;b", "\xC3\xA4xx", "abc\n"}) {
    EXPECT_EQ(refusal(name), failed + "satisfy regular expression pattern: [a-zA-Z0-9_.-]+");
  }
  EXPECT_FALSE(ValidateTableName(std::string("a\0b", 3)).ok());
}

// ---- Ranges. ----

TEST(KeyRangeTest, PrefixUpperBoundIsTight) {
  EXPECT_EQ(PrefixUpperBound("a"), "b");
  EXPECT_EQ(PrefixUpperBound("a\xFF\xFF"), "b");
  EXPECT_EQ(PrefixUpperBound(std::string_view("\0", 1)), "\x01");
  EXPECT_EQ(PrefixUpperBound("\x7F"), "\x80");
  EXPECT_EQ(PrefixUpperBound(""), std::nullopt);
  EXPECT_EQ(PrefixUpperBound("\xFF\xFF"), std::nullopt);
}

TEST(KeyRangeTest, APartitionHoldsItsItemsAndNoOthers) {
  test::Random random(test::TestSeed());
  for (int i = 0; i < 10'000; ++i) {
    const ScalarType type = kTypes[random.Below(3)];
    const bool with_sort = random.OneIn(2);
    const KeySchema schema = with_sort ? Schema(type, ScalarType::kB) : Schema(type);
    const Value partition = test::RandomKeyValue(random, type);
    Item key{{"p", random.OneIn(2) ? partition : test::RandomKeyValue(random, type)}};
    if (with_sort) key.Set("s", test::RandomKeyValue(random, ScalarType::kB));
    const KeyRange range = PartitionRange(schema, partition).value();
    ASSERT_EQ(range.Contains(EncodeKey(schema, key).value()), *key.Get("p") == partition);
    ASSERT_EQ(SortRange(schema, partition, {}).value(), range);
  }
}

bool Meets(const Value& value, const SortCondition& condition) {
  const auto raw = [](const Value& v) { return v.string() ? *v.string() : v.binary()->bytes; };
  const Value& operand = *condition.value;
  switch (condition.kind) {
    case Kind::kAny:
      return true;
    case Kind::kEqual:
      return Compare(value, operand) == 0;
    case Kind::kLess:
      return Compare(value, operand) < 0;
    case Kind::kLessOrEqual:
      return Compare(value, operand) <= 0;
    case Kind::kGreater:
      return Compare(value, operand) > 0;
    case Kind::kGreaterOrEqual:
      return Compare(value, operand) >= 0;
    case Kind::kBetween:
      return Compare(value, operand) >= 0 && Compare(value, *condition.upper) <= 0;
    case Kind::kBeginsWith:
      return raw(value).starts_with(raw(operand));
  }
  return false;
}

// An operand near `value`: it, a prefix of it, or any.
Value Operand(test::Random& random, ScalarType type, const Value& value) {
  if (random.OneIn(3)) return value;
  if (type == ScalarType::kB && random.OneIn(2)) {
    const std::string& bytes = value.binary()->bytes;
    return Value::B(bytes.substr(0, random.Between(1, bytes.size())));
  }
  return test::RandomKeyValue(random, type);
}

TEST(KeyRangeTest, ConditionsHoldWhatMeetsThem) {
  test::Random random(test::TestSeed());
  constexpr std::array kKinds = {Kind::kEqual,     Kind::kLess,           Kind::kLessOrEqual,
                                 Kind::kGreater,   Kind::kGreaterOrEqual, Kind::kBetween,
                                 Kind::kBeginsWith};
  const Value partition = Value::S("x");
  int met = 0;
  for (int i = 0; i < 50'000; ++i) {
    const ScalarType type = kTypes[random.Below(3)];
    const KeySchema schema = Schema(ScalarType::kS, type);
    const Value value = test::RandomKeyValue(random, type);
    SortCondition condition{.kind = kKinds[random.Below(kKinds.size())],
                            .value = Operand(random, type, value)};
    if (condition.kind == Kind::kBeginsWith && type == ScalarType::kN) continue;
    if (condition.kind == Kind::kBetween) {
      condition.upper = Operand(random, type, value);
      if (Compare(*condition.value, *condition.upper) > 0) {
        std::swap(*condition.value, *condition.upper);
      }
    }
    const KeyRange range = SortRange(schema, partition, condition).value();
    const std::string key = EncodeKey(schema, Item{{"p", partition}, {"s", value}}).value();
    ASSERT_EQ(range.Contains(key), Meets(value, condition))
        << static_cast<int>(condition.kind) << " " << test::Hex(key) << " ["
        << test::Hex(range.lower) << ", " << test::Hex(range.upper) << ")";
    met += Meets(value, condition) ? 1 : 0;
    // Never anything of another partition.
    const Item elsewhere{{"p", test::RandomKeyValue(random, ScalarType::kS)}, {"s", value}};
    const bool same = *elsewhere.Get("p") == partition;
    ASSERT_TRUE(same || !range.Contains(EncodeKey(schema, elsewhere).value()));
  }
  EXPECT_GT(met, 5'000);
}

TEST(KeyRangeTest, BadConditionsAreRefused) {
  const Value partition = Value::S("x");
  const auto refusal = [&](const KeySchema& schema, const SortCondition& condition) {
    const Status status = SortRange(schema, partition, condition).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    return status.message();
  };
  const KeySchema number = Schema(ScalarType::kS, ScalarType::kN);
  const KeySchema text = Schema(ScalarType::kS, ScalarType::kS);
  const std::string type =
      "One or more parameter values were invalid: Condition parameter type does not match schema "
      "type";
  EXPECT_EQ(refusal(number, {.kind = Kind::kEqual, .value = Value::S("1")}), type);
  const std::string lacks = "the condition on sort key '" + number.sort->name + "' lacks a value";
  EXPECT_EQ(refusal(number, {.kind = Kind::kEqual}), lacks);
  EXPECT_EQ(refusal(number, {.kind = Kind::kBetween, .value = N("1")}), lacks);
  EXPECT_EQ(refusal(number, {.kind = Kind::kBetween, .value = N("1"), .upper = Value::S("2")}),
            type);
  EXPECT_EQ(PartitionRange(number, Value::N(1)).status().message(), type);
  EXPECT_EQ(refusal(number, {.kind = Kind::kBeginsWith, .value = N("1")}),
            "Invalid KeyConditionExpression: Incorrect operand type for operator or function; "
            "operator or function: begins_with, operand type: N");
  EXPECT_EQ(refusal(number, {.kind = Kind::kBetween, .value = N("5"), .upper = N("3")}),
            "Invalid KeyConditionExpression: The BETWEEN operator requires upper bound to be "
            "greater than or equal to lower bound; lower bound operand: AttributeValue: {N:5}, "
            "upper bound operand: AttributeValue: {N:3}");
  EXPECT_EQ(refusal(Schema(ScalarType::kS), {.kind = Kind::kEqual, .value = N("1")}),
            "Query key condition not supported");
  EXPECT_NE(refusal(text, {.kind = Kind::kBeginsWith, .value = Value::S("")}).find("empty string"),
            std::string::npos);
  EXPECT_NE(refusal(text, {.kind = Kind::kLess, .value = Value::S(std::string(1025, 'x'))})
                .find("1024 bytes"),
            std::string::npos);
}

// ---- The bytes on disk. ----

TEST(KeyTest, GoldenKeysHaveTheDocumentedBytes) {
  std::ifstream file(SourcePath("tests/golden/keys.hex"));
  std::vector<std::string> golden;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string hex;
    for (std::string word; words >> word;) hex += word;
    if (!hex.empty()) golden.push_back(hex);
  }
  const std::string partition("a\0b", 3);
  const std::vector<std::string> keys = {
      EncodeKey(Schema(ScalarType::kN), Item{{"p", N("2345")}}).value(),
      EncodeKey(Schema(ScalarType::kS, ScalarType::kN),
                Item{{"p", Value::S(partition)}, {"s", N("-0.5")}})
          .value(),
      EncodeKey(Schema(ScalarType::kB, ScalarType::kS),
                Item{{"p", Value::B("\xFF")}, {"s", Value::S("\xC3\xA4")}})
          .value()};
  ASSERT_EQ(golden.size(), keys.size());
  for (size_t i = 0; i < keys.size(); ++i) EXPECT_EQ(test::Hex(keys[i]), golden[i]);
}

}  // namespace
}  // namespace tailrace
