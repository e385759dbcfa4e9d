// The tailrace command: from argv to an exit code.
#pragma once

namespace tailrace::tools {

// Parses the command line, runs the chosen subcommand and returns the process's exit code. Output
// goes to standard output, errors as one line each to standard error. Call it once.
int RunCommandLine(int argc, const char* const* argv);

}  // namespace tailrace::tools
