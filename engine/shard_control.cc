#include "engine/shard_control.h"

#include <algorithm>
#include <set>

#include "engine/catalogue_writer.h"
#include "shards/commit.h"
#include "wal/mutants.h"

namespace tailrace::engine {
namespace {

using shards::HashRange;
using shards::Shard;
using shards::Stream;

// Rotations in one frame: bounds the frame.
constexpr size_t kRotationsPerFrameMax = 64;

std::string Named(ShardId shard) { return "shard " + std::to_string(shard.value); }

Result<const Stream*> FindStream(const Catalogue& now, StreamId id) {
  const Stream* const stream = now.streams().Find(id);
  if (stream != nullptr) return stream;
  return NotFound("there is no stream " + std::to_string(id.value));
}

Result<const Shard*> FindOpenShard(const Stream& stream, ShardId id) {
  const auto found = stream.shards.find(id);
  if (found == stream.shards.end()) {
    return NotFound("stream " + std::to_string(stream.id.value) + " has no " + Named(id));
  }
  if (!found->second.ending) return &found->second;
  return FailedPrecondition(Named(id) + " is sealed already");
}

// Adds a child of `parent`. Names sort by creation, so a child is never older than its parent,
// whatever the wall clock says.
void AddChild(frames::SealAndOpen& change, ShardId id, const Shard& parent, HashRange range,
              uint64_t wall_ms) {
  frames::ShardSpec& child = *change.add_children();
  child.set_id(id.value);
  child.set_hash_first(range.first);
  child.set_hash_last(range.last);
  child.set_parent(parent.id.value);
  child.set_created_ms(std::max(wall_ms, parent.created_ms));
}

// The shard and its ancestors, as far as they have not expired.
std::vector<const Shard*> LineageOf(const Stream& stream, const Shard& shard) {
  std::vector<const Shard*> lineage{&shard};
  while (lineage.back()->parent) {
    const auto parent = stream.shards.find(*lineage.back()->parent);
    if (parent == stream.shards.end()) break;
    lineage.push_back(&parent->second);
  }
  return lineage;
}

bool AreNeighbours(const Shard& left, const Shard& right) {
  return left.range.last != UINT64_MAX && left.range.last + 1 == right.range.first;
}

}  // namespace

Result<std::vector<ShardId>> ShardControl::Split(StreamId stream_id, ShardId shard_id) {
  std::vector<ShardId> children;
  const auto decide = [&](const Catalogue& now, frames::Catalogue& change) -> Status {
    TAILRACE_ASSIGN_OR_RETURN(const Stream* const stream, FindStream(now, stream_id));
    TAILRACE_ASSIGN_OR_RETURN(const Shard* const shard, FindOpenShard(*stream, shard_id));
    if (shard->range.first == shard->range.last) {
      return FailedPrecondition(Named(shard_id) + " takes a single hash and cannot be split");
    }
    if (stream->open.size() >= core_.options.shards_per_stream_max) {
      return FailedPrecondition("stream " + std::to_string(stream_id.value) + " has " +
                                std::to_string(stream->open.size()) +
                                " open shards: shards_per_stream_max is reached");
    }
    frames::SealAndOpen& split = *change.add_changes()->mutable_seal_and_open();
    split.set_stream(stream_id.value);
    split.add_parents(shard_id.value);
    const auto [lower, upper] = shards::HalvesOf(shard->range);
    const ShardId first = now.next_shard();
    children = {first, ShardId{first.value + 1}};
    AddChild(split, children[0], *shard, lower, core_.clock->WallMs());
    AddChild(split, children[1], *shard, upper, core_.clock->WallMs());
    return Status::Ok();
  };
  TAILRACE_RETURN_IF_ERROR(ChangeCatalogue(core_, decide));
  core_.Report(Event::Kind::kShardsChanged,
               Named(shard_id) + " of stream " + std::to_string(stream_id.value) +
                   " was split into " + std::to_string(children[0].value) + " and " +
                   std::to_string(children[1].value));
  return children;
}

Result<ShardId> ShardControl::Merge(StreamId stream_id, ShardId one, ShardId other) {
  // So that little is left to look through while the gate is held.
  TAILRACE_RETURN_IF_ERROR(core_.positions->WaitFannedOut(core_.positions->entered()));
  ShardId child;
  const auto decide = [&](const Catalogue& now, frames::Catalogue& change) -> Status {
    TAILRACE_ASSIGN_OR_RETURN(const Stream* const stream, FindStream(now, stream_id));
    TAILRACE_ASSIGN_OR_RETURN(const Shard* left, FindOpenShard(*stream, one));
    TAILRACE_ASSIGN_OR_RETURN(const Shard* right, FindOpenShard(*stream, other));
    if (left->range.first > right->range.first) std::swap(left, right);
    if (!AreNeighbours(*left, *right)) {
      return InvalidArgument(Named(one) + " and " + Named(other) +
                             " are not neighbours: their hashes do not lie side by side");
    }
    const HashRange both{left->range.first, right->range.last};
    TAILRACE_RETURN_IF_ERROR(CheckNothingOnItsWay(stream_id, both));
    for (const Shard* const parent : {left, right}) {
      TAILRACE_RETURN_IF_ERROR(CheckHoldsNothing(*stream, *parent));
    }
    const Shard* named = left;
    Status joins = CheckLeadsToAll(*stream, *left, *right);
    if (!joins.ok()) {
      named = right;
      joins = CheckLeadsToAll(*stream, *right, *left);
    }
    TAILRACE_RETURN_IF_ERROR(joins);
    frames::SealAndOpen& merge = *change.add_changes()->mutable_seal_and_open();
    merge.set_stream(stream_id.value);
    merge.add_parents(left->id.value);
    merge.add_parents(right->id.value);
    child = now.next_shard();
    AddChild(merge, child, *named, both,
             std::max({core_.clock->WallMs(), left->created_ms, right->created_ms}));
    return Status::Ok();
  };
  TAILRACE_RETURN_IF_ERROR(ChangeCatalogue(core_, decide));
  core_.Report(Event::Kind::kShardsChanged, Named(one) + " and " + Named(other) + " of stream " +
                                                std::to_string(stream_id.value) +
                                                " were merged into " + std::to_string(child.value));
  return child;
}

// Readers of a merged shard are led to `named` and its ancestors first, not to `other` and its:
// those that are not the same must be empty too, or an item's older changes could be read after
// newer ones.
Status ShardControl::CheckLeadsToAll(const Stream& stream, const Shard& named,
                                     const Shard& other) const {
  std::set<ShardId> led_to;
  for (const Shard* shard : LineageOf(stream, named)) led_to.insert(shard->id);
  for (const Shard* shard : LineageOf(stream, other)) {
    if (led_to.contains(shard->id) || TAILRACE_MUTANT("merged-with-ancestors")) continue;
    TAILRACE_RETURN_IF_ERROR(CheckHoldsNothing(stream, *shard));
  }
  return Status::Ok();
}

// Of what fan-out has published.
Status ShardControl::CheckHoldsNothing(const Stream& stream, const Shard& shard) const {
  const auto behind_last = core_.shards->Seek(stream.id, shard.id, shards::StartAt::kLatest);
  // Opened just now: whatever it holds is on its way.
  if (behind_last.status().code() == StatusCode::kNotFound) return Status::Ok();
  TAILRACE_RETURN_IF_ERROR(behind_last.status());
  if (TAILRACE_MUTANT("merged-with-records")) return Status::Ok();
  if (behind_last->next <= shard.trimmed_below) return Status::Ok();
  return FailedPrecondition(Named(shard.id) +
                            " holds records that have not expired: a reader could not be led to "
                            "them before those of the merged shard");
}

// Of what fan-out has not published yet. The gate is held, so nothing is added meanwhile.
Status ShardControl::CheckNothingOnItsWay(StreamId stream, HashRange range) const {
  Lsn at = core_.shards->published();
  while (true) {
    const auto frame = core_.journal->Read(at);
    if (frame.status().code() == StatusCode::kNotFound) return Status::Ok();
    TAILRACE_RETURN_IF_ERROR(frame.status());
    at = frame->end;
    if (frame->type != shards::kCommitFrame) continue;
    if (TAILRACE_MUTANT("merged-while-written-to")) continue;
    TAILRACE_ASSIGN_OR_RETURN(const shards::Commit commit, shards::DecodeCommit(frame->payload));
    for (const shards::Change& change : commit.changes) {
      if (change.stream == stream && range.Contains(change.partition_hash())) {
        return FailedPrecondition("the shards are being written to");
      }
    }
  }
}

Status ShardControl::SplitBusy() {
  for (const shards::BusyShard& busy : core_.shards->TakeBusy()) {
    const Status split = Split(busy.stream, busy.shard).status();
    // Sealed or gone meanwhile, or at a limit.
    if (split.code() == StatusCode::kFailedPrecondition || split.code() == StatusCode::kNotFound) {
      continue;
    }
    TAILRACE_RETURN_IF_ERROR(split);
  }
  return Status::Ok();
}

Status ShardControl::RotateOld() {
  if (core_.options.shard_rotation_ms == 0) return Status::Ok();
  while (true) {
    TAILRACE_ASSIGN_OR_RETURN(const size_t rotated, RotateSome());
    if (rotated < kRotationsPerFrameMax) return Status::Ok();
  }
}

// Rotates up to kRotationsPerFrameMax shards that are due, in one frame; how many it were.
Result<size_t> ShardControl::RotateSome() {
  const uint64_t age_ms = core_.clock->AgeMs();
  const auto due = [&](const Stream& stream, const Shard& shard) {
    if (age_ms < shard.opened_age_ms ||
        age_ms - shard.opened_age_ms < core_.options.shard_rotation_ms) {
      return false;
    }
    const auto first = core_.shards->Seek(stream.id, shard.id, shards::StartAt::kLatest);
    if (TAILRACE_MUTANT("idle-shards-rotate")) return first.ok();
    return first.ok() && first->next > shard.starting;  // Never written to: idle.
  };
  // Looked for without the gate, since most often there is none.
  std::vector<std::pair<StreamId, ShardId>> found;
  const auto seen = core_.catalogue.Get().catalogue;
  for (const auto& [stream_id, stream] : seen->streams().streams()) {
    for (const auto& [first, shard] : stream.open) {
      if (found.size() < kRotationsPerFrameMax && due(stream, stream.shards.at(shard))) {
        found.emplace_back(stream_id, shard);
      }
    }
  }
  if (found.empty()) return found.size();
  const auto decide = [&](const Catalogue& now, frames::Catalogue& change) -> Status {
    ShardId next = now.next_shard();
    for (const auto& [stream_id, shard_id] : found) {
      const Shard* const shard = now.streams().FindShard(stream_id, shard_id);
      if (shard == nullptr || shard->ending) continue;  // Sealed meanwhile.
      frames::SealAndOpen& rotation = *change.add_changes()->mutable_seal_and_open();
      rotation.set_stream(stream_id.value);
      rotation.add_parents(shard_id.value);
      AddChild(rotation, next, *shard, shard->range, core_.clock->WallMs());
      next = ShardId{next.value + 1};
    }
    return Status::Ok();
  };
  TAILRACE_RETURN_IF_ERROR(ChangeCatalogue(core_, decide));
  core_.Report(Event::Kind::kShardsChanged, std::to_string(found.size()) + " shards were rotated");
  return found.size();
}

}  // namespace tailrace::engine
