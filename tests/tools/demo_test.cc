// The demo on a small index: every claim holds, and a wrong index is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/temp_dir.h"
#include "tests/tools/run_command.h"

namespace tailrace::test {
namespace {

using testing::HasSubstr;
using testing::Not;

// Paragraphs as in a Debian package index, some with fields that go on over lines.
std::string PackageIndex(int packages) {
  std::string text;
  for (int i = 0; i < packages; ++i) {
    const std::string number = std::to_string(i);
    text += "Package: package-" + number + "\nVersion: 1." + number + "-1\nArchitecture: amd64\n";
    if (i % 13 != 0) text += "Section: section-" + std::to_string(i % 7) + "\n";
    if (i % 11 != 0) text += "Installed-Size: " + std::to_string(100 + i * 37 % 1000) + "\n";
    text +=
        "Description: the package of number " + number + "\n which goes on\n .\n over lines\n\n";
  }
  return text;
}

TEST(Demo, EveryClaimHolds) {
  const TempDir directory;
  WriteFile(directory.path() + "/index", PackageIndex(6000));
  const std::string stores = directory.path() + "/stores";
  const CommandResult result =
      RunTailrace({"demo", stores, "--packages", directory.path() + "/index"});
  ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_THAT(result.out, Not(HasSubstr("NOT")));
  EXPECT_THAT(result.out, HasSubstr("nothing from before enabling is in the stream"));
  EXPECT_THAT(result.out, HasSubstr("then killed"));
  EXPECT_THAT(result.out, HasSubstr("fold(stream) = table: 5,400 items"));
  EXPECT_THAT(result.out, HasSubstr("derived table = recomputation"));
  EXPECT_THAT(result.out, HasSubstr("Everything holds."));
  // The stores are there to be looked at.
  const StoreCommand packages(stores + "/packages");
  EXPECT_EQ(packages({"scan", "Packages", "--count"}).out, "5400\n");
  EXPECT_EQ(
      packages({"get", "Packages", "Package=package-4", "Version=1.4-1"}).out,
      "{Architecture: \"amd64\", Description: \"the package of number 4\\nwhich goes on\\n.\\nover "
      "lines\", "
      "Installed-Size: 248, Package: \"package-4\", Section: \"section-4\", Version: \"1.4-1\"}\n");
}

TEST(Demo, BufferedStoresToo) {
  const TempDir directory;
  WriteFile(directory.path() + "/index", PackageIndex(3000));
  const CommandResult result =
      RunTailrace({"demo", directory.path() + "/stores", "--packages", directory.path() + "/index",
                   "--limit", "2000", "--durability", "buffered"});
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_THAT(result.out, HasSubstr("fold(stream) = table: 1,800 items"));
}

TEST(Demo, RefusesWhatItCannotUse) {
  const TempDir directory;
  WriteFile(directory.path() + "/index", "nothing of the kind\n");
  EXPECT_EQ(RunTailrace({"demo", directory.path()}).exit_code, 2);  // Not empty.
  const CommandResult no_packages =
      RunTailrace({"demo", directory.path() + "/a", "--packages", directory.path() + "/index"});
  EXPECT_EQ(no_packages.exit_code, 2);
  EXPECT_THAT(no_packages.err, HasSubstr("no package"));
  EXPECT_EQ(RunTailrace({"demo", directory.path() + "/b", "--packages", "/nonexistent"}).exit_code,
            6);
}

}  // namespace
}  // namespace tailrace::test
