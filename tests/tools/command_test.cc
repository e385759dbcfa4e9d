// The real command on real stores: every subcommand's answers, exit codes, errors and JSON.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>

#include "engine/consumer.h"
#include "engine/store.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_paths.h"
#include "tests/tools/run_command.h"

namespace tailrace::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class Command : public testing::Test {
 protected:
  // A table with two items and a stream.
  void MakeGames() {
    ASSERT_EQ(run_({"tables", "create", "UserGames", "--key", "game_id:N", "--stream",
                    "NEW_AND_OLD_IMAGES"})
                  .exit_code,
              0);
    ASSERT_EQ(run_({"put", "UserGames", "game_id=1", "user=ann"}).exit_code, 0);
    ASSERT_EQ(run_({"put", "UserGames", "game_id=2", "user=bob"}).exit_code, 0);
  }

  void MakeScores() {
    ASSERT_EQ(run_({"tables", "create", "Scores", "--key", "user:S", "--sort", "at:N"}).exit_code,
              0);
    for (const char* at : {"1", "5", "10", "-3"}) {
      ASSERT_EQ(run_({"put", "Scores", "user=ann", std::string("at=") + at}).exit_code, 0);
    }
  }

  const TempDir directory_;
  const StoreCommand run_{directory_.path() + "/store"};
};

// ---------------------------------------------------------------------------- the command line

const std::vector<std::vector<std::string>>& Subcommands() {
  static const std::vector<std::vector<std::string>> kAll = {{"get"},
                                                             {"put"},
                                                             {"delete"},
                                                             {"scan"},
                                                             {"query"},
                                                             {"import"},
                                                             {"tables"},
                                                             {"tables", "list"},
                                                             {"tables", "create"},
                                                             {"tables", "describe"},
                                                             {"tables", "drop"},
                                                             {"ttl"},
                                                             {"indexes"},
                                                             {"indexes", "list"},
                                                             {"indexes", "create"},
                                                             {"indexes", "drop"},
                                                             {"streams"},
                                                             {"streams", "list"},
                                                             {"streams", "describe"},
                                                             {"streams", "enable"},
                                                             {"streams", "disable"},
                                                             {"shards"},
                                                             {"read"},
                                                             {"consumers"},
                                                             {"consumers", "list"},
                                                             {"consumers", "describe"},
                                                             {"consumers", "forget"},
                                                             {"dump"},
                                                             {"journal"},
                                                             {"stat"},
                                                             {"verify"},
                                                             {"crashtest"},
                                                             {"demo"}};
  return kAll;
}

TEST_F(Command, HelpIsThereForEverything) {
  const CommandResult top = RunTailrace({"--help"});
  EXPECT_EQ(top.exit_code, 0);
  for (const auto& words : Subcommands()) {
    if (words.size() == 1) {
      EXPECT_THAT(top.out, HasSubstr("\n  " + words[0] + " "));
    }
    auto asked = words;
    asked.push_back("--help");
    const CommandResult help = RunTailrace(asked);
    EXPECT_EQ(help.exit_code, 0) << words.back();
    EXPECT_THAT(help.out, HasSubstr("Example"));
    EXPECT_THAT(help.out, HasSubstr("tailrace " + words[0]));
    EXPECT_EQ(help.err, "");
  }
  EXPECT_THAT(top.out, Not(HasSubstr("demo-worker")));
  EXPECT_THAT(top.out, Not(HasSubstr("crashtest-child")));
}

