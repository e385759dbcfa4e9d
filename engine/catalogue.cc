#include "engine/catalogue.h"

#include <algorithm>

namespace tailrace::engine {
namespace {

frames::KeyAttribute ToProto(const KeyAttribute& attribute) {
  frames::KeyAttribute out;
  out.set_name(attribute.name);
  out.set_type(static_cast<frames::ScalarType>(attribute.type));
  return out;
}

Result<KeyAttribute> FromProto(const frames::KeyAttribute& attribute) {
  switch (attribute.type()) {
    case frames::S:
    case frames::N:
    case frames::B:
      return KeyAttribute{attribute.name(), static_cast<ScalarType>(attribute.type())};
    default:
      return Unsupported("key attribute '" + attribute.name() + "' has the unknown type " +
                         std::to_string(attribute.type()));
  }
}

}  // namespace

frames::KeySchema ToProto(const KeySchema& keys) {
  frames::KeySchema out;
  *out.mutable_partition() = ToProto(keys.partition);
  if (keys.sort) *out.mutable_sort() = ToProto(*keys.sort);
  return out;
}

Result<KeySchema> FromProto(const frames::KeySchema& keys) {
  KeySchema out;
  TAILRACE_ASSIGN_OR_RETURN(out.partition, FromProto(keys.partition()));
  if (keys.has_sort()) {
    TAILRACE_ASSIGN_OR_RETURN(auto sort, FromProto(keys.sort()));
    out.sort = std::move(sort);
  }
  if (Status valid = ValidateKeySchema(out); !valid.ok()) return Corruption(valid.message());
  return out;
}

Status Catalogue::Apply(const frames::Catalogue& frame, Lsn lsn, Lsn end) {
  for (const auto& change : frame.changes()) {
    TAILRACE_RETURN_IF_ERROR(ApplyOne(change, lsn));
    TAILRACE_RETURN_IF_ERROR(streams_.Apply(change, lsn, frame.age_ms()));
  }
  lsn_ = end;
  return Status::Ok();
}

Status Catalogue::Apply(const frames::Trim& frame, Lsn end) {
  TAILRACE_RETURN_IF_ERROR(streams_.Apply(frame));
  lsn_ = end;
  return Status::Ok();
}

Status Catalogue::ApplyOne(const frames::CatalogueChange& change, Lsn lsn) {
  switch (change.change_case()) {
    case frames::CatalogueChange::kCreateTable:
      return CreateTable(change.create_table());
    case frames::CatalogueChange::kDropTable:
      return DropTable(TableId{change.drop_table().table()});
    case frames::CatalogueChange::kEnableStream:
      return EnableStream(change.enable_stream());
    case frames::CatalogueChange::kDisableStream:
      return DisableStream(StreamId{change.disable_stream().stream()});
    case frames::CatalogueChange::kSealAndOpen:
      for (const auto& child : change.seal_and_open().children()) {
        next_shard_ = std::max(next_shard_, child.id() + 1);
      }
      return Status::Ok();
    case frames::CatalogueChange::kSetTimeToLive:
      return SetTimeToLive(change.set_time_to_live(), lsn);
    case frames::CatalogueChange::CHANGE_NOT_SET:
      break;
  }
  return Unsupported("the catalogue frame at " + std::to_string(lsn.value) +
                     " holds a change that this version does not know; use a newer one");
}

Status Catalogue::CreateTable(const frames::TableSpec& spec) {
  if (tables_.contains(spec.name()) || names_.contains(TableId{spec.id()})) {
    return Corruption("table '" + spec.name() + "' is created twice in the journal");
  }
  TAILRACE_ASSIGN_OR_RETURN(KeySchema keys, engine::FromProto(spec.keys()));
  tables_[spec.name()] = Table{.id = TableId{spec.id()},
                               .name = spec.name(),
                               .keys = std::move(keys),
                               .created_ms = spec.created_ms(),
                               .stream = {},
                               .latest_stream = {},
                               .latest_stream_label = {}};
  names_[TableId{spec.id()}] = spec.name();
  next_table_ = std::max(next_table_, spec.id() + 1);
  return Status::Ok();
}

Status Catalogue::DropTable(TableId id) {
  const auto name = names_.find(id);
  if (name == names_.end()) {
    return Corruption("table " + std::to_string(id.value) + " is dropped but does not exist");
  }
  tables_.erase(name->second);
  names_.erase(name);
  return Status::Ok();
}

Status Catalogue::EnableStream(const frames::StreamSpec& spec) {
  const auto name = names_.find(TableId{spec.table()});
  if (name == names_.end()) {
    return Corruption("stream " + std::to_string(spec.id()) + " belongs to no table");
  }
  Table& table = tables_.at(name->second);
  if (table.stream != StreamId{}) {
    return Corruption("table '" + table.name + "' gets a second stream while it has one");
  }
  table.stream = table.latest_stream = StreamId{spec.id()};
  table.latest_stream_label = spec.label();
  next_stream_ = std::max(next_stream_, spec.id() + 1);
  for (const auto& shard : spec.shards()) next_shard_ = std::max(next_shard_, shard.id() + 1);
  return Status::Ok();
}

Status Catalogue::DisableStream(StreamId id) {
  const shards::Stream* stream = streams_.Find(id);
  if (stream == nullptr || !stream->enabled()) {
    return Corruption("stream " + std::to_string(id.value) + " is disabled but is not enabled");
  }
  // A table dropped in the same frame is gone already or still there: either is legal.
  if (const auto name = names_.find(stream->table); name != names_.end()) {
    tables_.at(name->second).stream = StreamId{};
  }
  return Status::Ok();
}

Status Catalogue::SetTimeToLive(const frames::SetTimeToLive& change, Lsn lsn) {
  const auto name = names_.find(TableId{change.table()});
  if (name == names_.end()) {
    return Corruption("table " + std::to_string(change.table()) +
                      " gets a time to live but does not exist");
  }
  TimeToLive& now = tables_.at(name->second).time_to_live;
  now.attribute = change.attribute();
  now.since = now.enabled() ? lsn : Lsn{};
  return Status::Ok();
}

const Table* Catalogue::Find(const std::string& name) const {
  const auto found = tables_.find(name);
  return found == tables_.end() ? nullptr : &found->second;
}

const Table* Catalogue::Find(TableId id) const {
  const auto found = names_.find(id);
  return found == names_.end() ? nullptr : &tables_.at(found->second);
}

CatalogueState Catalogue::ToProto() const {
  CatalogueState state;
  for (const auto& [name, table] : tables_) {
    TableState& out = *state.add_tables();
    out.mutable_spec()->set_id(table.id.value);
    out.mutable_spec()->set_name(name);
    *out.mutable_spec()->mutable_keys() = engine::ToProto(table.keys);
    out.mutable_spec()->set_created_ms(table.created_ms);
    out.set_stream(table.stream.value);
    out.set_latest_stream(table.latest_stream.value);
    out.set_latest_stream_label(table.latest_stream_label);
    if (table.time_to_live.enabled()) {
      out.mutable_time_to_live()->set_attribute(table.time_to_live.attribute);
      out.mutable_time_to_live()->set_since(table.time_to_live.since.value);
    }
  }
  *state.mutable_streams() = streams_.ToProto();
  state.set_next_table(next_table_);
  state.set_next_stream(next_stream_);
  state.set_next_shard(next_shard_);
  state.set_lsn(lsn_.value);
  return state;
}

Result<Catalogue> Catalogue::FromProto(const CatalogueState& state) {
  Catalogue catalogue;
  for (const auto& in : state.tables()) {
    TAILRACE_RETURN_IF_ERROR(catalogue.CreateTable(in.spec()));
    Table& table = catalogue.tables_.at(in.spec().name());
    table.stream = StreamId{in.stream()};
    table.latest_stream = StreamId{in.latest_stream()};
    table.latest_stream_label = in.latest_stream_label();
    if (in.has_time_to_live()) {
      table.time_to_live = {in.time_to_live().attribute(), Lsn{in.time_to_live().since()}};
    }
  }
  TAILRACE_ASSIGN_OR_RETURN(catalogue.streams_,
                            shards::StreamCatalogue::FromProto(state.streams()));
  catalogue.next_table_ = std::max<uint64_t>(state.next_table(), catalogue.next_table_);
  catalogue.next_stream_ = std::max<uint64_t>(state.next_stream(), 1);
  catalogue.next_shard_ = std::max<uint64_t>(state.next_shard(), 1);
  catalogue.lsn_ = Lsn{state.lsn()};
  return catalogue;
}

}  // namespace tailrace::engine
