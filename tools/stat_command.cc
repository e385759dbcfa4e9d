#include "tools/stat_command.h"

#include <CLI/CLI.hpp>

#include "tools/format.h"
#include "tools/json_writer.h"
#include "tools/open_store.h"
#include "tools/text.h"
#include "tools/time_text.h"

namespace tailrace::tools {
namespace {

struct StreamTotal {
  uint64_t records = 0;
  uint64_t bytes = 0;
  uint64_t segments = 0;
};

StreamTotal TotalOf(const StoreStats& stats) {
  StreamTotal total;
  for (const auto& shard : stats.shards) {
    total.records += shard.records;
    total.bytes += shard.bytes;
    total.segments += shard.segments;
  }
  return total;
}

std::string StatJson(const StoreStats& stats, size_t tables, size_t streams) {
  const StreamTotal total = TotalOf(stats);
  JsonWriter json;
  json.BeginObject().Key("storeId").String(Format("{:016x}", stats.store_id.value));
  json.Key("epoch").Number(stats.epoch.value);
  json.Key("durability").String(stats.durability == Durability::kSync ? "sync" : "buffered");
  json.Key("positions").BeginObject();
  json.Key("recycled").Number(stats.recycled.value).Key("cut").Number(stats.cut.value);
  json.Key("fannedOut").Number(stats.fanned_out.value).Key("safe").Number(stats.safe.value);
  json.Key("durable").Number(stats.durable.value).Key("appended").Number(stats.appended.value);
  json.EndObject();
  json.Key("journalLiveBytes").Number(stats.journal_live_bytes);
  json.Key("journalDiskBytes").Number(stats.journal_disk_bytes);
  json.Key("indexBytes").Number(stats.index_bytes);
  json.Key("indexLevel0Files").Number(stats.index_level0_files);
  json.Key("tables").Number(tables).Key("streams").Number(streams);
  json.Key("shards").Number(stats.shards.size()).Key("shardRecords").Number(total.records);
  json.Key("shardBytes").Number(total.bytes).Key("shardSegments").Number(total.segments);
  json.Key("ageMs").Number(stats.age_ms);
  json.Key("downtimePendingMs").Number(stats.downtime_pending_ms);
  json.Key("recovery").BeginObject().Key("cleanClose").Bool(stats.clean_close);
  json.Key("frames").Number(stats.recovered_frames).Key("us").Number(stats.recovery_us);
  json.Key("tornBytes").Number(stats.torn_bytes).EndObject();
  return json.EndObject().Take();
}

void PrintStat(Output& out, const StoreStats& stats, size_t tables, size_t streams) {
  const StreamTotal total = TotalOf(stats);
  out.Line(Format("store      {:016x}, {}, epoch {}, running time {} h", stats.store_id.value,
                  stats.durability == Durability::kSync ? "sync (a write survives power loss)"
                                                        : "buffered (a write survives the process)",
                  stats.epoch.value, stats.age_ms / 3600'000));
  out.Line(Cat("holds      ", Plural(tables, "table"), ", ", Plural(streams, "stream"), ", ",
               Plural(stats.shards.size(), "shard")));
  out.Line(Cat("journal    ", BytesText(stats.journal_disk_bytes), " on disk, ",
               BytesText(stats.journal_live_bytes), " not drained yet"));
  out.Line(Cat("positions  recycled ", stats.recycled.value, "  cut ", stats.cut.value,
               "  fanned out ", stats.fanned_out.value, "  safe ", stats.safe.value, "  durable ",
               stats.durable.value, "  appended ", stats.appended.value));
  out.Line(Cat("items      ", BytesText(stats.index_bytes), " in RocksDB, ",
               Plural(stats.index_level0_files, "file"), " at level 0 at most"));
  out.Line(Cat("streams    ", CountText(total.records), " records ever, ", BytesText(total.bytes),
               " in ", Plural(total.segments, "segment")));
  out.Line(Cat(
      "opening    ", stats.clean_close ? "closed properly before" : "not closed before", "; ",
      Plural(stats.recovered_frames, "frame"), " replayed in ", DurationText(stats.recovery_us),
      stats.torn_bytes > 0 ? Cat(", ", BytesText(stats.torn_bytes), " of an unfinished tail cut")
                           : ""));
  if (stats.downtime_pending_ms > 0) {
    out.Line(Cat("downtime   ", DurationText(stats.downtime_pending_ms * 1000),
                 " not counted as age yet: expiry waits until it is confirmed"));
  }
}

Result<ExitCode> Stat(Context& context) {
  return WithStore(context, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    TAILRACE_ASSIGN_OR_RETURN(const StoreStats stats, store.Stats());
    TAILRACE_ASSIGN_OR_RETURN(const auto tables, store.ListTables());
    TAILRACE_ASSIGN_OR_RETURN(const auto streams, store.ListStreams());
    if (context.options.json) {
      context.out.JsonLine(StatJson(stats, tables.size(), streams.size()));
    } else {
      PrintStat(context.out, stats, tables.size(), streams.size());
    }
    return ExitCode::kOk;
  });
}

}  // namespace

void AddStatCommand(Registry& registry) {
  CLI::App& command = registry.Add(
      registry.root(), "stat", "Print the store's positions and sizes, and what opening it found",
      "Positions are bytes of the journal: recycled <= cut <= fanned out <= safe <= appended.\n"
      "Example: tailrace stat --store /var/lib/games");
  registry.OnRun(command, Stat);
}

}  // namespace tailrace::tools
