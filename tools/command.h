// What every subcommand of tailrace shares: the global options, the output, and how it is
// registered.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "engine/options.h"
#include "tools/exit_code.h"
#include "tools/output.h"
#include "wal/shared_words.h"
#include "wal/status.h"

namespace CLI {
class App;
}

namespace tailrace::tools {

struct GlobalOptions {
  std::string store;  // From --store or TAILRACE_STORE; empty: neither.
  bool json = false;
  std::optional<Durability> durability;  // Absent: the store's own, or kSync for a new store.
};

// What a subcommand runs with.
struct Context {
  const GlobalOptions& options;
  Output& out;
};

// A failure is printed and becomes its exit code (tools/exit_code.h).
using Run = std::function<Result<ExitCode>(Context&)>;

// The subcommands and which of them the command line chose.
class Registry {
 public:
  explicit Registry(CLI::App& root) : root_(root) {}
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  CLI::App& root() { return root_; }

  // Adds the subcommand `name` to `parent`. `summary` is one line; `details` follows the options in
  // its
  // --help and ends with an example.
  CLI::App& Add(CLI::App& parent, const std::string& name, const std::string& summary,
                const std::string& details);

  // What to do when the command line chose `command`.
  void OnRun(CLI::App& command, Run run);

  // Empty when nothing was chosen.
  const Run& chosen() const { return chosen_; }

 private:
  CLI::App& root_;
  Run chosen_;
};

// Whether Ctrl-C (SIGINT) or SIGTERM was asked for since the program began. Long commands stop at a
// safe place when it is so. The first call of WatchInterrupts installs the handler; a second Ctrl-C
// ends the process at once.
void WatchInterrupts();
bool Interrupted();

// What is set then, for waits that it shall end.
const wal::Interrupt& InterruptWord();

}  // namespace tailrace::tools
