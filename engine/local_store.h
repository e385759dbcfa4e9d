// A store that another process has open, through its local socket (engine/local_server.h).
#pragma once

#include <memory>
#include <string>

#include "engine/store.h"

namespace tailrace {

// Get, Put, Delete, Query, Scan, DescribeTable, ListTables, ListStreams, DescribeStream and Stats
// do what they do in the owner's process, writes always until they are safe. All else is refused
// with kBusy: it needs the store itself. Further errors of those that work: kOutcomeUnknown, from a
// write, when the owner went away before it answered; kClosed from a read; kInvalidArgument for a
// condition, which cannot cross.
class LocalStore {
 public:
  // kNotFound: no process serves a socket there.
  static Result<std::unique_ptr<Store>> Connect(const std::string& directory);
};

}  // namespace tailrace
