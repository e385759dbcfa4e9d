#include "engine/item_fields.h"

#include <charconv>
#include <string>

namespace tailrace::engine {

std::optional<uint64_t> GetUint64(const Item& item, std::string_view name) {
  const Number* number = item.GetNumber(name);
  if (number == nullptr) return std::nullopt;
  const std::string text = number->ToString();
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace tailrace::engine
