#include "engine/rocks_index.h"

#include <algorithm>
#include <charconv>

#include "engine/rocks_fs.h"
#include "engine/rocks_ingest.h"
#include "engine/rocks_tables.h"
#include "wal/coding.h"

namespace tailrace::engine {
namespace {

constexpr int kOpenFilesMax = 256;
// Memtables stay empty: a family takes no megabyte for each.
constexpr size_t kArenaBlockBytes = 4096;
constexpr size_t kCompactionReadBytes = 2 << 20;
// What is compacted into level 1 is written together with all of it, so files gather at level 0
// until they are about as large. No more of them, for every look asks each.
constexpr int kLevel0Files = 8;
constexpr char kFamilyPrefix = 't';
constexpr char kResidencePrefix[] = "shared/";

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

// For simulation, where nobody reads it.
class NoLog final : public rocksdb::Logger {
 public:
  NoLog() : Logger(rocksdb::HEADER_LEVEL) {}
  using Logger::Logv;
  void Logv(const char*, va_list) override {}
};

uint64_t Level1Bytes(uint64_t ingest_bytes_expected) {
  constexpr uint64_t kBytesMin = 256ull << 20;
  constexpr uint64_t kBytesMax = 2ull << 30;
  const uint64_t level0_bytes = std::min(ingest_bytes_expected, kBytesMax) * kLevel0Files;
  return std::clamp(level0_bytes, kBytesMin, kBytesMax);
}

rocksdb::Options MakeOptions(rocksdb::Env* env, const ItemIndexOptions& from) {
  rocksdb::Options options;
  options.env = env;
  options.create_if_missing = from.create;
  options.error_if_exists = from.create;
  options.paranoid_checks = true;
  options.keep_log_file_num = 1;
  options.max_open_files = kOpenFilesMax;
  options.max_background_jobs = 2;
  options.arena_block_size = kArenaBlockBytes;
  options.compression = rocksdb::kLZ4Compression;  // Reads wait for it.
  // By itself, this version reads what it compacts a block at a time.
  options.compaction_readahead_size = kCompactionReadBytes;
  options.level0_file_num_compaction_trigger = kLevel0Files;
  options.max_bytes_for_level_base = Level1Bytes(from.ingest_bytes_expected);
  options.avoid_unnecessary_blocking_io = from.background_work;
  options.disable_auto_compactions = !from.background_work;
  if (!from.background_work) {
    options.info_log = std::make_shared<NoLog>();
    options.max_file_opening_threads = 1;  // Else sixteen are made and ended for each family.
    options.stats_dump_period_sec = 0;
    options.stats_persist_period_sec = 0;
  }
  options.table_factory = NewTableFactory(from.block_cache_bytes);
  return options;
}

}  // namespace

std::string ResidenceKey(TableId table) {
  std::string key = kResidencePrefix;
  AppendBig64(key, table.value);
  return key;
}

// ---- Opening and closing. ----

RocksIndex::RocksIndex(wal::FileSystem& fs, std::string directory, const ItemIndexOptions& options)
    : fs_(fs),
      directory_(std::move(directory)),
      shared_table_bytes_max_(options.shared_table_bytes_max),
      cache_(options.item_cache_bytes) {}

Result<std::unique_ptr<ItemIndex>> RocksIndex::Open(wal::FileSystem& fs,
                                                    const std::string& directory,
                                                    const ItemIndexOptions& from) {
  std::unique_ptr<RocksIndex> index(new RocksIndex(fs, directory, from));
  TAILRACE_ASSIGN_OR_RETURN(
      index->env_,
      NewRocksEnv(
          fs, directory, [failure = index->failure_](const Status& cause) { failure->Note(cause); },
          from.background_work ? OptionsFile::kWritten : OptionsFile::kRefused));
  index->options_ = MakeOptions(index->env_.get(), from);
  index->options_.listeners.push_back(index->failure_);
  TAILRACE_RETURN_IF_ERROR(index->OpenFamilies());
  TAILRACE_RETURN_IF_ERROR(index->LoadPlaces());
  TAILRACE_RETURN_IF_ERROR(index->ClearIngestDirectory());
  return std::unique_ptr<ItemIndex>(std::move(index));
}

rocksdb::Options RocksIndex::FamilyOptions(const std::string& name) const {
  rocksdb::Options options = options_;
  if (name == kSharedFamilyName) options.compaction_filter_factory = NewDeadTableFilter(dead_);
  return options;
}

Status RocksIndex::OpenFamilies() {
  std::vector<std::string> names{rocksdb::kDefaultColumnFamilyName};
  if (!options_.create_if_missing) {
    names.clear();
    const auto listed = rocksdb::DB::ListColumnFamilies(options_, directory_, &names);
    if (!listed.ok())
      return FromRocks(listed).WithContext("cannot open the item index in " + directory_);
  }
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  for (const auto& name : names) descriptors.emplace_back(name, FamilyOptions(name));
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  // Memory that runs out in here leaves threads of RocksDB behind, which use our Env: the process
  // ends at once, and not when the Env is gone.
  const auto opened = [&]() noexcept {
    return rocksdb::DB::Open(options_, directory_, descriptors, &handles, &db);
  }();
  if (!opened.ok())
    return FromRocks(opened).WithContext("cannot open the item index in " + directory_);
  db_.reset(db);

  Status status;
  WriterLock lock(mutex_);
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == rocksdb::kDefaultColumnFamilyName) {
      default_family_ = handles[i];
    } else if (names[i] == kSharedFamilyName) {
      shared_ = handles[i];
    } else if (const auto table = ParseFamilyName(names[i])) {
      places_[*table].own = handles[i];
    } else {
      dropped_.push_back(handles[i]);
      status =
          Corruption("the item index holds a column family '" + names[i] + "' that is not ours");
    }
  }
  return status;
}

