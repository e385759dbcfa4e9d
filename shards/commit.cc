#include "shards/commit.h"

#include <algorithm>
#include <utility>

#include "shards/proto_wire.h"
#include "wal/check.h"
#include "wal/coding.h"

namespace tailrace::shards {
namespace {

// Field numbers of frames::Change and frames::Commit.
enum ChangeField : uint32_t {
  kTable = 1,
  kKey = 2,
  kNewImage = 3,
  kExisted = 4,
  kOldImage = 5,
  kStream = 6,
  kActor = 7,
};
enum CommitField : uint32_t { kChanges = 1, kWallMs = 2, kAgeMs = 3, kToken = 4 };

constexpr uint64_t kKeyBytesMin = 8;

uint64_t ChangeBytes(const Change& change) {
  uint64_t bytes = VarintFieldBytes(change.table.value) + BytesFieldBytes(change.key.size()) +
                   VarintFieldBytes(change.existed) + VarintFieldBytes(change.stream.value) +
                   VarintFieldBytes(static_cast<uint64_t>(change.actor));
  if (change.new_image) bytes += BytesFieldBytes(change.new_image->size());
  if (change.old_image) bytes += BytesFieldBytes(change.old_image->size());
  return bytes;
}

// As the field of a commit.
void AppendChange(std::string& target, CommitField field, const Change& change) {
  AppendVarint(target, FieldTag(field, WireType::kBytes));
  AppendVarint(target, ChangeBytes(change));
  AppendVarintField(target, kTable, change.table.value);
  AppendBytesField(target, kKey, change.key);
  if (change.new_image) AppendBytesField(target, kNewImage, *change.new_image);
  AppendVarintField(target, kExisted, change.existed);
  if (change.old_image) AppendBytesField(target, kOldImage, *change.old_image);
  AppendVarintField(target, kStream, change.stream.value);
  AppendVarintField(target, kActor, static_cast<uint64_t>(change.actor));
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
  return Status::Ok();
}

Status CheckCommit(const Commit& commit) {
  if (commit.token && commit.token->stream.value != 0) return Malformed("a token goes to a stream");
  const size_t items = commit.changes.size() + (commit.token ? 1 : 0);
  if (items == 0) return Malformed("it holds no change");
  if (items == 1) return Status::Ok();
  std::vector<std::pair<TableId, ByteView>> keys;
  keys.reserve(items);
  for (const Change& change : commit.changes) keys.emplace_back(change.table, change.key);
  if (commit.token) keys.emplace_back(commit.token->table, commit.token->key);
  std::sort(keys.begin(), keys.end());
  if (std::adjacent_find(keys.begin(), keys.end()) != keys.end()) {
    return Malformed("it changes an item twice");
  }
  return Status::Ok();
}

Result<Change> DecodeChange(ByteView message) {
  Change change;
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
    } else {
      return Unknown("a change", field);
    }
  }
  TAILRACE_RETURN_IF_ERROR(CheckChange(change));
  return change;
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
  std::string payload;
  payload.reserve(bytes);
  for (const Change& change : commit.changes) AppendChange(payload, kChanges, change);
  AppendVarintField(payload, kWallMs, commit.wall_ms);
  AppendVarintField(payload, kAgeMs, commit.age_ms);
  if (commit.token) AppendChange(payload, kToken, *commit.token);
  return payload;
}

Result<Commit> DecodeCommit(ByteView payload) {
  Commit commit;
  WireReader reader(payload);
  WireField field;
  while (!reader.done()) {
    if (!reader.Next(field)) return Malformed("it is not a Protobuf message");
    if (Is(field, kChanges, WireType::kBytes)) {
      TAILRACE_ASSIGN_OR_RETURN(Change change, DecodeChange(field.bytes));
      commit.changes.push_back(change);
    } else if (Is(field, kWallMs, WireType::kVarint)) {
      commit.wall_ms = field.value;
    } else if (Is(field, kAgeMs, WireType::kVarint)) {
      commit.age_ms = field.value;
    } else if (Is(field, kToken, WireType::kBytes)) {
      if (commit.token) return Malformed("it holds two tokens");
      TAILRACE_ASSIGN_OR_RETURN(commit.token, DecodeChange(field.bytes));
    } else {
      return Unknown("the commit", field);
    }
  }
  TAILRACE_RETURN_IF_ERROR(CheckCommit(commit));
  return commit;
}

}  // namespace tailrace::shards
