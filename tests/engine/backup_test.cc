// Backups: what is restored is the store at one moment, and damage, interruptions and mistakes are
// told apart from it.
#include "engine/backup.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <thread>

#include "engine/backup_files.h"
#include "engine/consumer.h"
#include "engine/durable_reader.h"
#include "engine/local_server.h"
#include "engine/local_store.h"
#include "tests/engine/store_fixture.h"
#include "tests/support/file_bytes.h"

namespace tailrace::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

wal::FileSystem& Files() { return wal::FileSystem::Posix(); }

std::vector<std::string> FilesBelow(const std::string& directory) {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

bool SameRecord(const ChangeRecord& a, const ChangeRecord& b) {
  return a.kind == b.kind && a.sequence == b.sequence && a.commit == b.commit &&
         a.ordinal == b.ordinal && a.wall_ms == b.wall_ms && a.keys == b.keys &&
         a.new_image == b.new_image && a.old_image == b.old_image;
}

class BackupTest : public StoreTest {
 protected:
  // Tables with and without streams and indexes, a shard that was split, a table that was dropped.
  void Fill(int64_t games) {
    MakeGames(ViewType::kNewAndOldImages);
    ASSERT_OK(store_->CreateTable({.name = "Scores", .keys = kScoreKeys}));
    ASSERT_OK(store_->CreateTable({.name = "Gone", .keys = kGameKeys}));
    ASSERT_OK(store_->CreateIndex(
        "UserGames", {.name = "ByUser", .keys = {{"user_id", ScalarType::kS}, std::nullopt}}));
    for (int64_t id = 0; id < games; ++id) {
      ASSERT_OK(store_->Put("UserGames", Game(id, "user " + std::to_string(id % 9)),
                            {.wait = WaitFor::kNothing}));
    }
    ASSERT_OK(store_->SplitShard(LatestStream("UserGames"), ShardId{1}));
    ASSERT_OK(store_->Put("Gone", Game(1, "x")));
    ASSERT_OK(store_->DropTable("Gone"));
    for (int64_t id = 0; id < games / 4; ++id) {
      ASSERT_OK(store_->Delete("UserGames", GameKey(id * 3), {.wait = WaitFor::kNothing}));
    }
    ASSERT_OK(store_->Put("Scores", Item{{"user", Value::S("ann")}, {"at", Value::N(7)}}));
    ASSERT_OK(store_->RunMaintenance());
  }

  Result<std::unique_ptr<Store>> OpenRestored() { return Store::Open(restored_, options_); }

  const std::string backup_ = temp_.path() + "/backup";
  const std::string restored_ = temp_.path() + "/restored";
};

INSTANTIATE_TEST_SUITE_P(Durabilities, BackupTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

TEST_P(BackupTest, ARestoredStoreIsTheStoreAtTheCut) {
  Open();
  Fill(300);
  const auto games = ReadTable(*store_, "UserGames");
  const StreamId stream = LatestStream("UserGames");
  const auto records = ReadStream(*store_, stream);
  const auto taken = store_->Backup(backup_);
  ASSERT_OK(taken);
  EXPECT_EQ(taken->tables, 2u);
  EXPECT_GE(taken->items, 2 * games.size() + 1);
  // What comes later is not in it.
  ASSERT_OK(store_->Put("UserGames", Game(5000, "late")));
  Close();

  ASSERT_OK(VerifyBackup(Files(), backup_));
  const auto made = RestoreBackup(Files(), backup_, restored_, {.clock = &clock_});
  ASSERT_OK(made);
  EXPECT_EQ(made->backup.items, taken->items);
  EXPECT_NE(made->store_id, taken->store_id);
  for (int opening = 0; opening < 2; ++opening) {
    const auto store = OpenRestored();
    ASSERT_OK(store);
    EXPECT_EQ((*store)->Stats()->store_id, made->store_id);
    EXPECT_EQ(ReadTable(**store, "UserGames"), games);
    EXPECT_EQ(ReadTable(**store, "Scores").size(), 1u);
    const auto restored = ReadStream(**store, stream);
    ASSERT_EQ(restored.size(), records.size());
    for (size_t i = 0; i < records.size(); ++i) EXPECT_TRUE(SameRecord(restored[i], records[i]));
    const auto found =
        (*store)->Query("UserGames", {.partition = Value::S("user 1"), .index = "ByUser"});
    ASSERT_OK(found);
    EXPECT_GT(found->items.size(), 10u);
    ASSERT_OK((*store)->Close());
  }
  // It goes on: numbers rise, and the streams take what is written.
  const auto store = OpenRestored();
  ASSERT_OK(store);
  const auto put = (*store)->Put("UserGames", Game(6000, "new"));
  ASSERT_OK(put);
  EXPECT_GT(put->sequence.value, taken->cut.value);
  EXPECT_EQ(ReadStream(**store, stream).size(), records.size() + 1);
}

TEST_P(BackupTest, PositionsOfTheOldStoreAreRefused) {
  Open();
  Fill(20);
  const StreamId stream = LatestStream("UserGames");
  const auto shard = store_->DescribeStream(stream)->shards.front().id;
  const auto position = store_->SeekShard(stream, shard, StartAt::kTrimHorizon);
  ASSERT_OK(position);
  {
    const auto reader = DurableReader::Open(*store_, "audit", stream, {});
    ASSERT_OK(reader);
    const auto batch = (*reader)->Next(10'000);
    ASSERT_OK(batch);
    ASSERT_TRUE(batch->has_value());
    ASSERT_OK((*reader)->Checkpoint((*batch)->shard));
  }
  {
    const auto worker = ConsumerWorker::Open(*store_, "totals", stream, "w", {});
    ASSERT_OK(worker);
    const auto batch = (*worker)->Next(10'000);
    ASSERT_OK(batch);
    ASSERT_TRUE(batch->has_value());
    ASSERT_OK((*worker)->Checkpoint(**batch));
  }
  ASSERT_OK(store_->Backup(backup_));
  ASSERT_OK(RestoreBackup(Files(), backup_, restored_, {.clock = &clock_}));
  const auto store = OpenRestored();
  ASSERT_OK(store);
  EXPECT_EQ((*store)->ReadShard(*position).status().code(), StatusCode::kInvalidArgument);
  // Checkpoints came along, and are of the old store; forgotten, they begin anew.
  EXPECT_EQ(DurableReader::Open(**store, "audit", stream, {}).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(ConsumerWorker::Open(**store, "totals", stream, "w", {}).status().code(),
            StatusCode::kInvalidArgument);
  ASSERT_OK(ForgetConsumer(**store, "totals"));
  const auto worker = ConsumerWorker::Open(**store, "totals", stream, "w", {});
  ASSERT_OK(worker);
  EXPECT_TRUE((*worker)->Next(10'000).value().has_value());
  ASSERT_OK(DurableReader::Forget(**store, "audit"));
  const auto reader = DurableReader::Open(**store, "audit", stream, {});
  ASSERT_OK(reader);
  EXPECT_TRUE((*reader)->Next(10'000).value().has_value());
}

// Each write raises a counter; a backup in the middle of them must have table and stream of the
// same moment, with everything that was acknowledged before it began.
TEST_P(BackupTest, ABackupOfAStoreInUseIsOfOneMoment) {
  Open();
  MakeGames(ViewType::kNewAndOldImages);
  const StreamId stream = LatestStream("UserGames");
  std::atomic<int64_t> acknowledged{-1};
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (int64_t i = 0; !done.load(); ++i) {
      EXPECT_OK(store_->Put("UserGames", Game(i % 50, std::to_string(i) + std::string(500, '.'))));
      acknowledged.store(i);
    }
  });
  while (acknowledged.load() < 200) std::this_thread::yield();
  for (int round = 0; round < 3; ++round) {
    const int64_t before = acknowledged.load();
    const std::string backup = backup_ + std::to_string(round);
    const std::string restored = restored_ + std::to_string(round);
    EXPECT_OK(store_->Backup(backup));
    EXPECT_OK(RestoreBackup(Files(), backup, restored, {.clock = &clock_}));
    const auto store = Store::Open(restored, options_);
    EXPECT_OK(store);
    if (!store.ok()) break;
    std::map<std::string, Item> fold;
    int64_t newest = -1;
    for (const ChangeRecord& record : ReadStream(**store, stream)) {
      fold.insert_or_assign(record.keys.GetNumber("game_id")->ToString(), *record.new_image);
      newest = std::max<int64_t>(newest, std::stoll(*record.new_image->GetString("user_id")));
    }
    EXPECT_GE(newest, before);
    const auto items = ReadTable(**store, "UserGames");
    EXPECT_EQ(items.size(), fold.size());
    for (const Item& item : items) EXPECT_EQ(item, fold[item.GetNumber("game_id")->ToString()]);
  }
  done.store(true);
  writer.join();
}

TEST_P(BackupTest, WhatExpiresMeanwhileIsKeptForIt) {
  options_.shard_segment_bytes_max = 8 << 10;
  Open();
  MakeGames(ViewType::kNewAndOldImages);
  for (int64_t id = 0; id < 1500; ++id) {
    ASSERT_OK(
        store_->Put("UserGames", Game(id, std::string(1000, 'x')), {.wait = WaitFor::kNothing}));
  }
  ASSERT_OK(store_->Put("UserGames", Game(1500, "the last")));
  const StreamId stream = LatestStream("UserGames");
  const auto records = ReadStream(*store_, stream);
  ASSERT_EQ(records.size(), 1501u);
  bool expired = false;
  const auto taken = store_->Backup(backup_, {.on_progress = [&](const BackupProgress&) {
                                      if (!std::exchange(expired, true)) {
                                        clock_.Advance(25ull * 3600'000);
                                        EXPECT_OK(store_->RunMaintenance());
                                        EXPECT_OK(store_->Put("UserGames", Game(1, "after")));
                                        EXPECT_OK(store_->Checkpoint());
                                        EXPECT_EQ(ReadStream(*store_, stream).size(), 1u);
                                      }
                                      return true;
                                    }});
  ASSERT_OK(taken);
  ASSERT_TRUE(expired);
  const uint64_t held_bytes = store_->Stats()->shards[0].bytes;
  ASSERT_OK(store_->Put("UserGames", Game(2, "after")));
  ASSERT_OK(store_->Checkpoint());
  EXPECT_LT(store_->Stats()->shards[0].bytes, held_bytes + 4096);
  ASSERT_OK(RestoreBackup(Files(), backup_, restored_, {.clock = &clock_}));
  const auto store = OpenRestored();
  ASSERT_OK(store);
  EXPECT_EQ(ReadStream(**store, stream).size(), records.size());
}

TEST_P(BackupTest, ADamagedBackupIsRefusedAndNothingIsWritten) {
  Open();
  Fill(40);
  ASSERT_OK(store_->Backup(backup_));
  Close();
  uint64_t places = 0;
  for (const std::string& path : FilesBelow(backup_)) {
    const std::string good = ReadBytes(path);
    const size_t stride = std::max<size_t>(good.size() / 20, 1);
    for (size_t at = 0; at < good.size(); at += stride, ++places) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ (1 << (at % 8)));
      WriteBytes(path, bad);
      const auto made = RestoreBackup(Files(), backup_, restored_, {.clock = &clock_});
      ASSERT_EQ(made.status().code(), StatusCode::kCorruption) << path << " at " << at;
      ASSERT_THAT(made.status().message(), HasSubstr(path));
      ASSERT_FALSE(fs::exists(restored_));
    }
    WriteBytes(path, good.substr(0, good.size() / 2));
    EXPECT_EQ(VerifyBackup(Files(), backup_).status().code(), StatusCode::kCorruption) << path;
    WriteBytes(path, good + "x");
    EXPECT_EQ(VerifyBackup(Files(), backup_).status().code(), StatusCode::kCorruption) << path;
    fs::remove(path);
    const auto missing = VerifyBackup(Files(), backup_).status();
    const bool manifest = path.ends_with(engine::kBackupManifestName);
    EXPECT_EQ(missing.code(), manifest ? StatusCode::kNotFound : StatusCode::kCorruption) << path;
    WriteBytes(path, good);
  }
  std::printf("figure: %llu damaged places of a backup, all refused\n",
              static_cast<unsigned long long>(places));
  ASSERT_OK(RestoreBackup(Files(), backup_, restored_, {.clock = &clock_}));
}

TEST_P(BackupTest, AManifestCannotLeadElsewhere) {
  for (const char* name : {"../../etc/passwd", "items/7.items", "/items/1.items",
                           "streams/stream-000000000001/shard-000000000001/../x.seg"}) {
    engine::BackupManifest manifest;
    manifest.set_durability(1);
    engine::BackupFile* const file = manifest.add_files();
    file->set_name(name);
    file->set_table(1);
    fs::create_directories(backup_);
    WriteBytes(backup_ + "/" + engine::kBackupManifestName, engine::EncodeBackupManifest(manifest));
    EXPECT_EQ(VerifyBackup(Files(), backup_).status().code(), StatusCode::kCorruption) << name;
  }
}

TEST_P(BackupTest, WhatWasInterruptedIsRecognisedAndBegunAnew) {
  Open();
  MakeGames(ViewType::kNewAndOldImages);
  for (int64_t id = 0; id < 4000; ++id) {
    ASSERT_OK(
        store_->Put("UserGames", Game(id, std::string(1000, 'x')), {.wait = WaitFor::kNothing}));
  }
  const auto stop_at = [](uint64_t bytes) {
    return [bytes](const BackupProgress& progress) { return progress.bytes_done < bytes; };
  };
  for (const uint64_t bytes : {1ull << 20, 5ull << 20}) {
    const auto stopped = store_->Backup(backup_, {.on_progress = stop_at(bytes)});
    ASSERT_EQ(stopped.status().code(), StatusCode::kClosed);
    const auto refused = RestoreBackup(Files(), backup_, restored_, {.clock = &clock_});
    EXPECT_EQ(refused.status().code(), StatusCode::kFailedPrecondition);
    EXPECT_FALSE(fs::exists(restored_));
  }
  ASSERT_OK(store_->Backup(backup_));
  EXPECT_EQ(store_->Backup(backup_).status().code(), StatusCode::kAlreadyExists);
  const auto games = ReadTable(*store_, "UserGames");
  Close();

  const uint64_t total = VerifyBackup(Files(), backup_)->bytes;
  for (const uint64_t bytes : {total + (uint64_t{1} << 20), total + total / 2}) {
    const auto stopped = RestoreBackup(Files(), backup_, restored_,
                                       {.clock = &clock_, .on_progress = stop_at(bytes)});
    ASSERT_EQ(stopped.status().code(), StatusCode::kClosed);
    EXPECT_EQ(OpenRestored().status().code(), StatusCode::kInvalidArgument);
  }
  ASSERT_OK(RestoreBackup(Files(), backup_, restored_, {.clock = &clock_}));
  EXPECT_EQ(ReadTable(**OpenRestored(), "UserGames"), games);
}

TEST_P(BackupTest, NothingIsOverwritten) {
  Open();
  Fill(10);
  ASSERT_OK(store_->Backup(backup_));
  for (const std::string& occupied : {directory_, temp_.path()}) {
    EXPECT_EQ(store_->Backup(occupied).status().code(), StatusCode::kAlreadyExists);
    EXPECT_EQ(RestoreBackup(Files(), backup_, occupied, {.clock = &clock_}).status().code(),
              StatusCode::kAlreadyExists);
  }
  EXPECT_EQ(
      RestoreBackup(Files(), temp_.path() + "/none", restored_, {.clock = &clock_}).status().code(),
      StatusCode::kNotFound);
  EXPECT_EQ(ReadTable(*store_, "Scores").size(), 1u);
}

TEST_P(BackupTest, DamageIsNotCopied) {
  Open();
  Fill(60);
  ASSERT_OK(store_->Checkpoint());
  for (const std::string& path : FilesBelow(directory_ + "/streams")) {
    if (!path.ends_with(".seg")) continue;
    std::string bytes = ReadBytes(path);
    bytes[4096 + 60] = static_cast<char>(bytes[4096 + 60] ^ 1);
    WriteBytes(path, bytes);
    break;
  }
  const auto taken = store_->Backup(backup_);
  EXPECT_EQ(taken.status().code(), StatusCode::kCorruption) << taken.status().ToString();
  EXPECT_THAT(taken.status().message(), HasSubstr("damaged before"));
  EXPECT_FALSE(fs::exists(backup_ + "/" + engine::kBackupManifestName));
}

TEST_P(BackupTest, TheOwnerTakesItForOthers) {
  Open();
  Fill(30);
  const auto server = LocalServer::Start(*store_, directory_);
  ASSERT_OK(server);
  const auto client = LocalStore::Connect(directory_);
  ASSERT_OK(client);
  EXPECT_EQ((*client)->Backup("relative").status().code(), StatusCode::kInvalidArgument);
  const auto taken = (*client)->Backup(backup_);
  ASSERT_OK(taken);
  EXPECT_EQ(taken->store_id, store_->Stats()->store_id);
  EXPECT_EQ(VerifyBackup(Files(), backup_)->items, taken->items);
  EXPECT_EQ((*client)->Backup(backup_).status().code(), StatusCode::kAlreadyExists);
}

}  // namespace
}  // namespace tailrace::test
