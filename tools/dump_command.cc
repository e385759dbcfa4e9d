#include "tools/dump_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>

#include "shards/sequence_number.h"
#include "tools/bounds.h"
#include "tools/follow.h"
#include "tools/format.h"
#include "tools/item_input.h"
#include "tools/merged_logs.h"
#include "tools/open_store.h"
#include "tools/text.h"

namespace tailrace::tools {
namespace {

constexpr char kDetails[] =
    "Without arguments, everything below --store. Records come in commit order. The files are "
    "read, not the\n"
    "store: one in use, or one that does not open, can be dumped too, and nothing is changed. "
    "Records that have\n"
    "expired are shown as long as their files stand.\n"
    "--from and --to are sequence numbers or times (2020-05-09T03:04:05Z, or seconds since 1970), "
    "included.\n"
    "--follow reads what the process that has the store open publishes, of each shard in order, "
    "and "
    "outlives\n"
    "that process; --from latest leaves out what is there already.\n"
    "Exit code 4 when damage was passed over; each place is told on standard error.\n"
    "Examples: tailrace dump UserGames --from 2020-05-09 --key game_id=2345\n"
    "          tailrace dump /var/lib/games/streams/stream-000000000001/ --json";

// Reading so many logs at once takes as many threads; with more they are read one after the other.
constexpr size_t kMergedLogsMax = 64;

struct DumpArguments {
  std::vector<std::string> what;
  uint64_t stream = 0;
  std::string shard;
  std::string from, to;
  std::vector<std::string> key;
  uint64_t limit = 0;  // 0: none.
  bool follow = false;
};

// A path if there is one, otherwise a table of the store, with its label perhaps.
Result<std::vector<LogSource>> SourcesOfWord(const GlobalOptions& options,
                                             const std::string& word) {
  wal::FileSystem& fs = wal::FileSystem::Posix();
  TAILRACE_ASSIGN_OR_RETURN(const bool is_path, fs.Exists(word));
  if (is_path) return SourcesAt(fs, word);
  TAILRACE_ASSIGN_OR_RETURN(const std::string directory, StoreDirectory(options));
  TAILRACE_ASSIGN_OR_RETURN(auto sources, SourcesOfStore(fs, directory));
  const StreamChoice choice{.table = word};
  std::erase_if(sources, [&](const LogSource& source) {
    return !Matches(choice, source.stream.table_name, source.stream.label);
  });
  if (!sources.empty()) return sources;
  return NotFound(Cat("'", word, "' is neither a file nor a table with records in a stream"));
}

Result<std::vector<LogSource>> FindSources(const GlobalOptions& options,
                                           const DumpArguments& arguments) {
  std::vector<LogSource> all;
  if (arguments.what.empty()) {
    TAILRACE_ASSIGN_OR_RETURN(const std::string directory, StoreDirectory(options));
    TAILRACE_ASSIGN_OR_RETURN(all, SourcesOfStore(wal::FileSystem::Posix(), directory));
  }
  for (const std::string& word : arguments.what) {
    TAILRACE_ASSIGN_OR_RETURN(auto sources, SourcesOfWord(options, word));
    std::move(sources.begin(), sources.end(), std::back_inserter(all));
  }
  std::erase_if(all, [&](const LogSource& source) {
    if (arguments.stream != 0 && source.stream.id.value != arguments.stream) return true;
    return !arguments.shard.empty() && source.origin.shard != arguments.shard &&
           std::to_string(source.shard.value) != arguments.shard;
  });
  if (all.empty() && (arguments.stream != 0 || !arguments.shard.empty())) {
    return NotFound(
        "no such stream or shard has records: `tailrace shards` and `tailrace streams list` "
        "name them");
  }
  return all;
}

// What --key asks for, in the storage keys of each source.
class KeyFilter {
 public:
  Status Prepare(const std::vector<LogSource>& sources, const std::vector<std::string>& words) {
    if (words.empty()) return Status::Ok();
    for (const LogSource& source : sources) {
      if (!source.keys) {
        return InvalidArgument(Cat(
            source.path,
            ": without the shard's header no key can be looked for: ", source.problem.message()));
      }
      TAILRACE_ASSIGN_OR_RETURN(const Item item, ParseItemWords(words, *source.keys));
      const Value* partition = item.size() == 1 ? item.Get(source.keys->partition.name) : nullptr;
      const bool whole_partition = partition != nullptr && source.keys->sort.has_value();
      auto bytes = whole_partition ? EncodePartition(*source.keys, *partition)
                                   : EncodeKey(*source.keys, item);
      if (!bytes.ok()) {
        return InvalidArgument(Cat(bytes.status().message(), ": the key of ", source.origin.table,
                                   " is ", KeySchemaText(*source.keys)));
      }
      wanted_[&source] = {*std::move(bytes), whole_partition};
    }
    return Status::Ok();
  }

  bool Wants(const LogSource& source, ByteView key) const {
    const auto found = wanted_.find(&source);
    if (found == wanted_.end()) return true;
    return found->second.is_prefix ? key.starts_with(found->second.bytes)
                                   : key == found->second.bytes;
  }

