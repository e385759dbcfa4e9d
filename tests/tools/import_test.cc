// import: formats, compression, bad lines, and going on after the process was killed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>

#include "tests/support/temp_dir.h"
#include "tests/tools/run_command.h"

namespace tailrace::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class Import : public testing::Test {
 protected:
  std::string File(const std::string& name, const std::string& bytes) const {
    const std::string path = directory_.path() + "/" + name;
    WriteFile(path, bytes);
    return path;
  }

  // The words that import a file into a table made for it.
  static std::vector<std::string> Words(const std::string& file,
                                        std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"import",   file,    "--table", "Games",
                                      "--create", "--key", "id:N"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  std::string Count() const { return run_({"scan", "Games", "--count"}).out; }

  static std::string PlainLines(int first, int last) {
    std::string lines;
    for (int i = first; i <= last; ++i) {
      lines += "{\"id\":" + std::to_string(i) + ",\"name\":\"game " + std::to_string(i) + "\"}\n";
    }
    return lines;
  }

  const TempDir directory_;
  const StoreCommand run_{directory_.path() + "/store"};
};

TEST_F(Import, EveryFormatMakesTheSameItems) {
  const std::string plain = "{\"id\":1,\"l\":[true,null,\"x\"],\"n\":1.50}\n";
  const std::string dynamodb =
      "{\"id\":{\"N\":\"1\"},\"l\":{\"L\":[{\"BOOL\":true},{\"NULL\":true},{\"S\":\"x\"}]},\"n\":{"
      "\"N\":\"1.5\"}}\n";
  const std::string exported = "{\"Item\":" + dynamodb.substr(0, dynamodb.size() - 1) + "}\n";
  const std::vector<std::pair<std::string, std::string>> files = {{"plain", plain},
                                                                  {"dynamodb", dynamodb},
                                                                  {"export", exported},
                                                                  {"compressed", Gzip(exported)}};
  std::string expected;
  for (const auto& [name, bytes] : files) {
    ASSERT_EQ(run_(Words(File(name, bytes))).exit_code, 0) << name;
    const std::string item = run_({"get", "Games", "id=1", "--json"}).out;
    EXPECT_THAT(item, StartsWith("{\"id\":{\"N\":\"1\"},\"l\":{\"L\":[")) << name;
    if (expected.empty()) expected = item;
    EXPECT_EQ(item, expected) << name;
  }
  // All but the first changed nothing.
  EXPECT_EQ(run_.Json({"tables", "list"}).size(), 1u);
}

TEST_F(Import, ReadsStandardInput) {
  const CommandResult result =
      run_(Words("-", {"--json"}), PlainLines(1, 20) + "\n   \n" + PlainLines(21, 30));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.Json()[0]["applied"], 30);
  EXPECT_EQ(Count(), "30\n");
}

TEST_F(Import, WhatScanPrintsCanBeImported) {
  ASSERT_EQ(run_(Words(File("games", PlainLines(1, 50)))).exit_code, 0);
  const std::string lines = run_({"scan", "Games", "--json"}).out;
  const StoreCommand other(directory_.path() + "/other");
  ASSERT_EQ(other(Words("-"), lines).exit_code, 0);
  EXPECT_EQ(other({"scan", "Games", "--json"}).out, lines);
}

TEST_F(Import, AStreamMayBeEnabledFromTheStart) {
  ASSERT_EQ(run_(Words(File("games", PlainLines(1, 25)), {"--stream", "NEW_IMAGE"})).exit_code, 0);
  EXPECT_EQ(run_.Json({"dump", "Games"}).size(), 25u);
}

TEST_F(Import, ABadLineEndsItAndNamesThePlace) {
  const std::string file = File("games", PlainLines(1, 3) + "{\"id\":\n" + PlainLines(5, 6));
  const CommandResult result = run_(Words(file));
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, StartsWith("tailrace: " + file + ":4: "));
  EXPECT_THAT(result.err, HasSubstr("--keep-going"));
  EXPECT_EQ(Count(), "3\n");
}

TEST_F(Import, BadLinesCanBePassedOverAndCollected) {
  const std::string bad1 = "{\"id\":\"text\"}";  // The key has another type.
  const std::string bad2 = "{\"name\":\"no key\"}";
  const std::string bad3 = "not json at all";
  const std::string bad4 = "{\"id\":1e200}";
  const std::string file = File("games", PlainLines(1, 2) + bad1 + "\n" + bad2 + "\n" + bad3 +
                                             "\n" + bad4 + "\n" + PlainLines(3, 4));
  const std::string rejects = directory_.path() + "/rejects";
  const CommandResult result = run_(Words(file, {"--keep-going", "--rejects", rejects, "--json"}));
  EXPECT_EQ(result.exit_code, 1);
  const auto report = result.Json()[0];
  EXPECT_EQ(report["applied"], 4);
  EXPECT_EQ(report["rejected"], 4);
  EXPECT_EQ(ReadFile(rejects), bad1 + "\n" + bad2 + "\n" + bad3 + "\n" + bad4 + "\n");
  for (const char* line : {":3: ", ":4: ", ":5: ", ":6: "})
    EXPECT_THAT(result.err, HasSubstr(file + line));
  EXPECT_EQ(Count(), "4\n");
}

TEST_F(Import, ManyBadLinesDoNotFloodTheScreen) {
  std::string lines = PlainLines(1, 1);
  for (int i = 0; i < 500; ++i) lines += "bad\n";
  const CommandResult result = run_(Words(File("games", lines), {"--keep-going"}));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 10) << result.err;
  EXPECT_THAT(result.out, HasSubstr("500 lines rejected"));
}

