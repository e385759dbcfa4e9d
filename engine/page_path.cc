#include "engine/page_path.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "engine/error_text.h"
#include "engine/item_codec.h"
#include "engine/limits.h"
#include "engine/read_path.h"
#include "wal/mutants.h"

namespace tailrace::engine {
namespace {

// What is read: a table's items, or an index's entries.
struct Source {
  std::shared_ptr<const Catalogue> catalogue;  // Keeps the others.
  const Table* table = nullptr;
  const Index* index = nullptr;  // Null: the table itself.

  TableId id() const { return index != nullptr ? index->id : table->id; }

  Result<KeyRange> Range(const Value& partition, const SortCondition& condition) const {
    return index != nullptr ? EntryRange(index->spec.keys, partition, condition)
                            : SortRange(table->keys, partition, condition);
  }
  Result<std::string> Encode(const Item& key) const {
    return index != nullptr ? EncodeEntryKey(index->spec.keys, table->keys, key)
                            : EncodeKey(table->keys, key);
  }
  Item KeyOf(const Item& item) const {
    return index != nullptr ? KeyOfEntry(index->spec.keys, table->keys, item)
                            : KeyOfItem(table->keys, item);
  }
};

// What of a table or an index is read: the keys within `keys`, in which an empty `upper` means no
// bound, up to the first limit; at least one item if there is one.
struct Range {
  KeyRange keys;
  Direction direction = Direction::kForward;
  uint64_t items_max = 0;
  uint64_t bytes_max = 0;

  bool empty() const { return !keys.upper.empty() && keys.empty(); }
};

// What `take` makes of an item: how much it counts.
using Take = std::function<Result<uint64_t>(const MergedCursor&)>;

// Hands out the items of the range. True: there are more. On return what was handed out is safe.
Result<bool> ReadRange(Core& core, TableId table, const Range& range, const Take& take) {
  Lsn rests_on;
  bool more = false;
  {
    TAILRACE_ASSIGN_OR_RETURN(auto cursor,
                              MergedCursor::Open(core.buffer, *core.index, table, range.keys.lower,
                                                 range.keys.upper, range.direction));
    uint64_t items = 0;
    uint64_t bytes = 0;
    while (cursor->Next()) {
      more = items > 0 && (items >= range.items_max || bytes >= range.bytes_max);
      if (more) break;
      TAILRACE_ASSIGN_OR_RETURN(const uint64_t item_bytes, take(*cursor));
      ++items;
      bytes += item_bytes;
    }
    TAILRACE_RETURN_IF_ERROR(cursor->status());
    rests_on = cursor->rests_on();
  }
  if (!TAILRACE_MUTANT("page-answered-at-once")) {
    TAILRACE_RETURN_IF_ERROR(core.positions->WaitSafe(rests_on + 1));
  }
  return more;
}

// Safe to show.
Result<Source> FindSource(Core& core, const std::string& table, const std::string& index) {
  Source source;
  source.catalogue = core.catalogue.Get().catalogue;
  TAILRACE_RETURN_IF_ERROR(core.positions->WaitSafe(source.catalogue->lsn()));
  source.table = source.catalogue->Find(table);
  if (source.table == nullptr) return NotFound("there is no table '" + table + "'");
  if (index.empty()) return source;
  source.index = source.table->FindIndex(index);
  if (source.index == nullptr) return NotFound(error_text::NoIndex(index));
  if (TAILRACE_MUTANT("index-read-while-filled")) return source;
  if (source.index->state == IndexState::kActive) return source;
  return FailedPrecondition("index '" + index + "' is being filled; it can be read once it is " +
                            std::string(IndexStateName(IndexState::kActive)));
}

Result<ItemPage> ReadPage(Core& core, const Source& source, const Range& range) {
  ItemPage page;
  if (range.items_max == 0) return InvalidArgument("items_max must be at least 1");
  if (range.empty()) return page;
  const Take take = [&page](const MergedCursor& cursor) -> Result<uint64_t> {
    TAILRACE_ASSIGN_OR_RETURN(Item item, DecodeItem(cursor.image()));
    page.items.push_back(std::move(item));
    return page.items.back().SizeBytes();
  };
  TAILRACE_ASSIGN_OR_RETURN(const bool more, ReadRange(core, source.id(), range, take));
  if (more) page.last_key = source.KeyOf(page.items.back());
  return page;
}

}  // namespace

Result<ItemPage> QueryItems(Core& core, const std::string& table, const QueryRequest& request) {
  TAILRACE_ASSIGN_OR_RETURN(const Source source, FindSource(core, table, request.index));
  Range range{.keys = {},
              .direction = request.forward ? Direction::kForward : Direction::kBackward,
              .items_max = request.items_max,
              .bytes_max = request.bytes_max};
  TAILRACE_ASSIGN_OR_RETURN(range.keys, source.Range(request.partition, request.sort));
  if (request.start_after) {
    TAILRACE_ASSIGN_OR_RETURN(std::string key, source.Encode(*request.start_after));
    if (request.forward) {
      range.keys.lower = std::max(range.keys.lower, key + '\0');
    } else {
      range.keys.upper = std::min(range.keys.upper, key);
    }
  }
  return ReadPage(core, source, range);
}

Result<ItemPage> ScanItems(Core& core, const std::string& table, const ScanRequest& request) {
  TAILRACE_ASSIGN_OR_RETURN(const Source source, FindSource(core, table, request.index));
  if (request.segment >= request.total_segments || request.total_segments > kScanSegmentsMax) {
    return InvalidArgument("a scan has 1 to " + std::to_string(kScanSegmentsMax) +
                           " segments, counted from 0");
  }
  Range range{.keys = SegmentRange(request.segment, request.total_segments),
              .direction = Direction::kForward,
              .items_max = request.items_max,
              .bytes_max = request.bytes_max};
  if (request.start_after) {
    TAILRACE_ASSIGN_OR_RETURN(std::string key, source.Encode(*request.start_after));
    if (key < range.keys.lower || (!range.keys.upper.empty() && key >= range.keys.upper)) {
      return InvalidArgument(error_text::WrongSegment(request.segment, request.total_segments));
    }
    range.keys.lower = key + '\0';
  }
  return ReadPage(core, source, range);
}

Result<ConsumerHost::KeyedPage> ReadItems(Core& core, TableId table, const KeyRange& keys,
                                          const PageLimits& limits) {
  if (core.catalogue.Get().catalogue->Find(table) == nullptr) {
    return NotFound("table " + std::to_string(table.value) + " was dropped");
  }
  ConsumerHost::KeyedPage page;
  const Range range{.keys = keys,
                    .direction = Direction::kForward,
                    .items_max = limits.records_max,
                    .bytes_max = limits.bytes_max};
  const Take take = [&page](const MergedCursor& cursor) -> Result<uint64_t> {
    TAILRACE_ASSIGN_OR_RETURN(Item item, DecodeItem(cursor.image()));
    page.items.push_back({std::string(cursor.key()), cursor.lsn(), std::move(item)});
    return cursor.image().size();
  };
  TAILRACE_ASSIGN_OR_RETURN(page.more, ReadRange(core, table, range, take));
  page.met_below = core.positions->safe();
  return page;
}

}  // namespace tailrace::engine
