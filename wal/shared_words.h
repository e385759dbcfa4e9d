// 64-bit words in a mapped file, by which one process tells others numbers and wakes them.
//
// Loads and stores are atomic and ordered: who sees a stored word sees all that was stored before
// it, in this process and in others that map the file. What is in the words lasts as long as the
// machine runs; it is never synced, and after a power loss the file may hold anything.
#pragma once

#include <atomic>
#include <cstdint>

#include "wal/check.h"

namespace tailrace::wal {

// Ends the waits that were given it, now and later. Set may be called by any thread and within a
// signal handler.
class Interrupt {
 public:
  Interrupt() = default;
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  void Set();
  bool is_set() const { return word_.load(std::memory_order_acquire) != 0; }

  // Sleeps until it is set, or `timeout_us` ran out (false).
  bool Wait(uint64_t timeout_us) const;

 private:
  friend class SharedWords;
  std::atomic<uint32_t> word_{0};
};

// Thread-safe. Made by FileSystem::MapShared; whoever maps for reading may not Store.
class SharedWords {
 public:
  virtual ~SharedWords() = default;
  SharedWords(const SharedWords&) = delete;
  SharedWords& operator=(const SharedWords&) = delete;

  uint64_t size() const { return size_; }

  uint64_t Load(uint64_t word) const {
    TAILRACE_CHECK(word < size_, "the word lies within the file");
    return __atomic_load_n(words_ + word, __ATOMIC_ACQUIRE);
  }

  // No system call. On return every process that maps the file can see it.
  void Store(uint64_t word, uint64_t value) {
    TAILRACE_CHECK(word < size_, "the word lies within the file");
    __atomic_store_n(words_ + word, value, __ATOMIC_RELEASE);
  }

  // Wakes all who wait for the word to change. Store first.
  void Wake(uint64_t word);

  // Sleeps until the lower half of the word is another than that of `seen`, `interrupt` (may be
  // null) is set, or `timeout_us` ran out (false). Uses no CPU meanwhile.
  bool Wait(uint64_t word, uint64_t seen, uint64_t timeout_us, const Interrupt* interrupt) const;

  // How often a Wait of this object fell asleep, for tests.
  uint64_t sleeps() const { return sleeps_.load(std::memory_order_relaxed); }

 protected:
  // `words` stays valid while the object lives.
  SharedWords(uint64_t* words, uint64_t size) : words_(words), size_(size) {}

 private:
  uint64_t* const words_;
  const uint64_t size_;
  mutable std::atomic<uint64_t> sleeps_{0};
};

}  // namespace tailrace::wal
