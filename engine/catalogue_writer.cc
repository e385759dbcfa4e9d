#include "engine/catalogue_writer.h"

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "engine/error_text.h"
#include "engine/expiry.h"

namespace tailrace::engine {
namespace {

// ISO time with milliseconds and without a zone, as stream labels have it:
// "2015-05-11T21:21:33.291".
std::string FormatLabel(uint64_t wall_ms) {
  const auto seconds = static_cast<time_t>(wall_ms / 1000);
  tm parts{};
  gmtime_r(&seconds, &parts);
  char text[40];
  const size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  char millis[8];
  std::snprintf(millis, sizeof millis, ".%03u", static_cast<unsigned>(wall_ms % 1000));
  return std::string(text, size) + millis;
}

// The time of the label, moved on until no stream of this table's name has it.
std::string UniqueLabel(const Catalogue& catalogue, const std::string& table, uint64_t wall_ms) {
  const auto& streams = catalogue.streams().streams();
  while (true) {
    std::string label = FormatLabel(wall_ms++);
    bool taken = false;
    for (const auto& [id, stream] : streams) {
      taken = taken || (stream.table_name == table && stream.label == label);
    }
    if (!taken) return label;
  }
}

Status NoTable(const std::string& table) { return NotFound("there is no table '" + table + "'"); }

Status RefuseSystemTable(const std::string& table) {
  if (!table.starts_with(kSystemPrefix)) return Status::Ok();
  return InvalidArgument("tables whose names begin with '" + std::string(kSystemPrefix) +
                         "' are the store's own");
}

Status ValidateViewType(ViewType view) {
  if (frames::ViewType_IsValid(static_cast<int>(view)) &&
      static_cast<frames::ViewType>(view) != frames::VIEW_TYPE_UNKNOWN) {
    return Status::Ok();
  }
  return InvalidArgument("there is no view type " + std::to_string(static_cast<uint32_t>(view)));
}

}  // namespace

Status ChangeCatalogue(Core& core,
                       const std::function<Status(const Catalogue&, frames::Catalogue&)>& decide) {
  Lsn end;
  {
    const GateExclusive gate(core.gate);
    const auto now = core.catalogue.Get().catalogue;
    frames::Catalogue change;
    TAILRACE_RETURN_IF_ERROR(decide(*now, change));
    if (change.changes().empty()) return Status::Ok();
    const ClockReading clock = core.clock->Now();
    change.set_wall_ms(clock.wall_ms);
    change.set_age_ms(clock.stamp_ms());
    TAILRACE_ASSIGN_OR_RETURN(const wal::Frame frame, AppendControl(core, shards::kCatalogueFrame,
                                                                    change.SerializeAsString()));
    end = frame.end;
  }
  TAILRACE_RETURN_IF_ERROR(core.positions->WaitSafe(end));
  return core.positions->WaitFannedOut(end);
}

void CatalogueWriter::AddIndex(const IndexSpec& spec, TableId id, TableId table,
                               frames::Catalogue& change) const {
  *change.add_changes()->mutable_create_index()->mutable_spec() =
      ToProto(spec, id, table, core_.clock->WallMs());
}

void CatalogueWriter::AddStream(const Catalogue& now, const Table& table, ViewType view,
                                const StreamOptions& options, frames::Catalogue& change) const {
  const uint64_t wall_ms = core_.clock->WallMs();
  frames::StreamSpec& spec = *change.add_changes()->mutable_enable_stream();
  spec.set_id(now.next_stream().value);
  spec.set_table(table.id.value);
  spec.set_table_name(table.name);
  *spec.mutable_keys() = ToProto(table.keys);
  spec.set_label(UniqueLabel(now, table.name, wall_ms));
  spec.set_view(static_cast<frames::ViewType>(view));
  spec.set_created_ms(wall_ms);
  spec.set_retention_ms(options.retention_ms != 0 ? options.retention_ms
                                                  : core_.options.retention_ms);
  const uint32_t count = options.shards != 0 ? options.shards : core_.options.shards_per_stream;
  for (auto& shard : shards::EvenShards(count, now.next_shard(), wall_ms)) {
    *spec.add_shards() = std::move(shard);
  }
}

Status CatalogueWriter::CreateTable(const TableSpec& spec, Who who) {
  TAILRACE_RETURN_IF_ERROR(ValidateTableName(spec.name));
  TAILRACE_RETURN_IF_ERROR(ValidateKeySchema(spec.keys));
  TAILRACE_RETURN_IF_ERROR(ValidateIndexes(spec.keys, spec.indexes));
  if (spec.stream) TAILRACE_RETURN_IF_ERROR(ValidateViewType(*spec.stream));
  if (who == Who::kCaller) TAILRACE_RETURN_IF_ERROR(RefuseSystemTable(spec.name));
  return ChangeCatalogue(core_, [&](const Catalogue& now, frames::Catalogue& change) -> Status {
    if (now.Find(spec.name) != nullptr) {
      return AlreadyExists("there already is a table '" + spec.name + "'");
    }
    const Table table{.id = now.next_table(),
                      .name = spec.name,
                      .keys = spec.keys,
                      .created_ms = core_.clock->WallMs(),
                      .stream = {},
                      .latest_stream = {},
                      .latest_stream_label = {}};
    frames::TableSpec& created = *change.add_changes()->mutable_create_table();
    created.set_id(table.id.value);
    created.set_name(table.name);
    *created.mutable_keys() = ToProto(table.keys);
    created.set_created_ms(table.created_ms);
    // The table is empty, so its indexes have all there is.
    TableId id = table.id;
    for (const IndexSpec& index : spec.indexes) {
      ++id.value;
      AddIndex(index, id, table.id, change);
      change.add_changes()->mutable_activate_index()->set_index(id.value);
    }
    if (spec.stream) AddStream(now, table, *spec.stream, {}, change);
    return Status::Ok();
  });
}

Status CatalogueWriter::DropTable(const std::string& name) {
  TAILRACE_RETURN_IF_ERROR(RefuseSystemTable(name));
  return ChangeCatalogue(core_, [&](const Catalogue& now, frames::Catalogue& change) -> Status {
    const Table* table = now.Find(name);
    if (table == nullptr) return NoTable(name);
    if (table->stream != StreamId{}) {
      change.add_changes()->mutable_disable_stream()->set_stream(table->stream.value);
    }
    change.add_changes()->mutable_drop_table()->set_table(table->id.value);
    return Status::Ok();
  });
}

Result<StreamId> CatalogueWriter::EnableStream(const std::string& name, ViewType view,
                                               const StreamOptions& options) {
  TAILRACE_RETURN_IF_ERROR(RefuseSystemTable(name));
  TAILRACE_RETURN_IF_ERROR(ValidateViewType(view));
  if (options.shards > kShardsPerStreamMax) {
    return InvalidArgument("a stream has at most " + std::to_string(kShardsPerStreamMax) +
                           " shards");
  }
  StreamId stream;
  TAILRACE_RETURN_IF_ERROR(
      ChangeCatalogue(core_, [&](const Catalogue& now, frames::Catalogue& change) -> Status {
        const Table* table = now.Find(name);
        if (table == nullptr) return NoTable(name);
        if (table->stream != StreamId{}) {
          return FailedPrecondition("Table already has an enabled stream: TableName: " + name);
        }
        AddStream(now, *table, view, options, change);
        stream = now.next_stream();
        return Status::Ok();
      }));
  return stream;
}

Status CatalogueWriter::DisableStream(const std::string& name) {
  TAILRACE_RETURN_IF_ERROR(RefuseSystemTable(name));
  return ChangeCatalogue(core_, [&](const Catalogue& now, frames::Catalogue& change) -> Status {
    const Table* table = now.Find(name);
    if (table == nullptr) return NoTable(name);
    if (table->stream == StreamId{}) {
      return FailedPrecondition("Table has no stream to disable: TableName: " + name);
    }
    change.add_changes()->mutable_disable_stream()->set_stream(table->stream.value);
    return Status::Ok();
  });
}

Status CatalogueWriter::CreateIndex(const std::string& name, const IndexSpec& spec) {
  TAILRACE_RETURN_IF_ERROR(RefuseSystemTable(name));
  if (spec.local) {
    return InvalidArgument("local indexes are made with their table: index '" + spec.name + "'");
  }
  return ChangeCatalogue(core_, [&](const Catalogue& now, frames::Catalogue& change) -> Status {
    const Table* table = now.Find(name);
    if (table == nullptr) return NoTable(name);
    if (table->FindIndex(spec.name) != nullptr) {
      return AlreadyExists("table '" + name + "' already has an index '" + spec.name + "'");
    }
    std::vector<IndexSpec> all;
    for (const Index& index : table->indexes) all.push_back(index.spec);
    all.push_back(spec);
    TAILRACE_RETURN_IF_ERROR(ValidateIndexes(table->keys, all));
    AddIndex(spec, now.next_table(), table->id, change);
    return Status::Ok();
  });
}

Status CatalogueWriter::DropIndex(const std::string& name, const std::string& index) {
  TAILRACE_RETURN_IF_ERROR(RefuseSystemTable(name));
  return ChangeCatalogue(core_, [&](const Catalogue& now, frames::Catalogue& change) -> Status {
    const Table* table = now.Find(name);
    if (table == nullptr) return NoTable(name);
    const Index* found = table->FindIndex(index);
    if (found == nullptr) return NotFound(error_text::NoIndex(index));
    if (found->spec.local) {
      return InvalidArgument("local indexes go with their table: index '" + index + "'");
    }
    change.add_changes()->mutable_drop_index()->set_index(found->id.value);
    return Status::Ok();
  });
}

Status CatalogueWriter::UpdateTimeToLive(const std::string& name,
                                         const std::optional<std::string>& attribute) {
  TAILRACE_RETURN_IF_ERROR(RefuseSystemTable(name));
  if (attribute) TAILRACE_RETURN_IF_ERROR(ValidateExpiryAttribute(*attribute));
  return ChangeCatalogue(core_, [&](const Catalogue& now, frames::Catalogue& change) -> Status {
    const Table* table = now.Find(name);
    if (table == nullptr) return NoTable(name);
    const TimeToLive& old = table->time_to_live;
    if (attribute && old.enabled()) {
      return FailedPrecondition(
          old.attribute == *attribute
              ? "TimeToLive is already enabled"
              : "TimeToLive is active on a different AttributeName: current AttributeName is " +
                    old.attribute);
    }
    if (!attribute && !old.enabled()) return FailedPrecondition("TimeToLive is already disabled");
    frames::SetTimeToLive& set = *change.add_changes()->mutable_set_time_to_live();
    set.set_table(table->id.value);
    if (attribute) set.set_attribute(*attribute);
    return Status::Ok();
  });
}

}  // namespace tailrace::engine
