// A store that another process has open, through its local socket (engine/local_server.h).
//
//   auto store = LocalStore::Connect("/var/lib/games").value();
//   store->Put("UserGames", Item{{"game_id", Value::N(2345)}, ...});
//
// For the odd look and change, as the command makes them: each call is a connection of its own.
// Streams are read by a StoreFollower.
#pragma once

#include <memory>
#include <string>

#include "engine/store.h"

namespace tailrace {

// Get, Put, Delete, Query, Scan, DescribeTable, ListTables, ListStreams, DescribeStream and Stats
// do what they do in the owner's process, writes always until they are safe. All else is refused
// with kBusy: it needs the store itself; readers, workers and TableAsOf cannot be opened on it.
// Further errors of those that work: kOutcomeUnknown, from a write, when the owner went away before
// it answered, or did not within a minute; kClosed when it had gone before, or from a read;
// kInvalidArgument for a condition, which cannot cross; kBusy when too many are waiting. Wait does
// nothing and Close neither: there is nothing to keep open, and a later call finds an owner that
// has come back. Thread-safe; a forked child may use it too.
class LocalStore {
 public:
  // kNotFound: no process serves a socket there (the store may be open all the same);
  // kFailedPrecondition: it is another user's.
  static Result<std::unique_ptr<Store>> Connect(const std::string& directory) noexcept;
};

}  // namespace tailrace
