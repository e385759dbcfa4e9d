// The item index on RocksDB: which table's items are in which family, and reading them.
//
// Small tables share one family; a table that grows beyond a limit moves to one of its own, named
// by its incarnation ("t12"). The default family holds the cut and, for each table with keys in the
// shared family, a residence that says whether it lives there or has moved away. A table without a
// residence that has a family lives in it: so did every table once. Residences change in the same
// ingest as the items, so they always agree with them.
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/item_cache.h"
#include "engine/item_index.h"
#include "engine/rocks_cursor.h"
#include "engine/rocks_shared_family.h"
#include "wal/mutex.h"

namespace tailrace::engine {

// What a table's residence says. On disk.
enum class Residence : char {
  kShared = 1,  // Its items are in the shared family.
  kMoved = 2,   // They are in its own; what is left of it in the shared one is dead.
};

inline constexpr char kCutKey[] = "cut";
std::string ResidenceKey(TableId table);

// Learns when RocksDB stops: after a failed compaction, write of its MANIFEST or making of a
// family. Version 7.8 then resumes only in part, and dies of an ingest that is tried all the same.
class RocksFailure final : public rocksdb::EventListener {
 public:
  void Note(const Status& cause);
  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* cause) override;

  // OK, or kReadOnly with the first cause.
  Status Get() const;

 private:
  mutable Mutex mutex_;
  Status failure_ TAILRACE_GUARDED_BY(mutex_);
};

class RocksIndex final : public ItemIndex {
 public:
  static Result<std::unique_ptr<ItemIndex>> Open(wal::FileSystem& fs, const std::string& directory,
                                                 const ItemIndexOptions& options);
  ~RocksIndex() override;

  Result<std::optional<std::string>> ReadCut() override;
  Result<std::optional<StoredItem>> Get(TableId table, ByteView key) override;
  void Expect(TableId table, ByteView key) const override { cache_.Prefetch(table, key); }
  Result<std::unique_ptr<IndexCursor>> NewCursor(TableId table) override;
  Result<std::unique_ptr<Ingest>> NewIngest() override;
  std::vector<TableId> Tables() const override;
  Status DropTable(TableId table) override;
  Status Tidy() override;
  Status VerifyChecksums() override;
  Stats GetStats() const override;

 private:
  friend class RocksIngest;

  // What is known of a table that has a family, keys in the shared one, or both.
  struct Place {
    rocksdb::ColumnFamilyHandle* own = nullptr;
    std::optional<Residence> residence;
    bool dropped = false;  // Only its dead keys are left.

    bool in_shared() const { return residence == Residence::kShared; }
  };
  // Where to read: a family, and whether it is the shared one.
  struct Home {
    rocksdb::ColumnFamilyHandle* family = nullptr;  // Null: there are no items.
    bool shared = false;
    uint64_t version = 0;  // Of the places, when this was so.
  };
  using Residences =
      std::map<TableId, std::optional<Residence>>;  // Absent: there is none any more.

  RocksIndex(wal::FileSystem& fs, std::string directory, const ItemIndexOptions& options);

  rocksdb::Options FamilyOptions(const std::string& name) const;
  Status OpenFamilies();
  Result<Residences> ReadResidences() const;
  Status LoadPlaces();
  Status ClearIngestDirectory();

  Home Find(TableId table) const;
  Place PlaceOf(TableId table) const;
  std::unique_ptr<RocksCursor> SharedCursor(TableId table) const;
  Result<rocksdb::ColumnFamilyHandle*> OwnOrCreate(TableId table);
  Result<rocksdb::ColumnFamilyHandle*> SharedOrCreate();
  Result<rocksdb::ColumnFamilyHandle*> CreateFamily(const std::string& name);
  void ApplyResidences(const Residences& residences);
  // Estimates of RocksDB, dead keys and all.
  uint64_t BytesInShared(TableId table) const;
  uint64_t FamilyBytes(rocksdb::ColumnFamilyHandle* family) const;
  Result<bool> HasKeysInShared(TableId table) const;
  Status FindSwept();
  std::string TablesBetween(ByteView first_key, ByteView last_key) const;

  wal::FileSystem& fs_;
  const std::string directory_;
  const uint64_t shared_table_bytes_max_;
  ItemCache cache_;
  std::unique_ptr<rocksdb::Env> env_;
  rocksdb::Options options_;
  const std::shared_ptr<RocksFailure> failure_ = std::make_shared<RocksFailure>();
  const std::shared_ptr<DeadTables> dead_ = std::make_shared<DeadTables>();
  std::unique_ptr<rocksdb::DB> db_;
  rocksdb::ColumnFamilyHandle* default_family_ = nullptr;

  mutable SharedMutex mutex_;
  rocksdb::ColumnFamilyHandle* shared_ TAILRACE_GUARDED_BY(mutex_) =
      nullptr;  // Null: not made yet.
  std::map<TableId, Place> places_ TAILRACE_GUARDED_BY(mutex_);
  // Handles are kept until the end even when their family is dropped: readers may hold them.
  std::vector<rocksdb::ColumnFamilyHandle*> dropped_ TAILRACE_GUARDED_BY(mutex_);
  std::atomic<uint64_t> version_{0};  // Of places_: moves with every change.

  // Of the thread that ingests.
  bool residences_unsure_ = false;  // An ingest failed: it may have happened.
  std::set<TableId> swept_;         // Dead tables without a key left: their residences can go.
  uint64_t keys_removed_seen_ = 0;
  uint64_t dead_bytes_ = 0;  // Became dead since compactions last removed dead keys.
};

}  // namespace tailrace::engine
