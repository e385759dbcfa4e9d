#include "tools/scan_commands.h"

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <iostream>
#include <memory>

#include "engine/table_as_of.h"
#include "tools/bounds.h"
#include "tools/dynamodb_json.h"
#include "tools/format.h"
#include "tools/item_input.h"
#include "tools/json_writer.h"
#include "tools/open_store.h"
#include "tools/text.h"

namespace tailrace::tools {
namespace {

struct PageArguments {
  std::string table;
  uint64_t limit = 0;  // 0: none.
  std::string start_after;
  std::string index;  // Empty: the table.
  std::string at;     // Of `scan`; empty: now.
  uint32_t segment = 0;
  uint32_t segments = 1;
  bool count_only = false;
};

// The next page, at most `items_max` items, after this key.
using NextPage =
    std::function<Result<ItemPage>(const std::optional<Item>& after, uint32_t items_max)>;

// Prints items page by page until the end, the limit, or nobody reads any more.
Result<ExitCode> PrintPages(Context& context, const PageArguments& arguments,
                            const NextPage& next) {
  constexpr uint32_t kPageItemsMax = 1000;
  std::optional<Item> after;
  if (!arguments.start_after.empty()) {
    TAILRACE_ASSIGN_OR_RETURN(after, ParseItem(arguments.start_after));
  }
  WatchInterrupts();
  uint64_t count = 0;
  bool more = true;
  while (more && !context.out.broken() && !Interrupted()) {
    const uint64_t left = arguments.limit == 0 ? kPageItemsMax : arguments.limit - count;
    if (left == 0) break;
    TAILRACE_ASSIGN_OR_RETURN(
        const ItemPage page,
        next(after, static_cast<uint32_t>(std::min<uint64_t>(left, kPageItemsMax))));
    count += page.items.size();
    for (const Item& item : page.items) {
      if (arguments.count_only) continue;
      if (context.options.json) {
        context.out.JsonLine(ItemToDynamoDbJson(item));
      } else {
        context.out.Line(ItemText(item));
      }
    }
    after = page.last_key;
    more = after.has_value();
  }
  if (arguments.count_only) {
    JsonWriter json;
    json.BeginObject().Key("items").Number(count).EndObject();
    context.out.Line(context.options.json ? json.Take() : std::to_string(count));
  } else if (more && after && !context.out.broken()) {
    context.out.Flush();
    std::cerr << "tailrace: there is more; go on with --start-after '"
              << EscapeJsonLine(ItemToDynamoDbJson(*after)) << "'\n";
  }
  return Interrupted() ? ExitCode::kInterrupted : ExitCode::kOk;
}

Result<ExitCode> Scan(Context& context, const PageArguments& arguments) {
  return WithStore(context, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    TAILRACE_RETURN_IF_ERROR(FindTable(store, arguments.table).status());
    std::unique_ptr<TableAsOf> then;
    if (!arguments.at.empty()) {
      TAILRACE_ASSIGN_OR_RETURN(const Moment moment, ParseMoment(arguments.at));
      TAILRACE_ASSIGN_OR_RETURN(then, TableAsOf::Open(store, arguments.table, moment, {}));
    }
    return PrintPages(context, arguments,
                      [&](const std::optional<Item>& after, uint32_t items_max) {
                        const ScanRequest request{.items_max = items_max,
                                                  .start_after = after,
                                                  .index = arguments.index,
                                                  .segment = arguments.segment,
                                                  .total_segments = arguments.segments};
                        return then ? then->Scan(request) : store.Scan(arguments.table, request);
                      });
  });
}

struct QueryArguments {
  PageArguments page;
  std::string partition;
  std::string equal, less, less_or_equal, greater, greater_or_equal, begins_with;
  std::vector<std::string> between;
  bool reverse = false;
};

// The condition that the options ask for; at most one of them is set. kAny when none is.
Result<SortCondition> SortConditionOf(const QueryArguments& arguments, const KeySchema& keys) {
  using Kind = SortCondition::Kind;
  const std::pair<Kind, const std::string*> operands[] = {
      {Kind::kEqual, &arguments.equal},
      {Kind::kLess, &arguments.less},
      {Kind::kLessOrEqual, &arguments.less_or_equal},
      {Kind::kGreater, &arguments.greater},
      {Kind::kGreaterOrEqual, &arguments.greater_or_equal},
      {Kind::kBeginsWith, &arguments.begins_with},
  };
  SortCondition condition;
  const std::string* text = nullptr;
  for (const auto& [kind, operand] : operands) {
    if (operand->empty()) continue;
    condition.kind = kind;
    text = operand;
  }
  if (!arguments.between.empty()) {
    condition.kind = Kind::kBetween;
    text = &arguments.between[0];
  }
  if (text == nullptr) return condition;
  if (!keys.sort) {
    return InvalidArgument(Cat("'", arguments.page.table, "' has no sort key there: the key is ",
                               KeySchemaText(keys)));
  }
  TAILRACE_ASSIGN_OR_RETURN(condition.value, ParseScalar(*text, keys.sort->type));
  if (condition.kind == Kind::kBetween) {
    TAILRACE_ASSIGN_OR_RETURN(condition.upper, ParseScalar(arguments.between[1], keys.sort->type));
  }
  return condition;
}

// The key of the table, or of its index.
Result<KeySchema> FindKeys(const TableInfo& table, const std::string& index) {
  if (index.empty()) return table.keys;
  for (const IndexInfo& info : table.indexes) {
    if (info.spec.name == index) return info.spec.keys;
  }
  return NotFound(Cat("table '", table.name, "' has no index '", index, "'"));
}

Result<ExitCode> Query(Context& context, const QueryArguments& arguments) {
  return WithStore(context, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    TAILRACE_ASSIGN_OR_RETURN(const TableInfo table, FindTable(store, arguments.page.table));
    TAILRACE_ASSIGN_OR_RETURN(const KeySchema keys, FindKeys(table, arguments.page.index));
    TAILRACE_ASSIGN_OR_RETURN(const Value partition,
                              ParseScalar(arguments.partition, keys.partition.type));
    QueryRequest request{.partition = partition, .forward = !arguments.reverse};
    request.index = arguments.page.index;
    TAILRACE_ASSIGN_OR_RETURN(request.sort, SortConditionOf(arguments, keys));
    return PrintPages(context, arguments.page,
                      [&](const std::optional<Item>& after, uint32_t items_max) {
                        request.items_max = items_max;
                        request.start_after = after;
                        return store.Query(arguments.page.table, request);
                      });
  });
}

