// The item index on RocksDB. Families are named by the table's incarnation ("t12"); the default
// family holds the cut and nothing else.
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "engine/item_index.h"
#include "engine/rocks_fs.h"
#include "wal/coding.h"
#include "wal/mutex.h"

namespace tailrace::engine {
namespace {

constexpr char kCutKey[] = "cut";
constexpr char kFamilyPrefix = 't';
constexpr uint64_t kLsnBytes = 8;  // A stored value is the LSN and the encoded item.
constexpr char kIngestDirectory[] = "ingest";

rocksdb::Slice ToSlice(ByteView bytes) { return {bytes.data(), bytes.size()}; }
ByteView ToView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

std::string FamilyName(TableId table) { return kFamilyPrefix + std::to_string(table.value); }

std::optional<TableId> ParseFamilyName(const std::string& name) {
  if (name.empty() || name.front() != kFamilyPrefix) return std::nullopt;
  TableId table;
  const auto [end, error] =
      std::from_chars(name.data() + 1, name.data() + name.size(), table.value);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return table;
}

Result<StoredItem> ParseStored(ByteView value, TableId table) {
  if (value.size() < kLsnBytes) {
    return Corruption("an item of table " + std::to_string(table.value) +
                      " in the index is shorter than its position");
  }
  return StoredItem{Lsn{LoadLittle<uint64_t>(value.data())}, std::string(value.substr(kLsnBytes))};
}

class RocksCursor final : public IndexCursor {
 public:
  explicit RocksCursor(std::unique_ptr<rocksdb::Iterator> iterator)
      : iterator_(std::move(iterator)) {}

  void SeekAtLeast(ByteView key) override {
    key.empty() ? iterator_->SeekToFirst() : iterator_->Seek(ToSlice(key));
  }
  void SeekBelow(ByteView key) override {
    if (key.empty()) return iterator_->SeekToLast();
    iterator_->SeekForPrev(ToSlice(key));
    if (iterator_->Valid() && ToView(iterator_->key()) == key) iterator_->Prev();
  }
  void Next() override { iterator_->Next(); }
  void Previous() override { iterator_->Prev(); }
  bool valid() const override {
    return iterator_->Valid() && iterator_->value().size() >= kLsnBytes;
  }
  ByteView key() const override { return ToView(iterator_->key()); }
  Lsn lsn() const override { return Lsn{LoadLittle<uint64_t>(iterator_->value().data())}; }
  ByteView image() const override { return ToView(iterator_->value()).substr(kLsnBytes); }
  Status status() const override {
    if (iterator_->Valid()) return Corruption("an item in the index is shorter than its position");
    return FromRocks(iterator_->status());
  }

 private:
  std::unique_ptr<rocksdb::Iterator> iterator_;
};

// A table without a family has no items.
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

class RocksIndex final : public ItemIndex {
 public:
  static Result<std::unique_ptr<ItemIndex>> Open(wal::FileSystem& fs, const std::string& directory,
                                                 const ItemIndexOptions& options);
  ~RocksIndex() override;

  Result<std::optional<std::string>> ReadCut() override;
  Result<std::optional<StoredItem>> Get(TableId table, ByteView key) override;
  Result<std::unique_ptr<IndexCursor>> NewCursor(TableId table) override;
  Result<std::unique_ptr<Ingest>> NewIngest() override;
  std::vector<TableId> Tables() const override;
  Status DropTable(TableId table) override;
  Status VerifyChecksums() override { return FromRocks(db_->VerifyChecksum()); }
  Stats GetStats() const override;

 private:
  friend class RocksIngest;
  RocksIndex(wal::FileSystem& fs, std::string directory)
      : fs_(fs), directory_(std::move(directory)) {}

  rocksdb::ColumnFamilyHandle* Family(TableId table) const;
  Result<rocksdb::ColumnFamilyHandle*> FamilyOrCreate(TableId table);
  Status ClearIngestDirectory();

  wal::FileSystem& fs_;
  const std::string directory_;
  std::unique_ptr<rocksdb::Env> env_;
  rocksdb::Options options_;
  std::unique_ptr<rocksdb::DB> db_;
  rocksdb::ColumnFamilyHandle* default_family_ = nullptr;

