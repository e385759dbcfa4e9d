// How much is written to a shard: what splits are decided by.
#pragma once

#include <cstdint>

namespace tailrace::shards {

// A shard is busy when one window of store age brings this much. 0: no limit.
struct LoadLimits {
  uint64_t window_ms = 60'000;
  uint64_t records_max = 0;  // In a window.
  uint64_t bytes_max = 0;    // In a window, of keys and images as the stream shows them.

  bool any() const { return records_max != 0 || bytes_max != 0; }
};

// Counts one shard's records in windows of store age, one after the other; a window begins with the
// first record that lies outside of the one before. The ages are those in the frames, so a fold of
// the same frames finds the same shards busy. Not thread-safe.
class LoadMeter {
 public:
  // Counts a record. True, once a window, when the window's load has reached a limit and splitting
  // would spread it: not while more than three quarters of the records have the same hash.
  bool Count(uint64_t age_ms, uint64_t hash, uint64_t bytes, const LoadLimits& limits) {
    if (records_ == 0 || age_ms < begin_ms_ || age_ms - begin_ms_ >= limits.window_ms) {
      *this = LoadMeter();
      begin_ms_ = age_ms;
    }
    ++records_;
    bytes_ += bytes;
    // A majority vote: `lead_` is at most the records of `hash_` less all others.
    if (lead_ == 0) hash_ = hash;
    lead_ += hash == hash_ ? 1 : -1;
    if (told_ || !Reached(limits) || lead_ > static_cast<int64_t>(records_ / 2)) return false;
    told_ = true;
    return true;
  }

 private:
  bool Reached(const LoadLimits& limits) const {
    return (limits.records_max != 0 && records_ >= limits.records_max) ||
           (limits.bytes_max != 0 && bytes_ >= limits.bytes_max);
  }

  uint64_t begin_ms_ = 0;  // Of the window.
  uint64_t records_ = 0;
  uint64_t bytes_ = 0;
  uint64_t hash_ = 0;
  int64_t lead_ = 0;
  bool told_ = false;
};

}  // namespace tailrace::shards
