#include "engine/local_wire.h"

#include <utility>

#include "engine/catalogue.h"
#include "engine/item_codec.h"

namespace tailrace::engine {
namespace {

constexpr std::pair<StatusCode, local::Code> kCodes[] = {
    {StatusCode::kOk, local::OK},
    {StatusCode::kInvalidArgument, local::INVALID_ARGUMENT},
    {StatusCode::kNotFound, local::NOT_FOUND},
    {StatusCode::kAlreadyExists, local::ALREADY_EXISTS},
    {StatusCode::kFailedPrecondition, local::FAILED_PRECONDITION},
    {StatusCode::kBusy, local::BUSY},
    {StatusCode::kNoSpace, local::NO_SPACE},
    {StatusCode::kIoError, local::IO_ERROR},
    {StatusCode::kCorruption, local::CORRUPTION},
    {StatusCode::kUnsupported, local::UNSUPPORTED},
    {StatusCode::kReadOnly, local::READ_ONLY},
    {StatusCode::kOutcomeUnknown, local::OUTCOME_UNKNOWN},
    {StatusCode::kClosed, local::CLOSED},
};

constexpr char kOperand[] = "v";

Result<ViewType> ViewOfWire(uint32_t view) {
  if (view < static_cast<uint32_t>(ViewType::kKeysOnly) ||
      view > static_cast<uint32_t>(ViewType::kNewAndOldImages)) {
    return Corruption("a stream of the answer has an unknown view");
  }
  return static_cast<ViewType>(view);
}

local::Shard ToWire(const ShardInfo& shard) {
  local::Shard wire;
  wire.set_id(shard.id.value);
  wire.set_name(shard.name);
  wire.set_hash_first(shard.hash_first);
  wire.set_hash_last(shard.hash_last);
  if (shard.parent) wire.set_parent(shard.parent->value);
  wire.set_starting(shard.starting.value);
  if (shard.ending) wire.set_ending(shard.ending->value);
  wire.set_trimmed_below(shard.trimmed_below.value);
  return wire;
}

ShardInfo FromWire(const local::Shard& wire) {
  ShardInfo shard{.id = ShardId{wire.id()},
                  .name = wire.name(),
                  .hash_first = wire.hash_first(),
                  .hash_last = wire.hash_last(),
                  .parent = std::nullopt,
                  .starting = SequenceNumber{wire.starting()},
                  .ending = std::nullopt,
                  .trimmed_below = SequenceNumber{wire.trimmed_below()}};
  if (wire.has_parent()) shard.parent = ShardId{wire.parent()};
  if (wire.has_ending()) shard.ending = SequenceNumber{wire.ending()};
  return shard;
}

local::Index ToWire(const IndexInfo& index, TableId table) {
  local::Index wire;
  *wire.mutable_spec() = ToProto(index.spec, index.id, table, index.created_ms);
  wire.set_state(static_cast<uint32_t>(index.state));
  return wire;
}

Result<IndexInfo> FromWire(const local::Index& wire) {
  if (wire.state() > static_cast<uint32_t>(IndexState::kActive)) {
    return Corruption("an index of the answer has an unknown state");
  }
  IndexInfo index;
  TAILRACE_ASSIGN_OR_RETURN(index.spec, FromProto(wire.spec()));
  index.id = TableId{wire.spec().id()};
  index.created_ms = wire.spec().created_ms();
  index.state = static_cast<IndexState>(wire.state());
  return index;
}

}  // namespace

local::Code CodeOf(StatusCode code) {
  for (const auto& [status, wire] : kCodes) {
    if (status == code) return wire;
  }
  return local::IO_ERROR;
}

Status StatusOf(const local::Response& response) {
  if (response.code() == local::OK) return Status::Ok();
  for (const auto& [status, wire] : kCodes) {
    if (wire == response.code()) return {status, response.message()};
  }
  return IoError(response.message());
}

void SetStatus(const Status& status, local::Response& response) {
  response.set_code(CodeOf(status.code()));
  response.set_message(status.message());
}

Result<std::string> WireItem(const Item& item) {
  TAILRACE_RETURN_IF_ERROR(ValidateItem(item));
  return EncodeItem(item);
}

Result<std::string> WireValue(const Value& value) { return WireItem(Item{{kOperand, value}}); }

Result<Value> ValueOfWire(ByteView bytes) {
  TAILRACE_ASSIGN_OR_RETURN(const Item item, DecodeItem(bytes));
  const Value* const value = item.Get(kOperand);
  if (value == nullptr || item.size() != 1) return Corruption("this is no operand");
  return *value;
}

local::WriteResult ToWire(const WriteResult& result) {
  local::WriteResult wire;
  wire.set_outcome(static_cast<uint32_t>(result.outcome));
  if (result.old_item) wire.set_old_item(EncodeItem(*result.old_item));
  if (result.new_item) wire.set_new_item(EncodeItem(*result.new_item));
  wire.set_sequence(result.sequence.value);
  wire.set_token(result.token.end.value);
  return wire;
}

Result<WriteResult> FromWire(const local::WriteResult& wire) {
  if (wire.outcome() > static_cast<uint32_t>(WriteOutcome::kRejected)) {
    return Corruption("the answer has an unknown outcome");
  }
  WriteResult result;
  result.outcome = static_cast<WriteOutcome>(wire.outcome());
  if (wire.has_old_item()) {
    TAILRACE_ASSIGN_OR_RETURN(result.old_item, DecodeItem(wire.old_item()));
  }
  if (wire.has_new_item()) {
    TAILRACE_ASSIGN_OR_RETURN(result.new_item, DecodeItem(wire.new_item()));
  }
  result.sequence = SequenceNumber{wire.sequence()};
  result.token = CommitToken{Lsn{wire.token()}};
  return result;
}

local::ItemPage ToWire(const ItemPage& page) {
  local::ItemPage wire;
  for (const Item& item : page.items) wire.add_items(EncodeItem(item));
  if (page.last_key) wire.set_last_key(EncodeItem(*page.last_key));
  return wire;
}

Result<ItemPage> FromWire(const local::ItemPage& wire) {
  ItemPage page;
  for (const std::string& bytes : wire.items()) {
    TAILRACE_ASSIGN_OR_RETURN(Item item, DecodeItem(bytes));
    page.items.push_back(std::move(item));
  }
  if (wire.has_last_key()) {
    TAILRACE_ASSIGN_OR_RETURN(page.last_key, DecodeItem(wire.last_key()));
  }
  return page;
}

local::Table ToWire(const TableInfo& table) {
  local::Table wire;
  wire.set_name(table.name);
  wire.set_id(table.id.value);
  *wire.mutable_keys() = ToProto(table.keys);
  wire.set_created_ms(table.created_ms);
  if (table.stream_view) wire.set_stream_view(static_cast<uint32_t>(*table.stream_view));
  if (table.latest_stream) wire.set_latest_stream(table.latest_stream->value);
  wire.set_latest_stream_label(table.latest_stream_label);
  if (table.time_to_live_attribute) {
    wire.set_time_to_live_attribute(*table.time_to_live_attribute);
  }
  for (const IndexInfo& index : table.indexes) *wire.add_indexes() = ToWire(index, table.id);
  return wire;
}

Result<TableInfo> FromWire(const local::Table& wire) {
  TableInfo table;
  table.name = wire.name();
  table.id = TableId{wire.id()};
  TAILRACE_ASSIGN_OR_RETURN(table.keys, FromProto(wire.keys()));
  table.created_ms = wire.created_ms();
  if (wire.has_stream_view()) {
    TAILRACE_ASSIGN_OR_RETURN(table.stream_view, ViewOfWire(wire.stream_view()));
  }
  if (wire.has_latest_stream()) table.latest_stream = StreamId{wire.latest_stream()};
  table.latest_stream_label = wire.latest_stream_label();
  if (wire.has_time_to_live_attribute()) {
    table.time_to_live_attribute = wire.time_to_live_attribute();
  }
  for (const local::Index& one : wire.indexes()) {
    TAILRACE_ASSIGN_OR_RETURN(IndexInfo index, FromWire(one));
    table.indexes.push_back(std::move(index));
  }
  return table;
}

local::Stream ToWire(const StreamInfo& stream) {
  local::Stream wire;
  wire.set_id(stream.id.value);
  wire.set_table(stream.table.value);
  wire.set_table_name(stream.table_name);
  *wire.mutable_keys() = ToProto(stream.keys);
  wire.set_label(stream.label);
  wire.set_view(static_cast<uint32_t>(stream.view));
  wire.set_enabled(stream.enabled);
  wire.set_created_ms(stream.created_ms);
  wire.set_retention_ms(stream.retention_ms);
  for (const ShardInfo& shard : stream.shards) *wire.add_shards() = ToWire(shard);
  return wire;
}

Result<StreamInfo> FromWire(const local::Stream& wire) {
  StreamInfo stream;
  stream.id = StreamId{wire.id()};
  stream.table = TableId{wire.table()};
  stream.table_name = wire.table_name();
  TAILRACE_ASSIGN_OR_RETURN(stream.keys, FromProto(wire.keys()));
  stream.label = wire.label();
  TAILRACE_ASSIGN_OR_RETURN(stream.view, ViewOfWire(wire.view()));
  stream.enabled = wire.enabled();
  stream.created_ms = wire.created_ms();
  stream.retention_ms = wire.retention_ms();
  for (const local::Shard& shard : wire.shards()) stream.shards.push_back(FromWire(shard));
  return stream;
}

local::BackupReport ToWire(const BackupReport& report) {
  local::BackupReport wire;
  wire.set_store_id(report.store_id.value);
  wire.set_cut(report.cut.value);
  wire.set_taken_ms(report.taken_ms);
  wire.set_tables(report.tables);
  wire.set_items(report.items);
  wire.set_shards(report.shards);
  wire.set_files(report.files);
  wire.set_bytes(report.bytes);
  return wire;
}

BackupReport FromWire(const local::BackupReport& report) {
  return {.store_id = StoreId{report.store_id()},
          .cut = Lsn{report.cut()},
          .taken_ms = report.taken_ms(),
          .tables = report.tables(),
          .items = report.items(),
          .shards = report.shards(),
          .files = report.files(),
          .bytes = report.bytes()};
}

local::Stats ToWire(const StoreStats& stats) {
  local::Stats wire;
  wire.set_store_id(stats.store_id.value);
  wire.set_epoch(stats.epoch.value);
  wire.set_durability(static_cast<uint32_t>(stats.durability));
  wire.set_appended(stats.appended.value);
  wire.set_durable(stats.durable.value);
  wire.set_safe(stats.safe.value);
  wire.set_fanned_out(stats.fanned_out.value);
  wire.set_cut(stats.cut.value);
  wire.set_recycled(stats.recycled.value);
  wire.set_journal_live_bytes(stats.journal_live_bytes);
  wire.set_journal_disk_bytes(stats.journal_disk_bytes);
  wire.set_index_bytes(stats.index_bytes);
  wire.set_index_level0_files(stats.index_level0_files);
  wire.set_index_compacting(stats.index_compacting);
  wire.set_wall_ms(stats.wall_ms);
  wire.set_age_ms(stats.age_ms);
  wire.set_downtime_pending_ms(stats.downtime_pending_ms);
  wire.set_checkpoints(stats.checkpoints);
  wire.set_expiry_items_scanned(stats.expiry_items_scanned);
  wire.set_expired_items_deleted(stats.expired_items_deleted);
  for (const StoreStats::Shard& shard : stats.shards) {
    local::ShardStats* const one = wire.add_shards();
    one->set_stream(shard.stream.value);
    one->set_shard(shard.shard.value);
    one->set_bytes(shard.bytes);
    one->set_segments(shard.segments);
    one->set_records(shard.records);
    one->set_last_sequence(shard.last_sequence.value);
  }
  wire.set_recovered_frames(stats.recovered_frames);
  wire.set_recovery_us(stats.recovery_us);
  wire.set_torn_bytes(stats.torn_bytes);
  wire.set_clean_close(stats.clean_close);
  return wire;
}

StoreStats FromWire(const local::Stats& wire) {
  StoreStats stats;
  stats.store_id = StoreId{wire.store_id()};
  stats.epoch = Epoch{wire.epoch()};
  stats.durability = static_cast<Durability>(wire.durability());
  stats.appended = Lsn{wire.appended()};
  stats.durable = Lsn{wire.durable()};
  stats.safe = Lsn{wire.safe()};
  stats.fanned_out = Lsn{wire.fanned_out()};
  stats.cut = Lsn{wire.cut()};
  stats.recycled = Lsn{wire.recycled()};
  stats.journal_live_bytes = wire.journal_live_bytes();
  stats.journal_disk_bytes = wire.journal_disk_bytes();
  stats.index_bytes = wire.index_bytes();
  stats.index_level0_files = wire.index_level0_files();
  stats.index_compacting = wire.index_compacting();
  stats.wall_ms = wire.wall_ms();
  stats.age_ms = wire.age_ms();
  stats.downtime_pending_ms = wire.downtime_pending_ms();
  stats.checkpoints = wire.checkpoints();
  stats.expiry_items_scanned = wire.expiry_items_scanned();
  stats.expired_items_deleted = wire.expired_items_deleted();
  for (const local::ShardStats& shard : wire.shards()) {
    stats.shards.push_back({StreamId{shard.stream()}, ShardId{shard.shard()}, shard.bytes(),
                            shard.segments(), shard.records(),
                            SequenceNumber{shard.last_sequence()}});
  }
  stats.recovered_frames = wire.recovered_frames();
  stats.recovery_us = wire.recovery_us();
  stats.torn_bytes = wire.torn_bytes();
  stats.clean_close = wire.clean_close();
  return stats;
}

}  // namespace tailrace::engine