  // Handles are kept until the end even when their family is dropped: readers may hold them.
  mutable SharedMutex mutex_;
  std::map<TableId, rocksdb::ColumnFamilyHandle*> families_ TAILRACE_GUARDED_BY(mutex_);
  std::vector<rocksdb::ColumnFamilyHandle*> dropped_ TAILRACE_GUARDED_BY(mutex_);
};

// One SST file a table, and the cut's, ingested by one call.
class RocksIngest final : public ItemIndex::Ingest {
 public:
  explicit RocksIngest(RocksIndex& index) : index_(index) {}
  ~RocksIngest() override;

  Status Set(TableId table, ByteView key, Lsn lsn, ByteView image) override;
  Status Delete(TableId table, ByteView key) override;
  Status Finish() override;
  Status Commit(ByteView cut) override;

 private:
  Status Turn(TableId table);  // Makes `table` the one whose file is open.
  Status OpenFile();

  RocksIndex& index_;
  TableId table_;
  std::unique_ptr<rocksdb::SstFileWriter> writer_;
  std::string path_;
  std::string value_;
  std::vector<std::pair<TableId, std::string>> files_;
  std::string cut_path_;
};

rocksdb::Options MakeOptions(rocksdb::Env* env, const ItemIndexOptions& from) {
  rocksdb::Options options;
  options.env = env;
  options.create_if_missing = from.create;
  options.error_if_exists = from.create;
  options.paranoid_checks = true;
  options.keep_log_file_num = 1;
  options.max_open_files = 512;
  options.max_background_jobs = 2;
  options.avoid_unnecessary_blocking_io = true;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(from.block_cache_bytes);
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10, false));
  table.format_version = 5;
  table.checksum = rocksdb::kXXH3;
  table.cache_index_and_filter_blocks = true;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

Result<std::unique_ptr<ItemIndex>> RocksIndex::Open(wal::FileSystem& fs,
                                                    const std::string& directory,
                                                    const ItemIndexOptions& from) {
  std::unique_ptr<RocksIndex> index(new RocksIndex(fs, directory));
  TAILRACE_ASSIGN_OR_RETURN(index->env_, NewRocksEnv(fs, directory));
  index->options_ = MakeOptions(index->env_.get(), from);

  std::vector<std::string> names{rocksdb::kDefaultColumnFamilyName};
  if (!from.create) {
    names.clear();
    const auto listed = rocksdb::DB::ListColumnFamilies(index->options_, directory, &names);
    if (!listed.ok())
      return FromRocks(listed).WithContext("cannot open the item index in " + directory);
  }
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  for (const auto& name : names) descriptors.emplace_back(name, index->options_);
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  const auto opened = rocksdb::DB::Open(index->options_, directory, descriptors, &handles, &db);
  if (!opened.ok())
    return FromRocks(opened).WithContext("cannot open the item index in " + directory);
  index->db_.reset(db);

  WriterLock lock(index->mutex_);
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == rocksdb::kDefaultColumnFamilyName) {
      index->default_family_ = handles[i];
    } else if (const auto table = ParseFamilyName(names[i])) {
      index->families_[*table] = handles[i];
    } else {
      index->dropped_.push_back(handles[i]);
      return Corruption("the item index holds a column family '" + names[i] + "' that is not ours");
    }
  }
  TAILRACE_RETURN_IF_ERROR(index->ClearIngestDirectory());
  return std::unique_ptr<ItemIndex>(std::move(index));
}

RocksIndex::~RocksIndex() {
  if (db_ == nullptr) return;
  WriterLock lock(mutex_);
  for (const auto& [table, handle] : families_)
    db_->DestroyColumnFamilyHandle(handle).PermitUncheckedError();
  for (auto* handle : dropped_) db_->DestroyColumnFamilyHandle(handle).PermitUncheckedError();
  if (default_family_ != nullptr)
    db_->DestroyColumnFamilyHandle(default_family_).PermitUncheckedError();
  db_->Close().PermitUncheckedError();
}

