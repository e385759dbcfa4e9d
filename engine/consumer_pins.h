// What consumers keep of their streams beyond retention.
#pragma once

#include <vector>

#include "engine/core.h"
#include "shards/retention_pin.h"

namespace tailrace::engine {

// A pin for each consumer that has one and whose stream is still there: what it has not
// checkpointed. A checkpoint that a crash may take back counts: so may the trim that rests on it.
// Errors: kCorruption, kIoError.
Result<std::vector<shards::Pin>> ReadPins(Core& core);

}  // namespace tailrace::engine
