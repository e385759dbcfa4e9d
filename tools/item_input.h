// Items, keys and key schemas as people write them on a command line or in a file of lines.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/key.h"
#include "engine/value.h"
#include "wal/status.h"

namespace tailrace::tools {

// How an item is written as JSON.
enum class ItemFormat {
  kPlain,       // {"id":"a","n":5}
  kDynamoDb,    // {"id":{"S":"a"},"n":{"N":"5"}}
  kExportLine,  // {"Item":{"id":{"S":"a"}}}
};

// "plain", "dynamodb" or "export".
std::string_view ItemFormatName(ItemFormat format);

// Which format the text is written in: DynamoDB-JSON when every value is an object of one type
// name. kInvalidArgument: the text is no JSON object.
Result<ItemFormat> DetectItemFormat(std::string_view text);

Result<Item> ParseItem(std::string_view text, ItemFormat format);
Result<Item> ParseItem(std::string_view text);  // In the format detected.

// An item from the words of a command line: either one word of JSON, or words name=value and
// name:=JSON. A name=value of a key attribute has the type that `keys` gives it (B: base64), any
// other is a string; name:=JSON is a value of plain JSON (5, true, ["a"]), or of DynamoDB-JSON
// ({"SS":["a"]}).
Result<Item> ParseItemWords(const std::vector<std::string>& words, const KeySchema& keys);

// The same for a key: exactly the key attributes. A single word without '=' is the partition key's
// value when there is no sort key.
Result<Item> ParseKeyWords(const std::vector<std::string>& words, const KeySchema& keys);

// A value of a key attribute: "5" as an N, text as an S, base64 as a B.
Result<Value> ParseScalar(std::string_view text, ScalarType type);

// "game_id:N": a name and S, N or B.
Result<KeyAttribute> ParseKeyAttribute(std::string_view text);

// Both parts of a key; an empty `sort` means that there is none.
Result<KeySchema> ParseKeySchema(std::string_view partition, std::string_view sort);

// "game_id:N" or "game_id:N, ts:S".
std::string KeySchemaText(const KeySchema& keys);

}  // namespace tailrace::tools
