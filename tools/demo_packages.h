// Second part of the demo: this machine's package index imported, changed and followed by a process
// that is killed again and again; what it acknowledged is known here, outside of it.
#pragma once

#include <string>

#include "engine/options.h"
#include "tools/demo_text.h"

namespace tailrace::tools {

struct PackagesDemo {
  std::string directory;  // Must exist: the store and the index text go there.
  std::string index;      // A package index as text; empty: this machine's.
  uint64_t limit = 0;     // Packages to take of it; 0: all.
  Durability durability = Durability::kSync;
};

// Errors: kFailedPrecondition (a claim does not hold, the worker failed), kNotFound (no package
// index), and the store's.
Status ShowPackages(DemoText& text, const PackagesDemo& demo);

}  // namespace tailrace::tools
