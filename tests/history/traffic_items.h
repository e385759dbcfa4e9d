// The items of the traffic: a number for each key, a list of numbers in each item, and how a
// history has them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/store.h"
#include "tests/history/history.h"

namespace tailrace::test {

inline const std::vector<std::string> kTrafficTables{"Red", "Blue"};
inline const KeySchema kTrafficKeys{{"p", ScalarType::kN}, KeyAttribute{"s", ScalarType::kN}};

// Keys below kRegisters are put, deleted and appended to; those from it on are lists that are
// only appended to, and come into use one after another.
inline constexpr uint32_t kRegisters = 64;
inline constexpr uint32_t kKeysOfPartition = 16;

inline const std::string& TableOfKey(uint32_t key) { return kTrafficTables[key % 2]; }

inline Item ItemKeyOf(uint32_t key) {
  return Item{{"p", Value::N(key / kKeysOfPartition)}, {"s", Value::N(key % kKeysOfPartition)}};
}
uint32_t KeyOfTrafficItem(const Item& item);

// The numbers in an item's list; empty for no item.
std::vector<uint64_t> ListOf(const Item* item);
inline Content ContentOf(const Item* item) {
  Content content = kAbsent;
  for (const uint64_t id : ListOf(item)) content = AppendTo(content, id);
  return content;
}
inline Content ContentOf(const std::optional<Item>& item) {
  return ContentOf(item ? &*item : nullptr);
}

// An item with one number; an item with one more.
Item ItemWith(uint32_t key, uint64_t id);
void AppendToItem(uint32_t key, uint64_t id, std::optional<Item>& item);

}  // namespace tailrace::test
