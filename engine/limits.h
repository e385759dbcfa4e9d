// The limits on items, keys and names, each with its unit last. They are the service's own.
#pragma once

#include <cstddef>

namespace tailrace {

// Numbers: 0, or kNumberExponentMin <= exponent <= kNumberExponentMax in scientific notation.
inline constexpr int kNumberDigitsMax = 38;
inline constexpr int kNumberExponentMin = -130;
inline constexpr int kNumberExponentMax = 125;

// An item, measured as the service measures it (Item::SizeBytes).
inline constexpr size_t kItemBytesMax = 409'600;

// A value in an item is at level 1, its elements at level 2, and so on.
inline constexpr int kNestingLevelsMax = 32;

inline constexpr size_t kAttributeNameBytesMax = 65'535;
inline constexpr size_t kKeyNameBytesMax = 255;

inline constexpr size_t kPartitionKeyBytesMax = 2'048;
inline constexpr size_t kSortKeyBytesMax = 1'024;

inline constexpr size_t kTableNameBytesMin = 3;
inline constexpr size_t kTableNameBytesMax = 255;

// No item within kItemBytesMax has a longer encoding. The widest are lists of empty strings (1 byte
// as measured, 4 encoded); beyond that, each of the 128 names of one byte may cost 3 bytes more.
inline constexpr size_t kEncodedItemBytesMax = 4 * kItemBytesMax + 1'024;

// No key within the limits has a longer storage key: the hash, a type tag, a partition key that
// consists of zero bytes (each takes two) with its terminator, a type tag, a sort key.
inline constexpr size_t kStorageKeyBytesMax =
    8 + 1 + 2 * kPartitionKeyBytesMax + 2 + 1 + kSortKeyBytesMax;

}  // namespace tailrace
