// Which tables and streams exist: a fold over the journal's Catalogue and Trim frames.
//
// A value: the store publishes an immutable copy after every change, and each operation works on
// the copy it began with. Copies share what they hold until it changes, so a change costs little
// however many tables there are.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/cut.pb.h"
#include "engine/index_spec.h"
#include "engine/key.h"
#include "shards/stream_catalogue.h"
#include "shards/types.h"
#include "wal/shared_map.h"
#include "wal/status.h"

namespace tailrace::engine {

// Whether and by which attribute a table's items expire.
struct TimeToLive {
  std::string attribute;  // Empty: they do not.
  Lsn since;              // The frame that enabled it; Lsn{0}: off.

  bool enabled() const { return !attribute.empty(); }
  friend bool operator==(const TimeToLive&, const TimeToLive&) = default;
};

struct Index : IndexInfo {
  // The attributes that entries hold, sorted; none if they hold all.
  std::vector<std::string> projected;
};

struct Table {
  TableId id;
  std::string name;
  KeySchema keys;
  uint64_t created_ms = 0;
  StreamId stream;         // The enabled one; 0: none.
  StreamId latest_stream;  // The newest, enabled or not; 0: never had one.
  std::string latest_stream_label;
  TimeToLive time_to_live = {};
  std::vector<Index> indexes = {};  // By name.

  const Index* FindIndex(const std::string& index) const;  // Null when absent.
};

class Catalogue {
 public:
  // Applies every change of the frame that begins at `lsn` and ends at `end`. kCorruption when one
  // does not fit; the catalogue is then of no more use.
  Status Apply(const frames::Catalogue& frame, Lsn lsn, Lsn end);
  Status Apply(const frames::Trim& frame, Lsn end);

  const Table* Find(const std::string& name) const;  // Null when absent.
  const Table* Find(TableId id) const;
  // Whether items are kept under this number: those of a table, or an index's entries.
  bool Holds(TableId id) const { return names_.contains(id) || index_tables_.contains(id); }
  // An index with this number, and its table; nulls when absent.
  std::pair<const Table*, const Index*> FindIndex(TableId id) const;
  const SharedMap<std::string, Table>& tables() const { return tables_; }  // By name.
  const shards::StreamCatalogue& streams() const { return streams_; }

  // Ids for the next ones; Apply moves them on. Indexes take theirs from the tables'.
  TableId next_table() const { return TableId{next_table_}; }
  StreamId next_stream() const { return StreamId{next_stream_}; }
  ShardId next_shard() const { return ShardId{next_shard_}; }

  // End of the last frame that changed anything here: what an answer from the catalogue rests on.
  Lsn lsn() const { return lsn_; }

  CatalogueState ToProto() const;
  static Result<Catalogue> FromProto(const CatalogueState& state);

 private:
  Status ApplyOne(const frames::CatalogueChange& change, Lsn lsn);
  Status CreateTable(const frames::TableSpec& spec);
  Status DropTable(TableId id);
  Status EnableStream(const frames::StreamSpec& spec);
  Status DisableStream(StreamId id);
  Status SetTimeToLive(const frames::SetTimeToLive& change, Lsn lsn);
  Status CreateIndex(const frames::IndexSpec& spec);
  Status DropIndex(TableId id);
  Status ActivateIndex(TableId id);
  void Put(Table table);

  SharedMap<std::string, Table> tables_;
  std::map<TableId, std::string> names_;
  std::map<TableId, TableId> index_tables_;  // By the indexes' ids.
  shards::StreamCatalogue streams_;
  uint64_t next_table_ = 1;
  uint64_t next_stream_ = 1;
  uint64_t next_shard_ = 1;
  Lsn lsn_;
};

// Key schemas on disk.
frames::KeySchema ToProto(const KeySchema& keys);
Result<KeySchema> FromProto(const frames::KeySchema& keys);

// Indexes on disk. `id` is the index's, `table` its table's.
frames::IndexSpec ToProto(const IndexSpec& spec, TableId id, TableId table, uint64_t created_ms);
Result<IndexSpec> FromProto(const frames::IndexSpec& spec);

}  // namespace tailrace::engine
