// Which keys a generation of the write buffer may hold: a bit for each of their hashes. Most writes
// look for an old item where it is not, and this says so from memory that the processor has at
// hand, where the look itself would wait for main memory twice.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "shards/types.h"

namespace tailrace::engine {

class KeyFilter {
 public:
  // Thread-safe. To be called before the key is put where others look for it.
  void Add(TableId table, uint64_t prefix) {
    const uint64_t bit = BitOf(table, prefix);
    const std::atomic_ref<uint64_t> word(words_[bit / kWordBits]);
    const uint64_t mask = uint64_t{1} << bit % kWordBits;
    if ((word.load(std::memory_order_relaxed) & mask) == 0) {
      word.fetch_or(mask, std::memory_order_release);
    }
  }

  // Thread-safe. False: no key with this prefix was added.
  bool MayHold(TableId table, uint64_t prefix) const {
    const uint64_t bit = BitOf(table, prefix);
    const std::atomic_ref<uint64_t> word(words_[bit / kWordBits]);
    return (word.load(std::memory_order_acquire) >> bit % kWordBits & 1) != 0;
  }

 private:
  // 256 KiB: what a processor's second cache keeps. Of a generation of 300,000 keys it takes one
  // absent key in seven for a present one.
  static constexpr int kBitsLog2 = 21;
  static constexpr uint64_t kWordBits = 64;
  static constexpr size_t kWords = (size_t{1} << kBitsLog2) / kWordBits;

  // A prefix is a hash already; tables that hold the same keys get other bits.
  static uint64_t BitOf(TableId table, uint64_t prefix) {
    constexpr uint64_t kGoldenRatio = 0x9e3779b97f4a7c15;
    return (prefix ^ table.value * kGoldenRatio) * kGoldenRatio >> (64 - kBitsLog2);
  }

  struct Free {
    void operator()(uint64_t* words) const { std::free(words); }
  };
  // Zeros that take no memory before they are set.
  static uint64_t* NewWords() {
    void* const words = std::calloc(kWords, sizeof(uint64_t));
    if (words == nullptr) throw std::bad_alloc();
    return static_cast<uint64_t*>(words);
  }

  std::unique_ptr<uint64_t[], Free> words_{NewWords()};
};

}  // namespace tailrace::engine
