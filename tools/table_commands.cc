#include "tools/table_commands.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "tools/format.h"
#include "tools/index_text.h"
#include "tools/item_input.h"
#include "tools/json_writer.h"
#include "tools/open_store.h"
#include "tools/stream_choice.h"
#include "tools/text.h"
#include "tools/time_text.h"

namespace tailrace::tools {
namespace {

std::string StreamText(const TableInfo& table) {
  if (table.stream_view) return std::string(ViewTypeName(*table.stream_view));
  return table.latest_stream ? "disabled" : "none";
}

void WriteKeyAttribute(JsonWriter& json, const KeyAttribute& attribute) {
  json.BeginObject().Key("name").String(attribute.name);
  json.Key("type").String(ScalarTypeName(attribute.type)).EndObject();
}

std::string TableJson(const TableInfo& table) {
  JsonWriter json;
  json.BeginObject().Key("table").String(table.name).Key("id").Number(table.id.value);
  json.Key("partition");
  WriteKeyAttribute(json, table.keys.partition);
  if (table.keys.sort) {
    json.Key("sort");
    WriteKeyAttribute(json, *table.keys.sort);
  }
  json.Key("created").String(TimeText(table.created_ms));
  json.Key("streamEnabled").Bool(table.stream_view.has_value());
  if (table.stream_view) json.Key("streamView").String(ViewTypeName(*table.stream_view));
  if (table.latest_stream) {
    json.Key("latestStream").Number(table.latest_stream->value);
    json.Key("latestStreamLabel").String(table.latest_stream_label);
  }
  if (table.time_to_live_attribute) {
    json.Key("timeToLiveAttribute").String(*table.time_to_live_attribute);
  }
  if (!table.indexes.empty()) {
    json.Key("indexes");
    WriteIndexes(json, table.indexes);
  }
  return json.EndObject().Take();
}

void PrintTable(Context& context, const TableInfo& table) {
  if (context.options.json) {
    context.out.JsonLine(TableJson(table));
    return;
  }
  context.out.Line(
      Cat("table    ", EscapeForTerminal(table.name), " (number ", table.id.value, ")"));
  context.out.Line(Cat("key      ", EscapeForTerminal(KeySchemaText(table.keys))));
  context.out.Line(Cat("created  ", TimeText(table.created_ms)));
  context.out.Line(Cat("stream   ", StreamText(table)));
  if (table.latest_stream) {
    context.out.Line(Cat("         newest: number ", table.latest_stream->value, ", label ",
                         EscapeForTerminal(table.latest_stream_label)));
  }
  if (table.time_to_live_attribute) {
    context.out.Line(Cat("expires  by ", EscapeForTerminal(*table.time_to_live_attribute)));
  }
  for (const IndexInfo& index : table.indexes) {
    context.out.Line(Cat("index    ", EscapeForTerminal(IndexText(index))));
  }
}

Result<ExitCode> ListTables(Context& context) {
  return WithStore(context, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    TAILRACE_ASSIGN_OR_RETURN(const auto tables, store.ListTables());
    TextTable text({{"table"}, {"key"}, {"created"}, {"stream"}});
    for (const TableInfo& table : tables) {
      if (context.options.json) {
        context.out.JsonLine(TableJson(table));
      } else {
        text.Row(
            {table.name, KeySchemaText(table.keys), TimeText(table.created_ms), StreamText(table)});
      }
    }
    if (!context.options.json && !tables.empty()) text.Print(context.out);
    if (!context.options.json && tables.empty()) context.out.Line("no tables");
    return ExitCode::kOk;
  });
}

struct CreateArguments {
  std::string table, key, sort;
  std::vector<std::string> indexes, local_indexes;
  NewStreamArguments stream;
};

Result<ExitCode> CreateTable(Context& context, const CreateArguments& arguments) {
  TableSpec spec;
  spec.name = arguments.table;
  TAILRACE_ASSIGN_OR_RETURN(spec.keys, ParseKeySchema(arguments.key, arguments.sort));
  TAILRACE_RETURN_IF_ERROR(ValidateKeySchema(spec.keys));
  TAILRACE_RETURN_IF_ERROR(ValidateTableName(spec.name));
  for (const std::string& text : arguments.indexes) {
    TAILRACE_ASSIGN_OR_RETURN(IndexSpec index, ParseGlobalIndex(text));
    spec.indexes.push_back(std::move(index));
  }
  for (const std::string& text : arguments.local_indexes) {
    TAILRACE_ASSIGN_OR_RETURN(IndexSpec index, ParseLocalIndex(text, spec.keys));
    spec.indexes.push_back(std::move(index));
  }
  TAILRACE_ASSIGN_OR_RETURN(const StreamOptions options, StreamOptionsOf(arguments.stream));
  const bool plain = options.shards == 0 && options.retention_ms == 0;
  std::optional<ViewType> view;
  if (!arguments.stream.view.empty()) {
    TAILRACE_ASSIGN_OR_RETURN(view, ParseViewType(arguments.stream.view));
  } else if (!plain) {
    return InvalidArgument("--shards and --retention are about a stream: add --stream VIEW");
  }
  if (plain) spec.stream = view;
  return WithStore(context, MayCreate::kYes, [&](Store& store) -> Result<ExitCode> {
    TAILRACE_RETURN_IF_ERROR(store.CreateTable(spec).status());
    if (view && !plain) {
      TAILRACE_RETURN_IF_ERROR(store.EnableStream(spec.name, *view, options).status());
    }
    TAILRACE_ASSIGN_OR_RETURN(const TableInfo table, store.DescribeTable(spec.name));
    PrintTable(context, table);
    return ExitCode::kOk;
  });
}

Result<ExitCode> DescribeTable(Context& context, const std::string& name) {
  return WithStore(context, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    TAILRACE_ASSIGN_OR_RETURN(const TableInfo table, FindTable(store, name));
    PrintTable(context, table);
    return ExitCode::kOk;
  });
}

