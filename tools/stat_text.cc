#include "tools/stat_text.h"

#include <cmath>
#include <map>

#include "tools/format.h"
#include "tools/json_writer.h"
#include "tools/text.h"
#include "tools/time_text.h"

namespace tailrace::tools {
namespace {

uint64_t Whole(double number) { return static_cast<uint64_t>(std::llround(number)); }

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

std::string RatesText(const StatRates& rates) {
  return Cat(CountText(Whole(rates.records)), " records/s  ", BytesText(Whole(rates.journal_bytes)),
             "/s of journal  ", Plural(rates.checkpoints, "checkpoint"));
}

}  // namespace

std::optional<StatRates> RatesBetween(const StatLook& before, const StatLook& now) {
  const auto interval =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.at - before.at).count();
  // Positions jump when a store is opened.
  if (interval <= 0 || before.stats.epoch != now.stats.epoch) return std::nullopt;
  StatRates rates;
  rates.interval_ms = static_cast<uint64_t>(interval);
  const double seconds = static_cast<double>(interval) / 1000;
  const auto risen = [](uint64_t from, uint64_t to) { return to > from ? to - from : 0; };
  // Each shard for itself: those that expired take their count with them.
  std::map<ShardId, uint64_t> records_before;
  for (const auto& shard : before.stats.shards) records_before[shard.shard] = shard.records;
  uint64_t records = 0;
  for (const auto& shard : now.stats.shards) {
    records += risen(records_before[shard.shard], shard.records);
  }
  rates.records = static_cast<double>(records) / seconds;
  rates.journal_bytes =
      static_cast<double>(risen(before.stats.appended.value, now.stats.appended.value)) / seconds;
  rates.checkpoints = risen(before.stats.checkpoints, now.stats.checkpoints);
  return rates;
}

std::string StatJson(const StatLook& look, const std::optional<StatRates>& rates) {
  const StoreStats& stats = look.stats;
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
  json.Key("indexCompacting").Bool(stats.index_compacting);
  json.Key("indexLevel0Files").Number(stats.index_level0_files);
  json.Key("tables").Number(look.tables).Key("streams").Number(look.streams);
  json.Key("shards").Number(stats.shards.size()).Key("shardRecords").Number(total.records);
  json.Key("shardBytes").Number(total.bytes).Key("shardSegments").Number(total.segments);
  json.Key("ageMs").Number(stats.age_ms);
  json.Key("downtimePendingMs").Number(stats.downtime_pending_ms);
  json.Key("recovery").BeginObject().Key("cleanClose").Bool(stats.clean_close);
  json.Key("frames").Number(stats.recovered_frames).Key("us").Number(stats.recovery_us);
  json.Key("tornBytes").Number(stats.torn_bytes).EndObject();
  if (rates) {
    json.Key("rates").BeginObject().Key("intervalMs").Number(rates->interval_ms);
    json.Key("recordsPerSecond").Number(Whole(rates->records));
    json.Key("journalBytesPerSecond").Number(Whole(rates->journal_bytes));
    json.Key("checkpoints").Number(rates->checkpoints).EndObject();
  }
  return json.EndObject().Take();
}

void PrintStat(Output& out, const StatLook& look, const std::optional<StatRates>& rates) {
  const StoreStats& stats = look.stats;
  const StreamTotal total = TotalOf(stats);
  out.Line(Format("store      {:016x}, {}, epoch {}, running time {} h", stats.store_id.value,
                  stats.durability == Durability::kSync ? "sync (a write survives power loss)"
                                                        : "buffered (a write survives the process)",
                  stats.epoch.value, stats.age_ms / 3600'000));
  out.Line(Cat("holds      ", Plural(look.tables, "table"), ", ", Plural(look.streams, "stream"),
               ", ", Plural(stats.shards.size(), "shard")));
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
  if (rates) out.Line(Cat("now        ", RatesText(*rates)));
}

std::string StatLine(const StatLook& look, const std::optional<StatRates>& rates) {
  return Cat(
      TimeText(look.stats.wall_ms), "  ", rates ? RatesText(*rates) : std::string("opened anew"),
      "  journal ", BytesText(look.stats.journal_live_bytes), " not drained  streams ",
      BytesText(TotalOf(look.stats).bytes), " in ", Plural(look.stats.shards.size(), "shard"));
}

}  // namespace tailrace::tools
