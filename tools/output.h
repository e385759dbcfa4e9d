// Standard output of a command: lines of text or of JSON, and tables of text.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "wal/status.h"

namespace tailrace::tools {

// One thread at a time. Borrows the file, which stays open.
class Output {
 public:
  explicit Output(std::FILE* file) : file_(file) {}

  // The text and the end of the line. Text from outside has to be escaped before (tools/text.h).
  void Line(std::string_view text);

  // The text as it is: what steers a terminal goes this way.
  void Text(std::string_view text) { Write(text); }

  // A line of JSON; characters that would steer a terminal are escaped here.
  void JsonLine(std::string json);

  // What was written so far goes to the reader.
  void Flush();

  // Nobody reads any more, or writing failed: a long command stops.
  bool broken() const { return broken_; }

  // Flushes. kIoError when something could not be written; that the reader went away is no error.
  Status Finish();

 private:
  void Write(std::string_view bytes);
  void NoteFailure();

  std::FILE* const file_;
  bool broken_ = false;
  int error_ = 0;
};

// Columns of text, each as wide as its widest cell. Cells are escaped.
class TextTable {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };

  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // As many cells as there are columns.
  void Row(std::vector<std::string> cells);

  // The titles and the rows, each line behind `indent`.
  void Print(Output& out, std::string_view indent = "") const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace tailrace::tools
