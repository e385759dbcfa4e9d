// The item index's upkeep: the space of dead keys, checksums, figures.
#include <rocksdb/sst_file_reader.h>

#include <algorithm>
#include <charconv>

#include "engine/rocks_fs.h"
#include "engine/rocks_index.h"

namespace tailrace::engine {
namespace {

// So many tables are named when a file is damaged that holds more.
constexpr size_t kTablesNamedMax = 8;

}  // namespace

uint64_t RocksIndex::BytesInShared(TableId table) const {
  const std::string first = SharedPrefix(table);
  const std::string end = SharedEnd(table);
  const rocksdb::Range range(first, end);
  uint64_t bytes = 0;
  ReaderLock lock(mutex_);
  if (shared_ == nullptr) return 0;
  // An estimate that fails says nothing; what it is for can wait.
  db_->GetApproximateSizes(shared_, &range, 1, &bytes).PermitUncheckedError();
  return bytes;
}

uint64_t RocksIndex::FamilyBytes(rocksdb::ColumnFamilyHandle* family) const {
  uint64_t bytes = 0;
  db_->GetIntProperty(family, rocksdb::DB::Properties::kTotalSstFilesSize, &bytes);
  return bytes;
}

Result<bool> RocksIndex::HasKeysInShared(TableId table) const {
  const auto cursor = SharedCursor(table);
  cursor->SeekAtLeast({});
  if (!cursor->valid()) TAILRACE_RETURN_IF_ERROR(cursor->status());
  return cursor->valid();
}

// Which dead tables have no key left.
Status RocksIndex::FindSwept() {
  const uint64_t removed = dead_->keys_removed();
  if (removed == keys_removed_seen_) return Status::Ok();
  keys_removed_seen_ = removed;
  for (const TableId table : dead_->Get()) {
    TAILRACE_ASSIGN_OR_RETURN(const bool has_keys, HasKeysInShared(table));
    if (!has_keys) swept_.insert(table);
  }
  return Status::Ok();
}

Status RocksIndex::Tidy() {
  rocksdb::ColumnFamilyHandle* shared = nullptr;
  {
    ReaderLock lock(mutex_);
    shared = shared_;
  }
  if (shared == nullptr) return Status::Ok();
  // Compactions that writing brings about remove dead keys too. Where they do not come, one is made
  // once at least half would go: the work stays in proportion.
  if (dead_bytes_ > shared_table_bytes_max_ && dead_bytes_ > FamilyBytes(shared) / 2) {
    dead_bytes_ = 0;
    rocksdb::CompactRangeOptions how;
    how.exclusive_manual_compaction = false;
    how.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
    TAILRACE_RETURN_IF_ERROR(FromRocks(db_->CompactRange(how, shared, nullptr, nullptr)));
  }
  return FindSwept();
}

// ---- Failures. ----

void RocksFailure::Note(const Status& cause) {
  const MutexLock lock(mutex_);
  if (!failure_.ok()) return;
  failure_ = ReadOnly("the item index takes nothing more since " + cause.ToString() +
                      "; reopen the store");
}

void RocksFailure::OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* cause) {
  Note(FromRocks(*cause));
}

Status RocksFailure::Get() const {
  const MutexLock lock(mutex_);
  return failure_;
}

// ---- Checksums. ----

// The tables with keys from one to the other in the shared family.
std::string RocksIndex::TablesBetween(ByteView first_key, ByteView last_key) const {
  const auto first = TableOfSharedKey(first_key);
  const auto last = TableOfSharedKey(last_key);
  std::string text;
  size_t count = 0;
  ReaderLock lock(mutex_);
  for (const auto& [table, place] : places_) {
    if (!place.in_shared() || place.dropped) continue;
    if ((first && table < *first) || (last && table > *last)) continue;
    if (++count > kTablesNamedMax) continue;
    text += (text.empty() ? "" : ", ") + std::to_string(table.value);
  }
  if (count > kTablesNamedMax) {
    text += " and " + std::to_string(count - kTablesNamedMax) + " more";
  }
  return count == 0 ? "no table" : (count == 1 ? "table " : "tables ") + text;
}

Status RocksIndex::VerifyChecksums() {
  const Status all = FromRocks(db_->VerifyChecksum());
  if (all.ok()) return all;
  // RocksDB names the first damaged file at best: look which tables' files are damaged.
  std::string damaged;
  std::vector<rocksdb::LiveFileMetaData> files;
  db_->GetLiveFilesMetaData(&files);
  for (const auto& file : files) {
    rocksdb::SstFileReader reader(options_);
    auto read = reader.Open(wal::JoinPath(file.directory, file.relative_filename));
    if (read.ok()) read = reader.VerifyChecksum();
    if (read.ok()) continue;
    const bool is_shared = file.column_family_name == kSharedFamilyName;
    damaged += (damaged.empty() ? "" : "; ") + file.relative_filename + ": ";
    if (is_shared) {
      damaged += TablesBetween(file.smallestkey, file.largestkey);
    } else if (file.column_family_name == rocksdb::kDefaultColumnFamilyName) {
      damaged += "the cut";
    } else {
      damaged += "table " + file.column_family_name.substr(1);
    }
  }
  return damaged.empty() ? all : all.WithContext(damaged);
}

// ---- Figures. ----

ItemIndex::Stats RocksIndex::GetStats() const {
  Stats stats;
  const auto add = [&](rocksdb::ColumnFamilyHandle* family) {
    ++stats.families;
    stats.bytes += FamilyBytes(family);
    std::string files;
    db_->GetProperty(family, rocksdb::DB::Properties::kNumFilesAtLevelPrefix + "0", &files);
    uint64_t count = 0;
    std::from_chars(files.data(), files.data() + files.size(), count);
    stats.level0_files_max = std::max(stats.level0_files_max, count);
    for (const auto& busy : {rocksdb::DB::Properties::kCompactionPending,
                             rocksdb::DB::Properties::kNumRunningCompactions}) {
      uint64_t compactions = 0;
      db_->GetIntProperty(family, busy, &compactions);
      stats.compacting = stats.compacting || compactions > 0;
    }
  };
  ReaderLock lock(mutex_);
  add(default_family_);
  if (shared_ != nullptr) add(shared_);
  for (const auto& [table, place] : places_) {
    if (place.own != nullptr) add(place.own);
    if (place.in_shared() && !place.dropped) ++stats.shared_tables;
  }
  return stats;
}

}  // namespace tailrace::engine
