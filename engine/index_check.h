// Whether an index is what its table makes of it: recomputed and compared, entry by entry.
#pragma once

#include <cstdint>
#include <string>

#include "engine/catalogue.h"
#include "engine/item_index.h"
#include "wal/status.h"

namespace tailrace::engine {

struct IndexCheck {
  uint64_t items = 0;    // Of the table.
  uint64_t entries = 0;  // Of the index.
  uint64_t missing = 0;  // Items that belong into the index and have no entry there.
  uint64_t wrong = 0;    // Entries that hold something else than their item's projection.
  uint64_t stray = 0;    // Entries that no item has.

  uint64_t problems() const { return missing + wrong + stray; }
};

// Compares table and index as they stand in the item index, which is one moment of both. While the
// index is being filled, entries may be missing and are not counted as such. Reads both in full,
// and looks up each entry's item. Errors: those of reading.
Result<IndexCheck> CheckIndex(ItemIndex& items, const Table& table, const Index& index);

}  // namespace tailrace::engine
