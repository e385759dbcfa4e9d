#include "tools/salvage_command.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "engine/base64.h"
#include "engine/salvage.h"
#include "shards/sequence_number.h"
#include "tools/format.h"
#include "tools/json_writer.h"
#include "tools/text.h"

namespace tailrace::tools {
namespace {

constexpr char kDetails[] =
    "Makes a new store of all that a damaged one still proves, and lists what was lost: by table "
    "and range "
    "of storage\n"
    "keys, by shard and range of sequence numbers, by positions of the journal. The damaged store "
    "is only "
    "read, and\n"
    "must not be in use. Like a restored store, the new one has an id of its own.\n"
    "Exit code 0: nothing was lost, 1: something was.\n"
    "Example: tailrace salvage /var/lib/games /var/lib/games2";

struct SalvageArguments {
  std::string damaged;
  std::string directory;
};

void PrintLoss(Context& context, const SalvageLoss& loss) {
  using shards::FormatSequenceNumber;
  if (context.options.json) {
    JsonWriter json;
    json.BeginObject().Key("lost").String(SalvageLossName(loss.kind));
    if (!loss.table.empty()) json.Key("table").String(loss.table);
    if (loss.stream) json.Key("stream").Number(loss.stream->value);
    if (loss.shard) json.Key("shard").Number(loss.shard->value);
    if (loss.after) json.Key("afterKey").String(EncodeBase64(*loss.after));
    if (loss.before) json.Key("beforeKey").String(EncodeBase64(*loss.before));
    if (loss.first) json.Key("first").String(FormatSequenceNumber(*loss.first));
    if (loss.last) json.Key("last").String(FormatSequenceNumber(*loss.last));
    json.Key("what").String(loss.what);
    context.out.JsonLine(json.EndObject().Take());
    return;
  }
  std::string place;
  if (!loss.table.empty()) place += Cat(", table ", EscapeForTerminal(loss.table));
  if (loss.stream) place += Cat(", stream ", loss.stream->value);
  if (loss.shard) place += Cat(", shard ", loss.shard->value);
  if (loss.after) place += Cat(", behind key ", EncodeBase64(*loss.after));
  if (loss.before) place += Cat(", before key ", EncodeBase64(*loss.before));
  if (loss.first) place += Cat(", from ", FormatSequenceNumber(*loss.first));
  if (loss.last) place += Cat(", up to ", FormatSequenceNumber(*loss.last));
  context.out.Line(
      Cat("LOST     ", SalvageLossName(loss.kind), place, ": ", EscapeForTerminal(loss.what)));
}

Result<ExitCode> Salvage(Context& context, const SalvageArguments& arguments) {
  TAILRACE_ASSIGN_OR_RETURN(
      const SalvageReport report,
      SalvageStore(wal::FileSystem::Posix(), arguments.damaged, arguments.directory, {}));
  for (const SalvageLoss& loss : report.losses) PrintLoss(context, loss);
  if (context.options.json) {
    JsonWriter json;
    json.BeginObject().Key("losses").Number(report.losses.size());
    json.Key("tables").Number(report.tables).Key("items").Number(report.items);
    json.Key("itemsFromStreams").Number(report.items_from_streams);
    json.Key("frames").Number(report.frames).Key("shards").Number(report.shards);
    context.out.JsonLine(json.EndObject().Take());
  } else {
    context.out.Line(Cat("saved    ", Plural(report.tables, "table"), ", ",
                         Plural(report.items, "item"), ", ", Plural(report.shards, "shard"), "; ",
                         Plural(report.frames, "frame"), " of the journal"));
    if (report.complete()) context.out.Line("nothing was lost");
  }
  return report.complete() ? ExitCode::kOk : ExitCode::kNo;
}

}  // namespace

void AddSalvageCommand(Registry& registry) {
  auto arguments = std::make_shared<SalvageArguments>();
  CLI::App& command = registry.Add(registry.root(), "salvage",
                                   "Make a new store of what a damaged one still proves", kDetails);
  command.add_option("store", arguments->damaged, "The damaged store's directory")->required();
  command.add_option("new", arguments->directory, "The new store's directory")->required();
  registry.OnRun(command, [arguments](Context& context) { return Salvage(context, *arguments); });
}

}  // namespace tailrace::tools