RocksIndex::~RocksIndex() {
  if (db_ == nullptr) return;
  WriterLock lock(mutex_);
  const auto destroy = [&](rocksdb::ColumnFamilyHandle* handle) {
    if (handle != nullptr) db_->DestroyColumnFamilyHandle(handle).PermitUncheckedError();
  };
  for (const auto& [table, place] : places_) destroy(place.own);
  for (auto* handle : dropped_) destroy(handle);
  destroy(shared_);
  destroy(default_family_);
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

// ---- Places. ----

Result<RocksIndex::Residences> RocksIndex::ReadResidences() const {
  Residences residences;
  rocksdb::ReadOptions read;
  read.ignore_range_deletions = true;
  const std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator(read, default_family_));
  for (at->Seek(kResidencePrefix); at->Valid() && at->key().starts_with(kResidencePrefix);
       at->Next()) {
    const ByteView id = ToView(at->key()).substr(sizeof kResidencePrefix - 1);
    const ByteView value = ToView(at->value());
    const auto is = [&](Residence residence) {
      return value == ByteView(reinterpret_cast<char*>(&residence), 1);
    };
    if (id.size() != kTablePrefixBytes || (!is(Residence::kShared) && !is(Residence::kMoved))) {
      return Corruption("the item index holds a table's residence that cannot be read");
    }
    residences[TableId{LoadBig64(id.data())}] =
        is(Residence::kShared) ? Residence::kShared : Residence::kMoved;
  }
  TAILRACE_RETURN_IF_ERROR(FromRocks(at->status()));
  return residences;
}

// The places as RocksDB has them; what was dropped stays so.
Status RocksIndex::LoadPlaces() {
  TAILRACE_ASSIGN_OR_RETURN(const Residences residences, ReadResidences());
  Residences all = residences;
  {
    ReaderLock lock(mutex_);
    if (!residences.empty() && shared_ == nullptr) {
      return Corruption("the item index has lost the family that small tables share");
    }
    for (const auto& [table, place] : places_) {
      if (place.residence && !residences.contains(table)) all[table] = std::nullopt;
    }
  }
  ApplyResidences(all);
  dead_bytes_ = 0;
  for (const TableId table : dead_->Get()) dead_bytes_ += BytesInShared(table);
  WriterLock lock(mutex_);
  for (auto& [table, place] : places_) {
    // A crash came between the drop of its family and that of its residence.
    if (place.residence == Residence::kMoved && place.own == nullptr) place.dropped = true;
  }
  residences_unsure_ = false;
  return Status::Ok();
}

// The caller is the thread that ingests; RocksDB has these residences already.
void RocksIndex::ApplyResidences(const Residences& residences) {
  {
    WriterLock lock(mutex_);
    for (const auto& [table, residence] : residences) {
      Place& place = places_[table];
      place.residence = residence;
      if (!residence && place.own == nullptr) places_.erase(table);
    }
    version_.fetch_add(1);
  }
  // Only now: a reader whose keys are swept must see that the version is another.
  for (const auto& [table, residence] : residences) {
    if (residence == Residence::kMoved) dead_->Add(table);
    if (residence) continue;
    dead_->Remove(table);
    swept_.erase(table);
  }
}

RocksIndex::Place RocksIndex::PlaceOf(TableId table) const {
  ReaderLock lock(mutex_);
  const auto found = places_.find(table);
  return found == places_.end() ? Place{} : found->second;
}

RocksIndex::Home RocksIndex::Find(TableId table) const {
  ReaderLock lock(mutex_);
  const uint64_t version = version_.load();
  const auto found = places_.find(table);
  if (found == places_.end() || found->second.dropped) return {.version = version};
  const Place& place = found->second;
  return {.family = place.in_shared() ? shared_ : place.own,
          .shared = place.in_shared(),
          .version = version};
}

std::vector<TableId> RocksIndex::Tables() const {
  ReaderLock lock(mutex_);
  std::vector<TableId> tables;
  for (const auto& [table, place] : places_) {
    if (!place.dropped) tables.push_back(table);
  }
  return tables;
}

