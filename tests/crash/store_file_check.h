// What a store's files must be at the moment of a call: RocksDB gets no file that holds what is not
// durable in the journal, and no segment goes that is still needed.
#pragma once

#include <string>

#include "tests/crash/store_workload.h"
#include "tests/support/sim_fs.h"

namespace tailrace::test {

// Whether the call gives a sorted file its name in RocksDB's directory.
bool IsNewItemFile(const SimOperation& operation);

// Every LSN in the new file must lie below what the journal has on disk even if nothing pending
// survives. Empty, or what is wrong.
std::string CheckNewItemFile(const SimOperation& operation);

// A segment that the call takes away (see SegmentRemovedBy) holds nothing that only it has: no
// frame of the journal that is durable and lies behind the cut that RocksDB would come up with
// after a power cut now, and no record of a shard from before that cut which the cut has not
// trimmed, or which every state has that the truth allows. Empty, or what is wrong.
std::string CheckRemovedSegment(const SimOperation& operation, const StoreTruth& truth);

}  // namespace tailrace::test
