#include "engine/item_cache.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "wal/hash.h"
#include "wal/mutants.h"

namespace tailrace::engine {
namespace {

constexpr uint64_t kRingBytesOfRow = 896;  // An eighth of the memory is rows.
constexpr uint64_t kItemsOfRing = 8;       // Larger items are not kept.
// A small cache may never be filled, and each ring would have a huge page from its first item on.
constexpr uint64_t kHugeRingBytesMin = 4 * kHugePageBytes;

// What lies before the key and the image in the ring.
struct Header {
  TableId table;
  Lsn lsn;
  uint32_t key_bytes = 0;
  uint32_t image_bytes = 0;
};

Header ReadHeader(const char* item) {
  Header header;
  std::memcpy(&header, item, sizeof header);
  return header;
}

void Store(char* item, Header header, ByteView key, ByteView image) {
  header.key_bytes = static_cast<uint32_t>(key.size());
  header.image_bytes = static_cast<uint32_t>(image.size());
  std::memcpy(item, &header, sizeof header);
  std::memcpy(item + sizeof header, key.data(), key.size());
  if (!image.empty()) std::memcpy(item + sizeof header + key.size(), image.data(), image.size());
}

ByteView KeyOf(const char* item) { return {item + sizeof(Header), ReadHeader(item).key_bytes}; }

}  // namespace

ItemCache::ItemCache(uint64_t bytes_max)
    : rows_(bytes_max / (size_t{1} << kPartBits) / (kRingBytesOfRow + sizeof(Row))),
      ring_bytes_(rows_ * kRingBytesOfRow) {}

void ItemCache::Make() {
  std::call_once(once_, [this] {
    const size_t rows = rows_ * parts_.size();
    rows_memory_ = NewHugeMemory(rows * sizeof(Row));
    rings_memory_ = NewHugeMemory(ring_bytes_ * parts_.size());
    UseHugePages(rows_memory_.get(), rows * sizeof(Row));
    if (ring_bytes_ >= kHugeRingBytesMin) {
      UseHugePages(rings_memory_.get(), ring_bytes_ * parts_.size());
    }
    Row* const first = new (rows_memory_.get()) Row[rows];
    for (size_t i = 0; i < parts_.size(); ++i) {
      parts_[i].rows = first + i * rows_;
      parts_[i].ring = rings_memory_.get() + i * ring_bytes_;
    }
    made_.store(true, std::memory_order_release);
  });
}

uint64_t ItemCache::HashOf(TableId table, ByteView key) { return Hash64(key, table.value); }

ItemCache::Row& ItemCache::RowOf(const Part& part, uint64_t hash) const {
  return part.rows[hash % rows_];
}

// Whether the ring still has it.
bool ItemCache::Alive(const Part& part, const Slot& slot) const {
  return slot.at != 0 && slot.at + ring_bytes_ >= part.end;
}

ItemCache::Slot* ItemCache::FindSlot(const Part& part, uint64_t hash, TableId table,
                                     ByteView key) const {
  for (Slot& slot : RowOf(part, hash).slots) {
    if (slot.hash != hash || !Alive(part, slot)) continue;
    const char* const item = &part.ring[slot.at % ring_bytes_];
    if (ReadHeader(item).table == table && KeyOf(item) == key) return &slot;
  }
  return nullptr;
}

void ItemCache::Prefetch(TableId table, ByteView key) const {
  if (!made_.load(std::memory_order_acquire)) return;
  const uint64_t hash = HashOf(table, key);
  const auto& slots = PartOf(hash).rows[hash % rows_].slots;
  __builtin_prefetch(slots.data());
  __builtin_prefetch(&slots.back());
}

std::optional<StoredItem> ItemCache::Find(TableId table, ByteView key) const {
  if (!made_.load(std::memory_order_acquire)) return std::nullopt;
  const uint64_t hash = HashOf(table, key);
  const Part& part = PartOf(hash);
  MutexLock lock(part.mutex);
  const Slot* const slot = FindSlot(part, hash, table, key);
  if (slot == nullptr) return std::nullopt;
  const char* const item = &part.ring[slot->at % ring_bytes_];
  const Header header = ReadHeader(item);
  return StoredItem{
      .lsn = header.lsn,
      .image = std::string(item + sizeof header + header.key_bytes, header.image_bytes)};
}

void ItemCache::Set(TableId table, ByteView key, Lsn lsn, ByteView image) {
  if (rows_ == 0) return;
  Make();
  const uint64_t hash = HashOf(table, key);
  Part& part = PartOf(hash);
  MutexLock lock(part.mutex);
  Slot* slot = FindSlot(part, hash, table, key);
  if (slot != nullptr && TAILRACE_MUTANT("item-cache-keeps-old-items")) return;
  if (sizeof(Header) + key.size() + image.size() > ring_bytes_ / kItemsOfRing) {
    if (slot != nullptr) slot->at = 0;
    return;
  }
  if (slot == nullptr) {
    auto& slots = RowOf(part, hash).slots;
    slot = std::min_element(slots.begin(), slots.end(),
                            [](const Slot& a, const Slot& b) { return a.at < b.at; });
  } else if (char* const item = &part.ring[slot->at % ring_bytes_];
             image.size() <= ReadHeader(item).image_bytes) {
    // In place of what was: items that are written over and over cost no others their room.
    return Store(item, {.table = table, .lsn = lsn}, key, image);
  }
  *slot = {hash, Append(part, table, key, lsn, image)};
}

void ItemCache::Erase(TableId table, ByteView key) {
  if (!made_.load(std::memory_order_acquire)) return;
  const uint64_t hash = HashOf(table, key);
  Part& part = PartOf(hash);
  MutexLock lock(part.mutex);
  Slot* const slot = FindSlot(part, hash, table, key);
  if (slot != nullptr) slot->at = 0;
}

// Puts an item behind the newest one, in one piece. Returns where.
uint64_t ItemCache::Append(Part& part, TableId table, ByteView key, Lsn lsn, ByteView image) {
  const uint64_t bytes = sizeof(Header) + key.size() + image.size();
  const uint64_t left_bytes = ring_bytes_ - part.end % ring_bytes_;
  const uint64_t at = part.end + (bytes <= left_bytes ? 0 : left_bytes);
  Store(&part.ring[at % ring_bytes_], {.table = table, .lsn = lsn}, key, image);
  part.end = at + bytes;
  return at;
}

}  // namespace tailrace::engine
