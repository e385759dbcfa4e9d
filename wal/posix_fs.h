// The machine's own files behind the seam of wal/fs.h.
//
// FileSystem::Posix() is what a store uses; this header is for those who need it otherwise (tests
// of the fall-back, systems where direct writes are known to be bad).
#pragma once

#include <memory>

#include "wal/fs.h"

namespace tailrace::wal {

// How WriteDurable reaches the disk.
enum class DurableWrites {
  kDirect,    // O_DIRECT | O_DSYNC where the file system takes it, else as kBuffered.
  kBuffered,  // Through the page cache, then fdatasync.
};

// A file system on the machine's own files. Thread-safe; must outlive what it opened.
std::unique_ptr<FileSystem> NewPosixFileSystem(DurableWrites durable_writes);

}  // namespace tailrace::wal
