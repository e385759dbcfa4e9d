#include "engine/key.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "engine/base64.h"
#include "engine/error_text.h"
#include "engine/limits.h"
#include "engine/utf8.h"
#include "wal/check.h"
#include "wal/coding.h"
#include "wal/hash.h"

namespace tailrace {
namespace {

constexpr size_t kHashBytes = sizeof(uint64_t);
constexpr char kZero = '\x00';
constexpr std::string_view kEscapedZero("\x00\xFF", 2);
constexpr std::string_view kTerminator("\x00\x01", 2);

enum class Role { kPartition, kSort };

ValueType TypeOf(ScalarType type) {
  switch (type) {
    case ScalarType::kS:
      return ValueType::kS;
    case ScalarType::kN:
      return ValueType::kN;
    case ScalarType::kB:
      return ValueType::kB;
  }
  CheckFailed(__FILE__, __LINE__, "type", "the key schema was not validated");
}

// The bytes of a value of type S or B.
ByteView RawBytes(const Value& value) {
  const std::string* text = value.string();
  return text != nullptr ? ByteView(*text) : ByteView(value.binary()->bytes);
}

// What any key value must be, whoever asks. Requires the attribute's type.
Status ValidateKeyValue(const KeyAttribute& attribute, Role role, const Value& value) {
  if (attribute.type == ScalarType::kN) return Status::Ok();
  const bool is_text = attribute.type == ScalarType::kS;
  const ByteView bytes = RawBytes(value);
  if (bytes.empty()) {
    return InvalidArgument(is_text ? error_text::EmptyStringKey(attribute.name)
                                   : error_text::EmptyBinaryKey(attribute.name));
  }
  if (role == Role::kPartition && bytes.size() > kPartitionKeyBytesMax) {
    return InvalidArgument(error_text::kPartitionKeyTooLong);
  }
  if (role == Role::kSort && bytes.size() > kSortKeyBytesMax) {
    return InvalidArgument(error_text::kSortKeyTooLong);
  }
  if (is_text && !IsUtf8(bytes)) {
    return InvalidArgument("The key " + attribute.name + " is not valid UTF-8");
  }
  return Status::Ok();
}

// ---- Writing. ----

void AppendTag(ScalarType type, std::string& target) { target.push_back(static_cast<char>(type)); }

void AppendEscaped(ByteView bytes, std::string& target) {
  size_t zero = bytes.find(kZero);
  for (; zero != ByteView::npos; zero = bytes.find(kZero)) {
    target.append(bytes.substr(0, zero)).append(kEscapedZero);
    bytes.remove_prefix(zero + 1);
  }
  target.append(bytes).append(kTerminator);
}

// Puts the hash of what follows in front of the partition key, where room was left for it.
void SetHash(std::string& target) {
  std::string hash;
  AppendBig64(hash, Hash64(ByteView(target).substr(kHashBytes)));
  target.replace(0, kHashBytes, hash);
}

// A value whose end can be told without knowing what follows.
void AppendClosed(ScalarType type, const Value& value, std::string& target) {
  if (type == ScalarType::kN) {
    value.number()->AppendOrdered(target);
  } else {
    AppendEscaped(RawBytes(value), target);
  }
}

// The same from a value's bytes in an encoded item.
void AppendClosed(ScalarType type, ByteView bytes, std::string& target) {
  if (type == ScalarType::kN) {
    target.append(bytes);
  } else {
    AppendEscaped(bytes, target);
  }
}

// [hash][tag][value], at the beginning of `target`
void AppendPartition(ScalarType type, const Value& value, std::string& target) {
  target.resize(kHashBytes);
  AppendTag(type, target);
  AppendClosed(type, value, target);
  SetHash(target);
}

// [value], without its tag
void AppendSortValue(ScalarType type, const Value& value, std::string& target) {
  if (type == ScalarType::kN) {
    value.number()->AppendOrdered(target);
  } else {
    target.append(RawBytes(value));
  }
}

// Enough for most keys, so that writing one allocates once.
size_t LikelyBytes(const Value& partition) {
  return kHashBytes + Number::kOrderedBytesMax + 4 + partition.SizeBytes();
}

// The value of a key attribute; Put's words for what is wrong with it.
Result<const Value*> KeyValueOfItem(const KeyAttribute& attribute, Role role, const Item& item) {
  const Value* value = item.Get(attribute.name);
  if (value == nullptr) return InvalidArgument(error_text::MissingKey(attribute.name));
  if (value->type() != TypeOf(attribute.type)) {
    return InvalidArgument(error_text::KeyTypeMismatch(
        attribute.name, ScalarTypeName(attribute.type), ValueTypeName(value->type())));
  }
  TAILRACE_RETURN_IF_ERROR(ValidateKeyValue(attribute, role, *value));
  return value;
}

// The same for a key that stands alone; Get's words.
Result<const Value*> KeyValueOfKey(const KeyAttribute& attribute, Role role, const Item& key) {
  const Value* value = key.Get(attribute.name);
  if (value == nullptr || value->type() != TypeOf(attribute.type)) {
    return InvalidArgument(error_text::kKeyNotOfSchema);
  }
  TAILRACE_RETURN_IF_ERROR(ValidateKeyValue(attribute, role, *value));
  return value;
}

using FindKeyValue = Result<const Value*> (*)(const KeyAttribute&, Role, const Item&);

Result<std::string> Encode(const KeySchema& schema, const Item& item, FindKeyValue find) {
  TAILRACE_ASSIGN_OR_RETURN(const Value* const partition,
                            find(schema.partition, Role::kPartition, item));
  const Value* sort = nullptr;
  if (schema.sort.has_value()) {
    TAILRACE_ASSIGN_OR_RETURN(sort, find(*schema.sort, Role::kSort, item));
  }
  std::string key;
  key.reserve(LikelyBytes(*partition) + (sort != nullptr ? sort->SizeBytes() : 0));
  AppendPartition(schema.partition.type, *partition, key);
  if (sort != nullptr) {
    AppendTag(schema.sort->type, key);
    AppendSortValue(schema.sort->type, *sort, key);
  }
  return key;
}

// ---- Reading. ----

// Takes a value that ends with the terminator off the front of `bytes`.
Result<std::string> TakeEscaped(ByteView& bytes) {
  std::string value;
  for (;;) {
    const size_t zero = bytes.find(kZero);
    if (zero == ByteView::npos) return Corruption("storage key: no end of the partition key");
    value.append(bytes.substr(0, zero));
    bytes.remove_prefix(zero);
    const ByteView mark = bytes.substr(0, kTerminator.size());
    if (mark != kTerminator && mark != kEscapedZero) {
      return Corruption("storage key: a zero byte is neither escaped nor the end");
    }
    bytes.remove_prefix(mark.size());
    if (mark == kTerminator) return value;
    value.push_back(kZero);
  }
}

// Takes [tag][value] off the front of `bytes`; a sort key of type S or B takes all there is.
Result<Value> TakeValue(const KeyAttribute& attribute, Role role, ByteView& bytes) {
  if (bytes.empty()) return Corruption("storage key: ends before the key " + attribute.name);
  if (bytes[0] != static_cast<char>(attribute.type)) {
    return Corruption("storage key: the type of the key " + attribute.name + " is not the table's");
  }
  bytes.remove_prefix(1);
  if (attribute.type == ScalarType::kN) {
    TAILRACE_ASSIGN_OR_RETURN(const Number number, Number::TakeOrdered(bytes));
    return Value::N(number);
  }
  std::string raw;
  if (role == Role::kPartition) {
    TAILRACE_ASSIGN_OR_RETURN(raw, TakeEscaped(bytes));
  } else {
    raw = bytes;
    bytes.remove_prefix(bytes.size());
  }
  Value value =
      attribute.type == ScalarType::kS ? Value::S(std::move(raw)) : Value::B(std::move(raw));
  const Status valid = ValidateKeyValue(attribute, role, value);
  if (!valid.ok()) return Corruption("storage key: " + valid.message());
  return value;
}

// ---- Conditions. ----

Status ValidateOperand(const KeyAttribute& sort, const std::optional<Value>& operand) {
  if (!operand.has_value()) {
    return InvalidArgument("the condition on sort key '" + sort.name + "' lacks a value");
  }
  if (operand->type() != TypeOf(sort.type)) return InvalidArgument(error_text::kConditionType);
  return ValidateKeyValue(sort, Role::kSort, *operand);
}

// "N:5", "S:text", "B:base64"
std::string OperandText(const Value& operand) {
  const std::string tag = std::string(ValueTypeName(operand.type())) + ":";
  if (operand.number() != nullptr) return tag + operand.number()->ToString();
  return tag +
         (operand.string() != nullptr ? *operand.string() : EncodeBase64(operand.binary()->bytes));
}

Status ValidateCondition(const KeySchema& schema, const SortCondition& condition) {
  using Kind = SortCondition::Kind;
  if (!schema.sort.has_value()) return InvalidArgument(error_text::kConditionNotSupported);
  TAILRACE_RETURN_IF_ERROR(ValidateOperand(*schema.sort, condition.value));
  if (condition.kind == Kind::kBeginsWith && schema.sort->type == ScalarType::kN) {
    return InvalidArgument(error_text::kBeginsWithNumber);
  }
  if (condition.kind == Kind::kBetween) return ValidateOperand(*schema.sort, condition.upper);
  return Status::Ok();
}

// The first storage key after `key`.
std::string After(std::string key) {
  key.push_back(kZero);
  return key;
}

// The first storage key after all those that begin with `prefix`, which has a type tag in it.
std::string AfterAll(const std::string& prefix) { return PrefixUpperBound(prefix).value(); }

// How a sort key stands in the keys that are searched: it ends an item's key; in an entry's, the
// item's own key follows.
enum class Where { kItem, kEntry };

// The first key that has this sort key, of a partition whose keys begin with `all`.
std::string At(Where where, const std::string& all, ScalarType type, const Value& sort) {
  std::string at = all;
  if (where == Where::kItem) {
    AppendSortValue(type, sort, at);
  } else {
    AppendClosed(type, sort, at);
  }
  return at;
}

// The first key with a higher sort key than those that begin `at`.
std::string Behind(Where where, std::string at) {
  return where == Where::kItem ? After(std::move(at)) : AfterAll(at);
}

// All keys whose sort key begins with this text or these bytes.
KeyRange BeginsWith(Where where, const std::string& all, ScalarType type, const Value& prefix) {
  std::string at = At(where, all, type, prefix);
  if (where == Where::kEntry) at.resize(at.size() - kTerminator.size());
  std::string upper = AfterAll(at);
  return {std::move(at), std::move(upper)};
}

Result<KeyRange> RangeOf(Where where, const KeySchema& schema, const Value& partition,
                         const SortCondition& condition) {
  using Kind = SortCondition::Kind;
  if (condition.kind == Kind::kAny) return PartitionRange(schema, partition);
  TAILRACE_RETURN_IF_ERROR(ValidateCondition(schema, condition));
  TAILRACE_ASSIGN_OR_RETURN(std::string all, EncodePartition(schema, partition));
  const ScalarType type = schema.sort->type;
  AppendTag(type, all);
  const std::string at = At(where, all, type, *condition.value);
  switch (condition.kind) {
    case Kind::kAny:
      break;
    case Kind::kEqual:
      return KeyRange{at, Behind(where, at)};
    case Kind::kLess:
      return KeyRange{all, at};
    case Kind::kLessOrEqual:
      return KeyRange{all, Behind(where, at)};
    case Kind::kGreater:
      return KeyRange{Behind(where, at), AfterAll(all)};
    case Kind::kGreaterOrEqual:
      return KeyRange{at, AfterAll(all)};
    case Kind::kBeginsWith:
      return BeginsWith(where, all, type, *condition.value);
    case Kind::kBetween: {
      const std::string upper = At(where, all, type, *condition.upper);
      if (upper < at) {
        return InvalidArgument(error_text::BetweenBounds(OperandText(*condition.value),
                                                         OperandText(*condition.upper)));
      }
      return KeyRange{at, Behind(where, upper)};
    }
  }
  return InvalidArgument(error_text::kConditionNotSupported);
}

}  // namespace

std::string_view ScalarTypeName(ScalarType type) { return ValueTypeName(TypeOf(type)); }

Status ValidateKeySchema(const KeySchema& schema) {
  const auto validate = [](const KeyAttribute& attribute) {
    const size_t bytes = attribute.name.size();
    if (bytes == 0) {
      return InvalidArgument(error_text::ConstraintFailed(
          "KeySchema.AttributeName", "Member must have length greater than or equal to 1"));
    }
    if (bytes > kKeyNameBytesMax) {
      return InvalidArgument(error_text::ConstraintFailed(
          "KeySchema.AttributeName", "Member must have length less than or equal to 255"));
    }
    if (!IsUtf8(attribute.name)) return InvalidArgument("A key's name is not valid UTF-8");
    const auto type = static_cast<uint32_t>(attribute.type);
    if (type < 1 || type > 3) {
      return InvalidArgument("The key " + attribute.name +
                             " has a type that does not exist: " + std::to_string(type));
    }
    return Status::Ok();
  };
  TAILRACE_RETURN_IF_ERROR(validate(schema.partition));
  if (!schema.sort.has_value()) return Status::Ok();
  TAILRACE_RETURN_IF_ERROR(validate(*schema.sort));
  if (schema.sort->name == schema.partition.name) {
    return InvalidArgument(error_text::kKeysOfOneName);
  }
  return Status::Ok();
}

Status ValidateTableName(std::string_view name) {
  const auto failed = [](std::string_view constraint) {
    return InvalidArgument(error_text::ConstraintFailed("TableName", constraint));
  };
  if (name.size() < kTableNameBytesMin) {
    return failed("Member must have length greater than or equal to 3");
  }
  if (name.size() > kTableNameBytesMax) {
    return failed("Member must have length less than or equal to 255");
  }
  const auto allowed = [](char c) {
    return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || ('0' <= c && c <= '9') || c == '_' ||
           c == '.' || c == '-';
  };
  if (!std::all_of(name.begin(), name.end(), allowed)) {
    return failed("Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+");
  }
  return Status::Ok();
}

Result<std::string> EncodeKeyOfItem(const KeySchema& schema, const Item& item) {
  return Encode(schema, item, KeyValueOfItem);
}

Result<std::string> EncodeKey(const KeySchema& schema, const Item& key) {
  const size_t attributes = schema.sort.has_value() ? 2 : 1;
  if (key.size() != attributes) return InvalidArgument(error_text::kKeyNotOfSchema);
  return Encode(schema, key, KeyValueOfKey);
}

Result<std::string> EncodePartition(const KeySchema& schema, const Value& partition) {
  if (partition.type() != TypeOf(schema.partition.type)) {
    return InvalidArgument(error_text::kConditionType);
  }
  TAILRACE_RETURN_IF_ERROR(ValidateKeyValue(schema.partition, Role::kPartition, partition));
  std::string prefix;
  prefix.reserve(LikelyBytes(partition));
  AppendPartition(schema.partition.type, partition, prefix);
  return prefix;
}

Result<Item> DecodeKey(const KeySchema& schema, ByteView storage_key) {
  if (storage_key.size() < kHashBytes) return Corruption("storage key: shorter than its hash");
  if (storage_key.size() > kStorageKeyBytesMax) return Corruption("storage key: too long");
  ByteView rest = storage_key.substr(kHashBytes);
  TAILRACE_ASSIGN_OR_RETURN(Value partition, TakeValue(schema.partition, Role::kPartition, rest));
  const ByteView hashed =
      storage_key.substr(kHashBytes, storage_key.size() - kHashBytes - rest.size());
  if (Hash64(hashed) != PartitionHash(storage_key)) {
    return Corruption("storage key: the hash is not that of the partition key");
  }
  std::vector<Attribute> key;
  key.reserve(2);
  key.push_back({schema.partition.name, std::move(partition)});
  if (schema.sort.has_value()) {
    TAILRACE_ASSIGN_OR_RETURN(Value sort, TakeValue(*schema.sort, Role::kSort, rest));
    key.push_back({schema.sort->name, std::move(sort)});
    if (key[1].name < key[0].name) std::swap(key[0], key[1]);
  }
  if (!rest.empty()) return Corruption("storage key: bytes after its end");
  return Item(SortedUnique{}, std::move(key));
}

Item KeyOfItem(const KeySchema& schema, const Item& item) {
  Item key;
  const auto copy = [&](const std::string& name) {
    if (const Value* value = item.Get(name)) key.Set(name, *value);
  };
  copy(schema.partition.name);
  if (schema.sort.has_value()) copy(schema.sort->name);
  return key;
}

std::string EncodeEntryKey(const KeySchema& index, ByteView partition, std::optional<ByteView> sort,
                           ByteView storage_key) {
  std::string key;
  key.reserve(partition.size() + (sort ? sort->size() : 0) + storage_key.size() + 8);
  key.resize(kHashBytes);
  AppendTag(index.partition.type, key);
  AppendClosed(index.partition.type, partition, key);
  SetHash(key);
  if (index.sort.has_value()) {
    AppendTag(index.sort->type, key);
    AppendClosed(index.sort->type, sort.value(), key);
  }
  return key.append(storage_key.substr(kHashBytes));
}

Result<std::string> EncodeEntryKey(const KeySchema& index, const KeySchema& table,
                                   const Item& key) {
  if (KeyOfEntry(index, table, key).size() != key.size()) {
    return InvalidArgument(error_text::kKeyNotOfSchema);
  }
  TAILRACE_ASSIGN_OR_RETURN(const std::string storage_key, EncodeKey(table, KeyOfItem(table, key)));
  TAILRACE_ASSIGN_OR_RETURN(const Value* const partition,
                            KeyValueOfKey(index.partition, Role::kPartition, key));
  std::string entry_key;
  AppendPartition(index.partition.type, *partition, entry_key);
  if (index.sort.has_value()) {
    TAILRACE_ASSIGN_OR_RETURN(const Value* const sort,
                              KeyValueOfKey(*index.sort, Role::kSort, key));
    AppendTag(index.sort->type, entry_key);
    AppendClosed(index.sort->type, *sort, entry_key);
  }
  return entry_key.append(ByteView(storage_key).substr(kHashBytes));
}

Item KeyOfEntry(const KeySchema& index, const KeySchema& table, const Item& item) {
  Item key = KeyOfItem(table, item);
  for (const Attribute& attribute : KeyOfItem(index, item)) {
    key.Set(attribute.name, attribute.value);
  }
  return key;
}

uint64_t PartitionHash(ByteView storage_key) {
  TAILRACE_CHECK(storage_key.size() >= kHashBytes, "a storage key begins with its hash");
  return LoadBig64(storage_key.data());
}

std::optional<std::string> PrefixUpperBound(ByteView prefix) {
  const size_t last = prefix.find_last_not_of('\xFF');
  if (last == ByteView::npos) return std::nullopt;
  std::string bound(prefix.substr(0, last + 1));
  bound.back() = static_cast<char>(static_cast<uint8_t>(bound.back()) + 1);
  return bound;
}

Result<KeyRange> PartitionRange(const KeySchema& schema, const Value& partition) {
  TAILRACE_ASSIGN_OR_RETURN(std::string prefix, EncodePartition(schema, partition));
  std::string upper = AfterAll(prefix);
  return KeyRange{std::move(prefix), std::move(upper)};
}

SortCondition SortCondition::Any() { return {}; }

Result<KeyRange> SortRange(const KeySchema& schema, const Value& partition,
                           const SortCondition& condition) {
  return RangeOf(Where::kItem, schema, partition, condition);
}

Result<KeyRange> EntryRange(const KeySchema& index, const Value& partition,
                            const SortCondition& condition) {
  return RangeOf(Where::kEntry, index, partition, condition);
}

KeyRange SegmentRange(uint32_t segment, uint32_t total_segments) {
  TAILRACE_CHECK(segment < total_segments, "segments are counted from 0");
  __extension__ using Wide = unsigned __int128;
  const auto bound = [&](uint32_t at) {
    std::string bytes;
    AppendBig64(bytes, static_cast<uint64_t>((Wide{at} << 64) / total_segments));
    return bytes;
  };
  return {segment == 0 ? "" : bound(segment),
          segment + 1 == total_segments ? "" : bound(segment + 1)};
}

}  // namespace tailrace
