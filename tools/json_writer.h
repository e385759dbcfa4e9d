// Writes one JSON value piece by piece, in the order of the calls.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/value.h"

namespace tailrace::tools {

//   JsonWriter json;
//   json.BeginObject().Key("table").String(name).Key("items").Number(12).EndObject();
//
// Not thread-safe. Calls must make one JSON value: that is the caller's to see to.
class JsonWriter {
 public:
  JsonWriter& BeginObject();
  JsonWriter& EndObject();
  JsonWriter& BeginArray();
  JsonWriter& EndArray();

  JsonWriter& Key(std::string_view name);
  JsonWriter& String(std::string_view text);  // Bytes that are not UTF-8 become U+FFFD.
  JsonWriter& Number(uint64_t value);
  JsonWriter& Bool(bool value);
  JsonWriter& Null();
  JsonWriter& DynamoDbItem(const Item& item);

  std::string Take() { return std::move(text_); }

 private:
  void Separate();

  std::string text_;
  bool needs_comma_ = false;
};

}  // namespace tailrace::tools
