// Reading the streams of a store that another process has open, without the store: a follower.
//
// A follower only reads (but for one word, by which it puts the owner in haste): the control file
// (shards/control.h) says what is published, the shard logs hold it. It never shows a record above
// the published end. The owner may write, split, trim and disable meanwhile, die and come back:
// positions stay good, and mean the same as in the owner's process. While no process has the store
// open, a follower shows what the last one published.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "shards/shard_reader.h"
#include "shards/stream_catalogue.h"
#include "wal/fs.h"
#include "wal/mutex.h"
#include "wal/shared_words.h"
#include "wal/status.h"

namespace tailrace::shards {

class ControlReader;

struct FollowerOptions {
  uint32_t open_files_max = 64;  // Handles on segment files kept open.
};

// Thread-safe. Errors that any method may return besides those it names: kIoError; kCorruption for
// damage, with its place; kUnsupported for a store that a newer version has open.
class Follower {
 public:
  // Follows the store with this id, whose streams lie below `directory` and whose owner holds the
  // lock on `lock_path`. Borrows `fs`. kNotFound: no process has had the store open that could be
  // followed.
  static Result<std::unique_ptr<Follower>> Open(wal::FileSystem& fs, std::string directory,
                                                std::string lock_path, StoreId store,
                                                const FollowerOptions& options = {});
  ~Follower();

  // The streams and shards that the owner has published; null: an owner is just opening the store,
  // and nothing is published yet.
  using CataloguePointer = std::shared_ptr<const StreamCatalogue>;
  Result<CataloguePointer> catalogue();

  // As ShardSet::Seek. kBusy: nothing is published yet, or not this shard: wait and try again.
  Result<Position> Seek(StreamId stream, ShardId shard, StartAt start, SequenceNumber number = {},
                        uint64_t wall_ms = 0);

  // As ShardSet::Read. While nothing is published the page is empty and caught up. Damage is only
  // reported while an owner lives: one that died may have left files that the next one cuts.
  Status Read(const Position& position, const PageLimits& limits, RecordPage& page);
  Result<Page> Read(const Position& position, const PageLimits& limits);

  // Waits without using the CPU until Read of any of the positions would show something, the
  // catalogue is another than `known` (null: does not matter), or `interrupt` (may be null) is set;
  // false when `timeout_ms` ran out. kNotFound (a shard is gone).
  Result<bool> WaitAny(const std::vector<Position>& positions, const CataloguePointer& known,
                       uint64_t timeout_ms, const wal::Interrupt* interrupt = nullptr);

  // Everything below was published; Lsn{0}: nothing is.
  Result<Lsn> Published();

  // Whether a process has the store open now.
  Result<bool> OwnerLives();

  // How often this follower fell asleep, for tests.
  uint64_t sleeps() const;

 private:
  struct Session;
  // What the owner has published, as far as it is known here.
  struct Current {
    std::shared_ptr<Session> session;  // Null: nothing.
    CataloguePointer catalogue;
  };
  struct Shown;

  Follower(wal::FileSystem& fs, std::string directory, std::string lock_path, StoreId store,
           const FollowerOptions& options);

  std::shared_ptr<ControlReader> Control() const;
  Status OpenControl() TAILRACE_REQUIRES(mutex_);
  Result<Current> Look();
  Result<Current> LookLocked() TAILRACE_REQUIRES(mutex_);
  Status LoadCatalogue(Epoch epoch, uint64_t version) TAILRACE_REQUIRES(mutex_);
  Result<std::optional<Shown>> Show(StreamId stream, ShardId shard);
  template <typename T, typename Use>
  Result<std::optional<T>> WithLog(StreamId stream, ShardId shard, const Use& use);
  void LookAfresh(const Shown& shown);
  Result<bool> Ready(const Position& position);
  static void Sleep(const ControlReader* control, uint64_t sequence, uint64_t timeout_us,
                    const wal::Interrupt* interrupt);

  wal::FileSystem& fs_;
  const std::string directory_;
  const std::string lock_path_;
  const StoreId store_;
  const FollowerOptions options_;

  mutable Mutex mutex_;
  std::shared_ptr<ControlReader> control_ TAILRACE_GUARDED_BY(mutex_);  // And of waits under way.
  std::shared_ptr<Session> session_ TAILRACE_GUARDED_BY(mutex_);        // And of reads under way.
  CataloguePointer catalogue_ TAILRACE_GUARDED_BY(mutex_);
  uint64_t catalogue_version_ TAILRACE_GUARDED_BY(mutex_) = 0;
  uint64_t earlier_sleeps_ TAILRACE_GUARDED_BY(mutex_) = 0;  // At control files of before.
};

}  // namespace tailrace::shards
