#include "wal/mutants.h"

#ifdef TAILRACE_MUTANTS
#include <cstdio>
#include <cstdlib>

namespace tailrace::wal {
namespace {

// What tools/mutants takes for a mistake in its use, and for no mutant's death.
constexpr int kUnknownMutantExit = 78;

// All names, a blank after each: the build takes them from docs/mutants.md.
constexpr std::string_view kNames = TAILRACE_MUTANT_NAMES;

std::string_view Choose() {
  const char* const value = std::getenv("TAILRACE_MUTANT");
  if (value == nullptr || *value == '\0') return "";
  const std::string_view name(value);
  for (size_t at = 0; at < kNames.size(); at = kNames.find(' ', at) + 1) {
    if (kNames.substr(at, kNames.find(' ', at) - at) == name) return name;
  }
  std::fprintf(stderr, "TAILRACE_MUTANT=%s: there is no such mutant in this build\n", value);
  std::fflush(stderr);
  std::_Exit(kUnknownMutantExit);
}

}  // namespace

bool MutantChosen(std::string_view name) {
  static const std::string_view chosen = Choose();
  return name == chosen;
}

}  // namespace tailrace::wal
#endif
