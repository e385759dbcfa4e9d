// What opening makes of damaged, torn, foreign and incomplete files: refused with the place, or cut
// with a copy, or put aside, and never taken for something else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "tests/wal/journal_rig.h"
#include "wal/coding.h"
#include "wal/hash.h"
#include "wal/recovery.h"
#include "wal/segment.h"

namespace tailrace::wal {
namespace {

using test::SimDisk;
using test::SimFs;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kDirectory[] = "/journal";

std::string PathOf(uint64_t base) { return JoinPath(kDirectory, SegmentFileName(base)); }

class JournalRecoveryTest : public ::testing::TestWithParam<Durability> {
 protected:
  JournalRecoveryTest()
      : options_(SmallJournal(GetParam(), JournalThreads::kNone)),
        rig_(fs_, kDirectory, options_) {}

  // Appends frames, each durable before the next, so that each is marked by its successor.
  void AppendDurable(Journal& journal, int count, uint64_t payload_bytes = 100) {
    for (int i = 0; i < count; ++i) {
      AppendFrame(journal, std::string(payload_bytes, static_cast<char>('a' + i % 26)), frames_);
      ASSERT_OK(journal.Sync());
    }
  }

  // A journal whose process dies with `count` durable frames.
  void MakeKilled(int count, uint64_t payload_bytes = 100) {
    auto journal = rig_.Open();
    ASSERT_NE(journal, nullptr);
    AppendDurable(*journal, count, payload_bytes);
    journal = nullptr;
    fs_.KillProcess();
  }

  void MakeClosed(int count, uint64_t payload_bytes = 100) {
    auto journal = rig_.Open();
    ASSERT_NE(journal, nullptr);
    AppendDurable(*journal, count, payload_bytes);
    ASSERT_OK(journal->Close());
    journal = nullptr;
    fs_.KillProcess();
  }

  // Opens what `damage` makes of the disk.
  Result<std::unique_ptr<Journal>> OpenDamaged(const std::function<void(SimDisk&)>& damage) {
    SimDisk disk = fs_.disk();
    damage(disk);
    damaged_ = std::make_unique<SimFs>(std::move(disk));
    JournalRig rig(*damaged_, kDirectory, options_);
    rig.start = rig_.start;
    return rig.TryOpen();
  }

  Result<std::unique_ptr<Journal>> OpenPatched(const std::string& path, uint64_t offset,
                                               const std::string& bytes) {
    return OpenDamaged([&](SimDisk& disk) { ASSERT_OK(disk.Patch(path, offset, bytes)); });
  }

  // The same with file operations.
  Result<std::unique_ptr<Journal>> OpenChanged(const std::function<void(FileSystem&)>& change) {
    damaged_ = std::make_unique<SimFs>(fs_.disk());
    change(*damaged_);
    JournalRig rig(*damaged_, kDirectory, options_);
    rig.start = rig_.start;
    return rig.TryOpen();
  }

  uint64_t OffsetOf(Lsn at, uint64_t base = kFirstLsn.value) const {
    return kSegmentHeaderBytes + (at.value - base);
  }

  static std::vector<KnownFrame> FirstOf(const std::vector<KnownFrame>& frames, size_t count) {
    return {frames.begin(), frames.begin() + static_cast<ptrdiff_t>(count)};
  }

