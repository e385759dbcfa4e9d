#include "tools/packages_oracle.h"

#include <map>
#include <unordered_map>

#include "engine/item_codec.h"
#include "tools/format.h"
#include "tools/stream_records.h"
#include "tools/text.h"
#include "wal/hash.h"

namespace tailrace::tools {
namespace {

// Items by the hash of their encoding, under their storage keys.
using ItemHashes = std::unordered_map<std::string, uint64_t>;

uint64_t HashOf(const Item& item) { return Hash64(EncodeItem(item)); }

Status ForEachItem(Store& store, const std::function<Status(const Item&)>& visit) {
  ScanRequest request;
  while (true) {
    TAILRACE_ASSIGN_OR_RETURN(const ItemPage page, store.Scan(kPackagesTable, request));
    for (const Item& item : page.items) TAILRACE_RETURN_IF_ERROR(visit(item));
    if (!page.last_key) return Status::Ok();
    request.start_after = page.last_key;
  }
}

// The stream as a fold: what it leaves of each key, and what is wrong with it.
struct Fold {
  ItemHashes items;
  uint64_t records = 0;
  uint64_t inserts = 0, modifies = 0, removes = 0;
  uint64_t misfits = 0;  // Records that do not follow from those before them.
};

void Apply(const ChangeRecord& record, uint64_t ordinal_before, SequenceNumber sequence_before,
           const std::string& key, Fold& fold) {
  const auto known = fold.items.find(key);
  const bool existed = known != fold.items.end();
  bool fits = record.ordinal == ordinal_before + 1 && record.sequence > sequence_before &&
              existed == record.old_image.has_value() &&
              existed == (record.kind != ChangeKind::kInsert) &&
              record.new_image.has_value() == (record.kind != ChangeKind::kRemove);
  if (fits && existed) fits = HashOf(*record.old_image) == known->second;
  fold.misfits += fits ? 0 : 1;
  ++fold.records;
  ++(record.kind == ChangeKind::kInsert   ? fold.inserts
     : record.kind == ChangeKind::kModify ? fold.modifies
                                          : fold.removes);
  if (record.new_image) {
    fold.items[key] = HashOf(*record.new_image);
  } else {
    fold.items.erase(key);
  }
}

Result<Fold> FoldStream(Store& store) {
  TAILRACE_ASSIGN_OR_RETURN(const auto streams, store.ListStreams(kPackagesTable));
  if (streams.size() != 1)
    return FailedPrecondition("the table of packages should have one stream");
  Fold fold;
  std::map<ShardId, std::pair<uint64_t, SequenceNumber>> last;
  TAILRACE_RETURN_IF_ERROR(
      ForEachRecord(store, streams[0], [&](const ChangeRecord& record) -> Status {
        TAILRACE_ASSIGN_OR_RETURN(const std::string key, EncodeKey(PackageKeys(), record.keys));
        auto& [ordinal, sequence] = last[record.shard];
        Apply(record, ordinal, sequence, key, fold);
        ordinal = record.ordinal;
        sequence = record.sequence;
        return Status::Ok();
      }));
  return fold;
}

// What a package may be: after what was acknowledged, and after what was not but may have happened.
struct Allowed {
  bool absent = false;
  std::vector<uint64_t> hashes;
};

Allowed AllowedFor(const Item& package, bool imported, const PackageChange* change,
                   bool change_made, bool may_change) {
  Allowed allowed{.absent = !imported};
  if (!change_made) allowed.hashes.push_back(HashOf(package));
  if (change != nullptr && (change_made || may_change)) {
    const auto changed = Changed(package, change->kind);
    if (changed)
      allowed.hashes.push_back(HashOf(*changed));
    else
      allowed.absent = true;
  }
  return allowed;
}

}  // namespace

Status CheckAcknowledged(DemoText& text, Store& store, const std::vector<Item>& packages,
                         const Acknowledged& acknowledged) {
  ItemHashes items;
  TAILRACE_RETURN_IF_ERROR(ForEachItem(store, [&](const Item& item) -> Status {
    TAILRACE_ASSIGN_OR_RETURN(std::string key, EncodeKeyOfItem(PackageKeys(), item));
    items[std::move(key)] = HashOf(item);
    return Status::Ok();
  }));
  const uint64_t found = items.size();
  const std::vector<PackageChange> changes = PlanChanges(packages.size());
  const bool importing = acknowledged.packages < packages.size();
  uint64_t wrong = 0;
  uint64_t next_change = 0;
  for (size_t i = 0; i < packages.size(); ++i) {
    const bool has_change = next_change < changes.size() && changes[next_change].package == i;
    const PackageChange* change = has_change ? &changes[next_change] : nullptr;
    const bool made = has_change && next_change < acknowledged.changes;
    const Allowed allowed =
        AllowedFor(packages[i], i < acknowledged.packages, change, made, /*may_change=*/!importing);
    next_change += has_change ? 1 : 0;
    TAILRACE_ASSIGN_OR_RETURN(const std::string key, EncodeKeyOfItem(PackageKeys(), packages[i]));
    const auto item = items.find(key);
    const bool right = item == items.end() ? allowed.absent
                                           : std::find(allowed.hashes.begin(), allowed.hashes.end(),
                                                       item->second) != allowed.hashes.end();
    wrong += right ? 0 : 1;
    if (item != items.end()) items.erase(item);
  }
  TAILRACE_RETURN_IF_ERROR(text.Claim(
      wrong == 0, Cat("all ", CountText(acknowledged.packages), " acknowledged packages and ",
                      CountText(acknowledged.changes), " acknowledged changes are there (",
                      CountText(found), " items)")));
  return text.Claim(items.empty(), "no item is there that nobody wrote");
}

Status CheckDerived(DemoText& text, Store& store) {
  TAILRACE_ASSIGN_OR_RETURN(Fold fold, FoldStream(store));
  SectionTotals recomputed;
  uint64_t items = 0;
  uint64_t differing = 0;
  TAILRACE_RETURN_IF_ERROR(ForEachItem(store, [&](const Item& item) -> Status {
    ++items;
    AddPackage(item, recomputed);
    TAILRACE_ASSIGN_OR_RETURN(const std::string key, EncodeKeyOfItem(PackageKeys(), item));
    const auto folded = fold.items.find(key);
    differing += folded == fold.items.end() || folded->second != HashOf(item) ? 1 : 0;
    return Status::Ok();
  }));
  TAILRACE_RETURN_IF_ERROR(text.Claim(
      fold.misfits == 0,
      Cat("the stream's ", CountText(fold.records), " records (", CountText(fold.inserts),
          " INSERT, ", CountText(fold.modifies), " MODIFY, ", CountText(fold.removes),
          " REMOVE) have no hole, no duplicate, and fit one another")));
  TAILRACE_RETURN_IF_ERROR(
      text.Claim(differing == 0 && fold.items.size() == items,
                 Cat("fold(stream) = table: ", CountText(items), " items, equal byte for byte")));
  TAILRACE_ASSIGN_OR_RETURN(const SectionTotals derived, ReadSectionRows(store));
  TAILRACE_RETURN_IF_ERROR(
      text.Claim(derived == recomputed, Cat("derived table = recomputation from the table: ",
                                            CountText(derived.size()), " sections")));
  TAILRACE_ASSIGN_OR_RETURN(const uint64_t counted, RecordsCounted(store));
  return text.Claim(counted == fold.records,
                    Cat("the reader counted each record exactly once: ", CountText(counted)));
}

Result<uint64_t> RecordsCounted(Store& store) {
  TAILRACE_ASSIGN_OR_RETURN(const auto streams, store.ListStreams(kPackagesTable));
  if (streams.empty()) return FailedPrecondition("the table of packages has no stream");
  TAILRACE_ASSIGN_OR_RETURN(const auto reader, SectionReader::Open(store, streams[0].id));
  return reader->records_ever();
}

}  // namespace tailrace::tools
