// The manual page tailrace(1).
#pragma once

#include <string>

#include "tools/command_tree.h"

namespace tailrace::tools {

// As source for groff's man macros. `version` is what stands at its foot.
std::string ManPage(const CommandInfo& root, const std::string& version);

}  // namespace tailrace::tools
