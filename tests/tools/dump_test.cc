// dump and journal: golden text from golden files, parts of logs, damage on the way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "engine/item_codec.h"
#include "engine/key.h"
#include "engine/store.h"
#include "shards/sequence_number.h"
#include "shards/shard_set.h"
#include "tests/shards/shard_rig.h"
#include "tests/support/copy_store.h"
#include "tests/support/expect_ok.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_paths.h"
#include "tests/tools/run_command.h"

namespace tailrace::test {
namespace {

using shards::test::TestChange;
using shards::test::TestJournal;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

const KeySchema kKeys{.partition = {"game_id", ScalarType::kN}};
const std::string kGolden = SourcePath("tests/golden/");

std::string KeyOf(int64_t id) { return EncodeKey(kKeys, Item{{"game_id", Value::N(id)}}).value(); }

std::string Game(int64_t id, const std::string& user) {
  return EncodeItem(Item{{"game_id", Value::N(id)},
                         {"user", Value::S(user)},
                         {"tags", Value::SS({"new", "\x1b[31mred"}).value()},
                         {"raw", Value::B(std::string("\0\xff", 2))}});
}

// A fixed history: games are inserted, changed and removed in three shards, one of which splits;
// one commit of several changes; one delete by the store itself.
void MakeHistory(TestJournal& journal) {
  const StreamId stream{1};
  const auto change = [&](int64_t id, const std::string& now, const std::string& before) {
    TestChange made{.stream = stream, .key = KeyOf(id)};
    if (!now.empty()) made.new_image = Game(id, now);
    if (!before.empty()) made.old_image = Game(id, before);
    return made;
  };
  journal.EnableStream(stream, TableId{1}, ViewType::kNewAndOldImages, 2, ShardId{1});
  for (int64_t id = 1; id <= 6; ++id) {
    journal.Commit({change(id, "ann", "")});
    journal.PassTime(1000);
  }
  journal.Split(stream, ShardId{2}, ShardId{3});
  journal.Commit({change(1, "bob", "ann"), change(2, "eve", "ann"), change(3, "", "ann")});
  journal.PassTime(60'000);
  for (int64_t id = 4; id <= 6; ++id) journal.Commit({change(id, "bob", "ann")});
  TestChange expired = change(6, "", "bob");
  expired.actor = Actor::kTimeToLive;
  journal.Commit({expired});
}

// The history's shard logs as a ShardSet writes them today.
void WriteLogs(const std::string& directory) {
  TestJournal journal;
  MakeHistory(journal);
  shards::ShardSetOptions options;
  options.segment_bytes_max = 4096 + 700;  // A few records each.
  auto set = shards::ShardSet::Open(wal::FileSystem::Posix(), directory, shards::test::kStore,
                                    Epoch{1}, {}, {}, options);
  ASSERT_OK(set);
  ASSERT_OK(shards::test::FoldFrom(journal, wal::kFirstLsn, **set));
  ASSERT_OK((*set)->Sync());
  (*set)->Close();
}

// Files as text: name and size, then 32 bytes a line in hexadecimal; lines of zeros are left out.
std::string ToText(const std::string& directory) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::string text;
  for (const std::string& path : paths) {
    const std::string bytes = ReadFile(path);
    text += path.substr(directory.size()) + " " + std::to_string(bytes.size()) + "\n";
    for (size_t at = 0; at < bytes.size(); at += 32) {
      const std::string line = bytes.substr(at, 32);
      if (line.find_first_not_of('\0') == std::string::npos) continue;
      char number[24];
      std::snprintf(number, sizeof number, "%06zx ", at);
      text += number;
      for (const char byte : line) {
        std::snprintf(number, sizeof number, "%02x", static_cast<unsigned>(byte & 0xff));
        text += number;
      }
      text += "\n";
    }
  }
  return text;
}

void FromText(const std::string& text, const std::string& directory) {
  std::istringstream lines(text);
  std::map<std::string, std::string> files;
  std::string* bytes = nullptr;
  for (std::string line; std::getline(lines, line);) {
    const size_t space = line.find(' ');
    ASSERT_NE(space, std::string::npos);
    if (line.starts_with("/")) {
      bytes = &files[line.substr(0, space)];
      bytes->assign(std::stoull(line.substr(space)), '\0');
      continue;
    }
    ASSERT_NE(bytes, nullptr);
    size_t at = std::stoull(line.substr(0, space), nullptr, 16);
    for (size_t i = space + 1; i < line.size(); i += 2) {
      bytes->at(at++) = static_cast<char>(std::stoi(line.substr(i, 2), nullptr, 16));
    }
  }
  for (const auto& [path, content] : files) {
    std::filesystem::create_directories(std::filesystem::path(directory + path).parent_path());
    WriteFile(directory + path, content);
  }
}

bool WritesGolden() { return std::getenv("TAILRACE_WRITE_GOLDEN") != nullptr; }

void ExpectGolden(const std::string& name, const std::string& now) {
  if (WritesGolden()) WriteFile(kGolden + name, now);
  EXPECT_EQ(now, ReadFile(kGolden + name)) << name;
}

// The golden logs in a directory "streams".
class Dump : public testing::Test {
 protected:
  void SetUp() override {
    if (WritesGolden()) {
      const TempDir fresh;
      std::filesystem::create_directory(fresh.path() + "/streams");
      WriteLogs(fresh.path() + "/streams");
      WriteFile(kGolden + "games_streams.txt", ToText(fresh.path()));
    }
    FromText(ReadFile(kGolden + "games_streams.txt"), directory_.path());
    streams_ = directory_.path() + "/streams";
  }

