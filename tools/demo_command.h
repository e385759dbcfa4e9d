// demo: the main job on real input, with its proofs.
#pragma once

#include "tools/command.h"

namespace tailrace::tools {

void AddDemoCommand(Registry& registry);

}  // namespace tailrace::tools
