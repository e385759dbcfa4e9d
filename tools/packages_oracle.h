// What the table of packages must hold, known from outside of the process that writes it.
#pragma once

#include <string>
#include <vector>

#include "engine/store.h"
#include "tools/demo_text.h"
#include "tools/package_changes.h"
#include "tools/section_reader.h"

namespace tailrace::tools {

// What was acknowledged so far.
struct Acknowledged {
  uint64_t packages = 0;  // All below are imported.
  uint64_t changes = 0;   // All below are made.
};

// Compares the table, item by item, with what was acknowledged: what was must be there, what was
// not may be or not, and nothing else may be there. Says how many of each.
Status CheckAcknowledged(DemoText& text, Store& store, const std::vector<Item>& packages,
                         const Acknowledged& acknowledged);

// How many records the reader has counted so far, by the checkpoints that it kept.
Result<uint64_t> RecordsCounted(Store& store);

// Proves from the store's contents alone: the stream's records fold to the table, without a hole or
// a duplicate; the derived table is what the table adds up to; each record
// was counted once.
Status CheckDerived(DemoText& text, Store& store);

}  // namespace tailrace::tools
