// The subcommand `consumers`: who reads streams, how far they are, and forgetting them.
#pragma once

#include "tools/command.h"

namespace tailrace::tools {

void AddConsumersCommand(Registry& registry);

}  // namespace tailrace::tools
