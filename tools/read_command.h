// read: the records of a stream since the last time, under a name.
#pragma once

#include "tools/command.h"

namespace tailrace::tools {

void AddReadCommand(Registry& registry);

}  // namespace tailrace::tools
