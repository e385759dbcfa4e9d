#include "tools/stream_check.h"

#include "engine/item_codec.h"
#include "tools/format.h"
#include "wal/hash.h"

namespace tailrace::tools {
namespace {

// 0 stands for "no image", so no image has it.
uint64_t ImageHash(std::optional<ByteView> image) {
  if (!image) return 0;
  const uint64_t hash = Hash64(*image);
  return hash == 0 ? 1 : hash;
}

bool ShowsNew(ViewType view) {
  return view == ViewType::kNewImage || view == ViewType::kNewAndOldImages;
}
bool ShowsOld(ViewType view) {
  return view == ViewType::kOldImage || view == ViewType::kNewAndOldImages;
}

// Whether the record has the images that its kind and the view ask for.
std::string CheckShape(ViewType view, const shards::RecordView& record) {
  const bool wants_new = ShowsNew(view) && record.kind != ChangeKind::kRemove;
  const bool wants_old = ShowsOld(view) && record.kind != ChangeKind::kInsert;
  if (record.new_image.has_value() != wants_new) {
    return wants_new ? "it lacks its new image" : "it has a new image, which it should not show";
  }
  if (record.old_image.has_value() != wants_old) {
    return wants_old ? "it lacks its old image" : "it has an old image, which it should not show";
  }
  return "";
}

// Whether the key and the images can be read and are about the same item.
std::string CheckItems(const KeySchema& keys, const shards::RecordView& record) {
  if (const auto key = DecodeKey(keys, record.key); !key.ok()) {
    return Cat("its key cannot be read: ", key.status().message());
  }
  for (const auto& image : {record.new_image, record.old_image}) {
    if (!image) continue;
    const auto item = DecodeItem(*image);
    if (!item.ok()) return Cat("an image cannot be read: ", item.status().message());
    const auto key = EncodeKeyOfItem(keys, *item);
    if (!key.ok() || *key != record.key) return "an image is that of another key";
  }
  return "";
}

// Whether the record fits what is known of its key.
std::string CheckBefore(const KeyState& before, const shards::RecordView& record) {
  const bool existed = record.kind != ChangeKind::kInsert;
  if (existed != before.exists) {
    return Cat("it is a ", ChangeKindName(record.kind), ", but by the records before it the item ",
               before.exists ? "exists" : "does not exist");
  }
  if (record.old_image && before.image_hash && ImageHash(record.old_image) != *before.image_hash) {
    return "its old image is not the last new image";
  }
  return "";
}

}  // namespace

std::string StreamFold::Apply(const LogSource& source, const frames::ShardSpec& range,
                              const shards::RecordView& record) {
  if (std::string problem = CheckShape(source.stream.view, record); !problem.empty())
    return problem;
  if (source.keys) {
    if (std::string problem = CheckItems(*source.keys, record); !problem.empty()) return problem;
  }
  const uint64_t hash = PartitionHash(record.key);
  if (hash < range.hash_first() || hash > range.hash_last()) {
    return "its key's hash lies outside of the shard's range";
  }
  KeyState after{.exists = record.kind != ChangeKind::kRemove};
  if (record.new_image) after.image_hash = ImageHash(record.new_image);
  const auto [known, is_new] = keys_.try_emplace(std::string(record.key), after);
  if (is_new) return "";
  std::string problem = CheckBefore(known->second, record);
  known->second = after;
  return problem;
}

void JournalChanges::Add(Lsn lsn, const shards::Commit& commit) {
  for (size_t i = 0; i < commit.changes.size() && changes_.size() < kChangesMax; ++i) {
    const shards::Change& change = commit.changes[i];
    if (change.stream == StreamId{0}) continue;
    changes_[{change.stream, SequenceNumber{lsn.value + i}}] = {
        .partition_hash = change.partition_hash(),
        .key_hash = Hash64(change.key),
        .new_hash = ImageHash(change.new_image),
        .old_hash = ImageHash(change.old_image),
        .kind = change.kind()};
  }
}

std::string JournalChanges::Find(StreamId stream, ViewType view, const shards::RecordView& record) {
  const auto at = changes_.find({stream, record.sequence});
  if (at == changes_.end()) return "";
  const Change change = at->second;
  changes_.erase(at);
  ++found_;
  if (change.kind != record.kind || change.key_hash != Hash64(record.key)) {
    return "the journal has another change under this number";
  }
  const bool differs = (ShowsNew(view) && change.new_hash != ImageHash(record.new_image)) ||
                       (ShowsOld(view) && change.old_hash != ImageHash(record.old_image));
  return differs ? "its images differ from the journal's" : "";
}

void JournalChanges::ForMissing(StreamId stream, SequenceNumber first, SequenceNumber last,
                                const frames::ShardSpec& range,
                                const std::function<void(SequenceNumber)>& missing) const {
  for (auto at = changes_.lower_bound({stream, first}); at != changes_.end(); ++at) {
    const auto& [place, change] = *at;
    if (place.first != stream || place.second > last) break;
    if (change.partition_hash < range.hash_first() || change.partition_hash > range.hash_last())
      continue;
    missing(place.second);
  }
}

}  // namespace tailrace::tools
