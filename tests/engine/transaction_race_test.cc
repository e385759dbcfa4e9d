// Transactions of many threads at once: money that is moved between accounts is never made or lost,
// neither in what a transactional read shows nor in any commit of the stream.
#include <atomic>
#include <barrier>
#include <map>
#include <thread>

#include "tests/engine/store_fixture.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"

namespace tailrace::test {
namespace {

constexpr int64_t kAccounts = 12;
constexpr int64_t kStart = 100;
constexpr int kMovers = 3;
constexpr int kMoves = 250;

const std::vector<std::string> kTables{"East", "West"};

// Accounts lie in both tables in turn.
const std::string& TableOf(int64_t account) { return kTables[static_cast<size_t>(account % 2)]; }

Item Account(int64_t account, int64_t balance) {
  return Item{{"game_id", Value::N(account)}, {"balance", Value::N(balance)}};
}
int64_t BalanceOf(const Item& item) { return item.GetNumber("balance")->ToInt64().value(); }

Updater Add(int64_t amount) {
  return [amount](std::optional<Item>& item) {
    item->Set("balance", Value::N(BalanceOf(*item) + amount));
    return Status::Ok();
  };
}

class TransactionRaceTest : public StoreTest {
 protected:
  void SetUp() override {
    Open();
    for (const std::string& table : kTables) {
      ASSERT_OK(store_->CreateTable(
          {.name = table, .keys = kGameKeys, .stream = ViewType::kNewAndOldImages}));
    }
    std::vector<WriteRequest> writes;
    for (int64_t account = 0; account < kAccounts; ++account) {
      writes.push_back(WriteRequest::Put(TableOf(account), Account(account, kStart)));
    }
    ASSERT_OK(store_->Transact(writes));
  }

  // Moves an amount from one account to up to three others, if it is there.
  std::vector<WriteRequest> DrawMove(Random& random) {
    const auto first = static_cast<int64_t>(random.Below(kAccounts));
    const auto others = static_cast<int64_t>(random.Between(1, 3));
    const auto amount = static_cast<int64_t>(random.Between(1, 30));
    std::vector<WriteRequest> writes{WriteRequest::Update(
        TableOf(first), GameKey(first), Add(-amount * others),
        [=](const Item* item) { return BalanceOf(*item) >= amount * others; })};
    for (int64_t i = 1; i <= others; ++i) {
      const int64_t account = (first + i) % kAccounts;
      writes.push_back(WriteRequest::Update(TableOf(account), GameKey(account), Add(amount)));
    }
    if (random.OneIn(2)) std::reverse(writes.begin(), writes.end());
    return writes;
  }

  void Move(uint64_t seed) {
    Random random(seed);
    for (int i = 0; i < kMoves; ++i) {
      const auto result = store_->Transact(
          DrawMove(random), {.wait = random.OneIn(4) ? WaitFor::kSafe : WaitFor::kNothing});
      ASSERT_OK(result);
      applied_ += result->outcome == WriteOutcome::kApplied;
      // Single writes of the same items in between; they change nothing in sum.
      const auto account = static_cast<int64_t>(random.Below(kAccounts));
      ASSERT_OK(store_->Update(TableOf(account), GameKey(account), Add(0)));
    }
  }