TEST_F(Import, OptionsThatDoNotFitAreRefused) {
  const std::string file = File("games", PlainLines(1, 1));
  EXPECT_EQ(run_({"import", file, "--table", "Games"}).exit_code, 6);  // No store.
  EXPECT_EQ(run_({"import", file, "--table", "Games", "--create"}).exit_code, 2);
  EXPECT_EQ(run_({"import", file, "--table", "Games", "--key", "id:N"}).exit_code, 2);
  EXPECT_EQ(run_(Words(file, {"--rejects", "x"})).exit_code, 2);
  EXPECT_EQ(run_(Words(directory_.path() + "/none")).exit_code, 6);
  ASSERT_EQ(run_(Words(file)).exit_code, 0);
  EXPECT_EQ(run_({"import", file, "--table", "Other"}).exit_code, 6);
  EXPECT_EQ(run_({"import", file, "--table", "Games", "--create", "--key", "name:S"}).exit_code, 6);
}

TEST_F(Import, SkipBeginsBehindSoManyLines) {
  const std::string file = File("games", PlainLines(1, 10));
  ASSERT_EQ(run_(Words(file, {"--skip", "7"})).exit_code, 0);
  EXPECT_EQ(Count(), "3\n");
  EXPECT_EQ(run_(Words(file, {"--skip", "700"})).exit_code, 0);
}

TEST_F(Import, AFinishedImportBeginsAnewAndChangesNothing) {
  const std::string file = File("games", PlainLines(1, 10));
  ASSERT_EQ(run_(Words(file)).exit_code, 0);
  const auto again = run_(Words(file, {"--json"})).Json()[0];
  EXPECT_EQ(again["resumedAfter"], 0);
  EXPECT_EQ(again["unchanged"], 10);
  EXPECT_EQ(again["applied"], 0);
}

// Runs the import until it has said that so many items are in, and stops it with `signal`.
int StopImport(const std::string& store, const std::vector<std::string>& words, uint64_t items,
               int signal) {
  std::vector<std::string> all = {"--store", store};
  all.insert(all.end(), words.begin(), words.end());
  RunningCommand import(all);
  for (uint64_t lines = 0; lines < items / 1000;) {
    const std::string line = import.ReadErrorLine();
    if (line.starts_with("going on after line")) continue;  // A run that resumes says so first.
    EXPECT_THAT(line, HasSubstr(" items, "));
    ++lines;
  }
  import.Signal(signal);
  return import.Wait();
}

TEST_F(Import, GoesOnAfterItWasKilled) {
  constexpr int kItems = 100'000;
  const std::string file = File("games.gz", Gzip(PlainLines(1, kItems)));
  const std::vector<std::string> words = Words(
      file, {"--stream", "KEYS_ONLY", "--progress", "1000", "--checkpoint-lines", "500", "--json"});
  EXPECT_EQ(StopImport(run_.store(), words, 15'000, SIGKILL), -SIGKILL);
  EXPECT_EQ(StopImport(run_.store(), words, 15'000, SIGKILL), -SIGKILL);
  const CommandResult last = run_(words);
  ASSERT_EQ(last.exit_code, 0) << last.err;
  const auto report = last.Json()[0];
  const uint64_t resumed = report["resumedAfter"];
  EXPECT_GT(resumed, 15'000u);  // Most of what the killed ones did was not done again.
  EXPECT_EQ(resumed + report["lines"].get<uint64_t>(), uint64_t{kItems});
  EXPECT_EQ(Count(), std::to_string(kItems) + "\n");
  // Whatever was imported twice is in the stream once.
  uint64_t records = 0;
  for (const auto& shard : run_.Json({"shards", "Games"}))
    records += shard["records"].get<uint64_t>();
  EXPECT_EQ(records, uint64_t{kItems});
  EXPECT_EQ(run_({"verify", "--deep"}).exit_code, 0);
}

TEST_F(Import, CtrlCStopsAtALineThatIsKept) {
  constexpr int kItems = 100'000;
  const std::string file = File("games", PlainLines(1, kItems));
  const std::vector<std::string> words = Words(file, {"--progress", "1000", "--json"});
  EXPECT_EQ(StopImport(run_.store(), words, 5'000, SIGINT), 130);
  const CommandResult last = run_(words);
  ASSERT_EQ(last.exit_code, 0) << last.err;
  const auto report = last.Json()[0];
  EXPECT_GE(report["resumedAfter"].get<uint64_t>(), 5'000u);
  EXPECT_EQ(report["unchanged"], 0);  // It stopped exactly where it said.
  EXPECT_EQ(Count(), std::to_string(kItems) + "\n");
}

TEST_F(Import, AnotherFileUnderTheSameNameBeginsAnew) {
  const std::string bad = File("games", PlainLines(1, 5) + "bad\n");
  ASSERT_EQ(run_(Words(bad)).exit_code, 2);
  const auto same = run_(Words(bad, {"--json"}));
  EXPECT_EQ(same.exit_code, 2);
  EXPECT_THAT(same.err, HasSubstr("going on after line 5"));
  File("games", PlainLines(1, 8));
  const auto report = run_(Words(bad, {"--json"})).Json()[0];
  EXPECT_EQ(report["resumedAfter"], 0);
  EXPECT_EQ(report["unchanged"], 5);
  EXPECT_EQ(report["applied"], 3);
}

}  // namespace
}  // namespace tailrace::test
