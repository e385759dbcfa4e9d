// Numbers in the items that the store keeps for itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/value.h"

namespace tailrace::engine {

// The attribute's value; absent unless it is a whole number of at most 64 bits.
std::optional<uint64_t> GetUint64(const Item& item, std::string_view name);

}  // namespace tailrace::engine
