// Entries of indexes: which entry an item has, and what a change of the item does to it.
//
// All of it works on encoded items, without decoding them: an entry's key is made of the very bytes
// that the item holds, and what is projected is a selection of its fields. Thread-safe: free
// functions and values.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/catalogue.h"
#include "shards/commit.h"
#include "wal/status.h"
#include "wal/types.h"

namespace tailrace::engine {

struct IndexEntry {
  std::string key;                   // See EncodeEntryKey.
  std::optional<std::string> image;  // The projected item; absent: the whole item is.
};

// The item's entry, under its storage key; absent if it is not in the index: it lacks a key
// attribute, or has one of another type, empty or too long. Any bytes are safe.
std::optional<IndexEntry> EntryOf(const Index& index, ByteView storage_key, ByteView image);

// kInvalidArgument, in the service's words, if the item has a key attribute of the index which is
// of another type, empty or too long. Writers refuse such items; what was there before an index is
// just not in it.
Status CheckIndexKeys(const Index& index, ByteView image);

// What a change does to one index.
struct EntryChange {
  TableId index;
  std::optional<std::string> removed;
  std::optional<std::string> put;
  std::optional<std::string> image;  // Absent: the new image is.

  // What it takes in a commit, at most.
  size_t Bytes() const;
  shards::IndexDelta View() const { return {index, removed, put, image}; }
};

// What replacing one image of an item (absent: no item) by another does to the table's indexes.
// kInvalidArgument as CheckIndexKeys of the new one.
Result<std::vector<EntryChange>> ChangesOfEntries(const Table& table, ByteView storage_key,
                                                  const std::optional<std::string>& old_image,
                                                  const std::optional<std::string>& new_image);

}  // namespace tailrace::engine
