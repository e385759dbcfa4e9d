// The parts of an open store and what all of them share. Each part has a file of its own; this one
// only holds them together.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "engine/catalogue.h"
#include "engine/commit_gate.h"
#include "engine/expiry_queue.h"
#include "engine/item_index.h"
#include "engine/key_locks.h"
#include "engine/options.h"
#include "engine/store_clock.h"
#include "engine/store_files.h"
#include "engine/write_buffer.h"
#include "shards/bell.h"
#include "shards/commit.h"
#include "shards/fan_out.h"
#include "shards/shard_set.h"
#include "wal/journal.h"
#include "wal/mutex.h"
#include "wal/positions.h"

namespace tailrace::engine {

// The catalogue as of the journal's end. Changes only while the commit gate is held exclusively;
// each change publishes a new copy under a new version.
class CatalogueHolder {
 public:
  struct Snapshot {
    std::shared_ptr<const Catalogue> catalogue;
    uint64_t version = 0;
  };

  Snapshot Get() const {
    MutexLock lock(mutex_);
    return snapshot_;
  }
  uint64_t version() const { return version_.load(std::memory_order_acquire); }
  void Set(Catalogue catalogue) {
    MutexLock lock(mutex_);
    snapshot_ = {std::make_shared<const Catalogue>(std::move(catalogue)), snapshot_.version + 1};
    version_.store(snapshot_.version, std::memory_order_release);
  }

 private:
  mutable Mutex mutex_;
  Snapshot snapshot_ TAILRACE_GUARDED_BY(mutex_);
  std::atomic<uint64_t> version_{0};
};

// What the last opening found, for Stats.
struct RecoverySummary {
  uint64_t frames = 0;
  uint64_t duration_us = 0;
  uint64_t torn_bytes = 0;
  bool clean_close = false;
};

struct Core {
  Core(StoreOptions store_options, StorePaths store_paths)
      : options(std::move(store_options)),
        paths(std::move(store_paths)),
        expiries(options.expiry_queue_bytes_max) {}

  const StoreOptions options;
  const StorePaths paths;
  StoreIdentity identity;
  RecoverySummary recovery;

  // In the order of their making; destroyed the other way round.
  std::unique_ptr<wal::FileLock> lock;
  std::unique_ptr<ItemIndex> index;
  std::unique_ptr<wal::Positions> positions;
  std::unique_ptr<wal::Journal> journal;
  std::unique_ptr<shards::ShardSet> shards;
  std::unique_ptr<StoreClock> clock;
  shards::Bell upkeep_bell;  // Rung when a shard is busy or an index made; upkeep sleeps at it.
  WriteBuffer buffer;
  KeyLocks key_locks;
  CommitGate gate;
  CatalogueHolder catalogue;
  ExpiryQueue expiries;
  std::unique_ptr<shards::FanOut> fan_out;

  // Turns the store read-only for good: nothing more is appended, and whoever waits learns that the
  // outcome is unknown. The first cause stays.
  void Fail(const Status& cause);

  // OK, or kReadOnly with the cause.
  Status Writable() const;

  void Pause(PausePoint point) const {
    if (options.on_pause_point) options.on_pause_point(point);
  }
  void Report(Event::Kind kind, std::string text) const {
    if (options.on_event) options.on_event({kind, std::move(text)});
  }

 private:
  std::atomic<bool> failed_{false};
  mutable Mutex failure_mutex_;
  Status failure_ TAILRACE_GUARDED_BY(failure_mutex_);
};

// Appends a commit and enters it in the write buffer. The caller holds the locks of the items'
// keys, has waited for room, and has passed the gate.
Result<wal::Frame> AppendCommit(Core& core, const shards::Commit& commit)
    TAILRACE_REQUIRES_SHARED(core.gate);

// Appends a frame that is no commit, folds it, and publishes the catalogue it leaves. The caller
// holds the gate exclusively.
Result<wal::Frame> AppendControl(Core& core, wal::FrameType type, ByteView payload)
    TAILRACE_REQUIRES(core.gate);

}  // namespace tailrace::engine
