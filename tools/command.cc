#include "tools/command.h"

#include <CLI/App.hpp>
#include <csignal>

namespace tailrace::tools {
namespace {

wal::Interrupt interrupt;

extern "C" void NoteInterrupt(int signal) {
  interrupt.Set();
  std::signal(signal, SIG_DFL);  // The next one ends the process.
}

}  // namespace

CLI::App& Registry::Add(CLI::App& parent, const std::string& name, const std::string& summary,
                        const std::string& details) {
  CLI::App& command = *parent.add_subcommand(name, summary);
  command.footer(details + "\n\n--store, --json and --durability: see `tailrace --help`.");
  command.fallthrough();  // Global options may stand behind the subcommand too.
  return command;
}

void Registry::OnRun(CLI::App& command, Run run) {
  command.callback([this, run = std::move(run)] { chosen_ = run; });
}

void WatchInterrupts() {
  std::signal(SIGINT, NoteInterrupt);
  std::signal(SIGTERM, NoteInterrupt);
}

bool Interrupted() { return interrupt.is_set(); }

const wal::Interrupt& InterruptWord() { return interrupt; }

}  // namespace tailrace::tools
