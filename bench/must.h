// Failures of what is measured end the process.
#pragma once

#include <utility>

#include "wal/check.h"
#include "wal/status.h"

namespace tailrace::bench {

inline void Must(const Status& status) { TAILRACE_CHECK(status.ok(), status.ToString()); }

template <typename T>
T Must(Result<T> result) {
  Must(result.status());
  return std::move(result).value();
}

}  // namespace tailrace::bench