  std::vector<nlohmann::json> Json(std::vector<std::string> words) const {
    words.insert(words.begin(), {"dump", streams_, "--json"});
    const CommandResult result = RunTailrace(words);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.Json();
  }

  // "game_id:eventName" of each.
  static std::vector<std::string> Names(const std::vector<nlohmann::json>& records) {
    std::vector<std::string> names;
    for (const auto& record : records) {
      names.push_back(record["dynamodb"]["Keys"]["game_id"]["N"].get<std::string>() + ":" +
                      record["eventName"].get<std::string>());
    }
    return names;
  }

  std::vector<std::string> Segments() const {
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(streams_)) {
      if (entry.path().extension() == ".seg") paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    return paths;
  }

  const TempDir directory_;
  std::string streams_;
};

TEST_F(Dump, GoldenFilesGiveGoldenText) {
  const CommandResult text = RunTailrace({"dump", streams_});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_EQ(text.err, "");
  ExpectGolden("games_dump.txt", text.out);
  const CommandResult json = RunTailrace({"dump", streams_, "--json"});
  json.Json();
  ExpectGolden("games_dump.jsonl", json.out);
}

TEST_F(Dump, TheGoldenFilesAreWhatIsWrittenToday) {
  const TempDir fresh;
  std::filesystem::create_directory(fresh.path() + "/streams");
  WriteLogs(fresh.path() + "/streams");
  EXPECT_EQ(ToText(fresh.path()), ReadFile(kGolden + "games_streams.txt"));
}

TEST_F(Dump, RecordsComeInCommitOrderOverAllShards) {
  const auto records = Json({});
  EXPECT_THAT(Names(records),
              ElementsAre("1:INSERT", "2:INSERT", "3:INSERT", "4:INSERT", "5:INSERT", "6:INSERT",
                          "1:MODIFY", "2:MODIFY", "3:REMOVE", "4:MODIFY", "5:MODIFY", "6:MODIFY",
                          "6:REMOVE"));
  for (size_t i = 1; i < records.size(); ++i) {
    EXPECT_LT(records[i - 1]["dynamodb"]["SequenceNumber"],
              records[i]["dynamodb"]["SequenceNumber"]);
  }
  // A commit of three changes, and who expired an item.
  EXPECT_EQ(records[6]["tailrace"]["commitChanges"], 3);
  EXPECT_EQ(records[6]["tailrace"]["commit"], records[8]["tailrace"]["commit"]);
  EXPECT_FALSE(records[11].contains("userIdentity"));
  EXPECT_EQ(records[12]["userIdentity"]["PrincipalId"], "dynamodb.amazonaws.com");
}

TEST_F(Dump, PartsAreCutOut) {
  const auto all = Json({});
  const std::string third = all[2]["dynamodb"]["SequenceNumber"];
  const std::string fifth = all[4]["dynamodb"]["SequenceNumber"];
  EXPECT_THAT(Names(Json({"--from", third, "--to", fifth})),
              ElementsAre("3:INSERT", "4:INSERT", "5:INSERT"));
  EXPECT_EQ(Json({"--from", fifth}).size(), all.size() - 4);
  EXPECT_EQ(Json({"--limit", "2"}).size(), 2u);
  // The first six lie a second apart.
  EXPECT_THAT(Names(Json({"--from", "2020-05-09T00:00:02Z", "--to", "2020-05-09T00:00:03Z"})),
              ElementsAre("3:INSERT", "4:INSERT"));
  EXPECT_THAT(Names(Json({"--from", "1588982404", "--to", "1588982405"})),
              ElementsAre("5:INSERT", "6:INSERT"));
  EXPECT_EQ(Json({"--to", "2020-05-09"}).size(), all.size());
  EXPECT_EQ(Json({"--from", "2020-05-10"}).size(), 0u);
}

TEST_F(Dump, AKeysHistoryIsFound) {
  EXPECT_THAT(Names(Json({"--key", "game_id=6"})), ElementsAre("6:INSERT", "6:MODIFY", "6:REMOVE"));
  EXPECT_THAT(Names(Json({"--key", "{\"game_id\":{\"N\":\"3\"}}"})),
              ElementsAre("3:INSERT", "3:REMOVE"));
  EXPECT_EQ(Json({"--key", "game_id=99"}).size(), 0u);
  EXPECT_EQ(RunTailrace({"dump", streams_, "--key", "user=ann"}).exit_code, 2);
  EXPECT_EQ(RunTailrace({"dump", streams_, "--key", "game_id=six"}).exit_code, 2);
}

TEST_F(Dump, StreamsShardsAndSegmentsByThemselves) {
  const auto all = Json({});
  EXPECT_EQ(Json({"--stream", "1"}), all);
  std::vector<nlohmann::json> by_shard;
  for (const char* shard : {"1", "2", "3", "4"}) {
    for (const auto& record : Json({"--shard", shard})) {
      by_shard.push_back(record);
      EXPECT_THAT(record["tailrace"]["shard"].get<std::string>(),
                  testing::EndsWith(std::string("0000000") + shard));
    }
  }
  EXPECT_EQ(by_shard.size(), all.size());
  const CommandResult stream = RunTailrace({"dump", streams_ + "/stream-000000000001/", "--json"});
  EXPECT_EQ(stream.Json(), all);
  std::vector<std::string> words = {"dump", "--json"};
  for (const std::string& path : Segments()) words.push_back(path);
  EXPECT_GE(words.size(), 6u);
  EXPECT_EQ(RunTailrace(words).Json(), all);
  EXPECT_EQ(RunTailrace({"dump", streams_, "--shard", "9"}).exit_code, 6);
  EXPECT_EQ(RunTailrace({"dump", directory_.path() + "/nothing"}).exit_code,
            2);  // No --store for a table.
  WriteFile(directory_.path() + "/letter", "dear ann");
  EXPECT_EQ(RunTailrace({"dump", directory_.path() + "/letter"}).exit_code, 2);
}

TEST_F(Dump, ASegmentWithoutItsShardStillShowsItsImages) {
  const std::string copy =
      directory_.path() + "/" + std::filesystem::path(Segments()[0]).filename().string();
  std::filesystem::copy_file(Segments()[0], copy);
  const CommandResult result = RunTailrace({"dump", copy, "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  ASSERT_FALSE(result.Json().empty());
  EXPECT_TRUE(result.Json()[0]["dynamodb"]["Keys"].contains("storage_key"));
  EXPECT_EQ(result.Json()[0]["dynamodb"]["NewImage"]["user"]["S"], "ann");
}

TEST_F(Dump, DamageIsToldAndPassedOver) {
  const size_t all = Json({}).size();
  const std::string path = Segments()[0];
  std::string bytes = ReadFile(path);
  bytes[4096 + 100] = static_cast<char>(bytes[4096 + 100] ^ 1);
  WriteFile(path, bytes);
  const CommandResult result = RunTailrace({"dump", streams_, "--json"});
  EXPECT_EQ(result.exit_code, 4);
  EXPECT_THAT(result.err, StartsWith("tailrace: " + path + ": offset 4096: "));
  const auto lines = result.Json();
  const auto damages =
      std::count_if(lines.begin(), lines.end(), [](const auto& l) { return l.contains("damage"); });
  EXPECT_EQ(damages, 1);
  EXPECT_EQ(lines.size(), all);  // One record less, one damage more.
}

TEST_F(Dump, AnUnfinishedTailIsNoDamage) {
  // The last segment of the last shard is the one that was written to.
  const std::string path = Segments().back();
  WriteFile(path, ReadFile(path) + std::string(100, '\x7f'));
  const CommandResult result = RunTailrace({"dump", streams_});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("unfinished tail"));
}

// ------------------------------------------------------------------------------------- journal

// Over a copy of a store that is open: closing it would drain the journal.
class JournalCommand : public testing::Test {
 protected:
  void SetUp() override {
    const std::string live = directory_.path() + "/live";
    auto store = Store::Open(live, {});
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    const Item key{{"id", Value::N(1)}};
    const auto user = [](const char* name) {
      return Item{{"id", Value::N(1)}, {"user", Value::S(name)}};
    };
    ASSERT_TRUE((*store)
                    ->CreateTable({.name = "Games",
                                   .keys = {.partition = {"id", ScalarType::kN}},
                                   .stream = ViewType::kKeysOnly})
                    .ok());
    ASSERT_TRUE((*store)->Put("Games", user("ann")).ok());
    ASSERT_TRUE((*store)->Put("Games", user("bob")).ok());
    ASSERT_TRUE((*store)->Delete("Games", key).ok());
    CopyStore(live, run_.store());
  }

  const TempDir directory_;
  const StoreCommand run_{directory_.path() + "/store"};
};

TEST_F(JournalCommand, ShowsEveryKindOfFrame) {
  const auto frames = run_.Json({"journal"});
  std::map<std::string, int> types;
  uint64_t last_end = 0;
  for (const auto& frame : frames) {
    ++types[frame["type"]];
    EXPECT_GE(frame["lsn"].get<uint64_t>(), last_end);
    EXPECT_LE(frame["mark"].get<uint64_t>(), frame["lsn"].get<uint64_t>());
    last_end = frame["end"];
  }
  EXPECT_EQ(types["commit"], 3);
  EXPECT_EQ(types["catalogue"], 1);
  EXPECT_EQ(types["epoch"], 1);  // One an opening.
  EXPECT_EQ(types["close"], 0);
  EXPECT_GE(types["clock"], 1);
}

TEST_F(JournalCommand, ShowsWhatCommitsChange) {
  const auto commits = run_.Json({"journal", "--type", "commit"});
  ASSERT_EQ(commits.size(), 3u);
  const auto& inserted = commits[0]["changes"][0];
  EXPECT_EQ(inserted["kind"], "INSERT");
  EXPECT_EQ(inserted["table"], "Games");
  EXPECT_EQ(inserted["keys"]["id"]["N"], "1");
  EXPECT_EQ(inserted["new"]["user"]["S"], "ann");
  EXPECT_EQ(inserted["stream"], 1);
  const auto& changed = commits[1]["changes"][0];
  EXPECT_EQ(changed["old"]["user"]["S"], "ann");
  EXPECT_EQ(changed["new"]["user"]["S"], "bob");
  EXPECT_FALSE(commits[2]["changes"][0].contains("new"));
  const std::string text = run_({"journal", "--type", "commit"}).out;
  EXPECT_THAT(text, HasSubstr("REMOVE  Games {id: 1} to stream 1"));
}

TEST_F(JournalCommand, PartsAreCutOut) {
  const auto commits = run_.Json({"journal", "--type", "commit"});
  const std::string second = std::to_string(commits[1]["lsn"].get<uint64_t>());
  EXPECT_EQ(run_.Json({"journal", "--type", "commit", "--from", second, "--to", second}).size(),
            1u);
  const std::string number = commits[1]["changes"][0]["sequence"];
  EXPECT_EQ(run_.Json({"journal", "--type", "commit", "--from", number}).size(), 2u);
  EXPECT_EQ(run_.Json({"journal", "--limit", "2"}).size(), 2u);
  // The epoch's first frame and its padding have no time of their own.
  EXPECT_EQ(run_.Json({"journal", "--to", "2020-01-01"}).size(), 2u);
  EXPECT_EQ(run_({"journal", "--from", "whenever"}).exit_code, 2);
  EXPECT_EQ(run_({"journal", "--type", "nonsense"}).exit_code, 2);
}

TEST_F(JournalCommand, ShowsSegments) {
  const auto segments = run_.Json({"journal", "--segments"});
  ASSERT_FALSE(segments.empty());
  EXPECT_GT(segments[0]["frames"].get<uint64_t>(), 0u);
  EXPECT_TRUE(std::filesystem::exists(segments[0]["segment"].get<std::string>()));
  EXPECT_EQ(RunTailrace({"journal", run_.store() + "/journal", "--segments", "--json"}).Json(),
            segments);
  EXPECT_THAT(run_({"journal", "--segments"}).out, HasSubstr("frames end"));
  EXPECT_EQ(RunTailrace({"journal", directory_.path()}).exit_code, 6);
  EXPECT_EQ(RunTailrace({"journal", directory_.path() + "/none"}).exit_code, 6);
}

}  // namespace
}  // namespace tailrace::test
