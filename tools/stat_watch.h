// stat --watch: looks at a store again and again.
#pragma once

#include <cstdint>
#include <functional>

#include "tools/command.h"
#include "tools/stat_text.h"
#include "wal/status.h"

namespace tailrace::tools {

struct WatchArguments {
  uint64_t interval_ms = 2000;
  uint64_t looks_max = 0;  // 0: until Ctrl-C.
};

// Looks with `look`, which opens the store or goes through its socket. A store that nobody has open
// is not opened again while nobody else did: nothing can have changed.
Result<ExitCode> WatchStat(Context& context, const WatchArguments& arguments,
                           const std::function<Result<StatLook>()>& look);

}  // namespace tailrace::tools
