// dump: records of shard logs, read from their files.
#pragma once

#include "tools/command.h"

namespace tailrace::tools {

void AddDumpCommand(Registry& registry);

}  // namespace tailrace::tools
