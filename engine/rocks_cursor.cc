#include "engine/rocks_cursor.h"

#include "engine/rocks_fs.h"
#include "engine/rocks_shared_family.h"
#include "wal/coding.h"

namespace tailrace::engine {

RocksCursor::RocksCursor(TableId table, std::string prefix, std::string end)
    : table_(table),
      prefix_(std::move(prefix)),
      end_(std::move(end)),
      lower_bound_(prefix_),
      upper_bound_(end_) {}

void RocksCursor::Begin(rocksdb::DB& db, rocksdb::ColumnFamilyHandle* family) {
  rocksdb::ReadOptions read;
  // RocksDB 7.8 loses the error of a damaged file that is not a level's first when it looks for
  // range deletions there, and shows its items as absent. There are no range deletions here.
  read.ignore_range_deletions = true;
  if (!prefix_.empty()) read.iterate_lower_bound = &lower_bound_;
  if (!end_.empty()) read.iterate_upper_bound = &upper_bound_;
  iterator_.reset(db.NewIterator(read, family));
}

std::unique_ptr<RocksCursor> RocksCursor::Own(rocksdb::DB& db, rocksdb::ColumnFamilyHandle* family,
                                              TableId table) {
  std::unique_ptr<RocksCursor> cursor(new RocksCursor(table, {}, {}));
  cursor->Begin(db, family);
  return cursor;
}

std::unique_ptr<RocksCursor> RocksCursor::Shared(rocksdb::DB& db,
                                                 rocksdb::ColumnFamilyHandle* family,
                                                 TableId table) {
  std::unique_ptr<RocksCursor> cursor(
      new RocksCursor(table, SharedPrefix(table), SharedEnd(table)));
  cursor->Begin(db, family);
  return cursor;
}

rocksdb::Slice RocksCursor::Prefixed(ByteView key) {
  if (prefix_.empty()) return ToSlice(key);
  sought_ = prefix_;
  sought_.append(key);
  return sought_;
}

void RocksCursor::SeekAtLeast(ByteView key) {
  key.empty() ? iterator_->SeekToFirst() : iterator_->Seek(Prefixed(key));
}

void RocksCursor::SeekBelow(ByteView key) {
  if (key.empty()) return iterator_->SeekToLast();
  const rocksdb::Slice sought = Prefixed(key);
  iterator_->SeekForPrev(sought);
  if (iterator_->Valid() && iterator_->key() == sought) iterator_->Prev();
}

Lsn RocksCursor::lsn() const { return Lsn{LoadLittle<uint64_t>(stored().data())}; }

Status RocksCursor::status() const {
  Status status = FromRocks(iterator_->status());
  if (iterator_->Valid()) {
    status = Corruption("an item in the index is shorter than its position");
  }
  if (status.ok()) return status;
  return status.WithContext("items of table " + std::to_string(table_.value));
}

}  // namespace tailrace::engine
