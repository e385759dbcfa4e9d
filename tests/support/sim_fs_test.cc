// The simulated disk must lose what a real one may lose, and keep what a sync promised. A
// simulation that is too kind would make every crash test above it worthless, so both directions
// are checked.
#include "tests/support/sim_fs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/expect_ok.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "wal/fs.h"

namespace tailrace::test {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;
using wal::File;
using wal::OpenMode;
using Fill = CrashChoice::Fill;
using Keep = CrashChoice::Keep;

std::unique_ptr<File> MustOpen(wal::FileSystem& fs, const std::string& path, OpenMode mode) {
  auto file = fs.Open(path, mode);
  EXPECT_OK(file.status());
  return std::move(file).value();
}

// A file with a durable name and durable bytes.
std::unique_ptr<File> MakeDurable(SimFs& fs, const std::string& path, ByteView bytes) {
  auto file = MustOpen(fs, path, OpenMode::kCreateNew);
  EXPECT_OK(file->Write(0, bytes));
  EXPECT_OK(file->Sync());
  EXPECT_OK(fs.SyncDirectory("/"));
  return file;
}

// A whole block of one letter, aligned as WriteDurable wants it.
class Block {
 public:
  explicit Block(char letter) { bytes_.fill(letter); }
  ByteView view() const { return {bytes_.data(), bytes_.size()}; }

