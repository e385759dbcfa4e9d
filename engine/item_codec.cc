#include "engine/item_codec.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "engine/limits.h"
#include "engine/utf8.h"
#include "shards/proto_wire.h"
#include "wal/check.h"

namespace tailrace {
namespace {

using shards::VarintBytes;
using shards::WireType;

// The tags of engine/item.proto; each is one byte.
constexpr char Tag(uint32_t field, WireType type) {
  return static_cast<char>(shards::FieldTag(field, type));
}
constexpr char kElement = Tag(1, WireType::kBytes);  // Of Item, List, StringSet and BinarySet.
constexpr char kName = Tag(1, WireType::kBytes);
// Of Value's kinds, in the order of ValueType.
constexpr std::array<char, 10> kKinds = {Tag(2, WireType::kBytes),  Tag(3, WireType::kBytes),
                                         Tag(4, WireType::kBytes),  Tag(5, WireType::kVarint),
                                         Tag(6, WireType::kVarint), Tag(7, WireType::kBytes),
                                         Tag(8, WireType::kBytes),  Tag(9, WireType::kBytes),
                                         Tag(10, WireType::kBytes), Tag(11, WireType::kBytes)};

constexpr uint32_t kLastField = 11;

// A field of one tag byte with `bytes` bytes of content.
size_t FieldBytes(size_t bytes) { return 1 + VarintBytes(bytes) + bytes; }

// The lengths of nested messages, found in a first pass from the top down and used in a second one
// in the same order: a length stands before its content, so without them each level would measure
// all below it again.
class Lengths {
 public:
  // A place for a length that is not known yet.
  size_t Reserve() {
    if (count_ >= kFew) more_.push_back(0);
    return count_++;
  }
  void Set(size_t place, size_t length) { At(place) = length; }
  size_t Next() { return At(next_++); }

 private:
  static constexpr size_t kFew = 32;  // Kept without an allocation.

  size_t& At(size_t place) { return place < kFew ? few_[place] : more_[place - kFew]; }

  std::array<size_t, kFew> few_{};
  std::vector<size_t> more_;
  size_t count_ = 0;
  size_t next_ = 0;
};

// ---- First pass: lengths. ----

size_t MeasureMap(const Item& map, Lengths& lengths);
size_t MeasureList(const Value::List& list, Lengths& lengths);

size_t ContentBytes(const std::string& element) { return element.size(); }
size_t ContentBytes(const Number& element) { return element.OrderedBytes(); }
size_t ContentBytes(const Binary& element) { return element.bytes.size(); }

template <typename T>
size_t MeasureSet(const std::vector<T>& set) {
  size_t bytes = 0;
  for (const T& element : set) bytes += FieldBytes(ContentBytes(element));
  return bytes;
}

// The content of a value's kind field, except for BOOL and NULL.
size_t MeasureContent(const Value& value, Lengths& lengths) {
  switch (value.type()) {
    case ValueType::kM:
      return MeasureMap(*value.map(), lengths);
    case ValueType::kL:
      return MeasureList(*value.list(), lengths);
    case ValueType::kSS:
      return MeasureSet(*value.string_set());
    case ValueType::kNS:
      return MeasureSet(*value.number_set());
    case ValueType::kBS:
      return MeasureSet(*value.binary_set());
    default:
      CheckFailed(__FILE__, __LINE__, "type", "not a document or a set");
  }
}

// The kind field of a value with its tag.
size_t MeasureKind(const Value& value, Lengths& lengths) {
  switch (value.type()) {
    case ValueType::kS:
      return FieldBytes(ContentBytes(*value.string()));
    case ValueType::kN:
      return FieldBytes(ContentBytes(*value.number()));
    case ValueType::kB:
      return FieldBytes(ContentBytes(*value.binary()));
    case ValueType::kBool:
    case ValueType::kNull:
      return 2;
    default: {
      const size_t place = lengths.Reserve();
      const size_t content = MeasureContent(value, lengths);
      lengths.Set(place, content);
      return FieldBytes(content);
    }
  }
}

size_t MeasureMap(const Item& map, Lengths& lengths) {
  size_t bytes = 0;
  for (const Attribute& attribute : map) {
    const size_t place = lengths.Reserve();
    const size_t length = FieldBytes(attribute.name.size()) + MeasureKind(attribute.value, lengths);
    lengths.Set(place, length);
    bytes += FieldBytes(length);
  }
  return bytes;
}

size_t MeasureList(const Value::List& list, Lengths& lengths) {
  size_t bytes = 0;
  for (const Value& element : list) {
    const size_t place = lengths.Reserve();
    const size_t length = MeasureKind(element, lengths);
    lengths.Set(place, length);
    bytes += FieldBytes(length);
  }
  return bytes;
}

// ---- Second pass: bytes. ----

class Writer {
 public:
  Writer(char* target, Lengths& lengths) : at_(target), lengths_(lengths) {}

