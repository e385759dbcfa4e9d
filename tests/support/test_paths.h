// Where a test finds the files of the project.
#pragma once

#include <string>
#include <string_view>

namespace tailrace {

// A file of the source tree ("tests/golden/keys.hex"), absolute. Only test_paths.cc knows where the
// tree lies, so that a compiler's cache serves every clone of it with all the others.
std::string SourcePath(std::string_view path);

// A file of the build directory ("bin/tailrace"), absolute.
std::string BinaryPath(std::string_view path);

}  // namespace tailrace