// Files of an ingest that a crash cut short are of no use to anybody.
Status RocksIndex::ClearIngestDirectory() {
  const std::string directory = wal::JoinPath(directory_, kIngestDirectory);
  Status made = fs_.CreateDirectory(directory);
  if (made.ok()) return fs_.SyncDirectory(directory_);
  if (made.code() != StatusCode::kAlreadyExists) return made;
  TAILRACE_ASSIGN_OR_RETURN(const auto entries, fs_.List(directory));
  for (const auto& entry : entries) {
    TAILRACE_RETURN_IF_ERROR(fs_.Remove(wal::JoinPath(directory, entry.name)));
  }
  return Status::Ok();
}

Result<std::optional<std::string>> RocksIndex::ReadCut() {
  std::string cut;
  const auto status = db_->Get({}, default_family_, kCutKey, &cut);
  if (status.IsNotFound()) return std::optional<std::string>();
  if (!status.ok()) return FromRocks(status);
  return std::optional<std::string>(std::move(cut));
}

rocksdb::ColumnFamilyHandle* RocksIndex::Family(TableId table) const {
  ReaderLock lock(mutex_);
  const auto found = families_.find(table);
  return found == families_.end() ? nullptr : found->second;
}

Result<std::optional<StoredItem>> RocksIndex::Get(TableId table, ByteView key) {
  auto* family = Family(table);
  if (family == nullptr) return std::optional<StoredItem>();
  rocksdb::PinnableSlice value;
  const auto status = db_->Get({}, family, ToSlice(key), &value);
  if (status.IsNotFound()) return std::optional<StoredItem>();
  if (!status.ok()) return FromRocks(status);
  TAILRACE_ASSIGN_OR_RETURN(StoredItem item, ParseStored(ToView(value), table));
  return std::optional<StoredItem>(std::move(item));
}

Result<std::unique_ptr<IndexCursor>> RocksIndex::NewCursor(TableId table) {
  auto* family = Family(table);
  if (family == nullptr) return std::unique_ptr<IndexCursor>(std::make_unique<EmptyCursor>());
  // RocksDB 7.8 loses the error of a damaged file that is not a level's first when it looks for
  // range deletions there, and shows its items as absent. There are no range deletions here.
  rocksdb::ReadOptions read;
  read.ignore_range_deletions = true;
  return std::unique_ptr<IndexCursor>(std::make_unique<RocksCursor>(
      std::unique_ptr<rocksdb::Iterator>(db_->NewIterator(read, family))));
}

Result<std::unique_ptr<ItemIndex::Ingest>> RocksIndex::NewIngest() {
  TAILRACE_RETURN_IF_ERROR(ClearIngestDirectory());
  return std::unique_ptr<Ingest>(std::make_unique<RocksIngest>(*this));
}

Result<rocksdb::ColumnFamilyHandle*> RocksIndex::FamilyOrCreate(TableId table) {
  if (auto* family = Family(table)) return family;
  rocksdb::ColumnFamilyHandle* handle = nullptr;
  const auto status = db_->CreateColumnFamily(options_, FamilyName(table), &handle);
  if (!status.ok()) return FromRocks(status);
  WriterLock lock(mutex_);
  families_[table] = handle;
  return handle;
}

std::vector<TableId> RocksIndex::Tables() const {
  ReaderLock lock(mutex_);
  std::vector<TableId> tables;
  for (const auto& [table, handle] : families_) tables.push_back(table);
  return tables;
}

Status RocksIndex::DropTable(TableId table) {
  auto* family = Family(table);
  if (family == nullptr) return Status::Ok();
  if (const auto status = db_->DropColumnFamily(family); !status.ok()) return FromRocks(status);
  WriterLock lock(mutex_);
  families_.erase(table);
  dropped_.push_back(family);
  return Status::Ok();
}

