#include "shards/types.h"

namespace tailrace {

std::string_view ViewTypeName(ViewType view) {
  switch (view) {
    case ViewType::kKeysOnly:
      return "KEYS_ONLY";
    case ViewType::kNewImage:
      return "NEW_IMAGE";
    case ViewType::kOldImage:
      return "OLD_IMAGE";
    case ViewType::kNewAndOldImages:
      return "NEW_AND_OLD_IMAGES";
  }
  return "UNKNOWN";
}

std::string_view ChangeKindName(ChangeKind kind) {
  switch (kind) {
    case ChangeKind::kInsert:
      return "INSERT";
    case ChangeKind::kModify:
      return "MODIFY";
    case ChangeKind::kRemove:
      return "REMOVE";
  }
  return "UNKNOWN";
}

}  // namespace tailrace
