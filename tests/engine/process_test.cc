// A store and the process it lives in: children, owners, the end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <regex>
#include <thread>

#include "engine/consumer.h"
#include "engine/durable_reader.h"
#include "engine/local_server.h"
#include "engine/merged_reader.h"
#include "engine/store_follower.h"
#include "engine/table_as_of.h"
#include "tests/engine/store_fixture.h"
#include "tests/support/scale.h"
#include "tests/support/test_paths.h"

namespace tailrace::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

using ProcessTest = StoreTest;
INSTANTIATE_TEST_SUITE_P(Durabilities, ProcessTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

constexpr unsigned kChildSecondsMax = kSanitized ? 15 : 60;
// The address sanitizer's allocator (of clang 14) is no good in a child when another thread of the
// parent was in it at the fork: the child waits for ever for a lock that is not ours.
constexpr int kChildrenMax = kSanitized ? 4 : 1;
constexpr id_t kNobody = 65534;

// What `task` says in a child, or how the child ended instead. A child that waits for ever is
// ended.
std::string InOneChild(const std::function<std::string()>& task) {
  int answers[2];
  if (::pipe(answers) != 0) return "no pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(kChildSecondsMax);
    const std::string answer = task();
    (void)!::write(answers[1], answer.data(), answer.size());
    ::_exit(0);
  }
  ::close(answers[1]);
  std::string answer;
  char bytes[4096];
  for (ssize_t got = 0; (got = ::read(answers[0], bytes, sizeof bytes)) > 0;) {
    answer.append(bytes, static_cast<size_t>(got));
  }
  ::close(answers[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? answer : "ended by signal " + std::to_string(WTERMSIG(status));
}

std::string InChild(const std::function<std::string()>& task) {
  const std::string hung = "ended by signal " + std::to_string(SIGALRM);
  std::string answer = hung;
  for (int child = 0; child < kChildrenMax && answer == hung; ++child) answer = InOneChild(task);
  return answer;
}

using Calls = std::map<std::string, std::function<Status()>>;

// What is open on a store besides, made by the process that opened it. The worker holds leases and
// has handed out a batch; the merged reader has read ahead; one worker is finished.
struct Users {
  std::unique_ptr<DurableReader> reader;
  std::unique_ptr<MergedReader> merged;
  std::unique_ptr<ConsumerWorker> worker;
  ConsumerBatch batch;
  std::unique_ptr<ConsumerWorker> finished;
  std::unique_ptr<TableAsOf> past;
};

void MakeUsers(Store& store, StreamId stream, Users& users) {
  users.reader = DurableReader::Open(store, "reader", stream, {}).value();
  users.merged = MergedReader::Open(store, {stream}, {.records_max = 1}).value();
  ASSERT_OK(users.merged->Next(0));
  users.worker = ConsumerWorker::Open(store, "consumer", stream, "worker", {}).value();
  users.batch = users.worker->Next(60'000).value().value();
  users.past = TableAsOf::Open(store, "UserGames", Moment::AtTime(UINT64_MAX), {}).value();
  ASSERT_OK(store.CreateTable(
      {.name = "Ended", .keys = kGameKeys, .stream = ViewType::kNewAndOldImages}));
  const StreamId ended = store.DescribeTable("Ended")->latest_stream.value();
  ASSERT_OK(store.DisableStream("Ended"));
  users.finished = ConsumerWorker::Open(store, "finished", ended, "worker", {}).value();
  while (!users.finished->finished()) {
    const auto batch = users.finished->Next(0);
    ASSERT_OK(batch);
    if (*batch) {
      ASSERT_OK(users.finished->Checkpoint(**batch));
    }
  }
  ASSERT_OK(store.DropTable("Ended"));
}

// The calls of what is open on a store, and those that open it, by name.
Calls CallsOfUsers(Store& store, const std::string& directory, StreamId stream, Users& users) {
  return {
      {"DurableReader::Open",
       [&, stream] { return DurableReader::Open(store, "child", stream, {}).status(); }},
      {"DurableReader::Forget", [&] { return DurableReader::Forget(store, "reader"); }},
      {"DurableReader::Next", [&] { return users.reader->Next(60'000).status(); }},
      {"DurableReader::Checkpoint", [&] { return users.reader->Checkpoint(users.batch.shard); }},
      {"MergedReader::Open",
       [&, stream] { return MergedReader::Open(store, {stream}, {}).status(); }},
      {"MergedReader::Next", [&] { return users.merged->Next(60'000).status(); }},
      {"ConsumerWorker::Open",
       [&, stream] { return ConsumerWorker::Open(store, "child", stream, "w", {}).status(); }},
      {"ConsumerWorker::Next", [&] { return users.worker->Next(60'000).status(); }},
      {"ConsumerWorker::Next, finished", [&] { return users.finished->Next(60'000).status(); }},
      {"ConsumerWorker::Checkpoint",
       [&] { return users.worker->Checkpoint(users.batch).status(); }},
      {"ConsumerWorker::Checkpoint, no lease",
       [&] { return users.finished->Checkpoint(users.batch).status(); }},
      {"ConsumerWorker::CheckpointWith",
       [&] { return users.worker->CheckpointWith(users.batch, {}).status(); }},
      {"ConsumerWorker::Fail", [&] { return users.worker->Fail(users.batch, "child").status(); }},
      {"ConsumerWorker::Fail, no lease",
       [&] { return users.finished->Fail(users.batch, "child").status(); }},
      {"ConsumerWorker::KeepLeases", [&] { return users.worker->KeepLeases(); }},
      {"ConsumerWorker::Release", [&] { return users.worker->Release(); }},
      {"ListConsumers", [&] { return ListConsumers(store).status(); }},
      {"DescribeConsumer", [&] { return DescribeConsumer(store, "consumer").status(); }},
      {"ForgetConsumer", [&] { return ForgetConsumer(store, "consumer"); }},
      {"TableAsOf::Open",
       [&] {
         return TableAsOf::Open(store, "UserGames", Moment::AtTime(UINT64_MAX), {}).status();
       }},
      {"TableAsOf::Get", [&] { return users.past->Get(GameKey(1)).status(); }},
      {"TableAsOf::Scan", [&] { return users.past->Scan({}).status(); }},
      {"LocalServer::Start",
       [&, directory] { return LocalServer::Start(store, directory).status(); }},
  };
}

// Every call of a store, by name.
std::map<std::string, std::function<Status(Store&)>> EveryCall(StreamId stream,
                                                               const Position& position) {
  const std::string table = "UserGames";
  const Item key = GameKey(1);
  const Updater updater = [](std::optional<Item>& item) {
    item.reset();
    return Status::Ok();
  };
  return {
      {"CreateTable",
       [](Store& s) { return s.CreateTable({.name = "New", .keys = kGameKeys}).status(); }},
      {"DropTable", [=](Store& s) { return s.DropTable(table); }},
      {"DescribeTable", [=](Store& s) { return s.DescribeTable(table).status(); }},
      {"ListTables", [](Store& s) { return s.ListTables().status(); }},
      {"CreateIndex",
       [=](Store& s) {
         return s.CreateIndex(table, {"by_user", {{"user_id", ScalarType::kS}}}).status();
       }},
      {"DropIndex", [=](Store& s) { return s.DropIndex(table, "by_user"); }},
      {"UpdateTimeToLive", [=](Store& s) { return s.UpdateTimeToLive(table, "expires"); }},
      {"Put", [=](Store& s) { return s.Put(table, Game(1, "child")).status(); }},
      {"Delete", [=](Store& s) { return s.Delete(table, key).status(); }},
      {"Update", [=](Store& s) { return s.Update(table, key, updater).status(); }},
      {"Transact",
       [=](Store& s) {
         return s.Transact({WriteRequest::Put(table, Game(1, "child"))}, {.idempotency_token = "t"})
             .status();
       }},
      {"BatchWrite",
       [=](Store& s) {
         return s.BatchWrite({WriteRequest::Put(table, Game(1, "child"))}, WaitFor::kSafe).status();
       }},
      {"Wait", [](Store& s) { return s.Wait({}); }},
      {"WaitFannedOut", [](Store& s) { return s.WaitFannedOut({}); }},
      {"Get", [=](Store& s) { return s.Get(table, key).status(); }},
      {"TransactGet",
       [=](Store& s) {
         return s.TransactGet({{table, key}}).status();
       }},
      {"BatchGet",
       [=](Store& s) {
         return s.BatchGet({{table, key}}).status();
       }},
      {"Query", [=](Store& s) { return s.Query(table, {.partition = Value::N(1)}).status(); }},
      {"Scan", [=](Store& s) { return s.Scan(table, {}).status(); }},
      {"EnableStream",
       [=](Store& s) { return s.EnableStream(table, ViewType::kKeysOnly).status(); }},
      {"DisableStream", [=](Store& s) { return s.DisableStream(table); }},
      {"ListStreams", [](Store& s) { return s.ListStreams().status(); }},
      {"DescribeStream", [=](Store& s) { return s.DescribeStream(stream).status(); }},
      {"SeekShard",
       [=](Store& s) { return s.SeekShard(stream, position.shard, StartAt::kLatest).status(); }},
      {"ReadShard", [=](Store& s) { return s.ReadShard(position).status(); }},
      {"ReadEncoded",
       [=](Store& s) {
         EncodedPage page;
         return s.ReadEncoded(position, {}, page);
       }},
      {"WaitShard", [=](Store& s) { return s.WaitShard(position, 60'000).status(); }},
      {"WaitShards", [=](Store& s) { return s.WaitShards({position}, 60'000).status(); }},
      {"SplitShard", [=](Store& s) { return s.SplitShard(stream, position.shard).status(); }},
      {"MergeShards",
       [=](Store& s) {
         return s.MergeShards(stream, position.shard, ShardId{position.shard.value + 1}).status();
       }},
      {"Checkpoint", [](Store& s) { return s.Checkpoint(); }},
      {"RunMaintenance", [](Store& s) { return s.RunMaintenance(); }},
      {"ConfirmDowntime", [](Store& s) { return s.ConfirmDowntime(); }},
      {"Stats", [](Store& s) { return s.Stats().status(); }},
      {"Backup", [](Store& s) { return s.Backup("/nowhere/backup").status(); }},
      {"Close", [](Store& s) { return s.Close(); }},
  };
}

TEST(ProcessTestItself, KnowsEveryCallOfAStore) {
  std::ifstream file(SourcePath("engine/store.h"));
  const std::string header((std::istreambuf_iterator<char>(file)), {});
  const std::regex declared(R"(\n  virtual [^;~(]*?(\w+)\()");
  const auto calls = EveryCall({}, {});
  size_t found = 0;
  for (auto match = std::sregex_iterator(header.begin(), header.end(), declared);
       match != std::sregex_iterator(); ++match, ++found) {
    EXPECT_EQ(calls.count((*match)[1]), 1u) << (*match)[1] << " is missing here";
  }
  EXPECT_GE(found, 30u);
}

// Which of the calls were answered otherwise than with kFailedPrecondition and this in the message.
std::string WronglyAnswered(const Calls& calls, const std::string& due) {
  std::string wrong;
  for (const auto& [name, call] : calls) {
    const Status status = call();
    if (status.code() != StatusCode::kFailedPrecondition ||
        status.message().find(due) == std::string::npos) {
      wrong += name + ": " + status.ToString() + "\n";
    }
  }
  return wrong;
}

Calls On(Store& store, StreamId stream, const Position& position) {
  Calls calls;
  for (const auto& [name, call] : EveryCall(stream, position)) {
    calls[name] = [&store, call = call] { return call(store); };
  }
  return calls;
}

TEST_P(ProcessTest, AChildMayDoNothingWithItsParentsStore) {
  Open();
  MakeGames(ViewType::kNewAndOldImages);
  ASSERT_OK(store_->Put("UserGames", Game(1, "before")));
  const StreamId stream = LatestStream("UserGames");
  const ShardId shard = store_->DescribeStream(stream)->shards[0].id;
  const Position position = store_->SeekShard(stream, shard, StartAt::kTrimHorizon).value();
  Users users;
  MakeUsers(*store_, stream, users);

  // The parent writes on while its children begin and end: they inherit locks in any state.
  std::atomic<bool> stop{false};
  int64_t written = 1;
  std::thread writer([&] {
    while (!stop) ASSERT_OK(store_->Put("UserGames", Game(++written, "parent")));
  });
  for (int child = 0; child < 10; ++child) {
    EXPECT_EQ(InChild([&] {
                return WronglyAnswered(On(*store_, stream, position), "fork") +
                       WronglyAnswered(CallsOfUsers(*store_, directory_, stream, users), "fork");
              }),
              "");
    EXPECT_EQ(InChild([&] {
                users = {};
                store_.reset();  // As when the child leaves the scope that holds the store.
                return std::string("left alone");
              }),
              "left alone");
    EXPECT_THAT(InChild([&] { return InChild([&] { return store_->Checkpoint().ToString(); }); }),
                HasSubstr("fork"));
  }
  stop = true;
  writer.join();

  // Nothing came from the children, nothing of the parent's is missing.
  EXPECT_EQ(ListConsumers(*store_)->size(), 2u);
  EXPECT_EQ(*users.worker->Checkpoint(users.batch), CheckpointOutcome::kStored);
  users = {};
  const auto whole = [&] {
    EXPECT_EQ(ReadTable(*store_, "UserGames").size(), static_cast<size_t>(written));
    EXPECT_EQ(*store_->Get("UserGames", GameKey(1)), Game(1, "before"));
    EXPECT_EQ(ReadStream(*store_, stream).size(), static_cast<size_t>(written));
    EXPECT_EQ(store_->ListTables()->size(), 1u);
  };
  whole();
  Reopen();
  whole();
}

TEST_P(ProcessTest, ACallableMayCallNothing) {
  Open();
  MakeGames(ViewType::kNewAndOldImages);
  ASSERT_OK(store_->Put("UserGames", Game(1, "before")));
  const StreamId stream = LatestStream("UserGames");
  const ShardId shard = store_->DescribeStream(stream)->shards[0].id;
  const Position position = store_->SeekShard(stream, shard, StartAt::kTrimHorizon).value();
  Users users;
  MakeUsers(*store_, stream, users);
  std::string wrong = "it was not called";
  const Condition condition = [&](const Item*) {
    wrong = WronglyAnswered(On(*store_, stream, position), "called the store") +
            WronglyAnswered(CallsOfUsers(*store_, directory_, stream, users), "called the store");
    return true;
  };
  ASSERT_OK(store_->Put("UserGames", Game(2, "after"), {.condition = condition}));
  EXPECT_EQ(wrong, "");
  EXPECT_EQ(*users.worker->Checkpoint(users.batch), CheckpointOutcome::kStored);
}

// A child may not use its parent's follower, whose locks another thread may have held at the fork;
// one of its own works.
TEST_P(ProcessTest, AFollowerStaysInItsProcess) {
  Open();
  MakeGames(ViewType::kNewAndOldImages);
  ASSERT_OK(store_->Put("UserGames", Game(1, "before")));
  ASSERT_OK(store_->WaitFannedOut({store_->Stats()->safe}));
  const StreamId stream = LatestStream("UserGames");
  const ShardId shard = store_->DescribeStream(stream)->shards[0].id;
  const auto follower = StoreFollower::Open(directory_).value();
  const Position position = follower->SeekShard(stream, shard, StartAt::kTrimHorizon).value();
  const Calls calls = {
      {"ListStreams", [&] { return follower->ListStreams().status(); }},
      {"DescribeStream", [&] { return follower->DescribeStream(stream).status(); }},
      {"SeekShard", [&] { return follower->SeekShard(stream, shard, StartAt::kLatest).status(); }},
      {"ReadShard", [&] { return follower->ReadShard(position).status(); }},
      {"WaitShards", [&] { return follower->WaitShards({position}, 60'000).status(); }},
      {"Published", [&] { return follower->Published().status(); }},
      {"OwnerLives", [&] { return follower->OwnerLives().status(); }},
  };
  EXPECT_EQ(InChild([&] { return WronglyAnswered(calls, "fork"); }), "");
  EXPECT_EQ(InChild([&] {
              const auto own = StoreFollower::Open(directory_);
              if (!own.ok()) return own.status().ToString();
              const auto streams = (*own)->ListStreams();
              return streams.ok() ? std::to_string(streams->size()) : streams.status().ToString();
            }),
            "1");
}

TEST_P(ProcessTest, AChildCannotOpenAStoreEither) {
  const std::string other = temp_.path() + "/other";
  const auto open_both = [&] {
    const Status same = Store::Open(directory_, options_).status();
    const Status own = Store::Open(other, options_).status();
    return same == own ? own.ToString() : same.ToString() + "\n" + own.ToString();
  };
  Open();
  EXPECT_THAT(InChild(open_both), AllOf(StartsWith("failed precondition"), HasSubstr("exec")));
  Close();
  EXPECT_THAT(InChild(open_both), AllOf(StartsWith("failed precondition"), HasSubstr("exec")));
  EXPECT_FALSE(fs::exists(other));
  Open();
}

TEST_P(ProcessTest, ClosingKeepsWritesThatNobodyWaitedFor) {
  constexpr int64_t kWrites = 500;
  Open();
  MakeGames(ViewType::kNewImage);
  const StreamId stream = LatestStream("UserGames");
  for (int64_t id = 1; id <= kWrites; ++id) {
    ASSERT_OK(store_->Put("UserGames", Game(id, "x"), {.wait = WaitFor::kNothing}));
  }
  Reopen();
  EXPECT_TRUE(store_->Stats()->clean_close);
  EXPECT_EQ(ReadTable(*store_, "UserGames").size(), static_cast<size_t>(kWrites));
  EXPECT_EQ(ReadStream(*store_, stream).size(), static_cast<size_t>(kWrites));
  // The destructor does the same.
  ASSERT_OK(store_->Put("UserGames", Game(kWrites + 1, "x"), {.wait = WaitFor::kNothing}));
  store_.reset();
  Open();
  EXPECT_EQ(ReadTable(*store_, "UserGames").size(), static_cast<size_t>(kWrites) + 1);
}

TEST_P(ProcessTest, ATokenIsOfOneOpening) {
  Open();
  MakeGames(std::nullopt);
  const auto written = store_->Put("UserGames", Game(1, "a"), {.wait = WaitFor::kNothing}).value();
  ASSERT_OK(store_->Wait(written.token));
  ASSERT_OK(store_->Wait(written.token));  // As often as one likes.
  const CommitToken never_given{Lsn{written.token.end.value + (1 << 30)}};
  EXPECT_EQ(store_->Wait(never_given).code(), StatusCode::kInvalidArgument);
  ASSERT_OK(store_->Close());
  EXPECT_EQ(store_->Wait(written.token).code(), StatusCode::kClosed);
}

// ---- Whose directory it is ----

TEST_P(ProcessTest, WhatAStoreMakesIsItsOwnersAlone) {
  const mode_t old = ::umask(0);
  Open();
  MakeGames(ViewType::kNewAndOldImages);
  ASSERT_OK(store_->Put("UserGames", Game(1, "a")));
  ASSERT_OK(store_->Checkpoint());
  Close();
  ::umask(old);
  int files = 0;
  EXPECT_EQ(fs::status(directory_).permissions(), fs::perms::owner_all);
  for (const auto& entry : fs::recursive_directory_iterator(directory_)) {
    const auto due = entry.is_directory() ? fs::perms::owner_all
                                          : fs::perms::owner_read | fs::perms::owner_write;
    EXPECT_EQ(entry.status().permissions(), due) << entry.path();
    ++files;
  }
  EXPECT_GT(files, 10);
}

TEST_P(ProcessTest, ADirectoryThatOthersMayChangeIsRefused) {
  Open();
  MakeGames(std::nullopt);
  Close();
  const auto refusal = [&](const std::string& directory) {
    const Status status = Store::Open(directory, options_).status();
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status.ToString();
    EXPECT_THAT(status.message(), HasSubstr(temp_.path()));
    return status.message();
  };
  const std::string link = temp_.path() + "/link";
  fs::create_directory_symlink(directory_, link);
  EXPECT_THAT(refusal(link), HasSubstr("symbolic link"));
  EXPECT_THAT(refusal(link + "/"), HasSubstr("symbolic link"));
  for (const fs::perms write : {fs::perms::group_write, fs::perms::others_write}) {
    fs::permissions(directory_, fs::perms::owner_all | write);
    EXPECT_THAT(refusal(directory_), HasSubstr("chmod go-w"));
  }
  // Others may know that it is there.
  fs::permissions(directory_, fs::perms::owner_all | fs::perms::others_read);
  Open();
  EXPECT_EQ(store_->ListTables()->size(), 1u);
}

TEST_P(ProcessTest, ADirectoryOfAnotherUserIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a directory away";
  Open();
  Close();
  ASSERT_EQ(::chmod(temp_.path().c_str(), 0755), 0);
  // A user on root's directory.
  const std::string user_says = InChild([&]() -> std::string {
    if (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0) return "cannot become another user";
    return options_.fs->CheckPrivate(directory_).ToString();
  });
  EXPECT_THAT(user_says, HasSubstr("belongs to the user 0 and this process runs as 65534"));
  // Root on a user's directory: what root made there would lock the user out.
  ASSERT_EQ(::chown(directory_.c_str(), kNobody, kNobody), 0);
  const Status root_sees = Store::Open(directory_, options_).status();
  EXPECT_EQ(root_sees.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(root_sees.message(), HasSubstr("belongs to the user 65534"));
  ASSERT_EQ(::chown(directory_.c_str(), 0, 0), 0);
  Open();
}

}  // namespace
}  // namespace tailrace::test
