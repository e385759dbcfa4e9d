#include "tests/support/temp_dir.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "wal/check.h"

namespace tailrace::test {

TempDir::TempDir() {
  const char* parent = std::getenv("TMPDIR");
  path_ = parent != nullptr && *parent != '\0' ? parent : "/tmp";
  path_ += "/tailrace-test-XXXXXX";
  TAILRACE_CHECK(::mkdtemp(path_.data()) != nullptr, "no directory can be made in " + path_);
}

TempDir::~TempDir() {
  std::error_code ignored;  // Left-overs of a test are no reason to fail it.
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace tailrace::test
