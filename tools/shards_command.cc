// The subcommand `shards`: a stream's shards in numbers and as a picture of the hashes they take.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>

#include "shards/sequence_number.h"
#include "tools/format.h"
#include "tools/json_writer.h"
#include "tools/open_store.h"
#include "tools/stream_choice.h"
#include "tools/stream_commands.h"
#include "tools/text.h"

namespace tailrace::tools {
namespace {

using ShardStats = std::map<ShardId, StoreStats::Shard>;

std::string HashText(uint64_t hash) { return Format("{:016x}", hash); }

std::string ShardJson(const StreamInfo& stream, const ShardInfo& shard,
                      const StoreStats::Shard& stats) {
  JsonWriter json;
  json.BeginObject().Key("shard").String(shard.name).Key("id").Number(shard.id.value);
  json.Key("stream").Number(stream.id.value).Key("table").String(stream.table_name);
  json.Key("hashFirst").String(HashText(shard.hash_first));
  json.Key("hashLast").String(HashText(shard.hash_last));
  json.Key("state").String(shard.ending ? "sealed" : "open");
  if (shard.parent) json.Key("parent").Number(shard.parent->value);
  json.Key("starting").String(shards::FormatSequenceNumber(shard.starting));
  if (shard.ending) json.Key("ending").String(shards::FormatSequenceNumber(*shard.ending));
  json.Key("trimmedBelow").String(shards::FormatSequenceNumber(shard.trimmed_below));
  json.Key("records").Number(stats.records);
  if (stats.records > 0) {
    json.Key("lastSequence").String(shards::FormatSequenceNumber(stats.last_sequence));
  }
  json.Key("bytes").Number(stats.bytes).Key("segments").Number(stats.segments);
  return json.EndObject().Take();
}

// Rows of a picture in which each shard stands above the hashes that it takes. Shards of the same
// hashes (a parent and its children) stand in different rows, older ones higher.
class Picture {
 public:
  void Add(const ShardInfo& shard) {
    const size_t first = Column(shard.hash_first);
    const size_t last =
        std::max(first + 1, shard.hash_last == UINT64_MAX ? kWidth : Column(shard.hash_last + 1));
    auto row = std::find_if(rows_.begin(), rows_.end(), [&](const std::string& candidate) {
      return candidate.find_first_not_of(' ', first + 1) >= last;
    });
    if (row == rows_.end()) row = rows_.insert(rows_.end(), std::string(kWidth + 1, ' '));
    for (size_t i = first + 1; i < last; ++i) (*row)[i] = shard.ending ? '.' : '-';
    (*row)[first] = '|';
    (*row)[last] = '|';
    const std::string label = Cat(" ", shard.id.value, " ");
    if (last - first > label.size() + 1) {
      row->replace(first + (last - first - label.size() + 1) / 2, label.size(), label);
    }
  }

  void Print(Output& out) const {
    out.Line(
        Cat("hash ", HashText(0), std::string(kWidth - 2 * 16 - 4, ' '), HashText(UINT64_MAX)));
    for (const std::string& row : rows_) out.Line(Cat("     ", row));
    out.Line("     (--- takes changes, ... sealed)");
  }

