#include "tools/dynamodb_json.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "engine/base64.h"
#include "engine/error_text.h"
#include "engine/limits.h"
#include "wal/check.h"

namespace tailrace::tools {
namespace {

// In DynamoDB-JSON each level of an item takes two of JSON: the type's object and its content. The
// item itself and an export line's wrapper come on top.
constexpr size_t kJsonLevelsMax = 2 * kNestingLevelsMax + 2;

// ---- JSON as it is written: numbers as text, members in their order. ----

struct Json {
  enum class Kind { kNull, kBool, kNumber, kString, kArray, kObject };

  Kind kind = Kind::kNull;
  bool boolean = false;
  std::string text = {};                // kString: the content; kNumber: the literal.
  std::vector<Json> elements = {};      // kArray, kObject.
  std::vector<std::string> names = {};  // kObject: of each element.
};

std::string_view KindName(Json::Kind kind) {
  constexpr std::array<std::string_view, 6> kNames = {"null",     "a boolean", "a number",
                                                      "a string", "an array",  "an object"};
  return kNames[static_cast<size_t>(kind)];
}

// The name that is in `names` twice, if one is.
std::optional<std::string> Repeated(const std::vector<std::string>& names) {
  std::vector<std::string_view> sorted(names.begin(), names.end());
  std::sort(sorted.begin(), sorted.end());
  const auto repeated = std::adjacent_find(sorted.begin(), sorted.end());
  if (repeated == sorted.end()) return std::nullopt;
  return std::string(*repeated);
}

std::string Quoted(std::string_view text) {
  std::string quoted;
  AppendJsonString(text, quoted);
  return quoted;
}

// Receives the parser's events and builds the tree. Each returns whether to go on; after false,
// status() says why.
class TreeBuilder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  const Status& status() const { return status_; }
  Json TakeTree() { return std::move(root_); }

