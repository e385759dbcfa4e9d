// RocksDB alone, used in the four ways in which one would do without Tailrace. Keys and values go
// in as they are.
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/transaction_log.h>
#include <rocksdb/utilities/transaction.h>
#include <rocksdb/utilities/transaction_db.h>
#include <rocksdb/write_batch.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <thread>

#include "bench/engine.h"
#include "bench/settings.h"
#include "bench/workload.h"
#include "engine/item_codec.h"
#include "wal/check.h"
#include "wal/coding.h"
#include "wal/hash.h"

namespace tailrace::bench {
namespace {

void MustRocks(const rocksdb::Status& status) { TAILRACE_CHECK(status.ok(), status.ToString()); }

// As Tailrace opens it, but for what it switches off: memtables and the WAL.
rocksdb::Options MakeOptions(const EngineOptions& from) {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.create_missing_column_families = true;
  options.write_buffer_size = from.buffer_bytes;
  options.max_write_buffer_number = kWriteBuffers;
  options.max_background_jobs = 2;
  options.compaction_readahead_size = 2 << 20;
  options.WAL_ttl_seconds = 24 * 3600;  // For GetUpdatesSince.
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(kCacheBytes);
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10, false));
  table.format_version = 5;
  table.cache_index_and_filter_blocks = true;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

// A change record as an outbox has it: what was and what is.
std::string ChangeOf(std::string_view key, std::string_view old_value, std::string_view value) {
  std::string change;
  change.reserve(key.size() + old_value.size() + value.size() + 8);
  const auto key_bytes = static_cast<uint32_t>(key.size());
  const auto old_bytes = static_cast<uint32_t>(old_value.size());
  change.append(reinterpret_cast<const char*>(&key_bytes), sizeof key_bytes);
  change.append(reinterpret_cast<const char*>(&old_bytes), sizeof old_bytes);
  change.append(key).append(old_value).append(value);
  return change;
}

class RocksEngine final : public Engine {
 public:
  RocksEngine(const std::string& directory, const EngineOptions& options) : kind_(options.kind) {
    const rocksdb::Options made = MakeOptions(options);
    const std::vector<rocksdb::ColumnFamilyDescriptor> families = {
        {rocksdb::kDefaultColumnFamilyName, made}, {"changes", made}};
    rocksdb::DB* db = nullptr;
    if (kind_ == Kind::kRocksTxnOutbox) {
      MustRocks(
          rocksdb::TransactionDB::Open(made, {}, directory, families, &families_, &transactions_));
      db = transactions_;
    } else {
      MustRocks(rocksdb::DB::Open(made, directory, families, &families_, &db));
    }
    db_.reset(db);
    write_.sync = options.safety == Safety::kSync;
  }
  ~RocksEngine() override {
    for (auto* family : families_) MustRocks(db_->DestroyColumnFamilyHandle(family));
    MustRocks(db_->Close());
  }

  void Load(uint64_t items, uint64_t value_bytes) override {
    ValueMaker values(value_bytes, 1);
    rocksdb::WriteOptions write;
    write.disableWAL = true;
    for (uint64_t id = 0; id < items; ++id) {
      const auto value = values.Next();
      MustRocks(db_->Put(write, StoredKey(id), StoredValue(id, value)));
    }
    CatchUp();
    loaded_ = db_->GetLatestSequenceNumber();
  }

  void Write(uint64_t id, std::string_view value) override {
    const std::string key = StoredKey(id);
    const rocksdb::Slice slice(value.data(), value.size());
    if (kind_ == Kind::kRocksItems) return MustRocks(db_->Put(write_, key, StoredValue(id, value)));
    if (kind_ == Kind::kRocksPut) return MustRocks(db_->Put(write_, key, slice));
    if (kind_ == Kind::kRocksTxnOutbox) return WriteInTransaction(key, value);
    const std::lock_guard lock(stripes_[std::hash<std::string>()(key) % stripes_.size()]);
    std::string old_value;
    const auto found = db_->Get({}, key, &old_value);
    if (!found.IsNotFound()) MustRocks(found);
    if (kind_ == Kind::kRocksGetPut) return MustRocks(db_->Put(write_, key, slice));
    rocksdb::WriteBatch batch;
    MustRocks(batch.Put(families_[0], key, slice));
    MustRocks(batch.Put(families_[1], NextChange(), ChangeOf(key, old_value, value)));
    MustRocks(db_->Write(write_, &batch));
  }
  uint64_t Begin(uint64_t id, std::string_view value) override {
    Write(id, value);
    return 0;
  }
  void Await(uint64_t /*token*/) override {}

