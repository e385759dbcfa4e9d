#include "tools/command_line.h"

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>

#include "tools/backup_command.h"
#include "tools/command.h"
#include "tools/consumers_command.h"
#include "tools/crashtest_command.h"
#include "tools/demo_command.h"
#include "tools/dump_command.h"
#include "tools/format.h"
#include "tools/import_command.h"
#include "tools/index_commands.h"
#include "tools/item_commands.h"
#include "tools/journal_command.h"
#include "tools/pages_command.h"
#include "tools/read_command.h"
#include "tools/salvage_command.h"
#include "tools/scan_commands.h"
#include "tools/stat_command.h"
#include "tools/stream_commands.h"
#include "tools/table_commands.h"
#include "tools/text.h"
#include "tools/time_to_live_command.h"
#include "tools/verify_command.h"

namespace tailrace::tools {
namespace {

constexpr char kFooter[] =
    "Try it:\n"
    "  export TAILRACE_STORE=/tmp/games\n"
    "  tailrace tables create UserGames --key game_id:N --stream NEW_AND_OLD_IMAGES\n"
    "  tailrace put UserGames game_id=2345 game_ts=2020-05-09T03:04:05z user_id=sfdsfdf\n"
    "  tailrace dump UserGames\n"
    "\n"
    "Exit codes: 0 done; 1 the answer is no (no such item, a condition refused, damage found); 2 "
    "the command\n"
    "line or the input is wrong; 3 the store is in use by another process; 4 damage is in the "
    "way;\n"
    "5 the disk or the system failed; 6 no such store, table, stream or shard, or not in this "
    "state;\n"
    "130 ended by Ctrl-C.";

void AddGlobalOptions(CLI::App& app, GlobalOptions& options) {
  app.add_option("--store", options.store, "The store's directory")->envname("TAILRACE_STORE");
  app.add_flag("--json", options.json, "Print JSON, one value a line");
  const std::map<std::string, Durability> kDurabilities = {{"sync", Durability::kSync},
                                                           {"buffered", Durability::kBuffered}};
  app.add_option_function<std::string>(
         "--durability",
         [&options, kDurabilities](const std::string& name) {
           options.durability = kDurabilities.at(name);
         },
         "What a write survives: sync (power loss; the default of a new store) or buffered (the "
         "death\n"
         "of the process). A store keeps what it was made with")
      ->check(CLI::IsMember({"sync", "buffered"}));
}

void AddCommands(Registry& registry) {
  AddTableCommands(registry);
  AddIndexCommands(registry);
  AddTimeToLiveCommand(registry);
  AddItemCommands(registry);
  AddScanCommands(registry);
  AddImportCommand(registry);
  AddStreamCommands(registry);
  AddShardsCommand(registry);
  AddReadCommand(registry);
  AddConsumersCommand(registry);
  AddDumpCommand(registry);
  AddJournalCommand(registry);
  AddBackupCommands(registry);
  AddSalvageCommand(registry);
  AddStatCommand(registry);
  AddVerifyCommand(registry);
  AddCrashtestCommand(registry);
  AddDemoCommand(registry);
  AddPagesCommands(registry);
}

// The subcommand that the command line named, for "see --help".
std::string ChosenName(const CLI::App& app) {
  std::string name = "tailrace";
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands()[0];
    name += " " + at->get_name();
  }
  return name;
}

int Exit(ExitCode code) { return static_cast<int>(code); }

// The end of a parse that chose nothing to run: --help, --version, or a mistake.
int ReportParse(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) return app.exit(error);  // Prints the help to standard output.
  std::fprintf(stderr, "tailrace: %s: see `%s --help`\n", EscapeForTerminal(error.what()).c_str(),
               ChosenName(app).c_str());
  return Exit(ExitCode::kUsage);
}

int RunChosen(const Registry& registry, const GlobalOptions& options) {
  Output out(stdout);
  Context context{options, out};
  const Result<ExitCode> result = registry.chosen()(context);
  const Status written = out.Finish();
  if (!result.ok()) return Exit(Report(result.status()));
  if (!written.ok()) return Exit(Report(written));
  return Exit(*result);
}

}  // namespace

int RunCommandLine(int argc, const char* const* argv) {
  std::signal(SIGPIPE, SIG_IGN);  // A reader that goes away is noticed when writing.
  CLI::App app("Tailrace: tables of items whose every change feeds a stream.", "tailrace");
  GlobalOptions options;
  Registry registry(app);
  app.require_subcommand(1);
  app.set_version_flag("--version", "tailrace " TAILRACE_VERSION);
  app.footer(kFooter);
  AddGlobalOptions(app, options);
  AddCommands(registry);
  app.set_help_all_flag("--help-all",
                        "Print the help of every subcommand");  // Last: only the top has it.
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return ReportParse(app, error);
  }
  try {
    return RunChosen(registry, options);
  } catch (const std::bad_alloc&) {
    return Exit(Report(NoSpace("out of memory")));
  }
}

}  // namespace tailrace::tools
