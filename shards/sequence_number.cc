#include "shards/sequence_number.h"

#include <charconv>
#include <cstdio>

namespace tailrace::shards {
namespace {

// 10^20 = kOffsetHigh * 2^64 + kOffsetLow.
__extension__ using Wide = unsigned __int128;
constexpr Wide kOffset = Wide{10'000'000'000ull} * Wide{10'000'000'000ull};

constexpr std::string_view kShardPrefix = "shardId-";
constexpr size_t kCreatedDigits = 20;
constexpr size_t kIdDigitsMin = 8;
constexpr size_t kIdDigitsMax = 16;

bool AllDigits(std::string_view text) {
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
  }
  return !text.empty();
}

Status NotANumber(std::string_view text) {
  return InvalidArgument("\"" + std::string(text.substr(0, kSequenceNumberDigitsMax + 1)) +
                         "\" is not a sequence number");
}

}  // namespace

std::string FormatSequenceNumber(SequenceNumber number) {
  Wide value = kOffset + number.value;
  std::string text(kSequenceNumberDigits, '0');
  for (size_t i = text.size(); i-- > 0; value /= 10) {
    text[i] = static_cast<char>('0' + static_cast<int>(value % 10));
  }
  return text;
}

Result<SequenceNumber> ParseSequenceNumber(std::string_view text) {
  if (!AllDigits(text) || text.size() > kSequenceNumberDigitsMax) return NotANumber(text);
  // The largest number is below 2^64 + 10^20 < 10^21: digits before the last 21 must be zeros.
  Wide value = 0;
  constexpr Wide kMax = kOffset + UINT64_MAX;
  for (const char c : text) {
    value = value * 10 + static_cast<Wide>(c - '0');
    if (value > kMax) return NotANumber(text);
  }
  if (value < kOffset) return NotANumber(text);
  return SequenceNumber{static_cast<uint64_t>(value - kOffset)};
}

std::string FormatShardName(uint64_t created_ms, ShardId id) {
  char text[64];
  std::snprintf(text, sizeof text, "shardId-%020llu-%08llx",
                static_cast<unsigned long long>(created_ms),
                static_cast<unsigned long long>(id.value));
  return text;
}

Result<ShardName> ParseShardName(std::string_view text) {
  const Status bad =
      InvalidArgument("\"" + std::string(text.substr(0, 65)) + "\" is not a shard name");
  if (!text.starts_with(kShardPrefix)) return bad;
  std::string_view rest = text.substr(kShardPrefix.size());
  if (rest.size() < kCreatedDigits + 1 + kIdDigitsMin ||
      rest.size() > kCreatedDigits + 1 + kIdDigitsMax || rest[kCreatedDigits] != '-') {
    return bad;
  }
  const std::string_view created = rest.substr(0, kCreatedDigits);
  const std::string_view id = rest.substr(kCreatedDigits + 1);
  ShardName name;
  const auto created_end =
      std::from_chars(created.data(), created.data() + created.size(), name.created_ms);
  const auto id_end = std::from_chars(id.data(), id.data() + id.size(), name.id.value, 16);
  if (created_end.ec != std::errc() || created_end.ptr != created.data() + created.size() ||
      id_end.ec != std::errc() || id_end.ptr != id.data() + id.size()) {
    return bad;
  }
  // Upper-case digits and needless zeros name no shard: a shard has one name.
  if (FormatShardName(name.created_ms, name.id) != text) return bad;
  return name;
}

}  // namespace tailrace::shards
