#include "tools/log_source.h"

#include <algorithm>

#include "engine/catalogue.h"
#include "engine/store_files.h"
#include "engine/stream_view.h"
#include "shards/sequence_number.h"
#include "shards/shard_header.h"
#include "tools/format.h"
#include "tools/json_writer.h"
#include "wal/segment.h"

namespace tailrace::tools {
namespace {

using shards::FormatSequenceNumber;

std::string WithoutSlashes(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

std::string NameOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

void Describe(const Result<frames::ShardLogHeader>& header, LogSource& source) {
  source.problem = header.status();
  if (!header.ok()) {
    source.origin = {"?", NameOf(source.path)};
    return;
  }
  source.store = StoreId{header->store()};
  source.stream.id = StreamId{header->stream().id()};
  source.stream.table = TableId{header->stream().table()};
  source.stream.table_name = header->stream().table_name();
  source.stream.label = header->stream().label();
  source.stream.view = static_cast<ViewType>(header->stream().view());
  source.shard = ShardId{header->shard().id()};
  source.origin = {source.stream.table_name,
                   shards::FormatShardName(header->shard().created_ms(), source.shard)};
  auto keys = engine::FromProto(header->stream().keys());
  if (keys.ok()) source.keys = *std::move(keys);
}

LogSource SourceOfShard(const shards::OfflineShard& shard) {
  LogSource source{.path = shard.path, .stream = {}, .shard = shard.shard};
  source.stream.id = shard.stream;
  if (shard.header) {
    Describe(*shard.header, source);
  } else {
    Describe(shard.problem, source);
  }
  return source;
}

Result<std::vector<LogSource>> SourcesOfStreams(wal::FileSystem& fs, const std::string& directory) {
  TAILRACE_ASSIGN_OR_RETURN(const auto shards, shards::ListShards(fs, directory));
  std::vector<LogSource> sources;
  for (const auto& shard : shards) sources.push_back(SourceOfShard(shard));
  return sources;
}

bool IsBelow(const std::string& path, const std::string& directory) {
  return path.starts_with(directory + "/");
}

}  // namespace

Result<std::vector<LogSource>> SourcesOfStore(wal::FileSystem& fs, const std::string& directory) {
  const engine::StorePaths paths(WithoutSlashes(directory));
  TAILRACE_RETURN_IF_ERROR(engine::ReadIdentity(fs, paths).status());
  TAILRACE_ASSIGN_OR_RETURN(const bool exists, fs.Exists(paths.streams));
  if (!exists) return std::vector<LogSource>();
  return SourcesOfStreams(fs, paths.streams);
}

Result<std::vector<LogSource>> SourcesAt(wal::FileSystem& fs, const std::string& given) {
  const std::string path = WithoutSlashes(given);
  TAILRACE_ASSIGN_OR_RETURN(const bool exists, fs.Exists(path));
  if (!exists) return NotFound(Cat(path, ": no such file or directory"));
  TAILRACE_ASSIGN_OR_RETURN(const bool is_directory, fs.IsDirectory(path));
  if (!is_directory) {
    if (!wal::ParseSegmentFileName(NameOf(path))) {
      return InvalidArgument(
          Cat(path, " is no segment file: give a store, a directory of it or a .seg file"));
    }
    LogSource source{.path = path, .is_segment = true, .stream = {}};
    Describe(shards::ReadShardHeader(fs, ParentOf(path)), source);
    return std::vector<LogSource>{source};
  }
  TAILRACE_ASSIGN_OR_RETURN(const bool is_store, fs.Exists(wal::JoinPath(path, "STORE")));
  if (is_store) return SourcesOfStore(fs, path);
  TAILRACE_ASSIGN_OR_RETURN(const bool has_header,
                            fs.Exists(wal::JoinPath(path, shards::kShardHeaderFileName)));
  if (has_header || shards::ParseShardDirectoryName(NameOf(path))) {
    LogSource source{.path = path, .stream = {}};
    Describe(shards::ReadShardHeader(fs, path), source);
    return std::vector<LogSource>{source};
  }
  if (shards::ParseStreamDirectoryName(NameOf(path))) {
    TAILRACE_ASSIGN_OR_RETURN(auto sources, SourcesOfStreams(fs, ParentOf(path)));
    std::erase_if(sources, [&](const LogSource& source) { return !IsBelow(source.path, path); });
    return sources;
  }
  TAILRACE_ASSIGN_OR_RETURN(auto sources, SourcesOfStreams(fs, path));
  if (!sources.empty()) return sources;
  return InvalidArgument(
      Cat(path, " holds no shard logs: give a store, its streams/ or a directory below it"));
}

Result<ChangeRecord> ReadRecord(const LogSource& source, const shards::Record& record) {
  if (source.keys) {
    return engine::ViewRecord({source.store, source.stream.id, source.stream.view, *source.keys},
                              source.shard, record.View());
  }
  // Without the schema a key can still be told from another, and images say it all.
  shards::Record without_key = record;
  ChangeRecord view;
  const KeySchema any{.partition = {"storage_key", ScalarType::kB}};
  TAILRACE_ASSIGN_OR_RETURN(without_key.key,
                            EncodeKey(any, Item{{"storage_key", Value::B(record.key)}}));
  return engine::ViewRecord({source.store, source.stream.id, source.stream.view, any}, source.shard,
                            without_key.View());
}

Result<shards::OfflineReport> ReadSource(wal::FileSystem& fs, const LogSource& source,
                                         const shards::OfflineVisitor& visitor,
                                         const shards::OfflineFrom& from) {
  if (source.is_segment) return shards::VerifySegments(fs, {source.path}, visitor);
  return shards::VerifyShard(fs, source.path, std::nullopt, visitor, from);
}

std::string DamageText(const shards::Damage& damage) {
  std::string text = Cat(damage.file, ": offset ", damage.offset, ": ",
                         shards::DamageKindName(damage.kind), ": ", damage.message);
  if (damage.bytes > 0) text += Cat(", ", damage.bytes, " bytes passed over");
  if (damage.after && damage.next) {
    text += Cat(", between records ", FormatSequenceNumber(*damage.after), " and ",
                FormatSequenceNumber(*damage.next));
  } else if (damage.after) {
    text += Cat(", after record ", FormatSequenceNumber(*damage.after));
  } else if (damage.next) {
    text += Cat(", before record ", FormatSequenceNumber(*damage.next));
  }
  if (damage.records_missing > 0) text += Cat(", ", damage.records_missing, " records missing");
  return text;
}

std::string DamageJson(const shards::Damage& damage) {
  JsonWriter json;
  json.BeginObject().Key("damage").String(shards::DamageKindName(damage.kind));
  json.Key("file").String(damage.file).Key("offset").Number(damage.offset);
  json.Key("bytes").Number(damage.bytes);
  if (damage.after) json.Key("after").String(FormatSequenceNumber(*damage.after));
  if (damage.next) json.Key("next").String(FormatSequenceNumber(*damage.next));
  json.Key("recordsMissing").Number(damage.records_missing);
  json.Key("message").String(damage.message);
  return json.EndObject().Take();
}

}  // namespace tailrace::tools
