#include "tools/consumers_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <string>

#include "engine/consumer.h"
#include "shards/sequence_number.h"
#include "tools/format.h"
#include "tools/json_writer.h"
#include "tools/open_store.h"
#include "tools/text.h"
#include "tools/time_text.h"

namespace tailrace::tools {
namespace {

std::string_view StartName(ConsumerStart start) {
  switch (start) {
    case ConsumerStart::kTrimHorizon:
      return "TRIM_HORIZON";
    case ConsumerStart::kLatest:
      return "LATEST";
    case ConsumerStart::kAtTimestamp:
      return "AT_TIMESTAMP";
    case ConsumerStart::kBootstrap:
      return "BOOTSTRAP";
  }
  return "";
}

std::string StateOf(const ConsumerShard& shard) {
  if (shard.blocked_since_ms != 0) return "blocked";
  if (shard.waiting) return "waits for its parent";
  return shard.scanning ? "bootstrapping" : "reading";
}

void AddShardJson(JsonWriter& json, const ConsumerShard& shard) {
  json.BeginObject().Key("shard").Number(shard.shard.value);
  if (!shard.owner.empty()) json.Key("owner").String(shard.owner);
  json.Key("next").String(shards::FormatSequenceNumber(shard.next));
  json.Key("waiting").Bool(shard.waiting).Key("scanning").Bool(shard.scanning);
  json.Key("lagRecords").Number(shard.lag_records).Key("lagBytes").Number(shard.lag_bytes);
  json.Key("lagMs").Number(shard.lag_ms);
  if (shard.blocked_since_ms != 0) {
    json.Key("blockedSince").String(TimeText(shard.blocked_since_ms));
    json.Key("blockedWhy").String(shard.blocked_why);
  }
  json.EndObject();
}

std::string ConsumerJson(const ConsumerInfo& consumer) {
  JsonWriter json;
  json.BeginObject().Key("consumer").String(consumer.name);
  json.Key("table").String(consumer.table_name).Key("stream").Number(consumer.stream.value);
  json.Key("streamExpired").Bool(consumer.stream_expired);
  json.Key("start").String(StartName(consumer.start));
  json.Key("created").String(TimeText(consumer.created_ms));
  json.Key("bootstrapping").Bool(consumer.bootstrapping);
  json.Key("pinBytesMax").Number(consumer.pin_bytes_max);
  json.Key("workers").BeginArray();
  for (const std::string& worker : consumer.workers) json.String(worker);
  json.EndArray().Key("shards").BeginArray();
  for (const ConsumerShard& shard : consumer.shards) AddShardJson(json, shard);
  return json.EndArray().EndObject().Take();
}

std::string LagText(uint64_t lag_ms) { return lag_ms == 0 ? "-" : DurationText(lag_ms * 1000); }

// What all shards lag behind together: records and bytes add up, of times the longest counts.
ConsumerShard Sum(const ConsumerInfo& consumer) {
  ConsumerShard sum;
  for (const ConsumerShard& shard : consumer.shards) {
    sum.lag_records += shard.lag_records;
    sum.lag_bytes += shard.lag_bytes;
    sum.lag_ms = std::max(sum.lag_ms, shard.lag_ms);
    if (shard.blocked_since_ms != 0) ++sum.blocked_since_ms;
  }
  return sum;
}

void PrintConsumers(Context& context, const std::vector<ConsumerInfo>& consumers) {
  using Align = TextTable::Align;
  TextTable text({{"consumer"},
                  {"table"},
                  {"stream", Align::kRight},
                  {"workers", Align::kRight},
                  {"lag records", Align::kRight},
                  {"lag bytes", Align::kRight},
                  {"lag", Align::kRight},
                  {"blocked shards", Align::kRight}});
  for (const ConsumerInfo& consumer : consumers) {
    const ConsumerShard sum = Sum(consumer);
    text.Row({consumer.name, consumer.table_name, std::to_string(consumer.stream.value),
              std::to_string(consumer.workers.size()), CountText(sum.lag_records),
              BytesText(sum.lag_bytes), LagText(sum.lag_ms), CountText(sum.blocked_since_ms)});
  }
  text.Print(context.out);
}

void PrintConsumer(Context& context, const ConsumerInfo& consumer) {
  Output& out = context.out;
  out.Line(Cat("consumer  ", EscapeForTerminal(consumer.name)));
  out.Line(Cat("reads     stream ", consumer.stream.value, " of table ",
               EscapeForTerminal(consumer.table_name),
               consumer.stream_expired ? ", which has expired" : ""));
  out.Line(Cat("began     ", TimeText(consumer.created_ms), ", ", StartName(consumer.start),
               consumer.bootstrapping ? ", items are still to be shown" : ""));
  if (consumer.pin_bytes_max != 0) {
    out.Line(Cat("keeps     what it has not read, up to ", BytesText(consumer.pin_bytes_max)));
  }
  std::string workers;
  for (const std::string& worker : consumer.workers) {
    workers += (workers.empty() ? "" : ", ") + EscapeForTerminal(worker);
  }
  out.Line(Cat("workers   ", workers.empty() ? "none" : workers));
  using Align = TextTable::Align;
  TextTable text({{"shard", Align::kRight},
                  {"worker"},
                  {"state"},
                  {"next"},
                  {"lag records", Align::kRight},
                  {"lag bytes", Align::kRight},
                  {"lag", Align::kRight}});
  for (const ConsumerShard& shard : consumer.shards) {
    text.Row({std::to_string(shard.shard.value), shard.owner, StateOf(shard),
              shards::FormatSequenceNumber(shard.next), CountText(shard.lag_records),
              BytesText(shard.lag_bytes), LagText(shard.lag_ms)});
  }
  if (!consumer.shards.empty()) text.Print(out, "  ");
  for (const ConsumerShard& shard : consumer.shards) {
    if (shard.blocked_since_ms == 0) continue;
    out.Line(Cat("  shard ", shard.shard.value, " is blocked since ",
                 TimeText(shard.blocked_since_ms), ": ", EscapeForTerminal(shard.blocked_why)));
  }
}

Result<ExitCode> List(Context& context) {
  return WithStore(context, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    TAILRACE_ASSIGN_OR_RETURN(const auto consumers, ListConsumers(store));
    if (context.options.json) {
      for (const ConsumerInfo& each : consumers) context.out.JsonLine(ConsumerJson(each));
    } else if (consumers.empty()) {
      context.out.Line("no consumers");
    } else {
      PrintConsumers(context, consumers);
    }
    return ExitCode::kOk;
  });
}

Result<ExitCode> Describe(Context& context, const std::string& name) {
  return WithStore(context, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    TAILRACE_ASSIGN_OR_RETURN(const ConsumerInfo consumer, DescribeConsumer(store, name));
    if (context.options.json) {
      context.out.JsonLine(ConsumerJson(consumer));
    } else {
      PrintConsumer(context, consumer);
    }
    return ExitCode::kOk;
  });
}

