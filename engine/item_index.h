// The item index: the drained part of the state, in RocksDB. Small tables share one column family;
// a table that has grown has one of its own.
//
// It is always exactly the fold of a journal prefix over every table: each ingest adds one
// generation's items of all tables together with the cut that tells where the prefix ends, all or
// nothing. RocksDB's own memtables and WAL stay empty. This header hides RocksDB; engine/rocks_*.cc
// is all that knows it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "shards/types.h"
#include "wal/fs.h"
#include "wal/status.h"
#include "wal/types.h"

namespace tailrace::engine {

// An item as the index keeps it.
struct StoredItem {
  Lsn lsn;            // Of the commit that made it so.
  std::string image;  // Encoded item.
};

// A place in a table's items, over the state at the time it was made. Not thread-safe.
class IndexCursor {
 public:
  virtual ~IndexCursor() = default;

  // To the first key >= `key` / the last key < `key` (an empty key: the first / last of all).
  virtual void SeekAtLeast(ByteView key) = 0;
  virtual void SeekBelow(ByteView key) = 0;
  virtual void Next() = 0;
  virtual void Previous() = 0;

  virtual bool valid() const = 0;
  // While valid. The views last until the cursor moves.
  virtual ByteView key() const = 0;
  virtual Lsn lsn() const = 0;
  virtual ByteView image() const = 0;

  // Why valid() became false: OK at the end, else the damage or I/O error.
  virtual Status status() const = 0;
};

// About so many bytes on disk a table may have in the shared family before it moves to its own. A
// family costs 10 to 100 ms to make and a file or more; what moves is copied once.
inline constexpr uint64_t kSharedTableBytesMax = 4ull << 20;

struct ItemIndexOptions {
  uint64_t block_cache_bytes = 64ull << 20;
  uint64_t item_cache_bytes = 0;
  uint64_t shared_table_bytes_max = kSharedTableBytesMax;
  uint64_t ingest_bytes_expected = 0;  // Of one ingest's items, at most. Levels are sized by it.
  // Without: files that are not needed any more are removed by whoever notices, and nothing is
  // compacted but by Tidy. For simulation.
  bool background_work = true;
  bool create = false;  // Make a new one; it must not exist. Otherwise it must.
};

// Thread-safe for reads; one thread ingests and drops tables.
class ItemIndex {
 public:
  // Errors: kCorruption, kNotFound (not `create` and nothing there), kIoError, kNoSpace.
  static Result<std::unique_ptr<ItemIndex>> Open(wal::FileSystem& fs, const std::string& directory,
                                                 const ItemIndexOptions& options);
  virtual ~ItemIndex() = default;

  // The cut's bytes as the last ingest left them; absent in a new index.
  virtual Result<std::optional<std::string>> ReadCut() = 0;

  virtual Result<std::optional<StoredItem>> Get(TableId table, ByteView key) = 0;

  // Get, or an ingest, will come for the key soon: what it takes is fetched into the processor's
  // caches meanwhile.
  virtual void Expect(TableId table, ByteView key) const = 0;

  virtual Result<std::unique_ptr<IndexCursor>> NewCursor(TableId table) = 0;

  // Collects one generation for one ingest.
  class Ingest {
   public:
    virtual ~Ingest() = default;
    // Tables ascend, and keys ascend strictly within a table.
    virtual Status Set(TableId table, ByteView key, Lsn lsn, ByteView image) = 0;
    virtual Status Delete(TableId table, ByteView key) = 0;
    // Writes what is still buffered. After it the files are complete and durable, and not part of
    // the index.
    virtual Status Finish() = 0;
    // Makes all of it, and the cut, part of the index in one durable step. After a failure nobody
    // knows whether it happened: read the cut.
    virtual Status Commit(ByteView cut) = 0;
  };
  // kReadOnly here, from Commit or from DropTable: after a failure nothing goes in any more until
  // the index is reopened.
  virtual Result<std::unique_ptr<Ingest>> NewIngest() = 0;

  // Tables that have something here, and dropping one with all its items. A drop counts for
  // readers at once, and for good once an ingest without the table follows it or it is repeated
  // after a crash. Incarnations are never used twice.
  virtual std::vector<TableId> Tables() const = 0;
  virtual Status DropTable(TableId table) = 0;

  // Gives back the space of what was dropped or moved, if it is worth the work. Of the thread that
  // ingests.
  virtual Status Tidy() = 0;

  // Reads every block of every file and checks its checksum. The message of a failure names the
  // tables whose items are in damaged files.
  virtual Status VerifyChecksums() = 0;

  struct Stats {
    uint64_t bytes = 0;
    uint64_t level0_files_max = 0;  // In the family that has most.
    bool compacting = false;        // In any family, or about to.
    uint64_t families = 0;
    uint64_t shared_tables = 0;  // Tables that live in the shared one.
  };
  virtual Stats GetStats() const = 0;
};

}  // namespace tailrace::engine