ItemIndex::Stats RocksIndex::GetStats() const {
  Stats stats;
  const auto add = [&](rocksdb::ColumnFamilyHandle* family) {
    uint64_t bytes = 0;
    db_->GetIntProperty(family, rocksdb::DB::Properties::kTotalSstFilesSize, &bytes);
    stats.bytes += bytes;
    std::string files;
    db_->GetProperty(family, rocksdb::DB::Properties::kNumFilesAtLevelPrefix + "0", &files);
    uint64_t count = 0;
    std::from_chars(files.data(), files.data() + files.size(), count);
    stats.level0_files_max = std::max(stats.level0_files_max, count);
  };
  ReaderLock lock(mutex_);
  add(default_family_);
  for (const auto& [table, handle] : families_) add(handle);
  return stats;
}

RocksIngest::~RocksIngest() {
  // What was not ingested is removed; if that fails, the next ingest removes it.
  for (const auto& [table, path] : files_) (void)index_.fs_.Remove(path).ok();
  if (!cut_path_.empty()) (void)index_.fs_.Remove(cut_path_).ok();
}

Status RocksIngest::OpenFile() {
  path_ = wal::JoinPath(wal::JoinPath(index_.directory_, kIngestDirectory),
                        std::to_string(files_.size()) + ".sst");
  writer_ = std::make_unique<rocksdb::SstFileWriter>(rocksdb::EnvOptions(), index_.options_);
  files_.emplace_back(table_, path_);
  return FromRocks(writer_->Open(path_));
}

Status RocksIngest::Turn(TableId table) {
  if (writer_ != nullptr && table == table_) return Status::Ok();
  TAILRACE_RETURN_IF_ERROR(Finish());
  table_ = table;
  return OpenFile();
}

Status RocksIngest::Set(TableId table, ByteView key, Lsn lsn, ByteView image) {
  TAILRACE_RETURN_IF_ERROR(Turn(table));
  value_.resize(kLsnBytes);
  StoreLittle(value_.data(), lsn.value);
  value_.append(image);
  return FromRocks(writer_->Put(ToSlice(key), value_));
}

Status RocksIngest::Delete(TableId table, ByteView key) {
  TAILRACE_RETURN_IF_ERROR(Turn(table));
  return FromRocks(writer_->Delete(ToSlice(key)));
}

Status RocksIngest::Finish() {
  if (writer_ == nullptr) return Status::Ok();
  const Status finished = FromRocks(writer_->Finish());
  writer_.reset();
  return finished;
}

Status RocksIngest::Commit(ByteView cut) {
  TAILRACE_RETURN_IF_ERROR(Finish());
  rocksdb::IngestExternalFileOptions how;
  how.move_files = true;
  how.failed_move_fall_back_to_copy = true;
  how.snapshot_consistency = true;
  how.write_global_seqno = false;
  how.allow_global_seqno = true;
  how.allow_blocking_flush = true;

  std::vector<rocksdb::IngestExternalFileArg> all;
  const auto add = [&](rocksdb::ColumnFamilyHandle* family, const std::string& path) {
    rocksdb::IngestExternalFileArg one;
    one.column_family = family;
    one.external_files = {path};
    one.options = how;
    all.push_back(std::move(one));
  };
  for (const auto& [table, path] : files_) {
    TAILRACE_ASSIGN_OR_RETURN(auto* family, index_.FamilyOrCreate(table));
    add(family, path);
  }
  cut_path_ = wal::JoinPath(wal::JoinPath(index_.directory_, kIngestDirectory), "cut.sst");
  rocksdb::SstFileWriter writer(rocksdb::EnvOptions(), index_.options_);
  TAILRACE_RETURN_IF_ERROR(FromRocks(writer.Open(cut_path_)));
  TAILRACE_RETURN_IF_ERROR(FromRocks(writer.Put(kCutKey, ToSlice(cut))));
  TAILRACE_RETURN_IF_ERROR(FromRocks(writer.Finish()));
  add(index_.default_family_, cut_path_);
  return FromRocks(index_.db_->IngestExternalFiles(all));
}

}  // namespace

Result<std::unique_ptr<ItemIndex>> ItemIndex::Open(wal::FileSystem& fs,
                                                   const std::string& directory,
                                                   const ItemIndexOptions& options) {
  return RocksIndex::Open(fs, directory, options);
}

}  // namespace tailrace::engine