  uint64_t Read(uint64_t id) override {
    std::string value;
    const auto found = db_->Get({}, StoredKey(id), &value);
    if (found.IsNotFound()) return 0;
    MustRocks(found);
    return value.size();
  }
  uint64_t ReadRange(uint64_t id, uint64_t items) override {
    std::unique_ptr<rocksdb::Iterator> each(db_->NewIterator({}));
    std::vector<std::string> values;
    for (each->Seek(StoredKey(id)); each->Valid() && values.size() < items; each->Next()) {
      values.push_back(each->value().ToString());
    }
    MustRocks(each->status());
    return values.size();
  }

  void CatchUp() override {
    MustRocks(db_->Flush({}, families_));
    for (const char* busy : {"rocksdb.num-running-flushes", "rocksdb.compaction-pending",
                             "rocksdb.num-running-compactions"}) {
      for (auto* family : families_) {
        uint64_t value = 1;
        while (db_->GetIntProperty(family, busy, &value) && value != 0) {
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
      }
    }
  }

  // The WAL from the loading on: what RocksDB itself offers as a stream of changes. The items that
  // stand beside the change records are walked over.
  Changes ReadChanges(Decoding /*decoding*/) override {
    struct Counter : rocksdb::WriteBatch::Handler {
      rocksdb::Status PutCF(uint32_t family, const rocksdb::Slice& key,
                            const rocksdb::Slice& value) override {
        if (family == changes_family) {
          ++changes.records;
          changes.bytes += key.size() + value.size();
        }
        return {};
      }
      uint32_t changes_family = 0;
      Changes changes;
    } counter;
    counter.changes_family = families_[1]->GetID();
    std::unique_ptr<rocksdb::TransactionLogIterator> log;
    MustRocks(db_->GetUpdatesSince(loaded_ + 1, &log));
    for (; log->Valid(); log->Next()) {
      MustRocks(log->GetBatch().writeBatchPtr->Iterate(&counter));
    }
    MustRocks(log->status());
    return counter.changes;
  }

 private:
  // Tailrace puts a hash of the partition key before it.
  std::string StoredKey(uint64_t id) const {
    std::string key = KeyOf(id);
    if (kind_ != Kind::kRocksItems) return key;
    std::string hashed;
    AppendBig64(hashed, Hash64(key));
    return hashed += key;
  }
  // And a position before the item, which has the key among its attributes.
  std::string StoredValue(uint64_t id, std::string_view value) const {
    if (kind_ != Kind::kRocksItems) return std::string(value);
    std::string stored;
    AppendBig64(stored, id);
    AppendEncodedItem(
        Item{{"id", Value::S(KeyOf(id))}, {"value", Value::B(Binary{std::string(value)})}}, stored);
    return stored;
  }

  std::string NextChange() {
    const uint64_t number = __builtin_bswap64(changes_.fetch_add(1) + 1);
    return {reinterpret_cast<const char*>(&number), sizeof number};
  }

  void WriteInTransaction(const std::string& key, std::string_view value) {
    const std::unique_ptr<rocksdb::Transaction> transaction(
        transactions_->BeginTransaction(write_));
    std::string old_value;
    const auto found = transaction->GetForUpdate({}, families_[0], key, &old_value);
    if (!found.IsNotFound()) MustRocks(found);
    MustRocks(transaction->Put(families_[0], key, rocksdb::Slice(value.data(), value.size())));
    MustRocks(transaction->Put(families_[1], NextChange(), ChangeOf(key, old_value, value)));
    MustRocks(transaction->Commit());
  }

  const Kind kind_;
  std::unique_ptr<rocksdb::DB> db_;
  rocksdb::TransactionDB* transactions_ = nullptr;  // Is db_, for kRocksTxnOutbox.
  std::vector<rocksdb::ColumnFamilyHandle*> families_;
  rocksdb::WriteOptions write_;
  rocksdb::SequenceNumber loaded_ = 0;
  std::atomic<uint64_t> changes_{0};
  std::array<std::mutex, 256> stripes_;
};

}  // namespace

std::unique_ptr<Engine> OpenRocks(const std::string& directory, const EngineOptions& options) {
  return std::make_unique<RocksEngine>(directory, options);
}

}  // namespace tailrace::bench
