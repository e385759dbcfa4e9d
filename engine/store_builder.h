// Makes a new store of what is left or kept of another: the common part of restore and salvage.
#pragma once

#include <memory>
#include <string>

#include "engine/cut.pb.h"
#include "engine/item_index.h"
#include "engine/store_files.h"
#include "wal/clock.h"
#include "wal/fs.h"
#include "wal/status.h"

namespace tailrace::engine {

// There until a new store that is made of another is whole.
inline constexpr char kStoreUnfinishedName[] = "UNFINISHED";

// One thread. What was begun and not finished stays, is no store, and goes when it is begun again.
class StoreBuilder {
 public:
  // Claims the directory, which must be missing or empty (kAlreadyExists otherwise), or hold what
  // an earlier builder left. The new store has an id of its own.
  static Result<std::unique_ptr<StoreBuilder>> Begin(wal::FileSystem& fs, const Clock& clock,
                                                     const std::string& directory,
                                                     wal::Durability durability);

  StoreId store_id() const { return identity_.store_id; }

  // Tables ascend, and keys ascend strictly within a table.
  Status AddItem(TableId table, ByteView key, Lsn lsn, ByteView image) {
    return ingest_->Set(table, key, lsn, image);
  }

  // A file of a shard's log, whole. On OK: durable.
  Status AddLogFile(StreamId stream, ShardId shard, const std::string& name, ByteView bytes);

  // Makes it a store. `cut` has catalogue, clock and the ends of shards; its position and epoch are
  // those of the old store, and the new one's lie above.
  Status Finish(Cut cut);

 private:
  StoreBuilder(wal::FileSystem& fs, const Clock& clock, const std::string& directory)
      : fs_(fs), clock_(clock), paths_(directory) {}

  Status Claim();
  Result<Lsn> MakeJournal(const Cut& old);

  wal::FileSystem& fs_;
  const Clock& clock_;
  const StorePaths paths_;
  StoreIdentity identity_;
  std::unique_ptr<wal::FileLock> lock_;
  std::unique_ptr<ItemIndex> index_;
  std::unique_ptr<ItemIndex::Ingest> ingest_;
};

}  // namespace tailrace::engine
