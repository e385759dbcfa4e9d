// The control file: what is published is seen whole or not at all, by whoever maps it.
#include "shards/control.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/support/expect_ok.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "tests/support/sim_fs.h"
#include "tests/support/temp_dir.h"
#include "wal/hash.h"

namespace tailrace::shards {
namespace {

using tailrace::test::CrashChoice;
using tailrace::test::Random;
using tailrace::test::SimCall;
using tailrace::test::SimFs;
using tailrace::test::TempDir;
using tailrace::test::TestSeed;

constexpr StoreId kStore{77};
constexpr char kDirectory[] = "streams";

// All that is said of a shard, from one number.
PublishedShard ShardAt(uint64_t id, uint64_t n) {
  return {.stream = StreamId{id / 4 + 1},
          .shard = ShardId{id},
          .trimmed_below = SequenceNumber{n},
          .ending = n % 3 == 0 ? std::optional(SequenceNumber{n + 7}) : std::nullopt,
          .last = {SequenceNumber{n + 1}, n + 2, Hash64("chain", n)},
          .segment_base = SequenceNumber{n + 3},
          .segment_end = n + 4};
}

class ControlTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(fs_.CreateDirectory(kDirectory)); }

  std::unique_ptr<ControlWriter> Owner(uint32_t epoch) {
    auto owner = std::make_unique<ControlWriter>(fs_, kDirectory, kStore, Epoch{epoch});
    owner->TakeOver();
    return owner;
  }
  Result<std::unique_ptr<ControlReader>> Reader() {
    return ControlReader::Open(fs_, kDirectory, kStore);
  }

  SimFs fs_;
};

TEST_F(ControlTest, AReaderSeesWhatWasPublished) {
  EXPECT_EQ(Reader().status().code(), StatusCode::kNotFound);
  const auto owner = Owner(3);
  owner->Publish({ShardAt(1, 10), ShardAt(2, 12)}, {}, Lsn{100});
  const auto reader = Reader();
  ASSERT_OK(reader);
  const auto view = (*reader)->Look();
  ASSERT_TRUE(view);
  EXPECT_EQ(view->state, ControlState::kOpen);
  EXPECT_EQ(view->epoch, Epoch{3});
  EXPECT_EQ(view->published, Lsn{100});
  EXPECT_EQ((*reader)->Look(ShardId{1})->shard, ShardAt(1, 10));
  EXPECT_EQ((*reader)->Look(ShardId{2})->shard, ShardAt(2, 12));
  EXPECT_FALSE((*reader)->Look(ShardId{3})->shard);

  // A shard leaves, and another one gets its place.
  owner->Publish({ShardAt(2, 15)}, {ShardId{1}}, Lsn{200});
  owner->Publish({ShardAt(9, 18)}, {}, Lsn{201});
  EXPECT_FALSE((*reader)->Look(ShardId{1})->shard);
  EXPECT_EQ((*reader)->Look(ShardId{2})->shard, ShardAt(2, 15));
  EXPECT_EQ((*reader)->Look(ShardId{9})->shard, ShardAt(9, 18));
  EXPECT_EQ((*reader)->Look()->published, Lsn{201});
}

TEST_F(ControlTest, ALargerFileTakesThePlaceOfOneThatIsFull) {
  const auto owner = Owner(1);
  owner->Publish({ShardAt(1, 1)}, {}, Lsn{10});
  const auto reader = Reader().value();
  for (uint64_t id = 2; id <= 3 * kControlSlotsMin; ++id) {
    owner->Publish({ShardAt(id, id)}, {}, Lsn{10 + id});
  }
  EXPECT_EQ(reader->Look()->state, ControlState::kSuperseded);
  const auto next = Reader().value();
  for (uint64_t id = 1; id <= 3 * kControlSlotsMin; ++id) {
    EXPECT_EQ(next->Look(ShardId{id})->shard, ShardAt(id, id));
  }
}

