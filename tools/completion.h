// Scripts that complete tailrace's command line in a shell: commands, options, and the values of
// options that take one of a few. Everything else is completed as the name of a file.
#pragma once

#include <string>

#include "tools/command_tree.h"

namespace tailrace::tools {

// For bash: to be sourced, or installed as bash-completion/completions/tailrace.
std::string BashCompletion(const CommandInfo& root);

// For zsh: to be installed as _tailrace in a folder of $fpath.
std::string ZshCompletion(const CommandInfo& root);

// For fish: to be sourced, or installed as vendor_completions.d/tailrace.fish.
std::string FishCompletion(const CommandInfo& root);

}  // namespace tailrace::tools