Result<rocksdb::ColumnFamilyHandle*> RocksIndex::OwnOrCreate(TableId table) {
  if (const Place place = PlaceOf(table); place.own != nullptr) return place.own;
  TAILRACE_ASSIGN_OR_RETURN(auto* handle, CreateFamily(FamilyName(table)));
  WriterLock lock(mutex_);
  places_[table].own = handle;
  return handle;
}

Result<rocksdb::ColumnFamilyHandle*> RocksIndex::CreateFamily(const std::string& name) {
  rocksdb::ColumnFamilyHandle* handle = nullptr;
  const auto status = db_->CreateColumnFamily(FamilyOptions(name), name, &handle);
  if (status.ok()) return handle;
  // The family may be there all the same, and then cannot be had before the next opening.
  failure_->Note(FromRocks(status));
  return FromRocks(status);
}

Result<rocksdb::ColumnFamilyHandle*> RocksIndex::SharedOrCreate() {
  {
    ReaderLock lock(mutex_);
    if (shared_ != nullptr) return shared_;
  }
  TAILRACE_ASSIGN_OR_RETURN(auto* handle, CreateFamily(kSharedFamilyName));
  WriterLock lock(mutex_);
  shared_ = handle;
  return handle;
}

// ---- Reading. ----

Result<std::optional<std::string>> RocksIndex::ReadCut() {
  if (residences_unsure_) TAILRACE_RETURN_IF_ERROR(LoadPlaces());
  std::string cut;
  const auto status = db_->Get({}, default_family_, kCutKey, &cut);
  if (status.IsNotFound()) return std::optional<std::string>();
  if (!status.ok()) return FromRocks(status);
  return std::optional<std::string>(std::move(cut));
}

// A table may move between the two looks, to where it lives and at what is there. What it leaves
// behind stays as it was until it is swept, so only "not found" has to be looked at again.
Result<std::optional<StoredItem>> RocksIndex::Get(TableId table, ByteView key) {
  if (auto cached = cache_.Find(table, key)) return cached;
  while (true) {
    const Home home = Find(table);
    if (home.family == nullptr) return std::optional<StoredItem>();
    rocksdb::PinnableSlice value;
    const auto status = home.shared
                            ? db_->Get({}, home.family, SharedPrefix(table).append(key), &value)
                            : db_->Get({}, home.family, ToSlice(key), &value);
    if (status.IsNotFound()) {
      if (home.shared && version_.load() != home.version) continue;
      return std::optional<StoredItem>();
    }
    if (!status.ok()) {
      return FromRocks(status).WithContext("items of table " + std::to_string(table.value));
    }
    TAILRACE_ASSIGN_OR_RETURN(StoredItem item, ParseStored(ToView(value), table));
    return std::optional<StoredItem>(std::move(item));
  }
}

// Once made, a cursor keeps its view whatever moves.
Result<std::unique_ptr<IndexCursor>> RocksIndex::NewCursor(TableId table) {
  while (true) {
    const Home home = Find(table);
    if (home.family == nullptr) {
      return std::unique_ptr<IndexCursor>(std::make_unique<EmptyCursor>());
    }
    if (!home.shared) {
      return std::unique_ptr<IndexCursor>(RocksCursor::Own(*db_, home.family, table));
    }
    std::unique_ptr<IndexCursor> cursor = RocksCursor::Shared(*db_, home.family, table);
    if (version_.load() == home.version) return cursor;
  }
}

std::unique_ptr<RocksCursor> RocksIndex::SharedCursor(TableId table) const {
  ReaderLock lock(mutex_);
  return RocksCursor::Shared(*db_, shared_, table);
}

// ---- Writing. ----

Result<std::unique_ptr<ItemIndex::Ingest>> RocksIndex::NewIngest() {
  TAILRACE_RETURN_IF_ERROR(failure_->Get());
  TAILRACE_RETURN_IF_ERROR(ClearIngestDirectory());
  return std::unique_ptr<Ingest>(std::make_unique<RocksIngest>(*this));
}

Status RocksIndex::DropTable(TableId table) {
  TAILRACE_RETURN_IF_ERROR(failure_->Get());
  const Place place = PlaceOf(table);
  if (place.own != nullptr) {
    if (const auto status = db_->DropColumnFamily(place.own); !status.ok()) {
      return FromRocks(status);
    }
  }
  // A table that has moved was counted then.
  const uint64_t dead_bytes = place.in_shared() && !place.dropped ? BytesInShared(table) : 0;
  WriterLock lock(mutex_);
  const auto found = places_.find(table);
  if (found == places_.end()) return Status::Ok();
  if (place.own != nullptr) dropped_.push_back(place.own);
  found->second.own = nullptr;
  found->second.dropped = true;
  if (place.residence) {
    dead_->Add(table);
    dead_bytes_ += dead_bytes;
  } else {
    places_.erase(found);
  }
  version_.fetch_add(1);
  return Status::Ok();
}

Result<std::unique_ptr<ItemIndex>> ItemIndex::Open(wal::FileSystem& fs,
                                                   const std::string& directory,
                                                   const ItemIndexOptions& options) {
  return RocksIndex::Open(fs, directory, options);
}

}  // namespace tailrace::engine
