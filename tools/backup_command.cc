#include "tools/backup_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>

#include "engine/backup.h"
#include "tools/format.h"
#include "tools/json_writer.h"
#include "tools/open_store.h"
#include "tools/progress.h"
#include "tools/text.h"
#include "tools/time_text.h"

namespace tailrace::tools {
namespace {

constexpr char kBackupDetails[] =
    "Copies items, streams with their records and consumers' positions as they are at one moment, "
    "each "
    "file with its\n"
    "checksum, and verifies the records on the way. The directory must be new or empty; one that "
    "was not "
    "finished is\n"
    "begun anew. A store in use is copied by the process that has it, if that serves a socket.\n"
    "Example: tailrace backup /var/lib/games /backup/games-2026-05-09";

constexpr char kRestoreDetails[] =
    "Verifies every file of the backup, then makes a store of it. The directory must be new or "
    "empty. The "
    "store has an\n"
    "id of its own: positions in the old one, consumers' among them, are refused there, so "
    "consumers are "
    "begun anew.\n"
    "Example: tailrace restore /backup/games-2026-05-09 /var/lib/games";

struct BackupArguments {
  std::string source;
  std::string target;
};

std::string WithoutSlash(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

// The path as another process would have to name it.
std::string AbsolutePath(const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  return WithoutSlash(error ? path : absolute.lexically_normal().string());
}

OnBackupProgress Watch(Progress& progress) {
  return [&progress](const BackupProgress& at) {
    progress.Update(at.items, std::min(at.bytes_done, at.bytes_total), at.bytes_total);
    return !Interrupted();
  };
}

void PrintBackup(Context& context, const BackupReport& report) {
  if (context.options.json) {
    JsonWriter json;
    json.BeginObject().Key("storeId").String(Cat(report.store_id.value));
    json.Key("cut").Number(report.cut.value).Key("takenMs").Number(report.taken_ms);
    json.Key("tables").Number(report.tables).Key("items").Number(report.items);
    json.Key("shards").Number(report.shards).Key("files").Number(report.files);
    json.Key("bytes").Number(report.bytes);
    context.out.JsonLine(json.EndObject().Take());
    return;
  }
  context.out.Line(Cat(Plural(report.tables, "table"), ", ", Plural(report.items, "item"), ", ",
                       Plural(report.shards, "shard"), " in ", Plural(report.files, "file"), ", ",
                       BytesText(report.bytes)));
}

// What was stopped by Ctrl-C ends so.
Result<ExitCode> Ended(const Status& failure) {
  if (failure.code() == StatusCode::kClosed && Interrupted()) return ExitCode::kInterrupted;
  return failure;
}

Result<ExitCode> Backup(Context& context, const BackupArguments& arguments) {
  WatchInterrupts();
  GlobalOptions options = context.options;
  options.store = arguments.source;
  Context own{options, context.out};
  return WithStore(own, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    Progress progress("item", 0);
    const auto report =
        store.Backup(AbsolutePath(arguments.target), {.on_progress = Watch(progress)});
    progress.Clear();
    if (!report.ok()) return Ended(report.status());
    PrintBackup(context, *report);
    return ExitCode::kOk;
  });
}

Result<ExitCode> Restore(Context& context, const BackupArguments& arguments) {
  WatchInterrupts();
  Progress progress("item", 0);
  const auto report =
      RestoreBackup(wal::FileSystem::Posix(), WithoutSlash(arguments.source),
                    WithoutSlash(arguments.target), {.on_progress = Watch(progress)});
  progress.Clear();
  if (!report.ok()) return Ended(report.status());
  PrintBackup(context, report->backup);
  if (!context.options.json) {
    context.out.Line("consumers and durable readers have to be begun anew: this is another store");
  }
  return ExitCode::kOk;
}

}  // namespace

void AddBackupCommands(Registry& registry) {
  auto arguments = std::make_shared<BackupArguments>();
  CLI::App& backup = registry.Add(registry.root(), "backup",
                                  "Copy a store, in use or not, to a directory", kBackupDetails);
  backup.add_option("store", arguments->source, "The store's directory")->required();
  backup.add_option("directory", arguments->target, "Where the backup goes")->required();
  registry.OnRun(backup, [arguments](Context& context) { return Backup(context, *arguments); });

  CLI::App& restore =
      registry.Add(registry.root(), "restore", "Make a store of a backup", kRestoreDetails);
  restore.add_option("directory", arguments->source, "The backup's directory")->required();
  restore.add_option("store", arguments->target, "The new store's directory")->required();
  registry.OnRun(restore, [arguments](Context& context) { return Restore(context, *arguments); });
}

}  // namespace tailrace::tools
