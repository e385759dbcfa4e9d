// journal: the frames and segments of a store's journal.
#pragma once

#include "tools/command.h"

namespace tailrace::tools {

void AddJournalCommand(Registry& registry);

}  // namespace tailrace::tools
