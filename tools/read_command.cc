#include "tools/read_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>

#include "engine/durable_reader.h"
#include "tools/format.h"
#include "tools/open_store.h"
#include "tools/record_text.h"
#include "tools/stream_choice.h"
#include "tools/time_text.h"

namespace tailrace::tools {
namespace {

struct ReadArguments {
  StreamChoice stream;
  std::string name;
  std::string from = "trim-horizon";
  uint64_t limit = 0;  // 0: none.
  bool forget = false;
};

// The names of a stream's shards; those that were trimmed away meanwhile go by their number.
class ShardNames {
 public:
  explicit ShardNames(const StreamInfo& stream) {
    for (const ShardInfo& shard : stream.shards) names_[shard.id] = shard.name;
  }
  std::string Of(ShardId shard) const {
    const auto found = names_.find(shard);
    return found == names_.end() ? Cat("shard ", shard.value) : found->second;
  }

 private:
  std::map<ShardId, std::string> names_;
};

// Prints a batch, and then keeps the position behind it: what was not printed is read again.
Result<uint64_t> PrintBatch(Context& context, DurableReader& reader,
                            const DurableReader::Batch& batch, const RecordOrigin& origin) {
  const bool json = context.options.json;
  if (batch.gap) PrintGap(context.out, json, *batch.gap, origin);
  for (const ChangeRecord& record : batch.records) PrintRecord(context.out, json, record, origin);
  context.out.Flush();
  if (context.out.broken()) return 0;
  TAILRACE_RETURN_IF_ERROR(reader.Checkpoint(batch.shard));
  return batch.records.size();
}

// "trim-horizon", "latest" or a time.
Status ParseStart(const std::string& from, DurableReaderOptions& options) {
  if (from == "latest") {
    options.start = StartAt::kLatest;
  } else if (from != "trim-horizon") {
    options.start = StartAt::kAtTimestamp;
    TAILRACE_ASSIGN_OR_RETURN(options.wall_ms, ParseTime(from));
  }
  return Status::Ok();
}

// Prints pages of at most `page_records` until fewer than that may still be printed, or there are
// no more; says whether there may be.
Result<bool> PrintPages(Context& context, Store& store, const StreamInfo& stream,
                        const ReadArguments& arguments, uint64_t page_records, uint64_t& left) {
  const ShardNames names(stream);
  DurableReaderOptions options;
  TAILRACE_RETURN_IF_ERROR(ParseStart(arguments.from, options));
  options.limits.records_max = page_records;
  TAILRACE_ASSIGN_OR_RETURN(const auto reader,
                            DurableReader::Open(store, arguments.name, stream.id, options));
  while (left >= page_records && !Interrupted() && !context.out.broken()) {
    TAILRACE_ASSIGN_OR_RETURN(const auto batch, reader->Next(0));
    if (!batch) return false;
    const RecordOrigin origin{stream.table_name, names.Of(batch->shard)};
    TAILRACE_ASSIGN_OR_RETURN(const uint64_t printed, PrintBatch(context, *reader, *batch, origin));
    left -= std::min(left, printed);
  }
  return left > 0;
}

Result<ExitCode> ReadRecords(Context& context, Store& store, const ReadArguments& arguments) {
  TAILRACE_ASSIGN_OR_RETURN(const StreamInfo stream, FindStream(store, arguments.stream));
  constexpr uint64_t kPageRecordsMax = 1000;
  uint64_t left = arguments.limit == 0 ? UINT64_MAX : arguments.limit;
  WatchInterrupts();
  bool more = true;
  while (more && !Interrupted() && !context.out.broken()) {
    // Pages no larger than what may still be printed, so that a position never lies within one.
    TAILRACE_ASSIGN_OR_RETURN(
        more, PrintPages(context, store, stream, arguments, std::min(left, kPageRecordsMax), left));
  }
  return Interrupted() ? ExitCode::kInterrupted : ExitCode::kOk;
}

Result<ExitCode> Read(Context& context, const ReadArguments& arguments) {
  return WithOwnStore(context, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    if (!arguments.forget) return ReadRecords(context, store, arguments);
    TAILRACE_RETURN_IF_ERROR(DurableReader::Forget(store, arguments.name));
    return ExitCode::kOk;
  });
}

}  // namespace

void AddReadCommand(Registry& registry) {
  auto arguments = std::make_shared<ReadArguments>();
  CLI::App& command = registry.Add(
      registry.root(), "read", "Print a stream's records since the last time under this name",
      "The position in each shard is kept in the store after its records were printed, so that a "
      "crash\n"
      "repeats some and loses none. Each shard's records come in order.\n"
      "Example: tailrace read UserGames --name audit");
  AddStreamChoice(command, arguments->stream);
  command.add_option("--name", arguments->name, "The name that the position is kept under")
      ->required();
  command.add_option("--from", arguments->from,
                     "Where a new name begins: trim-horizon (the oldest record), latest,\n"
                     "or a time; with a time, the same at each run");
  command.add_option("--limit", arguments->limit, "Print at most so many records")
      ->check(CLI::PositiveNumber);
  command.add_flag("--forget", arguments->forget, "Forget the name's position, and read nothing");
  registry.OnRun(command, [arguments](Context& context) { return Read(context, *arguments); });
}

}  // namespace tailrace::tools
