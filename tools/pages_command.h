// `tailrace man` and `tailrace completion`: the manual page and the shells' scripts.
#pragma once

#include "tools/command.h"

namespace tailrace::tools {

void AddPagesCommands(Registry& registry);

}  // namespace tailrace::tools
