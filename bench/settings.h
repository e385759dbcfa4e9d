// What the command line says about all benchmarks.
#pragma once

#include <cstdint>
#include <string>

namespace tailrace::bench {

struct Settings {
  std::string directory;             // On the disk to measure; stores are made and removed in it.
  uint64_t items = 1'000'000;        // In a store before it is measured.
  uint64_t items_max = 1'000'000;    // In the largest store of growth/items.
  uint64_t rounds = 1;               // In which every case runs once.
  double seconds = 5;                // That a write or read case runs for, its catching up apart.
  uint64_t stream_bytes = 1 << 30;   // Of change records that a stream scan reads.
  uint64_t journal_bytes = 1 << 30;  // That a recovery replays.
  bool every_write = false;          // Write cases of every combination, also what no page shows.
};

// Set once, before any benchmark runs.
Settings& TheSettings();

// What every engine may use of memory, so that none wins by having more, each as it is fastest.
inline constexpr uint64_t kCacheBytes = 256ull << 20;      // RocksDB alone: all of it for blocks.
inline constexpr uint64_t kItemCacheBytes = 224ull << 20;  // Tailrace: so much of it for items.
inline constexpr uint64_t kWriteBufferBytes = 64ull << 20;
inline constexpr int kWriteBuffers = 4;  // At most so many that are full or being filled.

}  // namespace tailrace::bench
