// tables: list, describe, create and drop.
#pragma once

#include "tools/command.h"

namespace tailrace::tools {

void AddTableCommands(Registry& registry);

}  // namespace tailrace::tools
