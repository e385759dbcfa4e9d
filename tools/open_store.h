// Opening the store that a subcommand works on.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/local_server.h"
#include "engine/store.h"
#include "tools/command.h"

namespace tailrace::tools {

enum class MayCreate { kNo, kYes };

// How much will be written: an opening makes segments of the journal, and for a write or two they
// need not be large.
enum class Workload { kLight, kBulk };

// The directory of --store or TAILRACE_STORE. kInvalidArgument when neither is given.
Result<std::string> StoreDirectory(const GlobalOptions& options);

// Opens the store, recovering it if it was not closed. Without --durability, as it was made.
// Errors: those of Store::Open, each saying what to do.
Result<std::unique_ptr<Store>> OpenStore(const GlobalOptions& options, MayCreate may_create,
                                         Workload workload);

// Runs `use` on the open store and closes it (kLight). The first failure of the two counts. A store
// that another process has open is used through its local socket, if it serves one; what cannot go
// through it is refused there (engine/local_store.h).
Result<ExitCode> WithStore(Context& context, MayCreate may_create,
                           const std::function<Result<ExitCode>(Store&)>& use);

// The same on a store that no other process has open; kBusy otherwise.
Result<ExitCode> WithOwnStore(Context& context, MayCreate may_create,
                              const std::function<Result<ExitCode>(Store&)>& use);

// Lets other commands use the store while this one has it open; without a socket they cannot, and
// that is all.
std::unique_ptr<LocalServer> ServeStore(const GlobalOptions& options, Store& store);

// The table, or kNotFound saying how to list them.
Result<TableInfo> FindTable(Store& store, const std::string& name);

}  // namespace tailrace::tools
