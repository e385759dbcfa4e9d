// The process that the demo kills: it writes packages and reads the stream of their changes at
// once, and says on standard output what was acknowledged.
//
// Lines: "opened RECOVERY_US FRAMES", "ack N" (all below N is safe), "read RECORDS" (kept, with
// what they add up to), "written APPLIED MICROSECONDS", "done RECORDS_EVER RECORDS_NOW
// READER_MICROSECONDS".
#pragma once

#include <string>

#include "engine/options.h"
#include "tools/exit_code.h"

namespace tailrace::tools {

enum class DemoPhase { kImport, kChange };

struct DemoWork {
  DemoPhase phase = DemoPhase::kImport;
  std::string store;
  std::string index;   // The package index as a text file.
  uint64_t limit = 0;  // Packages to take of it; 0: all.
  uint64_t begin = 0;  // All below was acknowledged by an earlier run.
  Durability durability = Durability::kSync;
};

// Does the work from `begin` to its end, and follows the stream until all of it is in the derived
// table.
Result<ExitCode> RunDemoWorker(const DemoWork& work);

}  // namespace tailrace::tools
