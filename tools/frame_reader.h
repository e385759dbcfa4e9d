// Journal frames read for people: which tables they are about, what they change.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "engine/key.h"
#include "shards/commit.h"
#include "shards/frames.pb.h"
#include "shards/types.h"
#include "tools/output.h"
#include "wal/journal.h"

namespace tailrace::tools {

// "commit", "catalogue", "mark" and so on; "type 99" for one unknown.
std::string FrameTypeName(wal::FrameType type);

// Names and keys of tables, as far as frames and headers of shard logs tell them.
class TableNames {
 public:
  void Add(TableId table, const std::string& name, const KeySchema& keys);

  // "UserGames", or "table 7".
  std::string NameOf(TableId table) const;

  // The key attributes; the raw bytes as {"storage_key": ...} when the table's schema is not known.
  Item KeyOf(TableId table, ByteView storage_key) const;

 private:
  struct Table {
    std::string name;
    KeySchema keys;
  };
  std::map<TableId, Table> tables_;
};

// A frame with its payload decoded.
struct DecodedFrame {
  wal::Frame frame;
  std::optional<shards::Commit> commit;
  std::optional<frames::Catalogue> catalogue;
  std::optional<frames::Trim> trim;
  std::optional<frames::Clock> clock;
  Status problem;  // Why the payload cannot be read, or OK.

  // When it was written; absent for frames that do not say it.
  std::optional<uint64_t> wall_ms() const;
};

// Decodes the payload by its type. Views point into the frame. Learns tables from Catalogue frames.
DecodedFrame DecodeFrame(const wal::Frame& frame, TableNames& names);

// Prints the frame on one line and what it holds on others, or as one line of JSON.
void PrintFrame(Output& out, bool json, const DecodedFrame& frame, const TableNames& names);

}  // namespace tailrace::tools
