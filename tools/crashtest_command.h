// `tailrace crashtest`: a store on a directory of the user's under processes that are killed.
#pragma once

#include "tools/command.h"

namespace tailrace::tools {

void AddCrashtestCommand(Registry& registry);

}  // namespace tailrace::tools
