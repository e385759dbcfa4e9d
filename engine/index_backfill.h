// Filling new indexes with the items that were there before them.
//
// From the frame that makes an index on, writes carry deltas for it; so an item written since then
// is in the index already, and any other has the entry that it has now. Upkeep reads the table in
// key order. Each item that belongs into the index is read again under its key's lock, as a writer
// would, and its entry goes into a commit of entries, which changes no item and goes to no stream.
// The same commit notes how far the filling has come, in an item among the entries, so that it goes
// on from there after a crash. A last frame makes the index active.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/checkpointer.h"
#include "engine/core.h"
#include "engine/index_entry.h"

namespace tailrace::engine {

// Where an index keeps how far its filling has come. No entry has this key: it is too short.
inline constexpr std::string_view kBackfillKey("\0\0\0\0\0\0\0\0", 8);

// The item there: everything up to this storage key of the table is in the index.
Item BackfillItem(ByteView through);

class IndexBackfill {
 public:
  // Both outlive this object.
  IndexBackfill(Core& core, Checkpointer& checkpointer)
      : core_(core), checkpointer_(checkpointer) {}

  // Goes on for about `items_max` items read. Whether something is left to do. kBusy: the journal
  // is at its limit; errors of the disk. Either way a later call goes on. Not thread-safe.
  Result<bool> Run(uint64_t items_max);

 private:
  // Of the table, behind from_: the keys of items that belong into the index.
  struct Page {
    std::vector<std::string> keys;
    std::string through;  // The last key that was read.
    bool is_last = false;
  };

  Status Begin(const Index& index);
  Result<Page> ReadPage(const Table& table, const Index& index);
  Status FillPage(const Table& table, const Index& index);
  Result<bool> AddEntries(const Table& table, const Index& index, const Page& page);
  Status Append(const Index& index, shards::Commit& commit);
  Status Activate(const Table& table, const Index& index);

  Core& core_;
  Checkpointer& checkpointer_;
  uint64_t idle_version_ = 0;  // Of a catalogue in which all indexes are active.
  TableId filling_;            // The index under way; 0: none.
  std::string from_;           // Where in its table to go on.
  bool noted_ = false;         // The index has an item that says how far it is.
  uint64_t items_left_ = 0;
};

}  // namespace tailrace::engine
