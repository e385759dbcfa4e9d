#include "engine/index_entry.h"

#include <algorithm>
#include <utility>

#include "engine/error_text.h"
#include "engine/limits.h"
#include "shards/proto_wire.h"
#include "wal/mutants.h"

namespace tailrace::engine {
namespace {

// Fields of engine/item.proto: of Item, and of Value.
constexpr uint32_t kAttributes = 1;
constexpr uint32_t kName = 1;
constexpr uint32_t kFirstKind = 2;  // S; the others follow in the order of ValueType.

struct EncodedAttribute {
  ByteView name;
  uint32_t kind = 0;  // The field's number.
  ByteView value;     // Of S, N and B.

  ValueType type() const { return static_cast<ValueType>(kind - kFirstKind); }
};

bool ReadAttribute(ByteView message, EncodedAttribute& attribute) {
  shards::WireReader value(message);
  shards::WireField part;
  if (!value.Next(part) || part.number != kName) return false;
  attribute.name = part.bytes;
  if (!value.Next(part)) return false;
  attribute.kind = part.number;
  attribute.value = part.bytes;
  return true;
}

// What of an item concerns an index.
struct KeyAttributes {
  std::optional<EncodedAttribute> partition, sort;
};

// Hands each attribute, and the bytes of its message, to `visit`.
template <typename Visit>
void ForEachAttribute(ByteView image, const Visit& visit) {
  shards::WireReader attributes(image);
  shards::WireField field;
  EncodedAttribute attribute;
  while (!attributes.done() && attributes.Next(field)) {
    if (ReadAttribute(field.bytes, attribute)) visit(attribute, field.bytes);
  }
}

KeyAttributes FindKeys(const KeySchema& keys, ByteView image) {
  KeyAttributes found;
  ForEachAttribute(image, [&](const EncodedAttribute& attribute, ByteView) {
    if (attribute.name == keys.partition.name) found.partition = attribute;
    if (keys.sort && attribute.name == keys.sort->name) found.sort = attribute;
  });
  return found;
}

uint32_t KindOf(ScalarType type) { return static_cast<uint32_t>(type) + kFirstKind - 1; }

bool Fits(const KeyAttribute& key, size_t bytes_max,
          const std::optional<EncodedAttribute>& attribute) {
  return attribute && attribute->kind == KindOf(key.type) && !attribute->value.empty() &&
         (key.type == ScalarType::kN || attribute->value.size() <= bytes_max);
}

Status CheckKey(const Index& index, const KeyAttribute& key, size_t bytes_max,
                const std::optional<EncodedAttribute>& attribute) {
  if (!attribute || Fits(key, bytes_max, attribute)) return Status::Ok();
  if (attribute->kind != KindOf(key.type)) {
    return InvalidArgument(error_text::IndexKeyTypeMismatch(
        key.name, ScalarTypeName(key.type), ValueTypeName(attribute->type()), index.spec.name));
  }
  if (attribute->value.empty()) {
    return InvalidArgument(error_text::EmptyIndexKey(
        key.name, key.type == ScalarType::kS ? "string" : "binary", index.spec.name));
  }
  return InvalidArgument(bytes_max == kPartitionKeyBytesMax ? error_text::kPartitionKeyTooLong
                                                            : error_text::kSortKeyTooLong);
}

// The fields of the attributes with these names; absent if those are all there are. Both are
// sorted.
std::optional<std::string> Project(const std::vector<std::string>& names, ByteView image) {
  std::string projected;
  auto name = names.begin();
  ForEachAttribute(image, [&](const EncodedAttribute& attribute, ByteView message) {
    while (name != names.end() && *name < attribute.name) ++name;
    if (name == names.end() || *name != attribute.name) return;
    shards::AppendBytesField(projected, kAttributes, message);
  });
  if (projected.size() == image.size()) return std::nullopt;
  return projected;
}

EntryChange Replace(const Index& index, std::optional<IndexEntry> old_entry,
                    std::optional<IndexEntry> new_entry, bool same_image) {
  EntryChange change{.index = index.id, .removed = {}, .put = {}, .image = {}};
  const bool same_key = old_entry && new_entry && old_entry->key == new_entry->key;
  if (old_entry && !same_key && !TAILRACE_MUTANT("index-keeps-the-old-key")) {
    change.removed = std::move(old_entry->key);
  }
  if (new_entry && !(same_key && same_image)) {
    change.put = std::move(new_entry->key);
    change.image = std::move(new_entry->image);
  }
  return change;
}

// The entry's item.
ByteView ImageOf(const std::optional<IndexEntry>& entry, const std::optional<std::string>& item) {
  return entry->image ? ByteView(*entry->image) : ByteView(*item);
}

}  // namespace

std::optional<IndexEntry> EntryOf(const Index& index, ByteView storage_key, ByteView image) {
  const KeySchema& keys = index.spec.keys;
  const KeyAttributes found = FindKeys(keys, image);
  if (!Fits(keys.partition, kPartitionKeyBytesMax, found.partition)) return std::nullopt;
  std::optional<ByteView> sort;
  if (keys.sort) {
    if (!Fits(*keys.sort, kSortKeyBytesMax, found.sort)) return std::nullopt;
    sort = found.sort->value;
  }
  IndexEntry entry;
  entry.key = EncodeEntryKey(keys, found.partition->value, sort, storage_key);
  if (!index.projected.empty()) entry.image = Project(index.projected, image);
  return entry;
}

Status CheckIndexKeys(const Index& index, ByteView image) {
  const KeySchema& keys = index.spec.keys;
  const KeyAttributes found = FindKeys(keys, image);
  TAILRACE_RETURN_IF_ERROR(CheckKey(index, keys.partition, kPartitionKeyBytesMax, found.partition));
  return keys.sort ? CheckKey(index, *keys.sort, kSortKeyBytesMax, found.sort) : Status::Ok();
}

size_t EntryChange::Bytes() const {
  size_t bytes = kIndexDeltaBytesMax;
  for (const auto& part : {&removed, &put, &image}) bytes += *part ? (*part)->size() : 0;
  return bytes;
}

Result<std::vector<EntryChange>> ChangesOfEntries(const Table& table, ByteView storage_key,
                                                  const std::optional<std::string>& old_image,
                                                  const std::optional<std::string>& new_image) {
  std::vector<EntryChange> changes;
  for (const Index& index : table.indexes) {
    if (new_image) TAILRACE_RETURN_IF_ERROR(CheckIndexKeys(index, *new_image));
    auto old_entry = old_image ? EntryOf(index, storage_key, *old_image) : std::nullopt;
    auto new_entry = new_image ? EntryOf(index, storage_key, *new_image) : std::nullopt;
    const bool same_image =
        old_entry && new_entry && ImageOf(old_entry, old_image) == ImageOf(new_entry, new_image);
    EntryChange change = Replace(index, std::move(old_entry), std::move(new_entry), same_image);
    if (change.removed || change.put) changes.push_back(std::move(change));
  }
  return changes;
}

}  // namespace tailrace::engine
