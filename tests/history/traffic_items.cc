#include "tests/history/traffic_items.h"

#include "wal/check.h"

namespace tailrace::test {
namespace {

uint64_t NumberOf(const Item& item, const char* name) {
  const Number* number = item.GetNumber(name);
  TAILRACE_CHECK(number != nullptr && number->ToInt64(), "an item that the traffic did not write");
  return static_cast<uint64_t>(*number->ToInt64());
}

}  // namespace

uint32_t KeyOfTrafficItem(const Item& item) {
  return static_cast<uint32_t>(NumberOf(item, "p") * kKeysOfPartition + NumberOf(item, "s"));
}

std::vector<uint64_t> ListOf(const Item* item) {
  std::vector<uint64_t> ids;
  if (item == nullptr) return ids;
  const std::vector<Value>* list = item->GetList("list");
  TAILRACE_CHECK(list != nullptr && !list->empty(), "an item that the traffic did not write");
  for (const Value& id : *list) ids.push_back(static_cast<uint64_t>(*id.number()->ToInt64()));
  return ids;
}

Item ItemWith(uint32_t key, uint64_t id) {
  Item item = ItemKeyOf(key);
  item.Set("list", Value::L({Value::N(id)}));
  return item;
}

void AppendToItem(uint32_t key, uint64_t id, std::optional<Item>& item) {
  if (!item) {
    item = ItemWith(key, id);
    return;
  }
  item->GetMutable("list")->mutable_list()->push_back(Value::N(id));
}

}  // namespace tailrace::test