  SimFs fs_;
  std::unique_ptr<SimFs> damaged_;
  JournalOptions options_;
  JournalRig rig_;
  std::vector<KnownFrame> frames_;
};

INSTANTIATE_TEST_SUITE_P(Modes, JournalRecoveryTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         [](const auto& mode) {
                           return mode.param == Durability::kSync ? "Sync" : "Buffered";
                         });

// --- Torn or corrupt. ---

TEST_P(JournalRecoveryTest, DamageToAMarkedFrameIsRefusedWithItsPlace) {
  MakeKilled(5);
  const Lsn at = frames_[2].lsn;
  const auto opened = OpenPatched(PathOf(kFirstLsn.value), OffsetOf(at) + kFrameHeaderBytes, "!");
  ASSERT_EQ(opened.status().code(), StatusCode::kCorruption);
  EXPECT_THAT(opened.status().message(), HasSubstr(PathOf(kFirstLsn.value)));
  EXPECT_THAT(opened.status().message(), HasSubstr("offset " + std::to_string(OffsetOf(at))));
  EXPECT_THAT(opened.status().message(),
              HasSubstr("positions [" + std::to_string(at.value) + ", "));
  EXPECT_THAT(opened.status().message(), HasSubstr("payload hash differs"));
}

TEST_P(JournalRecoveryTest, RefusalChangesNothing) {
  MakeKilled(5);
  const auto opened = OpenPatched(PathOf(kFirstLsn.value), OffsetOf(frames_[2].lsn), "!");
  ASSERT_EQ(opened.status().code(), StatusCode::kCorruption);
  EXPECT_EQ(damaged_->operations(), 0u);
}

// The window that stays: nothing written later says that the last group was durable.
TEST_P(JournalRecoveryTest, DamageToTheLastGroupIsCutAndCopied) {
  MakeKilled(5);
  const KnownFrame& last = frames_.back();
  const auto opened =
      OpenPatched(PathOf(kFirstLsn.value), OffsetOf(last.lsn) + kFrameHeaderBytes, "!");
  ASSERT_OK(opened);
  EXPECT_THAT(ReadAll(**opened, Lsn{0}), ElementsAreArray(FirstOf(frames_, 4)));
  const JournalRecovery& recovery = (*opened)->recovery();
  EXPECT_EQ(recovery.end, last.lsn);
  EXPECT_GT(recovery.torn_bytes, last.end - last.lsn - 1);
  const auto copy = damaged_->disk().Contents(recovery.torn_copy);
  ASSERT_OK(copy);
  EXPECT_EQ(copy->size(), recovery.torn_bytes);
  EXPECT_EQ(copy->substr(kFrameHeaderBytes, last.payload.size()), "!" + last.payload.substr(1));
}

// As a write that went to the wrong place leaves it: whole, and of this epoch.
TEST_P(JournalRecoveryTest, AFrameInThePlaceOfAnotherIsNotSeen) {
  MakeKilled(5);
  const std::string path = PathOf(kFirstLsn.value);
  const auto bytes = fs_.disk().Contents(path);
  ASSERT_OK(bytes);
  const KnownFrame& moved = frames_[3];
  const auto opened = OpenPatched(path, OffsetOf(frames_[4].lsn),
                                  bytes->substr(OffsetOf(moved.lsn), moved.end - moved.lsn));
  ASSERT_OK(opened);
  EXPECT_THAT(ReadAll(**opened, Lsn{0}), ElementsAreArray(FirstOf(frames_, 4)));
  EXPECT_EQ((*opened)->recovery().end, frames_[4].lsn);
}

TEST_P(JournalRecoveryTest, KnowledgeFromOutsideClosesTheWindow) {
  MakeKilled(5);
  rig_.start.known_durable = frames_.back().end;
  const auto opened =
      OpenPatched(PathOf(kFirstLsn.value), OffsetOf(frames_.back().lsn) + kFrameHeaderBytes, "!");
  EXPECT_EQ(opened.status().code(), StatusCode::kCorruption);
  EXPECT_THAT(opened.status().message(), HasSubstr("known from outside"));
}

TEST_P(JournalRecoveryTest, CloseFrameClosesTheWindow) {
  MakeClosed(5);
  const auto opened =
      OpenPatched(PathOf(kFirstLsn.value), OffsetOf(frames_.back().lsn) + kFrameHeaderBytes, "!");
  EXPECT_EQ(opened.status().code(), StatusCode::kCorruption);
}

TEST_P(JournalRecoveryTest, TheNextEpochSaysWhereTheOldOneEnded) {
  MakeKilled(5);
  auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  journal = nullptr;
  fs_.KillProcess();
  const auto opened =
      OpenPatched(PathOf(kFirstLsn.value), OffsetOf(frames_.back().lsn) + kFrameHeaderBytes, "!");
  EXPECT_EQ(opened.status().code(), StatusCode::kCorruption);
  EXPECT_THAT(opened.status().message(), HasSubstr("next epoch"));
}

TEST_P(JournalRecoveryTest, ATornTailStaysCutWhenItsBytesComeBack) {
  MakeKilled(5);
  SimDisk with_tail = fs_.disk();
  const std::string path = PathOf(kFirstLsn.value);
  const auto whole = with_tail.Contents(path);
  ASSERT_OK(whole);
  // The last frame is lost, the journal goes on without it, and then its bytes are there again.
  {
    const auto opened = OpenPatched(path, OffsetOf(frames_.back().lsn), std::string(8, '\0'));
    ASSERT_OK(opened);
    AppendDurable(**opened, 1);
    ASSERT_OK((*opened)->Close());
  }
  const KnownFrame later = frames_.back();
  frames_.resize(4);
  frames_.push_back(later);
  SimFs again(damaged_->disk());
  {
    const auto file = again.Open(path, OpenMode::kReadWrite);
    ASSERT_OK(file);
    ASSERT_OK((*file)->Write(0, *whole));
    ASSERT_OK((*file)->Sync());
  }
  JournalRig rig(again, kDirectory, options_);
  const auto journal = rig.Open();
  ASSERT_NE(journal, nullptr);
  EXPECT_THAT(ReadAll(*journal, Lsn{0}), ElementsAreArray(frames_));
}

TEST_P(JournalRecoveryTest, TornCopiesAreBounded) {
  for (int round = 0; round < 14; ++round) {
    auto journal = rig_.Open();
    ASSERT_NE(journal, nullptr);
    const Lsn last = AppendFrame(*journal, "torn", frames_).frame.lsn;
    ASSERT_OK(journal->Sync());
    const uint64_t base = journal->recovery().start.value;
    journal = nullptr;
    fs_.KillProcess();
    const auto file = fs_.Open(PathOf(base), OpenMode::kReadWrite);
    ASSERT_OK(file);
    ASSERT_OK((*file)->Write(OffsetOf(last, base) + kFrameHeaderBytes, "!"));
  }
  ASSERT_NE(rig_.Open(), nullptr);
  size_t copies = 0;
  for (const std::string& path : fs_.disk().Files()) copies += path.ends_with(".torn") ? 1 : 0;
  EXPECT_EQ(copies, 8u);
}

// --- Files. ---

TEST_P(JournalRecoveryTest, MissingSegmentInTheMiddleIsRefused) {
  MakeKilled(60, 3000);
  const uint64_t data_bytes = SegmentDataBytes(options_.segment_bytes);
  const auto opened = OpenChanged(
      [&](FileSystem& fs) { ASSERT_OK(fs.Remove(PathOf(kFirstLsn.value + data_bytes))); });
  ASSERT_EQ(opened.status().code(), StatusCode::kCorruption);
  EXPECT_THAT(opened.status().message(),
              HasSubstr("[" + std::to_string(kFirstLsn.value + data_bytes) + ", " +
                        std::to_string(kFirstLsn.value + 2 * data_bytes) + ")"));
}

TEST_P(JournalRecoveryTest, MissingBeginningIsRefusedUnlessNotNeeded) {
  MakeKilled(60, 3000);
  const uint64_t data_bytes = SegmentDataBytes(options_.segment_bytes);
  const auto remove_first = [&](FileSystem& fs) { ASSERT_OK(fs.Remove(PathOf(kFirstLsn.value))); };
  auto opened = OpenChanged(remove_first);
  ASSERT_EQ(opened.status().code(), StatusCode::kCorruption);
  EXPECT_THAT(opened.status().message(), HasSubstr("trimmed past the checkpoint"));
  size_t kept = 0;
  while (frames_[kept].lsn < kFirstLsn + data_bytes) ++kept;
  rig_.start.from = frames_[kept].lsn;
  opened = OpenChanged(remove_first);
  ASSERT_OK(opened);
  EXPECT_EQ(ReadAll(**opened, rig_.start.from).size(), frames_.size() - kept);
}

TEST_P(JournalRecoveryTest, MissingEndIsFoundByWhatIsKnownOutside) {
  MakeKilled(60, 3000);
  const auto remove_later = [&](FileSystem& fs) {
    const auto entries = fs.List(kDirectory);
    ASSERT_OK(entries);
    for (const DirectoryEntry& entry : *entries) {
      if (entry.name > SegmentFileName(kFirstLsn.value)) {
        ASSERT_OK(fs.Remove(JoinPath(kDirectory, entry.name)));
      }
    }
  };
  rig_.start.known_durable = frames_.back().end;
  EXPECT_EQ(OpenChanged(remove_later).status().code(), StatusCode::kCorruption);
}

TEST_P(JournalRecoveryTest, MissingEarlierEpochIsRefusedUnlessNotNeeded) {
  MakeKilled(3);
  auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  AppendDurable(*journal, 2);
  const Lsn start = journal->recovery().start;
  journal = nullptr;
  fs_.KillProcess();
  const auto remove_first = [&](FileSystem& fs) { ASSERT_OK(fs.Remove(PathOf(kFirstLsn.value))); };
  EXPECT_EQ(OpenChanged(remove_first).status().code(), StatusCode::kCorruption);
  rig_.start.from = start;
  EXPECT_OK(OpenChanged(remove_first));
}

TEST_P(JournalRecoveryTest, RenamedSegmentIsRefusedByName) {
  MakeKilled(60, 3000);
  const uint64_t data_bytes = SegmentDataBytes(options_.segment_bytes);
  const std::string wrong = PathOf(kFirstLsn.value + 40 * data_bytes);
  const auto opened =
      OpenChanged([&](FileSystem& fs) { ASSERT_OK(fs.Link(PathOf(kFirstLsn.value), wrong)); });
  ASSERT_EQ(opened.status().code(), StatusCode::kCorruption);
  EXPECT_THAT(opened.status().message(), HasSubstr(wrong));
}

TEST_P(JournalRecoveryTest, ForeignStoreIsRefused) {
  MakeKilled(2);
  rig_.start.store_id = StoreId{99};
  const auto opened = rig_.TryOpen();
  ASSERT_EQ(opened.status().code(), StatusCode::kCorruption);
  EXPECT_THAT(opened.status().message(), HasSubstr("another store"));
}

TEST_P(JournalRecoveryTest, NewerVersionIsUnsupported) {
  MakeKilled(2);
  std::string header = fs_.disk().Contents(PathOf(kFirstLsn.value))->substr(0, kSegmentHeaderBytes);
  header[kSegmentVersionAt] = kFormatVersion + 1;
  StoreLittle<uint64_t>(header.data() + kSegmentHashAt,
                        Hash64(ByteView(header).substr(0, kSegmentHashAt)));
  const auto opened = OpenPatched(PathOf(kFirstLsn.value), 0, header);
  EXPECT_EQ(opened.status().code(), StatusCode::kUnsupported);
  EXPECT_EQ(damaged_->operations(), 0u);
}

TEST_P(JournalRecoveryTest, EmptyDirectoryIsALossUnlessToldOtherwise) {
  rig_.start.may_create = false;
  EXPECT_EQ(rig_.TryOpen().status().code(), StatusCode::kCorruption);
  ASSERT_OK(fs_.CreateDirectory(kDirectory));
  EXPECT_EQ(rig_.TryOpen().status().code(), StatusCode::kCorruption);
  rig_.start.may_create = true;
  rig_.start.known_durable = Lsn{5000};
  EXPECT_EQ(rig_.TryOpen().status().code(), StatusCode::kCorruption);
  rig_.start.known_durable = Lsn{0};
  EXPECT_OK(rig_.TryOpen());
}

TEST_P(JournalRecoveryTest, HalfMadeLastSegmentIsRemoved) {
  MakeKilled(3);
  const uint64_t next = kFirstLsn.value + SegmentDataBytes(options_.segment_bytes);
  for (const std::string& bytes :
       {std::string(), std::string(100, 'x'), std::string(options_.segment_bytes, '\0')}) {
    const auto opened = OpenChanged([&](FileSystem& fs) {
      const auto file = fs.Open(PathOf(next), OpenMode::kCreateNew);
      ASSERT_OK(file);
      ASSERT_OK((*file)->Write(0, bytes));
    });
    ASSERT_OK(opened);
    EXPECT_THAT(ReadAll(**opened, Lsn{0}), ElementsAreArray(frames_));
  }
}

TEST_P(JournalRecoveryTest, DamagedHeaderOverFramesIsRefused) {
  MakeKilled(3);
  const auto opened = OpenPatched(PathOf(kFirstLsn.value), 20, "!");
  ASSERT_EQ(opened.status().code(), StatusCode::kCorruption);
  EXPECT_THAT(opened.status().message(), HasSubstr("header is damaged"));
}

TEST_P(JournalRecoveryTest, DamagedHeaderBeforeLaterSegmentsIsRefused) {
  MakeKilled(60, 3000);
  const auto opened = OpenPatched(PathOf(kFirstLsn.value), 0, std::string(4096, '\0'));
  ASSERT_EQ(opened.status().code(), StatusCode::kCorruption);
  EXPECT_THAT(opened.status().message(), HasSubstr("later segments exist"));
}

TEST_P(JournalRecoveryTest, SparesAndTemporaryFilesAreRemoved) {
  MakeKilled(2);
  const auto opened = OpenChanged([&](FileSystem& fs) {
    ASSERT_OK(fs.Open(JoinPath(kDirectory, "spare-9.seg"), OpenMode::kCreateNew));
    ASSERT_OK(fs.Open(JoinPath(kDirectory, "x.seg.torn.tmp"), OpenMode::kCreateNew));
    ASSERT_OK(fs.Open(JoinPath(kDirectory, "notes.txt"), OpenMode::kCreateNew));
  });
  ASSERT_OK(opened);
  EXPECT_FALSE(*damaged_->Exists(JoinPath(kDirectory, "spare-9.seg")));
  EXPECT_FALSE(*damaged_->Exists(JoinPath(kDirectory, "x.seg.torn.tmp")));
  EXPECT_TRUE(*damaged_->Exists(JoinPath(kDirectory, "notes.txt")));
}

TEST_P(JournalRecoveryTest, CutShortFileIsRefusedWhereItWasDurable) {
  MakeKilled(5);
  const auto truncate_to = [&](Lsn at) {
    return OpenChanged([&](FileSystem& fs) {
      const auto file = fs.Open(PathOf(kFirstLsn.value), OpenMode::kReadWrite);
      ASSERT_OK(file);
      ASSERT_OK((*file)->Truncate(OffsetOf(at) + 20));
    });
  };
  // Whatever marked the frames is gone with them: it looks like a tail that never was.
  const auto opened = truncate_to(frames_[2].lsn);
  ASSERT_OK(opened);
  EXPECT_THAT(ReadAll(**opened, Lsn{0}), ElementsAreArray(FirstOf(frames_, 2)));
  rig_.start.known_durable = frames_[2].end;
  EXPECT_EQ(truncate_to(frames_[2].lsn).status().code(), StatusCode::kCorruption);
}

TEST_P(JournalRecoveryTest, ReadErrorIsNotTheEndOfTheLog) {
  MakeKilled(5);
  for (uint64_t nth = 1;; ++nth) {
    fs_.ClearFaults();
    fs_.Inject({.call = test::SimCall::kRead, .nth = nth});
    const uint64_t hit_before = fs_.faults_hit();
    const auto plan = PlanRecovery(fs_, kDirectory, rig_.start);
    if (fs_.faults_hit() == hit_before) {
      EXPECT_GT(nth, 1u);
      EXPECT_OK(plan);
      break;
    }
    EXPECT_EQ(plan.status().code(), StatusCode::kIoError);
  }
}

TEST_P(JournalRecoveryTest, TheOtherDurabilityReadsItToo) {
  MakeKilled(5);
  rig_.options().durability =
      GetParam() == Durability::kSync ? Durability::kBuffered : Durability::kSync;
  auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  AppendDurable(*journal, 5);
  ASSERT_OK(journal->Close());
  journal = nullptr;
  rig_.options().durability = GetParam();
  rig_.Reopen(journal);
  ASSERT_NE(journal, nullptr);
  EXPECT_THAT(ReadAll(*journal, Lsn{0}), ElementsAreArray(frames_));
}

TEST_P(JournalRecoveryTest, HugeSparseFileCostsNoMemory) {
  MakeKilled(2);
  const uint64_t next = kFirstLsn.value + SegmentDataBytes(options_.segment_bytes);
  const auto opened = OpenChanged([&](FileSystem& fs) {
    const auto file = fs.Open(PathOf(next), OpenMode::kCreateNew);
    ASSERT_OK(file);
    ASSERT_OK((*file)->Truncate(uint64_t{1} << 45));
  });
  ASSERT_OK(opened);
  EXPECT_THAT(ReadAll(**opened, Lsn{0}), ElementsAreArray(frames_));
}

TEST_P(JournalRecoveryTest, EpochsEndInARefusal) {
  rig_.start.epoch_floor = Epoch{~uint32_t{0}};
  EXPECT_EQ(rig_.TryOpen().status().code(), StatusCode::kUnsupported);
  rig_.start.epoch_floor = Epoch{~uint32_t{0} - 1};
  EXPECT_OK(rig_.TryOpen());
}

// --- Stale bytes. ---

TEST_P(JournalRecoveryTest, FramesOfARecycledFileAreNotSeen) {
  auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  // Frames of one size, so that old ones lie exactly where new ones would.
  const uint64_t three_and_a_half_segments = SegmentDataBytes(options_.segment_bytes) * 7 / 2;
  while (journal->appended() < kFirstLsn + three_and_a_half_segments) {
    AppendDurable(*journal, 1, 4096 - kFrameHeaderBytes);
    journal->Recycle(frames_.back().lsn);
  }
  const KnownFrame last = frames_.back();
  journal = nullptr;
  fs_.KillProcess();
  // The file that `last` lies in was used before, and old frames stand behind it.
  const uint64_t data_bytes = SegmentDataBytes(options_.segment_bytes);
  const uint64_t base =
      kFirstLsn.value + (last.lsn.value - kFirstLsn.value) / data_bytes * data_bytes;
  const auto bytes = fs_.disk().Contents(PathOf(base));
  ASSERT_OK(bytes);
  const uint64_t behind = OffsetOf(last.end, base);
  ASSERT_LT(behind + kFrameHeaderBytes, bytes->size());
  EXPECT_EQ(LoadLittle<uint32_t>(bytes->data() + behind), kFrameMagic);

  rig_.start.from = last.lsn;
  rig_.Reopen(journal);
  ASSERT_NE(journal, nullptr);
  EXPECT_EQ(journal->recovery().end, last.end);
  EXPECT_EQ(journal->recovery().torn_bytes, 0u);
  EXPECT_EQ(ReadAll(*journal, last.lsn).size(), 1u);
}

// --- What was shown stays. ---

// After a failed sync the page cache shows bytes that are not on disk, even when synced again.
TEST_P(JournalRecoveryTest, FramesShownAfterAFailedSyncSurviveThePower) {
  auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  AppendDurable(*journal, 3);
  AppendFrame(*journal, "in doubt", frames_);
  fs_.Inject({.call = GetParam() == Durability::kSync ? test::SimCall::kWriteDurable
                                                      : test::SimCall::kMapSync,
              .written_bytes = kBlockBytes});
  EXPECT_EQ(journal->Sync().code(), StatusCode::kOutcomeUnknown);
  journal = nullptr;
  fs_.KillProcess();
  fs_.ClearFaults();

  rig_.Reopen(journal);
  ASSERT_NE(journal, nullptr);
  const std::vector<KnownFrame> shown = ReadAll(*journal, Lsn{0});
  EXPECT_THAT(shown, ElementsAreArray(frames_));
  journal = nullptr;
  fs_.CutPower({.keep = test::CrashChoice::Keep::kNone});
  rig_.Reopen(journal);
  ASSERT_NE(journal, nullptr);
  EXPECT_THAT(ReadAll(*journal, Lsn{0}), ElementsAreArray(shown));
}

TEST_P(JournalRecoveryTest, OpeningFailsWhenTheTailCannotBeMadeDurable) {
  MakeKilled(3);
  fs_.Inject({.call = test::SimCall::kSync, .path_part = SegmentFileName(kFirstLsn.value)});
  EXPECT_EQ(rig_.TryOpen().status().code(), StatusCode::kIoError);
  EXPECT_EQ(fs_.faults_hit(), 1u);
  fs_.ClearFaults();
  fs_.KillProcess();
  const auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  EXPECT_THAT(ReadAll(*journal, Lsn{0}), ElementsAreArray(frames_));
}

TEST_P(JournalRecoveryTest, EpochsTellWherePositionsJump) {
  MakeKilled(2);
  auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  AppendDurable(*journal, 2);
  ASSERT_OK(journal->Close());
  rig_.Reopen(journal);
  ASSERT_NE(journal, nullptr);
  const std::vector<EpochStart>& epochs = journal->recovery().epochs;
  ASSERT_EQ(epochs.size(), 3u);
  EXPECT_FALSE(epochs[1].clean);
  EXPECT_TRUE(epochs[2].clean);
  EXPECT_GE(epochs[1].old_end, frames_[1].end);
  EXPECT_GE(epochs[2].old_end, frames_[3].end);
  for (size_t i = 0; i < epochs.size(); ++i) {
    EXPECT_EQ(epochs[i].epoch, Epoch{static_cast<uint32_t>(i + 1)});
    EXPECT_LT(epochs[i].old_end, epochs[i].new_start);
  }
  // Only the jumps that the caller still has before it.
  rig_.start.from = epochs[1].new_start;
  journal = nullptr;
  rig_.Reopen(journal);
  ASSERT_NE(journal, nullptr);
  ASSERT_EQ(journal->recovery().epochs.size(), 2u);
  EXPECT_EQ(journal->recovery().epochs[0].epoch, Epoch{3});
}

TEST_P(JournalRecoveryTest, EpochFloorIsRespected) {
  rig_.start.epoch_floor = Epoch{40};
  const auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  EXPECT_EQ(journal->recovery().epoch, Epoch{41});
}

TEST_P(JournalRecoveryTest, OpeningsThatNeverFinishLeaveNoTrace) {
  MakeKilled(3);
  int unfinished = 0;
  for (uint64_t nth = 1; nth < 40; ++nth) {
    fs_.CutPowerAt(nth, test::CrashMoment::kDuring);
    const auto failed = rig_.TryOpen();
    const bool cut = fs_.power_is_cut();
    fs_.CutPower({.keep = test::CrashChoice::Keep::kAll});
    if (!cut) break;
    unfinished += failed.ok() ? 0 : 1;
  }
  EXPECT_GT(unfinished, 5);
  const auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  EXPECT_THAT(ReadAll(*journal, Lsn{0}), ElementsAreArray(frames_));
  EXPECT_GT(journal->recovery().epoch, Epoch{2});
}

// --- Tools. ---

TEST_P(JournalRecoveryTest, ScanShowsFramesAndWhereTheyEnd) {
  MakeKilled(3);
  auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  AppendDurable(*journal, 2);
  ASSERT_OK(journal->Close());
  std::vector<KnownFrame> callers;
  size_t epochs = 0, closes = 0;
  auto summaries = ScanJournal(fs_, kDirectory, [&](const Frame& frame) {
    if (frame.type == kTestFrame) callers.push_back(Remember(frame));
    epochs += frame.type == FrameType::kEpoch ? 1 : 0;
    closes += frame.type == FrameType::kClose ? 1 : 0;
    return true;
  });
  ASSERT_OK(summaries);
  EXPECT_THAT(callers, ElementsAreArray(frames_));
  EXPECT_EQ(epochs, 2u);
  EXPECT_EQ(closes, 1u);
  ASSERT_EQ(summaries->size(), 2u);
  EXPECT_THAT((*summaries)[0].problem, IsEmpty());
  EXPECT_GE((*summaries)[0].valid_end, frames_[2].end);

  SimDisk disk = fs_.disk();
  ASSERT_OK(disk.Patch(PathOf(kFirstLsn.value), OffsetOf(frames_[1].lsn) + kFrameHeaderBytes, "!"));
  SimFs damaged(disk);
  summaries = ScanJournal(damaged, kDirectory, [](const Frame&) { return true; });
  ASSERT_OK(summaries);
  EXPECT_THAT((*summaries)[0].problem, HasSubstr("payload hash differs"));
  EXPECT_EQ((*summaries)[0].valid_end, frames_[1].lsn);
}

// A segment that its owner gives up before it is read.
TEST_P(JournalRecoveryTest, ScanLeavesOutWhatIsRecycledMeanwhile) {
  MakeKilled(2);
  auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  AppendDurable(*journal, 2);
  ASSERT_OK(journal->Close());
  const auto all = ScanJournal(fs_, kDirectory, [](const Frame&) { return true; });
  ASSERT_OK(all);
  ASSERT_EQ(all->size(), 2u);
  bool removed = false;
  const auto summaries = ScanJournal(fs_, kDirectory, [&](const Frame&) {
    if (!std::exchange(removed, true)) {
      EXPECT_OK(fs_.Remove(all->at(1).path));
    }
    return true;
  });
  ASSERT_OK(summaries);
  ASSERT_EQ(summaries->size(), 1u);
  EXPECT_EQ(summaries->at(0).path, all->at(0).path);
}

TEST_P(JournalRecoveryTest, ScanStopsWhenToldTo) {
  MakeKilled(3);
  size_t seen = 0;
  ASSERT_OK(ScanJournal(fs_, kDirectory, [&](const Frame&) { return ++seen < 2; }));
  EXPECT_EQ(seen, 2u);
}

}  // namespace
}  // namespace tailrace::wal
