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

// Indexes of a table, and the attributes that they include besides keys: of one, and of all.
inline constexpr size_t kGlobalIndexesMax = 20;
inline constexpr size_t kLocalIndexesMax = 5;
inline constexpr size_t kIndexAttributesMax = 20;
inline constexpr size_t kTableIndexAttributesMax = 100;

// Segments of a parallel Scan.
inline constexpr size_t kScanSegmentsMax = 1'000'000;

// Items in a transaction, written or read, and in a batch.
inline constexpr size_t kTransactionItemsMax = 100;
inline constexpr size_t kBatchGetItemsMax = 100;
inline constexpr size_t kBatchWriteItemsMax = 25;

// What a transaction's changed items measure afterwards (Item::SizeBytes), together.
inline constexpr size_t kTransactionItemBytesMax = 4 << 20;

// The images of a transaction's changed items as they are stored, from before and from after,
// together, and the keys and images of entries that change in indexes (an entry that is the whole
// new item has no image of its own). Only items that encode to much more than they measure, old
// items far larger than the new ones, or large items in many indexes come to this limit before the
// other.
inline constexpr size_t kTransactionImageBytesMax = 14 << 20;

inline constexpr size_t kIdempotencyTokenBytesMax = 36;

// For so long, in the store's age, a transaction is remembered by its idempotency token.
inline constexpr size_t kIdempotencyTokenMs = 600'000;

// No item within kItemBytesMax has a longer encoding. The widest are lists of empty strings (1 byte
// as measured, 4 encoded); beyond that, each of the 128 names of one byte may cost 3 bytes more.
inline constexpr size_t kEncodedItemBytesMax = 4 * kItemBytesMax + 1'024;

// No key within the limits has a longer storage key: the hash, a type tag, a partition key that
// consists of zero bytes (each takes two) with its terminator, a type tag, a sort key.
inline constexpr size_t kStorageKeyBytesMax =
    8 + 1 + 2 * kPartitionKeyBytesMax + 2 + 1 + kSortKeyBytesMax;

// Of an entry's change in a commit, besides its keys and image: at most so much for its number,
// tags and lengths. Counts to the images.
inline constexpr size_t kIndexDeltaBytesMax = 32;

// No commit has a larger payload: of each change the storage key, the images, and at most 64 bytes
// for its numbers, tags and lengths; the item that remembers the transaction's token; the times.
inline constexpr size_t kCommitFrameBytesMax =
    kTransactionImageBytesMax + (kTransactionItemsMax + 1) * (kStorageKeyBytesMax + 64) + 4'096;

// Any item may be put in place of any other.
static_assert(2 * kEncodedItemBytesMax <= kTransactionImageBytesMax);

}  // namespace tailrace
