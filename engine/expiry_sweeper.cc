#include "engine/expiry_sweeper.h"

#include <algorithm>
#include <utility>

#include "engine/expiry.h"
#include "engine/read_path.h"

namespace tailrace::engine {
namespace {

// A page keeps the generations that it reads from alive: it should be over soon.
constexpr uint64_t kPageItems = 500;

}  // namespace

Result<bool> ExpirySweeper::Run(uint64_t items_max) {
  wall_ms_ = core_.clock->WallMs();
  items_left_ = items_max;
  FollowCatalogue();
  Status status = DeleteDue();
  if (status.ok() && core_.expiries.complete_until_s() < wall_ms_ / 1000 && scans_.empty()) {
    core_.expiries.Restart();
    for (const auto& [table, time_to_live] : tables_) scans_.push_back({table, {}});
  }
  while (status.ok() && items_left_ > 0 && !scans_.empty()) status = ScanOn();
  if (status.code() == StatusCode::kBusy) return false;  // No room now: another round will.
  TAILRACE_RETURN_IF_ERROR(status);
  return items_left_ == 0;
}

// A table whose time to live was enabled is scanned; one without is forgotten. What the queue still
// has of it is dropped when its time comes.
void ExpirySweeper::FollowCatalogue() {
  const CatalogueHolder::Snapshot now = core_.catalogue.Get();
  if (now.version == catalogue_version_) return;
  catalogue_version_ = now.version;
  std::map<TableId, TimeToLive> tables;
  for (const auto& [name, table] : now.catalogue->tables()) {
    if (table.time_to_live.enabled()) tables.emplace(table.id, table.time_to_live);
  }
  for (const auto& entry : tables) {
    const TableId table = entry.first;
    const auto known = tables_.find(table);
    if (known != tables_.end() && known->second == entry.second) continue;
    std::erase_if(scans_, [table](const Scan& scan) { return scan.table == table; });
    scans_.push_back({table, {}});
  }
  tables_ = std::move(tables);
}

Status ExpirySweeper::DeleteDue() {
  while (items_left_ > 0) {
    const auto due = core_.expiries.PopDue(wall_ms_ / 1000);
    if (!due) return Status::Ok();
    --items_left_;
    if (const Status deleted = Delete(*due); !deleted.ok()) {
      core_.expiries.Offer(due->table, due->key, due->expiry_s);
      return deleted;
    }
  }
  return Status::Ok();
}

// Deletes what has expired on the next page. If that fails, the page is read again: what was
// deleted is gone from it.
Status ExpirySweeper::ScanOn() {
  const auto catalogue = core_.catalogue.Get().catalogue;
  const Table* table = catalogue->Find(scans_.back().table);
  if (table == nullptr || !table->time_to_live.enabled()) {
    scans_.pop_back();
    return Status::Ok();
  }
  TAILRACE_ASSIGN_OR_RETURN(const Page page, ReadPage(*table, scans_.back().from));
  for (const Entry& entry : page.expired) TAILRACE_RETURN_IF_ERROR(Delete(entry));
  if (page.next) {
    scans_.back().from = *page.next;
  } else {
    scans_.pop_back();
  }
  return Status::Ok();
}

// What expires later goes to the queue.
Result<ExpirySweeper::Page> ExpirySweeper::ReadPage(const Table& table, const std::string& from) {
  TAILRACE_ASSIGN_OR_RETURN(auto cursor, MergedCursor::Open(core_.buffer, *core_.index, table.id,
                                                            from, "", Direction::kForward));
  Page page;
  const uint64_t items = std::min(kPageItems, items_left_);
  for (uint64_t seen = 0; cursor->Next(); ++seen) {
    if (seen == items) {
      page.next = cursor->key();
      break;
    }
    scanned_.fetch_add(1, std::memory_order_relaxed);
    const auto expiry_s = ExpiryOf(cursor->image(), table.time_to_live.attribute);
    if (!expiry_s) continue;
    if (IsExpired(*expiry_s, wall_ms_)) {
      page.expired.push_back({table.id, std::string(cursor->key()), *expiry_s});
    } else if (*expiry_s >= wall_ms_ / 1000) {
      core_.expiries.Offer(table.id, cursor->key(), *expiry_s);
    }
  }
  TAILRACE_RETURN_IF_ERROR(cursor->status());
  items_left_ -= items;
  return page;
}

// Deletes the item unless its time is not over any more.
Status ExpirySweeper::Delete(const Entry& entry) {
  const auto catalogue = core_.catalogue.Get().catalogue;
  const Table* table = catalogue->Find(entry.table);
  if (table == nullptr || !table->time_to_live.enabled()) return Status::Ok();
  TAILRACE_ASSIGN_OR_RETURN(const Item key, DecodeKey(table->keys, entry.key));
  core_.Pause(PausePoint::kBeforeExpiryDelete);
  const auto outcome = writes_.DeleteExpired(table->name, key, wall_ms_);
  if (outcome.status().code() == StatusCode::kNotFound) return Status::Ok();  // The table went.
  TAILRACE_RETURN_IF_ERROR(outcome.status());
  if (*outcome == WriteOutcome::kRejected) return OfferAgain(*table, entry);
  deleted_.fetch_add(1, std::memory_order_relaxed);
  return Status::Ok();
}

// The item was renewed, perhaps before the queue last heard of it.
Status ExpirySweeper::OfferAgain(const Table& table, const Entry& entry) {
  TAILRACE_ASSIGN_OR_RETURN(const FoundItem found,
                            FindItem(core_.buffer, *core_.index, table.id, entry.key));
  if (!found.image) return Status::Ok();
  const auto expiry_s = ExpiryOf(*found.image, table.time_to_live.attribute);
  if (expiry_s && *expiry_s >= wall_ms_ / 1000) {
    core_.expiries.Offer(table.id, entry.key, *expiry_s);
  }
  return Status::Ok();
}

}  // namespace tailrace::engine
