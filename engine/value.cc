#include "engine/value.h"

#include <algorithm>
#include <array>

#include "engine/base64.h"
#include "engine/error_text.h"
#include "engine/limits.h"
#include "engine/utf8.h"
#include "wal/check.h"

namespace tailrace {
namespace {

constexpr std::array<std::string_view, 10> kTypeNames = {"S", "N", "B",  "BOOL", "NULL",
                                                         "M", "L", "SS", "NS",   "BS"};
// What the service counts for a list or a map besides its content, and for each element of it.
constexpr size_t kDocumentBytes = 3;
constexpr size_t kElementBytes = 1;

bool NameLess(const Attribute& attribute, std::string_view name) { return attribute.name < name; }

// Sorts by name and keeps the last of those with the same name.
void SortByName(std::vector<Attribute>& attributes) {
  const auto less = [](const Attribute& a, const Attribute& b) { return a.name < b.name; };
  // Sorting makes itself room, which costs more than all else here.
  if (!std::is_sorted(attributes.begin(), attributes.end(), less)) {
    std::stable_sort(attributes.begin(), attributes.end(), less);
  }
  size_t kept = 0;
  for (size_t i = 0; i < attributes.size(); ++i) {
    const bool repeats = i + 1 < attributes.size() && attributes[i + 1].name == attributes[i].name;
    if (repeats) continue;
    if (kept != i) attributes[kept] = std::move(attributes[i]);
    ++kept;
  }
  attributes.resize(kept);
}

// Whether an element is there twice. Leaves the set as it was given, for the message to list.
template <typename T>
bool HasDuplicate(const std::vector<T>& set) {
  std::vector<const T*> sorted;
  sorted.reserve(set.size());
  for (const T& element : set) sorted.push_back(&element);
  std::sort(sorted.begin(), sorted.end(), [](const T* a, const T* b) { return *a < *b; });
  const auto same = [](const T* a, const T* b) { return *a == *b; };
  return std::adjacent_find(sorted.begin(), sorted.end(), same) != sorted.end();
}

// "a, b, c"
template <typename T, typename ToText>
std::string Listed(const std::vector<T>& set, ToText to_text) {
  std::string text;
  for (size_t i = 0; i < set.size(); ++i) text.append(i == 0 ? "" : ", ").append(to_text(set[i]));
  return text;
}

template <typename T, typename ToSize>
size_t Sum(const std::vector<T>& elements, ToSize to_size) {
  size_t bytes = 0;
  for (const T& element : elements) bytes += to_size(element);
  return bytes;
}

Status ValidateAttribute(const Attribute& attribute, int level);

Status ValidateValue(const Value& value, int level) {
  if (level > kNestingLevelsMax) return InvalidArgument(error_text::kTooManyLevels);
  if (const std::string* text = value.string(); text != nullptr && !IsUtf8(*text)) {
    return InvalidArgument("A string value is not valid UTF-8");
  }
  if (const Value::StringSet* set = value.string_set()) {
    if (!std::all_of(set->begin(), set->end(), IsUtf8)) {
      return InvalidArgument("An element of a string set is not valid UTF-8");
    }
  }
  if (const Value::List* list = value.list()) {
    for (const Value& element : *list) {
      TAILRACE_RETURN_IF_ERROR(ValidateValue(element, level + 1));
    }
  }
  if (const Item* map = value.map()) {
    for (const Attribute& attribute : *map) {
      TAILRACE_RETURN_IF_ERROR(ValidateAttribute(attribute, level + 1));
    }
  }
  return Status::Ok();
}

Status ValidateAttribute(const Attribute& attribute, int level) {
  if (attribute.name.empty()) return InvalidArgument("An attribute name is empty");
  if (attribute.name.size() > kAttributeNameBytesMax) {
    return InvalidArgument("An attribute name is longer than " +
                           std::to_string(kAttributeNameBytesMax) + " bytes");
  }
  if (!IsUtf8(attribute.name)) return InvalidArgument("An attribute name is not valid UTF-8");
  return ValidateValue(attribute.value, level);
}

}  // namespace

std::string_view ValueTypeName(ValueType type) { return kTypeNames[static_cast<size_t>(type)]; }

std::optional<ValueType> ValueTypeOfName(std::string_view name) {
  const auto at = std::find(kTypeNames.begin(), kTypeNames.end(), name);
  if (at == kTypeNames.end()) return std::nullopt;
  return static_cast<ValueType>(at - kTypeNames.begin());
}

Item::Item() = default;
Item::Item(std::initializer_list<Attribute> attributes) : attributes_(attributes) {
  SortByName(attributes_);
}
Item::Item(std::vector<Attribute> attributes) : attributes_(std::move(attributes)) {
  SortByName(attributes_);
}
Item::Item(SortedUnique, std::vector<Attribute> attributes) : attributes_(std::move(attributes)) {}
Item::Item(const Item&) = default;
Item::Item(Item&&) noexcept = default;
Item& Item::operator=(const Item&) = default;
Item& Item::operator=(Item&&) noexcept = default;
Item::~Item() = default;

size_t Item::size() const { return attributes_.size(); }
bool Item::empty() const { return attributes_.empty(); }
Item::const_iterator Item::begin() const { return attributes_.begin(); }
Item::const_iterator Item::end() const { return attributes_.end(); }

const Value* Item::Get(std::string_view name) const {
  const auto at = std::lower_bound(attributes_.begin(), attributes_.end(), name, NameLess);
  return at != attributes_.end() && at->name == name ? &at->value : nullptr;
}

Value* Item::GetMutable(std::string_view name) { return const_cast<Value*>(Get(name)); }

const std::string* Item::GetString(std::string_view name) const {
  const Value* value = Get(name);
  return value != nullptr ? value->string() : nullptr;
}

const Number* Item::GetNumber(std::string_view name) const {
  const Value* value = Get(name);
  return value != nullptr ? value->number() : nullptr;
}

const Binary* Item::GetBinary(std::string_view name) const {
  const Value* value = Get(name);
  return value != nullptr ? value->binary() : nullptr;
}

const bool* Item::GetBool(std::string_view name) const {
  const Value* value = Get(name);
  return value != nullptr ? value->boolean() : nullptr;
}

const Item* Item::GetMap(std::string_view name) const {
  const Value* value = Get(name);
  return value != nullptr ? value->map() : nullptr;
}

const std::vector<Value>* Item::GetList(std::string_view name) const {
  const Value* value = Get(name);
  return value != nullptr ? value->list() : nullptr;
}

Item& Item::Set(std::string name, Value value) {
  const auto at = std::lower_bound(attributes_.begin(), attributes_.end(), name, NameLess);
  if (at != attributes_.end() && at->name == name) {
    at->value = std::move(value);
  } else {
    attributes_.insert(at, Attribute{std::move(name), std::move(value)});
  }
  return *this;
}

bool Item::Remove(std::string_view name) {
  const auto at = std::lower_bound(attributes_.begin(), attributes_.end(), name, NameLess);
  if (at == attributes_.end() || at->name != name) return false;
  attributes_.erase(at);
  return true;
}

size_t Item::SizeBytes() const {
  size_t bytes = 0;
  for (const Attribute& attribute : attributes_) {
    bytes += attribute.name.size() + attribute.value.SizeBytes();
  }
  return bytes;
}

bool operator==(const Item& a, const Item& b) { return a.attributes_ == b.attributes_; }

Value Value::S(std::string text) { return Value(std::in_place_type<std::string>, std::move(text)); }
Value Value::N(Number number) { return Value(std::in_place_type<Number>, number); }
Value Value::B(std::string bytes) { return B(Binary{std::move(bytes)}); }
Value Value::B(Binary binary) { return Value(std::in_place_type<Binary>, std::move(binary)); }
Value Value::Bool(bool value) { return Value(std::in_place_type<bool>, value); }
Value Value::Null() { return Value(); }
Value Value::M(Item map) { return Value(std::in_place_type<Item>, std::move(map)); }
Value Value::L(List list) { return Value(std::in_place_type<List>, std::move(list)); }

Result<Value> Value::SS(StringSet set) {
  if (set.empty()) return InvalidArgument(error_text::kEmptyStringSet);
  if (HasDuplicate(set)) {
    const auto to_text = [](const std::string& element) { return element; };
    return InvalidArgument(error_text::StringSetDuplicates(Listed(set, to_text)));
  }
  std::sort(set.begin(), set.end());
  return SS(SortedUnique{}, std::move(set));
}

Result<Value> Value::NS(NumberSet set) {
  if (set.empty()) return InvalidArgument(error_text::kEmptyNumberSet);
  if (HasDuplicate(set)) return InvalidArgument(error_text::kNumberSetDuplicates);
  std::sort(set.begin(), set.end());
  return NS(SortedUnique{}, std::move(set));
}

Result<Value> Value::BS(BinarySet set) {
  if (set.empty()) return InvalidArgument(error_text::kEmptyBinarySet);
  if (HasDuplicate(set)) {
    const auto to_text = [](const Binary& element) { return EncodeBase64(element.bytes); };
    return InvalidArgument(error_text::BinarySetDuplicates(Listed(set, to_text)));
  }
  std::sort(set.begin(), set.end());
  return BS(SortedUnique{}, std::move(set));
}

Value Value::SS(SortedUnique, StringSet set) {
  return Value(std::in_place_type<StringSet>, std::move(set));
}
Value Value::NS(SortedUnique, NumberSet set) {
  return Value(std::in_place_type<NumberSet>, std::move(set));
}
Value Value::BS(SortedUnique, BinarySet set) {
  return Value(std::in_place_type<BinarySet>, std::move(set));
}

size_t Value::SizeBytes() const {
  switch (type()) {
    case ValueType::kS:
      return string()->size();
    case ValueType::kN:
      return number()->SizeBytes();
    case ValueType::kB:
      return binary()->bytes.size();
    case ValueType::kBool:
    case ValueType::kNull:
      return 1;
    case ValueType::kM:
      return kDocumentBytes + kElementBytes * map()->size() + map()->SizeBytes();
    case ValueType::kL:
      return kDocumentBytes + kElementBytes * list()->size() +
             Sum(*list(), [](const Value& element) { return element.SizeBytes(); });
    case ValueType::kSS:
      return Sum(*string_set(), [](const std::string& element) { return element.size(); });
    case ValueType::kNS:
      return Sum(*number_set(), [](const Number& element) { return element.SizeBytes(); });
    case ValueType::kBS:
      return Sum(*binary_set(), [](const Binary& element) { return element.bytes.size(); });
  }
  CheckFailed(__FILE__, __LINE__, "type()", "a value has a type that does not exist");
}

Status ValidateItem(const Item& item) {
  for (const Attribute& attribute : item) {
    TAILRACE_RETURN_IF_ERROR(ValidateAttribute(attribute, 1));
  }
  if (item.SizeBytes() > kItemBytesMax) return InvalidArgument(error_text::kItemTooLarge);
  return Status::Ok();
}

}  // namespace tailrace
