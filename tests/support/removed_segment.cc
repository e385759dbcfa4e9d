#include "tests/support/removed_segment.h"

#include <algorithm>

#include "wal/check.h"
#include "wal/segment.h"

namespace tailrace::test {

std::optional<RemovedSegment> SegmentRemovedBy(const SimOperation& operation) {
  if (operation.call != SimCall::kRemove && operation.call != SimCall::kRename) return std::nullopt;
  const size_t slash = operation.path.rfind('/');
  if (slash == std::string::npos) return std::nullopt;
  const auto base = wal::ParseSegmentFileName(ByteView(operation.path).substr(slash + 1));
  if (!base) return std::nullopt;
  // The call's own change of names is the last that is pending.
  const uint64_t pending = operation.disk.pending_units();
  TAILRACE_CHECK(pending > 0, "a removed name is pending");
  RemovedSegment removed{.path = operation.path,
                         .directory = operation.path.substr(0, slash),
                         .base = *base,
                         .before = operation.disk.Crash(
                             {.keep = CrashChoice::Keep::kPrefix, .argument = pending - 1})};
  const auto directory = removed.before.Find(removed.directory);
  TAILRACE_CHECK(directory.ok() && directory->inode, "the file had a directory");
  for (const wal::DirectoryEntry& entry : removed.before.List(*directory->inode)) {
    const auto other = wal::ParseSegmentFileName(entry.name);
    if (other && *other > removed.base) removed.next_base = std::min(removed.next_base, *other);
  }
  return removed;
}

}  // namespace tailrace::test
