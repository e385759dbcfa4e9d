// In bash and fish a function finds the path of the command ("/tables/create") from the words
// before the cursor; what may follow is then looked up by it. zsh descends by its own _arguments, a
// function for each command.
#include "tools/completion.h"

#include <algorithm>
#include <vector>

namespace tailrace::tools {
namespace {

std::string Join(const std::vector<std::string>& words) {
  std::string joined;
  for (const std::string& word : words) joined += (joined.empty() ? "" : " ") + word;
  return joined;
}

// As one word of the shell. fish knows a quote within quotes by a backslash, the others end them.
enum class Shell { kBash, kZsh, kFish };
std::string Quote(const std::string& text, Shell shell) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') {
      quoted += shell == Shell::kFish ? "\\'" : "'\\''";
    } else if (c == '\\' && shell == Shell::kFish) {
      quoted += "\\\\";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

std::vector<std::string> CommandNames(const CommandInfo& command) {
  std::vector<std::string> names;
  for (const CommandInfo& below : command.commands) names.push_back(below.name);
  return names;
}

std::vector<std::string> OptionNames(const CommandAt& at) {
  std::vector<std::string> names;
  for (const OptionInfo& option : at.options) {
    names.insert(names.end(), option.names.begin(), option.names.end());
  }
  return names;
}

// "path:name" patterns of the options that take a value, for `case` and `switch`.
std::vector<std::string> ValuePatterns(const CommandInfo& root, Shell shell) {
  std::vector<std::string> patterns;
  for (const CommandAt& at : AllCommands(root)) {
    for (const OptionInfo& option : at.options) {
      if (option.value.empty()) continue;
      for (const std::string& name : option.names) {
        patterns.push_back(Quote(at.path + ":" + name, shell));
      }
    }
  }
  return patterns;
}

std::string JoinPatterns(const std::vector<std::string>& patterns) {
  std::string joined;
  for (const std::string& pattern : patterns) joined += (joined.empty() ? "" : "|") + pattern;
  return joined;
}

// ---- zsh ----

// Text within the brackets and colons of _arguments.
std::string ZshText(std::string text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string ZshFunction(const std::string& path) {
  std::string name = "_tailrace" + path;
  std::replace(name.begin(), name.end(), '/', '_');
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

std::string ZshOption(const OptionInfo& option) {
  std::string lines;
  for (const std::string& name : option.names) {
    std::string spec = name + "[" + ZshText(option.description) + "]";
    if (!option.value.empty()) {
      spec += ":" + ZshText(option.value) + ":";
      spec += option.choices.empty() ? "_files" : "(" + Join(option.choices) + ")";
    }
    lines += " \\\n    " + Quote(spec, Shell::kZsh);
  }
  return lines;
}

std::string ZshCommand(const CommandAt& at) {
  std::string script = ZshFunction(at.path) + "() {\n";
  const auto& below = at.command->commands;
  if (!below.empty()) script += "  local curcontext=$curcontext state line\n";
  script += "  _arguments -C";
  for (const OptionInfo& option : at.options) script += ZshOption(option);
  if (below.empty()) return script + " \\\n    '*:argument:_files'\n}\n\n";
  script += " \\\n    '1:command:->command' \\\n    '*::argument:->argument'\n";
  script += "  case $state in\n    command)\n      local -a commands=(\n";
  for (const CommandInfo& command : below) {
    script += "        " + Quote(command.name + ":" + ZshText(command.summary), Shell::kZsh) + "\n";
  }
  script += "      )\n      _describe command commands\n      ;;\n";
  script += "    argument)\n      case $line[1] in\n";
  for (const CommandInfo& command : below) {
    script +=
        "        " + command.name + ") " + ZshFunction(at.path + "/" + command.name) + " ;;\n";
  }
  return script + "      esac\n      ;;\n  esac\n}\n\n";
}

}  // namespace

std::string BashCompletion(const CommandInfo& root) {
  std::string script =
      "# Completion of tailrace for bash, made by `tailrace completion bash`.\n"
      "_tailrace_takes_value() {\n  case $1 in\n    " +
      JoinPatterns(ValuePatterns(root, Shell::kBash)) +
      ") return 0 ;;\n  esac\n  return 1\n}\n\n"
      "_tailrace() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} path='' previous='' words='' word i\n"
      "  for ((i = 1; i < COMP_CWORD; ++i)); do\n"
      "    word=${COMP_WORDS[i]}\n"
      "    if ! _tailrace_takes_value \"$path:$previous\"; then\n"
      "      case $path/$word in\n";
  std::vector<std::string> paths;
  for (const CommandAt& at : AllCommands(root)) {
    if (!at.path.empty()) paths.push_back(Quote(at.path, Shell::kBash));
  }
  script += "        " + JoinPatterns(paths) +
            ") path=$path/$word ;;\n      esac\n"
            "      previous=$word\n    else\n      previous=''\n    fi\n  done\n"
            "  if _tailrace_takes_value \"$path:$previous\"; then\n"
            "    case $path:$previous in\n";
  for (const CommandAt& at : AllCommands(root)) {
    for (const OptionInfo& option : at.options) {
      if (option.choices.empty()) continue;
      for (const std::string& name : option.names) {
        script += "      " + Quote(at.path + ":" + name, Shell::kBash) +
                  ") words=" + Quote(Join(option.choices), Shell::kBash) + " ;;\n";
      }
    }
  }
  script += "    esac\n  else\n    case $path:$current in\n";
  for (const CommandAt& at : AllCommands(root)) {
    script += "      " + Quote(at.path + ":-", Shell::kBash) +
              "*) words=" + Quote(Join(OptionNames(at)), Shell::kBash) + " ;;\n";
    if (at.command->commands.empty()) continue;
    script += "      " + Quote(at.path + ":", Shell::kBash) +
              "*) words=" + Quote(Join(CommandNames(*at.command)), Shell::kBash) + " ;;\n";
  }
  return script +
         "    esac\n  fi\n"
         "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n}\n\n"
         "complete -o default -F _tailrace tailrace\n";
}

std::string ZshCompletion(const CommandInfo& root) {
  std::string script = "#compdef tailrace\n# Made by `tailrace completion zsh`.\n\n";
  for (const CommandAt& at : AllCommands(root)) script += ZshCommand(at);
  return script +
         "if [[ $funcstack[1] == _tailrace ]]; then\n  _tailrace \"$@\"\nelse\n"
         "  compdef _tailrace tailrace\nfi\n";
}

std::string FishCompletion(const CommandInfo& root) {
  std::string script =
      "# Completion of tailrace for fish, made by `tailrace completion fish`.\n"
      "function __tailrace_at\n"
      "    set -l path ''\n    set -l previous ''\n    set -l words (commandline -opc)\n"
      "    for word in $words[2..-1]\n"
      "        switch \"$path:$previous\"\n"
      "            case " +
      Join(ValuePatterns(root, Shell::kFish)) +
      "\n"
      "                set previous ''\n"
      "            case '*'\n"
      "                switch \"$path/$word\"\n                    case";
  for (const CommandAt& at : AllCommands(root)) {
    if (!at.path.empty()) script += " " + Quote(at.path, Shell::kFish);
  }
  script +=
      "\n                        set path \"$path/$word\"\n                end\n"
      "                set previous \"$word\"\n        end\n    end\n"
      "    test \"$path\" = \"$argv[1]\"\nend\n\n";
  for (const CommandAt& at : AllCommands(root)) {
    const std::string here = "complete -c tailrace -n " +
                             Quote("__tailrace_at " + Quote(at.path, Shell::kFish), Shell::kFish);
    for (const CommandInfo& below : at.command->commands) {
      script += here + " -f -a " + Quote(below.name, Shell::kFish) + " -d " +
                Quote(below.summary, Shell::kFish) + "\n";
    }
    for (const OptionInfo& option : at.options) {
      std::string names;
      for (const std::string& name : option.names) {
        names += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      }
      script += here + names + " -d " + Quote(option.description, Shell::kFish);
      if (!option.choices.empty()) {
        script += " -x -a " + Quote(Join(option.choices), Shell::kFish);
      } else if (!option.value.empty()) {
        script += " -r";
      }
      script += "\n";
    }
  }
  return script;
}

}  // namespace tailrace::tools
