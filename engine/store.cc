// The store: its parts put together behind the public interface.
#include "engine/store.h"

#include <algorithm>
#include <new>

#include "engine/backup_writer.h"
#include "engine/catalogue_writer.h"
#include "engine/checkpointer.h"
#include "engine/consumer_host.h"
#include "engine/core.h"
#include "engine/expiry_sweeper.h"
#include "engine/fork_guard.h"
#include "engine/get_path.h"
#include "engine/index_backfill.h"
#include "engine/maintenance.h"
#include "engine/page_path.h"
#include "engine/recovery.h"
#include "engine/shard_control.h"
#include "engine/stream_view.h"
#include "engine/system_table.h"
#include "engine/token_upkeep.h"
#include "engine/transaction_token.h"
#include "engine/write_path.h"

namespace tailrace {
namespace {

using engine::Core;
using engine::ViewTable;

// No exception leaves it: whoever cannot allocate memory in the middle of a write can neither
// finish it nor take it back, and ends the process (docs/durability.md).
class StoreImpl final : public Store, public engine::ConsumerHost {
 public:
  explicit StoreImpl(std::unique_ptr<Core> core)
      : core_(std::move(core)),
        checkpointer_(*core_),
        writes_(*core_, checkpointer_),
        catalogue_writer_(*core_),
        shard_control_(*core_),
        tokens_(*core_, writes_),
        sweeper_(*core_, writes_),
        backfill_(*core_, checkpointer_),
        maintenance_(*core_, checkpointer_, shard_control_, tokens_, sweeper_, backfill_) {}
  ~StoreImpl() override {
    // Whoever cares about the outcome has called Close.
    (void)Close().ok();
  }
  // In a forked child the store is left as it is: destroying it would wait for threads that are not
  // there, and write. The memory goes with the process.
  static void operator delete(StoreImpl* store, std::destroying_delete_t) {
    if (store->fork_guard_.InChild()) return;
    store->~StoreImpl();
    ::operator delete(store);
  }

  void Start() {
    if (core_->options.threads == StoreThreads::kOwn) core_->fan_out->Start();
    checkpointer_.Start();
    maintenance_.Start();
  }

  Status Close() noexcept override;

  Result<TableInfo> CreateTable(const TableSpec& spec) noexcept override;
  Status DropTable(const std::string& table) noexcept override;
  Result<TableInfo> DescribeTable(const std::string& table) noexcept override;
  Result<std::vector<TableInfo>> ListTables() noexcept override;
  Result<IndexInfo> CreateIndex(const std::string& table, const IndexSpec& spec) noexcept override;
  Status DropIndex(const std::string& table, const std::string& index) noexcept override {
    TAILRACE_RETURN_IF_ERROR(Open());
    return catalogue_writer_.DropIndex(table, index);
  }
  Status UpdateTimeToLive(const std::string& table,
                          const std::optional<std::string>& attribute) noexcept override {
    TAILRACE_RETURN_IF_ERROR(Open());
    return catalogue_writer_.UpdateTimeToLive(table, attribute);
  }
  Status EnsureSystemTable(const std::string& name, const KeySchema& keys) noexcept override;

  Result<WriteResult> Put(const std::string& table, const Item& item,
                          const WriteOptions& options) noexcept override {
    TAILRACE_RETURN_IF_ERROR(Open());
    return writes_.Put(table, item, options);
  }
  Result<WriteResult> Delete(const std::string& table, const Item& key,
                             const WriteOptions& options) noexcept override {
    TAILRACE_RETURN_IF_ERROR(Open());
    return writes_.Delete(table, key, options);
  }
  Result<WriteResult> Update(const std::string& table, const Item& key, const Updater& updater,
                             const WriteOptions& options) noexcept override {
    TAILRACE_RETURN_IF_ERROR(Open());
    return writes_.Update(table, key, updater, options);
  }
  Result<TransactResult> Transact(const std::vector<WriteRequest>& writes,
                                  const TransactOptions& options) noexcept override;
  Result<std::vector<Result<WriteResult>>> BatchWrite(const std::vector<WriteRequest>& writes,
                                                      WaitFor wait) noexcept override {
    TAILRACE_RETURN_IF_ERROR(Open());
    return writes_.BatchWrite(writes, wait);
  }
  Status Wait(const CommitToken& token) noexcept override {
    TAILRACE_RETURN_IF_ERROR(Open());
    TAILRACE_RETURN_IF_ERROR(CheckToken(token));
    return core_->positions->WaitSafe(token.end);
  }
  Status WaitFannedOut(const CommitToken& token) noexcept override {
    TAILRACE_RETURN_IF_ERROR(Open());
    TAILRACE_RETURN_IF_ERROR(CheckToken(token));
    return core_->positions->WaitFannedOut(token.end);
  }

