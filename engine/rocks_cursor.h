// Places in a table's items in RocksDB.
#pragma once

#include <rocksdb/db.h>

#include <memory>
#include <string>

#include "engine/item_index.h"

namespace tailrace::engine {

inline constexpr uint64_t kLsnBytes = 8;  // A stored value is the LSN and the encoded item.

inline rocksdb::Slice ToSlice(ByteView bytes) { return {bytes.data(), bytes.size()}; }
inline ByteView ToView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

class RocksCursor final : public IndexCursor {
 public:
  // In the table's own family.
  static std::unique_ptr<RocksCursor> Own(rocksdb::DB& db, rocksdb::ColumnFamilyHandle* family,
                                          TableId table);
  // In the family that it shares.
  static std::unique_ptr<RocksCursor> Shared(rocksdb::DB& db, rocksdb::ColumnFamilyHandle* family,
                                             TableId table);

  void SeekAtLeast(ByteView key) override;
  void SeekBelow(ByteView key) override;
  void Next() override { iterator_->Next(); }
  void Previous() override { iterator_->Prev(); }
  bool valid() const override { return iterator_->Valid() && stored().size() >= kLsnBytes; }
  ByteView key() const override { return ToView(iterator_->key()).substr(prefix_.size()); }
  Lsn lsn() const override;
  ByteView image() const override { return stored().substr(kLsnBytes); }
  Status status() const override;

  // The whole value.
  ByteView stored() const { return ToView(iterator_->value()); }

 private:
  RocksCursor(TableId table, std::string prefix, std::string end);
  void Begin(rocksdb::DB& db, rocksdb::ColumnFamilyHandle* family);
  rocksdb::Slice Prefixed(ByteView key);

  const TableId table_;
  // Of the table's keys in the shared family; empty in one of its own. RocksDB keeps to the bounds
  // itself.
  const std::string prefix_;
  const std::string end_;
  const rocksdb::Slice lower_bound_;
  const rocksdb::Slice upper_bound_;
  std::string sought_;
  std::unique_ptr<rocksdb::Iterator> iterator_;
};

// A table without items.
class EmptyCursor final : public IndexCursor {
 public:
  void SeekAtLeast(ByteView) override {}
  void SeekBelow(ByteView) override {}
  void Next() override {}
  void Previous() override {}
  bool valid() const override { return false; }
  ByteView key() const override { return {}; }
  Lsn lsn() const override { return {}; }
  ByteView image() const override { return {}; }
  Status status() const override { return Status::Ok(); }
};

}  // namespace tailrace::engine
