// The journal when the disk fails or fills, when its quota is used up, and under many threads at
// once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <tuple>

#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "tests/wal/journal_rig.h"
#include "wal/mutex.h"
#include "wal/segment.h"

namespace tailrace::wal {
namespace {

using test::SimCall;
using test::SimFs;
using ::testing::ElementsAreArray;

constexpr char kDirectory[] = "/journal";

class JournalFailureTest : public ::testing::TestWithParam<std::tuple<Durability, JournalThreads>> {
 protected:
  JournalFailureTest()
      : rig_(fs_, kDirectory, SmallJournal(std::get<0>(GetParam()), std::get<1>(GetParam()))) {}

  bool synchronous() const { return std::get<0>(GetParam()) == Durability::kSync; }
  SimCall DurableCall() const { return synchronous() ? SimCall::kWriteDurable : SimCall::kMapSync; }

  SimFs fs_;
  JournalRig rig_;
  std::vector<KnownFrame> frames_;
};

std::string ParamName(const ::testing::TestParamInfo<JournalFailureTest::ParamType>& info) {
  std::string name = std::get<0>(info.param) == Durability::kSync ? "Sync" : "Buffered";
  name += std::get<1>(info.param) == JournalThreads::kOwn ? "Threads" : "NoThreads";
  return name;
}

INSTANTIATE_TEST_SUITE_P(
    Ways, JournalFailureTest,
    ::testing::Combine(::testing::Values(Durability::kSync, Durability::kBuffered),
                       ::testing::Values(JournalThreads::kOwn, JournalThreads::kNone)),
    ParamName);

// --- Failed writes and syncs. ---

TEST_P(JournalFailureTest, FailedSyncIsFinal) {
  std::atomic<int> failures = 0;
  rig_.options().on_failure = [&](const Status&) { ++failures; };
  auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  AppendFrame(*journal, "kept", frames_);
  ASSERT_OK(journal->Sync());
  const Lsn kept_end = frames_.back().end;
  fs_.Inject({.call = DurableCall()});
  const Appended lost = AppendFrame(*journal, "in doubt", frames_);
  EXPECT_EQ(journal->Sync().code(), StatusCode::kOutcomeUnknown);
  EXPECT_EQ(journal->WaitDurable(lost.frame.end).code(), StatusCode::kOutcomeUnknown);
  EXPECT_OK(journal->WaitDurable(kept_end));
  EXPECT_EQ(journal->status().code(), StatusCode::kIoError);
  // Tried again, the sync would succeed: it must not be.
  EXPECT_EQ(journal->Sync().code(), StatusCode::kOutcomeUnknown);
  EXPECT_EQ(journal->Append(kTestFrame, "late", Quota::kOrdinary).status().code(),
            StatusCode::kReadOnly);
  EXPECT_LE(journal->durable(), lost.frame.lsn);
  EXPECT_THAT(ReadAll(*journal, Lsn{0}), ElementsAreArray(frames_));
  EXPECT_FALSE(journal->Close().ok());
  EXPECT_EQ(failures, 1);
}

// Every mutating call fails once, or from then on for ever; what was acknowledged is there
// afterwards, also when the power goes too.
TEST_P(JournalFailureTest, EveryCallMayFail) {
  if (std::get<1>(GetParam()) == JournalThreads::kOwn)
    GTEST_SKIP() << "needs the same calls each time";
  for (const bool for_ever : {false, true}) {
    for (const bool power_cut : {false, true}) {
      bool hit = true;
      for (uint64_t nth = 1; hit; ++nth) {
        SimFs fs;
        JournalRig rig(fs, kDirectory, rig_.options());
        fs.Inject({.mutating_only = true, .nth = nth, .for_ever = for_ever});
        std::vector<KnownFrame> frames;
        Lsn from, durable;
        for (int opening = 0; opening < 2; ++opening) {
          const auto journal = rig.TryOpen();
          if (!journal.ok()) break;
          for (int i = 0; i < 40; ++i) {
            const auto appended = (*journal)->Append(
                kTestFrame, std::string(4000, char('a' + i % 26)), Quota::kOrdinary);
            if (!appended.ok()) break;
            frames.push_back(Remember(appended->frame));
            if (i % 3 == 0 && (*journal)->Sync().ok()) durable = frames.back().end;
            if (i == 30 && durable.value > 0) {
              (*journal)->Recycle(durable);
              from = durable;
            }
          }
          if ((*journal)->Close().ok()) durable = frames.back().end;
        }
        hit = fs.faults_hit() > 0;
        fs.ClearFaults();
        if (power_cut) {
          fs.CutPower({.keep = test::CrashChoice::Keep::kNone});
        } else {
          fs.KillProcess();
        }
        rig.start.from = rig.start.known_durable = from;
        const auto journal = rig.Open();
        ASSERT_NE(journal, nullptr) << "call " << nth;
        std::erase_if(frames, [&](const KnownFrame& frame) { return frame.lsn < from; });
        const std::vector<KnownFrame> found = ReadAll(*journal, from);
        ASSERT_LE(found.size(), frames.size());
        for (size_t i = 0; i < frames.size(); ++i) {
          if (i < found.size()) {
            ASSERT_EQ(found[i], frames[i]) << "call " << nth;
          } else {
            ASSERT_GE(frames[i].lsn, durable) << "call " << nth;
          }
        }
      }
    }
  }
}

// --- A full disk. ---

TEST_P(JournalFailureTest, FullDiskRefusesAppendsUntilThereIsRoom) {
  auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  const uint64_t capacity_bytes = journal->disk_bytes() + 3 * rig_.options().segment_bytes;
  fs_.SetCapacity(capacity_bytes);
  Status refusal;
  while (refusal.ok()) {
    const auto appended = journal->Append(kTestFrame, std::string(3000, 'f'), Quota::kOrdinary);
    refusal = appended.status();
    if (appended.ok()) frames_.push_back(Remember(appended->frame));
    ASSERT_LT(frames_.size(), 1000u);
  }
  EXPECT_EQ(refusal.code(), StatusCode::kNoSpace);
  ASSERT_OK(journal->Sync());
  EXPECT_OK(journal->status());
  EXPECT_THAT(ReadAll(*journal, Lsn{0}), ElementsAreArray(frames_));

  fs_.SetCapacity(2 * capacity_bytes);
  AppendFrame(*journal, std::string(3000, 'g'), frames_);
  ASSERT_OK(journal->Close());
  journal = nullptr;
  rig_.Reopen(journal);
  ASSERT_NE(journal, nullptr);
  EXPECT_THAT(ReadAll(*journal, Lsn{0}), ElementsAreArray(frames_));
}

TEST_P(JournalFailureTest, RecyclingMakesRoomOnAFullDisk) {
  auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  fs_.SetCapacity(journal->disk_bytes() + 3 * rig_.options().segment_bytes);
  for (int round = 0; round < 5; ++round) {
    while (true) {
      const auto appended = journal->Append(kTestFrame, std::string(3000, 'f'), Quota::kOrdinary);
      if (!appended.ok()) {
        ASSERT_EQ(appended.status().code(), StatusCode::kNoSpace);
        break;
      }
    }
    ASSERT_OK(journal->Sync());
    journal->Recycle(journal->durable());
    EXPECT_OK(journal->Append(kTestFrame, std::string(3000, 'f'), Quota::kOrdinary));
  }
}

// --- Quotas. ---

TEST_P(JournalFailureTest, AppendWaitsForRecycleAndTheReserveDoesNot) {
  auto& options = rig_.options();
  options.live_bytes_max = 2 * options.segment_bytes;
  options.reserved_bytes = 2 * options.segment_bytes;
  auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  const std::string payload(4096 - kFrameHeaderBytes, 'q');
  while (journal->live_bytes() + 2 * kBlockBytes <= options.live_bytes_max) {
    AppendFrame(*journal, payload, frames_);
    ASSERT_OK(journal->Sync());
  }
  // More than is left, so that it must wait.
  const std::string large(3 * kBlockBytes - kFrameHeaderBytes, 'w');
  std::atomic<bool> done = false;
  std::thread writer([&] {
    EXPECT_OK(journal->Append(kTestFrame, large, Quota::kOrdinary));
    done = true;
  });
  for (int i = 0; i < 8; ++i) {
    EXPECT_OK(journal->Append(kTestFrame, payload, Quota::kReserved));
    ASSERT_OK(journal->Sync());
    EXPECT_FALSE(done);
  }
  EXPECT_GT(journal->live_bytes(), options.live_bytes_max);
  journal->Recycle(journal->durable());
  writer.join();
  EXPECT_LE(journal->live_bytes(), options.live_bytes_max);
}

TEST_P(JournalFailureTest, CloseEndsWaiting) {
  auto& options = rig_.options();
  options.live_bytes_max = options.segment_bytes;
  auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  const std::string payload(4096 - kFrameHeaderBytes, 'q');
  while (journal->live_bytes() + 2 * kBlockBytes <= options.live_bytes_max) {
    AppendFrame(*journal, payload, frames_);
    ASSERT_OK(journal->Sync());
  }
  std::thread writer([&] {
    EXPECT_EQ(journal->Append(kTestFrame, std::string(3 * kBlockBytes, 'w'), Quota::kOrdinary)
                  .status()
                  .code(),
              StatusCode::kClosed);
  });
  EXPECT_OK(journal->Close());
  writer.join();
}

// --- Callbacks. ---

TEST_P(JournalFailureTest, DurablePositionIsToldInRisingOrder) {
  std::vector<Lsn> told;
  rig_.options().on_durable = [&](Lsn durable) { told.push_back(durable); };
  auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  for (int i = 0; i < 50; ++i) {
    AppendFrame(*journal, "told", frames_);
    ASSERT_OK(journal->Sync());
  }
  ASSERT_OK(journal->Close());
  EXPECT_GE(told.size(), 50u);
  for (size_t i = 1; i < told.size(); ++i) EXPECT_LT(told[i - 1], told[i]);
  EXPECT_EQ(told.back(), journal->durable());
}

// The last group is on record as durable without another append: damage to it is then refused.
TEST_P(JournalFailureTest, IdleMarkClosesTheWindow) {
  if (std::get<1>(GetParam()) == JournalThreads::kNone) GTEST_SKIP() << "no thread, no idle mark";
  rig_.options().idle_mark_ms = 1;
  Mutex mutex;
  CondVar moved;
  Lsn durable;
  rig_.options().on_durable = [&](Lsn now) {
    const MutexLock lock(mutex);
    durable = now;
    moved.NotifyAll();
  };
  auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  AppendFrame(*journal, "last", frames_);
  ASSERT_OK(journal->Sync());
  const Lsn end = frames_.back().end + kBlockBytes;
  if (synchronous()) {
    // The mark is a group of its own.
    const MutexLock lock(mutex);
    while (durable < end) moved.Wait(mutex);
  } else {
    while (journal->appended() == journal->durable()) std::this_thread::yield();
  }
  const uint64_t base = journal->recovery().start.value;
  journal = nullptr;
  fs_.KillProcess();
  const std::string path = JoinPath(kDirectory, SegmentFileName(base));
  const auto file = fs_.Open(path, OpenMode::kReadWrite);
  ASSERT_OK(file);
  ASSERT_OK((*file)->Write(frames_[0].lsn.value + kFrameHeaderBytes, "!"));
  EXPECT_EQ(rig_.TryOpen().status().code(), StatusCode::kCorruption);
}

// --- Many threads. ---

TEST_P(JournalFailureTest, AppendersReadersAndRecyclingAtOnce) {
  constexpr int kWriters = 4;
  constexpr int kFramesEach = 1500;
  rig_.options().live_bytes_max = 1 << 20;
  rig_.options().idle_mark_ms = 1;
  const auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  const uint64_t seed = test::TestSeed();
  std::vector<std::thread> writers;
  for (int w = 0; w < kWriters; ++w) {
    writers.emplace_back([&, w] {
      test::Random random(test::MixSeed(seed, static_cast<uint64_t>(w)));
      for (int i = 0; i < kFramesEach; ++i) {
        const std::string payload = std::to_string(w) + ":" + std::to_string(i) + ":" +
                                    std::string(random.Below(random.OneIn(50) ? 9000 : 200), 'p');
        const auto appended = journal->Append(kTestFrame, payload, Quota::kOrdinary);
        ASSERT_OK(appended);
        // The payload itself may have been recycled by now.
        ASSERT_EQ(appended->frame.end - appended->frame.lsn, FrameBytes(payload.size()));
        if (random.OneIn(8)) {
          // In kBuffered nobody else syncs.
          ASSERT_OK(synchronous() ? journal->WaitDurable(appended->frame.end) : journal->Sync());
          ASSERT_GE(journal->durable(), appended->frame.end);
        }
      }
    });
  }
  // Follows the frames, and recycles what it has seen.
  std::vector<int> next(kWriters, 0);
  Lsn at = journal->recovery().start;
  for (int seen = 0; seen < kWriters * kFramesEach;) {
    const Result<Frame> frame = journal->Read(at);
    if (!frame.ok()) {
      ASSERT_EQ(frame.status().code(), StatusCode::kNotFound);
      std::this_thread::yield();
      continue;
    }
    const std::string payload(frame->payload);
    const int writer = std::stoi(payload);
    ASSERT_EQ(std::stoi(payload.substr(payload.find(':') + 1)),
              next[static_cast<size_t>(writer)]++);
    ASSERT_GE(frame->lsn, at);
    at = frame->end;
    ++seen;
    if (seen % 64 == 0) {
      ASSERT_OK(journal->Sync());
      journal->Recycle(at);
    }
  }
  for (std::thread& writer : writers) writer.join();
  ASSERT_OK(journal->Close());
}

TEST_P(JournalFailureTest, ThousandsInFlightBehindOneWait) {
  rig_.options().group_bytes_max = 1 << 20;
  const auto journal = rig_.Open();
  ASSERT_NE(journal, nullptr);
  for (int i = 0; i < 5000; ++i) AppendFrame(*journal, "in flight", frames_);
  if (synchronous()) {
    ASSERT_OK(journal->WaitDurable(frames_.back().end));
  } else {
    ASSERT_OK(journal->Sync());
  }
  EXPECT_GE(journal->durable(), frames_.back().end);
}

TEST(JournalOptionsTest, ImpossibleOptionsAreRefused) {
  SimFs fs;
  const auto open = [&](const std::function<void(JournalOptions&)>& change) {
    JournalRig rig(fs, kDirectory, SmallJournal(Durability::kSync, JournalThreads::kNone));
    change(rig.options());
    return rig.TryOpen().status().code();
  };
  EXPECT_EQ(open([](auto& options) { options.segment_bytes = 8192; }),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(open([](auto& options) { options.segment_bytes = 65537; }),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(open([](auto& options) { options.segment_bytes = 4ull << 30; }),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(open([](auto& options) { options.live_bytes_max = 1000; }),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(open([](auto& options) { options.group_bytes_max = 0; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(fs.operations(), 0u);
  EXPECT_EQ(open([](auto&) {}), StatusCode::kOk);
}

}  // namespace
}  // namespace tailrace::wal
