#include "engine/salvage.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "engine/directory_tree.h"
#include "engine/fold.h"
#include "engine/item_index.h"
#include "engine/salvage_logs.h"
#include "engine/store_builder.h"
#include "engine/store_files.h"
#include "shards/shard_set.h"
#include "wal/coding.h"
#include "wal/mutants.h"
#include "wal/recovery.h"

namespace tailrace {
namespace engine {
namespace {

constexpr char kWorkFolder[] = "salvage";
constexpr uint64_t kCopyBytes = 1 << 20;
constexpr size_t kHashBytes = 8;  // Storage keys begin with the partition key's hash.

struct Version {
  Lsn lsn;
  std::optional<std::string> image;  // Absent: deleted.
};
using ItemMap = std::map<std::pair<TableId, std::string>, Version>;

// Keeps what frames do to items.
class MapSink final : public ItemSink {
 public:
  explicit MapSink(ItemMap& items) : items_(items) {}
  void SetItem(TableId table, ByteView key, Lsn lsn, std::optional<ByteView> image) override {
    Version& version = items_[{table, std::string(key)}];
    version.lsn = lsn;
    version.image = image ? std::optional<std::string>(*image) : std::nullopt;
  }

 private:
  ItemMap& items_;
};

class Salvager {
 public:
  Salvager(wal::FileSystem& fs, const std::string& damaged, std::string directory,
           const SalvageOptions& options)
      : fs_(fs), paths_(damaged), directory_(std::move(directory)), clock_(*options.clock) {}

  Result<SalvageReport> Run();

 private:
  Status CopyItems();
  Status OpenItems();
  Status RebuildLogs();
  Status FoldJournal();
  Status FoldFrame(const wal::Frame& frame, shards::ShardSet& logs);
  void LoseJournal(const Status& refusal, Lsn begin, Lsn end);
  Status SaveTable(const Table& table);
  Status SaveReadable(const Table& table, IndexCursor& cursor, std::string& from);
  Status SaveUnreadable(const Table& table, const std::string& from,
                        const std::optional<std::string>& before);
  Status SaveJournal(const Table& table, const std::string& from,
                     const std::optional<std::string>& before);
  Status Save(TableId table, ByteView key, Lsn lsn, ByteView image);
  Result<std::unique_ptr<IndexCursor>> SeekHash(TableId table, uint64_t hash);
  Result<std::unique_ptr<IndexCursor>> FindReadable(TableId table, ByteView last);

