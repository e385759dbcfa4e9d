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

// The attributes that entries of an index hold, sorted; none if they hold all.
std::vector<std::string> ProjectedNames(const KeySchema& table, const IndexSpec& index) {
  std::vector<std::string> names;
  if (index.projection == Projection::kAll) return names;
  for (const KeySchema* keys : {&table, &index.keys}) {
    names.push_back(keys->partition.name);
    if (keys->sort) names.push_back(keys->sort->name);
  }
  names.insert(names.end(), index.included.begin(), index.included.end());
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
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

frames::IndexSpec ToProto(const IndexSpec& spec, TableId id, TableId table, uint64_t created_ms) {
  frames::IndexSpec out;
  out.set_id(id.value);
  out.set_table(table.value);
  out.set_name(spec.name);
  *out.mutable_keys() = ToProto(spec.keys);
  out.set_local(spec.local);
  out.set_projection(static_cast<frames::Projection>(spec.projection));
  for (const std::string& name : spec.included) out.add_included(name);
  out.set_created_ms(created_ms);
  return out;
}

Result<IndexSpec> FromProto(const frames::IndexSpec& spec) {
  IndexSpec out;
  out.name = spec.name();
  TAILRACE_ASSIGN_OR_RETURN(out.keys, FromProto(spec.keys()));
  out.local = spec.local();
  if (!frames::Projection_IsValid(spec.projection()) ||
      spec.projection() == frames::PROJECTION_UNKNOWN) {
    return Unsupported("index '" + spec.name() + "' has the unknown projection " +
                       std::to_string(spec.projection()));
  }
  out.projection = static_cast<Projection>(spec.projection());
  out.included.assign(spec.included().begin(), spec.included().end());
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
    case frames::CatalogueChange::kCreateIndex:
      return CreateIndex(change.create_index().spec());
    case frames::CatalogueChange::kDropIndex:
      return DropIndex(TableId{change.drop_index().index()});
    case frames::CatalogueChange::kActivateIndex:
      return ActivateIndex(TableId{change.activate_index().index()});
    case frames::CatalogueChange::CHANGE_NOT_SET:
      break;
  }
  return Unsupported("the catalogue frame at " + std::to_string(lsn.value) +
                     " holds a change that this version does not know; use a newer one");
}

Status Catalogue::CreateTable(const frames::TableSpec& spec) {
  if (tables_.contains(spec.name()) || Holds(TableId{spec.id()})) {
    return Corruption("table '" + spec.name() + "' is created twice in the journal");
  }
  TAILRACE_ASSIGN_OR_RETURN(KeySchema keys, engine::FromProto(spec.keys()));
  Put(Table{.id = TableId{spec.id()},
            .name = spec.name(),
            .keys = std::move(keys),
            .created_ms = spec.created_ms(),
            .stream = {},
            .latest_stream = {},
            .latest_stream_label = {}});
  names_[TableId{spec.id()}] = spec.name();
  next_table_ = std::max(next_table_, spec.id() + 1);
  return Status::Ok();
}

Status Catalogue::DropTable(TableId id) {
  const Table* const table = Find(id);
  if (table == nullptr) {
    return Corruption("table " + std::to_string(id.value) + " is dropped but does not exist");
  }
  for (const Index& index : table->indexes) index_tables_.erase(index.id);
  const auto name = names_.extract(id);
  tables_.Erase(name.mapped());
  return Status::Ok();
}

Status Catalogue::CreateIndex(const frames::IndexSpec& spec) {
  const TableId id{spec.id()};
  const Table* const found = Find(TableId{spec.table()});
  if (found == nullptr) return Corruption("index '" + spec.name() + "' belongs to no table");
  if (id.value == 0 || Holds(id)) {
    return Corruption("index '" + spec.name() + "' has no number, or one that is taken");
  }
  Table table = *found;
  Index index;
  TAILRACE_ASSIGN_OR_RETURN(index.spec, engine::FromProto(spec));
  index.id = id;
  index.created_ms = spec.created_ms();
  index.projected = ProjectedNames(table.keys, index.spec);
  std::vector<IndexSpec> all{index.spec};
  for (const Index& other : table.indexes) all.push_back(other.spec);
  if (const Status valid = ValidateIndexes(table.keys, all); !valid.ok()) {
    return Corruption("table '" + table.name + "': " + valid.message());
  }
  const auto place = std::find_if(table.indexes.begin(), table.indexes.end(),
                                  [&](const auto& at) { return at.spec.name > index.spec.name; });
  table.indexes.insert(place, std::move(index));
  index_tables_[id] = table.id;
  Put(std::move(table));
  next_table_ = std::max(next_table_, spec.id() + 1);
  return Status::Ok();
}

