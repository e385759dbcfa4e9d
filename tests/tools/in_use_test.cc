// Commands on a store that another process has open: through its socket, or a word why not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/followers/owner.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/run_command.h"

namespace tailrace::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class InUseTest : public ::testing::Test {
 protected:
  TempDir temp_;
  StoreCommand run_{temp_.path() + "/store"};
};

TEST_F(InUseTest, CommandsGoThroughTheSocket) {
  Owner owner(run_.store());
  owner.Order("write 40");
  owner.Order("serve");
  EXPECT_EQ(run_({"put", "Games", "game_id=100", "n:=7"}).exit_code, 0);
  EXPECT_EQ(run_.Json({"get", "Games", "game_id=100"})[0]["n"]["N"], "7");
  EXPECT_EQ(run_({"get", "Games", "game_id=101"}).exit_code, 1);
  EXPECT_EQ(run_.Json({"query", "Games", "100"}).size(), 1u);
  EXPECT_EQ(run_({"scan", "Games", "--count"}).out, "42\n");
  const auto old = run_.Json({"delete", "Games", "game_id=100", "--old"});
  EXPECT_EQ(old[0]["outcome"], "applied");
  EXPECT_EQ(old[0]["old"]["n"]["N"], "7");
  EXPECT_EQ(run_.Json({"tables", "list"})[0]["table"], "Games");
  EXPECT_EQ(run_.Json({"tables", "describe", "Games"}).size(), 1u);
  EXPECT_EQ(run_.Json({"streams", "list"}).size(), 1u);
  EXPECT_EQ(run_.Json({"streams", "describe", "Games"}).size(), 1u);
  EXPECT_EQ(run_.Json({"shards", "Games"}).size(), 2u);
  EXPECT_EQ(run_.Json({"stat"})[0]["tables"], 1);
  // The owner has it, and goes on.
  owner.Order("write 10");
  EXPECT_EQ(run_.Json({"stat"})[0]["epoch"], 1);
}

TEST_F(InUseTest, WhatNeedsTheStoreItselfIsRefused) {
  Owner owner(run_.store());
  owner.Order("serve");
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"tables", "create", "Other", "--key", "id:S"},
                                             {"tables", "drop", "Games"},
                                             {"streams", "disable", "Games"},
                                             {"shards", "Games", "--split", "1"},
                                             {"read", "Games", "--name", "audit"}}) {
    const CommandResult result = run_(words);
    EXPECT_EQ(result.exit_code, 3) << words[0] << ": " << result.err;
    EXPECT_THAT(result.err, HasSubstr("in use")) << words[0];
  }
  EXPECT_EQ(run_({"put", "Games", "game_id=1", "--if-absent"}).exit_code, 2);
}

TEST_F(InUseTest, WithoutASocketItSaysWhoHasTheStoreAndWhatToDo) {
  Owner owner(run_.store());
  const CommandResult result = run_({"get", "Games", "game_id=1"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("process " + std::to_string(owner.pid())));
  EXPECT_THAT(result.err, HasSubstr("follower_owner"));
  EXPECT_THAT(result.err, HasSubstr("serve a socket"));
  // The socket of one that was killed is as good as none.
  owner.Order("serve");
  owner.Kill();
  EXPECT_EQ(run_({"get", "Games", "game_id=1"}).exit_code, 1);
}

TEST_F(InUseTest, StatWatchesAStoreInUse) {
  Owner owner(run_.store());
  owner.Order("write 10");
  owner.Order("serve");
  owner.Order("flood");
  const auto looks = run_.Json({"stat", "--watch", "--interval", "200ms", "--count", "3"});
  ASSERT_EQ(looks.size(), 3u);
  EXPECT_FALSE(looks[0].contains("rates"));
  EXPECT_TRUE(looks[2].contains("rates"));
  EXPECT_GT(looks[2]["shardRecords"], looks[0]["shardRecords"]);
  EXPECT_GT(looks[1]["rates"]["recordsPerSecond"].get<uint64_t>() +
                looks[2]["rates"]["recordsPerSecond"].get<uint64_t>(),
            0u);
  const CommandResult text = run_({"stat", "--watch", "--interval", "1ms", "--count", "2"});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.out, HasSubstr(" records/s"));
}

// It is opened once, and not for every look.
TEST_F(InUseTest, StatWatchesAStoreThatIsNotInUse) {
  EXPECT_EQ(run_({"tables", "create", "Games", "--key", "id:N"}).exit_code, 0);
  const auto looks = run_.Json({"stat", "--watch", "--interval", "1ms", "--count", "3"});
  ASSERT_EQ(looks.size(), 3u);
  EXPECT_EQ(looks[2]["epoch"], looks[0]["epoch"]);
  EXPECT_EQ(looks[2]["rates"]["recordsPerSecond"], 0);
  EXPECT_EQ(looks[0]["epoch"].get<uint64_t>() + 1, run_.Json({"stat"})[0]["epoch"].get<uint64_t>());
}

}  // namespace
}  // namespace tailrace::test
