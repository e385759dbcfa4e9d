// dump --follow: prints the records of a store's streams as its owner writes them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/command.h"
#include "wal/status.h"

namespace tailrace::tools {

struct FollowArguments {
  std::vector<std::string> tables;  // Or TABLE/LABEL; empty: all.
  uint64_t stream = 0;              // 0: all.
  std::string shard;                // Name or number; empty: all.
  std::string from;  // A sequence number, a time, "latest"; empty: the oldest record.
  std::vector<std::string> key;
  uint64_t limit = 0;  // 0: none.
};

// Prints until the limit, Ctrl-C, or nobody reads any more. Each shard's records come in order, a
// parent's before its children's.
Result<ExitCode> Follow(Context& context, const FollowArguments& arguments);

}  // namespace tailrace::tools
