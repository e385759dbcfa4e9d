// What the command line understands, as plain data: made from the parser's own tables, so that the
// manual page and the shells' completions cannot lag behind `--help`.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace tailrace::tools {

// An option, a flag or a positional argument.
struct OptionInfo {
  std::vector<std::string> names;    // "--limit", "-n"; empty for a positional argument.
  std::string value;                 // What it takes ("TEXT"); a positional's name; empty: a flag.
  std::vector<std::string> choices;  // What it takes nothing else than, if that is so.
  std::string description;
  std::string environment;  // The variable that stands for it; empty: none.
  bool required = false;
};

// A command or subcommand. Those that are hidden from `--help` are left out.
struct CommandInfo {
  std::string name;
  std::string summary;
  std::string details;  // What follows the options in `--help`.
  std::vector<OptionInfo> options;
  std::vector<OptionInfo> positionals;
  std::vector<CommandInfo> commands;
};

CommandInfo DescribeCommand(const CLI::App& app);

// A command and where it stands.
struct CommandAt {
  std::string path;                 // "" for the top, "/tables", "/tables/create".
  std::vector<OptionInfo> options;  // Also those of the top, which may stand behind every command.
  const CommandInfo* command;
};

// All commands, each before those below it. `root` must outlive the result.
std::vector<CommandAt> AllCommands(const CommandInfo& root);

}  // namespace tailrace::tools
