#include "tools/open_store.h"

#include <cstdio>
#include <fstream>

#include "engine/local_store.h"
#include "engine/store_files.h"
#include "tools/format.h"

namespace tailrace::tools {
namespace {

// A commit takes at most a quarter of a segment; an item is far below that.
constexpr uint64_t kLightSegmentBytes = 8 << 20;

// What the store was made with, unless --durability says something; kSync for one not made yet.
Result<Durability> ChooseDurability(const GlobalOptions& options, const std::string& directory) {
  if (options.durability) return *options.durability;
  const engine::StorePaths paths(directory);
  const auto identity = engine::ReadIdentity(wal::FileSystem::Posix(), paths);
  if (identity.ok()) return identity->durability;
  // Opening says better than this what is wrong with an identity that cannot be read.
  return Durability::kSync;
}

// The command line of a process, for the message about who holds a store; empty when it is gone.
std::string CommandLineOf(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/cmdline", std::ios::binary);
  std::string line;
  for (char c = '\0'; file.get(c);) line.push_back(c == '\0' ? ' ' : c);
  while (line.ends_with(' ')) line.pop_back();
  constexpr size_t kShownMax = 80;
  if (line.size() > kShownMax) line = line.substr(0, kShownMax) + "...";
  return line;
}

// Names the program of the process that the message names.
Status NameHolder(const Status& busy) {
  constexpr std::string_view kWord = "process ";
  const std::string& message = busy.message();
  const size_t word = message.find(kWord);
  if (word == std::string::npos) return busy;
  const size_t begin = word + kWord.size();
  size_t end = begin;
  while (end < message.size() && message[end] >= '0' && message[end] <= '9') ++end;
  const std::string program = CommandLineOf(message.substr(begin, end - begin));
  if (program.empty()) return busy;
  return Busy(Cat(message.substr(0, end), " (", program, ")", message.substr(end)));
}

Result<ExitCode> UseAndClose(Store& store, const std::function<Result<ExitCode>(Store&)>& use) {
  Result<ExitCode> result = use(store);
  const Status closed = store.Close();
  if (result.ok() && !closed.ok()) return closed;
  return result;
}

}  // namespace

Result<std::string> StoreDirectory(const GlobalOptions& options) {
  std::string directory = options.store;
  while (directory.size() > 1 && directory.ends_with('/')) directory.pop_back();
  if (!directory.empty()) return directory;
  return InvalidArgument("no store named: give --store DIR or set TAILRACE_STORE");
}

Result<std::unique_ptr<Store>> OpenStore(const GlobalOptions& options, MayCreate may_create,
                                         Workload workload) {
  TAILRACE_ASSIGN_OR_RETURN(const std::string directory, StoreDirectory(options));
  StoreOptions store_options;
  store_options.create_if_missing = may_create == MayCreate::kYes;
  if (workload == Workload::kLight) store_options.journal_segment_bytes = kLightSegmentBytes;
  TAILRACE_ASSIGN_OR_RETURN(store_options.durability, ChooseDurability(options, directory));
  auto store = Store::Open(directory, store_options);
  if (store.ok()) return store;
  switch (store.status().code()) {
    case StatusCode::kBusy:
      return NameHolder(store.status());
    case StatusCode::kNotFound:
      return NotFound(Cat(store.status().message(),
                          ": `tailrace tables create` makes one, or name another with "
                          "--store"));
    default:
      return store.status();
  }
}

Result<ExitCode> WithOwnStore(Context& context, MayCreate may_create,
                              const std::function<Result<ExitCode>(Store&)>& use) {
  TAILRACE_ASSIGN_OR_RETURN(const auto store,
                            OpenStore(context.options, may_create, Workload::kLight));
  return UseAndClose(*store, use);
}

Result<ExitCode> WithStore(Context& context, MayCreate may_create,
                           const std::function<Result<ExitCode>(Store&)>& use) {
  TAILRACE_ASSIGN_OR_RETURN(const std::string directory, StoreDirectory(context.options));
  // Whoever serves a socket has the store open: no need to try.
  const auto shared = LocalStore::Connect(directory);
  if (shared.ok()) return use(**shared);
  const auto store = OpenStore(context.options, may_create, Workload::kLight);
  if (store.ok()) return UseAndClose(**store, use);
  if (store.status().code() != StatusCode::kBusy) return store.status();
  return Busy(Cat(store.status().message(), ", or have it serve a socket (LocalServer)"));
}

std::unique_ptr<LocalServer> ServeStore(const GlobalOptions& options, Store& store) {
  const auto directory = StoreDirectory(options);
  if (!directory.ok()) return nullptr;
  auto server = LocalServer::Start(store, *directory);
  return server.ok() ? *std::move(server) : nullptr;
}

Result<TableInfo> FindTable(Store& store, const std::string& name) {
  auto table = store.DescribeTable(name);
  if (table.ok() || table.status().code() != StatusCode::kNotFound) return table;
  return NotFound(Cat("there is no table '", name, "': `tailrace tables list` names them"));
}

}  // namespace tailrace::tools
