// What consumers and merged readers need of an open store beyond its public face.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/store.h"
#include "engine/system_table.h"
#include "wal/clock.h"

namespace tailrace::engine {

// Thread-safe, as Store.
class ConsumerHost : public SystemTables {
 public:
  // The host of `store`; kInvalidArgument if it is none of ours. Lives as long as the store.
  static Result<ConsumerHost*> Of(Store& store);

  // Whether the store can be called: kClosed; kFailedPrecondition in a forked child, and within a
  // callable of a write.
  virtual Status MayCall() const = 0;

  virtual const Clock& clock() const = 0;

  // Readers see every record below.
  virtual Lsn fanned_out() const = 0;

  // Some items of a table in the order of their storage keys, each with the commit that made it so.
  struct KeyedItem {
    std::string key;
    Lsn lsn;
    Item item;
  };
  struct KeyedPage {
    std::vector<KeyedItem> items;
    bool more = false;  // There are more within the range.
    Lsn met_below;      // Nothing that the reading met, items that were gone included, is later.
  };
  // Those with lower <= key, and key < upper unless that is empty; each as some moment during the
  // call had it, and safe. kNotFound (the table was dropped).
  virtual Result<KeyedPage> ReadItems(TableId table, const std::string& lower,
                                      const std::string& upper, const PageLimits& limits) = 0;

  // See shards::ShardSet.
  virtual Result<shards::Backlog> BacklogFrom(const Position& position) = 0;
};

}  // namespace tailrace::engine
