#include "tests/shards/shard_rig.h"

#include <algorithm>

#include "shards/types.h"
#include "wal/check.h"
#include "wal/coding.h"
#include "wal/format.h"

namespace tailrace::shards::test {
namespace {

bool ShowsNew(ViewType view) {
  return view == ViewType::kNewImage || view == ViewType::kNewAndOldImages;
}

bool ShowsOld(ViewType view) {
  return view == ViewType::kOldImage || view == ViewType::kNewAndOldImages;
}

}  // namespace

std::string KeyOf(uint64_t hash, ByteView rest) {
  std::string key;
  AppendBig64(key, hash);
  key.append(rest);
  return key;
}

TestJournal::TestJournal(Lsn start) : end_(start) {}

Lsn TestJournal::Append(wal::FrameType type, std::string payload) {
  const Lsn lsn = end_;
  end_ = end_ + wal::FrameBytes(payload.size());
  frames_.push_back({lsn, end_, epoch_, type, std::move(payload)});
  return lsn;
}

Lsn TestJournal::Commit(const std::vector<TestChange>& changes) {
  shards::Commit commit;
  for (const TestChange& change : changes) {
    Change& encoded = commit.changes.emplace_back();
    // Each of another table: a commit holds no item twice, and keys are drawn.
    encoded.table = TableId{commit.changes.size()};
    encoded.key = change.key;
    encoded.new_image = change.new_image;
    encoded.existed = change.old_image.has_value();
    encoded.old_image = change.old_image;
    encoded.stream = change.stream;
    encoded.actor = change.actor;
  }
  commit.age_ms = age_ms_;
  commit.wall_ms = wall_ms_;
  const Lsn lsn = Append(kCommitFrame, EncodeCommit(commit));
  FoldCommit(lsn, changes);
  return lsn;
}

void TestJournal::FoldCommit(Lsn lsn, const std::vector<TestChange>& changes) {
  for (size_t i = 0; i < changes.size(); ++i) {
    const TestChange& change = changes[i];
    if (change.stream.value == 0) continue;
    ModelShard& shard = model_.at(OpenShardOf(change.stream, LoadBig64(change.key.data())));
    Record record;
    record.sequence = SequenceNumber{lsn.value + i};
    record.ordinal = shard.records.size() + 1;
    record.age_ms = age_ms_;
    record.wall_ms = wall_ms_;
    if (!shard.records.empty()) {
      const Record& last = shard.records.back();
      record.previous = last.sequence;
      record.age_ms = std::max(record.age_ms, last.age_ms);
      record.wall_ms = std::max(record.wall_ms, last.wall_ms);
    }
    record.kind = !change.old_image  ? ChangeKind::kInsert
                  : change.new_image ? ChangeKind::kModify
                                     : ChangeKind::kRemove;
    record.actor = change.actor;
    record.change_index = static_cast<uint32_t>(i);
    record.change_count = static_cast<uint32_t>(changes.size());
    record.key = change.key;
    if (ShowsNew(shard.view)) record.new_image = change.new_image;
    if (ShowsOld(shard.view)) record.old_image = change.old_image;
    shard.records.push_back(std::move(record));
  }
}

ShardId TestJournal::OpenShardOf(StreamId stream, uint64_t hash) const {
  for (const auto& [id, shard] : model_) {
    if (shard.stream == stream && !shard.ending && shard.range.Contains(hash)) return id;
  }
  TAILRACE_CHECK(false, "the test writes to a stream that is not open");
  return {};
}

Lsn TestJournal::EnableStream(StreamId stream, TableId table, ViewType view, uint32_t shards,
                              ShardId first_shard, uint64_t retention_ms) {
  frames::Catalogue message;
  message.set_age_ms(age_ms_);
  message.set_wall_ms(wall_ms_);
  frames::StreamSpec* const spec = message.add_changes()->mutable_enable_stream();
  spec->set_id(stream.value);
  spec->set_table(table.value);
  spec->set_table_name("Games");
  spec->mutable_keys()->mutable_partition()->set_name("game_id");
  spec->mutable_keys()->mutable_partition()->set_type(frames::N);
  spec->set_label("2020-05-09T00:00:00.000");
  spec->set_view(static_cast<frames::ViewType>(view));
  spec->set_created_ms(wall_ms_);
  spec->set_retention_ms(retention_ms);
  const auto specs = EvenShards(shards, first_shard, wall_ms_);
  for (const frames::ShardSpec& shard : specs) *spec->add_shards() = shard;
  const Lsn lsn = Append(kCatalogueFrame, message.SerializeAsString());
  for (const frames::ShardSpec& shard : specs) {
    ModelShard& made = model_[ShardId{shard.id()}];
    made.stream = stream;
    made.range = {shard.hash_first(), shard.hash_last()};
    made.view = view;
    made.starting = made.trimmed_below = SequenceNumber{lsn.value + 1};
  }
  return lsn;
}

Lsn TestJournal::DisableStream(StreamId stream) {
  frames::Catalogue message;
  message.set_age_ms(age_ms_);
  message.add_changes()->mutable_disable_stream()->set_stream(stream.value);
  const Lsn lsn = Append(kCatalogueFrame, message.SerializeAsString());
  for (auto& [id, shard] : model_) {
    if (shard.stream == stream && !shard.ending) shard.ending = SequenceNumber{lsn.value};
  }
  return lsn;
}

Lsn TestJournal::SealAndOpen(StreamId stream, const std::vector<ShardId>& parents,
                             const std::vector<frames::ShardSpec>& children) {
  frames::Catalogue message;
  message.set_age_ms(age_ms_);
  frames::SealAndOpen* const change = message.add_changes()->mutable_seal_and_open();
  change->set_stream(stream.value);
  for (const ShardId parent : parents) change->add_parents(parent.value);
  for (const frames::ShardSpec& child : children) *change->add_children() = child;
  const Lsn lsn = Append(kCatalogueFrame, message.SerializeAsString());
  for (const ShardId parent : parents) model_.at(parent).ending = SequenceNumber{lsn.value};
  for (const frames::ShardSpec& child : children) {
    ModelShard& made = model_[ShardId{child.id()}];
    made.stream = stream;
    made.range = {child.hash_first(), child.hash_last()};
    made.view = model_.at(parents.front()).view;
    made.starting = made.trimmed_below = SequenceNumber{lsn.value + 1};
  }
  return lsn;
}

Lsn TestJournal::Split(StreamId stream, ShardId parent, ShardId child) {
  const HashRange range = model_.at(parent).range;
  const uint64_t middle = range.first + (range.last - range.first) / 2;
  std::vector<frames::ShardSpec> children(2);
  children[0].set_id(child.value);
  children[0].set_hash_first(range.first);
  children[0].set_hash_last(middle);
  children[0].set_parent(parent.value);
  children[1].set_id(child.value + 1);
  children[1].set_hash_first(middle + 1);
  children[1].set_hash_last(range.last);
  children[1].set_parent(parent.value);
  return SealAndOpen(stream, {parent}, children);
}

Lsn TestJournal::Rotate(StreamId stream, ShardId parent, ShardId child) {
  std::vector<frames::ShardSpec> children(1);
  children[0].set_id(child.value);
  children[0].set_hash_first(model_.at(parent).range.first);
  children[0].set_hash_last(model_.at(parent).range.last);
  children[0].set_parent(parent.value);
  return SealAndOpen(stream, {parent}, children);
}

Lsn TestJournal::Merge(StreamId stream, ShardId left, ShardId right, ShardId child) {
  std::vector<frames::ShardSpec> children(1);
  children[0].set_id(child.value);
  children[0].set_hash_first(model_.at(left).range.first);
  children[0].set_hash_last(model_.at(right).range.last);
  return SealAndOpen(stream, {left, right}, children);
}

Lsn TestJournal::Trim(const frames::Trim& trim) {
  const Lsn lsn = Append(kTrimFrame, trim.SerializeAsString());
  for (const frames::ShardTrim& entry : trim.trims()) {
    const auto found = model_.find(ShardId{entry.shard()});
    if (found == model_.end()) continue;
    ModelShard& shard = found->second;
    shard.trimmed_below = std::max(shard.trimmed_below, SequenceNumber{entry.below()});
    if (shard.ending && shard.trimmed_below > *shard.ending) shard.gone = true;
  }
  return lsn;
}

Lsn TestJournal::Clock() {
  frames::Clock reading;
  reading.set_age_ms(age_ms_);
  return Append(kClockFrame, reading.SerializeAsString());
}

void TestJournal::Jump(uint64_t bytes) {
  const Lsn old_end = end_;
  end_ = end_ + bytes;
  epoch_ = Epoch{epoch_.value + 1};
  jumps_.push_back({.epoch = epoch_, .old_end = old_end, .new_start = end_, .clean = false});
}

void TestJournal::CutBack(Lsn lsn) {
  while (!frames_.empty() && frames_.back().lsn >= lsn) frames_.pop_back();
  end_ = lsn;
  for (auto shard = model_.begin(); shard != model_.end();) {
    std::erase_if(shard->second.records,
                  [&](const Record& record) { return record.sequence.value >= lsn.value; });
    shard = shard->second.starting.value > lsn.value ? model_.erase(shard) : std::next(shard);
  }
}

std::vector<ShardId> TestJournal::LiveShards() const {
  std::vector<ShardId> live;
  for (const auto& [id, shard] : model_) {
    if (!shard.gone) live.push_back(id);
  }
  return live;
}

Status FoldFrom(const TestJournal& journal, Lsn from, ShardSet& set) {
  for (const TestFrame& frame : journal.frames()) {
    if (frame.lsn >= from) TAILRACE_RETURN_IF_ERROR(set.Apply(frame.View()));
  }
  return set.Publish(journal.end());
}

Result<ReadOutcome> ReadAll(const ShardSet& set, Position position, const PageLimits& limits) {
  ReadOutcome outcome;
  while (true) {
    TAILRACE_ASSIGN_OR_RETURN(Page page, set.Read(position, limits));
    ++outcome.pages;
    if (page.gap) outcome.gaps.push_back(*page.gap);
    for (Record& record : page.records) outcome.records.push_back(std::move(record));
    if (page.next == position && !page.caught_up) {
      return Corruption("the reader does not move and is not caught up");
    }
    position = outcome.end = page.next;
    outcome.end_of_shard = page.end_of_shard;
    if (page.caught_up) return outcome;
  }
}

Result<ReadOutcome> ReadAllFrom(const ShardSet& set, StreamId stream, ShardId shard, StartAt start,
                                SequenceNumber number, const PageLimits& limits) {
  TAILRACE_ASSIGN_OR_RETURN(const Position position, set.Seek(stream, shard, start, number));
  return ReadAll(set, position, limits);
}

std::string CompareRecords(const Record& read, const Record& expected) {
  const auto differs = [&](const char* what) {
    return std::string(what) + " of record " + std::to_string(read.sequence.value) +
           " differs (expected record " + std::to_string(expected.sequence.value) + ")";
  };
  if (read.sequence != expected.sequence) return differs("sequence number");
  if (read.ordinal != expected.ordinal) return differs("ordinal");
  if (read.previous != expected.previous) return differs("previous number");
  if (read.age_ms != expected.age_ms) return differs("age");
  if (read.wall_ms != expected.wall_ms) return differs("wall clock");
  if (read.kind != expected.kind) return differs("kind");
  if (read.actor != expected.actor) return differs("actor");
  if (read.change_index != expected.change_index) return differs("change index");
  if (read.change_count != expected.change_count) return differs("change count");
  if (read.key != expected.key) return differs("key");
  if (read.new_image != expected.new_image) return differs("new image");
  if (read.old_image != expected.old_image) return differs("old image");
  return "";
}

namespace {

std::string CompareShard(const ShardSet& set, ShardId id, const ModelShard& model,
                         const PageLimits& limits) {
  const std::string name = "shard " + std::to_string(id.value) + ": ";
  const auto read = ReadAllFrom(set, model.stream, id, StartAt::kTrimHorizon, {}, limits);
  if (!read.ok()) return name + read.status().ToString();
  if (!read->gaps.empty()) return name + "a gap at the trim horizon";
  std::vector<Record> expected;
  for (const Record& record : model.records) {
    if (record.sequence >= model.trimmed_below) expected.push_back(record);
  }
  if (read->records.size() != expected.size()) {
    return name + std::to_string(read->records.size()) + " records, expected " +
           std::to_string(expected.size());
  }
  for (size_t i = 0; i < expected.size(); ++i) {
    const std::string difference = CompareRecords(read->records[i], expected[i]);
    if (!difference.empty()) return name + difference;
  }
  if (read->end_of_shard != model.ending.has_value()) return name + "end of shard differs";
  return "";
}

}  // namespace

std::string CompareWithModel(const ShardSet& set, const TestJournal& journal,
                             const PageLimits& limits) {
  for (const auto& [id, model] : journal.model()) {
    if (model.gone) {
      const auto sought = set.Seek(model.stream, id, StartAt::kTrimHorizon);
      if (sought.status().code() == StatusCode::kNotFound) continue;
      return "shard " + std::to_string(id.value) + " expired and is still there";
    }
    const std::string difference = CompareShard(set, id, model, limits);
    if (!difference.empty()) return difference;
  }
  return "";
}

TestChange RandomChange(tailrace::test::Random& random, StreamId stream, uint64_t keys,
                        uint64_t image_bytes_max) {
  TestChange change;
  change.stream = stream;
  const uint64_t key = random.Below(keys);
  change.key = KeyOf(tailrace::test::MixSeed(7, key), "key" + std::to_string(key));
  const uint64_t kind = random.Below(3);
  if (kind != 2) change.new_image = random.Bytes(random.Below(image_bytes_max + 1));
  if (kind != 0) change.old_image = random.Bytes(random.Below(image_bytes_max + 1));
  if (kind == 2 && random.OneIn(3)) change.actor = Actor::kTimeToLive;
  return change;
}

}  // namespace tailrace::shards::test
