// tailrace salvage.
#pragma once

#include "tools/command.h"

namespace tailrace::tools {

void AddSalvageCommand(Registry& registry);

}  // namespace tailrace::tools
