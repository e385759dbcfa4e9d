// streams: list, describe, enable and disable; and shards: what a stream consists of.
#pragma once

#include "tools/command.h"

namespace tailrace::tools {

void AddStreamCommands(Registry& registry);
void AddShardsCommand(Registry& registry);

}  // namespace tailrace::tools
