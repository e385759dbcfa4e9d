// Deletes expired items, at a bounded pace.
//
// Items that expire next are known by time (engine/expiry_queue.h), so that a sweep costs as much
// as there is to delete. They are learnt from writes, and from a scan of each table that has a time
// to live: once after opening, once after it was enabled, and again when more expires than fits
// into the queue.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/core.h"
#include "engine/write_path.h"

namespace tailrace::engine {

class ExpirySweeper {
 public:
  // Both outlive this object.
  ExpirySweeper(Core& core, WritePath& writes) : core_(core), writes_(writes) {}

  // Goes on for about `items_max` items looked at or deleted. Whether something is left to do now.
  // Each deletion is an ordinary write by Actor::kTimeToLive, which looks at the item again and
  // which nobody waits for; while the journal is at its limit none is made. Not thread-safe.
  Result<bool> Run(uint64_t items_max);

  // Items that scans read, and items deleted. Thread-safe.
  uint64_t scanned() const { return scanned_.load(std::memory_order_relaxed); }
  uint64_t deleted() const { return deleted_.load(std::memory_order_relaxed); }

 private:
  // Of a table, from a storage key on.
  struct Scan {
    TableId table;
    std::string from;
  };
  using Entry = ExpiryQueue::Entry;
  struct Page {
    std::vector<Entry> expired;
    std::optional<std::string> next;  // Where the next page begins, if there is one.
  };

  void FollowCatalogue();
  Status DeleteDue();
  Status ScanOn();
  Result<Page> ReadPage(const Table& table, const std::string& from);
  Status Delete(const Entry& entry);
  Status OfferAgain(const Table& table, const Entry& entry);

  Core& core_;
  WritePath& writes_;
  std::map<TableId, TimeToLive> tables_;  // Those that were or will be scanned.
  std::vector<Scan> scans_;               // To do; the last one is under way.
  uint64_t catalogue_version_ = 0;
  uint64_t wall_ms_ = 0;  // What this run takes for now.
  uint64_t items_left_ = 0;
  std::atomic<uint64_t> scanned_{0};
  std::atomic<uint64_t> deleted_{0};
};

}  // namespace tailrace::engine
