#include "tools/import_command.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "tools/format.h"
#include "tools/importer.h"
#include "tools/json_writer.h"
#include "tools/open_store.h"
#include "tools/stream_choice.h"
#include "tools/text.h"

namespace tailrace::tools {
namespace {

constexpr char kDetails[] =
    "Each line is one item, as plain JSON ({\"id\":\"a\",\"n\":5}), as DynamoDB-JSON\n"
    "({\"id\":{\"S\":\"a\"},\"n\":{\"N\":\"5\"}}) or as a line of a DynamoDB export "
    "({\"Item\":{...}}). gzip is\n"
    "recognised. Items replace those with their key.\n"
    "How far it came is kept in the store, by the file's path (or --name): the same command goes "
    "on there after\n"
    "a crash or Ctrl-C. Exit code 1 when lines were rejected (--keep-going), 2 at a bad line "
    "without it.\n"
    "Examples: tailrace import games.jsonl.gz --table UserGames --create --key game_id:N\n"
    "          zcat *.json.gz | tailrace import - --table UserGames --keep-going --rejects "
    "bad.jsonl";

struct ImportArguments {
  std::string file;
  ImportOptions options;
  std::string format, key, sort, name, stream_view;
  int64_t skip_lines = -1;
  bool create = false;
  bool restart = false;
};

Result<std::optional<ItemFormat>> FormatOf(const std::string& name) {
  for (const ItemFormat format :
       {ItemFormat::kPlain, ItemFormat::kDynamoDb, ItemFormat::kExportLine}) {
    if (ItemFormatName(format) == name) return std::optional(format);
  }
  return std::optional<ItemFormat>();  // "auto"; others the command line refuses.
}

// Makes the table, or sees to it that the one that is there has this key.
Status EnsureTable(Store& store, const ImportArguments& arguments) {
  const std::string& name = arguments.options.table;
  if (!arguments.create) return FindTable(store, name).status();
  TableSpec spec;
  spec.name = name;
  TAILRACE_ASSIGN_OR_RETURN(spec.keys, ParseKeySchema(arguments.key, arguments.sort));
  if (!arguments.stream_view.empty()) {
    TAILRACE_ASSIGN_OR_RETURN(spec.stream, ParseViewType(arguments.stream_view));
  }
  const auto table = store.DescribeTable(name);
  if (table.ok()) {
    if (table->keys == spec.keys) return Status::Ok();
    return AlreadyExists(Cat("table '", name, "' exists with the key ", KeySchemaText(table->keys),
                             ": leave out --create, or choose another name"));
  }
  if (table.status().code() != StatusCode::kNotFound) return table.status();
  return store.CreateTable(spec).status();
}

Status CheckArguments(const ImportArguments& arguments) {
  if (arguments.create && arguments.key.empty()) {
    return InvalidArgument("--create needs the table's key, such as --key game_id:N");
  }
  if (!arguments.create &&
      !(arguments.key.empty() && arguments.sort.empty() && arguments.stream_view.empty())) {
    return InvalidArgument("--key, --sort and --stream are for a new table: add --create");
  }
  if (!arguments.options.rejects_path.empty() && !arguments.options.keep_going) {
    return InvalidArgument("--rejects is for the lines that --keep-going passes over: add it");
  }
  return Status::Ok();
}

void PrintReport(Context& context, const ImportReport& report, const std::string& rejects_path) {
  if (context.options.json) {
    JsonWriter json;
    json.BeginObject().Key("resumedAfter").Number(report.resumed_after);
    json.Key("lines").Number(report.lines).Key("applied").Number(report.applied);
    json.Key("unchanged").Number(report.unchanged).Key("rejected").Number(report.rejected);
    json.Key("bytes").Number(report.bytes).Key("us").Number(report.duration_us);
    json.Key("interrupted").Bool(report.interrupted);
    context.out.JsonLine(json.EndObject().Take());
    return;
  }
  const uint64_t items = report.applied + report.unchanged;
  context.out.Line(Cat("imported ", Plural(items, "item"), " (", CountText(report.applied),
                       " changed, ", CountText(report.unchanged), " unchanged) in ",
                       DurationText(report.duration_us), ", ", RateText(items, report.duration_us),
                       ", ", BytesText(report.bytes)));
  if (report.rejected > 0) {
    context.out.Line(
        Cat(Plural(report.rejected, "line"), " rejected",
            rejects_path.empty() ? "" : Cat("; see ", EscapeForTerminal(rejects_path))));
  }
  if (report.interrupted) context.out.Line("stopped; the same command goes on from here");
}

Result<ExitCode> ImportFile(Context& context, ImportArguments arguments) {
  TAILRACE_RETURN_IF_ERROR(CheckArguments(arguments));
  ImportOptions& options = arguments.options;
  TAILRACE_ASSIGN_OR_RETURN(options.format, FormatOf(arguments.format));
  TAILRACE_ASSIGN_OR_RETURN(const auto lines, LineReader::Open(arguments.file));
  const bool standard_input = arguments.file == "-";
  options.source = standard_input ? "standard input" : arguments.file;
  options.resume_name = arguments.name;
  if (arguments.name.empty() && !standard_input) {
    std::error_code error;
    const auto path = std::filesystem::absolute(arguments.file, error);
    options.resume_name = error ? arguments.file : path.lexically_normal().string();
    options.resume_name = ToUtf8(options.resume_name);
  }
  if (arguments.skip_lines >= 0) options.skip_lines = static_cast<uint64_t>(arguments.skip_lines);
  if (arguments.restart) options.skip_lines = 0;
  WatchInterrupts();
  const MayCreate may_create = arguments.create ? MayCreate::kYes : MayCreate::kNo;
  TAILRACE_ASSIGN_OR_RETURN(const auto store,
                            OpenStore(context.options, may_create, Workload::kBulk));
  auto server = ServeStore(context.options, *store);
  TAILRACE_RETURN_IF_ERROR(EnsureTable(*store, arguments));
  TAILRACE_ASSIGN_OR_RETURN(const ImportReport report, Import(*store, *lines, options));
  server = nullptr;
  TAILRACE_RETURN_IF_ERROR(store->Close());
  PrintReport(context, report, options.rejects_path);
  if (report.interrupted) return ExitCode::kInterrupted;
  return report.rejected > 0 ? ExitCode::kNo : ExitCode::kOk;
}

}  // namespace

void AddImportCommand(Registry& registry) {
  auto arguments = std::make_shared<ImportArguments>();
  ImportOptions& options = arguments->options;
  CLI::App& command =
      registry.Add(registry.root(), "import", "Store the items of a file of JSON lines", kDetails);
  command.add_option("file", arguments->file, "The file, or - for standard input")->required();
  command.add_option("--table", options.table, "The table they go to")->required();
  command.add_flag("--create", arguments->create,
                   "Make the table (and the store) if it is not there");
  command.add_option("--key", arguments->key, "The new table's partition key, such as game_id:N");
  command.add_option("--sort", arguments->sort, "The new table's sort key, such as ts:S");
  command.add_option("--stream", arguments->stream_view,
                     "Enable a stream on the new table: its view");
  command
      .add_option("--format", arguments->format,
                  "auto (as the first line is), plain, dynamodb, export")
      ->check(CLI::IsMember({"auto", "plain", "dynamodb", "export"}));
  command.add_flag("--keep-going", options.keep_going, "Pass over bad lines instead of stopping");
  command.add_option("--rejects", options.rejects_path, "Write the lines passed over to this file");
  auto* skip = command.add_option("--skip", arguments->skip_lines, "Begin behind so many lines")
                   ->check(CLI::NonNegativeNumber);
  command.add_flag("--restart", arguments->restart, "Begin at the first line whatever is kept")
      ->excludes(skip);
  command.add_option("--name", arguments->name,
                     "Keep how far it came under this name (the file's path)");
  command.add_option("--in-flight", options.in_flight_max, "Writes not yet safe at a time (4096)")
      ->check(CLI::Range(2, 1 << 20));
  command
      .add_option("--checkpoint-lines", options.checkpoint_lines,
                  "Keep how far it came after so many lines (10000)")
      ->check(CLI::PositiveNumber);
  command.add_option("--progress", options.progress_every,
                     "Print a line after so many items (on a terminal there is a bar)");
  command.add_flag("--quiet", options.quiet, "No progress, no notes");
  registry.OnRun(command,
                 [arguments](Context& context) { return ImportFile(context, *arguments); });
}

}  // namespace tailrace::tools
