#include "tools/package_changes.h"

#include "tools/format.h"
#include "tools/package_index.h"

namespace tailrace::tools {

std::vector<PackageChange> PlanChanges(size_t packages) {
  using Kind = PackageChange::Kind;
  std::vector<PackageChange> changes;
  for (size_t i = 0; i < packages; ++i) {
    if (i % 10 == 3) changes.push_back({i, Kind::kRemove});
    if (i % 10 == 7) changes.push_back({i, Kind::kGrow});
    if (i % 10 == 8) changes.push_back({i, Kind::kMove});
  }
  return changes;
}

std::optional<Item> Changed(const Item& package, PackageChange::Kind kind) {
  Item changed = package;
  switch (kind) {
    case PackageChange::Kind::kRemove:
      return std::nullopt;
    case PackageChange::Kind::kGrow:
      changed.Set("Installed-Size", Value::N(2 * InstalledKibOf(package) + 1));
      return changed;
    case PackageChange::Kind::kMove:
      changed.Set("Section", Value::S(Cat("moved/", SectionOf(package))));
      return changed;
  }
  return std::nullopt;
}

Result<WriteResult> ApplyChange(Store& store, const std::string& table, const Item& package,
                                PackageChange::Kind kind) {
  const Item key = KeyOfItem(PackageKeys(), package);
  const WriteOptions options{.wait = WaitFor::kNothing};
  if (kind == PackageChange::Kind::kRemove) return store.Delete(table, key, options);
  const Updater change = [&](std::optional<Item>& item) {
    item = Changed(package, kind);
    return Status::Ok();
  };
  return store.Update(table, key, change, options);
}

}  // namespace tailrace::tools
