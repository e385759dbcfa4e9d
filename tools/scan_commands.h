// scan and query: many items of one table.
#pragma once

#include "tools/command.h"

namespace tailrace::tools {

void AddScanCommands(Registry& registry);

}  // namespace tailrace::tools