 private:
  alignas(wal::kBlockBytes) std::array<char, wal::kBlockBytes> bytes_;
};

// A state as text: every file with its content.
std::string Show(const SimDisk& disk) {
  std::string text;
  for (const std::string& path : disk.Files()) {
    text += path + "=" + disk.Contents(path).value() + ";";
  }
  return text;
}

// Every state that a power cut can leave.
std::set<std::string> AllStates(const SimDisk& disk, const CrashPlan& plan = {}) {
  std::set<std::string> states;
  SeenStates seen;
  ForEachCrashState(disk, plan, seen, 0, [&](const CrashChoice&, const SimDisk& state) {
    EXPECT_EQ(state.pending_units(), 0u);
    states.insert(Show(state));
  });
  EXPECT_EQ(states.size(), seen.size()) << "the hash tells states apart that are the same, or not";
  return states;
}

std::string Contents(const SimFs& fs, const std::string& path) {
  return fs.disk().Contents(path).value();
}

// ---- Names. ----

TEST(SimDiskNames, ACreatedFileIsLostUnlessItsDirectoryWasSynced) {
  SimFs fs;
  auto file = MustOpen(fs, "a", OpenMode::kCreateNew);
  ASSERT_OK(file->Write(0, "x"));
  ASSERT_OK(file->Sync());
  EXPECT_THAT(AllStates(fs.disk()), UnorderedElementsAre("", "/a=x;"));
  ASSERT_OK(fs.SyncDirectory("/"));
  EXPECT_THAT(AllStates(fs.disk()), ElementsAre("/a=x;"));
}

TEST(SimDiskNames, ARenameIsLostUnlessTheDirectoryWasSyncedAndNeverLosesTheFile) {
  SimFs fs;
  MakeDurable(fs, "a", "new");
  MakeDurable(fs, "b", "old");
  ASSERT_OK(fs.Rename("a", "b"));
  EXPECT_THAT(AllStates(fs.disk()),
              UnorderedElementsAre("/a=new;/b=old;", "/b=new;", "/a=new;/b=new;"));
  ASSERT_OK(fs.SyncDirectory("/"));
  EXPECT_THAT(AllStates(fs.disk()), ElementsAre("/b=new;"));
}

TEST(SimDiskNames, ARemovedFileComesBackUnlessTheDirectoryWasSynced) {
  SimFs fs;
  MakeDurable(fs, "a", "x");
  ASSERT_OK(fs.Remove("a"));
  EXPECT_THAT(AllStates(fs.disk()), UnorderedElementsAre("", "/a=x;"));
  ASSERT_OK(fs.SyncDirectory("/"));
  EXPECT_THAT(AllStates(fs.disk()), ElementsAre(""));
}

TEST(SimDiskNames, ChangesOfNamesAreLostInAnyCombination) {
  SimFs fs;
  for (const char* name : {"a", "b", "c"}) {
    auto file = MustOpen(fs, name, OpenMode::kCreateNew);
    ASSERT_OK(file->Write(0, name));
    ASSERT_OK(file->Sync());
  }
  EXPECT_THAT(AllStates(fs.disk()),
              UnorderedElementsAre("", "/a=a;", "/b=b;", "/c=c;", "/a=a;/b=b;", "/a=a;/c=c;",
                                   "/b=b;/c=c;", "/a=a;/b=b;/c=c;"));
}

TEST(SimDiskNames, AnOrderedDirectoryKeepsAPrefixAndRenamesInOneStep) {
  SimFs fs({.disk = {.ordered_directories = {"db"}}});
  ASSERT_OK(fs.CreateDirectory("db"));
  ASSERT_OK(fs.SyncDirectory("/"));
  MustOpen(fs, "db/a", OpenMode::kCreateNew);
  MustOpen(fs, "db/b", OpenMode::kCreateNew);
  ASSERT_OK(fs.Rename("db/a", "db/c"));
  ASSERT_OK(fs.Remove("db/b"));
  EXPECT_THAT(AllStates(fs.disk()),
              UnorderedElementsAre("", "/db/a=;", "/db/a=;/db/b=;", "/db/b=;/db/c=;", "/db/c=;"));
  ASSERT_OK(fs.SyncDirectory("db"));
  EXPECT_THAT(AllStates(fs.disk()), ElementsAre("/db/c=;"));
}

TEST(SimDiskNames, ARenameToAnotherDirectoryNeedsBothSynced) {
  SimFs fs;
  for (const char* name : {"p", "q"}) ASSERT_OK(fs.CreateDirectory(name));
  ASSERT_OK(fs.SyncDirectory("/"));
  auto file = MustOpen(fs, "p/a", OpenMode::kCreateNew);
  ASSERT_OK(fs.SyncDirectory("p"));
  ASSERT_OK(fs.Rename("p/a", "q/a"));
  ASSERT_OK(fs.SyncDirectory("q"));
  EXPECT_THAT(AllStates(fs.disk()), UnorderedElementsAre("/p/a=;/q/a=;", "/q/a=;"));
  ASSERT_OK(fs.SyncDirectory("p"));
  EXPECT_THAT(AllStates(fs.disk()), ElementsAre("/q/a=;"));
  ASSERT_OK(fs.Rename("q/a", "p/b"));
  ASSERT_OK(fs.SyncDirectory("q"));
  EXPECT_THAT(AllStates(fs.disk()), UnorderedElementsAre("", "/p/b=;"));
}

TEST(SimDiskNames, AnUnsyncedDirectoryTakesItsFilesWithIt) {
  SimFs fs;
  ASSERT_OK(fs.CreateDirectory("d"));
  auto file = MustOpen(fs, "d/a", OpenMode::kCreateNew);
  ASSERT_OK(file->Sync());
  ASSERT_OK(fs.SyncDirectory("d"));
  SimDisk after = fs.disk().Crash({.keep = Keep::kNone});
  EXPECT_EQ(SimFs(after).Exists("d").value(), false);
}

// ---- Data. ----

TEST(SimDiskData, SectorsAreLostInAnyCombination) {
  SimFs fs;
  auto file = MakeDurable(fs, "a", std::string(4 * kSectorBytes, 'o'));
  ASSERT_OK(file->Write(100, std::string(3 * kSectorBytes, 'n')));  // Touches four sectors.
  std::set<std::string> patterns;
  SeenStates seen;
  const CrashPlan plan{.random_states = 0, .tears_max = 0};
  ForEachCrashState(fs.disk(), plan, seen, 0, [&](const CrashChoice& choice, const SimDisk& state) {
    const std::string bytes = state.Contents("a").value();
    std::string pattern;
    for (uint64_t at : {100ul, kSectorBytes, 2 * kSectorBytes, 3 * kSectorBytes}) {
      pattern += bytes[at];
    }
    patterns.insert(pattern);
    EXPECT_EQ(bytes[99], 'o');
    EXPECT_EQ(bytes[100 + 3 * kSectorBytes], 'o') << choice.ToString();
  });
  EXPECT_EQ(patterns.size(), 16u);
}

TEST(SimDiskData, TheLastWriteIsCutAtEveryByteWithEveryFill) {
  SimFs fs;
  auto file = MakeDurable(fs, "a", "__");
  ASSERT_OK(file->Write(2, "abc"));
  EXPECT_THAT(AllStates(fs.disk()), testing::IsSupersetOf<std::string>({
                                        "/a=__;",
                                        "/a=__a;",
                                        "/a=__ab;",
                                        "/a=__abc;",
                                        std::string("/a=__\0\0\0;", 9),
                                        std::string("/a=__a\0\0;", 9),
                                        std::string("/a=__ab\0;", 9),
                                        "/a=__\xff\xff\xff;",
                                        "/a=__a\xff\xff;",
                                        "/a=__ab\xff;",
                                    }));
  const auto torn = [&](uint64_t at, Fill fill) {
    return Show(fs.disk().Crash({.keep = Keep::kAll, .fill = fill, .tear_at = at}));
  };
  EXPECT_EQ(torn(1, Fill::kCut), "/a=__a;");
  EXPECT_EQ(torn(1, Fill::kOnes), "/a=__a\xff\xff;");
  EXPECT_EQ(torn(3, Fill::kZeros), "/a=__abc;");
}

TEST(SimDiskData, ATornOverwriteLeavesTheOldBytes) {
  SimFs fs;
  auto file = MakeDurable(fs, "a", "old old");
  ASSERT_OK(file->Write(0, "new new"));
  EXPECT_EQ(Show(fs.disk().Crash({.keep = Keep::kAll, .fill = Fill::kOld, .tear_at = 5})),
            "/a=new nld;");
}

TEST(SimDiskData, ASizeMaySurviveWithoutTheData) {
  SimFs fs;
  auto file = MakeDurable(fs, "a", "");
  ASSERT_OK(file->Write(0, "abc"));
  // Piece 0 is the growth, piece 1 the data.
  const auto kept = [&](uint64_t mask, Fill fill) {
    return Contents(SimFs(fs.disk().Crash({.keep = Keep::kPieces, .argument = mask, .fill = fill})),
                    "a");
  };
  EXPECT_EQ(kept(1, Fill::kZeros), std::string(3, '\0'));
  EXPECT_EQ(kept(1, Fill::kOnes), std::string(3, '\xff'));
  EXPECT_EQ(kept(2, Fill::kZeros), "");
  EXPECT_EQ(kept(3, Fill::kZeros), "abc");
}

TEST(SimDiskData, DataWhoseGrowthWasLostDoesNotComeBackWhenTheFileGrowsAgain) {
  SimFs fs;
  auto file = MakeDurable(fs, "a", "");
  ASSERT_OK(file->Write(0, "abc"));
  SimFs after(fs.disk().Crash({.keep = Keep::kPieces, .argument = 2}));
  ASSERT_OK(MustOpen(after, "a", OpenMode::kReadWrite)->Allocate(3));
  EXPECT_EQ(Contents(after, "a"), std::string(3, '\0'));
}

TEST(SimDiskData, OldBytesOfARecycledFileStandBehindAKeptSize) {
  SimFs fs;
  // Reused in place: what is not overwritten durably is the old file's.
  MakeDurable(fs, "old", std::string(2 * wal::kBlockBytes, 'o'));
  ASSERT_OK(fs.Rename("old", "new"));
  ASSERT_OK(fs.SyncDirectory("/"));
  auto file = MustOpen(fs, "new", OpenMode::kReadWrite);
  ASSERT_OK(file->Write(0, Block('n').view()));
  EXPECT_EQ(Contents(SimFs(fs.disk().Crash({.keep = Keep::kNone})), "new"),
            std::string(2 * wal::kBlockBytes, 'o'));

  // Removed and made anew: its blocks may be given to the next file that grows.
  ASSERT_OK(file->Sync());
  ASSERT_OK(fs.Remove("new"));
  auto other = MakeDurable(fs, "other", "");
  ASSERT_OK(other->Write(0, std::string(100, 'n')));
  ASSERT_OK(other->Write(100, std::string(wal::kBlockBytes, 'x')));
  const CrashChoice sizes_only{.keep = Keep::kPieces, .argument = 0b101, .fill = Fill::kOld};
  const std::string stale = Contents(SimFs(fs.disk().Crash(sizes_only)), "other");
  EXPECT_EQ(stale.size(), 100 + wal::kBlockBytes);
  EXPECT_EQ(stale.back(), 'o') << "the second block of the removed file held o";
}

TEST(SimDiskData, ATruncateMayBeLostWhileLaterWritesStay) {
  SimFs fs;
  auto file = MakeDurable(fs, "a", "oooo");
  ASSERT_OK(file->Truncate(0));
  ASSERT_OK(file->Write(0, "n"));
  EXPECT_THAT(AllStates(fs.disk()),
              testing::IsSupersetOf<std::string>({"/a=oooo;", "/a=;", "/a=n;", "/a=nooo;"}));
}

TEST(SimDiskData, AllocatedSpaceIsZeroOnceItsSizeSurvives) {
  SimFs fs;
  MakeDurable(fs, "old", "oooo");
  ASSERT_OK(fs.Remove("old"));
  auto file = MakeDurable(fs, "a", "");
  ASSERT_OK(file->Allocate(4));
  for (const Fill fill : {Fill::kZeros, Fill::kOnes, Fill::kOld}) {
    EXPECT_EQ(Contents(SimFs(fs.disk().Crash({.keep = Keep::kAll, .fill = fill})), "a"),
              std::string(4, '\0'));
  }
}

// ---- Syncs. ----

TEST(SimDiskSync, ADurableWriteCoversItsRangeAndTheSizeOnly) {
  SimFs fs;
  auto file = MakeDurable(fs, "a", "");
  ASSERT_OK(file->Allocate(3 * wal::kBlockBytes));
  ASSERT_OK(file->Write(wal::kBlockBytes - 1, "12"));  // Straddles the first two blocks.
  const Block block('d');
  ASSERT_OK(file->WriteDurable(wal::kBlockBytes, block.view()));
  const CrashPlan plan{.tears_max = 0};
  SeenStates seen;
  std::set<char> before;
  ForEachCrashState(fs.disk(), plan, seen, 0, [&](const CrashChoice& choice, const SimDisk& state) {
    const std::string bytes = state.Contents("a").value();
    ASSERT_EQ(bytes.size(), 3 * wal::kBlockBytes) << choice.ToString();
    ASSERT_EQ(bytes.substr(wal::kBlockBytes, wal::kBlockBytes), block.view()) << choice.ToString();
    before.insert(bytes[wal::kBlockBytes - 1]);
  });
  EXPECT_THAT(before, UnorderedElementsAre('\0', '1'));
}

TEST(SimDiskSync, ADurableWriteIsUncertainWhileItRuns) {
  SimFs fs;
  auto file = MakeDurable(fs, "a", std::string(wal::kBlockBytes, 'o'));
  std::set<std::string> states;
  fs.SetObserver([&](const SimOperation& operation) {
    EXPECT_EQ(operation.call, SimCall::kWriteDurable);
    EXPECT_EQ(operation.path, "a");
    states = AllStates(operation.disk, {.tears_max = 0});
  });
  ASSERT_OK(file->WriteDurable(0, Block('n').view()));
  EXPECT_EQ(states.size(), 256u) << "eight sectors, each old or new";
  EXPECT_EQ(AllStates(fs.disk()).size(), 1u);
}

TEST(SimDiskSync, AMappedSyncCoversItsRangeOnly) {
  SimFs fs;
  MakeDurable(fs, "a", std::string(2 * kSectorBytes, 'o'));
  auto map = fs.Map("a").value();
  map->Write(0, "nn");
  map->Write(kSectorBytes, "nn");
  EXPECT_EQ(map->data()[0], 'n');
  ASSERT_OK(map->Sync(0, 1));
  std::set<std::string> states;
  SeenStates seen;
  ForEachCrashState(fs.disk(), {.tears_max = 0}, seen, 0,
                    [&](const CrashChoice&, const SimDisk& state) {
                      const std::string bytes = state.Contents("a").value();
                      states.insert(bytes.substr(0, 2) + bytes.substr(kSectorBytes, 2));
                    });
  EXPECT_THAT(states, UnorderedElementsAre("nooo", "nnoo", "nonn", "nnnn"));
}

TEST(SimDiskSync, AfterAFailedSyncASecondOneSaysOkAndTheDataMayBeGone) {
  SimFs fs;
  auto file = MakeDurable(fs, "a", "old");
  ASSERT_OK(file->Write(0, "new"));
  fs.Inject({.call = SimCall::kSync});
  EXPECT_EQ(file->Sync().code(), StatusCode::kIoError);
  EXPECT_OK(file->Sync());
  EXPECT_EQ(Contents(fs, "a"), "new");
  EXPECT_TRUE(AllStates(fs.disk()).contains("/a=old;"));

  // What is written and synced after that is safe, and the old write does not come back over it.
  ASSERT_OK(file->Write(0, "NEW"));
  ASSERT_OK(file->Sync());
  EXPECT_THAT(AllStates(fs.disk()), ElementsAre("/a=NEW;"));
}

// A model of one file that knows for each byte what a power cut may leave of it.
class ByteModel {
 public:
  explicit ByteModel(uint64_t bytes) : possible_(bytes, std::set<char>{'\0'}), now_(bytes, '\0') {}

