#include "tools/item_commands.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <iterator>
#include <memory>

#include "engine/table_as_of.h"
#include "shards/sequence_number.h"
#include "tools/bounds.h"
#include "tools/format.h"
#include "tools/item_input.h"
#include "tools/json_writer.h"
#include "tools/open_store.h"
#include "tools/text.h"

namespace tailrace::tools {
namespace {

constexpr char kKeyHelp[] =
    "The key: game_id=2345 (and the sort key, if the table has one), or JSON";

struct ItemArguments {
  std::string table;
  std::vector<std::string> words;
  std::string at;  // Of `get`; empty: now.
  bool if_absent = false;
  bool if_exists = false;
  bool return_old = false;
};

// "-" alone stands for what standard input holds.
Status ReadStandardInput(std::vector<std::string>& words) {
  if (words != std::vector<std::string>{"-"}) return Status::Ok();
  constexpr size_t kBytesMax = 8 << 20;
  std::string text;
  for (char c = '\0'; text.size() <= kBytesMax && std::cin.get(c);) text.push_back(c);
  if (text.size() > kBytesMax) {
    return InvalidArgument(
        "standard input is larger than an item may be: `tailrace import` reads many items");
  }
  words = {std::move(text)};
  return Status::Ok();
}

void PrintItem(Context& context, const Item& item) {
  if (context.options.json) {
    JsonWriter json;
    context.out.JsonLine(json.DynamoDbItem(item).Take());
  } else {
    context.out.Line(ItemText(item));
  }
}

std::string_view OutcomeName(WriteOutcome outcome) {
  switch (outcome) {
    case WriteOutcome::kApplied:
      return "applied";
    case WriteOutcome::kUnchanged:
      return "unchanged";
    case WriteOutcome::kRejected:
      return "refused";
  }
  return {};
}

// What a write did. `refused` says why when the condition said no.
ExitCode PrintWrite(Context& context, const WriteResult& result, std::string_view refused) {
  const bool applied = result.outcome == WriteOutcome::kApplied;
  if (context.options.json) {
    JsonWriter json;
    json.BeginObject().Key("outcome").String(OutcomeName(result.outcome));
    if (applied) json.Key("sequence").String(shards::FormatSequenceNumber(result.sequence));
    if (result.old_item) json.Key("old").DynamoDbItem(*result.old_item);
    context.out.JsonLine(json.EndObject().Take());
  } else if (applied) {
    context.out.Line(
        Cat("applied, sequence number ", shards::FormatSequenceNumber(result.sequence)));
  } else {
    context.out.Line(result.outcome == WriteOutcome::kUnchanged ? "unchanged: it was so already"
                                                                : Cat("refused: ", refused));
  }
  if (!context.options.json && result.old_item) {
    context.out.Line(Cat("old  ", ItemText(*result.old_item)));
  }
  return result.outcome == WriteOutcome::kRejected ? ExitCode::kNo : ExitCode::kOk;
}

Result<std::optional<Item>> GetThen(Store& store, const ItemArguments& arguments, const Item& key) {
  TAILRACE_ASSIGN_OR_RETURN(const Moment moment, ParseMoment(arguments.at));
  TAILRACE_ASSIGN_OR_RETURN(const auto then, TableAsOf::Open(store, arguments.table, moment, {}));
  return then->Get(key);
}

Result<ExitCode> Get(Context& context, const ItemArguments& arguments) {
  return WithStore(context, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    TAILRACE_ASSIGN_OR_RETURN(const TableInfo table, FindTable(store, arguments.table));
    TAILRACE_ASSIGN_OR_RETURN(const Item key, ParseKeyWords(arguments.words, table.keys));
    TAILRACE_ASSIGN_OR_RETURN(const auto item, arguments.at.empty()
                                                   ? store.Get(arguments.table, key)
                                                   : GetThen(store, arguments, key));
    if (!item) {
      std::cerr << (arguments.at.empty() ? "tailrace: no such item\n"
                                         : "tailrace: there was no such item then\n");
      return ExitCode::kNo;
    }
    PrintItem(context, *item);
    return ExitCode::kOk;
  });
}

// --if-absent and --if-exists as a condition.
WriteOptions OptionsOf(const ItemArguments& arguments) {
  WriteOptions options;
  if (arguments.if_absent)
    options.condition = [](const Item* existing) { return existing == nullptr; };
  if (arguments.if_exists)
    options.condition = [](const Item* existing) { return existing != nullptr; };
  if (arguments.return_old) options.return_items = ReturnItems::kOld;
  return options;
}

Result<ExitCode> Put(Context& context, ItemArguments arguments) {
  TAILRACE_RETURN_IF_ERROR(ReadStandardInput(arguments.words));
  return WithStore(context, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    TAILRACE_ASSIGN_OR_RETURN(const TableInfo table, FindTable(store, arguments.table));
    TAILRACE_ASSIGN_OR_RETURN(const Item item, ParseItemWords(arguments.words, table.keys));
    TAILRACE_ASSIGN_OR_RETURN(const WriteResult result,
                              store.Put(arguments.table, item, OptionsOf(arguments)));
    return PrintWrite(
        context, result,
        arguments.if_absent ? "there is an item with this key" : "there is no item with this key");
  });
}

