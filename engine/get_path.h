// The way of a read by key: find, wait until what the answer rests on is safe, decode.
// Thread-safe: free functions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/core.h"
#include "engine/store.h"

namespace tailrace::engine {

// See Store::Get.
Result<std::optional<Item>> GetItem(Core& core, const std::string& table, const Item& key);

enum class Together {
  kNo,   // Each item as some moment during the call has it.
  kYes,  // All items as one moment has them: read under their key locks, which a write holds from
         // before it reads until its changes are entered. No other code runs under them here.
};

// See Store::BatchGet and TransactGet. The number of keys is the caller's to check.
Result<std::vector<std::optional<Item>>> GetItems(Core& core, const std::vector<ItemKey>& keys,
                                                  Together together);

}  // namespace tailrace::engine
