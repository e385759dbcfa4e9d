// The limits of shard logs. Each may differ from one run to the next.
#pragma once

#include <cstdint>
#include <functional>

#include "shards/shard_load.h"

namespace tailrace::shards {

struct ShardSetOptions {
  uint64_t segment_bytes_max = 16ull << 20;  // A record that would make it longer begins a new one.
  uint64_t segment_age_ms_max = 4 * 3600'000;  // So does one so much younger than its first record.
  uint64_t index_interval_bytes = 64 << 10;    // One sparse-index entry about every so many bytes.
  uint64_t buffer_bytes_max = 1 << 20;    // Per shard, before its records are written to the file.
  uint64_t buffers_bytes_max = 64 << 20;  // Of all shards together, likewise.

  // Handles on segment files kept open, of all shards together. With more shards than this under
  // write at once, each change of file costs a sync.
  uint32_t open_files_max = 512;

  // Tell processes that follow the store what is published (shards/control.h).
  bool followers = false;

  // When a shard is busy (see ShardSet::TakeBusy), and who is told: called by the writer, which
  // must not be held up. May be empty.
  LoadLimits load;
  std::function<void()> on_busy_shard = nullptr;
};

}  // namespace tailrace::shards
