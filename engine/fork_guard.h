// Notices that a process is a fork of the one that opened a store, or a follower.
//
// A child has the memory of its parent's store, but neither its threads nor, in effect, its locks;
// what it wrote would mix with what the parent writes. So it may do nothing with it at all. A
// follower has no threads, but locks, which another thread may have held at the fork.
#pragma once

#include <cstdint>
#include <string_view>

#include "wal/status.h"

namespace tailrace::engine {

// Remembers the process that made it. Any thread may ask, at the cost of one load from memory.
// Children made with fork() are noticed; a raw clone() without new memory maps is not.
class ForkGuard {
 public:
  ForkGuard();

  // Whether this process is a child, or a child's child, of the one that made the guard.
  bool InChild() const;

  // kFailedPrecondition in a child; `what` was opened: "store".
  Status Check(std::string_view what) const;

  // To be called before a store is opened. kFailedPrecondition in a child of a process that did so:
  // RocksDB's threads, which all stores of a process share, are not in the child, and it would wait
  // for them for ever.
  static Status AdmitStore();

 private:
  const uint64_t forks_before_;
};

}  // namespace tailrace::engine