 private:
  struct Wanted {
    std::string bytes;
    bool is_prefix = false;
  };
  std::map<const LogSource*, Wanted> wanted_;
};

class Dumper {
 public:
  Dumper(Context& context, const DumpArguments& arguments, const Bounds& bounds)
      : context_(context),
        left_(arguments.limit == 0 ? UINT64_MAX : arguments.limit),
        from_{SequenceNumber{bounds.first_position.value_or(0)}, bounds.first_ms.value_or(0)} {}

  Status Dump(const std::vector<LogSource>& sources, const MergedLogs::Filter& filter) {
    MergedLogs logs(wal::FileSystem::Posix(), sources, filter, from_);
    while (left_ > 0 && !context_.out.broken() && !Interrupted()) {
      TAILRACE_ASSIGN_OR_RETURN(const auto event, logs.Next());
      if (!event) break;
      if (const auto* damage = std::get_if<shards::Damage>(&event->what)) {
        Print(*damage);
      } else {
        Print(*event->source, std::get<shards::Record>(event->what));
      }
    }
    return Status::Ok();
  }

  uint64_t damages() const { return damages_; }

 private:
  void Print(const LogSource& source, const shards::Record& record) {
    const auto view = ReadRecord(source, record);
    if (!view.ok()) {
      Complain(Cat(source.path, ": record ", shards::FormatSequenceNumber(record.sequence), ": ",
                   view.status().message()));
      return;
    }
    PrintRecord(context_.out, context_.options.json, *view, source.origin);
    --left_;
  }

  void Print(const shards::Damage& damage) {
    if (damage.harmless()) return;
    if (damage.kind == shards::Damage::Kind::kUnfinishedTail) {
      Note(DamageText(damage));
      return;
    }
    if (context_.options.json) context_.out.JsonLine(DamageJson(damage));
    Complain(DamageText(damage));
  }

  void Complain(const std::string& text) {
    ++damages_;
    Note(text);
  }

  void Note(const std::string& text) {
    context_.out.Flush();  // So that it stands where it belongs.
    std::fprintf(stderr, "tailrace: %s\n", EscapeForTerminal(text).c_str());
  }

  Context& context_;
  uint64_t left_;
  const shards::OfflineFrom from_;
  uint64_t damages_ = 0;
};

Result<ExitCode> Dump(Context& context, const DumpArguments& arguments) {
  if (arguments.follow) {
    return Follow(context, {.tables = arguments.what,
                            .stream = arguments.stream,
                            .shard = arguments.shard,
                            .from = arguments.from,
                            .key = arguments.key,
                            .limit = arguments.limit});
  }
  TAILRACE_ASSIGN_OR_RETURN(const auto bounds,
                            ParseBounds(arguments.from, arguments.to, PlainPositions::kNo));
  TAILRACE_ASSIGN_OR_RETURN(const std::vector<LogSource> sources,
                            FindSources(context.options, arguments));
  KeyFilter keys;
  TAILRACE_RETURN_IF_ERROR(keys.Prepare(sources, arguments.key));
  const auto filter = [&](const LogSource& source, const shards::RecordView& record) {
    const auto place = bounds.PlaceOf(record.sequence.value, record.wall_ms);
    if (place == Bounds::Place::kBehind) return MergedLogs::Choice::kEnd;
    if (place == Bounds::Place::kBefore || !keys.Wants(source, record.key)) {
      return MergedLogs::Choice::kSkip;
    }
    return MergedLogs::Choice::kTake;
  };
  WatchInterrupts();
  Dumper dumper(context, arguments, bounds);
  if (sources.size() <= kMergedLogsMax) {
    TAILRACE_RETURN_IF_ERROR(dumper.Dump(sources, filter));
  } else {
    std::fprintf(stderr, "tailrace: %zu logs: each is shown by itself\n", sources.size());
    for (const LogSource& source : sources) {
      // The filter knows sources by their place: it must stay the same object.
      TAILRACE_RETURN_IF_ERROR(dumper.Dump(
          {source},
          [&](const LogSource&, const shards::RecordView& r) { return filter(source, r); }));
    }
  }
  if (Interrupted()) return ExitCode::kInterrupted;
  return dumper.damages() > 0 ? ExitCode::kCorruption : ExitCode::kOk;
}

}  // namespace

void AddDumpCommand(Registry& registry) {
  auto arguments = std::make_shared<DumpArguments>();
  CLI::App& command =
      registry.Add(registry.root(), "dump", "Print records of streams from their files", kDetails);
  command.add_option(
      "what", arguments->what,
      "Tables (or TABLE/LABEL), or paths: a store, a directory below its streams/, segment\n"
      "files");
  command.add_option("--stream", arguments->stream, "Only the stream with this number");
  command.add_option("--shard", arguments->shard, "Only the shard of this name or number");
  command.add_option("--from", arguments->from, "The first record or moment");
  auto* to = command.add_option("--to", arguments->to, "The last record or moment");
  command
      .add_option("--key", arguments->key,
                  "Only changes of this item, or of this partition: game_id=2345")
      ->expected(1, 2);
  command.add_option("--limit", arguments->limit, "Print at most so many records")
      ->check(CLI::PositiveNumber);
  command
      .add_flag("--follow,-f", arguments->follow,
                "Go on with new records as they are published, until Ctrl-C; with tables only")
      ->excludes(to);
  registry.OnRun(command, [arguments](Context& context) { return Dump(context, *arguments); });
}

}  // namespace tailrace::tools
