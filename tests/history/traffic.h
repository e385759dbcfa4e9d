// Traffic of several threads on a store, and the history that they saw.
//
// Writers put, append and delete with conditions, alone, in batches and in transactions; they get,
// query, scan and read at one moment; beside them a thread makes checkpoints, splits shards,
// switches streams off and on, and makes and drops an index.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/history/cycle_check.h"
#include "tests/history/traffic_items.h"

namespace tailrace::test {

struct TrafficOptions {
  uint64_t seed = 0;
  uint32_t writers = 4;
  uint64_t calls = 10'000;  // Of all writers together.
};

struct TrafficHistory {
  std::vector<Operation> operations;   // Reads of several items that need not be of one moment
                                       // are an operation each.
  std::vector<ListTransaction> lists;  // Those on lists once more.
  uint64_t calls = 0;
  uint32_t keys = 0;  // Keys in use are below this.
  uint64_t checkpoints = 0;
  uint64_t splits = 0;
  uint64_t toggles = 0;
  uint64_t indexes = 0;
};

// Makes the tables, each with a stream. Then the traffic, and at last a read of every key in use.
// Failures of calls are failures of the test.
TrafficHistory RunTraffic(Store& store, const TrafficOptions& options);

}  // namespace tailrace::test
