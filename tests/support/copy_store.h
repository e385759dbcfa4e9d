// A store's directory copied as it lies there.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace tailrace::test {

// A copy of an idle store's directory, as if its process had died now. RocksDB may still be
// removing files that it has replaced.
inline void CopyStore(const std::string& from, const std::string& to) {
  namespace fs = std::filesystem;
  fs::create_directory(to);
  for (const auto& entry : fs::directory_iterator(from)) {
    const std::string target = to + "/" + entry.path().filename().string();
    std::error_code gone;
    if (entry.is_directory(gone)) {
      CopyStore(entry.path(), target);
    } else {
      fs::copy_file(entry.path(), target, gone);
      EXPECT_TRUE(!gone || gone == std::errc::no_such_file_or_directory) << gone.message();
    }
  }
}

}  // namespace tailrace::test
