#include "tools/command_tree.h"

#include <CLI/App.hpp>
#include <algorithm>
#include <sstream>

namespace tailrace::tools {
namespace {

// {"sync", "buffered"} from "TEXT:{sync,buffered}".
std::vector<std::string> ChoicesOf(const std::string& type) {
  std::vector<std::string> choices;
  const size_t begin = type.find('{');
  const size_t end = type.rfind('}');
  if (begin == std::string::npos || end == std::string::npos) return choices;
  std::istringstream listed(type.substr(begin + 1, end - begin - 1));
  for (std::string choice; std::getline(listed, choice, ',');) choices.push_back(choice);
  return choices;
}

OptionInfo DescribeOption(const CLI::Option& option) {
  OptionInfo info;
  for (const std::string& name : option.get_lnames()) info.names.push_back("--" + name);
  for (const std::string& name : option.get_snames()) info.names.push_back("-" + name);
  const std::string type = option.get_type_name();
  if (option.get_positional()) {
    info.value = option.get_name(true);
  } else if (option.get_items_expected_max() > 0) {
    info.value = type.substr(0, type.find(':'));
  }
  info.choices = ChoicesOf(type);
  info.description = option.get_description();
  std::replace(info.description.begin(), info.description.end(), '\n', ' ');
  info.environment = option.get_envname();
  info.required = option.get_required();
  return info;
}

void AddOptions(const CLI::App& app, CommandInfo& info) {
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;
    (option->get_positional() ? info.positionals : info.options).push_back(DescribeOption(*option));
  }
}

void Collect(const CommandInfo& command, const std::string& path,
             const std::vector<OptionInfo>& everywhere, std::vector<CommandAt>& found) {
  CommandAt at{path, command.options, &command};
  at.options.insert(at.options.end(), everywhere.begin(), everywhere.end());
  found.push_back(std::move(at));
  for (const CommandInfo& below : command.commands) {
    Collect(below, path + "/" + below.name, everywhere, found);
  }
}

// Options that only the command itself understands, not those below it.
bool IsLocal(const OptionInfo& option) {
  const auto& names = option.names;
  return std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name == "--help" || name == "--help-all" || name == "--version";
  });
}

}  // namespace

CommandInfo DescribeCommand(const CLI::App& app) {
  CommandInfo info{.name = app.get_name(),
                   .summary = app.get_description(),
                   .details = app.get_footer(),
                   .options = {},
                   .positionals = {},
                   .commands = {}};
  AddOptions(app, info);
  for (const CLI::App* below : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (below->get_name().empty()) {
      AddOptions(*below, info);  // A group of options.
    } else if (!below->get_group().empty()) {
      info.commands.push_back(DescribeCommand(*below));
    }
  }
  return info;
}

std::vector<CommandAt> AllCommands(const CommandInfo& root) {
  std::vector<OptionInfo> everywhere = root.options;
  everywhere.erase(std::remove_if(everywhere.begin(), everywhere.end(), IsLocal), everywhere.end());
  std::vector<CommandAt> found;
  found.push_back({"", root.options, &root});
  for (const CommandInfo& below : root.commands) {
    Collect(below, "/" + below.name, everywhere, found);
  }
  return found;
}

}  // namespace tailrace::tools
