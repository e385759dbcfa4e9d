// import: lines of items into a table.
#pragma once

#include "tools/command.h"

namespace tailrace::tools {

void AddImportCommand(Registry& registry);

}  // namespace tailrace::tools
