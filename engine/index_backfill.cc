#include "engine/index_backfill.h"

#include <algorithm>
#include <utility>

#include "engine/catalogue_writer.h"
#include "engine/item_codec.h"
#include "engine/read_path.h"
#include "wal/mutants.h"

namespace tailrace::engine {
namespace {

constexpr char kThrough[] = "through";

// A page keeps the generations that it reads from alive, and its keys are locked together while
// they are read again: it should be over soon.
constexpr uint64_t kPageItems = 256;

// A commit of entries takes about so much of a segment of the journal, at most.
constexpr uint64_t kCommitsPerSegment = 16;

struct NextIndex {
  const Table* table = nullptr;
  const Index* index = nullptr;
};

NextIndex FindUnfilled(const Catalogue& catalogue) {
  for (const auto& [name, table] : catalogue.tables()) {
    for (const Index& index : table.indexes) {
      if (index.state == IndexState::kBackfilling) return {&table, &index};
    }
  }
  return {};
}

// An entry, and the item's image that it may be.
struct NewEntry {
  IndexEntry entry;
  std::string item;

  ByteView image() const { return entry.image ? ByteView(*entry.image) : ByteView(item); }
  uint64_t bytes() const { return entry.key.size() + image().size(); }
};

// Entries for a commit: those of the first `done` keys of a page.
struct Batch {
  std::vector<NewEntry> entries;
  size_t done = 0;
};

// The entries that these items have now. The caller holds their keys' locks.
Result<Batch> ReadEntries(Core& core, const Table& table, const Index& index,
                          const std::vector<std::string>& keys) {
  const uint64_t bytes_max = core.options.journal_segment_bytes / kCommitsPerSegment;
  Batch batch;
  uint64_t bytes = 0;
  for (; batch.done < keys.size(); ++batch.done) {
    const std::string& key = keys[batch.done];
    TAILRACE_ASSIGN_OR_RETURN(FoundItem now, FindItem(core.buffer, *core.index, table.id, key));
    if (!now.image) continue;
    auto entry = EntryOf(index, key, *now.image);
    if (!entry) continue;
    NewEntry added{*std::move(entry), *std::move(now.image)};
    if (bytes > 0 && bytes + added.bytes() > bytes_max) break;
    bytes += added.bytes();
    batch.entries.push_back(std::move(added));
  }
  return batch;
}

shards::Change EntryOfIndex(TableId index, ByteView key, std::optional<ByteView> image) {
  shards::Change change;
  change.table = index;
  change.key = key;
  change.new_image = image;
  change.existed = !image.has_value();
  return change;
}

}  // namespace

Item BackfillItem(ByteView through) { return Item{{kThrough, Value::B(std::string(through))}}; }

Result<bool> IndexBackfill::Run(uint64_t items_max) {
  items_left_ = items_max;
  while (items_left_ > 0) {
    const CatalogueHolder::Snapshot now = core_.catalogue.Get();
    if (now.version == idle_version_) return false;
    const NextIndex next = FindUnfilled(*now.catalogue);
    if (next.index == nullptr) {
      idle_version_ = now.version;
      return false;
    }
    TAILRACE_RETURN_IF_ERROR(core_.Writable());
    if (!checkpointer_.HasRoom()) return Busy("the journal is at its limit");
    if (filling_ != next.index->id) TAILRACE_RETURN_IF_ERROR(Begin(*next.index));
    TAILRACE_RETURN_IF_ERROR(FillPage(*next.table, *next.index));
    checkpointer_.RequestIfFull();
  }
  return true;
}

// Finds how far an earlier run came.
Status IndexBackfill::Begin(const Index& index) {
  TAILRACE_ASSIGN_OR_RETURN(const FoundItem found,
                            FindItem(core_.buffer, *core_.index, index.id, kBackfillKey));
  from_.clear();
  noted_ = found.image.has_value();
  if (noted_) {
    TAILRACE_ASSIGN_OR_RETURN(const Item item, DecodeItem(*found.image));
    const Binary* through = item.GetBinary(kThrough);
    if (through == nullptr) {
      return Corruption("index '" + index.spec.name + "' does not say how far it is filled");
    }
    from_ = through->bytes + '\0';
  }
  filling_ = index.id;
  return Status::Ok();
}

Result<IndexBackfill::Page> IndexBackfill::ReadPage(const Table& table, const Index& index) {
  TAILRACE_ASSIGN_OR_RETURN(auto cursor, MergedCursor::Open(core_.buffer, *core_.index, table.id,
                                                            from_, "", Direction::kForward));
  Page page;
  uint64_t bytes = 0;
  const uint64_t bytes_max = core_.options.journal_segment_bytes / kCommitsPerSegment;
  const uint64_t items = std::min(kPageItems, items_left_);
  while (items_left_ > 0 && page.keys.size() < items && bytes < bytes_max) {
    if (!cursor->Next()) {
      page.is_last = true;
      break;
    }
    --items_left_;
    page.through = cursor->key();
    bytes += cursor->image().size();
    if (EntryOf(index, cursor->key(), cursor->image())) page.keys.push_back(page.through);
  }
  TAILRACE_RETURN_IF_ERROR(cursor->status());
  return page;
}

Status IndexBackfill::FillPage(const Table& table, const Index& index) {
  TAILRACE_ASSIGN_OR_RETURN(const Page page, ReadPage(table, index));
  core_.Pause(PausePoint::kBeforeBackfill);
  TAILRACE_ASSIGN_OR_RETURN(const bool whole, AddEntries(table, index, page));
  return whole && page.is_last ? Activate(table, index) : Status::Ok();
}

// Adds the entries of the page's items, or of as many as fit into a commit. Whether all did.
Result<bool> IndexBackfill::AddEntries(const Table& table, const Index& index, const Page& page) {
  std::vector<KeyLocks::Key> locks;
  for (const std::string& key : page.keys) locks.push_back({table.id, key});
  if (TAILRACE_MUTANT("backfill-without-locks")) locks.clear();
  const KeyLocks::Held held = core_.key_locks.Lock(locks);
  TAILRACE_ASSIGN_OR_RETURN(const Batch batch, ReadEntries(core_, table, index, page.keys));
  const bool whole = batch.done == page.keys.size();
  const std::string through = whole ? page.through : page.keys[batch.done - 1];
  const std::string noted(TAILRACE_MUTANT("backfill-forgets-a-page") ? "\xff" : through);
  const std::string note = EncodeItem(BackfillItem(noted));
  shards::Commit commit;
  for (const NewEntry& added : batch.entries) {
    commit.changes.push_back(EntryOfIndex(index.id, added.entry.key, added.image()));
  }
  const bool last = whole && page.is_last;
  if (!last) {
    commit.changes.push_back(EntryOfIndex(index.id, kBackfillKey, note));
  } else if (noted_) {
    commit.changes.push_back(EntryOfIndex(index.id, kBackfillKey, std::nullopt));
  }
  if (!commit.changes.empty()) TAILRACE_RETURN_IF_ERROR(Append(index, commit));
  noted_ = !last;
  from_ = through + '\0';
  return whole;
}

// Nothing happens if the index was dropped.
Status IndexBackfill::Append(const Index& index, shards::Commit& commit) {
  const GateShared gate(core_.gate);
  if (!core_.catalogue.Get().catalogue->Holds(index.id)) return Status::Ok();
  TAILRACE_RETURN_IF_ERROR(core_.Writable());
  const ClockReading now = core_.clock->Now();
  commit.wall_ms = now.wall_ms;
  commit.age_ms = now.stamp_ms();
  return AppendCommit(core_, commit).status();
}

Status IndexBackfill::Activate(const Table& table, const Index& index) {
  filling_ = TableId{};
  bool active = false;
  TAILRACE_RETURN_IF_ERROR(
      ChangeCatalogue(core_, [&](const Catalogue& now, frames::Catalogue& change) {
        active = now.Holds(index.id);
        if (active) change.add_changes()->mutable_activate_index()->set_index(index.id.value);
        return Status::Ok();
      }));
  if (active) {
    core_.Report(Event::Kind::kIndexActive,
                 "index '" + index.spec.name + "' of table '" + table.name + "' can be read");
  }
  return Status::Ok();
}

}  // namespace tailrace::engine
