// The command that tortures a user's disk: that it finds nothing where nothing is wrong, and that
// it finds a disk that loses files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/support/temp_dir.h"
#include "tests/support/test_paths.h"
#include "tests/tools/run_command.h"

namespace tailrace::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(CrashtestCommandTest, AGoodDiskPasses) {
  const TempDir directory;
  const CommandResult run =
      RunTailrace({"crashtest", directory.path(), "--cycles", "4", "--seed", "7", "--json"});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  const auto lines = run.Json();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].at("seed"), "7");
  EXPECT_EQ(lines[0].at("cycles"), 4);
  EXPECT_GT(lines[0].at("acknowledgedWritesChecked"), 0);
  EXPECT_TRUE(lines[0].at("faults").empty());
  EXPECT_FALSE(lines[0].contains("store"));
  EXPECT_TRUE(std::filesystem::is_empty(directory.path())) << "it removes what it made";
}

TEST(CrashtestCommandTest, TheTextSaysWhatWasChecked) {
  const TempDir directory;
  const CommandResult run =
      RunTailrace({"crashtest", directory.path(), "--cycles", "2", "--durability", "buffered"});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_THAT(run.out, StartsWith("cycles   2 over 1 store"));
  EXPECT_THAT(run.out, HasSubstr("acknowledged writes"));
  EXPECT_THAT(run.out, HasSubstr("faults   none"));
}

// The processes find that the journal has lost its files since the last one died.
TEST(CrashtestCommandTest, ADiskThatLosesFilesIsFoundAndTheStoreStays) {
  const TempDir directory;
  const std::string stores = directory.path() + "/stores";
  const std::string script = directory.path() + "/child";
  std::filesystem::create_directory(stores);
  WriteFile(script, "#!/bin/sh\nrm -f " + stores + "/*/store/journal/*.seg\nexec " +
                        BinaryPath("bin/tailrace") + " crashtest-child\n");
  ASSERT_EQ(::chmod(script.c_str(), 0700), 0);
  const CommandResult run =
      RunTailrace({"crashtest", stores, "--cycles", "40", "--json", "--child", script});
  EXPECT_EQ(run.exit_code, 1) << run.out << run.err;
  const auto lines = run.Json();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_FALSE(lines[0].at("faults").empty());
  EXPECT_THAT(lines[0].at("faults").dump(), HasSubstr("the store does not open"));
  const std::string kept = lines[0].at("store");
  EXPECT_THAT(kept, StartsWith(stores));
  EXPECT_TRUE(std::filesystem::exists(kept + "/STORE"));
}

TEST(CrashtestCommandTest, ADirectoryThatIsNotThereIsNamed) {
  const TempDir directory;
  const CommandResult run = RunTailrace({"crashtest", directory.path() + "/none"});
  EXPECT_EQ(run.exit_code, 6);
  EXPECT_THAT(run.err, HasSubstr("/none"));
}

TEST(CrashtestCommandTest, TheChildWithoutAPlanSaysSo) {
  const CommandResult run = RunTailrace({"crashtest-child"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("crash test"));
}

}  // namespace
}  // namespace tailrace::test
