#include "tools/text.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "engine/base64.h"
#include "tools/format.h"

namespace tailrace::tools {
namespace {

struct Character {
  char32_t code = 0;
  size_t bytes = 1;
  bool valid = false;
};

// The character at the front of `text`, which is not empty. Not valid: one byte that begins none.
Character TakeCharacter(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  if (byte(0) < 0x80) return {byte(0), 1, true};
  const size_t bytes = byte(0) >= 0xF0 ? 4 : byte(0) >= 0xE0 ? 3 : 2;
  if (byte(0) < 0xC2 || byte(0) > 0xF4 || text.size() < bytes) return {byte(0), 1, false};
  char32_t code = byte(0) & (0xFFu >> (bytes + 1));
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {byte(0), 1, false};
    code = (code << 6) | (byte(i) & 0x3Fu);
  }
  constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (code < kLeast[bytes] || code > 0x10FFFF || surrogate) return {byte(0), 1, false};
  return {code, bytes, true};
}

// Characters that make a terminal do something other than show them.
bool Steers(char32_t code) {
  return code < 0x20 || (code >= 0x7F && code <= 0x9F) ||       // Control characters.
         code == 0x061C || code == 0x200E || code == 0x200F ||  // Direction marks.
         (code >= 0x2028 && code <= 0x202E) ||  // Separators, direction embeddings and overrides.
         (code >= 0x2066 && code <= 0x2069) ||  // Direction isolates.
         code == 0xFEFF || (code >= 0xFFF9 && code <= 0xFFFB);  // Byte-order mark, annotations.
}

std::string Escaped(const Character& character) {
  if (!character.valid) return Format("\\x{:02x}", static_cast<uint32_t>(character.code));
  switch (character.code) {
    case '\n':
      return "\\n";
    case '\t':
      return "\\t";
    case '\r':
      return "\\r";
    default:
      return Format("\\u{{{:x}}}", static_cast<uint32_t>(character.code));
  }
}

std::string Escape(std::string_view bytes, std::string_view also) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const Character character = TakeCharacter(bytes);
    const std::string_view taken = bytes.substr(0, character.bytes);
    bytes.remove_prefix(character.bytes);
    if (!character.valid || Steers(character.code)) {
      text.append(Escaped(character));
    } else {
      if (also.find(taken[0]) != std::string_view::npos) text.push_back('\\');
      text.append(taken);
    }
  }
  return text;
}

bool IsPlainName(std::string_view name) {
  const auto is_word = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.';
  };
  return !name.empty() && std::all_of(name.begin(), name.end(), is_word);
}

template <typename T, typename ToText>
std::string Joined(const T& elements, ToText to_text) {
  std::string text;
  for (const auto& element : elements) {
    if (!text.empty()) text.append(", ");
    text.append(to_text(element));
  }
  return text;
}

std::string BinaryText(const Binary& binary) {
  return Cat("b\"", EncodeBase64(binary.bytes), "\"");
}

}  // namespace

std::string EscapeForTerminal(std::string_view bytes) { return Escape(bytes, ""); }

std::string QuoteForTerminal(std::string_view bytes) {
  return Cat("\"", Escape(bytes, "\"\\"), "\"");
}

std::string EscapeJsonLine(std::string json) {
  const auto suspicious = [](char c) {
    const auto byte = static_cast<uint8_t>(c);
    return byte == 0x7F || byte == 0xC2 || byte == 0xD8 || byte == 0xE2 || byte == 0xEF;
  };
  if (std::none_of(json.begin(), json.end(), suspicious)) return json;
  std::string escaped;
  std::string_view rest = json;
  while (!rest.empty()) {
    const Character character = TakeCharacter(rest);
    if (character.valid && Steers(character.code) && character.code >= 0x7F) {
      escaped += Format("\\u{:04x}", static_cast<uint32_t>(character.code));
    } else {
      escaped.append(rest.substr(0, character.bytes));
    }
    rest.remove_prefix(character.bytes);
  }
  return escaped;
}

std::string ToUtf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const Character character = TakeCharacter(bytes);
    text.append(character.valid ? bytes.substr(0, character.bytes) : "\xEF\xBF\xBD");
    bytes.remove_prefix(character.bytes);
  }
  return text;
}

std::string ItemText(const Item& item) {
  return Cat("{",
             Joined(item,
                    [](const Attribute& attribute) {
                      return Cat(IsPlainName(attribute.name) ? attribute.name
                                                             : QuoteForTerminal(attribute.name),
                                 ": ", ValueText(attribute.value));
                    }),
             "}");
}

std::string ValueText(const Value& value) {
  const auto number_text = [](const Number& number) { return number.ToString(); };
  switch (value.type()) {
    case ValueType::kS:
      return QuoteForTerminal(*value.string());
    case ValueType::kN:
      return value.number()->ToString();
    case ValueType::kB:
      return BinaryText(*value.binary());
    case ValueType::kBool:
      return *value.boolean() ? "true" : "false";
    case ValueType::kNull:
      return "null";
    case ValueType::kM:
      return ItemText(*value.map());
    case ValueType::kL:
      return Cat("[", Joined(*value.list(), ValueText), "]");
    case ValueType::kSS:
      return Cat("<", Joined(*value.string_set(), QuoteForTerminal), ">");
    case ValueType::kNS:
      return Cat("<", Joined(*value.number_set(), number_text), ">");
    case ValueType::kBS:
      return Cat("<", Joined(*value.binary_set(), BinaryText), ">");
  }
  return {};
}

std::string CountText(uint64_t count) {
  std::string text = std::to_string(count);
  for (size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, 1, ',');
  return text;
}

std::string BytesText(uint64_t bytes) {
  if (bytes < 1024) return Cat(bytes, " B");
  constexpr std::string_view kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return Format("{:.1f} {}", value, kUnits[unit]);
}

std::string DurationText(uint64_t us) {
  const double ms = static_cast<double>(us) / 1000;
  if (ms < 10) return Format("{:.1f} ms", ms);
  if (ms < 1000) return Format("{:.0f} ms", ms);
  if (ms < 60'000) return Format("{:.1f} s", ms / 1000);
  const uint64_t seconds = us / 1'000'000;
  return Format("{}:{:02d} min", seconds / 60, seconds % 60);
}

std::string RateText(uint64_t count, uint64_t us) {
  if (us == 0) return "-";
  const double rate = static_cast<double>(count) * 1e6 / static_cast<double>(us);
  return Cat(CountText(static_cast<uint64_t>(rate)), "/s");
}

std::string Plural(uint64_t count, std::string_view one) {
  return Cat(CountText(count), " ", one, count == 1 ? "" : "s");
}

size_t Columns(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

}  // namespace tailrace::tools