 private:
  static constexpr size_t kWidth = 72;
  static size_t Column(uint64_t hash) { return static_cast<size_t>(((hash >> 32) * kWidth) >> 32); }
  std::vector<std::string> rows_;
};

void PrintShards(Context& context, const StreamInfo& stream, ShardStats& stats) {
  using Align = TextTable::Align;
  TextTable text({{"shard"},
                  {"hashes"},
                  {"parent", Align::kRight},
                  {"starting"},
                  {"ending"},
                  {"records", Align::kRight},
                  {"bytes", Align::kRight},
                  {"segments", Align::kRight}});
  Picture picture;
  for (const ShardInfo& shard : stream.shards) {
    const StoreStats::Shard& of_shard = stats[shard.id];
    text.Row({shard.name, Cat(HashText(shard.hash_first), "-", HashText(shard.hash_last)),
              shard.parent ? std::to_string(shard.parent->value) : "",
              shards::FormatSequenceNumber(shard.starting),
              shard.ending ? shards::FormatSequenceNumber(*shard.ending) : "open",
              CountText(of_shard.records), BytesText(of_shard.bytes),
              CountText(of_shard.segments)});
    picture.Add(shard);
  }
  context.out.Line(Cat("stream ", stream.id.value, " of table ",
                       EscapeForTerminal(stream.table_name), ", ", ViewTypeName(stream.view),
                       stream.enabled ? "" : ", disabled"));
  text.Print(context.out, "  ");
  picture.Print(context.out);
}

// A shard of the stream by its number or name.
Result<ShardId> FindShard(const StreamInfo& stream, const std::string& word) {
  for (const ShardInfo& shard : stream.shards) {
    if (shard.name == word || std::to_string(shard.id.value) == word) return shard.id;
  }
  return NotFound(Cat("stream ", stream.id.value, " has no shard '", word, "'"));
}

struct ShardsArguments {
  StreamChoice choice;
  std::string split;
  std::vector<std::string> merge;
};

// What the options ask for, before the shards are printed.
Status ChangeShards(Store& store, const StreamInfo& stream, const ShardsArguments& arguments) {
  if (!arguments.split.empty()) {
    TAILRACE_ASSIGN_OR_RETURN(const ShardId shard, FindShard(stream, arguments.split));
    return store.SplitShard(stream.id, shard).status();
  }
  if (arguments.merge.empty()) return Status::Ok();
  TAILRACE_ASSIGN_OR_RETURN(const ShardId one, FindShard(stream, arguments.merge[0]));
  TAILRACE_ASSIGN_OR_RETURN(const ShardId other, FindShard(stream, arguments.merge[1]));
  return store.MergeShards(stream.id, one, other).status();
}

Result<ExitCode> Shards(Context& context, const ShardsArguments& arguments) {
  return WithStore(context, MayCreate::kNo, [&](Store& store) -> Result<ExitCode> {
    TAILRACE_ASSIGN_OR_RETURN(StreamInfo stream, FindStream(store, arguments.choice));
    TAILRACE_RETURN_IF_ERROR(ChangeShards(store, stream, arguments));
    TAILRACE_ASSIGN_OR_RETURN(stream, store.DescribeStream(stream.id));
    TAILRACE_ASSIGN_OR_RETURN(const StoreStats stats, store.Stats());
    ShardStats by_shard;
    for (const auto& shard : stats.shards) by_shard[shard.shard] = shard;
    if (!context.options.json) {
      PrintShards(context, stream, by_shard);
      return ExitCode::kOk;
    }
    for (const ShardInfo& shard : stream.shards) {
      context.out.JsonLine(ShardJson(stream, shard, by_shard[shard.id]));
    }
    return ExitCode::kOk;
  });
}

}  // namespace

void AddShardsCommand(Registry& registry) {
  auto arguments = std::make_shared<ShardsArguments>();
  CLI::App& command = registry.Add(registry.root(), "shards", "Print the shards of a stream",
                                   "A shard takes the changes of a range of partition-key hashes "
                                   "and keeps their order. \"records\" counts\n"
                                   "all that it ever had; \"bytes\" is what its files hold now. "
                                   "A shard with a parent goes on where\n"
                                   "that one ended, with all or half of its hashes.\n"
                                   "Examples: tailrace shards UserGames\n"
                                   "          tailrace shards UserGames --split 3");
  AddStreamChoice(command, arguments->choice);
  auto* split = command.add_option("--split", arguments->split,
                                   "First split this shard (number or name) in two");
  command
      .add_option("--merge", arguments->merge,
                  "First merge these two shards, neighbours whose records have expired")
      ->expected(2)
      ->excludes(split);
  registry.OnRun(command, [arguments](Context& context) { return Shards(context, *arguments); });
}

}  // namespace tailrace::tools
