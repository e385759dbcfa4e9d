#include "tools/pages_command.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <sstream>

#include "tools/command_tree.h"
#include "tools/completion.h"
#include "tools/man_page.h"

namespace tailrace::tools {
namespace {

Result<ExitCode> Print(Context& context, const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) context.out.Line(line);
  return ExitCode::kOk;
}

std::string Completion(const CommandInfo& root, const std::string& shell) {
  if (shell == "bash") return BashCompletion(root);
  return shell == "zsh" ? ZshCompletion(root) : FishCompletion(root);
}

}  // namespace

void AddPagesCommands(Registry& registry) {
  const CLI::App& root = registry.root();
  auto shell = std::make_shared<std::string>();
  CLI::App& completion =
      registry.Add(registry.root(), "completion", "Print a script that completes tailrace's words",
                   "Debian's package has them in place already.\n"
                   "Example: source <(tailrace completion bash)");
  completion.add_option("shell", *shell, "The shell: bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  registry.OnRun(completion, [shell, &root](Context& context) {
    return Print(context, Completion(DescribeCommand(root), *shell));
  });

  CLI::App& man = registry.Add(registry.root(), "man", "Print the manual page, for man to show",
                               "Example: tailrace man | man -l -");
  registry.OnRun(man, [&root](Context& context) {
    return Print(context, ManPage(DescribeCommand(root), "tailrace " TAILRACE_VERSION));
  });
}

}  // namespace tailrace::tools