// The owner is in haste for it until the file moves on: a follower that died in its sleep costs it
// one publication without a delay, not all.
TEST_F(ControlTest, AFollowerThatFallsAsleepIsWaitedForOnce) {
  auto owner = Owner(1);
  EXPECT_FALSE(owner->FollowersWait());
  owner->Publish({ShardAt(1, 1)}, {}, Lsn{10});
  const auto reader = Reader().value();
  EXPECT_FALSE(owner->FollowersWait());
  reader->AnnounceWait();
  EXPECT_TRUE(owner->FollowersWait());
  owner->Publish({}, {}, Lsn{20});  // Of no stream: it wakes nobody.
  EXPECT_TRUE(owner->FollowersWait());
  owner->Publish({ShardAt(1, 2)}, {}, Lsn{30});
  EXPECT_FALSE(owner->FollowersWait());
  reader->AnnounceWait();
  owner = Owner(2);
  EXPECT_FALSE(owner->FollowersWait());
}

// Such as one that belongs to somebody else: it may be read, and its owner is not in haste.
TEST_F(ControlTest, AFileThatCannotBeWrittenIsFollowedAllTheSame) {
  const auto owner = Owner(1);
  owner->Publish({ShardAt(1, 1)}, {}, Lsn{10});
  fs_.Inject({.call = SimCall::kMap, .status = ReadOnly("injected")});
  const auto reader = Reader().value();
  EXPECT_EQ(reader->Look(ShardId{1})->shard, ShardAt(1, 1));
  reader->AnnounceWait();
  EXPECT_FALSE(owner->FollowersWait());
}

TEST_F(ControlTest, TheNextOwnerTakesTheFileOverAndWakesThoseWhoSleepAtIt) {
  auto owner = Owner(1);
  owner->Publish({ShardAt(1, 1)}, {}, Lsn{10});
  const auto reader = Reader().value();
  owner = nullptr;
  const uint64_t sequence = reader->sequence();
  std::thread next([&] { owner = Owner(2); });
  EXPECT_TRUE(reader->Wait(sequence, UINT64_MAX, nullptr));
  next.join();
  ASSERT_TRUE(reader->Look());
  EXPECT_EQ(reader->Look()->state, ControlState::kOpening);
  EXPECT_FALSE(reader->Look(ShardId{1})->shard);
  owner->Publish({ShardAt(1, 5)}, {}, Lsn{20});
  EXPECT_EQ(reader->Look()->state, ControlState::kOpen);
  EXPECT_EQ(reader->Look()->epoch, Epoch{2});
  EXPECT_EQ(reader->Look(ShardId{1})->shard, ShardAt(1, 5));
}

// What the owner of before was just changing counts for nothing.
TEST_F(ControlTest, AnOwnerMayDieWhileItChangesTheFile) {
  Owner(1)->Publish({ShardAt(1, 1)}, {}, Lsn{10});
  const auto reader = Reader().value();
  const auto words =
      fs_.MapShared(wal::JoinPath(kDirectory, kControlFileName), wal::MapAccess::kReadWrite)
          .value();
  words->Store(kControlSequenceWord, words->Load(kControlSequenceWord) + 1);
  words->Store(kControlHeaderWords + kSlotLastSequenceWord, 999);
  EXPECT_FALSE(reader->Look());
  EXPECT_FALSE(reader->Look(ShardId{1}));
  Owner(2)->Publish({ShardAt(1, 3)}, {}, Lsn{11});
  ASSERT_TRUE(reader->Look(ShardId{1}));
  EXPECT_EQ(reader->Look(ShardId{1})->shard, ShardAt(1, 3));
}

TEST_F(ControlTest, AfterAPowerCutItCountsForNothing) {
  auto owner = Owner(1);
  owner->Publish({ShardAt(1, 1)}, {}, Lsn{10});
  ASSERT_OK(fs_.SyncDirectory(kDirectory));
  ASSERT_OK(fs_.SyncDirectory(""));
  owner = nullptr;
  fs_.CutPower({.keep = CrashChoice::Keep::kAll});
  EXPECT_EQ(Reader().status().code(), StatusCode::kFailedPrecondition);
  owner = Owner(2);
  EXPECT_TRUE(Reader().ok());
  owner->Publish({ShardAt(1, 2)}, {}, Lsn{20});
  EXPECT_EQ(Reader().value()->Look(ShardId{1})->shard, ShardAt(1, 2));
}