  char* at() const { return at_; }

  void Map(const Item& map) {
    for (const Attribute& attribute : map) {
      Open(kElement, lengths_.Next());
      Content(kName, attribute.name);
      Kind(attribute.value);
    }
  }

 private:
  void Kind(const Value& value) {
    const char tag = kKinds[static_cast<size_t>(value.type())];
    switch (value.type()) {
      case ValueType::kS:
        return Content(tag, *value.string());
      case ValueType::kN:
        return Content(tag, *value.number());
      case ValueType::kB:
        return Content(tag, *value.binary());
      case ValueType::kBool:
        return Open(tag, *value.boolean() ? 1 : 0);
      case ValueType::kNull:
        return Open(tag, 1);
      case ValueType::kM:
        Open(tag, lengths_.Next());
        return Map(*value.map());
      case ValueType::kL:
        Open(tag, lengths_.Next());
        return List(*value.list());
      case ValueType::kSS:
        Open(tag, lengths_.Next());
        return Set(*value.string_set());
      case ValueType::kNS:
        Open(tag, lengths_.Next());
        return Set(*value.number_set());
      case ValueType::kBS:
        Open(tag, lengths_.Next());
        return Set(*value.binary_set());
    }
  }

  void List(const Value::List& list) {
    for (const Value& element : list) {
      Open(kElement, lengths_.Next());
      Kind(element);
    }
  }

  template <typename T>
  void Set(const std::vector<T>& set) {
    for (const T& element : set) Content(kElement, element);
  }

  void Content(char tag, const std::string& bytes) {
    Open(tag, bytes.size());
    std::memcpy(at_, bytes.data(), bytes.size());
    at_ += bytes.size();
  }
  void Content(char tag, const Binary& binary) { Content(tag, binary.bytes); }
  void Content(char tag, const Number& number) {
    static_assert(Number::kOrderedBytesMax < 0x80, "the length takes one byte");
    char* const length = at_ + 1;
    *at_ = tag;
    at_ = number.WriteOrdered(at_ + 2);
    *length = static_cast<char>(at_ - length - 1);
  }

  // A tag and a number: the length of what follows, or the value itself.
  void Open(char tag, uint64_t number) {
    *at_++ = tag;
    for (; number >= 0x80; number >>= 7) *at_++ = static_cast<char>(number | 0x80);
    *at_++ = static_cast<char>(number);
  }

  char* at_;
  Lengths& lengths_;
};

// ---- Reading. ----

class Reader {
 public:
  explicit Reader(ByteView bytes) : begin_(bytes.data()) {}

  const Status& status() const { return status_; }

  // Reads the attributes of a map whose values are at `level`. False: status() says why.
  bool Map(ByteView body, int level, std::vector<Attribute>& attributes) {
    attributes.reserve(CountElements(body));
    while (!body.empty()) {
      ByteView message;
      ByteView name;
      if (!Take(body, kElement, message) || !Take(message, kName, name)) return false;
      if (name.empty()) return Fail(name, "an empty name");
      if (name.size() > kAttributeNameBytesMax) return Fail(name, "a name too long");
      if (!IsUtf8(name)) return Fail(name, "a name that is not UTF-8");
      if (!attributes.empty() && attributes.back().name >= name) {
        return Fail(name, "names out of order");
      }
      Attribute& attribute = attributes.emplace_back();
      attribute.name.assign(name);
      if (!Kind(message, level, attribute.value)) return false;
    }
    return true;
  }

