// What the demo does to the imported packages: a slice removed, a field changed in others. Each
// change says what shall be, not what to add, so that doing it again does nothing.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "engine/store.h"

namespace tailrace::tools {

// One change of one package.
struct PackageChange {
  enum class Kind { kRemove, kGrow, kMove };
  size_t package = 0;  // Index in the list of packages.
  Kind kind = Kind::kRemove;
};

// Every tenth package is removed, another tenth grows to twice its installed size, another moves to
// a section of another name.
std::vector<PackageChange> PlanChanges(size_t packages);

// The package after its change; absent when it is removed.
std::optional<Item> Changed(const Item& package, PackageChange::Kind kind);

// Makes the change in the table, without waiting until it is safe.
Result<WriteResult> ApplyChange(Store& store, const std::string& table, const Item& package,
                                PackageChange::Kind kind);

}  // namespace tailrace::tools
