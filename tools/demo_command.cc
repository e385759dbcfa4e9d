#include "tools/demo_command.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "tools/demo_games.h"
#include "tools/demo_packages.h"
#include "tools/demo_worker.h"
#include "tools/format.h"
#include "tools/progress.h"
#include "tools/text.h"
#include "wal/fs.h"

namespace tailrace::tools {
namespace {

constexpr char kDetails[] =
    "1. A small table in each of the four views, every change read back from its stream.\n"
    "2. This machine's Debian package index, imported and changed by a process that follows the "
    "stream at the\n"
    "   same time and is killed with SIGKILL three times; after each kill the store is opened "
    "again and compared\n"
    "   with what had been acknowledged. At the end the stream must fold to the table, and the "
    "table that the\n"
    "   reader kept must be what the packages add up to.\n"
    "Exit code 0 when everything that it claims holds.\n"
    "Example: tailrace demo /tmp/tailrace-demo";

struct DemoArguments {
  std::string directory;
  std::string packages;
  uint64_t limit = 0;
};

// A directory of its own, removed at the end.
class TemporaryDirectory {
 public:
  static Result<std::unique_ptr<TemporaryDirectory>> Make() {
    std::error_code error;
    std::string path =
        (std::filesystem::temp_directory_path(error) / "tailrace-demo.XXXXXX").string();
    if (::mkdtemp(path.data()) == nullptr) return IoError(Cat("cannot make a directory ", path));
    return std::unique_ptr<TemporaryDirectory>(new TemporaryDirectory(path));
  }
  ~TemporaryDirectory() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  const std::string& path() const { return path_; }

 private:
  explicit TemporaryDirectory(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

// The directory must be empty: the demo's stores are new ones.
Status ClaimEmpty(const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return IoError(Cat(directory, ": ", error.message()));
  if (!std::filesystem::is_empty(directory, error) || error) {
    return InvalidArgument(Cat(directory, " is not an empty directory: choose a new one"));
  }
  return Status::Ok();
}

Result<ExitCode> Demo(Context& context, const DemoArguments& arguments) {
  std::unique_ptr<TemporaryDirectory> temporary;
  std::string directory = arguments.directory;
  if (directory.empty()) {
    TAILRACE_ASSIGN_OR_RETURN(temporary, TemporaryDirectory::Make());
    directory = temporary->path();
  }
  TAILRACE_RETURN_IF_ERROR(ClaimEmpty(directory));
  const Durability durability = context.options.durability.value_or(Durability::kSync);
  const Stopwatch watch;
  DemoText text(context.out);
  const PackagesDemo packages{.directory = directory,
                              .index = arguments.packages,
                              .limit = arguments.limit,
                              .durability = durability};
  Status shown = ShowGames(text, wal::JoinPath(directory, "games"), durability);
  if (shown.ok()) shown = ShowPackages(text, packages);
  if (shown.code() == StatusCode::kFailedPrecondition) {  // A claim does not hold.
    Report(shown);
    return ExitCode::kNo;
  }
  TAILRACE_RETURN_IF_ERROR(shown);
  text.Heading(Cat("Everything holds. ", DurationText(watch.ElapsedUs())));
  if (temporary == nullptr) {
    text.Line(Cat("The stores are in ", EscapeForTerminal(directory), ": try"));
    text.Line(Cat("tailrace dump Packages --store ", EscapeForTerminal(directory),
                  "/packages --limit 3"));
  }
  return ExitCode::kOk;
}

// Not in the help: the demo starts it.
void AddDemoWorker(Registry& registry) {
  auto work = std::make_shared<DemoWork>();
  CLI::App& command =
      registry.Add(registry.root(), "demo-worker", "The process that the demo kills", "");
  command.group("");
  const std::map<std::string, DemoPhase> kPhases = {{"import", DemoPhase::kImport},
                                                    {"change", DemoPhase::kChange}};
  command.add_option("--phase", work->phase)
      ->transform(CLI::CheckedTransformer(kPhases))
      ->required();
  command.add_option("--index", work->index)->required();
  command.add_option("--limit", work->limit);
  command.add_option("--begin", work->begin);
  registry.OnRun(command, [work](Context& context) {
    work->store = context.options.store;
    work->durability = context.options.durability.value_or(Durability::kSync);
    return RunDemoWorker(*work);
  });
}

}  // namespace

void AddDemoCommand(Registry& registry) {
  auto arguments = std::make_shared<DemoArguments>();
  CLI::App& command = registry.Add(registry.root(), "demo",
                                   "Show the main job on real input, and prove it", kDetails);
  command.add_option(
      "directory", arguments->directory,
      "Where the demo's stores stay (made, must be empty); otherwise they are temporary");
  command.add_option(
      "--packages", arguments->packages,
      "A Debian package index as text (gzip is recognised), in place of this machine's");
  command.add_option("--limit", arguments->limit, "Take only so many packages")
      ->check(CLI::PositiveNumber);
  registry.OnRun(command, [arguments](Context& context) { return Demo(context, *arguments); });
  AddDemoWorker(registry);
}

}  // namespace tailrace::tools
