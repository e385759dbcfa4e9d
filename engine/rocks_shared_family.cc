#include "engine/rocks_shared_family.h"

#include "wal/coding.h"
#include "wal/mutants.h"

namespace tailrace::engine {
namespace {

// Asked for keys in ascending order, so that the table seldom changes.
class DeadTableFilter final : public rocksdb::CompactionFilter {
 public:
  explicit DeadTableFilter(std::shared_ptr<DeadTables> shared)
      : shared_(std::move(shared)), dead_(shared_->Get()) {}
  ~DeadTableFilter() override { shared_->NoteRemoved(removed_); }

  const char* Name() const override { return "TailraceDeadTableFilter"; }

  bool Filter(int, const rocksdb::Slice& key, const rocksdb::Slice&, std::string*,
              bool*) const override {
    const auto table = TableOfSharedKey({key.data(), key.size()});
    if (!table) return false;
    if (table != table_) {
      table_ = table;
      table_is_dead_ = dead_.contains(*table) && !TAILRACE_MUTANT("dead-keys-stay");
    }
    if (table_is_dead_) ++removed_;
    return table_is_dead_;
  }

 private:
  const std::shared_ptr<DeadTables> shared_;
  const std::set<TableId> dead_;
  // One compaction uses a filter from one thread.
  mutable std::optional<TableId> table_;
  mutable bool table_is_dead_ = false;
  mutable uint64_t removed_ = 0;
};

class DeadTableFilterFactory final : public rocksdb::CompactionFilterFactory {
 public:
  explicit DeadTableFilterFactory(std::shared_ptr<DeadTables> dead) : dead_(std::move(dead)) {}

  const char* Name() const override { return "TailraceDeadTableFilterFactory"; }

  std::unique_ptr<rocksdb::CompactionFilter> CreateCompactionFilter(
      const rocksdb::CompactionFilter::Context&) override {
    return std::make_unique<DeadTableFilter>(dead_);
  }

 private:
  const std::shared_ptr<DeadTables> dead_;
};

}  // namespace

std::string SharedPrefix(TableId table) {
  std::string prefix;
  AppendBig64(prefix, table.value);
  return prefix;
}

std::string SharedEnd(TableId table) {
  if (table.value == UINT64_MAX || TAILRACE_MUTANT("cursor-leaves-its-table")) return {};
  return SharedPrefix(TableId{table.value + 1});
}

std::optional<TableId> TableOfSharedKey(ByteView key) {
  if (key.size() < kTablePrefixBytes) return std::nullopt;
  return TableId{LoadBig64(key.data())};
}

void DeadTables::Add(TableId table) {
  const MutexLock lock(mutex_);
  tables_.insert(table);
}

void DeadTables::Remove(TableId table) {
  const MutexLock lock(mutex_);
  tables_.erase(table);
}

std::set<TableId> DeadTables::Get() const {
  const MutexLock lock(mutex_);
  return tables_;
}

std::shared_ptr<rocksdb::CompactionFilterFactory> NewDeadTableFilter(
    std::shared_ptr<DeadTables> dead) {
  return std::make_shared<DeadTableFilterFactory>(std::move(dead));
}

}  // namespace tailrace::engine
