// The seed of a test's random choices, and how to run a failed test again with the same one.
#pragma once

#include <cstdint>

namespace tailrace::test {

// The number in the environment variable TAILRACE_SEED, else one drawn anew for this process;
// always the same within it. When a test fails in a process that called this, a line follows that
// runs the test again with the seed. Thread-safe.
uint64_t TestSeed();

}  // namespace tailrace::test