  Result<std::optional<Item>> Get(const std::string& table, const Item& key) noexcept override {
    TAILRACE_RETURN_IF_ERROR(Open());
    return engine::GetItem(*core_, table, key);
  }
  Result<std::vector<std::optional<Item>>> TransactGet(
      const std::vector<ItemKey>& keys) noexcept override;
  Result<std::vector<std::optional<Item>>> BatchGet(
      const std::vector<ItemKey>& keys) noexcept override;
  Result<ItemPage> Query(const std::string& table, const QueryRequest& request) noexcept override {
    TAILRACE_RETURN_IF_ERROR(Open());
    return engine::QueryItems(*core_, table, request);
  }
  Result<ItemPage> Scan(const std::string& table, const ScanRequest& request) noexcept override {
    TAILRACE_RETURN_IF_ERROR(Open());
    return engine::ScanItems(*core_, table, request);
  }

  Result<StreamInfo> EnableStream(const std::string& table, ViewType view,
                                  const StreamOptions& options) noexcept override;
  Status DisableStream(const std::string& table) noexcept override;
  Result<std::vector<StreamInfo>> ListStreams(
      const std::optional<std::string>& table) noexcept override;
  Result<StreamInfo> DescribeStream(StreamId stream) noexcept override;
  Result<Position> SeekShard(StreamId stream, ShardId shard, StartAt start, SequenceNumber number,
                             uint64_t wall_ms) noexcept override {
    TAILRACE_RETURN_IF_ERROR(Open());
    return core_->shards->Seek(stream, shard, start, number, wall_ms);
  }
  Result<std::vector<ShardInfo>> SplitShard(StreamId stream, ShardId shard) noexcept override;
  Result<ShardInfo> MergeShards(StreamId stream, ShardId one, ShardId other) noexcept override;
  Result<ChangePage> ReadShard(const Position& position,
                               const PageLimits& limits) noexcept override {
    EncodedPage page;
    TAILRACE_RETURN_IF_ERROR(ReadEncoded(position, limits, page));
    return engine::ViewPage(page);
  }
  Status ReadEncoded(const Position& position, const PageLimits& limits,
                     EncodedPage& page) noexcept override;
  Result<bool> WaitShard(const Position& position, uint64_t timeout_ms) noexcept override {
    TAILRACE_RETURN_IF_ERROR(Open());
    return core_->fan_out->WaitAny({position}, timeout_ms);
  }
  Result<bool> WaitShards(const std::vector<Position>& positions,
                          uint64_t timeout_ms) noexcept override {
    TAILRACE_RETURN_IF_ERROR(Open());
    return core_->fan_out->WaitAny(positions, timeout_ms);
  }

  Status Checkpoint() noexcept override {
    TAILRACE_RETURN_IF_ERROR(Open());
    return checkpointer_.Run();
  }
  Status RunMaintenance() noexcept override {
    TAILRACE_RETURN_IF_ERROR(Open());
    return maintenance_.Run();
  }
  Status ConfirmDowntime() noexcept override {
    TAILRACE_RETURN_IF_ERROR(Open());
    return maintenance_.ConfirmDowntime();
  }
  Result<StoreStats> Stats() noexcept override;
  Result<BackupReport> Backup(const std::string& directory,
                              const BackupOptions& options) noexcept override {
    TAILRACE_RETURN_IF_ERROR(Open());
    return engine::WriteBackup(*core_, checkpointer_, directory, options);
  }

  // What consumers need besides.
  Status MayCall() const noexcept override { return Open(); }
  const Clock& clock() const noexcept override { return *core_->options.clock; }
  Lsn fanned_out() const noexcept override { return core_->positions->fanned_out(); }
  Result<KeyedPage> ReadItems(TableId table, const std::string& lower, const std::string& upper,
                              const PageLimits& limits) noexcept override {
    TAILRACE_RETURN_IF_ERROR(Open());
    return engine::ReadItems(*core_, table, {lower, upper}, limits);
  }
  Result<shards::Backlog> BacklogFrom(const Position& position) noexcept override {
    TAILRACE_RETURN_IF_ERROR(Open());
    return core_->shards->BacklogFrom(position);
  }

