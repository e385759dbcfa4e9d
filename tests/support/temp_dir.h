// A directory of a test's own on the real file system.
#pragma once

#include <string>

namespace tailrace::test {

// Made fresh in TMPDIR (or /tmp), removed with everything in it at the end.
class TempDir {
 public:
  TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace tailrace::test
