// The segment file that a call takes away, for crash tests: nothing that is still needed may go.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tests/support/sim_fs.h"

namespace tailrace::test {

struct RemovedSegment {
  std::string path;
  std::string directory;
  uint64_t base = 0;  // As the file is named.
  // Where the next segment of the directory begins; all ones without one.
  uint64_t next_base = UINT64_MAX;
  SimDisk before;  // What the process saw before the call, all of it durable.
};

// Absent unless the call removes a segment's file, or renames it to something else (to be written
// again, as the journal does).
std::optional<RemovedSegment> SegmentRemovedBy(const SimOperation& operation);

}  // namespace tailrace::test