Result<ExitCode> Delete(Context& context, const ItemArguments& arguments) {
  return WithStore(context, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    TAILRACE_ASSIGN_OR_RETURN(const TableInfo table, FindTable(store, arguments.table));
    TAILRACE_ASSIGN_OR_RETURN(const Item key, ParseKeyWords(arguments.words, table.keys));
    TAILRACE_ASSIGN_OR_RETURN(const WriteResult result,
                              store.Delete(arguments.table, key, OptionsOf(arguments)));
    return PrintWrite(context, result, "there is no item with this key");
  });
}

}  // namespace

void AddItemCommands(Registry& registry) {
  auto get = std::make_shared<ItemArguments>();
  CLI::App& get_command =
      registry.Add(registry.root(), "get", "Print one item, as it is or as it was",
                   "Exit code 1 when there is no such item. What was, is known from the table's "
                   "stream: it must\n"
                   "show old images, and reach back to the moment.\n"
                   "Examples: tailrace get UserGames game_id=2345\n"
                   "          tailrace get UserGames game_id=2345 --at 2020-05-09T03:04:05Z");
  get_command.add_option("table", get->table, "The table")->required();
  get_command.add_option("key", get->words, kKeyHelp)->required();
  get_command.add_option("--at", get->at, kAtHelp);
  registry.OnRun(get_command, [get](Context& context) { return Get(context, *get); });

  auto put = std::make_shared<ItemArguments>();
  CLI::App& put_command = registry.Add(
      registry.root(), "put", "Store one item, in place of any with its key",
      "name=value makes a string, except for key attributes, which have the table's type; "
      "name:=JSON makes\n"
      "any value. JSON may be plain or DynamoDB-JSON; - reads it from standard input.\n"
      "Exit code 1 when a condition refused it.\n"
      "Examples: tailrace put UserGames game_id=2345 game_ts=2020-05-09T03:04:05z scores:=[1,2]\n"
      "          tailrace put UserGames '{\"game_id\":{\"N\":\"2345\"}}' --if-absent");
  put_command.add_option("table", put->table, "The table")->required();
  put_command.add_option("item", put->words, "The item: name=value ..., or JSON, or -")->required();
  auto* absent = put_command.add_flag("--if-absent", put->if_absent, "Only if no item has its key");
  put_command.add_flag("--if-exists", put->if_exists, "Only if an item has its key")
      ->excludes(absent);
  put_command.add_flag("--old", put->return_old, "Print the item that was there before");
  registry.OnRun(put_command, [put](Context& context) { return Put(context, *put); });

  auto erase = std::make_shared<ItemArguments>();
  CLI::App& delete_command = registry.Add(registry.root(), "delete", "Delete one item",
                                          "Deleting what is not there changes nothing and is no "
                                          "error; with --if-exists it exits with 1.\n"
                                          "Example: tailrace delete UserGames game_id=1234 --old");
  delete_command.add_option("table", erase->table, "The table")->required();
  delete_command.add_option("key", erase->words, kKeyHelp)->required();
  delete_command.add_flag("--if-exists", erase->if_exists, "Refuse if there is no such item");
  delete_command.add_flag("--old", erase->return_old, "Print the item that was deleted");
  registry.OnRun(delete_command, [erase](Context& context) { return Delete(context, *erase); });
}

}  // namespace tailrace::tools
