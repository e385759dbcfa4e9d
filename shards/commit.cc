#include "shards/commit.h"

#include <algorithm>
#include <utility>

#include "shards/proto_wire.h"
#include "wal/check.h"
#include "wal/coding.h"

namespace tailrace::shards {
namespace {

// Field numbers of frames::Change, frames::IndexDelta and frames::Commit.
enum ChangeField : uint32_t {
  kTable = 1,
  kKey = 2,
  kNewImage = 3,
  kExisted = 4,
  kOldImage = 5,
  kStream = 6,
  kActor = 7,
  kDeltas = 8,
};
enum DeltaField : uint32_t { kIndex = 1, kRemoved = 2, kPut = 3, kImage = 4 };
enum CommitField : uint32_t { kChanges = 1, kWallMs = 2, kAgeMs = 3, kToken = 4 };

constexpr uint64_t kKeyBytesMin = 8;

uint64_t DeltaBytes(const IndexDelta& delta) {
  uint64_t bytes = VarintFieldBytes(delta.index.value);
  for (const auto& part : {delta.removed, delta.put, delta.image}) {
    if (part) bytes += BytesFieldBytes(part->size());
  }
  return bytes;
}

uint64_t ChangeBytes(const Change& change) {
  uint64_t bytes = VarintFieldBytes(change.table.value) + BytesFieldBytes(change.key.size()) +
                   VarintFieldBytes(change.existed) + VarintFieldBytes(change.stream.value) +
                   VarintFieldBytes(static_cast<uint64_t>(change.actor));
  if (change.new_image) bytes += BytesFieldBytes(change.new_image->size());
  if (change.old_image) bytes += BytesFieldBytes(change.old_image->size());
  for (const IndexDelta& delta : change.deltas) bytes += BytesFieldBytes(DeltaBytes(delta));
  return bytes;
}

void WriteDelta(WireWriter& writer, const IndexDelta& delta) {
  writer.BeginMessage(kDeltas, DeltaBytes(delta));
  writer.VarintField(kIndex, delta.index.value);
  if (delta.removed) writer.BytesField(kRemoved, *delta.removed);
  if (delta.put) writer.BytesField(kPut, *delta.put);
  if (delta.image) writer.BytesField(kImage, *delta.image);
}

// As the field of a commit.
void WriteChange(WireWriter& writer, CommitField field, const Change& change) {
  writer.BeginMessage(field, ChangeBytes(change));
  writer.VarintField(kTable, change.table.value);
  writer.BytesField(kKey, change.key);
  if (change.new_image) writer.BytesField(kNewImage, *change.new_image);
  writer.VarintField(kExisted, change.existed);
  if (change.old_image) writer.BytesField(kOldImage, *change.old_image);
  writer.VarintField(kStream, change.stream.value);
  writer.VarintField(kActor, static_cast<uint64_t>(change.actor));
  for (const IndexDelta& delta : change.deltas) WriteDelta(writer, delta);
}

Status Malformed(const char* what) { return Corruption(std::string("commit frame: ") + what); }

// Fields of a wrong wire type and fields we do not know were written by a newer version; reading on
// without them would lose what they mean.
Status Unknown(const char* message, const WireField& field) {
  return Unsupported(std::string("commit frame: unknown field ") + std::to_string(field.number) +
                     " in " + message);
}

bool Is(const WireField& field, uint32_t number, WireType type) {
  return field.number == number && field.type == type;
}

Status CheckDelta(const IndexDelta& delta, const Change& change) {
  if (delta.index.value == 0) return Malformed("a delta has no index");
  if (!delta.removed && !delta.put) return Malformed("a delta changes no entry");
  for (const auto& key : {delta.removed, delta.put}) {
    if (key && key->size() < kKeyBytesMin)
      return Malformed("an entry's key is shorter than its hash");
  }
  if (delta.image && !delta.put) return Malformed("there is an image of an entry that goes");
  if (delta.put && !delta.image && !change.new_image) return Malformed("an entry has no image");
  return Status::Ok();
}

// What no writer of ours leaves out.
Status CheckChange(const Change& change) {
  if (change.table.value == 0) return Malformed("a change has no table");
  if (change.key.size() < kKeyBytesMin) return Malformed("a key is shorter than its hash");
  if (!change.existed && !change.new_image) return Malformed("nothing was changed");
  if (!change.existed && change.old_image) {
    return Malformed("there is an old image of an item that did not exist");
  }
  if (change.existed && change.stream.value != 0 && !change.old_image) {
    return Malformed("the old image is missing");
  }
  if (change.actor != Actor::kUser && change.actor != Actor::kTimeToLive) {
    return Malformed("unknown actor");
  }
  for (const IndexDelta& delta : change.deltas) {
    TAILRACE_RETURN_IF_ERROR(CheckDelta(delta, change));
  }
  return Status::Ok();
}

using PlacedKey = std::pair<TableId, ByteView>;

// All that the change sets: its item, and entries of indexes.
void CollectKeys(const Change& change, std::vector<PlacedKey>& keys) {
  keys.emplace_back(change.table, change.key);
  for (const IndexDelta& delta : change.deltas) {
    if (delta.removed) keys.emplace_back(delta.index, *delta.removed);
    if (delta.put) keys.emplace_back(delta.index, *delta.put);
  }
}

Status CheckCommit(const Commit& commit) {
  if (commit.token && commit.token->stream.value != 0) return Malformed("a token goes to a stream");
  const size_t items = commit.changes.size() + (commit.token ? 1 : 0);
  if (items == 0) return Malformed("it holds no change");
  if (items == 1 && (commit.token ? *commit.token : commit.changes[0]).deltas.empty()) {
    return Status::Ok();
  }
  std::vector<PlacedKey> keys;
  keys.reserve(items);
  for (const Change& change : commit.changes) CollectKeys(change, keys);
  if (commit.token) CollectKeys(*commit.token, keys);
  std::sort(keys.begin(), keys.end());
  if (std::adjacent_find(keys.begin(), keys.end()) != keys.end()) {
    return Malformed("it changes an item twice");
  }
  return Status::Ok();
}

Result<IndexDelta> DecodeDelta(ByteView message) {
  IndexDelta delta;
  WireReader reader(message);
  WireField field;
  while (!reader.done()) {
    if (!reader.Next(field)) return Malformed("a delta is not a Protobuf message");
    if (Is(field, kIndex, WireType::kVarint)) {
      delta.index = TableId{field.value};
    } else if (Is(field, kRemoved, WireType::kBytes)) {
      delta.removed = field.bytes;
    } else if (Is(field, kPut, WireType::kBytes)) {
      delta.put = field.bytes;
    } else if (Is(field, kImage, WireType::kBytes)) {
      delta.image = field.bytes;
    } else {
      return Unknown("a delta", field);
    }
  }
  return delta;
}

Status DecodeChange(ByteView message, Change& change) {
  WireReader reader(message);
  WireField field;
  while (!reader.done()) {
    if (!reader.Next(field)) return Malformed("a change is not a Protobuf message");
    if (Is(field, kTable, WireType::kVarint)) {
      change.table = TableId{field.value};
    } else if (Is(field, kKey, WireType::kBytes)) {
      change.key = field.bytes;
    } else if (Is(field, kNewImage, WireType::kBytes)) {
      change.new_image = field.bytes;
    } else if (Is(field, kExisted, WireType::kVarint)) {
      change.existed = field.value != 0;
    } else if (Is(field, kOldImage, WireType::kBytes)) {
      change.old_image = field.bytes;
    } else if (Is(field, kStream, WireType::kVarint)) {
      change.stream = StreamId{field.value};
    } else if (Is(field, kActor, WireType::kVarint)) {
      if (field.value > UINT32_MAX) return Malformed("unknown actor");
      change.actor = static_cast<Actor>(field.value);
    } else if (Is(field, kDeltas, WireType::kBytes)) {
      TAILRACE_ASSIGN_OR_RETURN(const IndexDelta delta, DecodeDelta(field.bytes));
      change.deltas.push_back(delta);
    } else {
      return Unknown("a change", field);
    }
  }
  return CheckChange(change);
}

}  // namespace

ChangeKind Change::kind() const {
  TAILRACE_CHECK(existed || new_image.has_value(), "a change that changes nothing has no kind");
  if (!existed) return ChangeKind::kInsert;
  return new_image ? ChangeKind::kModify : ChangeKind::kRemove;
}

uint64_t Change::partition_hash() const {
  TAILRACE_CHECK(key.size() >= kKeyBytesMin, "a storage key begins with its hash");
  return LoadBig64(key.data());
}

std::string EncodeCommit(const Commit& commit) {
  uint64_t bytes = VarintFieldBytes(commit.wall_ms) + VarintFieldBytes(commit.age_ms);
  for (const Change& change : commit.changes) bytes += BytesFieldBytes(ChangeBytes(change));
  if (commit.token) bytes += BytesFieldBytes(ChangeBytes(*commit.token));
  std::string payload(bytes, '\0');
  WireWriter writer(payload.data());
  for (const Change& change : commit.changes) WriteChange(writer, kChanges, change);
  writer.VarintField(kWallMs, commit.wall_ms);
  writer.VarintField(kAgeMs, commit.age_ms);
  if (commit.token) WriteChange(writer, kToken, *commit.token);
  TAILRACE_CHECK(writer.at() == payload.data() + bytes, "a commit's length was mismeasured");
  return payload;
}

Result<Commit> DecodeCommit(ByteView payload) {
  Commit commit;
  WireReader reader(payload);
  WireField field;
  while (!reader.done()) {
    if (!reader.Next(field)) return Malformed("it is not a Protobuf message");
    if (Is(field, kChanges, WireType::kBytes)) {
      TAILRACE_RETURN_IF_ERROR(DecodeChange(field.bytes, commit.changes.emplace_back()));
    } else if (Is(field, kWallMs, WireType::kVarint)) {
      commit.wall_ms = field.value;
    } else if (Is(field, kAgeMs, WireType::kVarint)) {
      commit.age_ms = field.value;
    } else if (Is(field, kToken, WireType::kBytes)) {
      if (commit.token) return Malformed("it holds two tokens");
      TAILRACE_RETURN_IF_ERROR(DecodeChange(field.bytes, commit.token.emplace()));
    } else {
      return Unknown("the commit", field);
    }
  }
  TAILRACE_RETURN_IF_ERROR(CheckCommit(commit));
  return commit;
}

}  // namespace tailrace::shards