TEST_F(ControlTest, AnyBytesMayStandInTheFile) {
  Random random(TestSeed());
  for (int round = 0; round < 200; ++round) {
    SimFs fs;
    ASSERT_OK(fs.CreateDirectory(kDirectory));
    const std::string path = wal::JoinPath(kDirectory, kControlFileName);
    {
      const auto file = fs.Open(path, wal::OpenMode::kCreateNew).value();
      std::string bytes(random.Below(5) * wal::kBlockBytes + random.Below(2) * random.Below(100),
                        '\0');
      for (char& c : bytes) c = static_cast<char>(random.Below(256));
      if (!bytes.empty()) {
        ASSERT_OK(file->Write(0, bytes));
      }
    }
    EXPECT_FALSE(ControlReader::Open(fs, kDirectory, kStore).ok());
    ControlWriter owner(fs, kDirectory, kStore, Epoch{2});
    owner.TakeOver();
    owner.Publish({ShardAt(1, 2)}, {}, Lsn{20});
    const auto reader = ControlReader::Open(fs, kDirectory, kStore);
    ASSERT_OK(reader);
    EXPECT_EQ((*reader)->Look(ShardId{1})->shard, ShardAt(1, 2));
    EXPECT_EQ(ControlReader::Open(fs, kDirectory, StoreId{5}).status().code(),
              StatusCode::kFailedPrecondition);
  }
}

// No failure of the file system fails the owner, and what could not be told is told later.
TEST_F(ControlTest, WhatCannotBePublishedIsPublishedLater) {
  for (const SimCall call : {SimCall::kCreate, SimCall::kAllocate, SimCall::kMap, SimCall::kRename,
                             SimCall::kTruncate, SimCall::kWrite}) {
    SimFs fs;
    ASSERT_OK(fs.CreateDirectory(kDirectory));
    ControlWriter owner(fs, kDirectory, kStore, Epoch{1});
    fs.Inject({.call = call, .for_ever = true, .status = NoSpace("injected")});
    owner.TakeOver();
    owner.WriteCatalogue({});
    owner.Publish({ShardAt(1, 1)}, {}, Lsn{10});
    fs.ClearFaults();
    if (owner.catalogue_due()) owner.WriteCatalogue({});
    EXPECT_FALSE(owner.catalogue_due());
    owner.Publish({ShardAt(2, 2)}, {}, Lsn{20});
    // And when it is to grow.
    fs.Inject({.call = call, .for_ever = true, .status = NoSpace("injected")});
    for (uint64_t id = 3; id <= kControlSlotsMin + 5; ++id) {
      owner.Publish({ShardAt(id, id)}, {}, Lsn{20 + id});
    }
    fs.ClearFaults();
    owner.Publish({ShardAt(1, 30)}, {}, Lsn{1000});
    const auto reader = ControlReader::Open(fs, kDirectory, kStore);
    ASSERT_OK(reader);
    EXPECT_EQ((*reader)->Look()->state, ControlState::kOpen);
    EXPECT_EQ((*reader)->Look(ShardId{1})->shard, ShardAt(1, 30));
    for (uint64_t id = 2; id <= kControlSlotsMin + 5; ++id) {
      EXPECT_EQ((*reader)->Look(ShardId{id})->shard, ShardAt(id, id)) << SimCallName(call);
    }
  }
}

