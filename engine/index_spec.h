// Secondary indexes as callers name and see them. Thread-safe: values and a free function.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/key.h"
#include "shards/types.h"
#include "wal/status.h"

namespace tailrace {

// What an index's entries hold. Values are on disk (frames::Projection): never change one.
enum class Projection : uint32_t {
  kAll = 1,       // The whole item.
  kKeysOnly = 2,  // The key attributes of table and index.
  kInclude = 3,   // Those, and the attributes that `included` names.
};

// "ALL", "KEYS_ONLY" or "INCLUDE".
std::string_view ProjectionName(Projection projection);

// An index has an entry for each item that has all its key attributes with its types; others are
// not in it. Several items may share a key.
struct IndexSpec {
  std::string name;    // As a table's; unique within the table.
  KeySchema keys;      // Of the index; the table's own may be among them.
  bool local = false;  // It has the table's partition key, and a sort key of its own.
  Projection projection = Projection::kAll;
  std::vector<std::string> included = {};  // Of kInclude.

  friend bool operator==(const IndexSpec&, const IndexSpec&) = default;
};

enum class IndexState {
  kBackfilling,  // Upkeep adds the items that were there before. Not to be read yet.
  kActive,
};

// "BACKFILLING" or "ACTIVE".
std::string_view IndexStateName(IndexState state);

struct IndexInfo {
  IndexSpec spec;
  TableId id;  // Its incarnation: unique in the store among tables and indexes.
  uint64_t created_ms = 0;
  IndexState state = IndexState::kBackfilling;
};

// kInvalidArgument unless a table with these keys may have all these indexes at once: their names
// and keys are valid, no name repeats, there are not too many (kGlobalIndexesMax, kLocalIndexesMax,
// kIndexAttributesMax, kTableIndexAttributesMax), a local index has the table's partition key and
// another sort key, the table has a sort key if it has a local index, an attribute is of one type
// in all keys, and `included` names attributes if and only if the projection is kInclude.
Status ValidateIndexes(const KeySchema& table, std::span<const IndexSpec> indexes);

}  // namespace tailrace
