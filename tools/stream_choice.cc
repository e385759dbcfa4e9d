#include "tools/stream_choice.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cctype>

#include "tools/format.h"
#include "tools/time_text.h"

namespace tailrace::tools {

void AddStreamChoice(CLI::App& command, StreamChoice& choice) {
  auto* table = command.add_option("table", choice.table,
                                   "The table, or TABLE/LABEL for one of its older streams");
  command.add_option("--stream", choice.id, "The stream's number, in place of a table")
      ->excludes(table);
}

bool Matches(const StreamChoice& choice, const std::string& table_name, const std::string& label) {
  const size_t slash = choice.table.find('/');
  if (slash == std::string::npos) return choice.table == table_name;
  return choice.table.substr(0, slash) == table_name && choice.table.substr(slash + 1) == label;
}

Result<StreamInfo> FindStream(Store& store, const StreamChoice& choice) {
  if (choice.id != 0) return store.DescribeStream(StreamId{choice.id});
  if (choice.table.empty()) return InvalidArgument("no stream named: give a table, or --stream");
  TAILRACE_ASSIGN_OR_RETURN(const auto streams,
                            store.ListStreams(choice.table.substr(0, choice.table.find('/'))));
  const StreamInfo* best = nullptr;
  for (const StreamInfo& stream : streams) {
    if (!Matches(choice, stream.table_name, stream.label)) continue;
    if (best == nullptr || stream.enabled || !best->enabled) best = &stream;
  }
  if (best != nullptr) return *best;
  return NotFound(Cat("'", choice.table, "' has no stream: `tailrace streams list` names them, ",
                      "`tailrace streams enable` begins one"));
}

Result<ViewType> ParseViewType(std::string_view text) {
  std::string name(text);
  for (char& c : name) {
    c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  for (const ViewType view : {ViewType::kKeysOnly, ViewType::kNewImage, ViewType::kOldImage,
                              ViewType::kNewAndOldImages}) {
    if (ViewTypeName(view) == name) return view;
  }
  return InvalidArgument(Cat("'", text,
                             "' is no view of a stream: choose KEYS_ONLY, NEW_IMAGE, OLD_IMAGE or "
                             "NEW_AND_OLD_IMAGES"));
}

void AddNewStreamOptions(CLI::App& command, NewStreamArguments& arguments) {
  command.add_option("--shards", arguments.shards, "Shards that the stream begins with (4)")
      ->check(CLI::PositiveNumber);
  command.add_option("--retention", arguments.retention,
                     "How long records are kept, such as 24h or 7d (24h)");
}

Result<StreamOptions> StreamOptionsOf(const NewStreamArguments& arguments) {
  StreamOptions options;
  options.shards = arguments.shards;
  if (!arguments.retention.empty()) {
    TAILRACE_ASSIGN_OR_RETURN(options.retention_ms, ParseDuration(arguments.retention));
  }
  return options;
}

}  // namespace tailrace::tools
