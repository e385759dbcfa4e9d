// The journal as its callers see it, on the simulated and the real disk, in both durabilities, with
// and without threads of its own.
#include "wal/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <tuple>

#include "tests/wal/journal_rig.h"

namespace tailrace::wal {
namespace {

using ::testing::ElementsAreArray;

enum class Disk { kSimulated, kReal };

class JournalTest : public ::testing::TestWithParam<std::tuple<Disk, Durability, JournalThreads>> {
 protected:
  JournalTest()
      : rig_(std::get<0>(GetParam()) == Disk::kReal ? FileSystem::Posix() : sim_,
             std::get<0>(GetParam()) == Disk::kReal ? temp_.path() + "/journal" : "/journal",
             SmallJournal(std::get<1>(GetParam()), std::get<2>(GetParam()))) {}

  test::SimFs sim_;
  test::TempDir temp_;
  JournalRig rig_;
  std::vector<KnownFrame> frames_;
};

std::string ParamName(const ::testing::TestParamInfo<JournalTest::ParamType>& info) {
  std::string name = std::get<0>(info.param) == Disk::kReal ? "Real" : "Simulated";
  name += std::get<1>(info.param) == Durability::kSync ? "Sync" : "Buffered";
  name += std::get<2>(info.param) == JournalThreads::kOwn ? "Threads" : "NoThreads";
  return name;
}

INSTANTIATE_TEST_SUITE_P(
    Ways, JournalTest,
    ::testing::Combine(::testing::Values(Disk::kSimulated, Disk::kReal),
                       ::testing::Values(Durability::kSync, Durability::kBuffered),
                       ::testing::Values(JournalThreads::kOwn, JournalThreads::kNone)),
    ParamName);

TEST_P(JournalTest, NewJournalIsEmpty) {
  const auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  EXPECT_EQ(journal->recovery().epoch, Epoch{1});
  EXPECT_EQ(journal->recovery().start, kFirstLsn);
  EXPECT_EQ(journal->recovery().end, Lsn{0});
  EXPECT_EQ(journal->recovery().frames, 0u);
  ASSERT_EQ(journal->recovery().epochs.size(), 1u);
  EXPECT_EQ(journal->recovery().epochs[0].old_end, Lsn{0});
  EXPECT_EQ(journal->recovery().epochs[0].new_start, kFirstLsn);
  EXPECT_EQ(journal->durable(), journal->appended());
  EXPECT_EQ(journal->Read(Lsn{0}).status().code(), StatusCode::kNotFound);
}

TEST_P(JournalTest, FramesAreReadBackInOrder) {
  const auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  Lsn previous_end = journal->recovery().start;
  for (size_t i = 0; i < 3000; ++i) {
    const Appended appended =
        AppendFrame(*journal, std::string(i % 301, char('a' + i % 26)), frames_);
    EXPECT_EQ(appended.previous_end, previous_end);
    previous_end = appended.frame.end;
  }
  ASSERT_OK(journal->Sync());
  EXPECT_EQ(journal->durable(), journal->appended());
  EXPECT_THAT(ReadAll(*journal, Lsn{0}), ElementsAreArray(frames_));
}

TEST_P(JournalTest, FramesSurviveReopening) {
  auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  for (size_t round = 0; round < 4; ++round) {
    for (size_t i = 0; i < 700; ++i) {
      AppendFrame(*journal, std::string((round * 700 + i) % 257, char('a' + i % 26)), frames_);
    }
    ASSERT_OK(journal->Sync());
    if (round % 2 == 0) {
      ASSERT_OK(journal->Close());
    }
    const Epoch epoch = journal->recovery().epoch;
    const Lsn appended = journal->appended();
    rig_.Reopen(journal);
    ASSERT_NE(journal, nullptr);
    EXPECT_GT(journal->recovery().epoch, epoch);
    EXPECT_EQ(journal->recovery().clean_close, round % 2 == 0);
    EXPECT_EQ(journal->recovery().frames, frames_.size());
    EXPECT_EQ(journal->recovery().epochs.size(), round + 2);
    EXPECT_LE(journal->recovery().end, appended);
    EXPECT_GE(journal->recovery().end, frames_.back().end);
    EXPECT_GE(journal->recovery().start, appended);
    EXPECT_THAT(ReadAll(*journal, Lsn{0}), ElementsAreArray(frames_));
  }
}

TEST(JournalThreadsTest, AFullSegmentBecomesDurableUnasked) {
  test::SimFs sim;
  JournalRig rig(sim, "/journal", SmallJournal(Durability::kBuffered, JournalThreads::kOwn));
  const auto journal = rig.Open();
  ASSERT_NE(journal, nullptr);
  std::vector<KnownFrame> frames;
  const uint64_t segment_bytes = rig.options().segment_bytes;
  while (journal->appended() - journal->recovery().start < 3 * segment_bytes) {
    AppendFrame(*journal, std::string(500, 'a'), frames);
  }
  const Lsn first_end = journal->recovery().start + (segment_bytes - kSegmentHeaderBytes);
  EXPECT_OK(journal->WaitDurable(first_end));
  EXPECT_LT(journal->durable(), journal->appended());
}

TEST_P(JournalTest, RecycledFilesAreReused) {
  auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  size_t kept = 0;
  for (size_t round = 0; round < 40; ++round) {
    const size_t begin = frames_.size();
    for (size_t i = 0; i < 200; ++i)
      AppendFrame(*journal, std::string(150 + i, char('a' + round % 26)), frames_);
    ASSERT_OK(journal->Sync());
    EXPECT_LE(journal->live_bytes(), rig_.options().live_bytes_max);
    kept = begin;
    journal->Recycle(frames_[begin].lsn);
    EXPECT_EQ(journal->Read(frames_[begin].lsn)->lsn, frames_[begin].lsn);
    if (begin > 0) {
      EXPECT_EQ(journal->Read(frames_[begin - 1].lsn).status().code(),
                StatusCode::kInvalidArgument);
    }
  }
  // Two rounds are live at most, each frame in a block of its own at worst, and files around them.
  EXPECT_LE(journal->disk_bytes(), 2 * 200 * kBlockBytes + 5 * rig_.options().segment_bytes);
  rig_.start.from = rig_.start.known_durable = frames_[kept].lsn;
  journal = nullptr;
  rig_.Reopen(journal);
  ASSERT_NE(journal, nullptr);
  const std::vector<KnownFrame> expected(frames_.begin() + static_cast<ptrdiff_t>(kept),
                                         frames_.end());
  EXPECT_THAT(ReadAll(*journal, frames_[kept].lsn), ElementsAreArray(expected));
}

TEST_P(JournalTest, LargestFrameFitsAndOneMoreByteDoesNot) {
  const auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  const uint64_t payload_bytes_max = rig_.options().segment_bytes / 4 - kFrameHeaderBytes;
  for (int i = 0; i < 9; ++i)
    AppendFrame(*journal, std::string(payload_bytes_max, char('a' + i)), frames_);
  const auto refused =
      journal->Append(kTestFrame, std::string(payload_bytes_max + 1, 'x'), Quota::kOrdinary);
  EXPECT_EQ(refused.status().code(), StatusCode::kInvalidArgument);
  ASSERT_OK(journal->Sync());
  EXPECT_THAT(ReadAll(*journal, Lsn{0}), ElementsAreArray(frames_));
}

TEST_P(JournalTest, ReadFindsTheNextFrameFromAnyPosition) {
  const auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  for (size_t i = 0; i < 400; ++i) AppendFrame(*journal, std::string(i % 97, 'p'), frames_);
  ASSERT_OK(journal->Sync());
  size_t next = 0;
  for (Lsn at = journal->recovery().start; at < frames_.back().end; at = at + 1) {
    while (next < frames_.size() && frames_[next].lsn < at) ++next;
    const Result<Frame> found = journal->Read(at);
    if (next == frames_.size()) {
      ASSERT_EQ(found.status().code(), StatusCode::kNotFound);
    } else {
      ASSERT_OK(found);
      ASSERT_EQ(found->lsn, frames_[next].lsn);
    }
  }
}

TEST_P(JournalTest, ClosedJournalTakesNothingMore) {
  const auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  AppendFrame(*journal, "last", frames_);
  ASSERT_OK(journal->Close());
  EXPECT_EQ(journal->Append(kTestFrame, "late", Quota::kOrdinary).status().code(),
            StatusCode::kClosed);
  EXPECT_EQ(journal->Close().code(), StatusCode::kClosed);
  EXPECT_THAT(ReadAll(*journal, Lsn{0}), ElementsAreArray(frames_));
}

// Where nobody waits, frames gather; if waits did not end that, these would last an hour.
TEST(JournalGroupTest, FramesGatherUntilSomebodyWaits) {
  test::SimFs fs;
  JournalOptions options = SmallJournal(Durability::kSync, JournalThreads::kOwn);
  options.gather_us = 3'600'000'000;
  options.live_bytes_max = 64 << 20;  // Nothing is recycled.
  JournalRig rig(fs, "/journal", options);
  const auto journal = rig.Open();
  ASSERT_NE(journal, nullptr);
  std::vector<KnownFrame> frames;
  const auto append = [&] { return AppendFrame(*journal, std::string(40, 'f'), frames).frame.end; };
  const uint64_t writes_before = fs.calls(test::SimCall::kWriteDurable);
  for (int i = 0; i < 300; ++i) append();
  ASSERT_OK(journal->WaitDurable(append()));
  // One that begins at once and what gathered behind it; a few more if this thread was held up.
  EXPECT_LT(fs.calls(test::SimCall::kWriteDurable) - writes_before, 30u);
  for (int i = 0; i < 200; ++i) {
    append();
    append();
    const Lsn end = append();
    journal->Hasten(end);
    ASSERT_OK(journal->WaitDurable(end));
  }
  for (int i = 0; i < 5000; ++i) append();  // More than may wait for the writer.
  ASSERT_OK(journal->Close());
}

}  // namespace
}  // namespace tailrace::wal
