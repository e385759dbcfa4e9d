// verify: whether a store's files are whole and agree with one another.
#pragma once

#include "tools/command.h"

namespace tailrace::tools {

void AddVerifyCommand(Registry& registry);

}  // namespace tailrace::tools
