// Commit frames: written from parts, read without copying.
//
// The bytes are those of frames::Commit (shards/frames.proto). The generated class would copy every
// image; here a reader's views point into the frame, and the write buffer keeps them.
// Thread-safe: free functions without state.
#pragma once

#include <absl/container/inlined_vector.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "shards/types.h"
#include "wal/status.h"

namespace tailrace::shards {

// What a change does to one index of its table.
struct IndexDelta {
  TableId index;                    // The index's incarnation.
  std::optional<ByteView> removed;  // The key of the entry that goes.
  std::optional<ByteView> put;      // The key of the entry that stands afterwards.
  std::optional<ByteView> image;    // That entry's item; absent: it is the change's new image.
};

// One change of a commit. Views point to whoever made it: the writer's buffers or the frame.
struct Change {
  TableId table;
  ByteView key;                       // Storage key, at least 8 bytes: it begins with the hash.
  std::optional<ByteView> new_image;  // Absent: deleted.
  bool existed = false;
  std::optional<ByteView> old_image;
  StreamId stream;  // StreamId{0}: goes to none.
  Actor actor = Actor::kUser;
  std::vector<IndexDelta> deltas = {};

  // INSERT, MODIFY or REMOVE. Requires that something changed.
  ChangeKind kind() const;
  uint64_t partition_hash() const;
};

struct Commit {
  absl::InlinedVector<Change, 1> changes;  // Most commits have one.
  uint64_t wall_ms = 0;
  uint64_t age_ms = 0;
  // The item that remembers the transaction by its idempotency token: in no stream, not counted.
  std::optional<Change> token = std::nullopt;
};

// The commit as a frame's payload.
std::string EncodeCommit(const Commit& commit);

// Reads a payload; the views point into it. Any input is safe. kCorruption names the field that is
// wrong (short key, image missing, unknown actor, nothing changed, no change at all, an item or an
// index's entry twice).
Result<Commit> DecodeCommit(ByteView payload);

}  // namespace tailrace::shards
