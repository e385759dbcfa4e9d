// tailrace backup and tailrace restore.
#pragma once

#include "tools/command.h"

namespace tailrace::tools {

void AddBackupCommands(Registry& registry);

}  // namespace tailrace::tools
