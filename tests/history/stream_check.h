// Is a stream the exact history of its table? Every change between the stream's beginning and its
// end is there, once, as the commits made it, in order within each shard; and nothing else.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "shards/types.h"
#include "tests/history/history.h"

namespace tailrace::test {

// A change record, its images as contents.
struct StreamRecord {
  uint64_t sequence = 0;
  uint64_t commit = 0;
  uint64_t commit_changes = 1;
  uint64_t ordinal = 0;
  uint64_t wall_ms = 0;
  ChangeKind kind{};
  uint32_t key = 0;
  std::optional<Content> new_image = std::nullopt;  // kAbsent is not shown.
  std::optional<Content> old_image = std::nullopt;

  friend bool operator==(const StreamRecord&, const StreamRecord&) = default;
};

struct ShardHistory {
  uint64_t starting = 0;
  std::optional<uint64_t> ending = std::nullopt;
  std::vector<StreamRecord> records = {};  // From the first one on: nothing was trimmed.
};

struct StreamHistory {
  ViewType view{};
  uint64_t first = 0;          // Changes from this number on ...
  uint64_t last = UINT64_MAX;  // ... to this one belong to the stream,
  uint32_t keys_step = 1;      // if their keys leave this rest when divided by the step.
  uint32_t keys_rest = 0;
  std::vector<ShardHistory> shards = {};
};

struct StreamVerdict {
  std::string problem;  // Empty: none.
  uint64_t records = 0;
};

// `operations` has every change of the table.
StreamVerdict CheckStream(const std::vector<Operation>& operations, const StreamHistory& stream);

}  // namespace tailrace::test
