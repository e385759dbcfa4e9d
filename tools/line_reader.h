// Lines of a text file, of a gzip file or of standard input.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "wal/status.h"

namespace tailrace::tools {

// A longer line is refused: an item of the largest size, every character escaped, is shorter.
inline constexpr size_t kLineBytesMax = 8 << 20;

// Not thread-safe.
class LineReader {
 public:
  // Opens the file, "-" for standard input. What begins like gzip is decompressed. Errors:
  // kNotFound, kIoError.
  static Result<std::unique_ptr<LineReader>> Open(const std::string& path);

  virtual ~LineReader() = default;

  // The next line without its end; false at the end of the file. The view lasts until the next
  // call. Errors: kIoError (reading; compressed data that is damaged or ends too early),
  // kInvalidArgument (a line above kLineBytesMax). After an error there is no next line.
  virtual Result<bool> Next(std::string_view& line) = 0;

  // Of the line last returned, from 1 on.
  virtual uint64_t line_number() const = 0;

  // How far into the file (as it lies on the disk) reading has come, and its size; 0: unknown.
  virtual uint64_t offset_bytes() const = 0;
  virtual uint64_t size_bytes() const = 0;

  // When the file was last changed, in milliseconds since 1970; 0: unknown.
  virtual uint64_t changed_ms() const = 0;
};

}  // namespace tailrace::tools
