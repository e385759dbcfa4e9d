// RocksDB never holds what is not durable in the journal: checked at the moment at which it gets a
// file of items.
#pragma once

#include <string>

#include "tests/support/sim_fs.h"

namespace tailrace::test {

// Whether the call gives a sorted file its name in RocksDB's directory.
bool IsNewItemFile(const SimOperation& operation);

// Every LSN in the new file must lie below what the journal has on disk even if nothing pending
// survives. Empty, or what is wrong.
std::string CheckNewItemFile(const SimOperation& operation);

}  // namespace tailrace::test
