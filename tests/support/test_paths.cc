#include "tests/support/test_paths.h"

namespace tailrace {

std::string SourcePath(std::string_view path) {
  return std::string(TAILRACE_SOURCE_DIR "/").append(path);
}

std::string BinaryPath(std::string_view path) {
  return std::string(TAILRACE_BINARY_DIR "/").append(path);
}

}  // namespace tailrace
