// Which streams and shards exist: a fold over the journal's Catalogue and Trim frames.
//
// The same fold is run by the writers' side (the state at the journal's end), by fan-out (the state
// at the fanned-out position) and by recovery. Pure data: no files, no threads, no locks. A copy
// shares its streams with the original until one of them changes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "shards/frames.pb.h"
#include "shards/types.h"
#include "wal/shared_map.h"
#include "wal/status.h"

namespace tailrace::shards {

struct Shard {
  ShardId id;
  HashRange range;
  std::optional<ShardId> parent;
  uint64_t created_ms = 0;
  SequenceNumber starting;               // No record of the shard is below.
  std::optional<SequenceNumber> ending;  // Sealed: no record of the shard is above.
  uint64_t opened_age_ms = 0;            // The store's age when it was opened …
  uint64_t sealed_age_ms = 0;            // … and when it was sealed.
  SequenceNumber trimmed_below;          // Records below are gone. At least `starting`.

  // "shardId-<created, 20 digits>-<id, 8 hex digits>": sorts by creation, never changes.
  std::string Name() const;
};

struct Stream {
  StreamId id;
  TableId table;
  std::string table_name;
  frames::KeySchema keys;
  std::string label;
  ViewType view = ViewType::kKeysOnly;
  uint64_t created_ms = 0;
  uint64_t retention_ms = 0;
  std::optional<SequenceNumber> disabled_at;
  std::map<ShardId, Shard> shards;   // Open and sealed, not those trimmed away.
  std::map<uint64_t, ShardId> open;  // The open ones by the first hash of their range.

  bool enabled() const { return !disabled_at.has_value(); }
};

class StreamCatalogue {
 public:
  // Applies one catalogue change of the frame at `lsn`; `age_ms` is that frame's. Changes of tables
  // are no business of this class and pass. Enabling: shards start at lsn + 1. Disabling and
  // sealing at S = lsn: parents end at S, children start at S + 1. kCorruption when the change does
  // not fit the state (an unknown stream, a parent already sealed, ranges that do not tile): then
  // nothing was changed.
  Status Apply(const frames::CatalogueChange& change, Lsn lsn, uint64_t age_ms);

  // Applies all changes of a frame, in order. On an error those before the faulty one were applied.
  Status Apply(const frames::Catalogue& frame, Lsn lsn);

  // Moves trim points; a lower one than before changes nothing. Trims of shards that are gone pass.
  // A sealed shard trimmed beyond its ending leaves, and so does a disabled stream left without
  // shards.
  Status Apply(const frames::Trim& trim);

  const SharedMap<StreamId, Stream>& streams() const& { return streams_; }
  void streams() const&& = delete;        // A loop over a temporary's streams would dangle.
  const Stream* Find(StreamId id) const;  // Null when absent.
  const Shard* FindShard(StreamId stream, ShardId shard) const;

  // The open shard of an enabled stream that takes this hash; null when the stream is absent or
  // sealed.
  const Shard* Route(StreamId stream, uint64_t partition_hash) const;

  // As a checkpoint keeps it (`jumps` is ShardSet's). FromProto: kCorruption when the state is not
  // one that ToProto writes.
  frames::StreamCatalogueState ToProto() const;
  static Result<StreamCatalogue> FromProto(const frames::StreamCatalogueState& state);

 private:
  const Shard* FindShardAnywhere(ShardId shard) const;
  Status Enable(const frames::StreamSpec& spec, Lsn lsn, uint64_t age_ms);
  Status Disable(const frames::DisableStream& change, Lsn lsn, uint64_t age_ms);
  Status SealAndOpen(const frames::SealAndOpen& change, Lsn lsn, uint64_t age_ms);

  SharedMap<StreamId, Stream> streams_;
};

// The two halves of a shard's hash range. Requires that it holds more than one hash.
std::pair<HashRange, HashRange> HalvesOf(HashRange range);

// `count` shards (1 to kShardsPerStreamMax) of equal hash ranges, ids from `first_id` on.
std::vector<frames::ShardSpec> EvenShards(uint32_t count, ShardId first_id, uint64_t created_ms);

}  // namespace tailrace::shards
