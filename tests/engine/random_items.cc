#include "tests/engine/random_items.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "engine/limits.h"

namespace tailrace::test {
namespace {

std::string RandomDigits(Random& random, size_t count) {
  std::string digits;
  for (size_t i = 0; i < count; ++i) {
    // Runs of 0 and 9 are where carries and normal forms go wrong.
    const uint64_t kind = random.Below(4);
    const uint64_t digit = kind == 0 ? 0 : kind == 1 ? 9 : random.Below(10);
    digits.push_back(static_cast<char>('0' + digit));
  }
  return digits;
}

std::string RandomBytes(Random& random, size_t bytes_max) {
  return random.Bytes(random.Between(0, bytes_max));
}

template <typename T, typename Draw>
std::vector<T> RandomSet(Random& random, Draw draw) {
  std::vector<T> set;
  const uint64_t wanted = random.Between(1, 5);
  while (set.size() < wanted) {
    T element = draw();
    if (std::find(set.begin(), set.end(), element) == set.end()) set.push_back(std::move(element));
  }
  return set;
}

Value RandomList(Random& random, int levels) {
  Value::List list;
  for (uint64_t left = random.Below(5); left > 0; --left) {
    list.push_back(RandomValue(random, levels));
  }
  return Value::L(std::move(list));
}

}  // namespace

Number RandomNumber(Random& random) {
  switch (random.Below(8)) {
    case 0:
      return Number();
    case 1:
      return Number::FromInt64(static_cast<int64_t>(random.Next()));
    case 2:
      return Number::FromInt64(static_cast<int64_t>(random.Below(2001)) - 1000);
    case 3: {
      const char* const kLimits[] = {"1E-130",
                                     "-1E-130",
                                     "9.9999999999999999999999999999999999999E125",
                                     "-9.9999999999999999999999999999999999999E125",
                                     "1.0000000000000000000000000000000000001E-130",
                                     "99999999999999999999999999999999999999"};
      return Number::Parse(kLimits[random.Below(std::size(kLimits))]).value();
    }
    default: {
      std::string text = random.OneIn(2) ? "-" : "";
      text.push_back(static_cast<char>('1' + random.Below(9)));
      text.append(".").append(RandomDigits(random, random.Between(1, 37)));
      const auto exponent = static_cast<int64_t>(random.Below(256)) - 130;
      const auto small = static_cast<int64_t>(random.Below(80)) - 40;
      text.append("e").append(std::to_string(random.OneIn(2) ? exponent : small));
      return Number::Parse(text).value();
    }
  }
}

std::string OtherWriting(Random& random, const Number& number) {
  std::string text = number.ToString();
  std::string sign;
  if (text[0] == '-') {
    sign = "-";
    text.erase(0, 1);
  } else if (random.OneIn(2)) {
    sign = "+";
  }
  if (text.find('.') == std::string::npos) text.push_back('.');
  text.append(random.Between(1, 3), '0');
  text.insert(0, random.Below(3), '0');
  // Moves the point `shift` places to the right or left and says so in the exponent.
  const size_t point = text.find('.');
  text.erase(point, 1);
  const size_t moved = random.Between(1, text.size() - 1);
  text.insert(moved, ".");
  const auto shift = static_cast<int64_t>(point) - static_cast<int64_t>(moved);
  const std::string exponent = (shift > 0 && random.OneIn(2) ? "+" : "") + std::to_string(shift);
  return sign + text + (random.OneIn(2) ? "e" : "E") + exponent;
}

std::string RandomText(Random& random, size_t characters_min, size_t characters_max) {
  const std::string_view kCharacters[] = {std::string_view("\0", 1),
                                          "\x01",
                                          "\x7F",
                                          "\xC2\x80",
                                          "\xDF\xBF",
                                          "\xE0\xA0\x80",
                                          "\xED\x9F\xBF",
                                          "\xEF\xBF\xBF",
                                          "\xF0\x90\x80\x80",
                                          "\xF4\x8F\xBF\xBF",
                                          "\"",
                                          "\\"};
  std::string text;
  for (uint64_t left = random.Between(characters_min, characters_max); left > 0; --left) {
    if (random.OneIn(4)) {
      text.append(kCharacters[random.Below(std::size(kCharacters))]);
    } else {
      text.push_back(static_cast<char>('a' + random.Below(4)));
    }
  }
  return text;
}

Value RandomValue(Random& random, int levels) {
  switch (static_cast<ValueType>(random.Below(10))) {
    case ValueType::kS:
      return Value::S(RandomText(random, 0, random.OneIn(20) ? 300 : 12));
    case ValueType::kN:
      return Value::N(RandomNumber(random));
    case ValueType::kB:
      return Value::B(RandomBytes(random, random.OneIn(20) ? 300 : 12));
    case ValueType::kBool:
      return Value::Bool(random.OneIn(2));
    case ValueType::kNull:
      return Value::Null();
    case ValueType::kM:
      return Value::M(levels > 1 ? RandomItem(random, 4) : Item());
    case ValueType::kL:
      return levels > 1 ? RandomList(random, levels - 1) : Value::L({});
    case ValueType::kSS:
      return Value::SS(RandomSet<std::string>(random, [&] { return RandomText(random, 0, 6); }))
          .value();
    case ValueType::kNS:
      return Value::NS(RandomSet<Number>(random, [&] { return RandomNumber(random); })).value();
    case ValueType::kBS:
      return Value::BS(RandomSet<Binary>(random, [&] { return Binary{RandomBytes(random, 6)}; }))
          .value();
  }
  return Value::Null();
}

Value RandomKeyValue(Random& random, ScalarType type) {
  switch (type) {
    case ScalarType::kS:
      return Value::S(RandomText(random, 1, 12));
    case ScalarType::kN:
      return Value::N(RandomNumber(random));
    case ScalarType::kB:
      break;
  }
  std::string bytes = random.Bytes(random.Between(1, 12));
  for (char& byte : bytes) {
    if (random.OneIn(3)) byte = static_cast<char>(random.OneIn(2) ? 0x00 : 0xFF);
  }
  return Value::B(std::move(bytes));
}

Item RandomItem(Random& random, size_t attributes_max) {
  constexpr int kLevels = 3;
  Item item;
  for (uint64_t left = random.Between(0, attributes_max); left > 0; --left) {
    item.Set(RandomText(random, 1, random.OneIn(30) ? 150 : 6), RandomValue(random, kLevels));
  }
  return item;
}

std::string Mutated(Random& random, std::string bytes) {
  for (uint64_t left = random.Between(1, 3); left > 0; --left) {
    if (bytes.empty()) bytes.push_back(static_cast<char>(random.Next()));
    const size_t at = random.Below(bytes.size());
    switch (random.Below(6)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.Below(8)));
        break;
      case 1:
        bytes[at] = static_cast<char>(random.Next());
        break;
      case 2:
        bytes.insert(at, 1, static_cast<char>(random.Next()));
        break;
      case 3:
        bytes.erase(at, random.Between(1, 4));
        break;
      case 4:
        bytes.insert(at, bytes.substr(random.Below(bytes.size()), random.Between(1, 8)));
        break;
      default:
        bytes.resize(at);
        break;
    }
  }
  return bytes;
}

std::string Hex(ByteView bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  for (const char c : bytes) {
    hex.push_back(kDigits[static_cast<uint8_t>(c) >> 4]);
    hex.push_back(kDigits[static_cast<uint8_t>(c) & 15]);
  }
  return hex;
}

}  // namespace tailrace::test
