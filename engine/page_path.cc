#include "engine/page_path.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "engine/error_text.h"
#include "engine/item_codec.h"
#include "engine/limits.h"
#include "engine/read_path.h"

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

struct Page {
  KeyRange keys;
  Direction direction = Direction::kForward;
  uint32_t items_max = 0;
  uint64_t bytes_max = 0;
};

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
  if (source.index->state == IndexState::kActive) return source;
  return FailedPrecondition("index '" + index + "' is being filled; it can be read once it is " +
                            std::string(IndexStateName(IndexState::kActive)));
}

Result<ItemPage> ReadPage(Core& core, const Source& source, const Page& wanted) {
  ItemPage page;
  if (wanted.items_max == 0) return InvalidArgument("items_max must be at least 1");
  if (!wanted.keys.upper.empty() && wanted.keys.empty()) return page;
  std::vector<std::string> images;
  Lsn rests_on;
  bool more = false;
  {
    TAILRACE_ASSIGN_OR_RETURN(
        auto cursor, MergedCursor::Open(core.buffer, *core.index, source.id(), wanted.keys.lower,
                                        wanted.keys.upper, wanted.direction));
    uint64_t bytes = 0;
    while (cursor->Next()) {
      if (images.size() == wanted.items_max || (bytes >= wanted.bytes_max && !images.empty())) {
        more = true;
        break;
      }
      bytes += cursor->image().size();
      images.emplace_back(cursor->image());
    }
    TAILRACE_RETURN_IF_ERROR(cursor->status());
    rests_on = cursor->rests_on();
  }
  TAILRACE_RETURN_IF_ERROR(core.positions->WaitSafe(rests_on + 1));
  for (const std::string& image : images) {
    TAILRACE_ASSIGN_OR_RETURN(Item item, DecodeItem(image));
    page.items.push_back(std::move(item));
  }
  if (more) page.last_key = source.KeyOf(page.items.back());
  return page;
}

}  // namespace

Result<ItemPage> QueryItems(Core& core, const std::string& table, const QueryRequest& request) {
  TAILRACE_ASSIGN_OR_RETURN(const Source source, FindSource(core, table, request.index));
  Page page{.keys = {},
            .direction = request.forward ? Direction::kForward : Direction::kBackward,
            .items_max = request.items_max,
            .bytes_max = request.bytes_max};
  TAILRACE_ASSIGN_OR_RETURN(page.keys, source.Range(request.partition, request.sort));
  if (request.start_after) {
    TAILRACE_ASSIGN_OR_RETURN(std::string key, source.Encode(*request.start_after));
    if (request.forward) {
      page.keys.lower = std::max(page.keys.lower, key + '\0');
    } else {
      page.keys.upper = std::min(page.keys.upper, key);
    }
  }
  return ReadPage(core, source, page);
}

Result<ItemPage> ScanItems(Core& core, const std::string& table, const ScanRequest& request) {
  TAILRACE_ASSIGN_OR_RETURN(const Source source, FindSource(core, table, request.index));
  if (request.segment >= request.total_segments || request.total_segments > kScanSegmentsMax) {
    return InvalidArgument("a scan has 1 to " + std::to_string(kScanSegmentsMax) +
                           " segments, counted from 0");
  }
  Page page{.keys = SegmentRange(request.segment, request.total_segments),
            .direction = Direction::kForward,
            .items_max = request.items_max,
            .bytes_max = request.bytes_max};
  if (request.start_after) {
    TAILRACE_ASSIGN_OR_RETURN(std::string key, source.Encode(*request.start_after));
    if (key < page.keys.lower || (!page.keys.upper.empty() && key >= page.keys.upper)) {
      return InvalidArgument(error_text::WrongSegment(request.segment, request.total_segments));
    }
    page.keys.lower = key + '\0';
  }
  return ReadPage(core, source, page);
}

}  // namespace tailrace::engine
