// JSON to items and back: any text is safe, and what can be stored comes back the same.
#include <string>
#include <string_view>

#include "engine/item_codec.h"
#include "tests/fuzz/fuzz_input.h"
#include "tools/dynamodb_json.h"

namespace tailrace::fuzz {
namespace {

void CheckItem(const Result<Item>& item) {
  if (!item.ok()) {
    Require(item.status().code() == StatusCode::kInvalidArgument, item.status().ToString());
    return;
  }
  if (!ValidateItem(*item).ok()) return;
  const std::string text = tools::ItemToDynamoDbJson(*item);
  const auto again = tools::ItemFromDynamoDbJson(text);
  Require(again.ok(), "text of ours cannot be read: " + again.status().ToString());
  Require(*again == *item, "an item came back as another");
  Require(tools::ItemToDynamoDbJson(*again) == text, "an item has one text");
  const auto line = tools::ItemFromExportLine(tools::ItemToExportLine(*item));
  Require(line.ok() && *line == *item, "a line came back as another item");
  const auto stored = DecodeItem(EncodeItem(*item));
  Require(stored.ok() && *stored == *item, "an item was stored as another");
}

}  // namespace
}  // namespace tailrace::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  tailrace::fuzz::CheckItem(tailrace::tools::ItemFromDynamoDbJson(text));
  tailrace::fuzz::CheckItem(tailrace::tools::ItemFromExportLine(text));
  tailrace::fuzz::CheckItem(tailrace::tools::ItemFromPlainJson(text));
  return 0;
}
