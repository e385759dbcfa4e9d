// get, put and delete: one item of one table.
#pragma once

#include "tools/command.h"

namespace tailrace::tools {

void AddItemCommands(Registry& registry);

}  // namespace tailrace::tools
