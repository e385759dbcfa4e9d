#include "tools/journal_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>

#include "engine/store_files.h"
#include "tools/bounds.h"
#include "tools/format.h"
#include "tools/frame_reader.h"
#include "tools/json_writer.h"
#include "tools/log_source.h"
#include "tools/open_store.h"
#include "tools/text.h"
#include "tools/time_text.h"

namespace tailrace::tools {
namespace {

constexpr char kDetails[] =
    "A frame is shown with its position (LSN), length, epoch, durable mark (all below was durable "
    "when it was\n"
    "written), time and type; a commit with its changes. The files are read, not the store: one in "
    "use can be\n"
    "looked at too, and nothing is changed. Frames that a checkpoint made needless are shown until "
    "their\n"
    "segment is used again.\n"
    "--from and --to are positions, sequence numbers or times (2020-05-09T03:04:05Z), included.\n"
    "Examples: tailrace journal --segments\n"
    "          tailrace journal --type commit --from 2020-05-09 --limit 20";

struct JournalArguments {
  std::string path;  // Of a journal's directory or a store's; empty: --store.
  std::string from, to;
  std::vector<std::string> types;
  uint64_t limit = 0;  // 0: none.
  bool segments = false;
};

struct JournalPlace {
  std::string directory;
  std::string store;  // Empty when only the journal's directory is known.
};

Result<JournalPlace> FindJournal(const GlobalOptions& options, std::string path) {
  if (path.empty()) {
    TAILRACE_ASSIGN_OR_RETURN(path, StoreDirectory(options));
  }
  wal::FileSystem& fs = wal::FileSystem::Posix();
  const engine::StorePaths paths(path);
  TAILRACE_ASSIGN_OR_RETURN(const bool is_store, fs.Exists(paths.identity));
  if (is_store) return JournalPlace{paths.journal, path};
  TAILRACE_ASSIGN_OR_RETURN(const bool exists, fs.Exists(path));
  if (!exists) return NotFound(Cat(path, ": no such directory"));
  return JournalPlace{path, ""};
}

// The tables whose streams have shard logs: their create frames may be long gone.
TableNames NamesFromShardLogs(const std::string& store) {
  TableNames names;
  if (store.empty()) return names;
  const auto sources = SourcesOfStore(wal::FileSystem::Posix(), store);
  if (!sources.ok()) return names;
  for (const LogSource& source : *sources) {
    if (source.keys) names.Add(source.stream.table, source.stream.table_name, *source.keys);
  }
  return names;
}

void PrintSegments(Context& context, const std::vector<wal::SegmentSummary>& segments) {
  using Align = TextTable::Align;
  TextTable text({{"segment"},
                  {"from", Align::kRight},
                  {"frames end", Align::kRight},
                  {"frames", Align::kRight},
                  {"epoch", Align::kRight},
                  {"made"},
                  {"reading ended"}});
  for (const wal::SegmentSummary& segment : segments) {
    const bool known = segment.header.store_id != StoreId{};
    const std::string made = known ? TimeText(segment.header.wall_ms) : "";
    if (context.options.json) {
      JsonWriter json;
      json.BeginObject()
          .Key("segment")
          .String(segment.path)
          .Key("base")
          .Number(segment.header.base);
      json.Key("validEnd").Number(segment.valid_end.value).Key("frames").Number(segment.frames);
      json.Key("epoch")
          .Number(segment.header.epoch.value)
          .Key("bytes")
          .Number(segment.header.segment_bytes);
      if (known) json.Key("made").String(made);
      if (!segment.problem.empty()) json.Key("readingEnded").String(segment.problem);
      context.out.JsonLine(json.EndObject().Take());
      continue;
    }
    text.Row({segment.path.substr(segment.path.rfind('/') + 1), std::to_string(segment.header.base),
              std::to_string(segment.valid_end.value), CountText(segment.frames),
              std::to_string(segment.header.epoch.value), made,
              segment.problem.empty() ? "at its end" : segment.problem});
  }
  if (!context.options.json) text.Print(context.out);
}

// Frames without a time of their own take that of the frame before.
class FramePrinter {
 public:
  FramePrinter(Context& context, const JournalArguments& arguments, const Bounds& bounds,
               TableNames names)
      : context_(context),
        arguments_(arguments),
        bounds_(bounds),
        names_(std::move(names)),
        left_(arguments.limit == 0 ? UINT64_MAX : arguments.limit) {}

  bool Visit(const wal::Frame& frame) {
    const DecodedFrame decoded = DecodeFrame(frame, names_);
    if (!decoded.problem.ok()) ++problems_;
    if (arguments_.segments) return true;
    last_ms_ = decoded.wall_ms().value_or(last_ms_);
    switch (bounds_.PlaceOf(frame.lsn.value, last_ms_)) {
      case Bounds::Place::kBefore:
        return true;
      case Bounds::Place::kBehind:
        return false;
      case Bounds::Place::kWithin:
        break;
    }
    const auto& types = arguments_.types;
    const bool wanted = types.empty() || std::find(types.begin(), types.end(),
                                                   FrameTypeName(frame.type)) != types.end();
    if (!wanted) return true;
    PrintFrame(context_.out, context_.options.json, decoded, names_);
    return --left_ > 0 && !context_.out.broken() && !Interrupted();
  }

  uint64_t problems() const { return problems_; }

 private:
  Context& context_;
  const JournalArguments& arguments_;
  const Bounds bounds_;
  TableNames names_;
  uint64_t left_;
  uint64_t last_ms_ = 0;
  uint64_t problems_ = 0;
};

Result<ExitCode> PrintJournal(Context& context, const JournalArguments& arguments) {
  TAILRACE_ASSIGN_OR_RETURN(const Bounds bounds,
                            ParseBounds(arguments.from, arguments.to, PlainPositions::kYes));
  TAILRACE_ASSIGN_OR_RETURN(const JournalPlace place, FindJournal(context.options, arguments.path));
  FramePrinter printer(context, arguments, bounds, NamesFromShardLogs(place.store));
  WatchInterrupts();
  TAILRACE_ASSIGN_OR_RETURN(
      const auto segments,
      wal::ScanJournal(wal::FileSystem::Posix(), place.directory,
                       [&](const wal::Frame& frame) { return printer.Visit(frame); }));
  if (segments.empty()) {
    return NotFound(Cat(place.directory, " holds no segments of a journal"));
  }
  if (arguments.segments) PrintSegments(context, segments);
  if (Interrupted()) return ExitCode::kInterrupted;
  return printer.problems() > 0 ? ExitCode::kCorruption : ExitCode::kOk;
}

}  // namespace

void AddJournalCommand(Registry& registry) {
  auto arguments = std::make_shared<JournalArguments>();
  CLI::App& command = registry.Add(registry.root(), "journal",
                                   "Print the frames or the segments of the journal", kDetails);
  command.add_option("path", arguments->path,
                     "A store's or a journal's directory, in place of --store");
  command.add_option("--from", arguments->from, "The first position or moment");
  command.add_option("--to", arguments->to, "The last position or moment");
  command
      .add_option("--type", arguments->types,
                  "Only frames of this type (may be given more than once)")
      ->check(
          CLI::IsMember({"commit", "catalogue", "trim", "clock", "epoch", "mark", "pad", "close"}));
  command.add_option("--limit", arguments->limit, "Print at most so many frames")
      ->check(CLI::PositiveNumber);
  command.add_flag("--segments", arguments->segments, "Print the segments instead");
  registry.OnRun(command,
                 [arguments](Context& context) { return PrintJournal(context, *arguments); });
}

}  // namespace tailrace::tools
