// Lets other processes of the same user use a store that this one has open: serves a unix-domain
// socket in the store's directory.
//
//   auto store = Store::Open("/var/lib/games", {}).value();
//   auto server = LocalServer::Start(*store, "/var/lib/games").value();
//
// While it runs, `tailrace get`, `put`, `delete`, `query`, `scan`, `tables`, `streams`, `shards`,
// `stat` and `backup` work on the store, and so do programs by engine/local_store.h. Conditions and
// updaters are C++ and do not cross. docs/local-socket.md.
#pragma once

#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "engine/fork_guard.h"
#include "engine/local_socket.h"
#include "engine/store.h"
#include "wal/status.h"

namespace tailrace {

// Serves from kThreads threads of its own, one request each; more wait their turn. Clients that are
// slow are dropped. Only the same user, and root, may connect.
class LocalServer {
 public:
  static constexpr size_t kThreads = 4;
  static constexpr uint64_t kFrameMsMax = 5000;  // For a request to come, and an answer to go.

  // Begins to serve, in the directory in which the store was opened. Borrows the store: destroy
  // this object before the store is closed. Errors: kAlreadyExists (a server serves there already,
  // or something else has the socket's name), kNotFound (no such directory), kIoError, and those
  // that any method of Store may return.
  static Result<std::unique_ptr<LocalServer>> Start(Store& store,
                                                    const std::string& directory) noexcept;

  // Ends it: requests under way are answered first, and the socket is removed.
  ~LocalServer();
  LocalServer(const LocalServer&) = delete;
  LocalServer& operator=(const LocalServer&) = delete;
  // In a forked child it is left as it is: its threads are not there.
  static void operator delete(LocalServer* server, std::destroying_delete_t);

 private:
  LocalServer(Store& store, std::string directory, engine::Socket listening,
              engine::Socket stop_event);

  void Run();

  Store& store_;
  const std::string directory_;
  const engine::Socket listening_;
  const engine::Socket stop_event_;  // Readable once it shall end.
  const engine::ForkGuard fork_guard_;
  std::vector<std::thread> threads_;
};

}  // namespace tailrace