  std::atomic<uint64_t> applied_{0};
};

INSTANTIATE_TEST_SUITE_P(Durabilities, TransactionRaceTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

TEST_P(TransactionRaceTest, MoneyIsNeitherMadeNorLost) {
  std::vector<ItemKey> keys;
  for (int64_t account = 0; account < kAccounts; ++account) {
    keys.push_back({TableOf(account), GameKey(account)});
  }
  std::atomic<bool> done{false};
  uint64_t snapshots = 0;
  std::thread reader([&] {
    do {
      const auto items = store_->TransactGet(keys);
      ASSERT_OK(items);
      int64_t sum = 0;
      for (const auto& item : *items) sum += BalanceOf(*item);
      ASSERT_EQ(sum, kAccounts * kStart);
      ++snapshots;
    } while (!done);
  });
  std::thread drainer([&] {
    while (!done) ASSERT_OK(store_->Checkpoint());
  });
  std::vector<std::thread> movers;
  for (int i = 0; i < kMovers; ++i) {
    movers.emplace_back([&, i] { Move(MixSeed(TestSeed(), static_cast<uint64_t>(i))); });
  }
  for (std::thread& mover : movers) mover.join();
  done = true;
  reader.join();
  drainer.join();
  EXPECT_GT(snapshots, 1u);
  EXPECT_GT(applied_, 0u);

  // Commits of the stream, over both tables: each is whole, and moves nothing in sum.
  struct Group {
    uint64_t records = 0;
    uint64_t changes = 0;
    int64_t sum = 0;
  };
  std::map<SequenceNumber, Group> groups;
  std::map<int64_t, int64_t> folded;
  std::map<SequenceNumber, ChangeRecord> ordered;
  for (const std::string& table : kTables) {
    for (ChangeRecord& record : ReadStream(*store_, LatestStream(table))) {
      const SequenceNumber sequence = record.sequence;
      ASSERT_TRUE(ordered.emplace(sequence, std::move(record)).second) << "a number used twice";
    }
  }
  for (const auto& [sequence, record] : ordered) {
    Group& group = groups[record.commit];
    ASSERT_EQ(sequence.value, record.commit.value + group.records) << "numbers leave no hole";
    ++group.records;
    group.changes = record.commit_changes;
    const int64_t account = record.keys.GetNumber("game_id")->ToInt64().value();
    const int64_t balance = BalanceOf(*record.new_image);
    const auto before = folded.find(account);
    if (record.old_image) {
      ASSERT_TRUE(before != folded.end());
      ASSERT_EQ(BalanceOf(*record.old_image), before->second) << "the image before";
    }
    group.sum += balance - (before == folded.end() ? 0 : before->second);
    folded[account] = balance;
  }
  ASSERT_EQ(groups.size(), applied_ + 1);
  for (const auto& [commit, group] : groups) {
    ASSERT_EQ(group.records, group.changes);
    ASSERT_EQ(group.sum, commit == groups.begin()->first ? kAccounts * kStart : 0);
  }
  for (const auto& [account, balance] : folded) {
    ASSERT_GE(balance, 0) << "the condition and the change are of one moment";
    ASSERT_EQ(*store_->Get(TableOf(account), GameKey(account)), Account(account, balance));
  }
}

TEST_P(TransactionRaceTest, OneOfManyWithTheSameTokenHappens) {
  constexpr int kCallers = 4;
  constexpr int kTokens = 25;
  std::array<std::atomic<int>, kTokens> first_times{};
  std::array<std::array<SequenceNumber, kCallers>, kTokens> commits;
  std::vector<std::thread> callers;
  for (size_t caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&, caller] {
      for (size_t token = 0; token < kTokens; ++token) {
        const auto result =
            store_->Transact({WriteRequest::Update(TableOf(0), GameKey(0), Add(1)),
                              WriteRequest::Update(TableOf(1), GameKey(1), Add(-1))},
                             {.idempotency_token = "token " + std::to_string(token)});
        ASSERT_OK(result);
        if (!result->repeated) ++first_times[token];
        commits[token][caller] = result->commit;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (size_t token = 0; token < kTokens; ++token) {
    EXPECT_EQ(first_times[token], 1);
    for (const SequenceNumber commit : commits[token]) EXPECT_EQ(commit, commits[token][0]);
  }
  EXPECT_EQ(*store_->Get(TableOf(0), GameKey(0)), Account(0, kStart + kTokens));
  EXPECT_EQ(*store_->Get(TableOf(1), GameKey(1)), Account(1, kStart - kTokens));
}

// Of different requests no other lock holds one up while another is decided.
TEST_P(TransactionRaceTest, OneOfDifferentRequestsUnderATokenHappens) {
  constexpr size_t kCallers = 3;
  constexpr size_t kTokens = 40;
  constexpr int kYields = 20;  // In the middle of a transaction, for others to come in between.
  const Updater add_slowly = [](std::optional<Item>& item) {
    for (int i = 0; i < kYields; ++i) std::this_thread::yield();
    return Add(1)(item);
  };
  std::array<std::atomic<int>, kTokens> applied{};
  std::barrier together(kCallers);
  std::vector<std::thread> callers;
  for (size_t caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&, account = static_cast<int64_t>(caller)] {
      for (size_t token = 0; token < kTokens; ++token) {
        together.arrive_and_wait();
        const auto result =
            store_->Transact({WriteRequest::Update(TableOf(account), GameKey(account), add_slowly)},
                             {.idempotency_token = "token " + std::to_string(token)});
        if (result.ok()) {
          ++applied[token];
        } else {
          EXPECT_EQ(result.status().code(), StatusCode::kAlreadyExists);
        }
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (const auto& count : applied) EXPECT_EQ(count, 1);
}

}  // namespace
}  // namespace tailrace::test
