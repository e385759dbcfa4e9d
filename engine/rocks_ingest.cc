#include "engine/rocks_ingest.h"

#include "engine/rocks_fs.h"
#include "wal/coding.h"
#include "wal/mutants.h"

namespace tailrace::engine {

// ---- Files. ----

SortedFile::SortedFile(const rocksdb::Options& options, std::string path)
    : path_(std::move(path)),
      writer_(std::make_unique<rocksdb::SstFileWriter>(rocksdb::EnvOptions(), options)) {}

Status SortedFile::Begin() {
  if (!empty_) return Status::Ok();
  empty_ = false;
  return FromRocks(writer_->Open(path_));
}

Status SortedFile::Put(ByteView key, ByteView value) {
  TAILRACE_RETURN_IF_ERROR(Begin());
  return FromRocks(writer_->Put(ToSlice(key), ToSlice(value)));
}

Status SortedFile::Delete(ByteView key) {
  TAILRACE_RETURN_IF_ERROR(Begin());
  return FromRocks(writer_->Delete(ToSlice(key)));
}

Status SortedFile::Finish() {
  if (writer_ == nullptr || empty_) return Status::Ok();
  const Status finished = FromRocks(writer_->Finish());
  writer_.reset();
  return finished;
}

std::unique_ptr<SortedFile> RocksIngest::NewFile(const std::string& name) {
  paths_.push_back(wal::JoinPath(wal::JoinPath(index_.directory_, kIngestDirectory), name));
  return std::make_unique<SortedFile>(index_.options_, paths_.back());
}

RocksIngest::~RocksIngest() {
  // What was not ingested is removed; if that fails, the next ingest removes it.
  for (const auto& path : paths_) (void)index_.fs_.Remove(path).ok();
}

// ---- A table's changes. ----

Status RocksIngest::Turn(TableId table) {
  if (way_ != Way::kNone && table == table_) return Status::Ok();
  TAILRACE_RETURN_IF_ERROR(FinishTable());
  table_ = table;
  place_ = index_.PlaceOf(table);
  if (place_.dropped) {
    return Corruption("table " + std::to_string(table.value) + " was dropped and gets items");
  }
  const bool has_own = place_.own != nullptr && !place_.in_shared();
  way_ = has_own ? Way::kOwn : Way::kHeld;
  if (has_own) own_.emplace_back(table, NewFile("t" + std::to_string(table.value) + ".sst"));
  return Status::Ok();
}

Status RocksIngest::Set(TableId table, ByteView key, Lsn lsn, ByteView image) {
  TAILRACE_RETURN_IF_ERROR(Turn(table));
  value_.resize(kLsnBytes);
  StoreLittle(value_.data(), TAILRACE_MUTANT("stored-without-lsn") ? uint64_t{0} : lsn.value);
  value_.append(image);
  index_.cache_.Set(table, key, lsn, image);
  return Add(key, value_);
}

Status RocksIngest::Delete(TableId table, ByteView key) {
  TAILRACE_RETURN_IF_ERROR(Turn(table));
  if (!TAILRACE_MUTANT("deleted-items-stay-in-memory")) index_.cache_.Erase(table, key);
  return Add(key, std::nullopt);
}

Status RocksIngest::Add(ByteView key, Value value) {
  if (way_ == Way::kOwn) return AddToOwn(key, value);
  if (way_ == Way::kShared) return AddToShared(key, value);
  held_.push_back({std::string(key), std::nullopt});
  if (value) held_.back().value = std::string(*value);
  held_bytes_ += key.size() + (value ? value->size() : 0);
  return held_bytes_ > index_.shared_table_bytes_max_ ? Grow() : Status::Ok();
}

Status RocksIngest::FinishTable() {
  if (way_ == Way::kHeld) {
    const uint64_t bytes = held_bytes_ + (place_.in_shared() ? index_.BytesInShared(table_) : 0);
    TAILRACE_RETURN_IF_ERROR(bytes > index_.shared_table_bytes_max_ ? Grow() : Stay());
  }
  if (way_ == Way::kOwn) {
    if (leaving_ != nullptr) TAILRACE_RETURN_IF_ERROR(TakeAlongRest());
    leaving_.reset();
    TAILRACE_RETURN_IF_ERROR(own_.back().second->Finish());
  }
  way_ = Way::kNone;
  return Status::Ok();
}

Status RocksIngest::Stay() {
  way_ = Way::kShared;
  for (const Change& change : held_) {
    TAILRACE_RETURN_IF_ERROR(AddToShared(change.key, change.value));
  }
  if (!place_.in_shared()) residences_[table_] = Residence::kShared;
  held_.clear();
  held_bytes_ = 0;
  return Status::Ok();
}

// The table gets a file of its own, with what it has in the shared family and these changes on top.
Status RocksIngest::Grow() {
  if (place_.in_shared()) {
    // One that is damaged stays: the rest of the store goes on being drained.
    const auto look = index_.SharedCursor(table_);
    for (look->SeekAtLeast({}); look->valid();) look->Next();
    if (!look->status().ok()) return Stay();
    leaving_ = index_.SharedCursor(table_);
    leaving_->SeekAtLeast({});
    residences_[table_] = Residence::kMoved;
    dead_bytes_ += index_.BytesInShared(table_);
  }
  way_ = Way::kOwn;
  own_.emplace_back(table_, NewFile("t" + std::to_string(table_.value) + ".sst"));
  for (const Change& change : held_) {
    TAILRACE_RETURN_IF_ERROR(AddToOwn(change.key, change.value));
  }
  held_.clear();
  held_bytes_ = 0;
  return Status::Ok();
}

Status RocksIngest::AddToShared(ByteView key, Value value) {
  if (shared_ == nullptr) shared_ = NewFile(std::string(kSharedFamilyName) + ".sst");
  const std::string prefixed = SharedPrefix(table_).append(key);
  return value ? shared_->Put(prefixed, *value) : shared_->Delete(prefixed);
}

Status RocksIngest::AddToOwn(ByteView key, Value value) {
  SortedFile& file = *own_.back().second;
  if (leaving_ == nullptr) return value ? file.Put(key, *value) : file.Delete(key);
  TAILRACE_RETURN_IF_ERROR(TakeAlongBelow(key));
  // Its own family is empty: nothing there has to be hidden.
  return value ? file.Put(key, *value) : Status::Ok();
}

// Copies what comes before `key`, and steps over `key` itself.
Status RocksIngest::TakeAlongBelow(ByteView key) {
  for (; leaving_->valid() && leaving_->key() < key; leaving_->Next()) {
    TAILRACE_RETURN_IF_ERROR(own_.back().second->Put(leaving_->key(), leaving_->stored()));
  }
  if (leaving_->valid() && leaving_->key() == key) leaving_->Next();
  return leaving_->valid() ? Status::Ok() : leaving_->status();
}

Status RocksIngest::TakeAlongRest() {
  for (; leaving_->valid(); leaving_->Next()) {
    if (TAILRACE_MUTANT("move-leaves-items-behind")) break;
    TAILRACE_RETURN_IF_ERROR(own_.back().second->Put(leaving_->key(), leaving_->stored()));
  }
  return leaving_->status();
}

Status RocksIngest::Finish() {
  TAILRACE_RETURN_IF_ERROR(FinishTable());
  return shared_ == nullptr ? Status::Ok() : shared_->Finish();
}

// ---- All of them at once. ----

// The cut, and the residences that change with this ingest.
Status RocksIngest::WriteDefault(ByteView cut) {
  for (const TableId table : index_.swept_) residences_[table] = std::nullopt;
  default_ = NewFile("default.sst");
  TAILRACE_RETURN_IF_ERROR(default_->Put(kCutKey, cut));
  for (const auto& [table, residence] : residences_) {
    const std::string key = ResidenceKey(table);
    const char value = residence ? static_cast<char>(*residence) : '\0';
    TAILRACE_RETURN_IF_ERROR(residence ? default_->Put(key, {&value, 1}) : default_->Delete(key));
  }
  return default_->Finish();
}

Status RocksIngest::Commit(ByteView cut) {
  TAILRACE_RETURN_IF_ERROR(index_.failure_->Get());
  TAILRACE_RETURN_IF_ERROR(Finish());
  TAILRACE_RETURN_IF_ERROR(WriteDefault(cut));
  rocksdb::IngestExternalFileOptions how;
  how.move_files = true;
  how.failed_move_fall_back_to_copy = true;
  how.snapshot_consistency = true;
  how.write_global_seqno = false;
  how.allow_global_seqno = true;
  how.allow_blocking_flush = true;

  std::vector<rocksdb::IngestExternalFileArg> all;
  const auto add = [&](rocksdb::ColumnFamilyHandle* family, const SortedFile& file) {
    if (file.empty()) return;
    rocksdb::IngestExternalFileArg one;
    one.column_family = family;
    one.external_files = {file.path()};
    one.options = how;
    all.push_back(std::move(one));
  };
  for (const auto& [table, file] : own_) {
    TAILRACE_ASSIGN_OR_RETURN(auto* family, index_.OwnOrCreate(table));
    add(family, *file);
  }
  if (shared_ != nullptr) {
    TAILRACE_ASSIGN_OR_RETURN(auto* family, index_.SharedOrCreate());
    add(family, *shared_);
  }
  add(index_.default_family_, *default_);
  for (; TAILRACE_MUTANT("ingest-in-pieces") && all.size() > 1; all.pop_back()) {
    (void)index_.db_->IngestExternalFiles({all.back()}).ok();
  }
  if (const auto ingested = index_.db_->IngestExternalFiles(all); !ingested.ok()) {
    index_.residences_unsure_ = true;
    return FromRocks(ingested);
  }
  index_.ApplyResidences(residences_);
  index_.dead_bytes_ += dead_bytes_;
  return Status::Ok();
}

}  // namespace tailrace::engine
