#include "tools/crashtest/protocol.h"

#include <algorithm>
#include <cstring>

#include "engine/item_codec.h"
#include "wal/check.h"
#include "wal/hash.h"
#include "wal/random.h"
#include "wal/sim_clock.h"

namespace tailrace::crashtest {
namespace {

constexpr const char* kNames[kTableNames] = {"numbers", "words.and_words", "bytes-by-number",
                                             "words", "numbers.by.bytes"};
constexpr uint32_t kSortKeys = 4;  // In a partition of a table with a sort key.

// Attributes of every item, beside its key.
constexpr char kWrite[] = "write";
constexpr char kCount[] = "count";
constexpr char kPrevious[] = "previous";

KeySchema SchemaOf(uint32_t table) {
  switch (table) {
    case 0:
      return {{"id", ScalarType::kN}, std::nullopt};
    case 1:
      return {{"who", ScalarType::kS}, KeyAttribute{"what", ScalarType::kS}};
    case 2:
      return {{"raw", ScalarType::kB}, KeyAttribute{"n", ScalarType::kN}};
    case 3:
      return {{"word", ScalarType::kS}, std::nullopt};
    default:
      return {{"n", ScalarType::kN}, KeyAttribute{"raw", ScalarType::kB}};
  }
}

Value KeyValue(ScalarType type, uint32_t index) {
  switch (type) {
    case ScalarType::kS:
      return Value::S("word " + std::to_string(index) + std::string(index % 7, 'x'));
    case ScalarType::kN:
      return Value::N(static_cast<int64_t>(index) * 1'000'003 - 7);
    case ScalarType::kB:
      return Value::B(std::string(index % 3, '\0') + static_cast<char>(index) + '\xff');
  }
  TAILRACE_CHECK(false, "no such key type");
}

uint64_t NumberOf(const Item& item, const char* name) {
  const Number* number = item.GetNumber(name);
  if (number == nullptr) return 0;
  return static_cast<uint64_t>(number->ToInt64().value_or(0));
}

// Attributes of all ten types, drawn from the write's id.
void AddFilling(Item& item, const ItemState& state) {
  const uint64_t write = state.write;
  if (const auto expiry = ExpiryOf(state)) item.Set(kExpires, Value::N(*expiry));
  Random random(write);
  const uint64_t length = random.OneIn(16) ? random.Below(4000) : random.Below(200);
  item.Set("text", Value::S(std::string(length, static_cast<char>('a' + write % 26))));
  if (random.OneIn(2)) item.Set("bytes", Value::B(random.Bytes(random.Below(40))));
  if (random.OneIn(3)) item.Set("flag", Value::Bool(random.OneIn(2)));
  if (random.OneIn(4)) item.Set("none", Value::Null());
  if (random.OneIn(4)) {
    item.Set("numbers",
             Value::NS(SortedUnique{}, {Number::FromInt64(-5), Number::FromUint64(write)}));
    item.Set("words", Value::SS(SortedUnique{}, {"", "a", "b"}));
    item.Set("blobs", Value::BS(SortedUnique{}, {Binary{"\x01"}, Binary{"\xff"}}));
  }
  if (random.OneIn(4)) {
    item.Set("list", Value::L({Value::N(write), Value::S(""), Value::L({})}));
    item.Set("map", Value::M(Item{{"x", Value::N(random.Below(9))}, {"y", Value::M({})}}));
  }
}

template <typename T>
void Append(std::string& bytes, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void AppendImage(std::string& bytes, const std::optional<Item>& image) {
  const std::string encoded = image ? EncodeItem(*image) : "";
  Append(bytes, image.has_value());
  Append(bytes, encoded.size());
  bytes += encoded;
}

}  // namespace

std::string ItemState::ToString() const {
  if (!present()) return "none";
  return "{write " + std::to_string(write) + ", count " + std::to_string(count) + ", previous " +
         std::to_string(previous) + "}";
}

std::optional<uint64_t> ExpiryOf(const ItemState& state) {
  constexpr uint64_t kLifeMaxS = 48 * 3600;
  if (!state.present()) return std::nullopt;
  Random random(MixSeed(state.write, 1));
  if (!random.OneIn(4)) return std::nullopt;
  return SimClock::kStartWallMs / 1000 + random.Below(kLifeMaxS);
}

KeySpace::KeySpace(uint32_t table) : name_(kNames[table]), schema_(SchemaOf(table)) {
  for (uint32_t key = 0; key < kKeysPerTable; ++key) {
    Item item;
    const uint32_t partition = schema_.sort ? key / kSortKeys : key;
    item.Set(schema_.partition.name, KeyValue(schema_.partition.type, partition));
    if (schema_.sort) item.Set(schema_.sort->name, KeyValue(schema_.sort->type, key % kSortKeys));
    const std::string storage_key = EncodeKey(schema_, item).value();
    hashes_.push_back(PartitionHash(storage_key));
    by_storage_key_[storage_key] = key;
    keys_.push_back(std::move(item));
  }
  TAILRACE_CHECK(by_storage_key_.size() == kKeysPerTable, "keys differ");
}

const KeySpace& KeySpace::Of(uint32_t table) {
  static const std::vector<KeySpace> all = [] {
    std::vector<KeySpace> made;
    for (uint32_t each = 0; each < kTableNames; ++each) made.push_back(KeySpace(each));
    return made;
  }();
  return all.at(table);
}

uint32_t KeySpace::TableOf(std::string_view name) {
  return static_cast<uint32_t>(std::find(kNames, kNames + kTableNames, name) - kNames);
}

std::optional<uint32_t> KeySpace::Find(const Item& key) const {
  const auto storage_key = EncodeKey(schema_, key);
  if (!storage_key.ok()) return std::nullopt;
  const auto found = by_storage_key_.find(*storage_key);
  if (found == by_storage_key_.end()) return std::nullopt;
  return found->second;
}

Item KeySpace::MakeItem(uint32_t key, const ItemState& state) const {
  TAILRACE_CHECK(state.present(), "an item has a state");
  Item item = keys_.at(key);
  item.Set(kWrite, Value::N(state.write));
  item.Set(kCount, Value::N(state.count));
  item.Set(kPrevious, Value::N(state.previous));
  AddFilling(item, state);
  return item;
}

std::optional<ItemState> KeySpace::ReadItem(uint32_t key, const Item& item) const {
  const ItemState state{NumberOf(item, kWrite), NumberOf(item, kCount), NumberOf(item, kPrevious)};
  if (!state.present() || !(MakeItem(key, state) == item)) return std::nullopt;
  return state;
}

uint64_t DigestRecord(const ChangeRecord& record) {
  std::string bytes = record.event_id;
  Append(bytes, record.kind);
  Append(bytes, record.sequence);
  Append(bytes, record.commit);
  Append(bytes, record.commit_changes);
  Append(bytes, record.stream);
  Append(bytes, record.shard);
  Append(bytes, record.ordinal);
  Append(bytes, record.wall_ms);
  Append(bytes, record.actor);
  Append(bytes, record.view);
  Append(bytes, record.size_bytes);
  bytes += EncodeItem(record.keys);
  AppendImage(bytes, record.new_image);
  AppendImage(bytes, record.old_image);
  return Hash64(bytes);
}

bool ConditionHolds(Operation operation, const ItemState& old) {
  switch (operation) {
    case Operation::kPutIfAbsent:
      return !old.present();
    case Operation::kPutIfPresent:
      return old.present();
    case Operation::kPutIfCountEven:
    case Operation::kDeleteIfCountEven:
    case Operation::kCheckCountEven:
      return old.count % 2 == 0;
    default:
      return true;
  }
}

ItemState ResultOf(Operation operation, const ItemState& old, uint64_t write,
                   const ItemState& wanted) {
  switch (operation) {
    case Operation::kPut:
    case Operation::kPutIfAbsent:
    case Operation::kPutIfPresent:
    case Operation::kPutIfCountEven:
      return {write, 0, 0};
    case Operation::kPutState:
      return wanted;
    case Operation::kUpdate:
      return {write, old.count + 1, old.write};
    case Operation::kUpdateUnchanged:
    case Operation::kUpdateFailing:
    case Operation::kCheckCountEven:
      return old;
    default:
      return {};
  }
}

void SetText(Event& event, std::string_view text) {
  const size_t length = std::min(text.size(), event.text.size() - 1);
  std::memcpy(event.text.data(), text.data(), length);
  event.text[length] = '\0';
}

}  // namespace tailrace::crashtest
