// The subcommand `ttl`: by which attribute a table's items expire.
#pragma once

#include "tools/command.h"

namespace tailrace::tools {

void AddTimeToLiveCommand(Registry& registry);

}  // namespace tailrace::tools
