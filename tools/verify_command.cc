#include "tools/verify_command.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "shards/sequence_number.h"
#include "tools/format.h"
#include "tools/json_writer.h"
#include "tools/open_store.h"
#include "tools/text.h"
#include "tools/verifier.h"

namespace tailrace::tools {
namespace {

constexpr char kDetails[] =
    "Reads every frame of the journal and every record of the shard logs: checksums, positions, "
    "ordinals, the\n"
    "chain of hashes, old images against new ones before them, records against the journal's "
    "commits; and asks\n"
    "recovery whether the store would open. Nothing is changed, and a store in use may be "
    "checked.\n"
    "--deep also checks RocksDB's checksums, the logs' ends against the last checkpoint, each item "
    "against the last\n"
    "record about it, and each index against its table. The store must not be in use then.\n"
    "Exit code 0: clean, 1: damage was found (each place is named, with what it affects).\n"
    "Example: tailrace verify --store /var/lib/games --deep";

std::string RangeText(const Finding& finding) {
  using shards::FormatSequenceNumber;
  if (finding.first && finding.last && *finding.first == *finding.last) {
    return Cat(", number ", FormatSequenceNumber(*finding.first));
  }
  std::string text;
  if (finding.first) text += Cat(", from ", FormatSequenceNumber(*finding.first));
  if (finding.last) text += Cat(", up to ", FormatSequenceNumber(*finding.last));
  return text;
}

void PrintFinding(Context& context, const Finding& finding) {
  if (context.options.json) {
    JsonWriter json;
    json.BeginObject().Key(finding.is_damage ? "damage" : "note").String(finding.what);
    json.Key("file").String(finding.file);
    if (finding.offset) json.Key("offset").Number(*finding.offset);
    if (finding.first) json.Key("first").String(shards::FormatSequenceNumber(*finding.first));
    if (finding.last) json.Key("last").String(shards::FormatSequenceNumber(*finding.last));
    if (!finding.affects.empty()) json.Key("affects").String(finding.affects);
    context.out.JsonLine(json.EndObject().Take());
    return;
  }
  context.out.Line(
      Cat(finding.is_damage ? "DAMAGE   " : "note     ", EscapeForTerminal(finding.file),
          finding.offset ? Cat(", offset ", *finding.offset) : "", RangeText(finding), ": ",
          EscapeForTerminal(finding.what),
          finding.affects.empty() ? "" : Cat("; affects ", EscapeForTerminal(finding.affects))));
}

std::string ReportJson(const VerifyReport& report) {
  JsonWriter json;
  json.BeginObject().Key("damages").Number(report.damages());
  json.Key("journalSegments").Number(report.journal_segments);
  json.Key("journalFrames").Number(report.journal_frames);
  json.Key("journalCommits").Number(report.journal_commits);
  json.Key("journalProvenEnd").Number(report.journal_proven_end);
  json.Key("journalTornBytes").Number(report.journal_torn_bytes);
  json.Key("closed").Bool(report.closed);
  json.Key("shards").Number(report.shards).Key("shardSegments").Number(report.shard_segments);
  json.Key("records").Number(report.records);
  json.Key("recordsComparedWithJournal").Number(report.records_in_journal);
  json.Key("keys").Number(report.keys).Key("itemsCompared").Number(report.items_compared);
  json.Key("indexes").Number(report.indexes);
  json.Key("entriesCompared").Number(report.entries_compared);
  json.Key("checksums").Bool(report.checksums);
  return json.EndObject().Take();
}

void PrintReport(Output& out, const VerifyReport& report, Depth depth) {
  out.Line(Cat("journal  ", Plural(report.journal_segments, "segment"), ", ",
               Plural(report.journal_frames, "frame"), ", ",
               Plural(report.journal_commits, "commit"),
               report.closed ? "; closed properly" : "; not closed: opening the store recovers it",
               report.journal_torn_bytes > 0
                   ? Cat(", ", BytesText(report.journal_torn_bytes), " of an unfinished tail")
                   : ""));
  out.Line(Cat("streams  ", Plural(report.shards, "shard"), ", ",
               Plural(report.shard_segments, "segment"), ", ", Plural(report.records, "record"),
               " about ", Plural(report.keys, "key"), "; ", CountText(report.records_in_journal),
               " compared with the journal"));
  if (depth == Depth::kDeep) {
    out.Line(Cat("items    ", CountText(report.items_compared),
                 " compared with their streams; RocksDB's ",
                 report.checksums ? "checksums hold" : "checksums were not all checked"));
    if (report.indexes > 0) {
      out.Line(Cat("indexes  ", CountText(report.indexes), " recomputed from their tables; ",
                   CountText(report.entries_compared), " entries compared"));
    }
  }
  if (report.findings_dropped > 0) {
    out.Line(Cat("and ", CountText(report.findings_dropped), " findings more"));
  }
  if (report.damages() > 0) return out.Line(Plural(report.damages(), "damage"));
  out.Line(depth == Depth::kDeep ? "clean"
                                 : "clean; the items were not looked at, --deep does that");
}

struct VerifyArguments {
  std::string path;
  bool deep = false;
};

Result<ExitCode> Verify(Context& context, const VerifyArguments& arguments) {
  std::string directory = arguments.path;
  if (directory.empty()) {
    TAILRACE_ASSIGN_OR_RETURN(directory, StoreDirectory(context.options));
  }
  const Depth depth = arguments.deep ? Depth::kDeep : Depth::kFiles;
  TAILRACE_ASSIGN_OR_RETURN(const VerifyReport report,
                            VerifyStore(wal::FileSystem::Posix(), directory, depth));
  for (const Finding& finding : report.findings) PrintFinding(context, finding);
  if (context.options.json) {
    context.out.JsonLine(ReportJson(report));
  } else {
    PrintReport(context.out, report, depth);
  }
  return report.damages() == 0 ? ExitCode::kOk : ExitCode::kNo;
}

}  // namespace

void AddVerifyCommand(Registry& registry) {
  auto arguments = std::make_shared<VerifyArguments>();
  CLI::App& command = registry.Add(registry.root(), "verify",
                                   "Check that a store is whole, without opening it", kDetails);
  command.add_option("path", arguments->path, "The store's directory, in place of --store");
  command.add_flag("--deep", arguments->deep, "Check the items too");
  registry.OnRun(command, [arguments](Context& context) { return Verify(context, *arguments); });
}

}  // namespace tailrace::tools