  wal::FileSystem& fs_;
  const StorePaths paths_;
  const std::string directory_;
  const Clock& clock_;
  StoreIdentity identity_;
  std::string work_;  // Where the items' copy is.
  std::unique_ptr<StoreBuilder> builder_;
  std::unique_ptr<ItemIndex> index_;
  Cut cut_;
  FoldState state_;
  ItemMap journal_items_;  // As frames behind the cut left them.
  ItemMap stream_items_;   // As the last records up to the cut prove them.
  SalvageReport report_;
};

// RocksDB renews its bookkeeping when it is opened, so it is given a copy.
Status Salvager::CopyItems() {
  work_ = wal::JoinPath(directory_, kWorkFolder);
  TAILRACE_RETURN_IF_ERROR(EnsureDirectory(fs_, work_));
  TAILRACE_ASSIGN_OR_RETURN(const auto entries, fs_.List(paths_.items));
  for (const wal::DirectoryEntry& entry : entries) {
    if (entry.is_directory) continue;
    TAILRACE_ASSIGN_OR_RETURN(
        const auto from, fs_.Open(wal::JoinPath(paths_.items, entry.name), wal::OpenMode::kRead));
    TAILRACE_ASSIGN_OR_RETURN(
        const auto to, fs_.Open(wal::JoinPath(work_, entry.name), wal::OpenMode::kCreateNew));
    std::string piece(kCopyBytes, '\0');
    for (uint64_t at = 0;;) {
      TAILRACE_ASSIGN_OR_RETURN(const uint64_t got, from->Read(at, piece.data(), piece.size()));
      if (got == 0) break;
      TAILRACE_RETURN_IF_ERROR(to->Write(at, ByteView(piece).substr(0, got)));
      at += got;
    }
  }
  return Status::Ok();
}

Status Salvager::OpenItems() {
  TAILRACE_RETURN_IF_ERROR(CopyItems());
  auto index = ItemIndex::Open(fs_, work_, {});
  if (!index.ok()) {
    return Corruption("the items of " + paths_.directory +
                      " cannot be opened, and with them the catalogue: " +
                      index.status().message() + "; `tailrace dump` reads the streams' records");
  }
  index_ = *std::move(index);
  TAILRACE_ASSIGN_OR_RETURN(const auto bytes, index_->ReadCut());
  if (!bytes || !cut_.ParseFromString(*bytes)) {
    return Corruption(paths_.items + ": the cut, with the catalogue, cannot be read");
  }
  if (cut_.store_id() != identity_.store_id.value) {
    return Corruption(paths_.items + " belongs to another store");
  }
  TAILRACE_ASSIGN_OR_RETURN(state_.catalogue, Catalogue::FromProto(cut_.catalogue()));
  state_.clock = {cut_.clock().wall_ms(), cut_.clock().age_ms(),
                  cut_.clock().pending_downtime_ms()};
  state_.end = Lsn{cut_.lsn()};
  return Status::Ok();
}

// The shard logs at the cut, each from behind its last hole on.
Status Salvager::RebuildLogs() {
  TAILRACE_ASSIGN_OR_RETURN(SalvagedLogs logs,
                            SalvageLogs(fs_, paths_.streams, cut_, *builder_, report_.losses));
  cut_.mutable_shard_ends()->Clear();
  for (auto& end : logs.ends) *cut_.add_shard_ends() = std::move(end);
  *cut_.mutable_catalogue()->mutable_streams() = std::move(logs.streams);
  for (auto& [place, change] : logs.last_changes) {
    stream_items_[place] = {change.commit, std::move(change.image)};
  }
  return Status::Ok();
}

void Salvager::LoseJournal(const Status& refusal, Lsn begin, Lsn end) {
  SalvageLoss loss{.kind = SalvageLoss::Kind::kJournal, .what = refusal.message()};
  loss.first = SequenceNumber{begin.value};
  if (end > begin) loss.last = SequenceNumber{end.value - 1};
  loss.what += "; what any table's items and streams became from there on is lost";
  report_.losses.push_back(std::move(loss));
}

Status Salvager::FoldFrame(const wal::Frame& frame, shards::ShardSet& logs) {
  MapSink sink(journal_items_);
  TAILRACE_RETURN_IF_ERROR(ApplyFrame(frame, state_, sink));
  ++report_.frames;
  return logs.Apply(frame);
}

// The frames from the cut to the first hole: the state is the fold of one prefix of the journal.
Status Salvager::FoldJournal() {
  shards::ShardSetState state;
  state.catalogue = cut_.catalogue().streams();
  state.ends.assign(cut_.shard_ends().begin(), cut_.shard_ends().end());
  const Epoch epoch{cut_.epoch()};
  TAILRACE_ASSIGN_OR_RETURN(const auto logs,
                            shards::ShardSet::Open(fs_, wal::JoinPath(directory_, "streams"),
                                                   builder_->store_id(), epoch, state, {}, {}));
  const Lsn cut{cut_.lsn()};
  const auto plan = wal::PlanRecovery(
      fs_, paths_.journal,
      {.store_id = identity_.store_id, .from = cut, .known_durable = cut, .epoch_floor = epoch});
  // The end that recovery proves, or that of the frames without a hole.
  const Lsn bound = plan.ok() ? std::max(plan->end, cut) : Lsn{UINT64_MAX};
  Lsn at = cut;
  Lsn seen = cut;
  bool stopped = false;
  Status failed;
  const auto visit = [&](const wal::Frame& frame) {
    if (frame.end <= cut || frame.lsn >= bound) return true;
    seen = std::max(seen, frame.end);
    // Recovery has looked at how frames follow each other; without it, any jump is a hole.
    stopped = stopped || (!plan.ok() && !TAILRACE_MUTANT("salvage-folds-over-holes") &&
                          frame.lsn > at + (wal::kFrameHeaderBytes - 1));
    if (stopped) return true;
    at = frame.end;
    if (static_cast<uint8_t>(frame.type) < wal::kFirstCallerFrame) return true;
    failed = FoldFrame(frame, *logs);
    stopped = !failed.ok();
    return true;
  };
  const auto scanned = wal::ScanJournal(fs_, paths_.journal, visit);
  if (!scanned.ok() || !plan.ok() || !failed.ok()) {
    LoseJournal(!failed.ok() ? failed : (plan.ok() ? scanned.status() : plan.status()), at, seen);
  }
  TAILRACE_RETURN_IF_ERROR(logs->Publish(std::max(at, state_.end)));
  TAILRACE_RETURN_IF_ERROR(logs->Sync());
  const shards::ShardSetState after = logs->Capture();
  const uint64_t reserved = plan.ok() ? plan->new_start.value : std::max(seen, at).value;
  cut_.set_lsn(std::max({cut_.lsn(), reserved, state_.end.value}));
  *cut_.mutable_catalogue() = state_.catalogue.ToProto();
  *cut_.mutable_catalogue()->mutable_streams() = after.catalogue;
  cut_.mutable_shard_ends()->Clear();
  for (const auto& end : after.ends) *cut_.add_shard_ends() = end;
  report_.shards = after.ends.size();
  return Status::Ok();
}

Status Salvager::Save(TableId table, ByteView key, Lsn lsn, ByteView image) {
  ++report_.items;
  return builder_->AddItem(table, key, lsn, image);
}

// A cursor at the table's first item with this hash or a higher one; null if it cannot be read. One
// cursor is no good for this: RocksDB's, once it met damage, may go on failing elsewhere.
Result<std::unique_ptr<IndexCursor>> Salvager::SeekHash(TableId table, uint64_t hash) {
  std::string key;
  AppendBig64(key, hash);
  TAILRACE_ASSIGN_OR_RETURN(auto cursor, index_->NewCursor(table));
  cursor->SeekAtLeast(key);
  if (!cursor->valid() && !cursor->status().ok()) cursor.reset();
  return cursor;
}

// A cursor at the first item behind `last` that can be read, or at the table's end; null if there
// is neither. Keys begin with a hash, so ever larger steps in hashes, and then halving the last
// one, come to the end of what is damaged.
Result<std::unique_ptr<IndexCursor>> Salvager::FindReadable(TableId table, ByteView last) {
  uint64_t low = last.size() >= kHashBytes ? LoadBig64(last.data()) : 0;
  uint64_t high = low;
  std::unique_ptr<IndexCursor> found;
  for (uint64_t step = 1; found == nullptr; step *= 2) {
    if (high == UINT64_MAX || step == 0) return found;
    low = high;
    high = high > UINT64_MAX - step ? UINT64_MAX : high + step;
    TAILRACE_ASSIGN_OR_RETURN(found, SeekHash(table, high));
  }
  while (high - low > 1) {
    const uint64_t middle = low + (high - low) / 2;
    TAILRACE_ASSIGN_OR_RETURN(auto cursor, SeekHash(table, middle));
    (cursor != nullptr ? high : low) = middle;
    if (cursor != nullptr) found = std::move(cursor);
  }
  return found;
}

// The journal's items of the table from one key to before another.
Status Salvager::SaveJournal(const Table& table, const std::string& from,
                             const std::optional<std::string>& before) {
  for (auto at = journal_items_.lower_bound({table.id, from});
       at != journal_items_.end() && at->first.first == table.id; ++at) {
    const auto& [place, version] = *at;
    if (before && place.second >= *before) break;
    if (!version.image) continue;
    TAILRACE_RETURN_IF_ERROR(Save(table.id, place.second, version.lsn, *version.image));
  }
  return Status::Ok();
}

// The items of a part of the table that cannot be read, as far as streams and the journal prove
// them.
Status Salvager::SaveUnreadable(const Table& table, const std::string& from,
                                const std::optional<std::string>& before) {
  std::map<std::string, const Version*> found;
  const auto add = [&](const ItemMap& items) {
    for (auto at = items.lower_bound({table.id, from});
         at != items.end() && at->first.first == table.id; ++at) {
      if (before && at->first.second >= *before) break;
      found[at->first.second] = &at->second;
    }
  };
  add(stream_items_);
  const size_t from_streams = found.size();
  add(journal_items_);
  for (const auto& [key, version] : found) {
    if (!version->image) continue;
    TAILRACE_RETURN_IF_ERROR(Save(table.id, key, version->lsn, *version->image));
  }
  report_.items_from_streams += from_streams;
  return Status::Ok();
}

// The items that the index gives from where the cursor stands on, and the journal's among them.
// `from`: all below was saved.
Status Salvager::SaveReadable(const Table& table, IndexCursor& cursor, std::string& from) {
  for (; cursor.valid(); cursor.Next()) {
    const std::string key(cursor.key());
    TAILRACE_RETURN_IF_ERROR(SaveJournal(table, from, key));
    const auto newer = journal_items_.find({table.id, key});
    if (newer == journal_items_.end()) {
      TAILRACE_RETURN_IF_ERROR(Save(table.id, key, cursor.lsn(), cursor.image()));
    } else if (newer->second.image) {
      TAILRACE_RETURN_IF_ERROR(Save(table.id, key, newer->second.lsn, *newer->second.image));
    }
    from = key + '\0';
  }
  return Status::Ok();
}

Status Salvager::SaveTable(const Table& table) {
  TAILRACE_ASSIGN_OR_RETURN(auto cursor, index_->NewCursor(table.id));
  std::string from;
  cursor->SeekAtLeast({});
  while (true) {
    TAILRACE_RETURN_IF_ERROR(SaveReadable(table, *cursor, from));
    const Status status = cursor->status();
    if (status.ok()) return SaveJournal(table, from, std::nullopt);
    if (status.code() != StatusCode::kCorruption) return status;
    SalvageLoss loss{.kind = SalvageLoss::Kind::kItems, .table = table.name};
    if (!from.empty()) loss.after = from.substr(0, from.size() - 1);
    TAILRACE_ASSIGN_OR_RETURN(cursor, FindReadable(table.id, from));
    if (cursor != nullptr && cursor->valid()) loss.before = std::string(cursor->key());
    TAILRACE_RETURN_IF_ERROR(SaveUnreadable(table, from, loss.before));
    loss.what = status.message() + "; items there that neither stream nor journal proves are lost";
    report_.losses.push_back(loss);
    if (!loss.before) return Status::Ok();
    from = *loss.before;
  }
}

Result<SalvageReport> Salvager::Run() {
  auto identity = ReadIdentity(fs_, paths_);
  if (identity.status().code() == StatusCode::kNotFound) {
    return NotFound("there is no store in " + paths_.directory);
  }
  TAILRACE_RETURN_IF_ERROR(identity.status());
  identity_ = *std::move(identity);
  const auto locked = fs_.IsLocked(paths_.lock);
  if (locked.ok() && *locked) {
    return Busy(paths_.directory + " is in use; stop the process that has it open");
  }
  TAILRACE_ASSIGN_OR_RETURN(builder_,
                            StoreBuilder::Begin(fs_, clock_, directory_, identity_.durability));
  TAILRACE_RETURN_IF_ERROR(OpenItems());
  TAILRACE_RETURN_IF_ERROR(RebuildLogs());
  TAILRACE_RETURN_IF_ERROR(FoldJournal());
  std::map<TableId, const Table*> tables;
  for (const auto& [name, table] : state_.catalogue.tables()) tables[table.id] = &table;
  for (const auto& [id, table] : tables) TAILRACE_RETURN_IF_ERROR(SaveTable(*table));
  // Entries were left behind: upkeep makes them of the tables.
  for (auto& table : *cut_.mutable_catalogue()->mutable_tables()) {
    for (auto& index : *table.mutable_indexes()) index.set_active(false);
  }
  cut_.mutable_clock()->set_wall_ms(state_.clock.wall_ms);
  cut_.mutable_clock()->set_age_ms(state_.clock.age_ms);
  cut_.mutable_clock()->set_pending_downtime_ms(state_.clock.pending_downtime_ms);
  index_.reset();
  TAILRACE_RETURN_IF_ERROR(RemoveContents(fs_, work_));
  TAILRACE_RETURN_IF_ERROR(fs_.RemoveDirectory(work_));
  TAILRACE_RETURN_IF_ERROR(builder_->Finish(cut_));
  report_.damaged_id = identity_.store_id;
  report_.store_id = builder_->store_id();
  report_.tables = tables.size();
  return std::move(report_);
}

}  // namespace
}  // namespace engine

std::string_view SalvageLossName(SalvageLoss::Kind kind) {
  switch (kind) {
    case SalvageLoss::Kind::kItems:
      return "items";
    case SalvageLoss::Kind::kJournal:
      return "journal";
    case SalvageLoss::Kind::kRecords:
      return "records";
  }
  return "unknown";
}

Result<SalvageReport> SalvageStore(wal::FileSystem& fs, const std::string& damaged,
                                   const std::string& directory,
                                   const SalvageOptions& options) noexcept {
  return engine::Salvager(fs, damaged, directory, options).Run();
}

}  // namespace tailrace