// Readers see each shard as one Publish left it, and never an older one after a newer.
void RaceOn(wal::FileSystem& fs, const std::string& directory) {
  constexpr uint64_t kRounds = 20'000;
  constexpr uint64_t kShards = 5;
  ControlWriter owner(fs, directory, kStore, Epoch{1});
  owner.TakeOver();
  for (uint64_t id = 1; id <= kShards; ++id) owner.Publish({ShardAt(id, 0)}, {}, Lsn{1});
  std::atomic<bool> done{false};
  const auto read = [&] {
    auto reader = ControlReader::Open(fs, directory, kStore).value();
    std::vector<uint64_t> seen(kShards + 1);
    while (!done) {
      for (uint64_t id = 1; id <= kShards; ++id) {
        const uint64_t sequence = reader->sequence();
        const auto look = reader->Look(ShardId{id});
        if (!look) continue;  // The writer was faster a thousand times.
        if (look->view.state == ControlState::kSuperseded) {
          reader = ControlReader::Open(fs, directory, kStore).value();
          continue;
        }
        ASSERT_TRUE(look->shard);
        const uint64_t n = look->shard->trimmed_below.value;
        EXPECT_EQ(*look->shard, ShardAt(id, n));
        EXPECT_GE(n, seen[id]);
        EXPECT_GE(look->view.published.value, n);
        seen[id] = n;
        if (n % 64 == 0) (void)reader->Wait(sequence, 1'000, nullptr);
      }
    }
  };
  std::thread one(read);
  std::thread other(read);
  for (uint64_t n = 1; n <= kRounds; ++n) {
    std::vector<PublishedShard> shards;
    for (uint64_t id = 1 + n % 2; id <= kShards; ++id) shards.push_back(ShardAt(id, n));
    // Now and then the file grows.
    if (n % (kRounds / 4) == 0) {
      for (uint64_t i = 0; i < 300; ++i) shards.push_back(ShardAt(1000 + n + i, n));
    }
    owner.Publish(shards, {}, Lsn{n});
  }
  done = true;
  one.join();
  other.join();
}

TEST_F(ControlTest, ReadersRaceWithTheOwnerOnASimulatedDisk) { RaceOn(fs_, kDirectory); }

TEST(ControlFileTest, ReadersRaceWithTheOwnerOnARealDisk) {
  const TempDir temp;
  RaceOn(wal::FileSystem::Posix(), temp.path());
}

TEST(ControlFileTest, AnInterruptEndsAWait) {
  const TempDir temp;
  ControlWriter owner(wal::FileSystem::Posix(), temp.path(), kStore, Epoch{1});
  owner.TakeOver();
  owner.Publish({ShardAt(1, 1)}, {}, Lsn{1});
  const auto reader = ControlReader::Open(wal::FileSystem::Posix(), temp.path(), kStore).value();
  wal::Interrupt interrupt;
  std::thread waits([&] { EXPECT_TRUE(reader->Wait(reader->sequence(), UINT64_MAX, &interrupt)); });
  interrupt.Set();
  waits.join();
  // And one that was set before.
  EXPECT_TRUE(reader->Wait(reader->sequence(), UINT64_MAX, &interrupt));
  EXPECT_FALSE(reader->Wait(reader->sequence(), 1, nullptr));
}

TEST(CatalogueFileTest, EveryDamagedByteIsFound) {
  PublishedCatalogue catalogue{.epoch = Epoch{4}, .version = 9, .state = {}};
  catalogue.state.add_jumps()->set_epoch(3);
  const std::string bytes = EncodeCatalogueFile(kStore, catalogue);
  const auto decoded = DecodeCatalogueFile(bytes, kStore);
  ASSERT_OK(decoded);
  EXPECT_EQ(decoded->epoch, Epoch{4});
  EXPECT_EQ(decoded->version, 9u);
  EXPECT_EQ(decoded->state.jumps_size(), 1);
  EXPECT_EQ(DecodeCatalogueFile(bytes, StoreId{1}).status().code(),
            StatusCode::kFailedPrecondition);
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x20);
    EXPECT_FALSE(DecodeCatalogueFile(damaged, kStore).ok()) << i;
    EXPECT_FALSE(DecodeCatalogueFile(ByteView(bytes).substr(0, i), kStore).ok()) << i;
  }
}

}  // namespace
}  // namespace tailrace::shards
