#include "tools/index_commands.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "tools/format.h"
#include "tools/index_text.h"
#include "tools/item_input.h"
#include "tools/json_writer.h"
#include "tools/open_store.h"
#include "tools/text.h"

namespace tailrace::tools {
namespace {

struct CreateArguments {
  std::string table, name, key, sort;
  std::string projection = "ALL";
  std::vector<std::string> included;
};

void PrintIndexes(Context& context, const TableInfo& table) {
  if (context.options.json) {
    JsonWriter json;
    json.BeginObject().Key("table").String(table.name).Key("indexes");
    WriteIndexes(json, table.indexes);
    context.out.JsonLine(json.EndObject().Take());
    return;
  }
  for (const IndexInfo& index : table.indexes) {
    context.out.Line(EscapeForTerminal(IndexText(index)));
  }
  if (table.indexes.empty()) context.out.Line("no indexes");
}

Result<ExitCode> ListIndexes(Context& context, const std::string& name) {
  return WithStore(context, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    TAILRACE_ASSIGN_OR_RETURN(const TableInfo table, FindTable(store, name));
    PrintIndexes(context, table);
    return ExitCode::kOk;
  });
}

Result<ExitCode> CreateIndex(Context& context, const CreateArguments& arguments) {
  IndexSpec spec;
  spec.name = arguments.name;
  TAILRACE_ASSIGN_OR_RETURN(spec.keys, ParseKeySchema(arguments.key, arguments.sort));
  TAILRACE_ASSIGN_OR_RETURN(spec.projection, ParseProjection(arguments.projection));
  spec.included = arguments.included;
  return WithStore(context, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    TAILRACE_RETURN_IF_ERROR(FindTable(store, arguments.table).status());
    TAILRACE_RETURN_IF_ERROR(store.CreateIndex(arguments.table, spec).status());
    // Fills it before the command ends.
    TAILRACE_RETURN_IF_ERROR(store.RunMaintenance());
    TAILRACE_ASSIGN_OR_RETURN(const TableInfo table, FindTable(store, arguments.table));
    PrintIndexes(context, table);
    return ExitCode::kOk;
  });
}

struct DropArguments {
  std::string table, name;
};

Result<ExitCode> DropIndex(Context& context, const DropArguments& arguments) {
  return WithStore(context, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    TAILRACE_RETURN_IF_ERROR(FindTable(store, arguments.table).status());
    TAILRACE_RETURN_IF_ERROR(store.DropIndex(arguments.table, arguments.name));
    if (!context.options.json) {
      context.out.Line(Cat("dropped ", EscapeForTerminal(arguments.name)));
    }
    return ExitCode::kOk;
  });
}

void AddCreate(Registry& registry, CLI::App& indexes) {
  auto create = std::make_shared<CreateArguments>();
  CLI::App& command = registry.Add(
      indexes, "create", "Make a global index of a table, and fill it",
      "An item is in the index if it has the index's key attributes with their types. Local "
      "indexes\n"
      "are made with their table: tailrace tables create --local-index.\n"
      "Example: tailrace indexes create UserGames by_user --key user_id:S --projection KEYS_ONLY");
  command.add_option("table", create->table, "The table")->required();
  command.add_option("name", create->name, "The index's name: 3 to 255 of a-z A-Z 0-9 _ . -")
      ->required();
  command.add_option("--key", create->key, "The partition key, such as user_id:S")->required();
  command.add_option("--sort", create->sort, "The sort key, such as ts:S");
  command.add_option("--projection", create->projection,
                     "What entries hold: ALL, KEYS_ONLY or INCLUDE (with --include)");
  command.add_option("--include", create->included, "An attribute besides the keys; repeatable")
      ->allow_extra_args(false);
  registry.OnRun(command, [create](Context& context) { return CreateIndex(context, *create); });
}

}  // namespace

void AddIndexCommands(Registry& registry) {
  CLI::App& indexes = registry.Add(registry.root(), "indexes", "List, create and drop indexes",
                                   "`tailrace query` and `tailrace scan` read one with --index.\n"
                                   "Example: tailrace indexes list UserGames");
  indexes.require_subcommand(1);
  auto listed = std::make_shared<std::string>();
  CLI::App& list = registry.Add(indexes, "list", "Print a table's indexes",
                                "Example: tailrace indexes list UserGames --json");
  list.add_option("table", *listed, "The table")->required();
  registry.OnRun(list, [listed](Context& context) { return ListIndexes(context, *listed); });
  AddCreate(registry, indexes);
  auto dropped = std::make_shared<DropArguments>();
  CLI::App& drop = registry.Add(indexes, "drop", "Drop a global index",
                                "Example: tailrace indexes drop UserGames by_user");
  drop.add_option("table", dropped->table, "The table")->required();
  drop.add_option("name", dropped->name, "The index")->required();
  registry.OnRun(drop, [dropped](Context& context) { return DropIndex(context, *dropped); });
}

}  // namespace tailrace::tools
