// How the tailrace command ends: its exit codes, and failures as one line for people.
#pragma once

#include <string>

#include "wal/status.h"

namespace tailrace::tools {

// Documented in docs/command.md and in `tailrace --help`.
enum class ExitCode : int {
  kOk = 0,
  kNo = 1,     // It ran, and the answer is no: no such item, a condition refused, damage found.
  kUsage = 2,  // The command line or the input is wrong; nothing was changed by that part.
  kBusy = 3,   // Another process has the store open, or a limit is reached.
  kCorruption = 4,  // Damage kept the command from doing its work.
  kFailed = 5,      // The disk, the operating system, or a store that failed.
  kAbsent = 6,  // The named store, table, stream or shard does not exist, or is in another state.
  kInterrupted = 130,  // Ended early by Ctrl-C.
};

// The exit code for a failure. Requires that it is one.
ExitCode ExitCodeOf(const Status& failure);

// "<cause>: <cure>" on one line, without control bytes. The cure is left out where there is no
// general one.
std::string ErrorText(const Status& failure);

// Prints "tailrace: <ErrorText>" to standard error and returns ExitCodeOf.
ExitCode Report(const Status& failure);

}  // namespace tailrace::tools
