// Strict serialisability by the order that the store itself names: does each operation fit into the
// commits' order, at a point between its call and its return?
//
// The order is given, so this takes time in proportion to the history, and is exact: applied
// operations happen at their commits' numbers, in the state that those before them left; the others
// at the earliest point between two commits that shows what they saw and that does not lie before
// anything that was safe, or had returned and is about the same items, before they were called. If
// that fails, no other choice would do.
#pragma once

#include <string>
#include <vector>

#include "tests/history/history.h"

namespace tailrace::test {

struct OrderVerdict {
  std::string problem;  // Empty: none.
  uint64_t commits = 0;
  uint64_t reads = 0;  // And whatever else changed nothing.
};

// In any order. Every item is absent at the beginning, and no change is missing.
OrderVerdict CheckOrder(const std::vector<Operation>& operations);

}  // namespace tailrace::test
