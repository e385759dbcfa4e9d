// Value and Item: attribute values of the ten DynamoDB types, and maps from names to them.
//
// Thread-compatible: const methods may be called from many threads.
#pragma once

#include <compare>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "engine/number.h"
#include "wal/status.h"
#include "wal/types.h"

namespace tailrace {

class Value;
struct Attribute;

// The types, in the service's spelling.
enum class ValueType { kS, kN, kB, kBool, kNull, kM, kL, kSS, kNS, kBS };

// "S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS" or "BS".
std::string_view ValueTypeName(ValueType type);

// The type of that name; absent if there is none.
std::optional<ValueType> ValueTypeOfName(std::string_view name);

// Raw bytes as a value; a type of its own so that they are not taken for text.
struct Binary {
  std::string bytes;
  friend auto operator<=>(const Binary&, const Binary&) = default;
};

// Says that what follows is sorted and has no duplicates, so that nobody need look again.
struct SortedUnique {};

// An ordered map from attribute names to values: an item of a table, or a value of type M. Iterates
// in the order of the names' bytes. Building it checks nothing but the names' uniqueness;
// ValidateItem does.
//
//   Item item{{"id", Value::S("a")}, {"n", Value::N(5)}};
class Item {
 public:
  using const_iterator = std::vector<Attribute>::const_iterator;

  Item();
  // In any order; where a name repeats, the last one counts.
  Item(std::initializer_list<Attribute> attributes);
  explicit Item(std::vector<Attribute> attributes);
  // As they are. Requires that the names rise and none repeats.
  Item(SortedUnique, std::vector<Attribute> attributes);
  Item(const Item&);
  Item(Item&&) noexcept;
  Item& operator=(const Item&);
  Item& operator=(Item&&) noexcept;
  ~Item();

  size_t size() const;
  bool empty() const;
  const_iterator begin() const;
  const_iterator end() const;

  // The value, or null. Valid until the item is changed.
  const Value* Get(std::string_view name) const;
  Value* GetMutable(std::string_view name);
  bool Has(std::string_view name) const { return Get(name) != nullptr; }

  // The value if it exists and has the type, otherwise null.
  const std::string* GetString(std::string_view name) const;
  const Number* GetNumber(std::string_view name) const;
  const Binary* GetBinary(std::string_view name) const;
  const bool* GetBool(std::string_view name) const;
  const Item* GetMap(std::string_view name) const;
  const std::vector<Value>* GetList(std::string_view name) const;

  // Puts the value under the name, in place of the one that is there, if any. Returns *this.
  Item& Set(std::string name, Value value);

  // Returns whether there was such an attribute.
  bool Remove(std::string_view name);

  // Names and values together, as the service measures an item (not a value of type M, which counts
  // 3 bytes more and one for each entry).
  size_t SizeBytes() const;

  // Same names with equal values.
  friend bool operator==(const Item& a, const Item& b);

 private:
  std::vector<Attribute> attributes_;  // Sorted by name; names are unique.
};

// A value of one of the ten types. Sets are kept sorted, without duplicates, and are never empty,
// so that equality ignores the order they were given in. A default-constructed value is NULL.
class Value {
 public:
  using List = std::vector<Value>;
  using StringSet = std::vector<std::string>;
  using NumberSet = std::vector<Number>;
  using BinarySet = std::vector<Binary>;

  Value() = default;

  static Value S(std::string text);
  static Value N(Number number);
  template <std::integral T>
  requires(!std::same_as<T, bool>) static Value N(T number) {
    if constexpr (std::is_signed_v<T>) return N(Number::FromInt64(number));
    return N(Number::FromUint64(static_cast<uint64_t>(number)));
  }
  static Value B(std::string bytes);
  static Value B(Binary binary);
  static Value Bool(bool value);
  static Value Null();
  static Value M(Item map);
  static Value L(List list);

  // kInvalidArgument, in the service's words, if the set is empty or has an element twice.
  static Result<Value> SS(StringSet set);
  static Result<Value> NS(NumberSet set);
  static Result<Value> BS(BinarySet set);
  // As they are. Require that the elements rise, none repeats, and there is at least one.
  static Value SS(SortedUnique, StringSet set);
  static Value NS(SortedUnique, NumberSet set);
  static Value BS(SortedUnique, BinarySet set);

  ValueType type() const { return static_cast<ValueType>(value_.index()); }

  // What the value holds, or null if it has another type.
  const std::string* string() const { return std::get_if<std::string>(&value_); }
  const Number* number() const { return std::get_if<Number>(&value_); }
  const Binary* binary() const { return std::get_if<Binary>(&value_); }
  const bool* boolean() const { return std::get_if<bool>(&value_); }
  bool is_null() const { return std::holds_alternative<NullValue>(value_); }
  const Item* map() const { return std::get_if<Item>(&value_); }
  Item* mutable_map() { return std::get_if<Item>(&value_); }
  const List* list() const { return std::get_if<List>(&value_); }
  List* mutable_list() { return std::get_if<List>(&value_); }
  const StringSet* string_set() const { return std::get_if<StringSet>(&value_); }
  const NumberSet* number_set() const { return std::get_if<NumberSet>(&value_); }
  const BinarySet* binary_set() const { return std::get_if<BinarySet>(&value_); }

  // As the service measures it, without the attribute's name.
  size_t SizeBytes() const;

  // Same type and equal content: numbers by value, maps and sets regardless of order, lists in
  // order.
  friend bool operator==(const Value& a, const Value& b) = default;

 private:
  struct NullValue {
    friend bool operator==(NullValue, NullValue) = default;
  };
  // In the order of ValueType.
  using Variant = std::variant<std::string, Number, Binary, bool, NullValue, Item, List, StringSet,
                               NumberSet, BinarySet>;

  template <typename T>
  explicit Value(std::in_place_type_t<T> type, T value) : value_(type, std::move(value)) {}

  Variant value_ = NullValue{};
};

// A name with its value.
struct Attribute {
  std::string name;
  Value value;

  friend bool operator==(const Attribute&, const Attribute&) = default;
};

// Whether the item may be stored: names and text are UTF-8, names are not empty and within
// kAttributeNameBytesMax, values are within kNestingLevelsMax, and the whole is within
// kItemBytesMax. kInvalidArgument in the service's words where the service has any. Keys are
// checked apart (key.h).
Status ValidateItem(const Item& item);

}  // namespace tailrace
