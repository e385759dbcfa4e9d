// Which stream a command is about, and options about streams that several commands have.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/store.h"
#include "wal/status.h"

namespace CLI {
class App;
}

namespace tailrace::tools {

// A table's stream: the enabled one, or else its newest; with a label, that one; or any by its id.
struct StreamChoice {
  std::string table;  // TABLE or TABLE/LABEL.
  uint64_t id = 0;    // 0: go by the table.
};

// Adds the argument "table" and the option --stream.
void AddStreamChoice(CLI::App& command, StreamChoice& choice);

// Whether `stream` is meant by the choice's table name, and its label if it has one.
bool Matches(const StreamChoice& choice, const std::string& table_name, const std::string& label);

// kInvalidArgument: nothing chosen; kNotFound: no such stream.
Result<StreamInfo> FindStream(Store& store, const StreamChoice& choice);

// "NEW_AND_OLD_IMAGES" in any case, '-' for '_'. kInvalidArgument names the four.
Result<ViewType> ParseViewType(std::string_view text);

// The options of a new stream as the command line gives them.
struct NewStreamArguments {
  std::string view;
  std::string retention;
  uint32_t shards = 0;
};

// Adds --shards and --retention.
void AddNewStreamOptions(CLI::App& command, NewStreamArguments& arguments);

Result<StreamOptions> StreamOptionsOf(const NewStreamArguments& arguments);

}  // namespace tailrace::tools
