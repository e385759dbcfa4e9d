// Strict serialisability of transactions by cycles, in no need of the store's numbers: what Elle
// does for lists that are only appended to.
//
// Every number is appended once, so a list that somebody read says in which order its appends
// happened. From that follow edges between transactions: ww (it appended behind the other), wr (it
// read the other's append), rw (it read the list before the other appended), and rt (it was called
// after the other returned). An order of all transactions exists only if no edges form a ring.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tailrace::test {

struct ListRead {
  uint32_t key = 0;
  std::vector<uint64_t> list = {};
};

struct ListAppend {
  uint32_t key = 0;
  uint64_t id = 0;  // Not 0, and unique among all appends to the key.
};

struct ListTransaction {
  int64_t invoked_ns = 0;
  int64_t responded_ns = 0;
  bool applied = true;                   // Else it was rejected, and its appends never happened.
  std::vector<ListRead> reads = {};      // As things stood before its appends.
  std::vector<ListAppend> appends = {};  // In order.
};

struct CycleVerdict {
  std::string problem;  // Empty: none.
  uint64_t transactions = 0;
  uint64_t edges = 0;
};

// In any order. The history must end with reads of all lists, so that no append is unordered.
CycleVerdict CheckCycles(const std::vector<ListTransaction>& transactions);

}  // namespace tailrace::test
