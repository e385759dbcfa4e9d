#include "engine/fold.h"

#include <algorithm>
#include <string>

#include "shards/frames.pb.h"
#include "wal/mutants.h"

namespace tailrace::engine {
namespace {

template <typename Message>
Result<Message> Parse(const wal::Frame& frame, const char* what) {
  Message message;
  if (!message.ParseFromArray(frame.payload.data(), static_cast<int>(frame.payload.size()))) {
    return Corruption(std::string("the ") + what + " frame at " + std::to_string(frame.lsn.value) +
                      " cannot be read");
  }
  return message;
}

// Takes the clock from a frame that is stamped with it.
void ReadClock(uint64_t wall_ms, uint64_t stamp_ms, ClockReading& clock) {
  clock.wall_ms = wall_ms;
  clock.age_ms = stamp_ms - std::min(stamp_ms, clock.pending_downtime_ms);
}

// The entries that a change sets in indexes.
void SetEntries(const shards::Change& change, Lsn lsn, ItemSink& items) {
  for (const shards::IndexDelta& delta : change.deltas) {
    if (delta.removed) items.SetItem(delta.index, *delta.removed, lsn, std::nullopt);
    if (!delta.put || TAILRACE_MUTANT("entries-not-folded")) continue;
    items.SetItem(delta.index, *delta.put, lsn, delta.image ? delta.image : change.new_image);
  }
}

}  // namespace

Status ApplyCommit(const wal::Frame& frame, ItemSink& items, ClockReading* clock) {
  auto commit = shards::DecodeCommit(frame.payload);
  if (!commit.ok()) {
    return commit.status().WithContext("the commit at " + std::to_string(frame.lsn.value));
  }
  for (const shards::Change& change : commit->changes) {
    items.SetItem(change.table, change.key, frame.lsn, change.new_image);
    SetEntries(change, frame.lsn, items);
    if (TAILRACE_MUTANT("transaction-in-part")) break;
  }
  if (const auto& token = commit->token; token && !TAILRACE_MUTANT("token-not-recorded")) {
    items.SetItem(token->table, token->key, frame.lsn, token->new_image);
  }
  if (clock != nullptr) ReadClock(commit->wall_ms, commit->age_ms, *clock);
  return Status::Ok();
}

Status ApplyFrame(const wal::Frame& frame, FoldState& state, ItemSink& items) {
  if (frame.type == shards::kCommitFrame) {
    TAILRACE_RETURN_IF_ERROR(ApplyCommit(frame, items, &state.clock));
  } else if (frame.type == shards::kCatalogueFrame) {
    TAILRACE_ASSIGN_OR_RETURN(auto message, Parse<frames::Catalogue>(frame, "catalogue"));
    TAILRACE_RETURN_IF_ERROR(state.catalogue.Apply(message, frame.lsn, frame.end));
    ReadClock(message.wall_ms(), message.age_ms(), state.clock);
  } else if (frame.type == shards::kTrimFrame) {
    TAILRACE_ASSIGN_OR_RETURN(auto message, Parse<frames::Trim>(frame, "trim"));
    TAILRACE_RETURN_IF_ERROR(state.catalogue.Apply(message, frame.end));
    ReadClock(message.wall_ms(), message.age_ms(), state.clock);
  } else if (frame.type == shards::kClockFrame) {
    TAILRACE_ASSIGN_OR_RETURN(auto message, Parse<frames::Clock>(frame, "clock"));
    state.clock = {message.wall_ms(), message.age_ms(), message.pending_downtime_ms()};
  } else {
    return Unsupported("the frame at " + std::to_string(frame.lsn.value) + " has the type " +
                       std::to_string(static_cast<int>(frame.type)) +
                       ", which this version does not know; use a newer one");
  }
  state.end = frame.end;
  return Status::Ok();
}

}  // namespace tailrace::engine
