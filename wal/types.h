// The numbers of the log, each a type of its own so that they cannot be mixed up.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace tailrace {

// Raw bytes that somebody else owns. Not text, not NUL-terminated.
using ByteView = std::string_view;

// Log sequence number: a byte position in the journal. Rises by the bytes of every frame, over all
// segments and epochs; a position once handed out is never handed out again. An Lsn used as an end
// is exclusive: "durable up to end" covers every frame that begins below it.
struct Lsn {
  uint64_t value = 0;

  friend auto operator<=>(const Lsn&, const Lsn&) = default;
  Lsn operator+(uint64_t bytes) const { return Lsn{value + bytes}; }
  uint64_t operator-(Lsn other) const { return value - other.value; }
};

// Counts the openings of a store for writing; every opening that may append takes a new one. Frames
// carry the epoch they were written in.
struct Epoch {
  uint32_t value = 0;

  friend auto operator<=>(const Epoch&, const Epoch&) = default;
};

// The identity of a store, drawn at random when its directory is made. 0 is never drawn. A store
// made by restore or salvage has a new one, so positions in another store are recognised as
// foreign.
struct StoreId {
  uint64_t value = 0;

  friend auto operator<=>(const StoreId&, const StoreId&) = default;
};

// A change's place in commit order, across all tables, streams and shards of a store: the LSN of
// its Commit frame plus the change's index in the frame. Unique and never reset.
struct SequenceNumber {
  uint64_t value = 0;

  friend auto operator<=>(const SequenceNumber&, const SequenceNumber&) = default;
};

}  // namespace tailrace
