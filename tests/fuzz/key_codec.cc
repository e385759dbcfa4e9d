// Keys as bytes: the order of the bytes is the order of the keys, ranges hold exactly the keys that
// meet their condition, and what can be read has no other bytes.
#include <compare>
#include <optional>
#include <string>

#include "engine/key.h"
#include "tests/fuzz/fuzz_input.h"

namespace tailrace::fuzz {
namespace {

ScalarType TakeType(FuzzInput& input) { return static_cast<ScalarType>(1 + input.TakeByte() % 3); }

Value TakeKeyValue(FuzzInput& input, ScalarType type) {
  const ByteView bytes = input.TakeShort();
  switch (type) {
    case ScalarType::kS:
      return Value::S(std::string(bytes));
    case ScalarType::kB:
      return Value::B(std::string(bytes));
    case ScalarType::kN:
      break;
  }
  const auto number = Number::Parse(bytes);
  return Value::N(number.ok() ? *number : Number::FromUint64(FuzzInput(bytes).TakeNumber(8)));
}

std::strong_ordering Compare(const Value& a, const Value& b) {
  if (a.number() != nullptr) return *a.number() <=> *b.number();
  const std::string& left = a.string() != nullptr ? *a.string() : a.binary()->bytes;
  const std::string& right = b.string() != nullptr ? *b.string() : b.binary()->bytes;
  return left <=> right;
}

std::strong_ordering CompareBytes(ByteView a, ByteView b) { return a.compare(b) <=> 0; }

KeySchema TakeSchema(FuzzInput& input) {
  KeySchema schema{{"p", TakeType(input)}, std::nullopt};
  if (input.TakeBool()) schema.sort = KeyAttribute{"s", TakeType(input)};
  return schema;
}

Item KeyWith(const KeySchema& schema, const Value& partition, const std::optional<Value>& sort) {
  Item key{{"p", partition}};
  if (schema.sort) key.Set("s", *sort);
  return key;
}

bool Meets(const Value& sort, const SortCondition& condition) {
  const auto low = [&] { return Compare(sort, *condition.value); };
  switch (condition.kind) {
    case SortCondition::Kind::kAny:
      return true;
    case SortCondition::Kind::kEqual:
      return low() == 0;
    case SortCondition::Kind::kLess:
      return low() < 0;
    case SortCondition::Kind::kLessOrEqual:
      return low() <= 0;
    case SortCondition::Kind::kGreater:
      return low() > 0;
    case SortCondition::Kind::kGreaterOrEqual:
      return low() >= 0;
    case SortCondition::Kind::kBetween:
      return low() >= 0 && Compare(sort, *condition.upper) <= 0;
    case SortCondition::Kind::kBeginsWith: {
      const auto bytes = [](const Value& value) -> const std::string& {
        return value.string() != nullptr ? *value.string() : value.binary()->bytes;
      };
      return bytes(sort).starts_with(bytes(*condition.value));
    }
  }
  return false;
}

struct Keys {
  KeySchema schema;
  Value partition;
  Value sort_a;
  Value sort_b;
  std::string a;
  std::string b;
};

void CheckOrder(const Keys& keys) {
  const auto logical =
      keys.schema.sort ? Compare(keys.sort_a, keys.sort_b) : std::strong_ordering::equal;
  Require(CompareBytes(keys.a, keys.b) == logical, "bytes and keys sort differently");
  // Strings and bytes end the key as they are; numbers may be followed by more.
  if (keys.sort_a.number() != nullptr && logical != std::strong_ordering::equal) {
    Require(!keys.a.starts_with(keys.b) && !keys.b.starts_with(keys.a),
            "no key with a number begins with another");
  }
}

void CheckRange(const Keys& keys, FuzzInput& input) {
  SortCondition condition;
  condition.kind = static_cast<SortCondition::Kind>(input.TakeByte() % 8);
  const ScalarType type = keys.schema.sort->type;
  if (condition.kind != SortCondition::Kind::kAny) condition.value = TakeKeyValue(input, type);
  if (condition.kind == SortCondition::Kind::kBetween) {
    condition.upper = TakeKeyValue(input, type);
  }
  const auto range = SortRange(keys.schema, keys.partition, condition);
  if (!range.ok()) return;
  Require(range->Contains(keys.a) == Meets(keys.sort_a, condition), "a range and its condition");
  Require(range->Contains(keys.b) == Meets(keys.sort_b, condition), "a range and its condition");
  const auto all = PartitionRange(keys.schema, keys.partition);
  Require(all.ok() && all->Contains(keys.a) && all->Contains(keys.b), "a partition has its keys");
}

// The same keys as those of an index's entries, whose sort keys are followed by more.
void CheckEntries(const Keys& keys, FuzzInput& input) {
  const KeySchema table{{"id", ScalarType::kB}, std::nullopt};
  const auto entry = [&](const Value& sort) {
    Item key = KeyWith(keys.schema, keys.partition, sort);
    key.Set("id", Value::B("i" + std::string(input.TakeShort())));
    return EncodeEntryKey(keys.schema, table, key);
  };
  const auto a = entry(keys.sort_a);
  const auto b = entry(keys.sort_b);
  Require(a.ok() && b.ok(), "a key that is good for a table is good for an index");
  const auto logical = Compare(keys.sort_a, keys.sort_b);
  if (logical != std::strong_ordering::equal) {
    Require(CompareBytes(*a, *b) == logical, "entries and keys sort differently");
  }
  const SortCondition equal{SortCondition::Kind::kEqual, keys.sort_a};
  const auto range = EntryRange(keys.schema, keys.partition, equal);
  Require(range.ok() && range->Contains(*a), "an entry's range has it");
  Require(range->Contains(*b) == (logical == std::strong_ordering::equal),
          "an entry's range has no other");
}

void CheckKeys(FuzzInput& input) {
  Keys keys{.schema = TakeSchema(input)};
  keys.partition = TakeKeyValue(input, keys.schema.partition.type);
  if (keys.schema.sort) {
    keys.sort_a = TakeKeyValue(input, keys.schema.sort->type);
    keys.sort_b = TakeKeyValue(input, keys.schema.sort->type);
  }
  const Item item_a = KeyWith(keys.schema, keys.partition, keys.sort_a);
  const auto a = EncodeKey(keys.schema, item_a);
  const auto b = EncodeKey(keys.schema, KeyWith(keys.schema, keys.partition, keys.sort_b));
  if (!a.ok() || !b.ok()) return;
  keys.a = *a;
  keys.b = *b;
  CheckOrder(keys);
  const auto decoded = DecodeKey(keys.schema, *a);
  Require(decoded.ok(), "a key cannot be read: " + decoded.status().ToString());
  Require(*decoded == item_a, "a key came back as another");
  const auto prefix = EncodePartition(keys.schema, keys.partition);
  Require(prefix.ok() && a->starts_with(*prefix) && b->starts_with(*prefix), "one partition");
  if (!keys.schema.sort) return;
  CheckRange(keys, input);
  CheckEntries(keys, input);
}

void CheckBytes(FuzzInput& input) {
  const KeySchema schema = TakeSchema(input);
  const auto key = DecodeKey(schema, input.rest());
  if (!key.ok()) {
    Require(key.status().code() == StatusCode::kCorruption, key.status().ToString());
    return;
  }
  const auto bytes = EncodeKey(schema, *key);
  Require(bytes.ok() && *bytes == input.rest(), "a key has one encoding");
}

}  // namespace
}  // namespace tailrace::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tailrace::fuzz::FuzzInput input(data, size);
  if (input.TakeByte() % 4 == 0) {
    tailrace::fuzz::CheckBytes(input);
  } else {
    tailrace::fuzz::CheckKeys(input);
  }
  return 0;
}
