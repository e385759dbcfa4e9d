// The guard's record survives power cuts, says what is damaged, and cuts no byte too many.
#include "engine/manifest_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tests/support/expect_ok.h"
#include "tests/support/sim_fs.h"
#include "wal/fs.h"
#include "wal/hash.h"

namespace tailrace::engine {
namespace {

using test::SimFs;
using wal::kBlockBytes;
using wal::OpenMode;

constexpr char kGuardPath[] = "/db/manifest.guard";

// A directory that looks like RocksDB's: a MANIFEST and a CURRENT that names it.
class ManifestGuardTest : public ::testing::Test {
 protected:
  ManifestGuardTest() {
    EXPECT_OK(fs_.CreateDirectory("/db"));
    EXPECT_OK(wal::ReplaceFile(fs_, "/db/MANIFEST-000005", "0123456789"));
    EXPECT_OK(wal::ReplaceFile(fs_, "/db/CURRENT", "MANIFEST-000005\n"));
    EXPECT_OK(fs_.SyncDirectory("/"));
  }

  static std::unique_ptr<ManifestGuard> MustOpen(wal::FileSystem& fs) {
    auto guard = ManifestGuard::Open(fs, "/db");
    EXPECT_OK(guard);
    return std::move(guard).value();
  }
  std::string Manifest() { return fs_.disk().Contents("/db/MANIFEST-000005").value(); }

  // Overwrites a byte of each of the blocks given.
  void Damage(std::initializer_list<uint64_t> blocks) {
    test::SimDisk disk = fs_.disk();
    for (const uint64_t block : blocks) {
      EXPECT_OK(disk.Patch(kGuardPath, block * kBlockBytes + 20, "?"));
    }
    damaged_ = std::make_unique<SimFs>(std::move(disk));
  }