  void Write(uint64_t offset, const std::string& bytes) {
    for (size_t i = 0; i < bytes.size(); ++i) {
      possible_[offset + i].insert(bytes[i]);
      now_[offset + i] = bytes[i];
    }
  }
  void Sync(uint64_t offset, uint64_t bytes) {
    for (uint64_t at = offset; at < offset + bytes; ++at) possible_[at] = {now_[at]};
  }
  // The first byte that no power cut may leave, if there is one.
  std::optional<size_t> Impossible(const std::string& bytes) const {
    for (size_t at = 0; at < possible_.size(); ++at) {
      if (at >= bytes.size() || !possible_[at].contains(bytes[at])) return at;
    }
    return std::nullopt;
  }

 private:
  std::vector<std::set<char>> possible_;
  std::string now_;
};

// Random writes and syncs of every kind, all crash states after each; returns how many were
// impossible.
uint64_t ImpossibleStates(uint64_t seed, bool lying_syncs) {
  constexpr uint64_t kBytes = 2 * wal::kBlockBytes;
  SimFs fs;
  auto file = MakeDurable(fs, "a", "");
  EXPECT_OK(file->Allocate(kBytes));
  EXPECT_OK(file->Sync());
  auto map = fs.Map("a").value();
  fs.SetLyingSyncs(lying_syncs);
  ByteModel model(kBytes);
  Random random(seed);
  SeenStates seen;
  uint64_t impossible = 0;
  for (uint64_t step = 0; step < 40; ++step) {
    const uint64_t offset = random.Below(kBytes - 1500);
    const std::string bytes = random.Bytes(random.Between(1, 1500));
    switch (random.Below(6)) {
      case 0:
      case 1:
        EXPECT_OK(file->Write(offset, bytes));
        model.Write(offset, bytes);
        break;
      case 2:
        map->Write(offset, bytes);
        model.Write(offset, bytes);
        break;
      case 3:
        EXPECT_OK(map->Sync(offset, bytes.size()));
        model.Sync(offset, bytes.size());
        break;
      case 4: {
        const Block block(bytes[0]);
        const uint64_t at = random.Below(2) * wal::kBlockBytes;
        EXPECT_OK(file->WriteDurable(at, block.view()));
        model.Write(at, std::string(block.view()));
        model.Sync(at, wal::kBlockBytes);
        break;
      }
      default:
        EXPECT_OK(file->Sync());
        model.Sync(0, kBytes);
    }
    const CrashPlan plan{.exhaustive_units_max = 6,
                         .exhaustive_pieces_max = 6,
                         .random_states = 32,
                         .tears_max = 20,
                         .seed = random.Next()};
    ForEachCrashState(fs.disk(), plan, seen, step,
                      [&](const CrashChoice& choice, const SimDisk& state) {
                        // A torn write leaves noise in its range by design; only whole pieces are
                        // modelled.
                        if (choice.tear_at && choice.fill != Fill::kOld) return;
                        if (model.Impossible(state.Contents("a").value())) ++impossible;
                      });
  }
  return impossible;
}

TEST(SimDiskSync, WhatWasSyncedSurvivesEveryPowerCut) {
  for (uint64_t i = 0; i < 20; ++i) {
    ASSERT_EQ(ImpossibleStates(MixSeed(TestSeed(), i), false), 0u) << "round " << i;
  }
}

TEST(SimDiskSync, ASyncThatDoesNothingIsFoundOut) {
  uint64_t impossible = 0;
  for (uint64_t i = 0; i < 5; ++i) impossible += ImpossibleStates(MixSeed(TestSeed(), i), true);
  EXPECT_GT(impossible, 0u);
}

// A protocol that leaves out one sync must be caught by the states, and the right one must not.
enum class Omit { kNothing, kFileSync, kDirectorySync };

std::set<std::string> ReplaceWithout(Omit omit) {
  SimFs fs;
  MakeDurable(fs, "a", "old");
  auto file = MustOpen(fs, "a.tmp", OpenMode::kCreateNew);
  EXPECT_OK(file->Write(0, "new"));
  if (omit != Omit::kFileSync) {
    EXPECT_OK(file->Sync());
  }
  EXPECT_OK(fs.Rename("a.tmp", "a"));
  if (omit != Omit::kDirectorySync) {
    EXPECT_OK(fs.SyncDirectory("/"));
  }
  std::set<std::string> contents;
  SeenStates seen;
  ForEachCrashState(fs.disk(), {}, seen, 0, [&](const CrashChoice&, const SimDisk& state) {
    contents.insert(state.Contents("a").value());
  });
  return contents;
}

TEST(SimDiskSync, EverySyncOfAReplacementIsNeeded) {
  EXPECT_THAT(ReplaceWithout(Omit::kNothing), ElementsAre("new"));
  EXPECT_THAT(ReplaceWithout(Omit::kDirectorySync), UnorderedElementsAre("old", "new"));
  EXPECT_TRUE(ReplaceWithout(Omit::kFileSync).contains(""));
}

TEST(SimDiskSync, ReplaceFileIsAllOrNothingAtEveryMoment) {
  SimFs fs;
  ASSERT_OK(fs.CreateDirectory("d"));
  ASSERT_OK(fs.SyncDirectory("/"));
  ASSERT_OK(wal::ReplaceFile(fs, "d/a", "one"));
  ASSERT_OK(fs.SyncDirectory("/"));
  std::set<std::string> contents;
  SeenStates seen;
  uint64_t moments = 0;
  fs.SetObserver([&](const SimOperation& operation) {
    ++moments;
    ForEachCrashState(operation.disk, {}, seen, 0, [&](const CrashChoice&, const SimDisk& state) {
      contents.insert(state.Contents("d/a").value());
    });
  });
  ASSERT_OK(wal::ReplaceFile(fs, "d/a", "two"));
  fs.SetObserver(nullptr);
  EXPECT_EQ(moments, 6u) << "create, truncate, write, sync, rename, sync directory";
  EXPECT_THAT(contents, UnorderedElementsAre("one", "two"));
  EXPECT_THAT(AllStates(fs.disk()), ElementsAre("/d/a=two;"));
}

// ---- Crashing and failing code under test. ----

TEST(SimFsCrash, AKilledProcessLosesItsHandlesAndLocksAndNoData) {
  SimFs fs;
  auto file = MustOpen(fs, "a", OpenMode::kCreateNew);
  auto lock = fs.Lock("LOCK").value();
  ASSERT_OK(file->Write(0, "x"));
  EXPECT_EQ(fs.open_handles(), 2u);
  fs.KillProcess();
  EXPECT_EQ(fs.open_handles(), 0u);
  EXPECT_EQ(file->Write(0, "y").code(), StatusCode::kIoError);
  EXPECT_EQ(Contents(fs, "a"), "x");
  auto second = fs.Lock("LOCK");
  EXPECT_OK(second.status());
  lock.reset();  // A dead process's handle takes nothing from the living.
  EXPECT_EQ(fs.Lock("LOCK").status().code(), StatusCode::kBusy);
  fs.CutPower({.keep = Keep::kNone});
  EXPECT_THAT(fs.disk().Files(), ElementsAre());
}

TEST(SimFsCrash, ThePowerIsCutBeforeOrDuringTheNthCall) {
  for (const CrashMoment moment : {CrashMoment::kBefore, CrashMoment::kDuring}) {
    SimFs fs;
    auto file = MakeDurable(fs, "a", "");
    fs.CutPowerAt(2, moment);
    EXPECT_OK(file->Write(0, "1"));
    EXPECT_FALSE(fs.power_is_cut());
    EXPECT_EQ(file->Write(1, "2").code(), StatusCode::kIoError);
    EXPECT_TRUE(fs.power_is_cut());
    EXPECT_FALSE(fs.Exists("a").ok());
    EXPECT_EQ(Contents(fs, "a"), moment == CrashMoment::kBefore ? "1" : "12");
    fs.CutPower({.keep = Keep::kAll});
    EXPECT_OK(MustOpen(fs, "a", OpenMode::kReadWrite)->Write(0, "x"));
  }
}

TEST(SimFsCrash, ACutDuringACallThatIsRefusedComesBeforeTheNextOne) {
  SimFs fs;
  auto file = MakeDurable(fs, "a", "");
  fs.CutPowerAt(1, CrashMoment::kDuring);
  EXPECT_EQ(fs.Remove("no").code(), StatusCode::kNotFound);
  EXPECT_FALSE(file->Write(0, "x").ok());
  EXPECT_TRUE(fs.power_is_cut());
  EXPECT_EQ(Contents(fs, "a"), "");
}

TEST(SimFsFaults, TheNthMatchingCallFailsOnceOrForEver) {
  SimFs fs;
  auto a = MakeDurable(fs, "a", "");
  auto b = MakeDurable(fs, "b", "");
  fs.Inject({.call = SimCall::kWrite, .path_part = "a", .nth = 2, .status = NoSpace("full")});
  EXPECT_OK(a->Write(0, "1"));
  EXPECT_OK(b->Write(0, "1"));
  EXPECT_EQ(a->Write(0, "2").code(), StatusCode::kNoSpace);
  EXPECT_EQ(Contents(fs, "a"), "1");
  EXPECT_OK(a->Write(0, "3"));
  fs.Inject({.call = SimCall::kWrite, .for_ever = true, .written_bytes = 1});
  EXPECT_FALSE(a->Write(0, "45").ok());
  EXPECT_FALSE(b->Write(0, "45").ok());
  EXPECT_EQ(Contents(fs, "a"), "4") << "part of a failed write may be there";
  EXPECT_EQ(fs.faults_hit(), 3u);
  fs.ClearFaults();
  EXPECT_OK(a->Write(0, "5"));
}

TEST(SimFsFaults, AFullDiskRefusesWritesAndFreesWhatIsRemoved) {
  SimFs fs({.capacity_bytes = 3 * wal::kBlockBytes});
  auto a = MustOpen(fs, "a", OpenMode::kCreateNew);
  ASSERT_OK(a->Allocate(2 * wal::kBlockBytes));
  auto b = MustOpen(fs, "b", OpenMode::kCreateNew);
  EXPECT_EQ(b->Allocate(wal::kBlockBytes + 1).code(), StatusCode::kNoSpace);
  EXPECT_EQ(b->SizeBytes().value(), 0u);
  EXPECT_EQ(b->Write(0, std::string(wal::kBlockBytes + 1, 'x')).code(), StatusCode::kNoSpace);
  EXPECT_EQ(b->SizeBytes().value(), wal::kBlockBytes) << "what fitted";
  EXPECT_EQ(fs.SpaceAt("/").value().free_bytes, 0u);
  EXPECT_OK(a->Write(0, "in place"));
  ASSERT_OK(fs.Remove("a"));
  EXPECT_EQ(fs.SpaceAt("/").value().free_bytes, 0u) << "still open";
  a.reset();
  EXPECT_EQ(fs.SpaceAt("/").value().free_bytes, 2 * wal::kBlockBytes);
}

TEST(SimFsFaults, RemovedFilesDoNotPileUp) {
  SimFs fs;
  for (int i = 0; i < 1000; ++i) {
    const std::string name = std::to_string(i);
    auto file = MustOpen(fs, name, OpenMode::kCreateNew);
    ASSERT_OK(fs.SyncDirectory("/"));
    ASSERT_OK(fs.Remove(name));
    ASSERT_OK(fs.SyncDirectory("/"));
    ASSERT_OK(file->Write(0, "an open file outlives its name"));
    ASSERT_EQ(file->SizeBytes().value(), 30u);
  }
  EXPECT_LT(fs.disk().inodes(), 100u);
}

// ---- States as values. ----

TEST(SimFsFaults, ASecondFaultFallsIntoTheHandlingOfTheFirst) {
  SimFs fs;
  auto file = MakeDurable(fs, "a", "x");
  fs.Inject({.calls = {SimCall::kSync, SimCall::kRemove}, .nth = 2});
  fs.Inject({.after_another = true, .status = NoSpace("second")});
  EXPECT_OK(file->Write(0, "y"));
  EXPECT_OK(file->Sync());
  EXPECT_EQ(file->Sync().code(), StatusCode::kIoError);
  EXPECT_OK(file->Sync()) << "of the same kind";
  EXPECT_EQ(file->Write(0, "z").code(), StatusCode::kNoSpace);
  EXPECT_OK(file->Write(0, "z"));
  EXPECT_OK(fs.Remove("a"));
  EXPECT_EQ(fs.faults_hit(), 2u);
}

TEST(SimDiskStates, AStateIsIndependentOfTheDiskItCameFrom) {
  SimFs fs;
  auto file = MakeDurable(fs, "a", "old");
  ASSERT_OK(file->Write(0, "new"));
  SimFs after(fs.disk().Crash({.keep = Keep::kNone}));
  ASSERT_OK(MustOpen(after, "a", OpenMode::kReadWrite)->Write(0, "xxx"));
  EXPECT_EQ(Contents(fs, "a"), "new");
  ASSERT_OK(file->Write(0, "NEW"));
  EXPECT_EQ(Contents(after, "a"), "xxx");
}

TEST(SimDiskStates, TheHashTellsStatesApart) {
  SimFs fs;
  auto file = MakeDurable(fs, "a", "x");
  const uint64_t hash = fs.disk().Hash();
  ASSERT_OK(file->Write(0, "y"));
  EXPECT_NE(fs.disk().Hash(), hash);
  ASSERT_OK(file->Write(0, "x"));
  EXPECT_EQ(fs.disk().Hash(), hash);
  ASSERT_OK(file->Truncate(5000));
  EXPECT_NE(fs.disk().Hash(), hash);
  ASSERT_OK(file->Write(4999, std::string(1, '\0')));
  ASSERT_OK(file->Truncate(1));
  EXPECT_EQ(fs.disk().Hash(), hash) << "blocks of zeros count like absent ones";
  ASSERT_OK(fs.Rename("a", "b"));
  EXPECT_NE(fs.disk().Hash(), hash);
}

TEST(SimDiskStates, AChoiceCanBeWrittenDownAndReadBack) {
  const CrashChoice choices[] = {
      {},
      {.keep = Keep::kAll, .fill = Fill::kCut, .tear_at = 17},
      {.keep = Keep::kRandomPieces, .argument = ~0ull, .fill = Fill::kOld},
      {.keep = Keep::kUnits, .argument = 5, .fill = Fill::kOnes},
  };
  for (const CrashChoice& choice : choices) {
    EXPECT_EQ(CrashChoice::Parse(choice.ToString()), choice) << choice.ToString();
  }
  EXPECT_EQ(CrashChoice::Parse("zeros"), std::nullopt);
  EXPECT_EQ(CrashChoice::Parse("all,nonsense"), std::nullopt);
}

TEST(SimDiskStates, DescribeNamesEveryPendingUnit) {
  SimFs fs;
  auto file = MakeDurable(fs, "a", "x");
  ASSERT_OK(file->Write(1, "yz"));
  ASSERT_OK(fs.Rename("a", "b"));
  EXPECT_EQ(fs.disk().Describe(), "0: write a [1, 3) size 3\n1: rename a -> b\n");
}

TEST(SimDiskStates, AStateOfALargeFileCostsWhatItChanges) {
  SimFs fs;
  auto file = MakeDurable(fs, "a", "");
  constexpr uint64_t kFileBytes = 1ull << 30;  // 256 copies would not fit.
  ASSERT_OK(file->Allocate(kFileBytes));
  ASSERT_OK(file->Sync());
  ASSERT_OK(file->Write(kFileBytes - 4096, std::string(4096, 'x')));
  SeenStates seen;
  const CrashCount count = ForEachCrashState(fs.disk(), {.tears_max = 0}, seen, 0,
                                             [](const CrashChoice&, const SimDisk&) {});
  EXPECT_EQ(count.visited, 256u);
}

TEST(SimDiskStates, AStateThatIsNotWantedIsNeitherMadeNorTakenForSeen) {
  SimFs fs;
  auto file = MakeDurable(fs, "a", "");
  ASSERT_OK(file->Allocate(4096));
  ASSERT_OK(file->Sync());
  ASSERT_OK(file->Write(0, std::string(1024, 'x')));
  CrashPlan plan{.tears_max = 0};
  SeenStates seen;
  const auto count = [&] {
    return ForEachCrashState(fs.disk(), plan, seen, 0, [](const CrashChoice&, const SimDisk&) {});
  };
  plan.wanted = [](const CrashChoice& choice) { return choice.keep == Keep::kNone; };
  EXPECT_EQ(count().choices, 1u);
  EXPECT_EQ(seen.size(), 1u);
  plan.wanted = nullptr;
  EXPECT_EQ(count().visited, 3u) << "all, and each sector alone";
}

TEST(SimDiskStates, PatchDamagesWhatIsDurable) {
  SimFs fs;
  MakeDurable(fs, "a", "abc");
  SimDisk disk = fs.disk();
  ASSERT_OK(disk.Patch("a", 1, "X"));
  EXPECT_EQ(disk.Crash({}).Contents("a").value(), "aXc");
  EXPECT_EQ(disk.Patch("b", 0, "X").code(), StatusCode::kNotFound);
}

TEST(SimFsThreads, FilesMayBeWrittenAndStatesTakenAtOnce) {
  SimFs fs;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&fs, i] {
      auto file = MustOpen(fs, std::to_string(i), OpenMode::kCreate);
      for (uint64_t at = 0; at < 200; ++at) {
        EXPECT_OK(file->Write(at, "x"));
        if (at % 10 == 0) {
          EXPECT_OK(file->Sync());
        }
      }
    });
  }
  for (uint64_t i = 0; i < 50; ++i) {
    // States share blocks with the disk that the other threads go on writing to.
    SimFs after(fs.disk().Crash({.keep = Keep::kRandomPieces, .argument = i}));
    EXPECT_OK(MustOpen(after, "0", OpenMode::kCreate)->Write(0, "y"));
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Contents(fs, std::to_string(i)), std::string(200, 'x'));
}

}  // namespace
}  // namespace tailrace::test
