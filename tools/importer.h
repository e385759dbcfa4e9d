// Bringing lines of items into a table: pipelined, resumable, with bad lines as typed errors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/store.h"
#include "tools/item_input.h"
#include "tools/line_reader.h"

namespace tailrace::tools {

struct ImportOptions {
  std::string table;
  std::string source;  // How messages name the file.

  // The name under which the last line imported is kept in the store; empty: it is not.
  std::string resume_name;

  std::optional<ItemFormat> format;    // Absent: as the first line is written.
  std::optional<uint64_t> skip_lines;  // Set: begin behind so many lines, whatever is kept.
  bool keep_going = false;             // Bad lines are counted, and written to `rejects_path`.
  std::string rejects_path;            // Empty: they are only counted.
  uint64_t in_flight_max = 4096;       // Writes not yet safe at a time, at least 2.
  uint64_t checkpoint_lines = 10'000;  // The last line is kept that often.
  uint64_t progress_every = 0;         // See Progress.
  bool quiet = false;
};

struct ImportReport {
  uint64_t resumed_after = 0;  // Lines that an earlier run had imported, or that were skipped.
  uint64_t lines = 0;          // Read after those, blank ones not counted.
  uint64_t applied = 0;        // Items that changed something.
  uint64_t unchanged = 0;      // Items that were there already just so.
  uint64_t rejected = 0;
  uint64_t bytes = 0;  // Of the lines.
  uint64_t duration_us = 0;
  bool interrupted = false;  // Stopped early by Ctrl-C, at a line that is kept.
};

// Puts the items of `lines` into the table, one a line. On OK all of them are as safe as the
// store's durability says. The number of the last line goes into the store in the same order as the
// items, so a crash leaves no gap: the next run begins at a line at or before the first that is
// missing, and items that are there already change nothing. Errors: kInvalidArgument (a bad line
// and not `keep_going`: file and line are in the message, everything before it is imported),
// kIoError (the source, the rejects file), and the store's.
Result<ImportReport> Import(Store& store, LineReader& lines, const ImportOptions& options);

}  // namespace tailrace::tools