  SimFs fs_;
  std::unique_ptr<SimFs> damaged_;
};

TEST_F(ManifestGuardTest, KnowsTheNamesOfManifests) {
  EXPECT_EQ(ManifestGuard::ParseName("MANIFEST-000012"), 12u);
  EXPECT_EQ(ManifestGuard::ParseName("MANIFEST-12345678"), 12345678u);
  EXPECT_EQ(ManifestGuard::ParseName("MANIFEST-"), std::nullopt);
  EXPECT_EQ(ManifestGuard::ParseName("MANIFEST-12x"), std::nullopt);
  EXPECT_EQ(ManifestGuard::ParseName("CURRENT"), std::nullopt);
}

TEST_F(ManifestGuardTest, CutsWhatLiesBeyondTheDurableLength) {
  ASSERT_OK(MustOpen(fs_)->NoteSynced(5, 4));
  EXPECT_EQ(MustOpen(fs_)->CutTail().value(), 6u);
  EXPECT_EQ(Manifest(), "0123");
  fs_.CutPower({});
  EXPECT_EQ(Manifest(), "0123") << "the cut is durable";
  EXPECT_EQ(MustOpen(fs_)->CutTail().value(), 0u);
}

TEST_F(ManifestGuardTest, CutsNothingThatItDoesNotKnow) {
  EXPECT_EQ(MustOpen(fs_)->CutTail().value(), 0u) << "no guard file";
  ASSERT_OK(MustOpen(fs_)->NoteSynced(4, 1));
  EXPECT_EQ(MustOpen(fs_)->CutTail().value(), 0u) << "the length of another MANIFEST";
  auto guard = MustOpen(fs_);
  ASSERT_OK(guard->NoteSynced(5, 4));
  guard->Forget(5);
  ASSERT_OK(guard->NoteSynced(6, 1));
  EXPECT_EQ(MustOpen(fs_)->CutTail().value(), 0u) << "forgotten";
  EXPECT_EQ(Manifest(), "0123456789");
  SimFs empty;
  EXPECT_EQ(MustOpen(empty)->CutTail().value(), 0u) << "no directory";
}

TEST_F(ManifestGuardTest, AManifestThatBecameShorterIsDamage) {
  ASSERT_OK(MustOpen(fs_)->NoteSynced(5, 11));
  const Status status = MustOpen(fs_)->CutTail().status();
  EXPECT_EQ(status.code(), StatusCode::kCorruption);
  EXPECT_THAT(status.message(), ::testing::HasSubstr("MANIFEST-000005"));
}

TEST_F(ManifestGuardTest, OneDamagedCopyLosesNothing) {
  auto guard = MustOpen(fs_);
  ASSERT_OK(guard->NoteSynced(5, 4));
  ASSERT_OK(guard->NoteSynced(5, 10));
  Damage({0});
  EXPECT_EQ(MustOpen(*damaged_)->CutTail().value(), 0u);
  Damage({1});
  EXPECT_EQ(MustOpen(*damaged_)->CutTail().value(), 0u);
  Damage({0, 1});
  EXPECT_EQ(ManifestGuard::Open(*damaged_, "/db").status().code(), StatusCode::kCorruption);
}

TEST_F(ManifestGuardTest, ItGoesOnWithOneCopyWithoutOverwritingIt) {
  for (const uint64_t block : {0u, 1u}) {
    SimFs before(fs_.disk());
    ASSERT_OK(MustOpen(before)->NoteSynced(5, 10));
    test::SimDisk disk = before.disk();
    ASSERT_OK(disk.Patch(kGuardPath, block * kBlockBytes + 20, "?"));
    SimFs damaged(disk);
    // The next record must go to the damaged block first, so that a power cut leaves the good one.
    std::set<uint64_t> cut;
    test::SeenStates seen;
    damaged.SetObserver([&](const test::SimOperation& operation) {
      test::ForEachCrashState(operation.disk, {}, seen, 0,
                              [&](const test::CrashChoice&, const test::SimDisk& state) {
                                SimFs after(state);
                                cut.insert(MustOpen(after)->CutTail().value());
                              });
    });
    ASSERT_OK(MustOpen(damaged)->NoteSynced(5, 9));
    EXPECT_THAT(cut, ::testing::UnorderedElementsAre(0, 1)) << "the record before, or the new one";
  }
}

TEST_F(ManifestGuardTest, ANewerVersionIsRefused) {
  ASSERT_OK(MustOpen(fs_)->NoteSynced(5, 4));
  std::string block = fs_.disk().Contents(kGuardPath).value().substr(kBlockBytes, kBlockBytes);
  block[8] = 2;
  const uint64_t hash = Hash64(ByteView(block).substr(0, kBlockBytes - 8));
  block.replace(kBlockBytes - 8, 8, reinterpret_cast<const char*>(&hash), 8);
  test::SimDisk disk = fs_.disk();
  ASSERT_OK(disk.Patch(kGuardPath, kBlockBytes, block));
  SimFs newer(disk);
  EXPECT_EQ(ManifestGuard::Open(newer, "/db").status().code(), StatusCode::kUnsupported);
}

// At every moment of every record, in every state a power cut can leave: the length is the one
// before or the new one, and once the call has returned, the new one.
TEST_F(ManifestGuardTest, ARecordIsAllOrNothingAtEveryMoment) {
  test::CrashCount count;
  test::SeenStates seen;
  std::set<uint64_t> allowed;  // Bytes that CutTail may cut.
  const auto check = [&](const test::SimDisk& disk) {
    count += test::ForEachCrashState(
        disk, {}, seen, *allowed.rbegin(),
        [&](const test::CrashChoice& choice, const test::SimDisk& state) {
          SimFs after(state);
          auto guard = ManifestGuard::Open(after, "/db");
          ASSERT_OK(guard) << choice.ToString();
          const auto cut = (*guard)->CutTail();
          ASSERT_OK(cut) << choice.ToString();
          EXPECT_TRUE(allowed.contains(*cut)) << *cut << " at " << choice.ToString();
        });
  };
  fs_.SetObserver([&](const test::SimOperation& operation) { check(operation.disk); });
  auto guard = MustOpen(fs_);
  allowed = {0};
  for (uint64_t length = 1; length <= 5; ++length) {
    const uint64_t cut = 10 - length;
    allowed.insert(cut);
    ASSERT_OK(guard->NoteSynced(5, length));
    allowed = {cut};
    check(fs_.disk());
  }
  EXPECT_GT(count.visited, 1000u);
}

TEST_F(ManifestGuardTest, AFailedRecordIsFinal) {
  auto guard = MustOpen(fs_);
  ASSERT_OK(guard->NoteSynced(5, 4));
  fs_.Inject({.call = test::SimCall::kWriteDurable, .written_bytes = 100});
  EXPECT_EQ(guard->NoteSynced(5, 5).code(), StatusCode::kIoError);
  fs_.ClearFaults();
  EXPECT_EQ(guard->NoteSynced(5, 6).code(), StatusCode::kIoError);
  EXPECT_OK(MustOpen(fs_)->NoteSynced(5, 6)) << "until opened again";
}

// The first copy is durable, so the record is in force, whatever becomes of the second.
TEST_F(ManifestGuardTest, ARecordWhoseSecondCopyFailsIsInForce) {
  auto guard = MustOpen(fs_);
  ASSERT_OK(guard->NoteSynced(5, 4));
  fs_.Inject({.call = test::SimCall::kWriteDurable, .nth = 2});
  EXPECT_OK(guard->NoteSynced(5, 10));
  fs_.ClearFaults();
  EXPECT_EQ(guard->NoteSynced(5, 10).code(), StatusCode::kIoError) << "the next one fails instead";
  EXPECT_EQ(MustOpen(fs_)->CutTail().value(), 0u);
}

}  // namespace
}  // namespace tailrace::engine
