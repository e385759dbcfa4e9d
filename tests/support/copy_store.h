// A store's directory copied as it lies there.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>

namespace tailrace::test {

// Every file below a directory with its size and the time of its last change.
inline std::map<std::string, std::pair<uintmax_t, std::filesystem::file_time_type>> ListTree(
    const std::string& directory) {
  namespace fs = std::filesystem;
  std::map<std::string, std::pair<uintmax_t, fs::file_time_type>> tree;
  std::error_code gone;  // What is removed meanwhile is not there.
  for (const auto& entry : fs::recursive_directory_iterator(directory, gone)) {
    const uintmax_t size = entry.is_directory(gone) ? 0 : entry.file_size(gone);
    tree[entry.path()] = {size, entry.last_write_time(gone)};
  }
  return tree;
}

// A copy of an idle store's directory, as if its process had died now. RocksDB may still be
// compacting and removing files: the copy is made again until nothing has changed under it.
inline void CopyStore(const std::string& from, const std::string& to) {
  namespace fs = std::filesystem;
  constexpr int kTriesMax = 1000;
  for (int tries = 0; tries < kTriesMax; ++tries) {
    const auto before = ListTree(from);
    fs::remove_all(to);
    fs::create_directory(to);
    for (const auto& [path, facts] : before) {
      const fs::path target = to / fs::path(path).lexically_relative(from);
      std::error_code gone;
      if (fs::is_directory(path, gone)) {
        fs::create_directories(target);
      } else {
        fs::copy_file(path, target, gone);
      }
    }
    if (ListTree(from) == before) return;
  }
  FAIL() << from << " does not come to rest";
}

}  // namespace tailrace::test
