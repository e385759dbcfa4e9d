// Switches that break the library on purpose, one rule each, so that tools/mutants can see whether
// the tests notice (docs/mutants.md). Only a build with the CMake option TAILRACE_MUTANTS has them;
// in all others TAILRACE_MUTANT is the constant false. No header has a switch: tests see headers
// without it.
#pragma once

#ifdef TAILRACE_MUTANTS
#include <string_view>

namespace tailrace::wal {

// Is this the switch that the environment variable TAILRACE_MUTANT names? The variable is read
// once; a name that docs/mutants.md does not have ends the process. Thread-safe.
[[nodiscard]] bool MutantChosen(std::string_view name);

}  // namespace tailrace::wal

#define TAILRACE_MUTANT(name)                                                       \
  ([] {                                                                             \
    static const bool tailrace_mutant_chosen = ::tailrace::wal::MutantChosen(name); \
    return tailrace_mutant_chosen;                                                  \
  }())
#else
#define TAILRACE_MUTANT(name) false
#endif
