// dump --follow: what is printed while the owner writes, splits, trims, is killed and comes back.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <set>

#include "tests/followers/owner.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/run_command.h"

namespace tailrace::test {
namespace {

using testing::HasSubstr;

// A `dump --follow` whose lines are read as they come.
class Following {
 public:
  Following(const std::string& store, std::vector<std::string> words)
      : pipe_(temp_.path() + "/out") {
    words.insert(words.begin(), {"--store", store, "--json", "dump", "--follow"});
    EXPECT_EQ(::mkfifo(pipe_.c_str(), 0600), 0);
    // Opened both ways no end waits for the other; the command would before it begins.
    const int both_ends = ::open(pipe_.c_str(), O_RDWR | O_CLOEXEC);
    EXPECT_GE(both_ends, 0);
    command_ = std::make_unique<RunningCommand>(words, pipe_);
    lines_.open(pipe_);
    ::close(both_ends);
  }

  // The next line; null at the end.
  nlohmann::json Next() {
    std::string line;
    if (!std::getline(lines_, line)) return nullptr;
    auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    EXPECT_FALSE(json.is_discarded()) << line;
    return json;
  }

  // Reads until the changes 1 to `n` were printed, each once, and each game's in order.
  void ReadUpTo(uint64_t n) {
    while (numbers_.size() < n && !::testing::Test::HasFailure()) {
      const nlohmann::json line = Next();
      ASSERT_FALSE(line.is_null()) << "it ended before change " << n;
      ASSERT_TRUE(line.contains("dynamodb")) << line;
      const auto& change = line["dynamodb"];
      const std::string game = change["Keys"]["game_id"]["N"];
      const std::string sequence = change["SequenceNumber"];
      EXPECT_GT(sequence, last_of_game_[game]);
      last_of_game_[game] = sequence;
      if (first_sequence_.empty()) first_sequence_ = sequence;
      if (game == "-1") continue;
      const uint64_t number = std::stoull(std::string(change["NewImage"]["n"]["N"]));
      EXPECT_TRUE(numbers_.insert(number).second) << number << " came twice";
    }
    EXPECT_EQ(*numbers_.rbegin(), n);
  }

  RunningCommand& command() { return *command_; }
  const std::string& first_sequence() const { return first_sequence_; }

 private:
  TempDir temp_;
  const std::string pipe_;
  std::unique_ptr<RunningCommand> command_;
  std::ifstream lines_;
  std::set<uint64_t> numbers_;
  std::map<std::string, std::string> last_of_game_;
  std::string first_sequence_;
};

class FollowTest : public ::testing::Test {
 protected:
  TempDir temp_;
  std::string store_ = temp_.path() + "/store";
};

TEST_F(FollowTest, OverTheOwnersDeathSplitsAndDisabling) {
  auto owner = std::make_unique<Owner>(store_);
  owner->Order("write 50");
  Following following(store_, {"Games"});
  following.ReadUpTo(50);
  owner->Order("write 50 300");
  owner->Kill();
  following.ReadUpTo(100);
  owner = std::make_unique<Owner>(store_);
  owner->Order("write 30");
  owner->Order("split");
  following.ReadUpTo(owner->Order("write 30"));
  owner->Order("disable");
  owner->Order("enable");
  following.ReadUpTo(owner->Order("write 30"));
  owner->Close();
  owner = std::make_unique<Owner>(store_);
  following.ReadUpTo(owner->Order("write 5"));
  following.command().Signal(SIGINT);
  EXPECT_EQ(following.command().Wait(), 130);
  // Nothing came behind the last change but the record that ends an order.
  for (nlohmann::json line = following.Next(); !line.is_null(); line = following.Next()) {
    EXPECT_EQ(line["dynamodb"]["Keys"]["game_id"]["N"], "-1");
  }
}

TEST_F(FollowTest, EndsAtOnceWhenItWaits) {
  Owner owner(store_);
  owner.Order("write 1");
  Following following(store_, {});
  following.ReadUpTo(1);
  following.command().Signal(SIGTERM);
  EXPECT_EQ(following.command().Wait(), 130);
}

TEST_F(FollowTest, WhatIsAskedForAlone) {
  Owner owner(store_);
  owner.Order("write 40");
  Following limited(store_, {"--limit", "3"});
  EXPECT_EQ(limited.command().Wait(), 0);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limited.Next().contains("dynamodb"));
  EXPECT_TRUE(limited.Next().is_null());

  Following keyed(store_, {"--key", "game_id=7", "--limit", "1"});
  EXPECT_EQ(keyed.Next()["dynamodb"]["Keys"]["game_id"]["N"], "7");
  EXPECT_EQ(keyed.command().Wait(), 0);
}

TEST_F(FollowTest, WhatExpiredIsAGap) {
  Owner owner(store_);
  owner.Order("write 40");
  std::string first;
  {
    Following following(store_, {});
    following.ReadUpTo(40);
    first = following.first_sequence();
  }
  owner.Order("pass 90000000");
  owner.Order("upkeep");
  owner.Order("write 1");
  Following following(store_, {"--from", first});
  const nlohmann::json gap = following.Next();
  ASSERT_TRUE(gap.contains("gap")) << gap;
  EXPECT_EQ(gap["gap"]["kind"], "trimmed");
}

TEST_F(FollowTest, FromLatestLeavesOutWhatIsThere) {
  Owner owner(store_);
  owner.Order("write 40");
  Following following(store_, {"--from", "latest", "--limit", "1"});
  owner.Order("flood");  // It may begin behind any of these.
  const nlohmann::json line = following.Next();
  ASSERT_TRUE(line.contains("dynamodb")) << line;
  if (line["dynamodb"]["Keys"]["game_id"]["N"] != "-1") {
    EXPECT_GT(std::stoull(std::string(line["dynamodb"]["NewImage"]["n"]["N"])), 40u);
  }
}

TEST_F(FollowTest, NeedsAStoreThatWasOpen) {
  const CommandResult result = RunTailrace({"--store", store_, "dump", "--follow"});
  EXPECT_EQ(result.exit_code, 6);
  EXPECT_EQ(RunTailrace({"--store", store_, "dump", "--follow", "--to", "2020-01-01"}).exit_code,
            2);
}

}  // namespace
}  // namespace tailrace::test
