// Reads one shard for a consumer: of a bootstrap the items first, then the records.
//
// How a bootstrap hands over. At every moment some of the shard's keys are seen: the consumer has
// been shown their items exactly as they were at its position in the shard's log. The other keys,
// a few ranges, are unseen. That is the invariant, and it is all that a checkpoint stores, so a
// bootstrap that a crash cut short goes on from there. To move on, the log is read to its end for
// what concerns seen keys; what concerns others the table will show. Then some more items are read
// from the table, each with the commit that made it so, and the log is followed past everything
// that this reading can have met. Of the new items, records up to that commit are dropped, and
// later ones handed out with them; where there was no item, so are records up to its last deletion.
// Now the new keys are as they were at the position, and seen.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/consumer_host.h"
#include "engine/consumer_items.h"

namespace tailrace::engine {

// Ranges of storage keys in which an empty `upper` means no bound.
KeyRange KeysOf(uint64_t hash_first, uint64_t hash_last);
KeyRange Intersection(const KeyRange& a, const KeyRange& b);
bool IsEmpty(const KeyRange& range);

// Where a consumer stands in a shard.
struct TailPoint {
  Position next;
  std::vector<KeyRange> unseen;  // As LeaseRecord::unseen.
};

struct TailPage {
  std::optional<Gap> gap;
  std::vector<SnapshotItem> items;
  std::vector<ChangeRecord> records;
  bool end_of_shard = false;
  TailPoint next;
};

// Thread-compatible. Store and host outlive it.
class ShardTail {
 public:
  ShardTail(Store& store, ConsumerHost& host, TableId table, KeySchema keys, PageLimits limits)
      : store_(store), host_(host), table_(table), keys_(std::move(keys)), limits_(limits) {}

  // The next page behind `from`; absent: there is nothing now. While keys are unseen there always
  // is one. Errors as Store::ReadShard.
  Result<std::optional<TailPage>> Read(const TailPoint& from) const;

 private:
  Result<std::optional<TailPage>> ReadRecords(const TailPoint& from) const;
  Result<TailPage> ReadItems(const TailPoint& from) const;
  Status KeepNew(std::vector<ChangeRecord> records, const std::map<std::string, Lsn>& shown,
                 const KeyRange& now_seen, TailPage& page) const;

  Store& store_;
  ConsumerHost& host_;
  const TableId table_;
  const KeySchema keys_;
  const PageLimits limits_;
};

}  // namespace tailrace::engine
