// Linearizability of one item by search, in no need of the store's numbers: Wing and Gong's
// algorithm with the memory that Lowe gave it.
//
// It tries the operations in every order that their times allow, and remembers which sets of
// operations led to which content, so that none is tried twice. With few callers at once that is
// about as much work as there are operations.
#pragma once

#include <string>
#include <vector>

#include "tests/history/history.h"

namespace tailrace::test {

struct SearchVerdict {
  enum class Kind { kLinearizable, kNot, kUndecided };
  Kind kind = Kind::kLinearizable;
  std::string problem;  // Of kNot: the operation that nothing led past.
  uint64_t operations = 0;
  uint64_t states = 0;
};

// Looks at the accesses of `key`; of a transaction, at its part in that item. Gives up beyond
// `states_max`.
SearchVerdict SearchOrder(const std::vector<Operation>& operations, uint32_t key,
                          uint64_t states_max);

}  // namespace tailrace::test
