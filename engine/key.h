// Keys: what identifies an item in a table, as values and as the bytes it is stored under.
//
// A storage key is [8 bytes: hash of the partition key][partition key][sort key, if the table has
// one], so that the items of a partition stand together in the order of their sort keys, and
// partitions in the order of their hashes. docs/item-format.md has the bytes. Thread-safe: values
// and free functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/value.h"
#include "wal/status.h"
#include "wal/types.h"

namespace tailrace {

// The types a key attribute may have. Values are on disk (frames::ScalarType): never change one.
enum class ScalarType : uint32_t { kS = 1, kN = 2, kB = 3 };

// "S", "N" or "B".
std::string_view ScalarTypeName(ScalarType type);

struct KeyAttribute {
  std::string name;
  ScalarType type = ScalarType::kS;

  friend bool operator==(const KeyAttribute&, const KeyAttribute&) = default;
};

// Which attributes make up a table's key.
struct KeySchema {
  KeyAttribute partition;
  std::optional<KeyAttribute> sort = std::nullopt;

  friend bool operator==(const KeySchema&, const KeySchema&) = default;
};

// kInvalidArgument unless the names are UTF-8 of 1 to kKeyNameBytesMax bytes and differ, and the
// types are among those of ScalarType.
Status ValidateKeySchema(const KeySchema& schema);

// kInvalidArgument unless the name has kTableNameBytesMin to kTableNameBytesMax bytes, all of
// a-z A-Z 0-9 _ . -
Status ValidateTableName(std::string_view name);

// ---- Keys as bytes. They require ValidateKeySchema(schema).ok(). ----

// The storage key of a whole item. kInvalidArgument, in the service's words, if a key attribute is
// missing, has another type, is empty or is too long.
Result<std::string> EncodeKeyOfItem(const KeySchema& schema, const Item& item);

// The storage key of `key`, which must hold the key attributes and nothing else. kInvalidArgument,
// in the service's words, if it does not, or a key attribute has another type, is empty or is too
// long.
Result<std::string> EncodeKey(const KeySchema& schema, const Item& key);

// The part of a storage key that all items of a partition share: [hash][partition key]. Without a
// sort key it is the whole storage key. kInvalidArgument, in the service's words, if the value has
// another type than the key attribute, is empty or is too long.
Result<std::string> EncodePartition(const KeySchema& schema, const Value& partition);

// The key attributes of a storage key: exactly what EncodeKey takes. Any bytes are safe;
// kCorruption unless they are a storage key of the schema, in its only encoding and with its right
// hash.
Result<Item> DecodeKey(const KeySchema& schema, ByteView storage_key);

// The key attributes of an item, as far as it has them.
Item KeyOfItem(const KeySchema& schema, const Item& item);

// The partition-key hash, which is the first 8 bytes and decides the shard. Requires at least 8
// bytes.
uint64_t PartitionHash(ByteView storage_key);

// ---- Keys of index entries. ----
//
// Several items may share an index's key, so an entry's key is [8 bytes: hash of the index's
// partition key][partition key][sort key with its end marked, if the index has one][the item's
// storage key without its hash].

// The entry's key of the item with this storage key. The values are of the index's types, in the
// bytes of an encoded item: text or bytes as they are, a number's ordered bytes. `sort` is there if
// the index has a sort key.
std::string EncodeEntryKey(const KeySchema& index, ByteView partition, std::optional<ByteView> sort,
                           ByteView storage_key);

// The same of `key`, which must hold the key attributes of index and table and nothing else. Errors
// as EncodeKey.
Result<std::string> EncodeEntryKey(const KeySchema& index, const KeySchema& table, const Item& key);

// The key attributes of index and table, as far as the item has them.
Item KeyOfEntry(const KeySchema& index, const KeySchema& table, const Item& item);

// ---- Ranges of storage keys. ----

// The storage keys k with lower <= k < upper, compared as unsigned bytes.
struct KeyRange {
  std::string lower;
  std::string upper;

  bool empty() const { return lower >= upper; }
  bool Contains(ByteView key) const { return lower <= key && key < upper; }
  friend bool operator==(const KeyRange&, const KeyRange&) = default;
};

// The first byte string after all those that begin with `prefix`; absent if there is none (the
// prefix is empty or has only FF bytes, which no storage key has).
std::optional<std::string> PrefixUpperBound(ByteView prefix);

// A condition on the sort keys of one partition.
struct SortCondition {
  enum class Kind {
    kAny,
    kEqual,
    kLess,
    kLessOrEqual,
    kGreater,
    kGreaterOrEqual,
    kBetween,
    kBeginsWith,
  };
  Kind kind = Kind::kAny;
  std::optional<Value> value = std::nullopt;  // Not for kAny.
  std::optional<Value> upper = std::nullopt;  // kBetween: `value` <= sort key <= `upper`.

  // Every sort key. Not inline, since g++ 12 takes absent operands that it sees for uninitialised.
  static SortCondition Any();
};

// All items of a partition. Errors as EncodePartition.
Result<KeyRange> PartitionRange(const KeySchema& schema, const Value& partition);

// The items of a partition whose sort key meets the condition. kInvalidArgument, in the service's
// words where it has any: no sort key in the schema (unless kAny), an operand absent, of another
// type, empty or too long, kBeginsWith on a number, kBetween with its bounds the wrong way round.
Result<KeyRange> SortRange(const KeySchema& schema, const Value& partition,
                           const SortCondition& condition);

// The same of the entries of an index with this key.
Result<KeyRange> EntryRange(const KeySchema& index, const Value& partition,
                            const SortCondition& condition);

// The storage keys of those partitions whose hash lies in part `segment` of `total_segments` equal
// ones, counted from 0. Requires segment < total_segments.
KeyRange SegmentRange(uint32_t segment, uint32_t total_segments);

}  // namespace tailrace