 private:
  // Reads the kind field, which is all that `message` has.
  bool Kind(ByteView message, int level, Value& value) {
    if (level > kNestingLevelsMax) return Fail(message, "too many levels");
    if (message.empty()) return Fail(message, "a value without a type");
    const char tag = message[0];
    const auto kind = std::find(kKinds.begin(), kKinds.end(), tag);
    if (kind == kKinds.end()) return UnknownKind(message);
    const auto type = static_cast<ValueType>(kind - kKinds.begin());
    if (type == ValueType::kBool || type == ValueType::kNull) return Flag(message, type, value);
    ByteView content;
    if (!Take(message, tag, content)) return false;
    if (!message.empty()) return Fail(message, "a value with more than one type");
    return Content(content, type, level, value);
  }

  // What a later version may add has a higher field number than any kind of today.
  bool UnknownKind(ByteView message) {
    const bool later = static_cast<uint8_t>(message[0]) >> 3 > kLastField;
    if (!later) return Fail(message, "not a value's type");
    status_ = Unsupported(Place(message, "a value of a type that this version does not know"));
    return false;
  }

  bool Flag(ByteView message, ValueType type, Value& value) {
    if (message.size() != 2) return Fail(message, "BOOL or NULL of a wrong length");
    const bool set = message[1] == 1;
    if (!set && message[1] != 0) return Fail(message, "BOOL or NULL with a wrong value");
    if (!set && type == ValueType::kNull) return Fail(message, "NULL that is not true");
    value = type == ValueType::kBool ? Value::Bool(set) : Value::Null();
    return true;
  }

  bool Content(ByteView content, ValueType type, int level, Value& value) {
    switch (type) {
      case ValueType::kS:
        if (!IsUtf8(content)) return Fail(content, "a string that is not UTF-8");
        value = Value::S(std::string(content));
        return true;
      case ValueType::kN: {
        Number number;
        if (!Element(content, number)) return false;
        value = Value::N(number);
        return true;
      }
      case ValueType::kB:
        value = Value::B(std::string(content));
        return true;
      case ValueType::kM: {
        std::vector<Attribute> attributes;
        if (!Map(content, level + 1, attributes)) return false;
        value = Value::M(Item(SortedUnique{}, std::move(attributes)));
        return true;
      }
      case ValueType::kL:
        return List(content, level + 1, value);
      case ValueType::kSS:
        return Set<Value::StringSet>(content, Value::SS, value);
      case ValueType::kNS:
        return Set<Value::NumberSet>(content, Value::NS, value);
      case ValueType::kBS:
        return Set<Value::BinarySet>(content, Value::BS, value);
      case ValueType::kBool:
      case ValueType::kNull:
        break;
    }
    CheckFailed(__FILE__, __LINE__, "type", "BOOL and NULL are read elsewhere");
  }

  bool List(ByteView body, int level, Value& value) {
    Value::List list;
    list.reserve(CountElements(body));
    while (!body.empty()) {
      ByteView message;
      if (!Take(body, kElement, message)) return false;
      if (!Kind(message, level, list.emplace_back())) return false;
    }
    value = Value::L(std::move(list));
    return true;
  }

  template <typename S>
  bool Set(ByteView body, Value (*make)(SortedUnique, S), Value& value) {
    if (body.empty()) return Fail(body, "an empty set");
    S set;
    set.reserve(CountElements(body));
    while (!body.empty()) {
      ByteView bytes;
      typename S::value_type element;
      if (!Take(body, kElement, bytes) || !Element(bytes, element)) return false;
      if (!set.empty() && !(set.back() < element)) return Fail(bytes, "set out of order");
      set.push_back(std::move(element));
    }
    value = make(SortedUnique{}, std::move(set));
    return true;
  }

