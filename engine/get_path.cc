#include "engine/get_path.h"

#include <algorithm>

#include "engine/item_codec.h"
#include "engine/read_path.h"
#include "wal/mutants.h"

namespace tailrace::engine {
namespace {

// Where an item lies.
struct Place {
  TableId table;
  std::string key;  // Storage key.
};

Result<Place> FindPlace(const Catalogue& catalogue, const std::string& table, const Item& key) {
  const Table* found = catalogue.Find(table);
  if (found == nullptr) return NotFound("there is no table '" + table + "'");
  TAILRACE_ASSIGN_OR_RETURN(std::string storage_key, EncodeKey(found->keys, key));
  return Place{found->id, std::move(storage_key)};
}

Result<std::vector<FoundItem>> FindEach(Core& core, const std::vector<Place>& places) {
  std::vector<FoundItem> found;
  for (const Place& place : places) {
    TAILRACE_ASSIGN_OR_RETURN(FoundItem one,
                              FindItem(core.buffer, *core.index, place.table, place.key));
    found.push_back(std::move(one));
  }
  return found;
}

Result<std::vector<FoundItem>> FindTogether(Core& core, const std::vector<Place>& places) {
  std::vector<KeyLocks::Key> keys;
  for (const Place& place : places) keys.push_back({place.table, place.key});
  const KeyLocks::Held held = core.key_locks.Lock(keys);
  return FindEach(core, places);
}

// Whether the tables that were read were there until now: a table may be dropped, and a change made
// after that, while its items are read.
bool TablesStand(const Core& core, const std::vector<Place>& places, uint64_t version) {
  if (core.catalogue.version() == version) return true;
  const auto catalogue = core.catalogue.Get().catalogue;
  return std::all_of(places.begin(), places.end(),
                     [&](const Place& place) { return catalogue->Find(place.table) != nullptr; });
}

Result<std::optional<Item>> Decode(const FoundItem& found) {
  if (!found.image) return std::optional<Item>();
  TAILRACE_ASSIGN_OR_RETURN(Item item, DecodeItem(*found.image));
  return std::optional<Item>(std::move(item));
}

}  // namespace

Result<std::optional<Item>> GetItem(Core& core, const std::string& table, const Item& key) {
  const auto catalogue = core.catalogue.Get().catalogue;
  TAILRACE_ASSIGN_OR_RETURN(const Place place, FindPlace(*catalogue, table, key));
  TAILRACE_ASSIGN_OR_RETURN(const FoundItem found,
                            FindItem(core.buffer, *core.index, place.table, place.key));
  if (!TAILRACE_MUTANT("get-answered-at-once")) {
    TAILRACE_RETURN_IF_ERROR(
        core.positions->WaitSafe(std::max(found.rests_on + 1, catalogue->lsn())));
  }
  return Decode(found);
}

Result<std::vector<std::optional<Item>>> GetItems(Core& core, const std::vector<ItemKey>& keys,
                                                  Together together) {
  while (true) {
    const CatalogueHolder::Snapshot snapshot = core.catalogue.Get();
    std::vector<Place> places;
    for (const ItemKey& key : keys) {
      auto place = FindPlace(*snapshot.catalogue, key.table, key.key);
      if (!place.ok()) {
        return place.status().WithContext("key " + std::to_string(places.size()));
      }
      places.push_back(*std::move(place));
    }
    auto found = together == Together::kYes ? FindTogether(core, places) : FindEach(core, places);
    TAILRACE_RETURN_IF_ERROR(found.status());
    if (together == Together::kYes && !TablesStand(core, places, snapshot.version)) continue;

    Lsn rests_on;
    for (const FoundItem& one : *found) rests_on = std::max(rests_on, one.rests_on);
    TAILRACE_RETURN_IF_ERROR(
        core.positions->WaitSafe(std::max(rests_on + 1, snapshot.catalogue->lsn())));
    std::vector<std::optional<Item>> items;
    for (const FoundItem& one : *found) {
      TAILRACE_ASSIGN_OR_RETURN(auto item, Decode(one));
      items.push_back(std::move(item));
    }
    return items;
  }
}

}  // namespace tailrace::engine
