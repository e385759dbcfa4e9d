#include "engine/expiry.h"

#include <charconv>
#include <string>

#include "engine/limits.h"
#include "engine/number.h"
#include "engine/utf8.h"
#include "shards/proto_wire.h"
#include "wal/mutants.h"

namespace tailrace::engine {
namespace {

// Fields of engine/item.proto.
constexpr uint32_t kNameField = 1;
constexpr uint32_t kNumberField = 3;

// The number's whole part, if it is not negative and fits.
std::optional<uint64_t> WholePart(const Number& number) {
  if (number.is_negative()) return std::nullopt;
  const std::string text = number.ToString();
  int64_t whole = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), whole);
  if (error != std::errc()) return std::nullopt;
  return static_cast<uint64_t>(whole);
}

}  // namespace

Status ValidateExpiryAttribute(std::string_view name) {
  if (!name.empty() && name.size() <= kKeyNameBytesMax && IsUtf8(name)) return Status::Ok();
  return InvalidArgument("the name of a time-to-live attribute has 1 to " +
                         std::to_string(kKeyNameBytesMax) + " bytes of UTF-8");
}

std::optional<uint64_t> ExpiryOf(ByteView image, std::string_view attribute) {
  shards::WireReader attributes(image);
  shards::WireField field;
  while (!attributes.done() && attributes.Next(field)) {
    shards::WireReader value(field.bytes);
    shards::WireField part;
    if (!value.Next(part) || part.number != kNameField) return std::nullopt;
    if (part.bytes < attribute) continue;
    if (part.bytes != attribute) return std::nullopt;  // They are sorted.
    if (!value.Next(part) || part.number != kNumberField) return std::nullopt;
    const auto number = Number::TakeOrdered(part.bytes);
    return number.ok() ? WholePart(*number) : std::nullopt;
  }
  return std::nullopt;
}

// Values are compared in whole seconds: a value of 10.5 is over from second 11 on, like one of 10.
bool IsExpired(uint64_t expiry_s, uint64_t wall_ms) {
  const uint64_t now_s = wall_ms / 1000 + (TAILRACE_MUTANT("expiry-a-second-early") ? 1 : 0);
  return expiry_s < now_s && now_s - expiry_s <= kExpiryAgeMaxS;
}

}  // namespace tailrace::engine
