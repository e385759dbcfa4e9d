// What RocksDB does not check of a table file before it uses it.
#pragma once

#include <string>

#include "wal/fs.h"
#include "wal/status.h"

namespace tailrace::engine {

// Compares the checksums of the table's blocks of properties and of meta blocks. RocksDB 7.8 takes
// the former apart before it looks at its checksum, and where its assertions are compiled in, a
// flipped bit there ends the process. Looks at the footer's version too: with another one RocksDB
// unpacks blocks in another way, which its check of their checksums does not tell. kCorruption:
// file and offset; what else is wrong with the file RocksDB says itself. Reads about a KiB.
//
// Format: RocksDB's block-based tables of version 5, as rocks_index.cc has them made
// (https://github.com/facebook/rocksdb/wiki/Rocksdb-BlockBasedTable-Format).
Status CheckTableProperties(wal::File& file, const std::string& path);

}  // namespace tailrace::engine