  bool Element(ByteView bytes, std::string& element) {
    if (!IsUtf8(bytes)) return Fail(bytes, "an element that is not UTF-8");
    element = bytes;
    return true;
  }
  bool Element(ByteView bytes, Binary& element) {
    element.bytes = bytes;
    return true;
  }
  bool Element(ByteView bytes, Number& element) {
    ByteView rest = bytes;
    const Result<Number> number = Number::TakeOrdered(rest);
    if (!number.ok()) return Fail(bytes, number.status().message());
    if (!rest.empty()) return Fail(rest, "bytes after a number");
    element = *number;
    return true;
  }

  // Takes the field [tag][length][content] off the front of `bytes`.
  bool Take(ByteView& bytes, char tag, ByteView& content) {
    if (bytes.empty() || bytes[0] != tag) return Fail(bytes, "not the field that belongs here");
    uint64_t length = 0;
    const size_t header = 1 + ReadLength(bytes.substr(1), length);
    if (header == 1) return Fail(bytes, "a length that is cut short or not in its shortest form");
    if (length > bytes.size() - header) return Fail(bytes, "a field longer than what it is in");
    content = bytes.substr(header, length);
    bytes.remove_prefix(header + length);
    return true;
  }

  // How many bytes the length at the front of `bytes` takes; 0 if none in its shortest form is
  // there.
  static size_t ReadLength(ByteView bytes, uint64_t& length) {
    constexpr size_t kLengthBytesMax = 4;
    static_assert(kEncodedItemBytesMax < uint64_t{1} << 7 * kLengthBytesMax);
    length = 0;
    for (size_t i = 0; i < kLengthBytesMax && i < bytes.size(); ++i) {
      const auto byte = static_cast<uint8_t>(bytes[i]);
      length |= uint64_t{byte & 0x7Fu} << (7 * i);
      if (byte < 0x80) return byte == 0 && i > 0 ? 0 : i + 1;
    }
    return 0;
  }

  // How many elements a body has if it is well-formed, as a hint of how much to reserve: never more
  // than could be there.
  static size_t CountElements(ByteView body) {
    size_t count = 0;
    while (!body.empty()) {
      uint64_t length = 0;
      const size_t header = 1 + ReadLength(body.substr(1), length);
      if (header == 1 || length > body.size() - header) return 0;
      body.remove_prefix(header + length);
      ++count;
    }
    return count;
  }

  // "item, byte 17: what"
  std::string Place(ByteView at, std::string_view what) const {
    std::string text = "item, byte " + std::to_string(at.data() - begin_) + ": ";
    return text.append(what);
  }

  bool Fail(ByteView at, std::string_view what) {
    status_ = Corruption(Place(at, what));
    return false;
  }

  const char* begin_;
  Status status_;
};

}  // namespace

size_t EncodedItemBytes(const Item& item) {
  Lengths lengths;
  return MeasureMap(item, lengths);
}

void AppendEncodedItem(const Item& item, std::string& target) {
  Lengths lengths;
  const size_t bytes = MeasureMap(item, lengths);
  const size_t begin = target.size();
  target.resize(begin + bytes);
  Writer writer(target.data() + begin, lengths);
  writer.Map(item);
  TAILRACE_CHECK(writer.at() == target.data() + target.size(), "an item's length was mismeasured");
}

std::string EncodeItem(const Item& item) {
  std::string bytes;
  AppendEncodedItem(item, bytes);
  return bytes;
}

Result<Item> DecodeItem(ByteView bytes) {
  if (bytes.size() > kEncodedItemBytesMax) {
    return Corruption("item: " + std::to_string(bytes.size()) + " bytes, more than the " +
                      std::to_string(kEncodedItemBytesMax) + " allowed");
  }
  Reader reader(bytes);
  std::vector<Attribute> attributes;
  if (!reader.Map(bytes, 1, attributes)) return reader.status();
  return Item(SortedUnique{}, std::move(attributes));
}

}  // namespace tailrace
