#include "tools/output.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tools/format.h"
#include "tools/text.h"
#include "wal/check.h"

namespace tailrace::tools {

void Output::Line(std::string_view text) {
  Write(text);
  Write("\n");
}

void Output::JsonLine(std::string json) { Line(EscapeJsonLine(std::move(json))); }

void Output::Flush() {
  if (std::fflush(file_) != 0) NoteFailure();
}

Status Output::Finish() {
  Flush();
  if (error_ == 0 || error_ == EPIPE) return Status::Ok();
  return IoError(Cat("standard output: ", std::strerror(error_)));
}

void Output::Write(std::string_view bytes) {
  if (broken_) return;
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) NoteFailure();
}

void Output::NoteFailure() {
  if (!broken_) error_ = errno;
  broken_ = true;
}

void TextTable::Row(std::vector<std::string> cells) {
  TAILRACE_CHECK(cells.size() == columns_.size(), "a row has a cell for every column");
  for (std::string& cell : cells) cell = EscapeForTerminal(cell);
  rows_.push_back(std::move(cells));
}

void TextTable::Print(Output& out, std::string_view indent) const {
  std::vector<size_t> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    size_t width = Columns(columns_[i].title);
    for (const auto& row : rows_) width = std::max(width, Columns(row[i]));
    widths.push_back(width);
  }
  const auto print = [&](const auto& cell_of) {
    std::string line(indent);
    for (size_t i = 0; i < columns_.size(); ++i) {
      const std::string& cell = cell_of(i);
      const std::string blanks(widths[i] - Columns(cell), ' ');
      if (i > 0) line.append("  ");
      const bool right = columns_[i].align == Align::kRight;
      line += Cat(right ? blanks : "", cell, right ? "" : blanks);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out.Line(line);
  };
  print([&](size_t i) -> const std::string& { return columns_[i].title; });
  for (const auto& row : rows_) {
    print([&](size_t i) -> const std::string& { return row[i]; });
  }
}

}  // namespace tailrace::tools
