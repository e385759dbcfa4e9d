// Items as bytes: any bytes are safe to read, what can be read has no other bytes, and an item that
// may be stored comes back the same.
#include "engine/item_codec.h"

#include <string>
#include <utility>
#include <vector>

#include "engine/limits.h"
#include "tests/fuzz/fuzz_input.h"

namespace tailrace::fuzz {
namespace {

void CheckBytes(ByteView bytes) {
  const auto item = DecodeItem(bytes);
  if (!item.ok()) {
    const StatusCode code = item.status().code();
    Require(code == StatusCode::kCorruption || code == StatusCode::kUnsupported,
            item.status().ToString());
    return;
  }
  Require(EncodedItemBytes(*item) == bytes.size(), "the length of an encoding");
  Require(EncodeItem(*item) == bytes, "an item has one encoding");
}

Value TakeValue(FuzzInput& input, size_t levels);

Item TakeItem(FuzzInput& input, size_t levels) {
  Item item;
  for (int n = input.TakeByte() % 6; n > 0; --n) {
    std::string name(input.TakeShort());
    item.Set(std::move(name), TakeValue(input, levels));
  }
  return item;
}

Value TakeNumber(FuzzInput& input) {
  const auto number = Number::Parse(input.TakeShort());
  return Value::N(number.ok() ? *number : Number::FromInt64(input.TakeByte()));
}

Value TakeSet(FuzzInput& input, int kind) {
  std::vector<std::string> texts;
  std::vector<Number> numbers;
  std::vector<Binary> binaries;
  for (int n = input.TakeByte() % 5; n > 0; --n) {
    if (kind == 0) texts.emplace_back(input.TakeShort());
    if (kind == 1) numbers.push_back(*TakeNumber(input).number());
    if (kind == 2) binaries.push_back({std::string(input.TakeShort())});
  }
  auto set = kind == 0   ? Value::SS(std::move(texts))
             : kind == 1 ? Value::NS(std::move(numbers))
                         : Value::BS(std::move(binaries));
  return set.ok() ? std::move(*set) : Value::Null();
}

Value TakeValue(FuzzInput& input, size_t levels) {
  switch (input.TakeByte() % 10) {
    case 0:
      return Value::S(std::string(input.TakeShort()));
    case 1:
      return TakeNumber(input);
    case 2:
      return Value::B(std::string(input.TakeShort()));
    case 3:
      return Value::Bool(input.TakeBool());
    case 4:
      return levels == 0 ? Value::Null() : Value::M(TakeItem(input, levels - 1));
    case 5: {
      Value::List list;
      for (int n = levels == 0 ? 0 : input.TakeByte() % 5; n > 0; --n) {
        list.push_back(TakeValue(input, levels - 1));
      }
      return Value::L(std::move(list));
    }
    case 6:
      return TakeSet(input, 0);
    case 7:
      return TakeSet(input, 1);
    case 8:
      return TakeSet(input, 2);
    default:
      return Value::Null();
  }
}

void CheckItem(const Item& item) {
  if (!ValidateItem(item).ok()) return;
  const std::string bytes = EncodeItem(item);
  Require(bytes.size() == EncodedItemBytes(item), "the length of an encoding");
  const auto again = DecodeItem(bytes);
  Require(again.ok(), "a valid item cannot be read: " + again.status().ToString());
  Require(*again == item, "an item came back as another");
  Require(again->SizeBytes() == item.SizeBytes(), "an item came back with another size");
}

}  // namespace
}  // namespace tailrace::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tailrace::fuzz::FuzzInput input(data, size);
  if (input.TakeBool()) {
    tailrace::fuzz::CheckBytes(input.rest());
  } else {
    tailrace::fuzz::CheckItem(tailrace::fuzz::TakeItem(input, tailrace::kNestingLevelsMax + 1));
  }
  return 0;
}
