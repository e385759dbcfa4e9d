// How RocksDB's sorted files are laid out, and what of them is kept in memory. Part of the item
// index.
#pragma once

#include <rocksdb/table.h>

#include <cstdint>
#include <memory>

namespace tailrace::engine {

// Block-based tables with a block cache of so many bytes. Filters stay in the cache for good while
// what stays there is less than half of it: a look for what is absent asks every file's, and to
// find them in the cache costs more than to ask them. Files opened later keep their filters in the
// cache like other blocks. Files that are opened at the same time may all find the last room.
std::shared_ptr<rocksdb::TableFactory> NewTableFactory(uint64_t block_cache_bytes);

}  // namespace tailrace::engine
