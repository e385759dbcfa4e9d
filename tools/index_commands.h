// `tailrace indexes`: indexes of a table made, listed and dropped.
#pragma once

#include "tools/command.h"

namespace tailrace::tools {

void AddIndexCommands(Registry& registry);

}  // namespace tailrace::tools
