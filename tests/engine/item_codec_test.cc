#include "engine/item_codec.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "engine/item.pb.h"
#include "engine/limits.h"
#include "tests/engine/random_items.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "tests/support/test_paths.h"

namespace tailrace {
namespace {

// ---- An independent codec: the generated classes, filled from values. ----

storage::Value ToMessage(const Value& value);

storage::Item ToMessage(const Item& item) {
  storage::Item message;
  for (const Attribute& attribute : item) {
    storage::Value* value = message.add_attributes();
    *value = ToMessage(attribute.value);
    value->set_name(attribute.name);
  }
  return message;
}

std::string Ordered(const Number& number) {
  std::string bytes;
  number.AppendOrdered(bytes);
  return bytes;
}

storage::Value ToMessage(const Value& value) {
  storage::Value message;
  if (value.string()) message.set_s(*value.string());
  if (value.number()) message.set_n(Ordered(*value.number()));
  if (value.binary()) message.set_b(value.binary()->bytes);
  if (value.boolean()) message.set_bool_(*value.boolean());
  if (value.is_null()) message.set_null(true);
  if (value.map()) *message.mutable_m() = ToMessage(*value.map());
  if (value.list()) {
    message.mutable_l();
    for (const Value& element : *value.list()) {
      *message.mutable_l()->add_values() = ToMessage(element);
    }
  }
  if (value.string_set()) {
    for (const std::string& element : *value.string_set())
      message.mutable_ss()->add_elements(element);
  }
  if (value.number_set()) {
    for (const Number& element : *value.number_set()) {
      message.mutable_ns()->add_elements(Ordered(element));
    }
  }
  if (value.binary_set()) {
    for (const Binary& element : *value.binary_set()) {
      message.mutable_bs()->add_elements(element.bytes);
    }
  }
  return message;
}

Status DecodeStatus(const std::string& bytes) { return DecodeItem(bytes).status(); }

// The encoding of a message that need not be canonical.
std::string Bytes(const storage::Item& message) { return message.SerializeAsString(); }

storage::Item OneAttribute(const storage::Value& value) {
  storage::Item item;
  *item.add_attributes() = value;
  item.mutable_attributes(0)->set_name("a");
  return item;
}

// ---- What holds for all items. ----

TEST(ItemCodecTest, WritesWhatTheGeneratedClassesWrite) {
  test::Random random(test::TestSeed());
  for (int i = 0; i < 5000; ++i) {
    const Item item = test::RandomItem(random, 10);
    const std::string bytes = EncodeItem(item);
    ASSERT_EQ(bytes.size(), EncodedItemBytes(item));
    ASSERT_EQ(test::Hex(bytes), test::Hex(Bytes(ToMessage(item))));
    std::string appended = "before";
    AppendEncodedItem(item, appended);
    ASSERT_EQ(appended, "before" + bytes);
  }
}

TEST(ItemCodecTest, ReadsWhatItWrote) {
  test::Random random(test::TestSeed());
  for (int i = 0; i < 5000; ++i) {
    const Item item = test::RandomItem(random, 10);
    const Result<Item> decoded = DecodeItem(EncodeItem(item));
    ASSERT_TRUE(decoded.ok()) << decoded.status().ToString();
    ASSERT_EQ(*decoded, item);
  }
}

TEST(ItemCodecTest, EqualItemsHaveEqualBytesAndOthersOthers) {
  const auto encoded = [](Value value) { return EncodeItem(Item{{"a", std::move(value)}}); };
  const auto number = [](const char* text) { return Number::Parse(text).value(); };
  EXPECT_EQ(encoded(Value::N(number("1.0"))), encoded(Value::N(1)));
  EXPECT_EQ(encoded(Value::SS({"a", "b"}).value()), encoded(Value::SS({"b", "a"}).value()));
  EXPECT_EQ(encoded(Value::NS({number("1e1"), number("2")}).value()),
            encoded(Value::NS({number("2.0"), number("10")}).value()));
  EXPECT_EQ(encoded(Value::M({{"x", Value::N(1)}, {"y", Value::N(2)}})),
            encoded(Value::M({{"y", Value::N(2)}, {"x", Value::N(1)}})));

  test::Random random(test::TestSeed());
  for (int i = 0; i < 20'000; ++i) {
    // Few attributes of few names, so that equal items come up.
    const Item a = test::RandomItem(random, 2);
    Item b = random.OneIn(2) ? a : test::RandomItem(random, 2);
    if (random.OneIn(4) && !b.empty()) b.Remove(b.begin()->name);
    if (random.OneIn(4)) b.Set("a", test::RandomValue(random, 3));
    ASSERT_EQ(a == b, EncodeItem(a) == EncodeItem(b));
  }
}

TEST(ItemCodecTest, LongContentsAndManyElements) {
  Value::List many;
  for (int i = 0; i < 1000; ++i) many.push_back(Value::M(Item{{"i", Value::N(i)}}));
  Item item{{"list", Value::L(std::move(many))}};
  for (const size_t length : {127u, 128u, 16'383u, 16'384u, 100'000u}) {
    item.Set("s" + std::to_string(length), Value::S(std::string(length, 's')));
    item.Set(std::string(length % 60'000, 'n'), Value::B(std::string(length, '\0')));
  }
  EXPECT_EQ(EncodeItem(item), Bytes(ToMessage(item)));
  EXPECT_EQ(DecodeItem(EncodeItem(item)).value(), item);
}

TEST(ItemCodecTest, WidestEncodingsAreWithinTheLimit) {
  // Empty strings: 1 byte as measured and 4 encoded each.
  Item list{{"l", Value::L(Value::List(kItemBytesMax - 4, Value::S("")))}};
  EXPECT_EQ(list.SizeBytes(), kItemBytesMax);
  EXPECT_LE(EncodedItemBytes(list), kEncodedItemBytesMax);
  EXPECT_GT(EncodedItemBytes(list), 39 * kItemBytesMax / 10);
  // Short names with empty strings: 2 bytes as measured, 8 encoded.
  Item names;
  std::vector<Attribute> attributes;
  for (char c = 0; c < 127; ++c) attributes.push_back({std::string(1, c), Value::S("")});
  for (uint32_t c = 0x80; c < 0x800; ++c) {
    const std::string name = {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 63))};
    attributes.push_back({name, Value::S("")});
  }
  names = Item(std::move(attributes));
  EXPECT_LE(EncodedItemBytes(names), 4 * names.SizeBytes() + 1024);
  EXPECT_TRUE(DecodeItem(EncodeItem(list)).ok());
  EXPECT_TRUE(DecodeItem(EncodeItem(names)).ok());
}

// ---- What is refused. ----

TEST(ItemCodecTest, OnlyCanonicalFormIsRead) {
  const std::string canonical = EncodeItem(Item{{"a", Value::N(1)}, {"b", Value::N(2)}});
  ASSERT_TRUE(DecodeItem(canonical).ok());

  storage::Item item = ToMessage(Item{{"a", Value::N(1)}, {"b", Value::N(2)}});
  item.mutable_attributes()->SwapElements(0, 1);
  EXPECT_EQ(DecodeStatus(Bytes(item)).ToString(), "corruption: item, byte 14: names out of order");
  item.mutable_attributes(0)->set_name("a");
  EXPECT_EQ(DecodeStatus(Bytes(item)).ToString(), "corruption: item, byte 14: names out of order");
  item.mutable_attributes(0)->set_name("");
  EXPECT_EQ(DecodeStatus(Bytes(item)).code(), StatusCode::kCorruption);
  item.mutable_attributes(0)->clear_name();
  EXPECT_EQ(DecodeStatus(Bytes(item)).code(), StatusCode::kCorruption);

  storage::Value value;
  EXPECT_EQ(DecodeStatus(Bytes(OneAttribute(value))).ToString(),
            "corruption: item, byte 5: a value without a type");
  value.set_null(false);
  EXPECT_EQ(DecodeStatus(Bytes(OneAttribute(value))).ToString(),
            "corruption: item, byte 5: NULL that is not true");
  value.set_n("");
  EXPECT_EQ(DecodeStatus(Bytes(OneAttribute(value))).ToString(),
            "corruption: item, byte 7: number: no bytes");
  value.set_n(std::string("\x80\x80", 2));
  EXPECT_EQ(DecodeStatus(Bytes(OneAttribute(value))).ToString(),
            "corruption: item, byte 8: bytes after a number");
  value.mutable_ss();
  EXPECT_EQ(DecodeStatus(Bytes(OneAttribute(value))).ToString(),
            "corruption: item, byte 7: an empty set");
  value.mutable_ss()->add_elements("b");
  value.mutable_ss()->add_elements("a");
  EXPECT_EQ(DecodeStatus(Bytes(OneAttribute(value))).ToString(),
            "corruption: item, byte 12: set out of order");
  value.mutable_bs()->add_elements("b");
  value.mutable_bs()->add_elements("b");
  EXPECT_EQ(DecodeStatus(Bytes(OneAttribute(value))).code(), StatusCode::kCorruption);
  value.mutable_l()->add_values()->set_name("x");
  EXPECT_FALSE(DecodeStatus(Bytes(OneAttribute(value))).ok());
}

TEST(ItemCodecTest, TextMustBeUtf8) {
  for (const Item& item : {Item{{"a", Value::S("\xFF")}}, Item{{"\xFF", Value::N(1)}},
                           Item{{"a", Value::SS({"\xC0\x80"}).value()}}}) {
    EXPECT_EQ(DecodeStatus(EncodeItem(item)).code(), StatusCode::kCorruption);
  }
}

TEST(ItemCodecTest, ATypeUnknownToThisVersionIsUnsupported) {
  const std::string bytes(
      "\x0A\x05\x0A\x01"
      "a"
      "\x60\x01",
      7);  // Field 12.
  EXPECT_EQ(DecodeStatus(bytes).code(), StatusCode::kUnsupported);
}

TEST(ItemCodecTest, LevelsAreLimited) {
  const auto nested = [](int levels) {
    Value value = Value::Null();
    for (int level = 1; level < levels; ++level) {
      value = level % 2 == 0 ? Value::L({value}) : Value::M(Item{{"n", value}});
    }
    return Item{{"a", value}};
  };
  EXPECT_EQ(DecodeItem(EncodeItem(nested(32))).value(), nested(32));
  EXPECT_EQ(DecodeStatus(EncodeItem(nested(33))).code(), StatusCode::kCorruption);
  EXPECT_EQ(DecodeStatus(EncodeItem(nested(2000))).code(), StatusCode::kCorruption);
}

TEST(ItemCodecTest, SizeIsLimited) {
  const std::string bytes(kEncodedItemBytesMax + 1, '\0');
  EXPECT_EQ(DecodeStatus(bytes).code(), StatusCode::kCorruption);
  EXPECT_NE(DecodeStatus(bytes).message().find("more than"), std::string::npos);
}

TEST(ItemCodecTest, ALengthMustBeInItsShortestForm) {
  const std::string attribute(
      "\x0A\x01"
      "a"
      "\x30\x01");
  EXPECT_TRUE(DecodeItem("\x0A\x05" + attribute).ok());
  EXPECT_EQ(DecodeStatus(std::string("\x0A\x85\x00", 3) + attribute).ToString(),
            "corruption: item, byte 0: a length that is cut short or not in its shortest form");
}

TEST(ItemCodecTest, LengthsAreCheckedBeforeTheyAreUsed) {
  for (const std::string& bytes :
       {std::string("\x0A\xFF\xFF\xFF\x7F", 5), std::string("\x0A\xFF\xFF\xFF\xFF\xFF", 6),
        std::string("\x0A", 1), std::string("\x0A\x80", 2), std::string("\x0A\x80\x00", 3),
        std::string("\x0A\x05\x0A\x7F"
                    "a",
                    5)}) {
    EXPECT_EQ(DecodeStatus(bytes).code(), StatusCode::kCorruption) << test::Hex(bytes);
  }
}

TEST(ItemCodecTest, HostileBytesAreRefusedOrCanonical) {
  test::Random random(test::TestSeed());
  int refused = 0;
  for (int i = 0; i < 100'000; ++i) {
    const std::string bytes = test::Mutated(random, EncodeItem(test::RandomItem(random, 4)));
    const Result<Item> decoded = DecodeItem(bytes);
    if (decoded.ok()) {
      ASSERT_EQ(EncodeItem(*decoded), bytes);
    } else {
      const StatusCode code = decoded.status().code();
      ASSERT_TRUE(code == StatusCode::kCorruption || code == StatusCode::kUnsupported);
      ++refused;
    }
  }
  EXPECT_GT(refused, 10'000);
}

TEST(ItemCodecTest, EveryPrefixAndEveryFlippedBitIsSafe) {
  test::Random random(test::TestSeed());
  for (int i = 0; i < 20; ++i) {
    const std::string bytes = EncodeItem(test::RandomItem(random, 6));
    for (size_t length = 0; length < bytes.size(); ++length) {
      const std::string prefix = bytes.substr(0, length);
      const Result<Item> decoded = DecodeItem(prefix);
      if (decoded.ok()) {
        ASSERT_EQ(EncodeItem(*decoded), prefix);
      }
      for (int bit = 0; bit < 8; ++bit) {
        std::string flipped = bytes;
        flipped[length] = static_cast<char>(flipped[length] ^ (1 << bit));
        const Result<Item> other = DecodeItem(flipped);
        if (other.ok()) {
          ASSERT_EQ(EncodeItem(*other), flipped);
        }
      }
    }
  }
}

// ---- The bytes on disk. ----

// The item of docs/item-format.md, with one attribute of each type.
Item GoldenItem() {
  const auto number = [](const char* text) { return Number::Parse(text).value(); };
  return Item{{"b", Value::B(std::string("\x00\xFF", 2))},
              {"bs", Value::BS({Binary{"x"}, Binary{""}}).value()},
              {"game_id", Value::N(2345)},
              {"l", Value::L({Value::S("\xC3\xA4"), Value::Null()})},
              {"m", Value::M({{"on", Value::Bool(true)}, {"off", Value::Bool(false)}})},
              {"ns", Value::NS({number("10"), number("-0.5"), Number()}).value()},
              {"s", Value::S("")},
              {"ss", Value::SS({"b", "a"}).value()}};
}

// The hex digits of a golden file: comments after #, white space ignored.
std::string GoldenHex(const std::string& name) {
  std::ifstream file(SourcePath("tests/golden/" + name));
  EXPECT_TRUE(file.is_open()) << name;
  std::string hex;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    for (std::string word; words >> word;) hex += word;
  }
  return hex;
}

TEST(ItemCodecTest, GoldenItemHasTheDocumentedBytes) {
  EXPECT_EQ(test::Hex(EncodeItem(GoldenItem())), GoldenHex("item.hex"));
  EXPECT_EQ(DecodeItem(EncodeItem(GoldenItem())).value(), GoldenItem());
}

}  // namespace
}  // namespace tailrace