 private:
  // Whether this thread of this process may call the store at all.
  Status MayEnter() const;
  // What every method but Close begins with.
  Status Open() const;
  // Nothing would ever reach what was not appended: no token of this opening says so.
  Status CheckToken(const CommitToken& token) const {
    if (token.end <= core_->journal->appended_by_callers()) return Status::Ok();
    return InvalidArgument("the token is of another store, or of another opening of this one");
  }
  // The catalogue, safe to show.
  Result<std::shared_ptr<const engine::Catalogue>> SafeCatalogue();
  // The same once its streams can be read.
  Result<std::shared_ptr<const engine::Catalogue>> ReadableCatalogue();
  Result<ShardInfo> DescribeShard(StreamId stream, ShardId shard);

  std::unique_ptr<Core> core_;
  engine::Checkpointer checkpointer_;
  engine::WritePath writes_;
  engine::CatalogueWriter catalogue_writer_;
  engine::ShardControl shard_control_;
  engine::TokenUpkeep tokens_;
  engine::ExpirySweeper sweeper_;
  engine::IndexBackfill backfill_;
  engine::Maintenance maintenance_;
  const engine::ForkGuard fork_guard_;
  std::atomic<bool> closed_{false};
};

Status StoreImpl::MayEnter() const {
  TAILRACE_RETURN_IF_ERROR(fork_guard_.Check("store"));
  return engine::RefuseReentry();
}

Status StoreImpl::Open() const {
  if (closed_.load(std::memory_order_acquire)) return Closed("the store was closed");
  return MayEnter();
}

Status StoreImpl::Close() noexcept {
  TAILRACE_RETURN_IF_ERROR(MayEnter());
  if (closed_.exchange(true)) return Status::Ok();
  maintenance_.Stop();
  checkpointer_.Stop();
  Status status = core_->Writable();
  if (status.ok()) status = checkpointer_.Run();
  core_->fan_out->Stop();
  core_->shards->Close();
  const Status journal_closed = core_->journal->Close();
  if (status.ok()) status = journal_closed;
  core_->positions->Fail(tailrace::Closed("the store was closed"));
  core_->fan_out.reset();
  core_->shards.reset();
  core_->journal.reset();
  core_->index.reset();
  core_->lock.reset();
  return status;
}

// ---- Tables ----

Result<std::shared_ptr<const engine::Catalogue>> StoreImpl::SafeCatalogue() {
  TAILRACE_RETURN_IF_ERROR(Open());
  auto catalogue = core_->catalogue.Get().catalogue;
  TAILRACE_RETURN_IF_ERROR(core_->positions->WaitSafe(catalogue->lsn()));
  return catalogue;
}

Result<std::shared_ptr<const engine::Catalogue>> StoreImpl::ReadableCatalogue() {
  TAILRACE_RETURN_IF_ERROR(Open());
  auto catalogue = core_->catalogue.Get().catalogue;
  TAILRACE_RETURN_IF_ERROR(core_->positions->WaitFannedOut(catalogue->lsn()));
  return catalogue;
}

Result<TableInfo> StoreImpl::CreateTable(const TableSpec& spec) noexcept {
  TAILRACE_RETURN_IF_ERROR(Open());
  TAILRACE_RETURN_IF_ERROR(
      catalogue_writer_.CreateTable(spec, engine::CatalogueWriter::Who::kCaller));
  return DescribeTable(spec.name);
}

Status StoreImpl::EnsureSystemTable(const std::string& name, const KeySchema& keys) noexcept {
  TAILRACE_RETURN_IF_ERROR(Open());
  if (core_->catalogue.Get().catalogue->Find(name) != nullptr) return Status::Ok();
  const Status made = catalogue_writer_.CreateTable({.name = name, .keys = keys},
                                                    engine::CatalogueWriter::Who::kStore);
  return made.code() == StatusCode::kAlreadyExists ? Status::Ok() : made;
}

Status StoreImpl::DropTable(const std::string& table) noexcept {
  TAILRACE_RETURN_IF_ERROR(Open());
  return catalogue_writer_.DropTable(table);
}

Result<IndexInfo> StoreImpl::CreateIndex(const std::string& table, const IndexSpec& spec) noexcept {
  TAILRACE_RETURN_IF_ERROR(Open());
  TAILRACE_RETURN_IF_ERROR(catalogue_writer_.CreateIndex(table, spec));
  core_->upkeep_bell.Ring();
  TAILRACE_ASSIGN_OR_RETURN(const TableInfo info, DescribeTable(table));
  for (const IndexInfo& index : info.indexes) {
    if (index.spec.name == spec.name) return index;
  }
  return NotFound("index '" + spec.name + "' was made and has been dropped since");
}

Result<TableInfo> StoreImpl::DescribeTable(const std::string& table) noexcept {
  TAILRACE_ASSIGN_OR_RETURN(const auto catalogue, SafeCatalogue());
  const engine::Table* found = catalogue->Find(table);
  if (found == nullptr) return NotFound("there is no table '" + table + "'");
  return ViewTable(*catalogue, *found);
}

Result<std::vector<TableInfo>> StoreImpl::ListTables() noexcept {
  TAILRACE_ASSIGN_OR_RETURN(const auto catalogue, SafeCatalogue());
  std::vector<TableInfo> tables;
  for (const auto& [name, table] : catalogue->tables()) {
    if (!name.starts_with(engine::kSystemPrefix)) tables.push_back(ViewTable(*catalogue, table));
  }
  return tables;
}

// ---- Items ----

Result<TransactResult> StoreImpl::Transact(const std::vector<WriteRequest>& writes,
                                           const TransactOptions& options) noexcept {
  TAILRACE_RETURN_IF_ERROR(Open());
  if (!options.idempotency_token.empty()) {
    TAILRACE_RETURN_IF_ERROR(EnsureSystemTable(engine::kTokenTable, engine::TokenTableKeys()));
  }
  return writes_.Transact(writes, options);
}

// That there is at least one key, and not too many.
Status CheckKeyCount(const std::vector<ItemKey>& keys, size_t keys_max) {
  if (!keys.empty() && keys.size() <= keys_max) return Status::Ok();
  return InvalidArgument("1 to " + std::to_string(keys_max) + " items can be read together");
}

Result<std::vector<std::optional<Item>>> StoreImpl::TransactGet(
    const std::vector<ItemKey>& keys) noexcept {
  TAILRACE_RETURN_IF_ERROR(Open());
  TAILRACE_RETURN_IF_ERROR(CheckKeyCount(keys, kTransactionItemsMax));
  return engine::GetItems(*core_, keys, engine::Together::kYes);
}

Result<std::vector<std::optional<Item>>> StoreImpl::BatchGet(
    const std::vector<ItemKey>& keys) noexcept {
  TAILRACE_RETURN_IF_ERROR(Open());
  TAILRACE_RETURN_IF_ERROR(CheckKeyCount(keys, kBatchGetItemsMax));
  return engine::GetItems(*core_, keys, engine::Together::kNo);
}

// ---- Streams ----

Result<StreamInfo> StoreImpl::EnableStream(const std::string& table, ViewType view,
                                           const StreamOptions& options) noexcept {
  TAILRACE_RETURN_IF_ERROR(Open());
  TAILRACE_ASSIGN_OR_RETURN(const StreamId stream,
                            catalogue_writer_.EnableStream(table, view, options));
  return DescribeStream(stream);
}

Status StoreImpl::DisableStream(const std::string& table) noexcept {
  TAILRACE_RETURN_IF_ERROR(Open());
  return catalogue_writer_.DisableStream(table);
}

Result<std::vector<StreamInfo>> StoreImpl::ListStreams(
    const std::optional<std::string>& table) noexcept {
  TAILRACE_ASSIGN_OR_RETURN(const auto catalogue, ReadableCatalogue());
  return engine::ViewStreams(catalogue->streams(), table);
}

Result<StreamInfo> StoreImpl::DescribeStream(StreamId stream) noexcept {
  TAILRACE_ASSIGN_OR_RETURN(const auto catalogue, ReadableCatalogue());
  return engine::ViewStream(catalogue->streams(), stream);
}

Status StoreImpl::ReadEncoded(const Position& position, const PageLimits& limits,
                              EncodedPage& page) noexcept {
  page.Clear();
  TAILRACE_RETURN_IF_ERROR(Open());
  const StoreId store = core_->identity.store_id;
  if (!page.schema || page.schema->store != store || page.schema->stream != position.stream) {
    const auto catalogue = core_->catalogue.Get().catalogue;
    const shards::Stream* const stream = catalogue->streams().Find(position.stream);
    if (stream == nullptr) return engine::NoStream(position.stream);
    TAILRACE_ASSIGN_OR_RETURN(page.schema, engine::SchemaOf(store, *stream));
  }
  return core_->shards->Read(position, limits, page);
}

Result<ShardInfo> StoreImpl::DescribeShard(StreamId stream, ShardId shard) {
  TAILRACE_ASSIGN_OR_RETURN(const auto catalogue, ReadableCatalogue());
  const shards::Shard* const found = catalogue->streams().FindShard(stream, shard);
  if (found != nullptr) return engine::ViewShard(*found);
  return NotFound("shard " + std::to_string(shard.value) + " was made and has expired since");
}

Result<std::vector<ShardInfo>> StoreImpl::SplitShard(StreamId stream, ShardId shard) noexcept {
  TAILRACE_RETURN_IF_ERROR(Open());
  TAILRACE_ASSIGN_OR_RETURN(const auto ids, shard_control_.Split(stream, shard));
  std::vector<ShardInfo> children;
  for (const ShardId id : ids) {
    TAILRACE_ASSIGN_OR_RETURN(ShardInfo child, DescribeShard(stream, id));
    children.push_back(std::move(child));
  }
  return children;
}

Result<ShardInfo> StoreImpl::MergeShards(StreamId stream, ShardId one, ShardId other) noexcept {
  TAILRACE_RETURN_IF_ERROR(Open());
  TAILRACE_ASSIGN_OR_RETURN(const ShardId child, shard_control_.Merge(stream, one, other));
  return DescribeShard(stream, child);
}

// ---- Upkeep ----

Result<StoreStats> StoreImpl::Stats() noexcept {
  TAILRACE_RETURN_IF_ERROR(Open());
  StoreStats stats;
  stats.store_id = core_->identity.store_id;
  stats.epoch = core_->journal->recovery().epoch;
  stats.durability = core_->identity.durability;
  const wal::Positions& positions = *core_->positions;
  // From the last to the first: positions only rise, so what is read later may not overtake.
  stats.recycled = positions.recycled();
  stats.cut = positions.cut();
  stats.fanned_out = positions.fanned_out();
  stats.safe = positions.safe();
  stats.durable = positions.durable();
  stats.appended = core_->journal->appended();
  stats.journal_live_bytes = core_->journal->live_bytes();
  stats.journal_disk_bytes = core_->journal->disk_bytes();
  const auto index = core_->index->GetStats();
  stats.index_bytes = index.bytes;
  stats.index_level0_files = index.level0_files_max;
  stats.index_compacting = index.compacting;
  stats.wall_ms = core_->options.clock->WallMs();
  stats.age_ms = core_->clock->AgeMs();
  stats.downtime_pending_ms = core_->clock->PendingDowntimeMs();
  stats.checkpoints = checkpointer_.completed();
  stats.expiry_items_scanned = sweeper_.scanned();
  stats.expired_items_deleted = sweeper_.deleted();
  for (const auto& shard : core_->shards->Stats()) {
    stats.shards.push_back({shard.stream, shard.shard, shard.bytes, shard.segments,
                            shard.records_appended, shard.last_sequence});
  }
  stats.recovered_frames = core_->recovery.frames;
  stats.recovery_us = core_->recovery.duration_us;
  stats.torn_bytes = core_->recovery.torn_bytes;
  stats.clean_close = core_->recovery.clean_close;
  return stats;
}

}  // namespace

WriteRequest WriteRequest::Put(std::string table, Item item, Condition condition) {
  return {.kind = Kind::kPut,
          .table = std::move(table),
          .item = std::move(item),
          .condition = std::move(condition)};
}

WriteRequest WriteRequest::Delete(std::string table, Item key, Condition condition) {
  return {.kind = Kind::kDelete,
          .table = std::move(table),
          .item = std::move(key),
          .condition = std::move(condition)};
}

WriteRequest WriteRequest::Update(std::string table, Item key, Updater updater,
                                  Condition condition) {
  return {.kind = Kind::kUpdate,
          .table = std::move(table),
          .item = std::move(key),
          .condition = std::move(condition),
          .updater = std::move(updater)};
}

WriteRequest WriteRequest::Check(std::string table, Item key, Condition condition) {
  return {.kind = Kind::kCheck,
          .table = std::move(table),
          .item = std::move(key),
          .condition = std::move(condition)};
}

namespace {

Result<std::unique_ptr<Store>> OpenStore(const std::string& directory,
                                         const StoreOptions& options) noexcept {
  TAILRACE_RETURN_IF_ERROR(engine::ForkGuard::AdmitStore());
  TAILRACE_ASSIGN_OR_RETURN(auto core, engine::OpenCore(directory, options));
  auto store = std::make_unique<StoreImpl>(std::move(core));
  store->Start();
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace

Result<std::unique_ptr<Store>> Store::Open(const std::string& directory,
                                           const StoreOptions& options) {
  return OpenStore(directory, options);
}

}  // namespace tailrace