  bool null() override { return Add(Json{}); }
  bool boolean(bool value) override { return Add({.kind = Json::Kind::kBool, .boolean = value}); }
  bool number_integer(number_integer_t value) override { return AddNumber(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override {
    return AddNumber(std::to_string(value));
  }
  // The parser's own conversion is of no use; the literal is what counts.
  bool number_float(number_float_t, const string_t& literal) override { return AddNumber(literal); }
  bool string(string_t& value) override {
    return Add({.kind = Json::Kind::kString, .text = std::move(value)});
  }
  bool binary(binary_t&) override {
    return Fail(InvalidArgument("JSON: binary data"));  // Only other formats have it.
  }

  bool start_object(size_t) override { return Open(Json::Kind::kObject); }
  bool start_array(size_t) override { return Open(Json::Kind::kArray); }
  bool key(string_t& name) override {
    open_.back().names.push_back(std::move(name));
    return true;
  }
  bool end_object() override {
    const std::optional<std::string> repeated = Repeated(open_.back().names);
    if (!repeated.has_value()) return Close();
    return Fail(InvalidArgument("JSON: the name " + Quoted(*repeated) + " is there twice"));
  }
  bool end_array() override { return Close(); }

  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    constexpr int kNumberOverflow = 406;
    if (error.id == kNumberOverflow) return Fail(InvalidArgument(error_text::kNumberOverflow));
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
    const std::string_view what = error.what();
    const size_t bracket = what.find("] ");
    const size_t begin = bracket == std::string_view::npos ? 0 : bracket + 2;
    return Fail(InvalidArgument("JSON: " + std::string(what.substr(begin))));
  }

 private:
  bool AddNumber(std::string literal) {
    return Add({.kind = Json::Kind::kNumber, .text = std::move(literal)});
  }

  bool Open(Json::Kind kind) {
    if (open_.size() == kJsonLevelsMax) {
      return Fail(InvalidArgument(error_text::kTooManyLevels));
    }
    open_.push_back({.kind = kind});
    return true;
  }

  bool Close() {
    Json closed = std::move(open_.back());
    open_.pop_back();
    return Add(std::move(closed));
  }

  bool Add(Json json) {
    if (open_.empty()) {
      root_ = std::move(json);
    } else {
      open_.back().elements.push_back(std::move(json));
    }
    return true;
  }

  bool Fail(Status status) {
    status_ = std::move(status);
    return false;
  }

  Json root_;
  std::vector<Json>
      open_;  // The arrays and objects that have begun and not ended, outermost first.
  Status status_;
};

Result<Json> ParseJson(std::string_view text) {
  TreeBuilder builder;
  const bool parsed = nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  if (!builder.status().ok()) return builder.status();
  TAILRACE_CHECK(parsed, "the parser stopped without an error");
  return builder.TakeTree();
}

Status Expect(const Json& json, Json::Kind kind) {
  if (json.kind == kind) return Status::Ok();
  return InvalidArgument("expected " + std::string(KindName(kind)) + ", found " +
                         std::string(KindName(json.kind)));
}

std::string ElementPlace(size_t index) { return "[" + std::to_string(index) + "]"; }

// ---- From JSON to values, at `level` of the item. ----

using ToValue = Result<Value> (*)(const Json& json, int level);

Result<Item> MapFrom(const Json& json, int level, ToValue to_value) {
  TAILRACE_RETURN_IF_ERROR(Expect(json, Json::Kind::kObject));
  std::vector<Attribute> attributes;
  attributes.reserve(json.elements.size());
  for (size_t i = 0; i < json.elements.size(); ++i) {
    Result<Value> value = to_value(json.elements[i], level);
    if (!value.ok()) return value.status().WithContext(Quoted(json.names[i]));
    attributes.push_back({json.names[i], *std::move(value)});
  }
  return Item(std::move(attributes));
}

Result<Value> ListFrom(const Json& json, int level, ToValue to_value) {
  TAILRACE_RETURN_IF_ERROR(Expect(json, Json::Kind::kArray));
  Value::List list;
  list.reserve(json.elements.size());
  for (size_t i = 0; i < json.elements.size(); ++i) {
    Result<Value> value = to_value(json.elements[i], level);
    if (!value.ok()) return value.status().WithContext(ElementPlace(i));
    list.push_back(*std::move(value));
  }
  return Value::L(std::move(list));
}

Result<std::string> StringFrom(const Json& json) {
  TAILRACE_RETURN_IF_ERROR(Expect(json, Json::Kind::kString));
  return json.text;
}

Result<Number> NumberFrom(const Json& json) {
  TAILRACE_RETURN_IF_ERROR(Expect(json, Json::Kind::kString));
  return Number::Parse(json.text);
}

Result<Binary> BinaryFrom(const Json& json) {
  TAILRACE_RETURN_IF_ERROR(Expect(json, Json::Kind::kString));
  TAILRACE_ASSIGN_OR_RETURN(std::string bytes, DecodeBase64(json.text));
  return Binary{std::move(bytes)};
}

template <typename T>
Result<Value> SetFrom(const Json& json, Result<T> (*to_element)(const Json&),
                      Result<Value> (*make)(std::vector<T>)) {
  TAILRACE_RETURN_IF_ERROR(Expect(json, Json::Kind::kArray));
  std::vector<T> set;
  set.reserve(json.elements.size());
  for (size_t i = 0; i < json.elements.size(); ++i) {
    Result<T> element = to_element(json.elements[i]);
    if (!element.ok()) return element.status().WithContext(ElementPlace(i));
    set.push_back(*std::move(element));
  }
  return make(std::move(set));
}

Result<Value> TypedValueFrom(const Json& json, int level);

// The content of {"<type>": content}.
Result<Value> ContentFrom(ValueType type, const Json& json, int level) {
  switch (type) {
    case ValueType::kS: {
      TAILRACE_ASSIGN_OR_RETURN(std::string text, StringFrom(json));
      return Value::S(std::move(text));
    }
    case ValueType::kN: {
      TAILRACE_ASSIGN_OR_RETURN(const Number number, NumberFrom(json));
      return Value::N(number);
    }
    case ValueType::kB: {
      TAILRACE_ASSIGN_OR_RETURN(Binary binary, BinaryFrom(json));
      return Value::B(std::move(binary));
    }
    case ValueType::kBool:
      TAILRACE_RETURN_IF_ERROR(Expect(json, Json::Kind::kBool));
      return Value::Bool(json.boolean);
    case ValueType::kNull:
      TAILRACE_RETURN_IF_ERROR(Expect(json, Json::Kind::kBool));
      if (!json.boolean) return InvalidArgument(error_text::kNullNotTrue);
      return Value::Null();
    case ValueType::kM: {
      TAILRACE_ASSIGN_OR_RETURN(Item map, MapFrom(json, level + 1, TypedValueFrom));
      return Value::M(std::move(map));
    }
    case ValueType::kL:
      return ListFrom(json, level + 1, TypedValueFrom);
    case ValueType::kSS:
      return SetFrom<std::string>(json, StringFrom, Value::SS);
    case ValueType::kNS:
      return SetFrom<Number>(json, NumberFrom, Value::NS);
    case ValueType::kBS:
      return SetFrom<Binary>(json, BinaryFrom, Value::BS);
  }
  CheckFailed(__FILE__, __LINE__, "type", "a type that does not exist");
}

// A value of DynamoDB-JSON.
Result<Value> TypedValueFrom(const Json& json, int level) {
  if (level > kNestingLevelsMax) return InvalidArgument(error_text::kTooManyLevels);
  TAILRACE_RETURN_IF_ERROR(Expect(json, Json::Kind::kObject));
  if (json.names.size() > 1) return InvalidArgument(error_text::kManyTypes);
  const auto type = json.names.empty() ? std::nullopt : ValueTypeOfName(json.names[0]);
  if (!type.has_value()) return InvalidArgument(error_text::kNoType);
  Result<Value> value = ContentFrom(*type, json.elements[0], level);
  if (!value.ok()) return value.status().WithContext(ValueTypeName(*type));
  return value;
}

// A value of plain JSON.
Result<Value> PlainValueFrom(const Json& json, int level) {
  if (level > kNestingLevelsMax) return InvalidArgument(error_text::kTooManyLevels);
  switch (json.kind) {
    case Json::Kind::kNull:
      return Value::Null();
    case Json::Kind::kBool:
      return Value::Bool(json.boolean);
    case Json::Kind::kString:
      return Value::S(json.text);
    case Json::Kind::kNumber: {
      TAILRACE_ASSIGN_OR_RETURN(const Number number, Number::Parse(json.text));
      return Value::N(number);
    }
    case Json::Kind::kArray:
      return ListFrom(json, level + 1, PlainValueFrom);
    case Json::Kind::kObject: {
      TAILRACE_ASSIGN_OR_RETURN(Item map, MapFrom(json, level + 1, PlainValueFrom));
      return Value::M(std::move(map));
    }
  }
  CheckFailed(__FILE__, __LINE__, "json.kind", "a kind that does not exist");
}

// ---- From values to JSON. ----

void AppendItem(const Item& item, std::string& target);

// [a,b,c]
template <typename T, typename AppendElement>
void AppendArray(const std::vector<T>& elements, std::string& target, AppendElement append) {
  target.push_back('[');
  for (size_t i = 0; i < elements.size(); ++i) {
    if (i > 0) target.push_back(',');
    append(elements[i], target);
  }
  target.push_back(']');
}

void AppendNumber(const Number& number, std::string& target) {
  target.append("\"").append(number.ToString()).append("\"");
}

void AppendBinary(const Binary& binary, std::string& target) {
  target.append("\"").append(EncodeBase64(binary.bytes)).append("\"");
}

// {"S":"a"}
void AppendValue(const Value& value, std::string& target) {
  target.append("{\"").append(ValueTypeName(value.type())).append("\":");
  switch (value.type()) {
    case ValueType::kS:
      AppendJsonString(*value.string(), target);
      break;
    case ValueType::kN:
      AppendNumber(*value.number(), target);
      break;
    case ValueType::kB:
      AppendBinary(*value.binary(), target);
      break;
    case ValueType::kBool:
      target.append(*value.boolean() ? "true" : "false");
      break;
    case ValueType::kNull:
      target.append("true");
      break;
    case ValueType::kM:
      AppendItem(*value.map(), target);
      break;
    case ValueType::kL:
      AppendArray(*value.list(), target, AppendValue);
      break;
    case ValueType::kSS:
      AppendArray(*value.string_set(), target, AppendJsonString);
      break;
    case ValueType::kNS:
      AppendArray(*value.number_set(), target, AppendNumber);
      break;
    case ValueType::kBS:
      AppendArray(*value.binary_set(), target, AppendBinary);
      break;
  }
  target.push_back('}');
}

void AppendItem(const Item& item, std::string& target) {
  target.push_back('{');
  bool first = true;
  for (const Attribute& attribute : item) {
    if (!std::exchange(first, false)) target.push_back(',');
    AppendJsonString(attribute.name, target);
    target.push_back(':');
    AppendValue(attribute.value, target);
  }
  target.push_back('}');
}

}  // namespace

Result<Item> ItemFromDynamoDbJson(std::string_view text) {
  TAILRACE_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  return MapFrom(json, 1, TypedValueFrom);
}

Result<Item> ItemFromExportLine(std::string_view text) {
  TAILRACE_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  TAILRACE_RETURN_IF_ERROR(Expect(json, Json::Kind::kObject));
  if (json.names != std::vector<std::string>{"Item"}) {
    return InvalidArgument("an export line is an object with \"Item\" and nothing else");
  }
  Result<Item> item = MapFrom(json.elements[0], 1, TypedValueFrom);
  if (!item.ok()) return item.status().WithContext("\"Item\"");
  return item;
}

Result<Item> ItemFromPlainJson(std::string_view text) {
  TAILRACE_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  return MapFrom(json, 1, PlainValueFrom);
}

std::string ItemToDynamoDbJson(const Item& item) {
  std::string text;
  AppendItem(item, text);
  return text;
}

std::string ValueToDynamoDbJson(const Value& value) {
  std::string text;
  AppendValue(value, text);
  return text;
}

std::string ItemToExportLine(const Item& item) {
  std::string text = "{\"Item\":";
  AppendItem(item, text);
  text.push_back('}');
  return text;
}

void AppendJsonString(std::string_view text, std::string& target) {
  constexpr std::string_view kHexDigits = "0123456789abcdef";
  target.push_back('"');
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (c == '"' || c == '\\') {
      target.push_back('\\');
      target.push_back(c);
    } else if (c == '\n') {
      target.append("\\n");
    } else if (c == '\t') {
      target.append("\\t");
    } else if (byte < 0x20 || byte == 0x7F) {
      target.append("\\u00");
      target.push_back(kHexDigits[byte >> 4]);
      target.push_back(kHexDigits[byte & 15]);
    } else {
      target.push_back(c);
    }
  }
  target.push_back('"');
}

}  // namespace tailrace::tools