void AddPageOptions(CLI::App& command, PageArguments& arguments) {
  command.add_option("--limit", arguments.limit, "Print at most so many items")
      ->check(CLI::PositiveNumber);
  command.add_option("--start-after", arguments.start_after,
                     "Go on after the item with this key (JSON, as an earlier run printed it)");
  command.add_flag("--count", arguments.count_only, "Print only how many there are");
  command.add_option("--index", arguments.index, "Read this index of the table");
}

void AddQueryCommand(Registry& registry) {
  auto query = std::make_shared<QueryArguments>();
  CLI::App& command = registry.Add(
      registry.root(), "query", "Print the items of one partition in the order of their sort keys",
      "At most one condition on the sort key. The exit code is 0 also when nothing is found.\n"
      "Example: tailrace query Packages bash --begins-with 5. --reverse --limit 1");
  command.add_option("table", query->page.table, "The table")->required();
  command.add_option("partition", query->partition, "The partition key's value")->required();
  CLI::Option_group& conditions = *command.add_option_group("Condition on the sort key");
  conditions.add_option("--eq", query->equal, "Equal to");
  conditions.add_option("--lt", query->less, "Below");
  conditions.add_option("--le", query->less_or_equal, "At or below");
  conditions.add_option("--gt", query->greater, "Above");
  conditions.add_option("--ge", query->greater_or_equal, "At or above");
  conditions.add_option("--between", query->between, "From one value to another, both included")
      ->expected(2);
  conditions.add_option("--begins-with", query->begins_with, "Beginning with (S and B)");
  conditions.require_option(0, 1);
  command.add_flag("--reverse", query->reverse, "From the highest sort key down");
  AddPageOptions(command, query->page);
  registry.OnRun(command, [query](Context& context) { return Query(context, *query); });
}

}  // namespace

void AddScanCommands(Registry& registry) {
  auto scan = std::make_shared<PageArguments>();
  CLI::App& command = registry.Add(
      registry.root(), "scan", "Print all items of a table, in the order of their keys' hashes",
      "With --json each line is an item in DynamoDB-JSON, which `tailrace import` reads.\n"
      "Example: tailrace scan UserGames --limit 10");
  command.add_option("table", scan->table, "The table")->required();
  AddPageOptions(command, *scan);
  command.add_option("--at", scan->at, kAtHelp);
  command.add_option("--segment", scan->segment, "Only part N of --segments, counted from 0");
  command.add_option("--segments", scan->segments,
                     "How many parts the table is read in, by several commands");
  registry.OnRun(command, [scan](Context& context) { return Scan(context, *scan); });
  AddQueryCommand(registry);
}

}  // namespace tailrace::tools
