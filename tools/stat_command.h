// stat: the store's positions and sizes.
#pragma once

#include "tools/command.h"

namespace tailrace::tools {

void AddStatCommand(Registry& registry);

}  // namespace tailrace::tools
