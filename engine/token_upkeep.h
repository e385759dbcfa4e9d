// Forgets transactions whose time is over: deletes the items that remember them.
#pragma once

#include <cstdint>
#include <string>

#include "engine/core.h"
#include "engine/write_path.h"

namespace tailrace::engine {

class TokenUpkeep {
 public:
  // Both outlive this object.
  TokenUpkeep(Core& core, WritePath& writes) : core_(core), writes_(writes) {}

  // Deletes what has expired; looks only if half a token's time has passed since it last did, since
  // looking reads them all. Each is deleted by an ordinary write, which nobody waits for; while the
  // journal is at its limit none is. Not thread-safe.
  Status Run();

 private:
  // The expired ones of a page of tokens from storage key `from` on, which moves behind the page;
  // empty after the last.
  Result<std::vector<Item>> ReadPage(const Table& table, std::string& from, uint64_t age_ms) const;

  Core& core_;
  WritePath& writes_;
  uint64_t due_age_ms_ = 0;
};

}  // namespace tailrace::engine
