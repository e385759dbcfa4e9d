// Consumers on a clock that stands still unless told: sharing, losing and resuming.
#include "engine/consumer.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/engine/consumer_fixture.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"

namespace tailrace::test {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kLeaseMs = 9000;
constexpr uint64_t kRoundMs = kLeaseMs / 3;
constexpr char kName[] = "totals";

class ConsumerTest : public StoreTest {
 protected:
  using Worker = std::unique_ptr<ConsumerWorker>;

  ConsumerTest() { options_.shards_per_stream = 4; }

  StreamId MakeStream() {
    MakeGames(ViewType::kNewAndOldImages);
    return LatestStream("UserGames");
  }
  Worker OpenWorker(StreamId stream, const std::string& id, ConsumerOptions options = {}) {
    options.lease_ms = kLeaseMs;
    auto worker = ConsumerWorker::Open(*store_, kName, stream, id, options);
    EXPECT_OK(worker);
    return worker.ok() ? std::move(*worker) : nullptr;
  }
  void PutGames(int first, int count, const std::string& user = "ada") {
    for (int id = first; id < first + count; ++id) {
      ASSERT_OK(store_->Put("UserGames", Game(id, user)));
    }
    ASSERT_OK(store_->WaitFannedOut({store_->Stats()->safe}));
  }
  // The next batch, which is there.
  ConsumerBatch Take(ConsumerWorker& worker) {
    auto batch = worker.Next(0);
    EXPECT_OK(batch);
    EXPECT_TRUE(batch.ok() && batch->has_value()) << "there is no batch";
    return batch.ok() && *batch ? **batch : ConsumerBatch{};
  }
  // Everything up to now, checkpointed; how many records.
  size_t Drain(ConsumerWorker& worker) {
    size_t records = 0;
    while (true) {
      auto batch = worker.Next(0);
      EXPECT_OK(batch);
      if (!batch.ok() || !*batch) return records;
      records += (*batch)->records.size();
      const auto kept = worker.Checkpoint(**batch);
      EXPECT_OK(kept);
      EXPECT_EQ(*kept, CheckpointOutcome::kStored);
    }
  }
  // One round of upkeep of each worker.
  void Round(const std::vector<ConsumerWorker*>& workers) {
    clock_.Advance(kRoundMs + 1);
    for (ConsumerWorker* worker : workers) ASSERT_OK(worker->KeepLeases());
  }
  ShardId SplitFirst(StreamId stream) {
    const auto info = store_->DescribeStream(stream);
    for (const ShardInfo& shard : info->shards) {
      if (shard.ending) continue;
      EXPECT_OK(store_->SplitShard(stream, shard.id));
      return shard.id;
    }
    return {};
  }
};

INSTANTIATE_TEST_SUITE_P(Durabilities, ConsumerTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

// ---- One worker ----

TEST_P(ConsumerTest, GoesOnBehindTheLastCheckpoint) {
  Open();
  const StreamId stream = MakeStream();
  PutGames(0, 100);
  std::vector<std::string> kept;
  std::set<std::string> unkept;
  {
    const Worker worker = OpenWorker(stream, "a", {.limits = {.records_max = 7}});
    for (int i = 0; i < 6; ++i) {
      const ConsumerBatch batch = Take(*worker);
      EXPECT_EQ(batch.taken, i < 4) << "shards take turns, and the first batch of each says so";
      for (const ChangeRecord& record : batch.records) {
        i < 5 ? kept.push_back(record.event_id) : void(unkept.insert(record.event_id));
      }
      if (i < 5) {
        ASSERT_EQ(*worker->Checkpoint(batch), CheckpointOutcome::kStored);
      }
    }
  }
  Reopen();
  const Worker worker = OpenWorker(stream, "a", {.limits = {.records_max = 7}});
  while (true) {
    const auto batch = worker->Next(0);
    ASSERT_OK(batch);
    if (!*batch) break;
    for (const ChangeRecord& record : (*batch)->records) {
      unkept.erase(record.event_id);
      kept.push_back(record.event_id);
    }
  }
  EXPECT_TRUE(unkept.empty()) << "what was not checkpointed comes again";
  EXPECT_EQ(kept.size(), 100u) << "and nothing else does";
  EXPECT_EQ(std::set<std::string>(kept.begin(), kept.end()).size(), 100u);
}

TEST_P(ConsumerTest, BeginsWhereItIsTold) {
  Open();
  const StreamId stream = MakeStream();
  PutGames(0, 10, "old");
  SplitFirst(stream);
  clock_.Advance(1000);
  const uint64_t moment = clock_.WallMs();
  PutGames(10, 10, "new");
  const auto read = [&](const std::string& name, const ConsumerOptions& options) {
    std::multiset<std::string> users;
    auto worker = ConsumerWorker::Open(*store_, name, stream, "a", options);
    EXPECT_OK(worker);
    while (true) {
      const auto batch = (*worker)->Next(0);
      EXPECT_OK(batch);
      if (!batch.ok() || !*batch) return users;
      for (const ChangeRecord& record : (*batch)->records) {
        users.insert(*record.new_image->GetString("user_id"));
      }
      EXPECT_OK((*worker)->Checkpoint(**batch));
    }
  };
  const auto all = read("all", {});
  EXPECT_EQ(all.count("old"), 10u);
  EXPECT_EQ(all.count("new"), 10u);
  const ConsumerOptions since{.start = ConsumerStart::kAtTimestamp, .wall_ms = moment};
  EXPECT_EQ(read("since", since),
            std::multiset<std::string>(all.find("new"), all.upper_bound("new")));
  const ConsumerOptions latest{.start = ConsumerStart::kLatest};
  EXPECT_TRUE(read("latest", latest).empty());
  SplitFirst(stream);
  PutGames(20, 5, "newer");
  EXPECT_EQ(read("latest", latest).count("newer"), 5u);
  EXPECT_EQ(read("latest", latest).size(), 0u) << "it was checkpointed";
}

TEST_P(ConsumerTest, FinishesWithADisabledStream) {
  Open();
  const StreamId stream = MakeStream();
  PutGames(0, 20);
  const Worker worker = OpenWorker(stream, "a");
  EXPECT_EQ(Drain(*worker), 20u);
  EXPECT_FALSE(worker->finished());
  SplitFirst(stream);
  PutGames(20, 20);
  ASSERT_OK(store_->DisableStream("UserGames"));
  EXPECT_EQ(Drain(*worker), 20u);
  EXPECT_TRUE(worker->finished());
  EXPECT_EQ(store_->ListTables()->size(), 1u) << "the consumers' table is the store's own";
}

TEST_P(ConsumerTest, ACheckpointMayNotGoBack) {
  Open();
  const StreamId stream = MakeStream();
  PutGames(0, 100);
  const Worker worker = OpenWorker(stream, "a", {.limits = {.records_max = 5}});
  std::map<ShardId, ConsumerBatch> first;
  ConsumerBatch batch;
  do {
    batch = Take(*worker);
  } while (first.try_emplace(batch.shard, batch).second);
  ASSERT_EQ(*worker->Checkpoint(batch), CheckpointOutcome::kStored);
  EXPECT_EQ(worker->Checkpoint(first[batch.shard]).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(worker->Checkpoint(batch).status().code(), StatusCode::kInvalidArgument)
      << "else what goes with it would happen twice";
}

TEST_P(ConsumerTest, AFailedBatchComesAgainAndIsReported) {
  Open();
  const StreamId stream = MakeStream();
  PutGames(0, 40);
  const Worker worker = OpenWorker(stream, "a", {.retry_ms = 500});
  const ConsumerBatch failed = Take(*worker);
  const uint64_t since_ms = clock_.WallMs();
  ASSERT_EQ(*worker->Fail(failed, "no route to host"), CheckpointOutcome::kStored);
  clock_.Advance(100);
  EXPECT_EQ(worker->Checkpoint(failed).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Drain(*worker), 40 - failed.records.size()) << "the other shards go on";

  const auto blocked = [&] {
    const auto info = DescribeConsumer(*store_, kName);
    EXPECT_OK(info);
    for (const ConsumerShard& shard : info->shards) {
      if (shard.shard == failed.shard) return shard;
    }
    return ConsumerShard{};
  };
  EXPECT_EQ(blocked().blocked_since_ms, since_ms);
  EXPECT_EQ(blocked().blocked_why, "no route to host");
  EXPECT_EQ(blocked().lag_records, failed.records.size());

  clock_.Advance(500);
  const ConsumerBatch again = Take(*worker);
  ASSERT_EQ(again.shard, failed.shard);
  EXPECT_EQ(again.records.size(), failed.records.size());
  ASSERT_EQ(*worker->Fail(again, "still none"), CheckpointOutcome::kStored);
  EXPECT_EQ(blocked().blocked_since_ms, since_ms) << "it has been so since the first time";
  EXPECT_EQ(blocked().blocked_why, "still none");
  clock_.Advance(500);
  ASSERT_EQ(*worker->Checkpoint(Take(*worker)), CheckpointOutcome::kStored);
  EXPECT_EQ(blocked().blocked_since_ms, 0u);
  EXPECT_EQ(blocked().lag_records, 0u);
}

TEST_P(ConsumerTest, TheHandlersWritesAndTheCheckpointAreOne) {
  Open();
  const StreamId stream = MakeStream();
  ASSERT_OK(store_->CreateTable({.name = "Totals", .keys = kGameKeys}));
  PutGames(0, 20);
  const Worker worker = OpenWorker(stream, "a");
  const ConsumerBatch batch = Take(*worker);
  const Condition never = [](const Item*) { return false; };
  const auto before = ReadTable(*store_, "_tailrace.consumers");
  auto result = worker->CheckpointWith(batch, {WriteRequest::Put("Totals", Game(1, "x"), never)});
  ASSERT_OK(result);
  EXPECT_EQ(result->outcome, CheckpointOutcome::kRejected);
  ASSERT_EQ(result->writes.size(), 1u);
  EXPECT_EQ(result->writes[0].outcome, WriteOutcome::kRejected);
  EXPECT_FALSE(store_->Get("Totals", GameKey(1))->has_value());
  EXPECT_EQ(ReadTable(*store_, "_tailrace.consumers"), before) << "the checkpoint did not move";

  result = worker->CheckpointWith(batch, {WriteRequest::Put("Totals", Game(1, "x"))});
  ASSERT_OK(result);
  EXPECT_EQ(result->outcome, CheckpointOutcome::kStored);
  EXPECT_TRUE(store_->Get("Totals", GameKey(1))->has_value());
  EXPECT_EQ(
      worker->CheckpointWith(batch, {WriteRequest::Put("Totals", Game(2, "x"))}).status().code(),
      StatusCode::kInvalidArgument);
  EXPECT_FALSE(store_->Get("Totals", GameKey(2))->has_value());
}

TEST_P(ConsumerTest, RefusesWhatMakesNoSense) {
  Open();
  const StreamId stream = MakeStream();
  const auto open = [&](const std::string& name, const std::string& worker, StreamId of = {},
                        const ConsumerOptions& options = {}) {
    return ConsumerWorker::Open(*store_, name, of == StreamId{} ? stream : of, worker, options)
        .status()
        .code();
  };
  EXPECT_EQ(open("", "a"), StatusCode::kInvalidArgument);
  EXPECT_EQ(open("c", ""), StatusCode::kInvalidArgument);
  EXPECT_EQ(open(std::string(256, 'c'), "a"), StatusCode::kInvalidArgument);
  EXPECT_EQ(open("c", std::string(256, 'a')), StatusCode::kInvalidArgument);
  EXPECT_EQ(open("\xff", "a"), StatusCode::kInvalidArgument);
  EXPECT_EQ(open("c", "a", StreamId{99}), StatusCode::kNotFound);
  EXPECT_EQ(open("c", "a", {}, {.lease_ms = 0}), StatusCode::kInvalidArgument);
  EXPECT_EQ(open(std::string(255, 'c'), std::string(255, 'a')), StatusCode::kOk);
  EXPECT_EQ(open("c", "a"), StatusCode::kOk);
  ASSERT_OK(store_->DisableStream("UserGames"));
  EXPECT_EQ(open("late", "a", {}, {.start = ConsumerStart::kBootstrap}),
            StatusCode::kFailedPrecondition);
  const auto second = store_->EnableStream("UserGames", ViewType::kKeysOnly);
  ASSERT_OK(second);
  EXPECT_EQ(open("c", "a", second->id), StatusCode::kInvalidArgument);
  EXPECT_EQ(DescribeConsumer(*store_, "nobody").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(ForgetConsumer(*store_, "nobody").code(), StatusCode::kNotFound);
}

// ---- Several workers ----

TEST_P(ConsumerTest, WorkersShareEvenlyAndStealOneAtATime) {
  Open();
  const StreamId stream = MakeStream();
  PutGames(0, 100);
  const Worker a = OpenWorker(stream, "a");
  ASSERT_OK(a->KeepLeases());
  EXPECT_EQ(a->leases().size(), 4u);
  const Worker b = OpenWorker(stream, "b");
  ASSERT_OK(b->KeepLeases());
  EXPECT_EQ(b->leases().size(), 1u);
  Round({a.get(), b.get()});
  EXPECT_EQ(a->leases().size(), 3u);
  EXPECT_EQ(b->leases().size(), 2u) << "a has still to learn of it";
  Round({a.get(), b.get()});
  EXPECT_EQ(a->leases().size(), 2u);
  EXPECT_EQ(b->leases().size(), 2u);
  const Worker c = OpenWorker(stream, "c");
  for (int i = 0; i < 5; ++i) Round({a.get(), b.get(), c.get()});
  EXPECT_EQ(c->leases().size(), 1u);
  EXPECT_EQ(a->leases().size() + b->leases().size(), 3u);
  EXPECT_EQ(Drain(*a) + Drain(*b) + Drain(*c), 100u);

  ASSERT_OK(c->Release());
  EXPECT_TRUE(c->leases().empty());
  Round({a.get(), b.get()});
  EXPECT_EQ(a->leases().size(), 2u) << "what is given free is taken at once";
  EXPECT_EQ(b->leases().size(), 2u);
}

TEST_P(ConsumerTest, ASilentWorkerLosesItsLeases) {
  Open();
  const StreamId stream = MakeStream();
  PutGames(0, 100);
  const Worker a = OpenWorker(stream, "a", {.limits = {.records_max = 5}});
  const ConsumerBatch old = Take(*a);
  const Worker b = OpenWorker(stream, "b");
  ASSERT_OK(b->KeepLeases());
  EXPECT_EQ(b->leases().size(), 1u);
  Round({b.get()});
  Round({b.get()});
  EXPECT_LE(b->leases().size(), 2u) << "a may be alive";
  Round({b.get()});
  EXPECT_EQ(b->leases().size(), 4u) << "a has been silent for the time of a lease";
  EXPECT_EQ(Drain(*b), 100u);

  const auto before = ReadTable(*store_, "_tailrace.consumers");
  ASSERT_OK(store_->CreateTable({.name = "Totals", .keys = kGameKeys}));
  const auto late = a->CheckpointWith(old, {WriteRequest::Put("Totals", Game(1, "x"))});
  ASSERT_OK(late);
  EXPECT_EQ(late->outcome, CheckpointOutcome::kLeaseLost);
  EXPECT_EQ(*a->Fail(old, "late"), CheckpointOutcome::kLeaseLost);
  EXPECT_EQ(ReadTable(*store_, "_tailrace.consumers"), before) << "it changed nothing";
  EXPECT_FALSE(store_->Get("Totals", GameKey(1))->has_value());

  // It was only slow: it joins again, and gets its share.
  for (int i = 0; i < 3; ++i) Round({a.get(), b.get()});
  EXPECT_EQ(a->leases().size(), 2u);
  EXPECT_EQ(Drain(*a), 0u);
}

TEST_P(ConsumerTest, ALeaseThatCameBackIsAnotherOne) {
  Open();
  const StreamId stream = MakeStream();
  PutGames(0, 100);
  const Worker a = OpenWorker(stream, "a", {.limits = {.records_max = 5}});
  const ConsumerBatch old = Take(*a);
  {
    const Worker b = OpenWorker(stream, "b", {.limits = {.records_max = 5}});
    for (int i = 0; i < 4; ++i) Round({b.get()});
    ASSERT_EQ(b->leases().size(), 4u);
    EXPECT_EQ(Drain(*b), 100u);
    ASSERT_OK(b->Release());
  }
  clock_.Advance(kRoundMs + 1);
  ASSERT_OK(a->KeepLeases());
  ASSERT_EQ(a->leases().size(), 4u);
  EXPECT_EQ(*a->Checkpoint(old), CheckpointOutcome::kLeaseLost)
      << "it would take the checkpoint back";
  EXPECT_EQ(Drain(*a), 0u);
}

TEST_P(ConsumerTest, ALeaseThatWasTakenBackIsAnotherOne) {
  Open();
  const StreamId stream = MakeStream();
  PutGames(0, 100);
  const Worker a = OpenWorker(stream, "a", {.limits = {.records_max = 5}});
  const ConsumerBatch old = Take(*a);
  const Worker b = OpenWorker(stream, "b", {.limits = {.records_max = 5}});
  for (int i = 0; i < 4; ++i) Round({b.get()});
  ASSERT_EQ(b->leases().size(), 4u) << "a was silent";
  EXPECT_EQ(Drain(*b), 100u);
  for (int i = 0; i < 5; ++i) Round({a.get()});
  ASSERT_EQ(a->leases().size(), 4u) << "b was silent";
  EXPECT_EQ(*a->Checkpoint(old), CheckpointOutcome::kLeaseLost)
      << "it would take the checkpoint back";
  EXPECT_EQ(Drain(*a), 0u);
}

TEST_P(ConsumerTest, ClocksThatJumpAndMachinesThatSleepTakeNoLease) {
  Open();
  const StreamId stream = MakeStream();
  const Worker a = OpenWorker(stream, "a");
  ASSERT_OK(a->KeepLeases());
  const Worker b = OpenWorker(stream, "b");
  for (int i = 0; i < 3; ++i) Round({a.get(), b.get()});
  ASSERT_EQ(a->leases().size(), 2u);
  for (const int64_t jump_ms : {86'400'000ll, -10 * 86'400'000ll}) {
    clock_.JumpWall(jump_ms);
    Round({b.get(), a.get()});
    EXPECT_EQ(a->leases().size(), 2u);
    EXPECT_EQ(b->leases().size(), 2u);
  }
  // Nobody ran for a day; b has seen a's last beat and is the first to wake.
  Round({a.get(), b.get()});
  clock_.Advance(86'400'000);
  Round({b.get(), a.get(), b.get()});
  EXPECT_EQ(a->leases().size(), 2u);
  EXPECT_EQ(b->leases().size(), 2u);
}

TEST_P(ConsumerTest, AWorkerThatComesBackTakesItsLeasesAtOnce) {
  Open();
  const StreamId stream = MakeStream();
  PutGames(0, 100);
  Worker a = OpenWorker(stream, "a");
  const Worker b = OpenWorker(stream, "b");
  for (int i = 0; i < 3; ++i) Round({a.get(), b.get()});
  ASSERT_EQ(a->leases().size(), 2u);
  const auto before = a->leases();
  const Worker first = std::move(a);
  a = OpenWorker(stream, "a");
  ASSERT_OK(a->KeepLeases());
  EXPECT_EQ(a->leases(), before);
  // The first is still there: two of one name cannot be.
  clock_.Advance(kRoundMs + 1);
  const Status twice = first->KeepLeases();
  EXPECT_EQ(twice.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(twice.message(), HasSubstr("another worker"));
}

// It takes back all of them, though its share is less by now; the other worker is to take its own.
TEST_P(ConsumerTest, AWorkerThatComesBackBesideAnotherTakesItsLeasesToo) {
  Open();
  const StreamId stream = MakeStream();
  Worker first = OpenWorker(stream, "a");
  ASSERT_OK(first->KeepLeases());
  ASSERT_EQ(first->leases().size(), 4u);
  const Worker second = OpenWorker(stream, "b");
  ASSERT_OK(second->KeepLeases());  // It is there, and takes one.
  first = OpenWorker(stream, "a");  // As after a restart.
  for (int round = 0; round < 5; ++round) Round({first.get(), second.get()});
  EXPECT_EQ(first->leases().size(), 2u);
  EXPECT_EQ(second->leases().size(), 2u);
}

TEST_P(ConsumerTest, ParentsAreFinishedBeforeTheirChildren) {
  Open();
  options_.shards_per_stream = 1;
  Reopen();
  const StreamId stream = MakeStream();
  PutGames(0, 20, "parent");
  SplitFirst(stream);
  PutGames(20, 20, "child");
  const Worker a = OpenWorker(stream, "a");
  const Worker b = OpenWorker(stream, "b");
  const ConsumerBatch parent = Take(*a);
  ASSERT_EQ(parent.records.size(), 20u);
  EXPECT_TRUE(parent.end_of_shard);
  Round({a.get(), b.get()});
  EXPECT_FALSE(a->Next(0)->has_value()) << "the parent's end is not checkpointed";
  EXPECT_FALSE(b->Next(0)->has_value());
  const auto info = DescribeConsumer(*store_, kName);
  ASSERT_OK(info);
  ASSERT_EQ(info->shards.size(), 3u);
  EXPECT_FALSE(info->shards[0].waiting);
  EXPECT_TRUE(info->shards[1].waiting && info->shards[2].waiting);
  EXPECT_EQ(info->shards[1].lag_records + info->shards[2].lag_records, 20u);

  ASSERT_EQ(*a->Checkpoint(parent), CheckpointOutcome::kStored);
  Round({b.get(), a.get()});
  Round({b.get(), a.get()});
  EXPECT_EQ(a->leases().size(), 1u);
  EXPECT_EQ(b->leases().size(), 1u);
  EXPECT_EQ(Drain(*a) + Drain(*b), 20u);
  Round({a.get()});
  EXPECT_EQ(DescribeConsumer(*store_, kName)->shards.size(), 2u);
  // The parent's lease has gone: only what is open has one.
  size_t leases = 0;
  for (const Item& item : ReadTable(*store_, "_tailrace.consumers")) leases += item.Has("shard");
  EXPECT_EQ(leases, 2u);
}

// Two workers, one of which dies now and then, keep a copy of a table by a bootstrap, while items
// change and shards are split, and merged as soon as they are empty. A merged shard has two that it
// goes on from, of which it names one.
TEST_P(ConsumerTest, ABootstrapGoesOnOverMerges) {
  constexpr int64_t kGames = 150;
  constexpr int kStepsMax = 20'000;
  Open();
  const StreamId stream = MakeStream();
  ASSERT_OK(store_->CreateTable({.name = kCopyTable, .keys = kGameKeys}));
  PutGames(0, kGames, "first");
  clock_.Advance(options_.retention_ms);
  ASSERT_OK(store_->RunMaintenance());  // Now only the table has them.
  const ConsumerOptions options{
      .start = ConsumerStart::kBootstrap, .pin_bytes_max = 1 << 30, .limits = {.records_max = 2}};
  Worker workers[] = {OpenWorker(stream, "a", options), OpenWorker(stream, "b", options)};
  const auto apply = [&](ConsumerWorker& worker) {
    const auto batch = worker.Next(0);
    EXPECT_OK(batch);
    if (!batch.ok() || !*batch) return false;
    EXPECT_FALSE((*batch)->gap.has_value());
    EXPECT_OK(ApplyToCopy(worker, kGameKeys, **batch));
    return true;
  };
  Random random(MixSeed(TestSeed(), GetParam() == Durability::kSync ? 1 : 2));
  int merges = 0;
  int step = 0;
  for (; step < kStepsMax && !HasFailure(); ++step) {
    const bool bootstraps = DescribeConsumer(*store_, kName)->bootstrapping;
    if (!bootstraps) break;
    switch (random.Below(10)) {
      case 0: {
        const auto id = static_cast<int64_t>(random.Below(2 * kGames));
        const Status written =
            random.OneIn(3) ? store_->Delete("UserGames", GameKey(id)).status()
                            : store_->Put("UserGames", Game(id, std::to_string(step))).status();
        ASSERT_OK(written);
        break;
      }
      case 1: {
        const size_t dies = random.Below(2);
        workers[dies] = OpenWorker(stream, dies == 0 ? "a" : "b", options);
        break;
      }
      case 2:
        if (random.OneIn(4)) SplitFirst(stream);
        break;
      case 3: {
        clock_.Advance(options_.retention_ms);
        ASSERT_OK(store_->RunMaintenance());
        std::vector<ShardInfo> open = store_->DescribeStream(stream)->shards;
        std::erase_if(open, [](const ShardInfo& shard) { return shard.ending.has_value(); });
        std::sort(open.begin(), open.end(), [](const ShardInfo& a, const ShardInfo& b) {
          return a.hash_first < b.hash_first;
        });
        if (open.size() < 2) break;
        const size_t at = random.Below(open.size() - 1);
        const auto merged = store_->MergeShards(stream, open[at].id, open[at + 1].id);
        if (!merged.ok()) {
          ASSERT_EQ(merged.status().code(), StatusCode::kFailedPrecondition);
        }
        merges += merged.ok();
        break;
      }
      default:
        apply(*workers[random.Below(2)]);
    }
  }
  EXPECT_LT(step, kStepsMax) << "the bootstrap does not end";
  EXPECT_GE(merges, 2);
  for (int round = 0; round < 20; ++round) {
    ASSERT_OK(store_->WaitFannedOut({store_->Stats()->safe}));
    Round({workers[0].get(), workers[1].get()});
    for (const Worker& worker : workers) {
      while (!HasFailure() && apply(*worker)) {
      }
    }
  }
  EXPECT_TRUE(ReadTable(*store_, kCopyTable) == ReadTable(*store_, "UserGames"));
  uint64_t lag_records = 0;
  const auto now = DescribeConsumer(*store_, kName);
  ASSERT_OK(now);
  for (const ConsumerShard& shard : now->shards) lag_records += shard.lag_records;
  EXPECT_EQ(lag_records, 0u);
}

TEST_P(ConsumerTest, TwoConsumersDoNotSeeEachOther) {
  Open();
  const StreamId stream = MakeStream();
  PutGames(0, 30);
  const Worker a = OpenWorker(stream, "a");
  auto other = ConsumerWorker::Open(*store_, "other", stream, "a", {});
  ASSERT_OK(other);
  EXPECT_EQ(Drain(*a), 30u);
  EXPECT_EQ(Drain(**other), 30u);
  const auto all = ListConsumers(*store_);
  ASSERT_OK(all);
  ASSERT_EQ(all->size(), 2u);
  EXPECT_EQ((*all)[0].name, "other");
  EXPECT_EQ((*all)[1].name, kName);
}

TEST_P(ConsumerTest, AForgottenConsumerLeavesNothing) {
  Open();
  const StreamId stream = MakeStream();
  PutGames(0, 30);
  const Worker a = OpenWorker(stream, "a");
  const ConsumerBatch batch = Take(*a);
  ASSERT_OK(ForgetConsumer(*store_, kName));
  EXPECT_EQ(*a->Checkpoint(batch), CheckpointOutcome::kLeaseLost);
  clock_.Advance(kRoundMs + 1);
  EXPECT_EQ(a->Next(0).status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(ReadTable(*store_, "_tailrace.consumers").empty());
  EXPECT_EQ(Drain(*OpenWorker(stream, "b")), 30u) << "the name begins anew";
}

TEST_P(ConsumerTest, WhatExpiredIsAGap) {
  Open();
  const StreamId stream = MakeStream();
  PutGames(0, 40);
  const Worker a = OpenWorker(stream, "a", {.limits = {.records_max = 3}});
  ASSERT_EQ(*a->Checkpoint(Take(*a)), CheckpointOutcome::kStored);
  clock_.Advance(25 * 3600'000);
  PutGames(40, 40);
  ASSERT_OK(store_->RunMaintenance());
  size_t records = 0;
  std::set<ShardId> gaps;
  while (true) {
    const auto batch = a->Next(0);
    ASSERT_OK(batch);
    if (!*batch) break;
    if ((*batch)->gap) gaps.insert((*batch)->shard);
    records += (*batch)->records.size();
    ASSERT_EQ(*a->Checkpoint(**batch), CheckpointOutcome::kStored);
  }
  EXPECT_EQ(gaps.size(), 4u);
  EXPECT_EQ(records, 40u);
}

}  // namespace
}  // namespace tailrace::test
