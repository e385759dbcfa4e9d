#include "shards/stream_catalogue.h"

#include <algorithm>
#include <set>

#include "shards/sequence_number.h"
#include "wal/mutants.h"

namespace tailrace::shards {
namespace {

Status Misfit(const std::string& what) { return Corruption("catalogue frame: " + what); }

std::string Named(StreamId id) { return "stream " + std::to_string(id.value); }
std::string Named(ShardId id) { return "shard " + std::to_string(id.value); }

bool IsView(frames::ViewType view) {
  return view >= frames::KEYS_ONLY && view <= frames::NEW_AND_OLD_IMAGES;
}

// Whether the ranges, put in order, cover `whole` without a hole or an overlap.
bool Tile(std::vector<HashRange> ranges, HashRange whole) {
  std::sort(ranges.begin(), ranges.end(),
            [](const HashRange& a, const HashRange& b) { return a.first < b.first; });
  uint64_t next = whole.first;
  for (size_t i = 0; i < ranges.size(); ++i) {
    const HashRange& range = ranges[i];
    if (range.first != next || range.last < range.first || range.last > whole.last) return false;
    if (range.last == whole.last) return i + 1 == ranges.size();
    next = range.last + 1;
  }
  return false;
}

// The hull of ranges that lie side by side; none when they do not.
std::optional<HashRange> Joined(std::vector<HashRange> ranges) {
  if (ranges.empty()) return std::nullopt;
  HashRange hull = ranges.front();
  for (const HashRange& range : ranges) {
    hull.first = std::min(hull.first, range.first);
    hull.last = std::max(hull.last, range.last);
  }
  if (!Tile(std::move(ranges), hull)) return std::nullopt;
  return hull;
}

HashRange RangeOf(const frames::ShardSpec& spec) {
  return HashRange{spec.hash_first(), spec.hash_last()};
}

Shard ShardFromSpec(const frames::ShardSpec& spec, SequenceNumber starting, uint64_t age_ms) {
  Shard shard;
  shard.id = ShardId{spec.id()};
  shard.range = RangeOf(spec);
  if (spec.has_parent()) shard.parent = ShardId{spec.parent()};
  shard.created_ms = spec.created_ms();
  shard.starting = starting;
  shard.opened_age_ms = age_ms;
  shard.trimmed_below = starting;
  return shard;
}

void ShardToSpec(const Shard& shard, frames::ShardSpec* spec) {
  spec->set_id(shard.id.value);
  spec->set_hash_first(shard.range.first);
  spec->set_hash_last(shard.range.last);
  if (shard.parent) spec->set_parent(shard.parent->value);
  spec->set_created_ms(shard.created_ms);
}

// A stream's own fields, without its shards.
Result<Stream> StreamFromSpec(const frames::StreamSpec& spec) {
  if (spec.id() == 0) return Misfit("a stream has no id");
  if (spec.table() == 0) return Misfit(Named(StreamId{spec.id()}) + " has no table");
  if (!IsView(spec.view())) return Misfit(Named(StreamId{spec.id()}) + " has an unknown view type");
  Stream stream;
  stream.id = StreamId{spec.id()};
  stream.table = TableId{spec.table()};
  stream.table_name = spec.table_name();
  stream.keys = spec.keys();
  stream.label = spec.label();
  stream.view = static_cast<ViewType>(spec.view());
  stream.created_ms = spec.created_ms();
  stream.retention_ms = spec.retention_ms();
  return stream;
}

void StreamToSpec(const Stream& stream, frames::StreamSpec* spec) {
  spec->set_id(stream.id.value);
  spec->set_table(stream.table.value);
  spec->set_table_name(stream.table_name);
  *spec->mutable_keys() = stream.keys;
  spec->set_label(stream.label);
  spec->set_view(static_cast<frames::ViewType>(stream.view));
  spec->set_created_ms(stream.created_ms);
  spec->set_retention_ms(stream.retention_ms);
}

// The open shards by first hash; kCorruption unless they tile the hash space of an enabled stream.
Status IndexOpenShards(Stream& stream) {
  stream.open.clear();
  std::vector<HashRange> ranges;
  for (const auto& [id, shard] : stream.shards) {
    if (shard.ending) continue;
    stream.open.emplace(shard.range.first, id);
    ranges.push_back(shard.range);
  }
  if (!stream.enabled()) {
    if (ranges.empty()) return Status::Ok();
    return Misfit(Named(stream.id) + " is disabled and has an open shard");
  }
  if (Tile(std::move(ranges), HashRange{})) return Status::Ok();
  return Misfit("the open shards of " + Named(stream.id) + " do not cover every hash once");
}

void Seal(Shard& shard, Lsn lsn, uint64_t age_ms) {
  shard.ending = SequenceNumber{lsn.value};
  shard.sealed_age_ms = age_ms;
}

void TrimShard(const frames::ShardTrim& entry, Stream& stream) {
  const auto found = stream.shards.find(ShardId{entry.shard()});
  if (found == stream.shards.end()) return;
  Shard& shard = found->second;
  shard.trimmed_below = std::max(shard.trimmed_below, SequenceNumber{entry.below()});
  if (!shard.ending || TAILRACE_MUTANT("trimmed-shard-stays")) return;
  if (shard.trimmed_below > *shard.ending) stream.shards.erase(found);
}

}  // namespace

std::string Shard::Name() const { return FormatShardName(created_ms, id); }

Status StreamCatalogue::Apply(const frames::CatalogueChange& change, Lsn lsn, uint64_t age_ms) {
  switch (change.change_case()) {
    case frames::CatalogueChange::kEnableStream:
      return Enable(change.enable_stream(), lsn, age_ms);
    case frames::CatalogueChange::kDisableStream:
      return Disable(change.disable_stream(), lsn, age_ms);
    case frames::CatalogueChange::kSealAndOpen:
      return SealAndOpen(change.seal_and_open(), lsn, age_ms);
    case frames::CatalogueChange::kCreateTable:
    case frames::CatalogueChange::kDropTable:
    case frames::CatalogueChange::kCreateIndex:
    case frames::CatalogueChange::kDropIndex:
    case frames::CatalogueChange::kActivateIndex:
    case frames::CatalogueChange::kSetTimeToLive:
      return Status::Ok();
    case frames::CatalogueChange::CHANGE_NOT_SET:
      return Unsupported("catalogue frame: a change of a kind that this version does not know");
  }
  return Misfit("a change of no kind");
}

Status StreamCatalogue::Apply(const frames::Catalogue& frame, Lsn lsn) {
  for (const frames::CatalogueChange& change : frame.changes()) {
    TAILRACE_RETURN_IF_ERROR(Apply(change, lsn, frame.age_ms()));
  }
  return Status::Ok();
}

Status StreamCatalogue::Enable(const frames::StreamSpec& spec, Lsn lsn, uint64_t age_ms) {
  TAILRACE_ASSIGN_OR_RETURN(Stream stream, StreamFromSpec(spec));
  if (streams_.contains(stream.id)) return Misfit(Named(stream.id) + " exists already");
  if (spec.shards().empty() || spec.shards_size() > static_cast<int>(kShardsPerStreamMax)) {
    return Misfit(Named(stream.id) + " has no shard, or too many");
  }
  for (const auto& [id, other] : streams_) {
    if (other.table == stream.table && other.enabled()) {
      return Misfit("table " + std::to_string(stream.table.value) + " has an enabled " + Named(id));
    }
  }
  for (const frames::ShardSpec& shard : spec.shards()) {
    const ShardId id{shard.id()};
    if (id.value == 0 || FindShardAnywhere(id) != nullptr) {
      return Misfit(Named(id) + " has no id or one that is taken");
    }
    if (shard.has_parent()) return Misfit(Named(id) + " is the first and has a parent");
    if (!stream.shards.emplace(id, ShardFromSpec(shard, SequenceNumber{lsn.value + 1}, age_ms))
             .second) {
      return Misfit(Named(id) + " appears twice");
    }
  }
  TAILRACE_RETURN_IF_ERROR(IndexOpenShards(stream));
  streams_.Put(stream.id, std::move(stream));
  return Status::Ok();
}

Status StreamCatalogue::Disable(const frames::DisableStream& change, Lsn lsn, uint64_t age_ms) {
  const Stream* const found = Find(StreamId{change.stream()});
  if (found == nullptr) return Misfit(Named(StreamId{change.stream()}) + " is unknown");
  Stream stream = *found;
  if (!stream.enabled()) return Misfit(Named(stream.id) + " is disabled already");
  for (const auto& [first, id] : stream.open) Seal(stream.shards.at(id), lsn, age_ms);
  stream.open.clear();
  stream.disabled_at = SequenceNumber{lsn.value};
  streams_.Put(stream.id, std::move(stream));
  return Status::Ok();
}

Status StreamCatalogue::SealAndOpen(const frames::SealAndOpen& change, Lsn lsn, uint64_t age_ms) {
  const Stream* const found = Find(StreamId{change.stream()});
  if (found == nullptr) return Misfit(Named(StreamId{change.stream()}) + " is unknown");
  Stream stream = *found;  // A copy: refused changes leave no trace.
  std::set<ShardId> parents;
  std::vector<HashRange> parent_ranges;
  for (const uint64_t value : change.parents()) {
    const auto parent = stream.shards.find(ShardId{value});
    if (parent == stream.shards.end() || parent->second.ending) {
      return Misfit(Named(ShardId{value}) + " is not open and cannot be sealed");
    }
    parents.insert(parent->first);
    parent_ranges.push_back(parent->second.range);
    Seal(parent->second, lsn, age_ms);
  }
  std::vector<HashRange> child_ranges;
  for (const frames::ShardSpec& child : change.children()) {
    const ShardId id{child.id()};
    if (id.value == 0 || FindShardAnywhere(id) != nullptr) {
      return Misfit(Named(id) + " has no id or one that is taken");
    }
    // Only a merged shard may be without a parent: its parents' records had all expired.
    const bool orphan_allowed = parents.size() > 1;
    if (child.has_parent() ? !parents.contains(ShardId{child.parent()}) : !orphan_allowed) {
      return Misfit(Named(id) + " does not descend from a shard that is sealed with it");
    }
    child_ranges.push_back(RangeOf(child));
    if (!stream.shards.emplace(id, ShardFromSpec(child, SequenceNumber{lsn.value + 1}, age_ms))
             .second) {
      return Misfit(Named(id) + " appears twice");
    }
  }
  const std::optional<HashRange> whole = Joined(std::move(parent_ranges));
  if (!whole || !Tile(std::move(child_ranges), *whole)) {
    return Misfit("the children of " + Named(stream.id) +
                  " do not cover their parents' hashes once");
  }
  TAILRACE_RETURN_IF_ERROR(IndexOpenShards(stream));
  streams_.Put(stream.id, std::move(stream));
  return Status::Ok();
}

Status StreamCatalogue::Apply(const frames::Trim& trim) {
  std::map<StreamId, std::vector<const frames::ShardTrim*>> by_stream;
  for (const frames::ShardTrim& entry : trim.trims()) {
    by_stream[StreamId{entry.stream()}].push_back(&entry);
  }
  for (const auto& [id, entries] : by_stream) {
    const Stream* const found = Find(id);
    if (found == nullptr) continue;
    Stream stream = *found;
    for (const frames::ShardTrim* entry : entries) TrimShard(*entry, stream);
    if (!stream.enabled() && stream.shards.empty()) {
      streams_.Erase(id);
    } else {
      streams_.Put(id, std::move(stream));
    }
  }
  return Status::Ok();
}

const Stream* StreamCatalogue::Find(StreamId id) const { return streams_.Find(id); }

const Shard* StreamCatalogue::FindShard(StreamId stream, ShardId shard) const {
  const Stream* const owner = Find(stream);
  if (owner == nullptr) return nullptr;
  const auto found = owner->shards.find(shard);
  return found == owner->shards.end() ? nullptr : &found->second;
}

const Shard* StreamCatalogue::FindShardAnywhere(ShardId shard) const {
  for (const auto& [id, stream] : streams_) {
    const auto found = stream.shards.find(shard);
    if (found != stream.shards.end()) return &found->second;
  }
  return nullptr;
}

const Shard* StreamCatalogue::Route(StreamId stream, uint64_t partition_hash) const {
  const Stream* const owner = Find(stream);
  if (owner == nullptr) return nullptr;
  auto after = owner->open.upper_bound(partition_hash);
  if (after == owner->open.begin()) return nullptr;
  if (TAILRACE_MUTANT("routed-to-another-shard")) return &owner->shards.begin()->second;
  const Shard& shard = owner->shards.at((--after)->second);
  return shard.range.Contains(partition_hash) ? &shard : nullptr;
}

frames::StreamCatalogueState StreamCatalogue::ToProto() const {
  frames::StreamCatalogueState state;
  for (const auto& [id, stream] : streams_) {
    frames::StreamState* const saved = state.add_streams();
    StreamToSpec(stream, saved->mutable_spec());
    if (stream.disabled_at) saved->set_disabled_at(stream.disabled_at->value);
    for (const auto& [shard_id, shard] : stream.shards) {
      frames::ShardState* const saved_shard = saved->add_shards();
      ShardToSpec(shard, saved_shard->mutable_spec());
      saved_shard->set_starting(shard.starting.value);
      if (shard.ending) saved_shard->set_ending(shard.ending->value);
      saved_shard->set_trimmed_below(shard.trimmed_below.value);
      saved_shard->set_opened_age_ms(shard.opened_age_ms);
      saved_shard->set_sealed_age_ms(shard.sealed_age_ms);
    }
  }
  return state;
}

Result<StreamCatalogue> StreamCatalogue::FromProto(const frames::StreamCatalogueState& state) {
  StreamCatalogue catalogue;
  for (const frames::StreamState& saved : state.streams()) {
    TAILRACE_ASSIGN_OR_RETURN(Stream stream, StreamFromSpec(saved.spec()));
    if (saved.has_disabled_at()) stream.disabled_at = SequenceNumber{saved.disabled_at()};
    for (const frames::ShardState& saved_shard : saved.shards()) {
      Shard shard = ShardFromSpec(saved_shard.spec(), SequenceNumber{saved_shard.starting()},
                                  saved_shard.opened_age_ms());
      if (saved_shard.has_ending()) shard.ending = SequenceNumber{saved_shard.ending()};
      shard.trimmed_below = SequenceNumber{saved_shard.trimmed_below()};
      shard.sealed_age_ms = saved_shard.sealed_age_ms();
      if (shard.id.value == 0 || shard.range.last < shard.range.first ||
          shard.trimmed_below < shard.starting || catalogue.FindShardAnywhere(shard.id) ||
          (shard.ending && shard.trimmed_below > *shard.ending)) {
        return Misfit("the saved state of " + Named(shard.id) + " contradicts itself");
      }
      if (!stream.shards.emplace(shard.id, shard).second) {
        return Misfit(Named(shard.id) + " is saved twice");
      }
    }
    TAILRACE_RETURN_IF_ERROR(IndexOpenShards(stream));
    const StreamId id = stream.id;
    if (catalogue.streams_.contains(id)) return Misfit(Named(id) + " is saved twice");
    catalogue.streams_.Put(id, std::move(stream));
  }
  return catalogue;
}

std::pair<HashRange, HashRange> HalvesOf(HashRange range) {
  TAILRACE_CHECK(range.first < range.last, "a range of one hash has no halves");
  const uint64_t width = TAILRACE_MUTANT("split-in-uneven-parts") ? 0 : range.last - range.first;
  const uint64_t middle = range.first + width / 2;
  return {{range.first, middle}, {middle + 1, range.last}};
}

std::vector<frames::ShardSpec> EvenShards(uint32_t count, ShardId first_id, uint64_t created_ms) {
  TAILRACE_CHECK(count >= 1 && count <= kShardsPerStreamMax, "the number of shards is limited");
  __extension__ using Wide = unsigned __int128;
  std::vector<frames::ShardSpec> specs(count);
  for (uint32_t i = 0; i < count; ++i) {
    // Shard i begins at i/count of the 2^64 hashes.
    specs[i].set_id(first_id.value + i);
    specs[i].set_hash_first(static_cast<uint64_t>((Wide{i} << 64) / count));
    specs[i].set_hash_last(static_cast<uint64_t>(((Wide{i + 1} << 64) / count) - 1));
    specs[i].set_created_ms(created_ms);
  }
  return specs;
}

}  // namespace tailrace::shards