TEST_F(Command, VersionIsPrinted) {
  const CommandResult version = RunTailrace({"--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_THAT(version.out, StartsWith("tailrace "));
}

TEST_F(Command, MistakesAreUsageErrorsOnOneLine) {
  const std::vector<std::vector<std::string>> mistakes = {
      {},
      {"nonsense"},
      {"get"},
      {"get", "UserGames"},
      {"scan", "UserGames", "--nonsense"},
      {"scan", "UserGames", "--limit", "-1"},
      {"tables"},
      {"--durability", "perhaps", "stat"},
      {"put", "T", "a=1", "--if-absent", "--if-exists"},
      {"import", "file"}};
  for (const auto& words : mistakes) {
    const CommandResult result = run_(words);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(result.err, StartsWith("tailrace: "));
    EXPECT_THAT(result.err, HasSubstr("--help"));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_EQ(result.out, "");
  }
}

TEST_F(Command, WithoutAStoreItSaysHowToNameOne) {
  const CommandResult result = RunTailrace({"stat"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.err, "tailrace: no store named: give --store DIR or set TAILRACE_STORE\n");
}

TEST_F(Command, AMissingStoreIsNotMade) {
  for (const auto& words : std::vector<std::vector<std::string>>{{"stat"},
                                                                 {"tables", "list"},
                                                                 {"get", "T", "a=1"},
                                                                 {"dump"},
                                                                 {"verify"},
                                                                 {"verify", "--deep"}}) {
    const CommandResult result = run_(words);
    EXPECT_EQ(result.exit_code, 6) << words[0] << ": " << result.err;
    EXPECT_THAT(result.err, StartsWith("tailrace: "));
    EXPECT_FALSE(std::filesystem::exists(run_.store())) << words[0];
  }
}

TEST_F(Command, AForeignDirectoryIsLeftAlone) {
  std::filesystem::create_directory(run_.store());
  WriteFile(run_.store() + "/letter.txt", "dear ann");
  const CommandResult result = run_({"tables", "create", "UserGames", "--key", "id:S"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("letter.txt"));
  EXPECT_EQ(ReadFile(run_.store() + "/letter.txt"), "dear ann");
}

TEST_F(Command, GlobalOptionsMayStandBehindTheSubcommand) {
  MakeGames();
  EXPECT_EQ(RunTailrace({"scan", "UserGames", "--count", "--store", run_.store()}).out, "2\n");
}

// Runs `tailrace scan UserGames` within a line of bash; its exit code and what went to standard
// error.
CommandResult ScanInShell(const std::string& store, const std::string& behind,
                          const std::string& err_path) {
  const std::string command =
      "'" + BinaryPath("bin/tailrace") + "' scan UserGames --store '" + store + "' ";
  const std::string line = "bash -c \"" + command + "2> '" + err_path + "' " + behind + "\"";
  const int status = std::system(line.c_str());
  return {.exit_code = WEXITSTATUS(status), .err = ReadFile(err_path)};
}

TEST_F(Command, AReaderThatGoesAwayIsNoError) {
  MakeGames();
  for (int i = 0; i < 8; ++i) {
    ASSERT_EQ(run_({"put", "UserGames", "game_id=" + std::to_string(i + 10),
                    "text=" + std::string(60'000, 'x')})
                  .exit_code,
              0);
  }
  const CommandResult result =
      ScanInShell(run_.store(), "| head -c 10 > /dev/null; exit \\${PIPESTATUS[0]}",
                  directory_.path() + "/err");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, "");
}

TEST_F(Command, OutputThatCannotBeWrittenIsAnError) {
  MakeGames();
  const CommandResult result = ScanInShell(run_.store(), "> /dev/full", directory_.path() + "/err");
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_THAT(result.err, StartsWith("tailrace: standard output: "));
}

// ---------------------------------------------------------------------------------- tables

TEST_F(Command, TablesAreMadeListedDescribedAndDropped) {
  const CommandResult made =
      run_({"tables", "create", "UserGames", "--key", "game_id:N", "--sort", "ts:S", "--stream",
            "new-image", "--shards", "2", "--retention", "48h"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_THAT(made.out, HasSubstr("game_id:N, ts:S"));

  const auto described = run_.Json({"tables", "describe", "UserGames"});
  ASSERT_EQ(described.size(), 1u);
  EXPECT_EQ(described[0]["table"], "UserGames");
  EXPECT_EQ(described[0]["partition"]["type"], "N");
  EXPECT_EQ(described[0]["sort"]["name"], "ts");
  EXPECT_EQ(described[0]["streamView"], "NEW_IMAGE");

  const auto streams = run_.Json({"streams", "list", "UserGames"});
  ASSERT_EQ(streams.size(), 1u);
  EXPECT_EQ(streams[0]["retentionMs"], 48 * 3600'000);
  EXPECT_EQ(streams[0]["shards"], 2);

  EXPECT_EQ(run_({"tables", "create", "UserGames", "--key", "game_id:N"}).exit_code, 6);
  EXPECT_EQ(run_({"tables", "drop", "UserGames"}).exit_code, 0);
  EXPECT_EQ(run_({"tables", "list"}).out, "no tables\n");
  const CommandResult gone = run_({"tables", "describe", "UserGames"});
  EXPECT_EQ(gone.exit_code, 6);
  EXPECT_THAT(gone.err, HasSubstr("tailrace tables list"));
  // Its stream stays.
  EXPECT_EQ(run_.Json({"streams", "list", "UserGames"}).size(), 1u);
}

TEST_F(Command, BadTablesAreRefusedBeforeAStoreIsMade) {
  const std::vector<std::vector<std::string>> bad = {
      {"tables", "create", "UserGames", "--key", "game_id"},
      {"tables", "create", "UserGames", "--key", "game_id:X"},
      {"tables", "create", "U", "--key", "game_id:N"},
      {"tables", "create", "UserGames", "--key", "a:N", "--sort", "a:N"},
      {"tables", "create", "UserGames", "--key", "a:N", "--stream", "EVERYTHING"},
      {"tables", "create", "UserGames", "--key", "a:N", "--shards", "2"},
      {"tables", "create", "UserGames", "--key", "a:N", "--stream", "KEYS_ONLY", "--retention",
       "soon"}};
  for (const auto& words : bad) {
    const CommandResult result = run_(words);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_FALSE(std::filesystem::exists(run_.store())) << result.err;
  }
}

TEST_F(Command, ItemsExpireAndTheDumpSaysWhoDeletedThem) {
  MakeGames();
  EXPECT_EQ(run_({"ttl", "UserGames"}).out, "items do not expire\n");
  EXPECT_EQ(run_({"ttl", "UserGames", "--attribute", "until"}).out, "items expire by until\n");
  EXPECT_EQ(run_.Json({"tables", "describe", "UserGames"})[0]["timeToLiveAttribute"], "until");
  EXPECT_EQ(run_({"ttl", "UserGames", "--attribute", "until"}).exit_code, 6) << "it is on already";
  EXPECT_EQ(run_({"ttl", "UserGames", "--attribute", "a", "--off"}).exit_code, 2);
  const std::string past = "until:=" + std::to_string(std::time(nullptr) - 60);
  const std::string future = "until:=" + std::to_string(std::time(nullptr) + 3600);
  ASSERT_EQ(run_({"put", "UserGames", "game_id=1", past}).exit_code, 0);
  ASSERT_EQ(run_({"put", "UserGames", "game_id=2", future}).exit_code, 0);
  EXPECT_TRUE(run_.Json({"ttl", "UserGames", "--sweep"})[0]["enabled"].get<bool>());
  EXPECT_EQ(run_({"scan", "UserGames", "--count"}).out, "1\n");
  const auto records = run_.Json({"dump", "UserGames"});
  ASSERT_EQ(records.size(), 5u);
  EXPECT_EQ(records.back()["eventName"], "REMOVE");
  EXPECT_EQ(records.back()["userIdentity"]["Type"], "Service");
  EXPECT_EQ(records.back()["userIdentity"]["PrincipalId"], "dynamodb.amazonaws.com");
  EXPECT_FALSE(records.front().contains("userIdentity"));
  EXPECT_EQ(run_({"ttl", "UserGames", "--off"}).out, "items do not expire\n");
  EXPECT_EQ(run_({"verify", "--deep"}).exit_code, 0);
}

TEST_F(Command, ConsumersAreListedWithWhatTheyLag) {
  MakeGames();
  EXPECT_EQ(run_({"consumers", "list"}).out, "no consumers\n");
  {
    const auto store = Store::Open(run_.store(), {}).value();
    const StreamId stream = *store->DescribeTable("UserGames")->latest_stream;
    const auto worker =
        ConsumerWorker::Open(*store, "totals", stream, "w1", {.pin_bytes_max = 1 << 20}).value();
    const auto batch = worker->Next(60'000).value();
    ASSERT_TRUE(batch.has_value());
    ASSERT_TRUE(worker->Fail(*batch, "no route to \x1b[31mhost").ok());
    ASSERT_TRUE(store->Close().ok());
  }
  const auto all = run_.Json({"consumers", "list"});
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0]["consumer"], "totals");
  EXPECT_EQ(all[0]["table"], "UserGames");
  EXPECT_EQ(all[0]["pinBytesMax"], 1 << 20);
  EXPECT_EQ(all[0]["workers"], nlohmann::json::array({"w1"}));
  uint64_t lag = 0;
  uint64_t blocked = 0;
  for (const auto& shard : all[0]["shards"]) {
    lag += shard["lagRecords"].get<uint64_t>();
    blocked += shard.contains("blockedWhy");
  }
  EXPECT_EQ(lag, 2u);
  EXPECT_EQ(blocked, 1u);
  // The same, but for the time that has passed.
  auto described = run_.Json({"consumers", "describe", "totals"});
  ASSERT_EQ(described.size(), 1u);
  auto listed = all[0];
  for (auto* const one : {&described[0], &listed}) {
    for (auto& shard : (*one)["shards"]) EXPECT_EQ(shard.erase("lagMs"), 1u);
  }
  EXPECT_EQ(described[0], listed);
  const std::string text = run_({"consumers", "describe", "totals"}).out;
  EXPECT_THAT(text, HasSubstr("no route to \\u{1b}[31mhost"));
  EXPECT_THAT(run_({"consumers", "list"}).out, HasSubstr("totals"));
  EXPECT_EQ(run_({"consumers", "describe", "nobody"}).exit_code, 6);
  EXPECT_EQ(run_({"consumers", "forget", "totals"}).exit_code, 0);
  EXPECT_EQ(run_({"consumers", "list"}).out, "no consumers\n");
  EXPECT_EQ(run_({"consumers", "forget", "totals"}).exit_code, 6);
}

// ----------------------------------------------------------------------------------- items

TEST_F(Command, ItemsArePutReadAndDeleted) {
  MakeGames();
  EXPECT_EQ(run_({"get", "UserGames", "game_id=1"}).out, "{game_id: 1, user: \"ann\"}\n");
  EXPECT_EQ(run_({"get", "UserGames", "2"}).out, "{game_id: 2, user: \"bob\"}\n");
  EXPECT_EQ(run_({"get", "UserGames", "{\"game_id\":{\"N\":\"1\"}}", "--json"}).out,
            "{\"game_id\":{\"N\":\"1\"},\"user\":{\"S\":\"ann\"}}\n");

  const CommandResult none = run_({"get", "UserGames", "game_id=3"});
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_EQ(none.out, "");
  EXPECT_EQ(none.err, "tailrace: no such item\n");

  const auto replaced = run_.Json({"put", "UserGames", "game_id=1", "user=eve", "--old"});
  EXPECT_EQ(replaced[0]["outcome"], "applied");
  EXPECT_EQ(replaced[0]["old"]["user"]["S"], "ann");
  EXPECT_EQ(replaced[0]["sequence"].get<std::string>().size(), 21u);
  EXPECT_EQ(run_.Json({"put", "UserGames", "game_id=1", "user=eve"})[0]["outcome"], "unchanged");

  EXPECT_EQ(run_.Json({"delete", "UserGames", "game_id=1", "--old"})[0]["old"]["user"]["S"], "eve");
  EXPECT_EQ(run_.Json({"delete", "UserGames", "game_id=1"})[0]["outcome"], "unchanged");
  EXPECT_EQ(run_({"scan", "UserGames", "--count"}).out, "1\n");
}

TEST_F(Command, ItemsAreReadAsTheyWere) {
  MakeGames();
  const std::string first =
      run_.Json({"put", "UserGames", "game_id=1", "user=eve"})[0]["sequence"].get<std::string>();
  ASSERT_EQ(run_({"delete", "UserGames", "game_id=1"}).exit_code, 0);
  ASSERT_EQ(run_({"put", "UserGames", "game_id=3"}).exit_code, 0);
  EXPECT_EQ(run_({"get", "UserGames", "game_id=1"}).exit_code, 1);
  EXPECT_EQ(run_({"get", "UserGames", "game_id=1", "--at", first}).out,
            "{game_id: 1, user: \"eve\"}\n");
  const CommandResult none = run_({"get", "UserGames", "game_id=3", "--at", first});
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_EQ(none.err, "tailrace: there was no such item then\n");
  EXPECT_EQ(run_({"scan", "UserGames", "--at", first, "--count"}).out, "2\n");
  EXPECT_EQ(run_({"scan", "UserGames", "--at", "2100-01-01", "--count"}).out, "2\n");
  const CommandResult early = run_({"scan", "UserGames", "--at", "2020-05-09"});
  EXPECT_NE(early.exit_code, 0);
  EXPECT_THAT(early.err, HasSubstr("the stream was enabled later"));
  EXPECT_EQ(run_({"scan", "UserGames", "--at", "soon"}).exit_code, 2);
}

TEST_F(Command, ConditionsRefuseWithExitCode1) {
  MakeGames();
  const CommandResult refused = run_({"put", "UserGames", "game_id=1", "user=eve", "--if-absent"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_EQ(refused.out, "refused: there is an item with this key\n");
  EXPECT_EQ(run_({"put", "UserGames", "game_id=9", "--if-exists"}).exit_code, 1);
  EXPECT_EQ(run_({"delete", "UserGames", "game_id=9", "--if-exists"}).exit_code, 1);
  EXPECT_EQ(run_({"put", "UserGames", "game_id=9", "--if-absent"}).exit_code, 0);
  EXPECT_EQ(run_({"delete", "UserGames", "game_id=9", "--if-exists"}).exit_code, 0);
  EXPECT_EQ(run_({"get", "UserGames", "game_id=1"}).out, "{game_id: 1, user: \"ann\"}\n");
}

TEST_F(Command, AnItemMayComeFromStandardInput) {
  MakeGames();
  EXPECT_EQ(
      run_({"put", "UserGames", "-"}, "{\n  \"game_id\": 77,\n  \"deep\": {\"a\": [1, 2.50]}\n}\n")
          .exit_code,
      0);
  EXPECT_EQ(run_({"get", "UserGames", "game_id=77"}).out, "{deep: {a: [1, 2.5]}, game_id: 77}\n");
}

TEST_F(Command, BadItemsAreNamed) {
  MakeGames();
  const std::vector<std::pair<std::vector<std::string>, std::string>> bad = {
      {{"put", "UserGames", "user=ann"}, "Missing the key game_id"},
      {{"put", "UserGames", "game_id=seven"}, "game_id: "},
      {{"put", "UserGames", "{\"game_id\":\"7\"}"}, "Type mismatch for key game_id"},
      {{"put", "UserGames", "{\"game_id\":"}, "JSON"},
      {{"put", "UserGames", "game_id=1", "text=" + std::string(110'000, 'x'),
        "t2=" + std::string(110'000, 'x'), "t3=" + std::string(110'000, 'x'),
        "t4=" + std::string(110'000, 'x')},
       "Item size has exceeded"},
      {{"get", "UserGames", "user=ann"}, "the key is game_id:N"},
      {{"get", "UserGames", "game_id=1", "user=ann"}, "the key is game_id:N"}};
  for (const auto& [words, text] : bad) {
    const CommandResult result = run_(words);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(result.err, HasSubstr(text));
  }
  EXPECT_EQ(run_({"get", "Nonsense", "a=1"}).exit_code, 6);
  EXPECT_EQ(run_({"scan", "UserGames", "--count"}).out, "2\n");
}

TEST_F(Command, NothingFromAnItemSteersTheTerminal) {
  MakeGames();
  ASSERT_EQ(
      run_({"put", "UserGames", "-"},
           R"({"game_id": 66, "bad\u001b[2Jname": "\u001b]0;title\u0007\u009b31m\u202egnp.exe"})")
          .exit_code,
      0);
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"get", "UserGames", "66"},
                                             {"get", "UserGames", "66", "--json"},
                                             {"scan", "UserGames"},
                                             {"dump", "UserGames"},
                                             {"dump", "UserGames", "--json"},
                                             {"journal"},
                                             {"journal", "--json"}}) {
    const CommandResult result = run_(words);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    // The journal of a closed store is drained: it may have nothing of the item left to show.
    if (words[0] != "journal") {
      EXPECT_THAT(result.out, HasSubstr("title"));
    }
    for (const std::string steering : {"\x1b", "\x07", "\xc2\x9b", "\xe2\x80\xae"}) {
      EXPECT_THAT(result.out, Not(HasSubstr(steering))) << words[0];
    }
  }
  const CommandResult error = run_({"get", "No\x1b[2J", "a=1"});
  EXPECT_THAT(error.err, Not(HasSubstr("\x1b")));
}

// ---------------------------------------------------------------------------- scan and query

TEST_F(Command, ScanGoesOnWhereALimitEnded) {
  MakeScores();
  const auto all = run_.Json({"scan", "Scores"});
  ASSERT_EQ(all.size(), 4u);
  const CommandResult first = run_({"scan", "Scores", "--json", "--limit", "3"});
  ASSERT_EQ(first.Json().size(), 3u);
  ASSERT_THAT(first.err, HasSubstr("--start-after '"));
  const size_t begin = first.err.find('\'') + 1;
  const std::string key = first.err.substr(begin, first.err.rfind('\'') - begin);
  const auto rest = run_.Json({"scan", "Scores", "--start-after", key});
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0], all[3]);
}

TEST_F(Command, QueryReadsAPartitionInOrder) {
  MakeScores();
  const auto ats = [&](std::vector<std::string> more) {
    std::vector<std::string> words = {"query", "Scores", "ann"};
    words.insert(words.end(), more.begin(), more.end());
    std::vector<std::string> found;
    for (const auto& item : run_.Json(words)) found.push_back(item["at"]["N"]);
    return found;
  };
  EXPECT_THAT(ats({}), ElementsAre("-3", "1", "5", "10"));
  EXPECT_THAT(ats({"--reverse", "--limit", "2"}), ElementsAre("10", "5"));
  EXPECT_THAT(ats({"--eq", "5"}), ElementsAre("5"));
  EXPECT_THAT(ats({"--lt", "1"}), ElementsAre("-3"));
  EXPECT_THAT(ats({"--le", "1"}), ElementsAre("-3", "1"));
  EXPECT_THAT(ats({"--gt", "5"}), ElementsAre("10"));
  EXPECT_THAT(ats({"--ge", "5"}), ElementsAre("5", "10"));
  EXPECT_THAT(ats({"--between", "0", "6"}), ElementsAre("1", "5"));
  EXPECT_EQ(run_({"query", "Scores", "bob"}).out, "");
  EXPECT_EQ(run_({"query", "Scores", "bob"}).exit_code, 0);
  EXPECT_EQ(run_({"query", "Scores", "ann", "--eq", "1", "--lt", "5"}).exit_code, 2);
  EXPECT_EQ(run_({"query", "Scores", "ann", "--begins-with", "1"}).exit_code, 2);
  EXPECT_EQ(run_({"query", "Scores", "ann", "--eq", "one"}).exit_code, 2);
}

// -------------------------------------------------------------------------- streams and shards

TEST_F(Command, StreamsAreEnabledAndDisabled) {
  ASSERT_EQ(run_({"tables", "create", "UserGames", "--key", "game_id:N"}).exit_code, 0);
  EXPECT_EQ(run_({"streams", "describe", "UserGames"}).exit_code, 6);
  EXPECT_EQ(run_({"streams", "disable", "UserGames"}).exit_code, 6);
  const auto enabled =
      run_.Json({"streams", "enable", "UserGames", "--view", "KEYS_ONLY", "--shards", "3"});
  EXPECT_EQ(enabled[0]["view"], "KEYS_ONLY");
  EXPECT_EQ(enabled[0]["shards"], 3);
  EXPECT_EQ(run_({"streams", "enable", "UserGames", "--view", "KEYS_ONLY"}).exit_code, 6);
  EXPECT_EQ(run_({"streams", "disable", "UserGames"}).exit_code, 0);
  const auto again = run_.Json({"streams", "enable", "UserGames", "--view", "OLD_IMAGE"});
  const auto all = run_.Json({"streams", "list"});
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0]["enabled"], false);
  EXPECT_EQ(all[1]["enabled"], true);
  // The table means its enabled stream; the label any.
  EXPECT_EQ(run_.Json({"streams", "describe", "UserGames"})[0]["view"], "OLD_IMAGE");
  const std::string label = all[0]["label"];
  EXPECT_EQ(run_.Json({"streams", "describe", "UserGames/" + label})[0]["view"], "KEYS_ONLY");
  EXPECT_EQ(run_.Json({"streams", "describe", "--stream", "1"})[0]["view"], "KEYS_ONLY");
  EXPECT_EQ(run_({"streams", "describe", "--stream", "99"}).exit_code, 6);
}

TEST_F(Command, ShardsTileTheHashes) {
  MakeGames();
  const auto shards = run_.Json({"shards", "UserGames"});
  ASSERT_EQ(shards.size(), 4u);
  EXPECT_EQ(shards[0]["hashFirst"], "0000000000000000");
  EXPECT_EQ(shards[3]["hashLast"], "ffffffffffffffff");
  uint64_t records = 0;
  for (const auto& shard : shards) records += shard["records"].get<uint64_t>();
  EXPECT_EQ(records, 2u);
  const CommandResult text = run_({"shards", "UserGames"});
  EXPECT_THAT(text.out, HasSubstr("hash 0000000000000000"));
  EXPECT_THAT(
      text.out,
      HasSubstr("|------- 1 -------|------- 2 -------|------- 3 -------|------- 4 -------|"));
}

TEST_F(Command, StatCounts) {
  MakeGames();
  const auto stat = run_.Json({"stat"})[0];
  EXPECT_EQ(stat["tables"], 1);
  EXPECT_EQ(stat["streams"], 1);
  EXPECT_EQ(stat["shards"], 4);
  EXPECT_EQ(stat["shardRecords"], 2);
  EXPECT_EQ(stat["durability"], "sync");
  EXPECT_EQ(stat["recovery"]["cleanClose"], true);
  const auto& positions = stat["positions"];
  EXPECT_LE(positions["recycled"].get<uint64_t>(), positions["cut"].get<uint64_t>());
  EXPECT_LE(positions["cut"].get<uint64_t>(), positions["fannedOut"].get<uint64_t>());
  EXPECT_LE(positions["safe"].get<uint64_t>(), positions["appended"].get<uint64_t>());
  EXPECT_THAT(run_({"stat"}).out, HasSubstr("1 table, 1 stream, 4 shards"));
}

TEST_F(Command, DurabilityIsTheStoresOwn) {
  ASSERT_EQ(
      run_({"--durability", "buffered", "tables", "create", "UserGames", "--key", "game_id:N"})
          .exit_code,
      0);
  EXPECT_EQ(run_.Json({"stat"})[0]["durability"], "buffered");
  const CommandResult other = run_({"--durability", "sync", "stat"});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, HasSubstr("buffered"));
}

// ----------------------------------------------------------------------------------- read

TEST_F(Command, ReadGoesOnUnderItsName) {
  MakeGames();
  EXPECT_EQ(run_.Json({"read", "UserGames", "--name", "audit", "--limit", "1"}).size(), 1u);
  EXPECT_EQ(run_.Json({"read", "UserGames", "--name", "audit"}).size(), 1u);
  EXPECT_EQ(run_.Json({"read", "UserGames", "--name", "audit"}).size(), 0u);
  EXPECT_EQ(run_.Json({"read", "UserGames", "--name", "other"}).size(), 2u);
  ASSERT_EQ(run_({"delete", "UserGames", "game_id=1"}).exit_code, 0);
  const auto removed = run_.Json({"read", "UserGames", "--name", "audit"});
  ASSERT_EQ(removed.size(), 1u);
  EXPECT_EQ(removed[0]["eventName"], "REMOVE");
  EXPECT_EQ(removed[0]["dynamodb"]["OldImage"]["user"]["S"], "ann");
  EXPECT_FALSE(removed[0]["dynamodb"].contains("NewImage"));
  ASSERT_EQ(run_({"read", "--forget", "--name", "audit"}).exit_code, 0);
  EXPECT_EQ(run_.Json({"read", "UserGames", "--name", "audit"}).size(), 3u);
}

TEST_F(Command, ReadFromTheLatestKeepsThatMoment) {
  MakeGames();
  EXPECT_EQ(run_.Json({"read", "UserGames", "--name", "late", "--from", "latest"}).size(), 0u);
  ASSERT_EQ(run_({"put", "UserGames", "game_id=3"}).exit_code, 0);
  EXPECT_EQ(run_.Json({"read", "UserGames", "--name", "late", "--from", "latest"}).size(), 1u);
}

TEST_F(Command, ReadFromATimeBeginsWithTheFirstRecordSince) {
  MakeGames();
  EXPECT_EQ(run_.Json({"read", "UserGames", "--name", "a", "--from", "2020-05-09"}).size(), 2u);
  EXPECT_EQ(run_.Json({"read", "UserGames", "--name", "b", "--from", "2200-01-01"}).size(), 0u);
  EXPECT_EQ(run_({"read", "UserGames", "--name", "c", "--from", "yesterday"}).exit_code, 2);
}

TEST_F(Command, ShardsAreSplitAndMergedOnDemand) {
  MakeGames();
  const auto split = run_.Json({"shards", "UserGames", "--split", "2"});
  ASSERT_EQ(split.size(), 6u);
  EXPECT_EQ(split[1]["state"], "sealed");
  for (const size_t child : {4u, 5u}) {
    EXPECT_EQ(split[child]["parent"], 2);
    EXPECT_EQ(split[child]["state"], "open");
  }
  EXPECT_EQ(split[4]["hashFirst"], split[1]["hashFirst"]);
  EXPECT_EQ(split[5]["hashLast"], split[1]["hashLast"]);
  EXPECT_EQ(run_({"shards", "UserGames", "--split", "2"}).exit_code, 6) << "sealed";
  EXPECT_EQ(run_({"shards", "UserGames", "--split", "77"}).exit_code, 6);
  const std::string lower = split[4]["shard"];
  const auto merged = run_.Json({"shards", "UserGames", "--merge", "6", lower});
  ASSERT_EQ(merged.size(), 7u);
  EXPECT_EQ(merged[6]["parent"], 5);
  EXPECT_EQ(merged[6]["hashFirst"], split[1]["hashFirst"]);
  EXPECT_EQ(merged[6]["hashLast"], split[1]["hashLast"]);
  EXPECT_THAT(run_({"shards", "UserGames"}).out, HasSubstr("sealed"));
}

// ------------------------------------------------------------------------------ a store in use

TEST_F(Command, AStoreInUseNamesItsHolder) {
  MakeGames();
  StoreOptions options;
  options.create_if_missing = false;
  const auto holder = Store::Open(run_.store(), options);
  ASSERT_TRUE(holder.ok()) << holder.status().ToString();
  const std::string pid = std::to_string(::getpid());
  for (const auto& words : std::vector<std::vector<std::string>>{
           {"stat"}, {"put", "UserGames", "game_id=5"}, {"verify", "--deep"}}) {
    const CommandResult busy = run_(words);
    EXPECT_EQ(busy.exit_code, 3) << busy.err;
    EXPECT_THAT(busy.err, HasSubstr("process " + pid));
    EXPECT_THAT(busy.err, HasSubstr("tailrace dump"));
  }
  EXPECT_THAT(run_({"stat"}).err, HasSubstr("tools_tests"));  // The program, not only its number.
  // These read the files.
  EXPECT_EQ(run_.Json({"dump", "UserGames"}).size(), 2u);
  EXPECT_EQ(run_({"journal"}).exit_code, 0);
  EXPECT_EQ(run_({"verify"}).exit_code, 0);
}

// ---------------------------------------------------------------------------- indexes

TEST_F(Command, IndexesAreMadeWithATableAndOnALiveOne) {
  ASSERT_EQ(run_({"tables", "create", "Scores", "--key", "user:S", "--sort", "at:N", "--index",
                  "by_game=game:S,score:N/INCLUDE:note", "--local-index", "by_score=score:N"})
                .exit_code,
            0);
  for (const char* at : {"1", "2", "3"}) {
    ASSERT_EQ(run_({"put", "Scores", "user=ann", std::string("at=") + at, "game=chess",
                    std::string("score:=1") + at, "note=n", "other=o"})
                  .exit_code,
              0);
  }
  const auto created = run_(
      {"indexes", "create", "Scores", "by_note", "--key", "note:S", "--projection", "KEYS_ONLY"});
  EXPECT_EQ(created.exit_code, 0) << created.err;
  // Its frames are in the journal until the next opening begins a segment over them.
  const auto journal = run_({"journal"});
  EXPECT_THAT(journal.out,
              HasSubstr("create index by_note (number 4, key note) of table number 1"));
  EXPECT_THAT(created.out, HasSubstr("by_note (note:S), KEYS_ONLY\n")) << "active at the end";
  EXPECT_THAT(created.out, HasSubstr("by_game (game:S, score:N), INCLUDE note\n"));
  EXPECT_THAT(created.out, HasSubstr("by_score (user:S, score:N), ALL, local\n"));
  EXPECT_THAT(run_({"tables", "describe", "Scores"}).out, HasSubstr("index    by_note"));
  EXPECT_THAT(run_({"indexes", "list", "Scores", "--json"}).out,
              HasSubstr(R"("index":"by_score","id":3,"key":"user:S, score:N","local":true)"));

  const auto query =
      run_({"query", "Scores", "chess", "--index", "by_game", "--ge", "12", "--reverse"});
  EXPECT_EQ(query.out,
            "{at: 3, game: \"chess\", note: \"n\", score: 13, user: \"ann\"}\n"
            "{at: 2, game: \"chess\", note: \"n\", score: 12, user: \"ann\"}\n");
  EXPECT_EQ(run_({"query", "Scores", "n", "--index", "by_note", "--count"}).out, "3\n");
  EXPECT_EQ(run_({"scan", "Scores", "--index", "by_note", "--limit", "1"}).out,
            "{at: 1, note: \"n\", user: \"ann\"}\n");
  EXPECT_EQ(run_({"query", "Scores", "a", "--index", "none"}).exit_code, 6);

  int items = 0;
  for (const char* segment : {"0", "1", "2"}) {
    const auto part = run_({"scan", "Scores", "--segment", segment, "--segments", "3", "--count"});
    EXPECT_EQ(part.exit_code, 0);
    items += std::stoi(part.out);
  }
  EXPECT_EQ(items, 3);

  const auto verified = run_({"verify", "--deep"});
  EXPECT_EQ(verified.exit_code, 0) << verified.out;
  EXPECT_THAT(verified.out, HasSubstr("indexes  3 recomputed from their tables; 9 entries"));

  EXPECT_EQ(run_({"indexes", "drop", "Scores", "by_note"}).exit_code, 0);
  EXPECT_EQ(run_({"indexes", "drop", "Scores", "by_note"}).exit_code, 6);
  EXPECT_EQ(run_({"indexes", "drop", "Scores", "by_score"}).exit_code, 2);
  EXPECT_EQ(run_({"tables", "create", "Other", "--key", "id:S", "--index", "nonsense"}).exit_code,
            2);
}

}  // namespace
}  // namespace tailrace::test
