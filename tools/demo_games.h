// First part of the demo: a small table in each of the four views of its stream.
#pragma once

#include <string>

#include "engine/options.h"
#include "tools/demo_text.h"

namespace tailrace::tools {

// Makes a store in `directory` and shows what its streams say. Errors: kFailedPrecondition (a claim
// does not hold) and the store's.
Status ShowGames(DemoText& text, const std::string& directory, Durability durability);

}  // namespace tailrace::tools
