// One generation on its way into RocksDB: a sorted file for the tables that share a family, one for
// each table with a family of its own, and the default family's with the cut and the residences.
#pragma once

#include <rocksdb/sst_file_writer.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/rocks_index.h"

namespace tailrace::engine {

inline constexpr char kIngestDirectory[] = "ingest";

// A sorted file that is written for an ingest. RocksDB takes no empty ones: without an entry there
// is no file.
class SortedFile {
 public:
  SortedFile(const rocksdb::Options& options, std::string path);

  // Keys ascend strictly.
  Status Put(ByteView key, ByteView value);
  Status Delete(ByteView key);
  // On OK: durable. Nothing is added after it.
  Status Finish();

  bool empty() const { return empty_; }
  const std::string& path() const { return path_; }

 private:
  Status Begin();

  const std::string path_;
  std::unique_ptr<rocksdb::SstFileWriter> writer_;  // Null once finished.
  bool empty_ = true;
};

class RocksIngest final : public ItemIndex::Ingest {
 public:
  explicit RocksIngest(RocksIndex& index) : index_(index) {}
  ~RocksIngest() override;

  Status Set(TableId table, ByteView key, Lsn lsn, ByteView image) override;
  Status Delete(TableId table, ByteView key) override;
  Status Finish() override;
  Status Commit(ByteView cut) override;

 private:
  using Value = std::optional<ByteView>;  // Absent: deleted.

  // A table's changes while it may still turn out too large for the shared family.
  struct Change {
    std::string key;
    std::optional<std::string> value;
  };

  Status Turn(TableId table);  // Makes `table` the one whose changes come.
  Status Add(ByteView key, Value value);
  Status FinishTable();
  Status Stay();
  Status Grow();
  Status AddToShared(ByteView key, Value value);
  Status AddToOwn(ByteView key, Value value);
  Status TakeAlongBelow(ByteView key);
  Status TakeAlongRest();
  Status WriteDefault(ByteView cut);
  std::unique_ptr<SortedFile> NewFile(const std::string& name);

  RocksIndex& index_;
  std::vector<std::string> paths_;
  std::unique_ptr<SortedFile> shared_;
  std::unique_ptr<SortedFile> default_;
  std::vector<std::pair<TableId, std::unique_ptr<SortedFile>>> own_;
  RocksIndex::Residences residences_;
  uint64_t dead_bytes_ = 0;  // Of what moves, where it was.

  // The table whose changes come: they go to its own file, or to the shared one, or are held.
  enum class Way { kNone, kOwn, kShared, kHeld };
  Way way_ = Way::kNone;
  TableId table_;
  RocksIndex::Place place_;
  std::vector<Change> held_;
  uint64_t held_bytes_ = 0;
  std::unique_ptr<RocksCursor> leaving_;  // What a growing table takes along.
  std::string value_;
};

}  // namespace tailrace::engine
