#include "tools/time_to_live_command.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "tools/format.h"
#include "tools/json_writer.h"
#include "tools/open_store.h"
#include "tools/text.h"

namespace tailrace::tools {
namespace {

struct Arguments {
  std::string table;
  std::string attribute;  // Empty: leave it as it is.
  bool off = false;
  bool sweep = false;
};

void PrintTimeToLive(Context& context, const TableInfo& table) {
  const auto& attribute = table.time_to_live_attribute;
  if (context.options.json) {
    JsonWriter json;
    json.BeginObject().Key("table").String(table.name);
    json.Key("enabled").Bool(attribute.has_value());
    if (attribute) json.Key("attribute").String(*attribute);
    context.out.JsonLine(json.EndObject().Take());
  } else {
    context.out.Line(attribute ? Cat("items expire by ", EscapeForTerminal(*attribute))
                               : std::string("items do not expire"));
  }
}

Result<ExitCode> TimeToLive(Context& context, const Arguments& arguments) {
  return WithStore(context, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    TAILRACE_RETURN_IF_ERROR(FindTable(store, arguments.table).status());
    if (arguments.off) {
      TAILRACE_RETURN_IF_ERROR(store.UpdateTimeToLive(arguments.table, std::nullopt));
    } else if (!arguments.attribute.empty()) {
      TAILRACE_RETURN_IF_ERROR(store.UpdateTimeToLive(arguments.table, arguments.attribute));
    }
    if (arguments.sweep) TAILRACE_RETURN_IF_ERROR(store.RunMaintenance());
    TAILRACE_ASSIGN_OR_RETURN(const TableInfo table, FindTable(store, arguments.table));
    PrintTimeToLive(context, table);
    return ExitCode::kOk;
  });
}

}  // namespace

void AddTimeToLiveCommand(Registry& registry) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App& command = registry.Add(
      registry.root(), "ttl", "Show or set by which attribute a table's items expire",
      "An item expires when the Number in the attribute, seconds since 1970, lies in the past. A\n"
      "store that is open deletes expired items by itself, within a minute or so.\n"
      "Example: tailrace ttl Sessions --attribute expires_at");
  command.add_option("table", arguments->table, "The table")->required();
  CLI::Option* attribute =
      command.add_option("--attribute", arguments->attribute, "Let items expire by this attribute");
  command.add_flag("--off", arguments->off, "Let items expire no more")->excludes(attribute);
  command.add_flag("--sweep", arguments->sweep,
                   "Delete what has expired, in all tables, before the command ends");
  registry.OnRun(command,
                 [arguments](Context& context) { return TimeToLive(context, *arguments); });
}

}  // namespace tailrace::tools
