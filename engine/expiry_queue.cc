#include "engine/expiry_queue.h"

#include <algorithm>

namespace tailrace::engine {
namespace {

// What an entry takes beside its key: a node in the map, a place in the set.
constexpr uint64_t kEntryBytes = 128;

}  // namespace

uint64_t ExpiryQueue::BytesOf(const Key& key) { return kEntryBytes + key.second.capacity(); }

void ExpiryQueue::Note(TableId table, ByteView key, std::optional<uint64_t> expiry_s) {
  MutexLock lock(mutex_);
  Set({table, std::string(key)}, expiry_s);
}

void ExpiryQueue::Offer(TableId table, ByteView key, uint64_t expiry_s) {
  MutexLock lock(mutex_);
  Key entry{table, std::string(key)};
  const auto found = expiries_.find(entry);
  if (found != expiries_.end() && found->second <= expiry_s) return;
  Set(std::move(entry), expiry_s);
}

void ExpiryQueue::Set(Key key, std::optional<uint64_t> expiry_s) {
  const auto found = expiries_.find(key);
  if (found != expiries_.end()) {
    if (found->second == expiry_s) return;
    by_time_.erase({found->second, &found->first});
    bytes_ -= BytesOf(found->first);
    expiries_.erase(found);
  }
  if (!expiry_s) return;
  const auto added = expiries_.emplace(std::move(key), *expiry_s).first;
  by_time_.insert({*expiry_s, &added->first});
  bytes_ += BytesOf(added->first);
  Shrink();
}

void ExpiryQueue::Shrink() {
  while (bytes_ > bytes_max_) {
    const auto last = std::prev(by_time_.end());
    const auto [expiry_s, key] = *last;
    complete_until_s_ = std::min(complete_until_s_, expiry_s);
    bytes_ -= BytesOf(*key);
    by_time_.erase(last);
    expiries_.erase(*key);
  }
}

std::optional<ExpiryQueue::Entry> ExpiryQueue::PopDue(uint64_t now_s) {
  MutexLock lock(mutex_);
  if (by_time_.empty()) return std::nullopt;
  const auto [expiry_s, key] = *by_time_.begin();
  if (expiry_s >= now_s) return std::nullopt;
  Entry entry{key->first, key->second, expiry_s};
  Set(*key, std::nullopt);
  return entry;
}

uint64_t ExpiryQueue::complete_until_s() const {
  MutexLock lock(mutex_);
  return complete_until_s_;
}

void ExpiryQueue::Restart() {
  MutexLock lock(mutex_);
  complete_until_s_ = UINT64_MAX;
}

size_t ExpiryQueue::size() const {
  MutexLock lock(mutex_);
  return by_time_.size();
}

}  // namespace tailrace::engine