Result<ExitCode> DropTable(Context& context, const std::string& name) {
  return WithStore(context, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    TAILRACE_RETURN_IF_ERROR(FindTable(store, name).status());
    TAILRACE_RETURN_IF_ERROR(store.DropTable(name));
    if (!context.options.json) {
      context.out.Line(Cat("dropped ", EscapeForTerminal(name),
                           "; its stream, if it had one, stays readable until its records expire"));
    }
    return ExitCode::kOk;
  });
}

void AddCreate(Registry& registry, CLI::App& tables) {
  auto create = std::make_shared<CreateArguments>();
  CLI::App& command = registry.Add(
      tables, "create", "Make a table, and the store if there is none yet",
      "A key attribute is a name and its type: S (string), N (number) or B (binary).\n"
      "Example: tailrace tables create UserGames --key game_id:N --stream NEW_AND_OLD_IMAGES");
  command.add_option("table", create->table, "Its name: 3 to 255 of a-z A-Z 0-9 _ . -")->required();
  command.add_option("--key", create->key, "The partition key, such as game_id:N")->required();
  command.add_option("--sort", create->sort, "The sort key, such as ts:S");
  command
      .add_option(
          "--index", create->indexes,
          "A global index: NAME=KEY[,SORT KEY][/PROJECTION], such as by_user=user:S,at:N or\n"
          "by_user=user:S/KEYS_ONLY or by_user=user:S/INCLUDE:title,length; repeatable")
      ->allow_extra_args(false);
  command
      .add_option("--local-index", create->local_indexes,
                  "A local index: NAME=SORT KEY[/PROJECTION]; repeatable")
      ->allow_extra_args(false);
  command.add_option("--stream", create->stream.view,
                     "Enable a stream: KEYS_ONLY, NEW_IMAGE, OLD_IMAGE or NEW_AND_OLD_IMAGES");
  AddNewStreamOptions(command, create->stream);
  registry.OnRun(command, [create](Context& context) { return CreateTable(context, *create); });
}

}  // namespace

void AddTableCommands(Registry& registry) {
  CLI::App& tables =
      registry.Add(registry.root(), "tables", "List, describe, create and drop tables",
                   "Example: tailrace tables list");
  tables.require_subcommand(1);
  CLI::App& list =
      registry.Add(tables, "list", "Print all tables", "Example: tailrace tables list");
  registry.OnRun(list, ListTables);
  AddCreate(registry, tables);

  auto described = std::make_shared<std::string>();
  CLI::App& describe = registry.Add(tables, "describe", "Print one table's key, stream and age",
                                    "Example: tailrace tables describe UserGames --json");
  describe.add_option("table", *described, "The table")->required();
  registry.OnRun(describe,
                 [described](Context& context) { return DescribeTable(context, *described); });

  auto dropped = std::make_shared<std::string>();
  CLI::App& drop = registry.Add(tables, "drop", "Drop a table and its items",
                                "There is no question and no way back.\n"
                                "Example: tailrace tables drop UserGames");
  drop.add_option("table", *dropped, "The table")->required();
  registry.OnRun(drop, [dropped](Context& context) { return DropTable(context, *dropped); });
}

}  // namespace tailrace::tools
