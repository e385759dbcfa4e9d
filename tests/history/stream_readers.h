// Reads the streams of a store under the traffic's tables for the stream checker, in several ways
// that must agree.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/history/stream_check.h"
#include "tests/history/traffic_items.h"
#include "tests/support/random.h"

namespace tailrace::test {

// Every stream there is, with all its records. Failures are the test's.
std::vector<StreamHistory> ReadStreams(Store& store);

// From each of `probes` random records, and from every one if there are not more: a reader AT its
// number gets it first, one AFTER its number the next. And readers by pages of a few records get
// what one by large pages does. Returns how many resumptions were tried.
uint64_t CheckResumption(Store& store, uint64_t probes, Random& random);

// The index that the traffic may have made has what the table has; if there is none, makes it.
void CheckIndexes(Store& store);

}  // namespace tailrace::test
