// Stores that older builds left behind, of every format version: this build opens them, and shows
// what was in them. tests/golden/stores/README.md says how they were made.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/temp_dir.h"
#include "tests/support/test_paths.h"
#include "tests/tools/run_command.h"

namespace tailrace::test {
namespace {

namespace fs = std::filesystem;

const fs::path kStores = SourcePath("tests/golden/stores");

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kStores)) {
    if (entry.path().extension() == ".gz") names.push_back(entry.path().stem().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string NameOf(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

class GoldenStoreTest : public ::testing::TestWithParam<std::string> {
 protected:
  GoldenStoreTest() {
    const std::string extract =
        "tar -C " + temp_.path() + " -xzf " + (kStores / (GetParam() + ".tar.gz")).string();
    EXPECT_EQ(std::system(extract.c_str()), 0);
    const fs::path store = temp_.path() + "/store";
    // Whoever extracted it made files as his umask says.
    fs::permissions(store, fs::perms::owner_all);
  }

  std::string Out(const std::vector<std::string>& words) const {
    const CommandResult result = command_(words);
    EXPECT_EQ(result.exit_code, 0) << words[0] << ": " << result.err;
    return result.out;
  }

  // The items of every table in the order of their keys, and those of its indexes that can be read,
  // then every stream's records.
  std::string Everything() const {
    std::string all;
    for (const auto& table : command_.Json({"tables", "list"})) {
      const auto name = table.at("table").get<std::string>();
      all += Out({"--json", "scan", name});
      for (const auto& index : table.value("indexes", nlohmann::json::array())) {
        if (index.at("state") != "ACTIVE") continue;
        all += Out({"--json", "scan", name, "--index", index.at("index").get<std::string>()});
      }
    }
    return all + Out({"--json", "dump"});
  }

  const TempDir temp_;
  const StoreCommand command_{temp_.path() + "/store"};
};

TEST_P(GoldenStoreTest, OpensAndHoldsWhatItHeld) {
  // As it lies there: nothing is wrong with it.
  const CommandResult verified = command_({"verify"});
  EXPECT_EQ(verified.exit_code, 0) << verified.out << verified.err;
  const std::string found = Everything();
  if (std::getenv("TAILRACE_SHOW_GOLDEN") != nullptr) {
    std::printf("%s:\n%s", GetParam().c_str(), found.c_str());
  }
  EXPECT_EQ(found, ReadFile(kStores / (GetParam() + ".jsonl")));

  // It goes on as a store of this build.
  const std::string more = R"({"raw": {"B": "eg=="}, "text": {"S": "more"}})";
  EXPECT_EQ(command_({"put", "blobs", more}).exit_code, 0);
  EXPECT_EQ(command_({"verify", "--deep"}).exit_code, 0);
  EXPECT_NE(Everything(), found);
}

INSTANTIATE_TEST_SUITE_P(Formats, GoldenStoreTest, ::testing::ValuesIn(Names()), NameOf);

}  // namespace
}  // namespace tailrace::test
