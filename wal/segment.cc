#include "wal/segment.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "wal/coding.h"
#include "wal/hash.h"

namespace tailrace::wal {
namespace {

constexpr ByteView kSegmentSuffix = ".seg";
constexpr size_t kPositionDigits = 20;

bool Plausible(const SegmentHeader& header) {
  if (header.base > kPositionMax || header.epoch.value == 0) return false;
  if (header.kind != LogKind::kJournal) return true;
  return header.segment_bytes > kSegmentHeaderBytes && header.segment_bytes <= kSegmentBytesMax &&
         header.segment_bytes % kBlockBytes == 0 && header.base % kBlockBytes == 0 &&
         header.epoch_start <= header.base;
}

}  // namespace

std::string EncodeSegmentHeader(const SegmentHeader& header) {
  std::string bytes(kSegmentHeaderBytes, '\0');
  char* target = bytes.data();
  StoreLittle<uint64_t>(target + kSegmentMagicAt, kSegmentMagic);
  StoreLittle<uint32_t>(target + kSegmentVersionAt, header.version);
  StoreLittle<uint32_t>(target + kSegmentKindAt, static_cast<uint32_t>(header.kind));
  StoreLittle<uint64_t>(target + kSegmentStoreIdAt, header.store_id.value);
  StoreLittle<uint64_t>(target + kSegmentLogIdAt, header.log_id);
  StoreLittle<uint64_t>(target + kSegmentBaseAt, header.base);
  StoreLittle<uint64_t>(target + kSegmentBytesAt, header.segment_bytes);
  StoreLittle<uint32_t>(target + kSegmentEpochAt, header.epoch.value);
  StoreLittle<uint32_t>(target + kSegmentDurabilityAt, header.durability);
  StoreLittle<uint64_t>(target + kSegmentWallMsAt, header.wall_ms);
  StoreLittle<uint64_t>(target + kSegmentBaseOrdinalAt, header.base_ordinal);
  StoreLittle<uint64_t>(target + kSegmentPreviousAt, header.previous);
  StoreLittle<uint64_t>(target + kSegmentBaseChainAt, header.base_chain);
  StoreLittle<uint64_t>(target + kSegmentEpochStartAt, header.epoch_start);
  StoreLittle<uint64_t>(target + kSegmentHashAt, Hash64(ByteView(target, kSegmentHashAt)));
  return bytes;
}

SegmentHeaderState DecodeSegmentHeader(ByteView bytes, SegmentHeader& header) {
  if (bytes.size() < kSegmentHeaderBytes) return SegmentHeaderState::kInvalid;
  const char* source = bytes.data();
  if (LoadLittle<uint64_t>(source + kSegmentMagicAt) != kSegmentMagic ||
      LoadLittle<uint64_t>(source + kSegmentHashAt) != Hash64(bytes.substr(0, kSegmentHashAt))) {
    return SegmentHeaderState::kInvalid;
  }
  header.version = LoadLittle<uint32_t>(source + kSegmentVersionAt);
  if (header.version > kFormatVersion) return SegmentHeaderState::kNewer;
  header.kind = static_cast<LogKind>(LoadLittle<uint32_t>(source + kSegmentKindAt));
  header.store_id = StoreId{LoadLittle<uint64_t>(source + kSegmentStoreIdAt)};
  header.log_id = LoadLittle<uint64_t>(source + kSegmentLogIdAt);
  header.base = LoadLittle<uint64_t>(source + kSegmentBaseAt);
  header.segment_bytes = LoadLittle<uint64_t>(source + kSegmentBytesAt);
  header.epoch = Epoch{LoadLittle<uint32_t>(source + kSegmentEpochAt)};
  header.durability = LoadLittle<uint32_t>(source + kSegmentDurabilityAt);
  header.wall_ms = LoadLittle<uint64_t>(source + kSegmentWallMsAt);
  header.base_ordinal = LoadLittle<uint64_t>(source + kSegmentBaseOrdinalAt);
  header.previous = LoadLittle<uint64_t>(source + kSegmentPreviousAt);
  header.base_chain = LoadLittle<uint64_t>(source + kSegmentBaseChainAt);
  header.epoch_start = LoadLittle<uint64_t>(source + kSegmentEpochStartAt);
  return Plausible(header) ? SegmentHeaderState::kValid : SegmentHeaderState::kInvalid;
}

FrameSeed SegmentSeed(StoreId store_id, uint64_t log_id, uint64_t base, Epoch epoch) {
  char identity[28];
  StoreLittle<uint64_t>(identity, store_id.value);
  StoreLittle<uint64_t>(identity + 8, log_id);
  StoreLittle<uint64_t>(identity + 16, base);
  StoreLittle<uint32_t>(identity + 24, epoch.value);
  return FrameSeed{Hash64(ByteView(identity, sizeof identity))};
}

FrameSeed SegmentSeed(const SegmentHeader& header) {
  return SegmentSeed(header.store_id, header.log_id, header.base, header.epoch);
}

std::string SegmentFileName(uint64_t base) {
  const std::string digits = std::to_string(base);
  std::string name(kPositionDigits - digits.size(), '0');
  name += digits;
  name += kSegmentSuffix;
  return name;
}

std::optional<uint64_t> ParseSegmentFileName(ByteView name) {
  if (name.size() != kPositionDigits + kSegmentSuffix.size() || !name.ends_with(kSegmentSuffix)) {
    return std::nullopt;
  }
  uint64_t base = 0;
  const char* end = name.data() + kPositionDigits;
  const auto [parsed, error] = std::from_chars(name.data(), end, base);
  if (error != std::errc() || parsed != end || base > kPositionMax) return std::nullopt;
  return base;
}

}  // namespace tailrace::wal
