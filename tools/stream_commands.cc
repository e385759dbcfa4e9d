#include "tools/stream_commands.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "tools/format.h"
#include "tools/item_input.h"
#include "tools/json_writer.h"
#include "tools/open_store.h"
#include "tools/stream_choice.h"
#include "tools/text.h"
#include "tools/time_text.h"

namespace tailrace::tools {
namespace {

std::string StreamJson(const StreamInfo& stream) {
  JsonWriter json;
  json.BeginObject().Key("stream").Number(stream.id.value);
  json.Key("table").String(stream.table_name).Key("label").String(stream.label);
  json.Key("view").String(ViewTypeName(stream.view)).Key("enabled").Bool(stream.enabled);
  json.Key("created").String(TimeText(stream.created_ms));
  json.Key("retentionMs").Number(stream.retention_ms);
  json.Key("shards").Number(stream.shards.size());
  return json.EndObject().Take();
}

std::string RetentionText(uint64_t retention_ms) {
  constexpr uint64_t kHourMs = 3600'000;
  return retention_ms % kHourMs == 0 ? Cat(retention_ms / kHourMs, " h")
                                     : Cat(static_cast<double>(retention_ms) / 1000, " s");
}

void PrintStream(Context& context, const StreamInfo& stream) {
  if (context.options.json) {
    context.out.JsonLine(StreamJson(stream));
    return;
  }
  context.out.Line(
      Cat("stream     ", stream.id.value, ", label ", EscapeForTerminal(stream.label)));
  context.out.Line(Cat("table      ", EscapeForTerminal(stream.table_name), " (key ",
                       EscapeForTerminal(KeySchemaText(stream.keys)), ")"));
  context.out.Line(
      Cat("view       ", ViewTypeName(stream.view), stream.enabled ? "" : ", disabled"));
  context.out.Line(Cat("created    ", TimeText(stream.created_ms)));
  context.out.Line(Cat("retention  ", RetentionText(stream.retention_ms)));
  context.out.Line(Cat("shards     ", stream.shards.size(), " (`tailrace shards --stream ",
                       stream.id.value, "` shows them)"));
}

Result<ExitCode> ListStreams(Context& context, const std::string& table) {
  return WithStore(context, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    const auto of_table = table.empty() ? std::nullopt : std::optional<std::string>(table);
    TAILRACE_ASSIGN_OR_RETURN(const auto streams, store.ListStreams(of_table));
    using Align = TextTable::Align;
    TextTable text({{"stream", Align::kRight},
                    {"table"},
                    {"label"},
                    {"view"},
                    {"state"},
                    {"shards", Align::kRight}});
    for (const StreamInfo& stream : streams) {
      if (context.options.json) {
        context.out.JsonLine(StreamJson(stream));
      } else {
        text.Row({std::to_string(stream.id.value), stream.table_name, stream.label,
                  std::string(ViewTypeName(stream.view)), stream.enabled ? "enabled" : "disabled",
                  std::to_string(stream.shards.size())});
      }
    }
    if (!context.options.json && !streams.empty()) text.Print(context.out);
    if (!context.options.json && streams.empty()) context.out.Line("no streams");
    return ExitCode::kOk;
  });
}

Result<ExitCode> EnableStream(Context& context, const std::string& table,
                              const NewStreamArguments& arguments) {
  TAILRACE_ASSIGN_OR_RETURN(const ViewType view, ParseViewType(arguments.view));
  TAILRACE_ASSIGN_OR_RETURN(const StreamOptions options, StreamOptionsOf(arguments));
  return WithStore(context, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    TAILRACE_RETURN_IF_ERROR(FindTable(store, table).status());
    TAILRACE_ASSIGN_OR_RETURN(const StreamInfo stream, store.EnableStream(table, view, options));
    PrintStream(context, stream);
    return ExitCode::kOk;
  });
}

Result<ExitCode> DisableStream(Context& context, const std::string& table) {
  return WithStore(context, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    TAILRACE_RETURN_IF_ERROR(FindTable(store, table).status());
    TAILRACE_RETURN_IF_ERROR(store.DisableStream(table));
    if (!context.options.json) {
      context.out.Line("disabled; its records stay readable until they expire");
    }
    return ExitCode::kOk;
  });
}

Result<ExitCode> DescribeStream(Context& context, const StreamChoice& choice) {
  return WithStore(context, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    TAILRACE_ASSIGN_OR_RETURN(const StreamInfo stream, FindStream(store, choice));
    PrintStream(context, stream);
    return ExitCode::kOk;
  });
}

}  // namespace

void AddStreamCommands(Registry& registry) {
  CLI::App& streams =
      registry.Add(registry.root(), "streams", "List, describe, enable and disable streams",
                   "A table's every change goes to its stream, from the moment one is enabled.\n"
                   "Example: tailrace streams list");
  streams.require_subcommand(1);

  auto listed = std::make_shared<std::string>();
  CLI::App& list = registry.Add(streams, "list", "Print all streams, disabled ones included",
                                "Example: tailrace streams list UserGames");
  list.add_option("table", *listed, "Only those that tables of this name have or had");
  registry.OnRun(list, [listed](Context& context) { return ListStreams(context, *listed); });

  auto described = std::make_shared<StreamChoice>();
  CLI::App& describe = registry.Add(streams, "describe", "Print one stream",
                                    "Example: tailrace streams describe UserGames");
  AddStreamChoice(describe, *described);
  registry.OnRun(describe,
                 [described](Context& context) { return DescribeStream(context, *described); });

  auto enabled = std::make_shared<std::pair<std::string, NewStreamArguments>>();
  CLI::App& enable =
      registry.Add(streams, "enable", "Begin a new stream of a table's changes",
                   "Nothing from before appears in it.\n"
                   "Example: tailrace streams enable UserGames --view NEW_IMAGE --retention 48h");
  enable.add_option("table", enabled->first, "The table")->required();
  enable
      .add_option("--view", enabled->second.view,
                  "KEYS_ONLY, NEW_IMAGE, OLD_IMAGE or NEW_AND_OLD_IMAGES")
      ->required();
  AddNewStreamOptions(enable, enabled->second);
  registry.OnRun(enable, [enabled](Context& context) {
    return EnableStream(context, enabled->first, enabled->second);
  });

  auto disabled = std::make_shared<std::string>();
  CLI::App& disable = registry.Add(streams, "disable", "End a table's stream",
                                   "Example: tailrace streams disable UserGames");
  disable.add_option("table", *disabled, "The table")->required();
  registry.OnRun(disable,
                 [disabled](Context& context) { return DisableStream(context, *disabled); });
}

}  // namespace tailrace::tools