Result<ExitCode> Forget(Context& context, const std::string& name) {
  return WithStore(context, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    TAILRACE_RETURN_IF_ERROR(ForgetConsumer(store, name));
    return ExitCode::kOk;
  });
}

}  // namespace

void AddConsumersCommand(Registry& registry) {
  CLI::App& consumers =
      registry.Add(registry.root(), "consumers", "List, describe and forget durable consumers",
                   "A consumer is a named reader of a stream whose position is kept in the store.\n"
                   "Example: tailrace consumers list");
  consumers.require_subcommand(1);

  CLI::App& list =
      registry.Add(consumers, "list", "Print all consumers and how far behind they are",
                   "Example: tailrace consumers list --json");
  registry.OnRun(list, [](Context& context) { return List(context); });

  auto described = std::make_shared<std::string>();
  CLI::App& describe = registry.Add(consumers, "describe", "Print one consumer, shard by shard",
                                    "Example: tailrace consumers describe totals");
  describe.add_option("consumer", *described, "The consumer")->required();
  registry.OnRun(describe, [described](Context& context) { return Describe(context, *described); });

  auto forgotten = std::make_shared<std::string>();
  CLI::App& forget =
      registry.Add(consumers, "forget", "Remove a consumer with its positions",
                   "What was kept for its sake expires. The next one under this name begins anew.\n"
                   "Example: tailrace consumers forget totals");
  forget.add_option("consumer", *forgotten, "The consumer")->required();
  registry.OnRun(forget, [forgotten](Context& context) { return Forget(context, *forgotten); });
}

}  // namespace tailrace::tools
