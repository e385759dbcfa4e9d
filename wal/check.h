// TAILRACE_CHECK: invariants of our own code, kept in release builds.
//
// A failed check means a bug in Tailrace (or memory gone bad), so the process stops loudly before
// it can write anything wrong. Bytes from a disk or a network never reach a check: they are
// validated and become a Status.
#pragma once

#include <string_view>

namespace tailrace {

// Prints file, line, the condition and the message to standard error, then aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              std::string_view message);

}  // namespace tailrace

#define TAILRACE_CHECK(condition, message)                                \
  do {                                                                    \
    if (!(condition)) [[unlikely]] {                                      \
      ::tailrace::CheckFailed(__FILE__, __LINE__, #condition, (message)); \
    }                                                                     \
  } while (false)
