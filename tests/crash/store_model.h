// What a store must hold: a plain model of tables, an index and streams, and the same read from a
// store, both as one canonical text.
//
// Tables have rows of a fixed form (StoreRow) under a number. "a" may have a global index by color;
// any table may have a stream.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/store.h"

namespace tailrace::test {

inline constexpr char kColorIndex[] = "by_color";

struct StoreRow {
  int64_t count = 0;
  char color = '-';  // '-': none, so not in the index.
  uint32_t text_bytes = 0;

  friend bool operator==(const StoreRow&, const StoreRow&) = default;
};

Item ItemOf(int64_t id, const StoreRow& row);
Item KeyOfRow(int64_t id);

struct StoreModel {
  struct Record {
    int64_t id = 0;
    std::optional<StoreRow> old_row;
    std::optional<StoreRow> new_row;
    uint64_t at_ms = 0;
    SequenceNumber sequence;  // Once known.
  };
  struct Stream {
    std::string table;
    ViewType view{};
    bool enabled = true;
    std::vector<std::pair<uint64_t, uint64_t>> open;  // Hash ranges of its open shards, sorted.
    std::vector<Record> records;                      // In commit order.
  };
  enum class Index { kNone, kFilling, kActive };
  struct Table {
    std::map<int64_t, StoreRow> rows;
    std::optional<size_t> stream;  // The enabled one, in `streams`.
    Index index = Index::kNone;
  };
  std::map<std::string, Table> tables;
  std::vector<Stream> streams;  // By age. Those that are disabled and empty do not count.

  // The row becomes `row`; without a change nothing happens. The table is there.
  void Set(const std::string& table, int64_t id, std::optional<StoreRow> row, uint64_t now_ms);

  // A new stream of the table, of one shard.
  void Enable(const std::string& table, ViewType view);
  void Disable(const std::string& table);

  // Records that are at least so old go.
  void Trim(uint64_t now_ms, uint64_t retention_ms);

  // All that readers see, a line each.
  std::string Text() const;

  // Sequence numbers of all records, in the order of Text; 0 where not known.
  std::vector<uint64_t> Sequences() const;
};

struct StoreDump {
  std::string text;
  std::vector<uint64_t> sequences;
};

// Reads all of a store. Errors: the store's, and kCorruption where a stream contradicts itself:
// ordinals with holes, numbers that do not rise or lie outside their shard, gaps.
Result<StoreDump> DumpStore(Store& store);

// The first line in which two texts differ.
std::string FirstDifference(const std::string& expected, const std::string& found);

}  // namespace tailrace::test
