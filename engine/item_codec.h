// Items as bytes: the message tailrace.storage.Item of engine/item.proto in one canonical form.
//
// Equal items have equal bytes and different items different ones, so comparing bytes tells whether
// a write changed anything. docs/item-format.md has the bytes. Thread-safe: free functions without
// state.
#pragma once

#include <cstddef>
#include <string>

#include "engine/value.h"
#include "wal/status.h"
#include "wal/types.h"

namespace tailrace {

// The length of EncodeItem(item).
size_t EncodedItemBytes(const Item& item);

// The item's canonical encoding. Requires ValidateItem(item).ok(): what fails it may encode to
// bytes that DecodeItem refuses.
std::string EncodeItem(const Item& item);

// Like EncodeItem, at the end of `target`.
void AppendEncodedItem(const Item& item, std::string& target);

// The item of an encoding. Any bytes are safe. kCorruption, naming the place, unless they are the
// canonical encoding of an item: fields out of order, names or elements unsorted or repeated, text
// that is not UTF-8, a number not in normal form, an empty set, more than kNestingLevelsMax levels
// or more than kEncodedItemBytesMax bytes are all refused. kUnsupported if a value has a type
// unknown to this build.
Result<Item> DecodeItem(ByteView bytes);

}  // namespace tailrace
