// The shard logs of a damaged store, made anew in another one.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/salvage.h"
#include "engine/store_builder.h"
#include "shards/frames.pb.h"

namespace tailrace::engine {

struct SalvagedLogs {
  // Of the new store, at the same cut.
  std::vector<frames::ShardEnd> ends;
  frames::StreamCatalogueState streams;

  // What each key's last record made of its item, where no later record can be missing: of tables
  // whose stream is enabled and shows new images.
  struct Change {
    Lsn commit;
    std::optional<std::string> image;  // Absent: deleted.
  };
  std::map<std::pair<TableId, std::string>, Change> last_changes;
};

// Reads each shard's log up to its end at the cut, and writes what lies behind its last hole:
// readers never pass over a hole, so the trim point moves behind it, and ordinals begin at 1 again.
// What is lost, or left out since it lies before a hole, goes to `losses`. Errors: the file
// system's.
Result<SalvagedLogs> SalvageLogs(wal::FileSystem& fs, const std::string& streams, const Cut& cut,
                                 StoreBuilder& builder, std::vector<SalvageLoss>& losses);

}  // namespace tailrace::engine
