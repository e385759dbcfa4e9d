#include "tools/stat_command.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "tools/open_store.h"
#include "tools/stat_text.h"
#include "tools/stat_watch.h"
#include "tools/time_text.h"

namespace tailrace::tools {
namespace {

struct StatArguments {
  bool watch = false;
  std::string interval;
  uint64_t looks_max = 0;  // 0: until Ctrl-C.
};

Result<StatLook> Look(Context& context) {
  StatLook look;
  const auto looked = WithStore(context, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    TAILRACE_ASSIGN_OR_RETURN(look.stats, store.Stats());
    look.at = std::chrono::steady_clock::now();
    TAILRACE_ASSIGN_OR_RETURN(const auto tables, store.ListTables());
    TAILRACE_ASSIGN_OR_RETURN(const auto streams, store.ListStreams());
    look.tables = tables.size();
    look.streams = streams.size();
    return ExitCode::kOk;
  });
  TAILRACE_RETURN_IF_ERROR(looked.status());
  return look;
}

Result<ExitCode> Stat(Context& context, const StatArguments& arguments) {
  if (arguments.watch) {
    WatchArguments watch{.looks_max = arguments.looks_max};
    if (!arguments.interval.empty()) {
      TAILRACE_ASSIGN_OR_RETURN(watch.interval_ms, ParseDuration(arguments.interval));
    }
    return WatchStat(context, watch, [&] { return Look(context); });
  }
  TAILRACE_ASSIGN_OR_RETURN(const StatLook look, Look(context));
  if (context.options.json) {
    context.out.JsonLine(StatJson(look, std::nullopt));
  } else {
    PrintStat(context.out, look, std::nullopt);
  }
  return ExitCode::kOk;
}

}  // namespace

void AddStatCommand(Registry& registry) {
  auto arguments = std::make_shared<StatArguments>();
  CLI::App& command = registry.Add(
      registry.root(), "stat", "Print the store's positions and sizes, and what opening it found",
      "Positions are bytes of the journal: recycled <= cut <= fanned out <= safe <= appended.\n"
      "--watch looks again and again and adds what went on in between, a second. On a terminal it "
      "redraws\n"
      "its lines in place, elsewhere each look is a line.\n"
      "Examples: tailrace stat --store /var/lib/games\n"
      "          tailrace stat --watch --interval 5s");
  auto* watch = command.add_flag("--watch", arguments->watch, "Look again and again, until Ctrl-C");
  command.add_option("--interval", arguments->interval, "Between two looks, such as 5s (2s)")
      ->needs(watch);
  command.add_option("--count", arguments->looks_max, "Look so many times")
      ->check(CLI::PositiveNumber)
      ->needs(watch);
  registry.OnRun(command, [arguments](Context& context) { return Stat(context, *arguments); });
}

}  // namespace tailrace::tools
