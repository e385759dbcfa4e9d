#include "engine/index_spec.h"

#include <algorithm>
#include <map>
#include <set>

#include "engine/limits.h"
#include "engine/utf8.h"

namespace tailrace {
namespace {

// The types of all key attributes, by name.
using KeyTypes = std::map<std::string, ScalarType>;

Status AddType(const KeyAttribute& attribute, KeyTypes& types) {
  const auto [found, is_new] = types.emplace(attribute.name, attribute.type);
  if (is_new || found->second == attribute.type) return Status::Ok();
  return InvalidArgument("The key attribute " + attribute.name + " is of type " +
                         std::string(ScalarTypeName(found->second)) + " in one key and of type " +
                         std::string(ScalarTypeName(attribute.type)) + " in another");
}

Status AddTypes(const KeySchema& keys, KeyTypes& types) {
  TAILRACE_RETURN_IF_ERROR(AddType(keys.partition, types));
  return keys.sort ? AddType(*keys.sort, types) : Status::Ok();
}

Status ValidateLocal(const KeySchema& table, const IndexSpec& index) {
  if (!table.sort) {
    return InvalidArgument(
        "Table KeySchema does not have a range key, which is required when specifying a "
        "LocalSecondaryIndex");
  }
  if (index.keys.partition != table.partition) {
    return InvalidArgument("A local index must have the table's partition key, " +
                           table.partition.name);
  }
  if (!index.keys.sort || index.keys.sort == table.sort) {
    return InvalidArgument("A local index must have a sort key of its own");
  }
  return Status::Ok();
}

Status ValidateProjection(const IndexSpec& index) {
  const auto value = static_cast<uint32_t>(index.projection);
  if (value < 1 || value > 3) {
    return InvalidArgument("there is no projection " + std::to_string(value));
  }
  if ((index.projection == Projection::kInclude) != !index.included.empty()) {
    return InvalidArgument("INCLUDE names at least one attribute, and no other projection does");
  }
  if (index.included.size() > kIndexAttributesMax) {
    return InvalidArgument("an index includes at most " + std::to_string(kIndexAttributesMax) +
                           " attributes");
  }
  std::set<std::string_view> names;
  for (const std::string& name : index.included) {
    if (name.empty() || name.size() > kKeyNameBytesMax || !IsUtf8(name)) {
      return InvalidArgument("the name of an included attribute has 1 to " +
                             std::to_string(kKeyNameBytesMax) + " bytes of UTF-8");
    }
    if (!names.insert(name).second) {
      return InvalidArgument("the attribute " + name + " is included twice");
    }
  }
  return Status::Ok();
}

Status ValidateIndex(const KeySchema& table, const IndexSpec& index, KeyTypes& types) {
  TAILRACE_RETURN_IF_ERROR(ValidateTableName(index.name));
  TAILRACE_RETURN_IF_ERROR(ValidateKeySchema(index.keys));
  TAILRACE_RETURN_IF_ERROR(AddTypes(index.keys, types));
  if (index.local) TAILRACE_RETURN_IF_ERROR(ValidateLocal(table, index));
  return ValidateProjection(index);
}

Status AtMost(size_t count, size_t most, const char* what) {
  if (count <= most) return Status::Ok();
  return InvalidArgument("a table has at most " + std::to_string(most) + what);
}

}  // namespace

std::string_view ProjectionName(Projection projection) {
  switch (projection) {
    case Projection::kAll:
      return "ALL";
    case Projection::kKeysOnly:
      return "KEYS_ONLY";
    case Projection::kInclude:
      return "INCLUDE";
  }
  return "UNKNOWN";
}

std::string_view IndexStateName(IndexState state) {
  return state == IndexState::kActive ? "ACTIVE" : "BACKFILLING";
}

Status ValidateIndexes(const KeySchema& table, std::span<const IndexSpec> indexes) {
  KeyTypes types;
  TAILRACE_RETURN_IF_ERROR(AddTypes(table, types));
  std::set<std::string_view> names;
  size_t local = 0;
  size_t included = 0;
  for (const IndexSpec& index : indexes) {
    const Status valid = ValidateIndex(table, index, types);
    if (!valid.ok()) return valid.WithContext("index '" + index.name + "'");
    if (!names.insert(index.name).second) {
      return InvalidArgument("there are two indexes '" + index.name + "'");
    }
    local += index.local ? 1 : 0;
    included += index.included.size();
  }
  TAILRACE_RETURN_IF_ERROR(AtMost(local, kLocalIndexesMax, " local indexes"));
  TAILRACE_RETURN_IF_ERROR(AtMost(indexes.size() - local, kGlobalIndexesMax, " global indexes"));
  return AtMost(included, kTableIndexAttributesMax, " attributes included in its indexes");
}

}  // namespace tailrace
