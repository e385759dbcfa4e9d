#include "engine/index_check.h"

#include <memory>
#include <optional>

#include "engine/index_backfill.h"
#include "engine/index_entry.h"
#include "engine/item_codec.h"

namespace tailrace::engine {
namespace {

// The item's entry there is what it should be.
Status CheckItems(ItemIndex& items, const Table& table, const Index& index, IndexCheck& check) {
  TAILRACE_ASSIGN_OR_RETURN(const auto cursor, items.NewCursor(table.id));
  for (cursor->SeekAtLeast({}); cursor->valid(); cursor->Next()) {
    ++check.items;
    const auto expected = EntryOf(index, cursor->key(), cursor->image());
    if (!expected) continue;
    TAILRACE_ASSIGN_OR_RETURN(const auto found, items.Get(index.id, expected->key));
    if (!found) {
      if (index.state == IndexState::kActive) ++check.missing;
    } else if (found->image != (expected->image ? ByteView(*expected->image) : cursor->image())) {
      ++check.wrong;
    }
  }
  return cursor->status();
}

// The entry whose key this is belongs to an item.
Result<bool> HasItem(ItemIndex& items, const Table& table, const Index& index, ByteView key,
                     ByteView image) {
  const auto entry = DecodeItem(image);
  if (!entry.ok()) return false;
  const auto storage_key = EncodeKeyOfItem(table.keys, *entry);
  if (!storage_key.ok()) return false;
  TAILRACE_ASSIGN_OR_RETURN(const auto item, items.Get(table.id, *storage_key));
  if (!item) return false;
  const auto expected = EntryOf(index, *storage_key, item->image);
  return expected && expected->key == key;
}

Status CheckEntries(ItemIndex& items, const Table& table, const Index& index, IndexCheck& check) {
  TAILRACE_ASSIGN_OR_RETURN(const auto cursor, items.NewCursor(index.id));
  for (cursor->SeekAtLeast({}); cursor->valid(); cursor->Next()) {
    if (cursor->key() == kBackfillKey && index.state == IndexState::kBackfilling) continue;
    ++check.entries;
    TAILRACE_ASSIGN_OR_RETURN(const bool has_item,
                              HasItem(items, table, index, cursor->key(), cursor->image()));
    if (!has_item) ++check.stray;
  }
  return cursor->status();
}

}  // namespace

Result<IndexCheck> CheckIndex(ItemIndex& items, const Table& table, const Index& index) {
  IndexCheck check;
  TAILRACE_RETURN_IF_ERROR(CheckItems(items, table, index, check));
  TAILRACE_RETURN_IF_ERROR(CheckEntries(items, table, index, check));
  return check;
}

}  // namespace tailrace::engine
