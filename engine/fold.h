// The fold: how a journal frame changes the state of a store. Recovery runs it over what the
// journal kept, a live write over the frame it just appended, a test's oracle over all of it; a
// replica would too.
#pragma once

#include <cstdint>
#include <optional>

#include "engine/catalogue.h"
#include "shards/commit.h"
#include "wal/journal.h"
#include "wal/status.h"

namespace tailrace::engine {

// Where the items of the fold live: the write buffer, or a plain map.
class ItemSink {
 public:
  virtual ~ItemSink() = default;

  // The item under `key` (of a table, or an index's entry) becomes `image` (absent: deleted) by the
  // change at `lsn`. The views stay valid as long as the frame does.
  virtual void SetItem(TableId table, ByteView key, Lsn lsn, std::optional<ByteView> image) = 0;
};

// The last reading of the clock in the journal: frames carry the time and the store's age.
struct ClockReading {
  uint64_t wall_ms = 0;
  uint64_t age_ms = 0;
  uint64_t pending_downtime_ms = 0;  // Found at an opening, not counted as age yet.

  // The age that frames other than Clock carry: as if the pending downtime counted already, for it
  // lies before them. When it is confirmed they do not look older for it.
  uint64_t stamp_ms() const { return age_ms + pending_downtime_ms; }
};

// Everything but the items, as of `end`.
struct FoldState {
  Catalogue catalogue;
  ClockReading clock;
  Lsn end;
};

// Applies one frame of the caller's types. kCorruption: the payload cannot be read or does not fit
// the state. Shard logs fold the same frame on their own (shards::ShardSet::Apply).
Status ApplyFrame(const wal::Frame& frame, FoldState& state, ItemSink& items);

// The part of ApplyFrame that concerns items.
Status ApplyCommit(const wal::Frame& frame, ItemSink& items, ClockReading* clock);

}  // namespace tailrace::engine
