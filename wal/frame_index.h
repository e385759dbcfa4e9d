// The frames of the journal that are in memory, found by position.
//
// An extent is a stretch of the journal that lies in memory in one piece: a chunk of groups
// (kSync), a mapped segment (kBuffered) or a recovered segment. Each has a bitmap with one bit for
// every 8 bytes: set where a caller's frame begins. So any position finds the next frame without
// walking.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "wal/format.h"
#include "wal/journal.h"
#include "wal/mutex.h"
#include "wal/types.h"

namespace tailrace::wal {

// Memory that begins at a multiple of kBlockBytes. Movable; its bytes are not initialised.
class BlockMemory {
 public:
  BlockMemory() = default;
  explicit BlockMemory(uint64_t bytes);

  char* data() const { return data_.get(); }
  uint64_t size_bytes() const { return size_bytes_; }

 private:
  struct Free {
    void operator()(char* data) const;
  };
  std::unique_ptr<char, Free> data_;
  uint64_t size_bytes_ = 0;
};

// One writer at a time may mark frames while any number of readers look for those already
// published.
class Extent {
 public:
  // The bytes [base, base + memory's size) in `memory`, which the extent owns.
  Extent(Lsn base, Epoch epoch, BlockMemory memory);
  // The same in bytes that somebody else keeps for as long as the extent lives.
  Extent(Lsn base, Epoch epoch, const char* data, uint64_t size_bytes);
  Extent(const Extent&) = delete;
  Extent& operator=(const Extent&) = delete;

  Lsn base() const { return base_; }
  Lsn end() const { return base_ + size_bytes_; }
  const char* data() const { return data_; }

  // Notes that a caller's frame begins at `at`, which lies in the extent.
  void MarkFrame(Lsn at);

  // The first marked frame at or above `at` and below `limit`, if any.
  std::optional<Lsn> NextFrame(Lsn at, Lsn limit) const;

  // The frame that begins at `at`, which must be marked.
  Frame FrameAt(Lsn at) const;

  // Gives up the memory (empty when it is not owned). The extent is of no use afterwards.
  BlockMemory TakeMemory() { return std::move(memory_); }

 private:
  static constexpr uint64_t kBitsPerWord = 64;

  const Lsn base_;
  const Epoch epoch_;
  BlockMemory memory_;
  const char* const data_;
  const uint64_t size_bytes_;
  std::vector<std::atomic<uint64_t>> starts_;
};

// All extents, oldest first. Thread-safe.
class FrameIndex {
 public:
  // Adds an extent that begins above all others. The pointer stays good until it is dropped.
  Extent* Add(std::unique_ptr<Extent> extent);

  // The first frame that begins in [at, limit). Everything below `limit` has been published.
  std::optional<Frame> Find(Lsn at, Lsn limit) const;

  // Takes out every extent wholly below `below`.
  std::vector<std::unique_ptr<Extent>> Drop(Lsn below);

 private:
  mutable SharedMutex mutex_;
  std::deque<std::unique_ptr<Extent>> extents_ TAILRACE_GUARDED_BY(mutex_);
};

}  // namespace tailrace::wal
