// Items as JSON: DynamoDB-JSON both ways, and plain JSON for import.
//
// Numbers are read from their literal text, never through binary floating point. Any text is safe
// to read: nesting is limited and repeated names are refused. Whether an item may be stored (names,
// sizes) is for ValidateItem and the store to say. Thread-safe: free functions without state.
#pragma once

#include <string>
#include <string_view>

#include "engine/value.h"
#include "wal/status.h"

namespace tailrace::tools {

// All three return kInvalidArgument, naming the place, if the text is not JSON (or has anything
// after it), an object has a name twice, there are more than kNestingLevelsMax levels, a number or
// a set is invalid, or the JSON has another shape.

// {"id":{"S":"a"},"n":{"N":"5"},"b":{"B":"<base64>"},"l":{"L":[{"BOOL":true}]},"m":{"M":{}}, ...}
Result<Item> ItemFromDynamoDbJson(std::string_view text);

// {"Item":{"id":{"S":"a"}, ...}}: a line of a table export.
Result<Item> ItemFromExportLine(std::string_view text);

// {"id":"a","n":5,"l":[true,null],"m":{}}: strings become S, numbers N, true and false BOOL, null
// NULL, arrays L and objects M.
Result<Item> ItemFromPlainJson(std::string_view text);

// DynamoDB-JSON on one line, names in the order of their bytes, no spaces. Requires
// ValidateItem(item).ok(): text that is not UTF-8 would not give JSON.
std::string ItemToDynamoDbJson(const Item& item);
std::string ValueToDynamoDbJson(const Value& value);  // {"S":"a"}

// {"Item":{...}}
std::string ItemToExportLine(const Item& item);

// Appends `text` as a JSON string with its quotes. Requires UTF-8.
void AppendJsonString(std::string_view text, std::string& target);

}  // namespace tailrace::tools
