#include "tools/item_input.h"

#include <algorithm>
#include <array>

#include "engine/base64.h"
#include "tools/dynamodb_json.h"
#include "tools/format.h"

namespace tailrace::tools {
namespace {

bool IsTypeName(std::string_view name) {
  constexpr std::array kTypes = {ValueType::kS,    ValueType::kN, ValueType::kB, ValueType::kBool,
                                 ValueType::kNull, ValueType::kM, ValueType::kL, ValueType::kSS,
                                 ValueType::kNS,   ValueType::kBS};
  return std::any_of(kTypes.begin(), kTypes.end(),
                     [&](ValueType type) { return ValueTypeName(type) == name; });
}

// {"S":"a"}, read as plain JSON.
bool LooksTyped(const Value& value) {
  const Item* map = value.map();
  return map != nullptr && map->size() == 1 && IsTypeName(map->begin()->name);
}

bool LooksTyped(const Item& item) {
  return !item.empty() && std::all_of(item.begin(), item.end(), [](const Attribute& attribute) {
    return LooksTyped(attribute.value);
  });
}

ItemFormat FormatOf(const Item& plain) {
  if (LooksTyped(plain)) return ItemFormat::kDynamoDb;
  const Item* wrapped = plain.size() == 1 ? plain.GetMap("Item") : nullptr;
  if (wrapped != nullptr && LooksTyped(*wrapped)) return ItemFormat::kExportLine;
  return ItemFormat::kPlain;
}

const KeyAttribute* FindKeyAttribute(const KeySchema& keys, std::string_view name) {
  if (keys.partition.name == name) return &keys.partition;
  if (keys.sort && keys.sort->name == name) return &*keys.sort;
  return nullptr;
}

// A value of plain or of DynamoDB-JSON.
Result<Value> ParseJsonValue(std::string_view text) {
  const std::string wrapped = Cat("{\"v\":", text, "}");
  TAILRACE_ASSIGN_OR_RETURN(const Item item, ParseItem(wrapped));
  return *item.Get("v");
}

Result<Attribute> ParseWord(const std::string& word, const KeySchema& keys) {
  const size_t equals = word.find('=');
  if (equals == std::string::npos || equals == 0) {
    return InvalidArgument(Cat("'", word, "' is not name=value, name:=JSON or an item in JSON"));
  }
  const std::string_view value = std::string_view(word).substr(equals + 1);
  if (word[equals - 1] == ':' && equals > 1) {
    const std::string name = word.substr(0, equals - 1);
    auto parsed = ParseJsonValue(value);
    if (!parsed.ok()) return parsed.status().WithContext(name);
    return Attribute{name, *std::move(parsed)};
  }
  const std::string name = word.substr(0, equals);
  const KeyAttribute* key = FindKeyAttribute(keys, name);
  auto parsed = ParseScalar(value, key != nullptr ? key->type : ScalarType::kS);
  if (!parsed.ok()) return parsed.status().WithContext(name);
  return Attribute{name, *std::move(parsed)};
}

}  // namespace

std::string_view ItemFormatName(ItemFormat format) {
  switch (format) {
    case ItemFormat::kPlain:
      return "plain";
    case ItemFormat::kDynamoDb:
      return "dynamodb";
    case ItemFormat::kExportLine:
      return "export";
  }
  return {};
}

Result<ItemFormat> DetectItemFormat(std::string_view text) {
  TAILRACE_ASSIGN_OR_RETURN(const Item plain, ItemFromPlainJson(text));
  return FormatOf(plain);
}

Result<Item> ParseItem(std::string_view text, ItemFormat format) {
  switch (format) {
    case ItemFormat::kPlain:
      return ItemFromPlainJson(text);
    case ItemFormat::kDynamoDb:
      return ItemFromDynamoDbJson(text);
    case ItemFormat::kExportLine:
      return ItemFromExportLine(text);
  }
  return InvalidArgument("unknown format of items");
}

Result<Item> ParseItem(std::string_view text) {
  TAILRACE_ASSIGN_OR_RETURN(Item plain, ItemFromPlainJson(text));
  const ItemFormat format = FormatOf(plain);
  if (format == ItemFormat::kPlain) return plain;
  return ParseItem(text, format);
}

Result<Item> ParseItemWords(const std::vector<std::string>& words, const KeySchema& keys) {
  if (words.size() == 1 && words[0].find_first_not_of(" \t\n") != std::string::npos &&
      words[0][words[0].find_first_not_of(" \t\n")] == '{') {
    return ParseItem(words[0]);
  }
  Item item;
  for (const std::string& word : words) {
    TAILRACE_ASSIGN_OR_RETURN(Attribute attribute, ParseWord(word, keys));
    if (item.Has(attribute.name)) {
      return InvalidArgument(Cat("'", attribute.name, "' is given twice"));
    }
    item.Set(std::move(attribute.name), std::move(attribute.value));
  }
  return item;
}

Result<Item> ParseKeyWords(const std::vector<std::string>& words, const KeySchema& keys) {
  const auto advise = [&](const Status& status) {
    return InvalidArgument(Cat(status.message(), ": the key is ", KeySchemaText(keys)));
  };
  const bool bare = words.size() == 1 && words[0].find_first_of("={") == std::string::npos;
  if (bare && !keys.sort) {
    auto value = ParseScalar(words[0], keys.partition.type);
    if (!value.ok()) return advise(value.status());
    return Item{{keys.partition.name, *std::move(value)}};
  }
  auto key = ParseItemWords(words, keys);
  if (!key.ok()) return advise(key.status());
  if (const auto encoded = EncodeKey(keys, *key); !encoded.ok()) return advise(encoded.status());
  return key;
}

Result<Value> ParseScalar(std::string_view text, ScalarType type) {
  switch (type) {
    case ScalarType::kS:
      return Value::S(std::string(text));
    case ScalarType::kN: {
      TAILRACE_ASSIGN_OR_RETURN(const Number number, Number::Parse(text));
      return Value::N(number);
    }
    case ScalarType::kB: {
      TAILRACE_ASSIGN_OR_RETURN(std::string bytes, DecodeBase64(text));
      return Value::B(std::move(bytes));
    }
  }
  return InvalidArgument("unknown type of key attribute");
}

Result<KeyAttribute> ParseKeyAttribute(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon != std::string_view::npos && colon > 0) {
    const std::string_view type = text.substr(colon + 1);
    for (const ScalarType candidate : {ScalarType::kS, ScalarType::kN, ScalarType::kB}) {
      if (ScalarTypeName(candidate) == type) {
        return KeyAttribute{std::string(text.substr(0, colon)), candidate};
      }
    }
  }
  return InvalidArgument(
      Cat("'", text,
          "' is not a key attribute: write its name and type, such as game_id:N (S, N or B)"));
}

Result<KeySchema> ParseKeySchema(std::string_view partition, std::string_view sort) {
  KeySchema keys;
  TAILRACE_ASSIGN_OR_RETURN(keys.partition, ParseKeyAttribute(partition));
  if (!sort.empty()) {
    TAILRACE_ASSIGN_OR_RETURN(keys.sort, ParseKeyAttribute(sort));
  }
  return keys;
}

std::string KeySchemaText(const KeySchema& keys) {
  const auto text = [](const KeyAttribute& attribute) {
    return Cat(attribute.name, ":", ScalarTypeName(attribute.type));
  };
  return keys.sort ? Cat(text(keys.partition), ", ", text(*keys.sort)) : text(keys.partition);
}

}  // namespace tailrace::tools
