// Opening a store: from its directory to a Core whose state is the fold of everything the journal
// proves.
#pragma once

#include <memory>
#include <string>

#include "engine/core.h"
#include "wal/status.h"

namespace tailrace::engine {

// Claims the directory, makes a new store or recovers the one there. On OK the core is complete and
// idle: state and shard logs hold every proven frame, all of it durable; no thread runs but the
// journal's own, and the epoch's first Clock frame is appended. Errors: see Store::Open.
Result<std::unique_ptr<Core>> OpenCore(const std::string& directory, const StoreOptions& options);

}  // namespace tailrace::engine