Status Catalogue::DropIndex(TableId id) {
  const auto [found, index] = FindIndex(id);
  if (index == nullptr) {
    return Corruption("index " + std::to_string(id.value) + " is dropped but does not exist");
  }
  Table table = *found;
  table.indexes.erase(table.indexes.begin() + (index - found->indexes.data()));
  Put(std::move(table));
  index_tables_.erase(id);
  return Status::Ok();
}

Status Catalogue::ActivateIndex(TableId id) {
  const auto [found, index] = FindIndex(id);
  if (index == nullptr || index->state == IndexState::kActive) {
    return Corruption("index " + std::to_string(id.value) +
                      " is activated but is not being filled");
  }
  Table table = *found;
  table.indexes[static_cast<size_t>(index - found->indexes.data())].state = IndexState::kActive;
  Put(std::move(table));
  return Status::Ok();
}

// A new table, or one in place of what it was.
void Catalogue::Put(Table table) {
  const std::string name = table.name;
  tables_.Put(name, std::move(table));
}

Status Catalogue::EnableStream(const frames::StreamSpec& spec) {
  const Table* const found = Find(TableId{spec.table()});
  if (found == nullptr) {
    return Corruption("stream " + std::to_string(spec.id()) + " belongs to no table");
  }
  Table table = *found;
  if (table.stream != StreamId{}) {
    return Corruption("table '" + table.name + "' gets a second stream while it has one");
  }
  table.stream = table.latest_stream = StreamId{spec.id()};
  table.latest_stream_label = spec.label();
  Put(std::move(table));
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
  if (const Table* const found = Find(stream->table)) {
    Table table = *found;
    table.stream = StreamId{};
    Put(std::move(table));
  }
  return Status::Ok();
}

Status Catalogue::SetTimeToLive(const frames::SetTimeToLive& change, Lsn lsn) {
  const Table* const found = Find(TableId{change.table()});
  if (found == nullptr) {
    return Corruption("table " + std::to_string(change.table()) +
                      " gets a time to live but does not exist");
  }
  Table table = *found;
  table.time_to_live.attribute = change.attribute();
  table.time_to_live.since = table.time_to_live.enabled() ? lsn : Lsn{};
  Put(std::move(table));
  return Status::Ok();
}

const Table* Catalogue::Find(const std::string& name) const { return tables_.Find(name); }

const Table* Catalogue::Find(TableId id) const {
  const auto found = names_.find(id);
  return found == names_.end() ? nullptr : tables_.Find(found->second);
}

std::pair<const Table*, const Index*> Catalogue::FindIndex(TableId id) const {
  const auto found = index_tables_.find(id);
  if (found == index_tables_.end()) return {nullptr, nullptr};
  const Table* const table = Find(found->second);
  const auto index = std::find_if(table->indexes.begin(), table->indexes.end(),
                                  [&](const Index& at) { return at.id == id; });
  return {table, &*index};
}

const Index* Table::FindIndex(const std::string& index) const {
  const auto found = std::find_if(indexes.begin(), indexes.end(),
                                  [&](const Index& at) { return at.spec.name == index; });
  return found == indexes.end() ? nullptr : &*found;
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
    for (const Index& index : table.indexes) {
      auto& kept = *out.add_indexes();
      *kept.mutable_spec() = engine::ToProto(index.spec, index.id, table.id, index.created_ms);
      kept.set_active(index.state == IndexState::kActive);
    }
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
    Table table = *catalogue.Find(in.spec().name());
    table.stream = StreamId{in.stream()};
    table.latest_stream = StreamId{in.latest_stream()};
    table.latest_stream_label = in.latest_stream_label();
    if (in.has_time_to_live()) {
      table.time_to_live = {in.time_to_live().attribute(), Lsn{in.time_to_live().since()}};
    }
    catalogue.Put(std::move(table));
    for (const auto& kept : in.indexes()) {
      TAILRACE_RETURN_IF_ERROR(catalogue.CreateIndex(kept.spec()));
      if (kept.active()) {
        TAILRACE_RETURN_IF_ERROR(catalogue.ActivateIndex(TableId{kept.spec().id()}));
      }
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
