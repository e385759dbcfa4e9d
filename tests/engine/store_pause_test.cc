// What others see while a write or a checkpoint is held in the middle.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "tests/engine/store_fixture.h"
#include "tests/support/sim_fs.h"
#include "wal/mutex.h"

namespace tailrace::test {
namespace {

// Holds the first thread that reaches the chosen point until it is let go.
class Holder {
 public:
  void HoldAt(PausePoint point) {
    MutexLock lock(mutex_);
    point_ = point;
    armed_ = true;
    reached_ = false;
  }
  void Reached(PausePoint point) {
    MutexLock lock(mutex_);
    if (!armed_ || point != point_) return;
    armed_ = false;
    reached_ = true;
    changed_.NotifyAll();
    while (reached_) changed_.Wait(mutex_);
  }
  void WaitUntilReached() {
    MutexLock lock(mutex_);
    while (!reached_) changed_.Wait(mutex_);
  }
  void LetGo() {
    MutexLock lock(mutex_);
    reached_ = false;
    changed_.NotifyAll();
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  PausePoint point_ TAILRACE_GUARDED_BY(mutex_) = PausePoint::kAfterAppend;
  bool armed_ TAILRACE_GUARDED_BY(mutex_) = false;
  bool reached_ TAILRACE_GUARDED_BY(mutex_) = false;
};

class StorePauseTest : public StoreTest {
 protected:
  StorePauseTest() {
    options_.on_pause_point = [this](PausePoint point) { holder_.Reached(point); };
  }
  ~StorePauseTest() override { store_.reset(); }  // While there is something to call.
  Holder holder_;
};

INSTANTIATE_TEST_SUITE_P(Durabilities, StorePauseTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

TEST_P(StorePauseTest, NothingBehindAnUnenteredCommitIsShown) {
  Open();
  MakeGames(ViewType::kNewImage);
  ASSERT_OK(store_->Put("UserGames", Game(1, "old")));
  holder_.HoldAt(PausePoint::kAfterAppend);
  std::thread first([&] { EXPECT_OK(store_->Put("UserGames", Game(1, "new"))); });
  holder_.WaitUntilReached();

  // The commit is in the journal but nowhere to be seen: not in reads, not in the stream.
  EXPECT_EQ(*store_->Get("UserGames", GameKey(1)), Game(1, "old"));
  auto second = store_->Put("UserGames", Game(2, "behind"), {.wait = WaitFor::kNothing});
  ASSERT_OK(second);
  auto stats = store_->Stats();
  ASSERT_OK(stats);
  EXPECT_LT(stats->safe, second->token.end) << "safe never passes a commit that is not entered";
  EXPECT_EQ(ReadStream(*store_, LatestStream("UserGames")).size(), 1u);
  // A reader of what lies behind it waits until both are safe.
  std::atomic<bool> answered{false};
  std::thread reader([&] {
    EXPECT_EQ(*store_->Get("UserGames", GameKey(2)), Game(2, "behind"));
    answered = true;
  });
  EXPECT_FALSE(answered.load());
  holder_.LetGo();
  first.join();
  reader.join();
  ASSERT_OK(store_->Wait(second->token));
  EXPECT_EQ(*store_->Get("UserGames", GameKey(1)), Game(1, "new"));
  ASSERT_OK(store_->Checkpoint());
  EXPECT_EQ(ReadStream(*store_, LatestStream("UserGames")).size(), 3u);
}

TEST_P(StorePauseTest, ACheckpointHeldAnywhereHidesNothing) {
  Open();
  MakeGames(ViewType::kNewImage);
  int next = 0;
  for (const PausePoint point :
       {PausePoint::kAfterFreeze, PausePoint::kBeforeIngest, PausePoint::kAfterIngest,
        PausePoint::kBeforeRecycle, PausePoint::kBeforeUnlink}) {
    SCOPED_TRACE(static_cast<int>(point));
    const int begin = next;
    for (int i = 0; i < 20; ++i) ASSERT_OK(store_->Put("UserGames", Game(next++, "a")));
    holder_.HoldAt(point);
    std::thread checkpoint([&] { EXPECT_OK(store_->Checkpoint()); });
    holder_.WaitUntilReached();
    // Writers go on beside it, over both old and new items.
    ASSERT_OK(store_->Put("UserGames", Game(next++, "a")));
    ASSERT_OK(store_->Put("UserGames", Game(begin, "changed")));
    ASSERT_OK(store_->Delete("UserGames", GameKey(begin + 1)));
    EXPECT_EQ(*store_->Get("UserGames", GameKey(begin)), Game(begin, "changed"));
    EXPECT_EQ(*store_->Get("UserGames", GameKey(begin + 1)), std::nullopt);
    EXPECT_EQ(*store_->Get("UserGames", GameKey(begin + 2)), Game(begin + 2, "a"));
    ASSERT_OK(store_->Put("UserGames", Game(begin + 1, "back")));
    EXPECT_EQ(ReadTable(*store_, "UserGames", 5).size(), static_cast<size_t>(next));
    holder_.LetGo();
    checkpoint.join();
    EXPECT_EQ(ReadTable(*store_, "UserGames").size(), static_cast<size_t>(next));
  }
  options_.on_pause_point = nullptr;
  Reopen();
  EXPECT_EQ(ReadTable(*store_, "UserGames").size(), static_cast<size_t>(next));
}

TEST_P(StorePauseTest, WritersWaitWhileTheJournalIsAtItsLimit) {
  Open();
  MakeGames(std::nullopt);
  holder_.HoldAt(PausePoint::kAfterFreeze);
  constexpr int kItems = 600;
  constexpr int kItemBytes = 20'000;
  std::atomic<int> written{0};
  std::thread writer([&] {
    for (int id = 0; id < kItems; ++id) {
      EXPECT_OK(store_->Put("UserGames", Game(id, std::string(kItemBytes, 'x'))));
      ++written;
    }
  });
  holder_.WaitUntilReached();
  // Nothing is drained now, so the journal fills up to its limit and no further.
  while (store_->Stats()->journal_live_bytes < options_.journal_bytes_max)
    std::this_thread::yield();
  EXPECT_LT(written.load(), kItems);
  EXPECT_LT(store_->Stats()->journal_live_bytes, options_.journal_bytes_max + (1 << 20));
  EXPECT_EQ(*store_->Get("UserGames", GameKey(0)), Game(0, std::string(kItemBytes, 'x')));
  holder_.LetGo();
  writer.join();
  EXPECT_EQ(ReadTable(*store_, "UserGames").size(), static_cast<size_t>(kItems));
}

// Several writers that waited for room once kept one another awake, which took all the processors
// from those who make room.
TEST_P(StorePauseTest, WritersThatWaitForRoomSleep) {
  constexpr int kWriters = 4;
  constexpr int kGets = 20'000;  // Meanwhile.
  constexpr long kWakesMax = 500;
  Open();
  MakeGames(std::nullopt);
  ASSERT_OK(store_->Put("UserGames", Game(0, "small")));
  holder_.HoldAt(PausePoint::kAfterFreeze);
  std::vector<std::thread> writers;
  for (int writer = 0; writer < kWriters; ++writer) {
    writers.emplace_back([&, writer] {
      const std::string text(20'000, 'x');
      rusage usage;
      long wakes = 0;  // In the write that took most.
      for (int id = 1; id < 200; ++id) {
        ::getrusage(RUSAGE_THREAD, &usage);
        const long before = usage.ru_nvcsw;
        EXPECT_OK(store_->Put("UserGames", Game(id * kWriters + writer, text)));
        ::getrusage(RUSAGE_THREAD, &usage);
        wakes = std::max(wakes, usage.ru_nvcsw - before);
      }
      EXPECT_LT(wakes, kWakesMax);
    });
  }
  holder_.WaitUntilReached();
  while (store_->Stats()->journal_live_bytes < options_.journal_bytes_max)
    std::this_thread::yield();
  for (int get = 0; get < kGets; ++get) ASSERT_OK(store_->Get("UserGames", GameKey(0)));
  holder_.LetGo();
  for (std::thread& writer : writers) writer.join();
}

// The checkpoint that would make room finds a full disk: writers are told, and the disk is asked
// once a pause, however many of them try again.
TEST_P(StorePauseTest, WritersLearnOfACheckpointThatFails) {
  using std::chrono::milliseconds, std::chrono::steady_clock;
  constexpr int kWriters = 4;
  constexpr auto kPauseMin = milliseconds(900);  // Of a second.
  SimFs fs({.disk = {.ordered_directories = {"/store/items"}}});
  directory_ = "/store";
  options_.fs = &fs;
  Mutex mutex;
  std::vector<steady_clock::time_point> failures;
  options_.on_event = [&](const Event& event) {
    MutexLock lock(mutex);
    if (event.kind == Event::Kind::kCheckpointFailed) failures.push_back(steady_clock::now());
  };
  Open();
  MakeGames(std::nullopt);
  fs.Inject({.call = SimCall::kCreate,
             .path_part = "/items/",
             .for_ever = true,
             .status = NoSpace("the disk is full")});
  std::vector<std::thread> writers;
  for (int writer = 0; writer < kWriters; ++writer) {
    writers.emplace_back([&, writer] {
      const std::string text(20'000, 'x');
      for (int refused = 0, id = 0; refused < 2; ++id) {
        const auto put = store_->Put("UserGames", Game(id * kWriters + writer, text));
        if (put.ok()) continue;
        EXPECT_EQ(put.status().code(), StatusCode::kNoSpace) << put.status().ToString();
        ++refused;
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_OK(store_->Get("UserGames", GameKey(0)));
  fs.ClearFaults();
  EXPECT_OK(store_->Checkpoint());
  EXPECT_OK(store_->Put("UserGames", Game(0, "there is room again")));
  EXPECT_OK(store_->Close());
  MutexLock lock(mutex);
  ASSERT_GE(failures.size(), 2u);
  for (size_t i = 1; i < failures.size(); ++i) {
    EXPECT_GE(failures[i] - failures[i - 1], kPauseMin);
  }
}

TEST_P(StorePauseTest, ACatalogueChangeWaitsForCommitsUnderWay) {
  Open();
  MakeGames(std::nullopt);
  holder_.HoldAt(PausePoint::kAfterAppend);
  std::thread writer([&] { EXPECT_OK(store_->Put("UserGames", Game(1, "a"))); });
  holder_.WaitUntilReached();
  std::atomic<bool> enabled{false};
  std::thread enabler([&] {
    EXPECT_OK(store_->EnableStream("UserGames", ViewType::kNewImage));
    enabled = true;
  });
  EXPECT_FALSE(enabled.load());
  EXPECT_EQ(store_->DescribeTable("UserGames")->stream_view, std::nullopt);
  holder_.LetGo();
  writer.join();
  enabler.join();
  // The write came before the stream, wholly.
  EXPECT_TRUE(ReadStream(*store_, LatestStream("UserGames")).empty());
}

// A commit that is entered while the merge waits for the gate has no record yet.
TEST_P(StorePauseTest, ShardsThatAreWrittenToMeanwhileAreNotMerged) {
  constexpr int kRounds = 10;
  constexpr int kYields = 1000;  // For the merge to come as far as the gate.
  options_.shards_per_stream = 2;
  Open();
  MakeGames(ViewType::kNewImage);
  const StreamId stream = LatestStream("UserGames");
  const std::vector<ShardInfo> shards = store_->DescribeStream(stream)->shards;
  for (int round = 0; round < kRounds; ++round) {
    holder_.HoldAt(PausePoint::kAfterAppend);
    std::thread writer([&] { EXPECT_OK(store_->Put("UserGames", Game(round, "a"))); });
    holder_.WaitUntilReached();
    std::thread merger([&] {
      EXPECT_EQ(store_->MergeShards(stream, shards[0].id, shards[1].id).status().code(),
                StatusCode::kFailedPrecondition);
    });
    for (int i = 0; i < kYields; ++i) std::this_thread::yield();
    holder_.LetGo();
    writer.join();
    merger.join();
    EXPECT_EQ(store_->DescribeStream(stream)->shards.size(), 2u);
    // The records expire, so that they are no reason the next time.
    clock_.Advance(options_.retention_ms);
    ASSERT_OK(store_->RunMaintenance());
  }
}

// A store with an item that is entered and can never become safe: the commit before it is held, and
// then the journal fails. Whatever rests on the item must not be answered as if it were there.
class UnsafeAnswerTest : public StorePauseTest {
 protected:
  UnsafeAnswerTest() {
    directory_ = "/store";
    options_.fs = &fs_;
    options_.on_event = [this](const Event& event) {
      if (event.kind != Event::Kind::kFailed) return;
      MutexLock lock(mutex_);
      failed_ = true;
      changed_.NotifyAll();
    };
  }
  ~UnsafeAnswerTest() override {
    holder_.LetGo();
    if (held_.joinable()) held_.join();
    store_.reset();
  }
  void SetUp() override {
    Open();
    MakeGames(std::nullopt);
    holder_.HoldAt(PausePoint::kAfterAppend);
    held_ = std::thread([this] { (void)store_->Put("UserGames", Game(1, "held")).ok(); });
    holder_.WaitUntilReached();
    ASSERT_OK(store_->Put("UserGames", Game(2, "unsafe"), {.wait = WaitFor::kNothing}));
  }

  void FailTheStore() {
    fs_.Inject({.call = SimCall::kWriteDurable, .path_part = "journal", .for_ever = true});
    // In a thread of its own: a callable may not call the store.
    std::thread writer([this] {
      (void)store_->Put("UserGames", Game(3, "lost"), {.wait = WaitFor::kNothing}).ok();
    });
    writer.join();
    MutexLock lock(mutex_);
    while (!failed_) changed_.Wait(mutex_);
  }
  // The store fails when the write has been looked at and is about to be answered.
  Condition FailsAndSays(bool holds) {
    return [this, holds](const Item*) {
      FailTheStore();
      return holds;
    };
  }

  SimFs fs_;
  std::thread held_;
  Mutex mutex_;
  CondVar changed_;
  bool failed_ TAILRACE_GUARDED_BY(mutex_) = false;
};

INSTANTIATE_TEST_SUITE_P(Durabilities, UnsafeAnswerTest, ::testing::Values(Durability::kSync),
                         DurabilityName);

TEST_P(UnsafeAnswerTest, NoReadShowsIt) {
  FailTheStore();
  const StatusCode unknown = StatusCode::kOutcomeUnknown;
  EXPECT_EQ(store_->Get("UserGames", GameKey(2)).status().code(), unknown);
  EXPECT_EQ(store_->Scan("UserGames", {}).status().code(), unknown);
  EXPECT_EQ(store_->Query("UserGames", {.partition = Value::N(2)}).status().code(), unknown);
  EXPECT_EQ(store_->TransactGet({{"UserGames", GameKey(2)}}).status().code(), unknown);
}

TEST_P(UnsafeAnswerTest, NoWriteThatChangesNothingIsAnswered) {
  const auto same = store_->Put("UserGames", Game(2, "unsafe"), {.condition = FailsAndSays(true)});
  EXPECT_EQ(same.status().code(), StatusCode::kOutcomeUnknown);
}

TEST_P(UnsafeAnswerTest, NoRefusalIsAnswered) {
  const auto refused =
      store_->Put("UserGames", Game(2, "other"), {.condition = FailsAndSays(false)});
  EXPECT_EQ(refused.status().code(), StatusCode::kOutcomeUnknown);
}

TEST_P(UnsafeAnswerTest, NoRefusedTransactionIsAnswered) {
  const auto refused =
      store_->Transact({WriteRequest::Put("UserGames", Game(2, "other"), FailsAndSays(false))});
  EXPECT_EQ(refused.status().code(), StatusCode::kOutcomeUnknown);
}

}  // namespace
}  // namespace tailrace::test
