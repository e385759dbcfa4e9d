// Transactions, transactional reads and batches through the store's public face.
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "engine/limits.h"
#include "engine/transaction_token.h"
#include "tests/engine/store_fixture.h"

namespace tailrace::test {
namespace {

using ::testing::HasSubstr;

using Writes = std::vector<WriteRequest>;

bool IsThere(const Item* item) { return item != nullptr; }
bool IsAbsent(const Item* item) { return item == nullptr; }

Item Score(const std::string& user, int64_t at, int64_t points) {
  return Item{{"user", Value::S(user)}, {"at", Value::N(at)}, {"points", Value::N(points)}};
}
Item ScoreKey(const std::string& user, int64_t at) {
  return Item{{"user", Value::S(user)}, {"at", Value::N(at)}};
}

Updater AddPoints(int64_t points) {
  return [points](std::optional<Item>& item) {
    if (!item) return FailedPrecondition("no such score");
    const int64_t now = item->GetNumber("points")->ToInt64().value();
    item->Set("points", Value::N(now + points));
    return Status::Ok();
  };
}

std::vector<WriteOutcome> OutcomesOf(const TransactResult& result) {
  std::vector<WriteOutcome> outcomes;
  for (const WriteResult& item : result.items) outcomes.push_back(item.outcome);
  return outcomes;
}

// A store with the tables "UserGames" and "Scores", and an item in each.
class TransactionTest : public StoreTest {
 protected:
  TransactionTest() {
    options_.on_pause_point = [this](PausePoint point) {
      commits_ += point == PausePoint::kAfterAppend;
    };
  }
  ~TransactionTest() override { store_.reset(); }  // While there is something to call.
  void SetUp() override {
    Open();
    MakeGames(ViewType::kNewAndOldImages);
    ASSERT_OK(store_->CreateTable(
        {.name = "Scores", .keys = kScoreKeys, .stream = ViewType::kNewAndOldImages}));
    ASSERT_OK(store_->Put("UserGames", Game(1, "ann")));
    ASSERT_OK(store_->Put("Scores", Score("ann", 1, 10)));
  }

  // Commit frames appended so far.
  uint64_t Commits() const { return commits_; }
  std::vector<Item> Tokens() { return ReadTable(*store_, engine::kTokenTable); }
  Result<TransactResult> Transact(const Writes& writes, const std::string& token = "") {
    return store_->Transact(writes, {.idempotency_token = token});
  }

  std::atomic<uint64_t> commits_{0};
};

INSTANTIATE_TEST_SUITE_P(Durabilities, TransactionTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

TEST_P(TransactionTest, WritesOfSeveralTablesAreOneCommit) {
  Writes writes{WriteRequest::Put("UserGames", Game(2, "bob"), IsAbsent),
                WriteRequest::Put("UserGames", Game(1, "ann")),
                WriteRequest::Update("Scores", ScoreKey("ann", 1), AddPoints(5)),
                WriteRequest::Check("UserGames", GameKey(3), IsAbsent),
                WriteRequest::Delete("Scores", ScoreKey("bob", 9))};
  for (WriteRequest& write : writes) write.return_items = ReturnItems::kBoth;
  const auto result = Transact(writes);
  ASSERT_OK(result);
  EXPECT_EQ(result->outcome, WriteOutcome::kApplied);
  EXPECT_FALSE(result->repeated);
  EXPECT_THAT(OutcomesOf(*result),
              ::testing::ElementsAre(WriteOutcome::kApplied, WriteOutcome::kUnchanged,
                                     WriteOutcome::kApplied, WriteOutcome::kUnchanged,
                                     WriteOutcome::kUnchanged));
  EXPECT_EQ(result->items[0].old_item, std::nullopt);
  EXPECT_EQ(result->items[0].new_item, Game(2, "bob"));
  EXPECT_EQ(result->items[1].old_item, Game(1, "ann"));
  EXPECT_EQ(result->items[1].new_item, Game(1, "ann"));
  EXPECT_EQ(result->items[2].old_item, Score("ann", 1, 10));
  EXPECT_EQ(result->items[2].new_item, Score("ann", 1, 15));
  EXPECT_EQ(result->items[3].new_item, std::nullopt);
  EXPECT_EQ(result->items[0].sequence, result->commit);
  EXPECT_EQ(result->items[2].sequence.value, result->commit.value + 1);
  EXPECT_EQ(result->items[1].sequence, SequenceNumber{});

  // One record in each table's stream, of one commit.
  const auto games = ReadStream(*store_, LatestStream("UserGames"));
  const auto scores = ReadStream(*store_, LatestStream("Scores"));
  ASSERT_EQ(games.size(), 2u);
  ASSERT_EQ(scores.size(), 2u);
  const auto in_commit = [&](const ChangeRecord& record) {
    return record.commit == result->commit;
  };
  const auto game = std::find_if(games.begin(), games.end(), in_commit);
  const auto score = std::find_if(scores.begin(), scores.end(), in_commit);
  ASSERT_TRUE(game != games.end() && score != scores.end());
  EXPECT_EQ(game->sequence, result->items[0].sequence);
  EXPECT_EQ(score->sequence, result->items[2].sequence);
  EXPECT_EQ(game->commit_changes, 2u);
  EXPECT_EQ(score->commit_changes, 2u);
  EXPECT_EQ(score->old_image, Score("ann", 1, 10));
  EXPECT_EQ(score->new_image, Score("ann", 1, 15));

  Reopen();
  EXPECT_EQ(*store_->Get("UserGames", GameKey(2)), Game(2, "bob"));
  EXPECT_EQ(*store_->Get("Scores", ScoreKey("ann", 1)), Score("ann", 1, 15));
}

TEST_P(TransactionTest, ARefusedConditionCountsWhereverItStands) {
  const Writes checks{WriteRequest::Put("UserGames", Game(1, "bob"), IsAbsent),
                      WriteRequest::Check("Scores", ScoreKey("ann", 1), IsThere),
                      WriteRequest::Check("Scores", ScoreKey("bob", 1), IsAbsent)};
  for (size_t turn = 0; turn < checks.size(); ++turn) {
    Writes writes = checks;
    std::rotate(writes.begin(), writes.begin() + static_cast<ptrdiff_t>(turn), writes.end());
    const auto result = store_->Transact(writes);
    ASSERT_OK(result);
    EXPECT_EQ(result->outcome, WriteOutcome::kRejected);
    EXPECT_EQ(*store_->Get("UserGames", GameKey(1)), Game(1, "ann"));
  }
}

TEST_P(TransactionTest, OneRefusedConditionRefusesAll) {
  const uint64_t before = Commits();
  bool updated = false;
  Writes writes{WriteRequest::Put("UserGames", Game(2, "bob")),
                WriteRequest::Put("UserGames", Game(1, "bob"), IsAbsent),
                WriteRequest::Update("Scores", ScoreKey("ann", 1),
                                     [&](std::optional<Item>&) {
                                       updated = true;
                                       return Status::Ok();
                                     }),
                WriteRequest::Check("Scores", ScoreKey("bob", 1), IsThere)};
  writes[1].return_items = ReturnItems::kOld;
  const auto result = Transact(writes, "a token");
  ASSERT_OK(result);
  EXPECT_EQ(result->outcome, WriteOutcome::kRejected);
  EXPECT_THAT(OutcomesOf(*result),
              ::testing::ElementsAre(WriteOutcome::kUnchanged, WriteOutcome::kRejected,
                                     WriteOutcome::kUnchanged, WriteOutcome::kRejected));
  EXPECT_EQ(result->items[1].old_item, Game(1, "ann"));
  EXPECT_EQ(result->commit, SequenceNumber{});
  EXPECT_FALSE(updated) << "updaters run only once every condition held";
  EXPECT_EQ(*store_->Get("UserGames", GameKey(2)), std::nullopt);
  EXPECT_EQ(*store_->Get("UserGames", GameKey(1)), Game(1, "ann"));
  EXPECT_THAT(Tokens(), ::testing::IsEmpty()) << "a refused transaction is not remembered";

  EXPECT_EQ(Transact(writes, "a token")->outcome, WriteOutcome::kRejected);
  EXPECT_EQ(Commits(), before) << "a refused transaction leaves no frame";

  // The same request may succeed later.
  ASSERT_OK(store_->Delete("UserGames", GameKey(1)));
  ASSERT_OK(store_->Put("Scores", Score("bob", 1, 0)));
  EXPECT_EQ(Transact(writes, "a token")->outcome, WriteOutcome::kApplied);
  EXPECT_TRUE(updated);
}

TEST_P(TransactionTest, NothingChangedLogsNothing) {
  const uint64_t before = Commits();
  const auto result = Transact({WriteRequest::Put("UserGames", Game(1, "ann")),
                                WriteRequest::Delete("UserGames", GameKey(2)),
                                WriteRequest::Check("Scores", ScoreKey("ann", 1), IsThere)});
  ASSERT_OK(result);
  EXPECT_EQ(result->outcome, WriteOutcome::kUnchanged);
  EXPECT_EQ(result->commit, SequenceNumber{});
  EXPECT_EQ(Commits(), before);
}

TEST_P(TransactionTest, AFailingUpdaterChangesNothing) {
  const uint64_t before = Commits();
  const auto result = Transact({WriteRequest::Put("UserGames", Game(2, "bob")),
                                WriteRequest::Update("Scores", ScoreKey("bob", 1), AddPoints(1))});
  EXPECT_EQ(result.status(), FailedPrecondition("write 1: no such score"));
  const auto moved =
      Transact({WriteRequest::Put("UserGames", Game(2, "bob")),
                WriteRequest::Update("Scores", ScoreKey("ann", 1), [](std::optional<Item>& item) {
                  item->Set("at", Value::N(2));
                  return Status::Ok();
                })});
  EXPECT_EQ(moved.status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Commits(), before);
  EXPECT_EQ(*store_->Get("UserGames", GameKey(2)), std::nullopt);
}

TEST_P(TransactionTest, BadRequestsAreRefused) {
  const WriteRequest good = WriteRequest::Put("UserGames", Game(2, "bob"));
  const auto refuse = [&](const WriteRequest& bad, StatusCode code, const std::string& text) {
    const uint64_t before = Commits();
    const Status status = Transact({good, bad}).status();
    EXPECT_EQ(status.code(), code) << status.ToString();
    EXPECT_THAT(status.message(), HasSubstr(text));
    EXPECT_EQ(Commits(), before);
  };
  refuse(good, StatusCode::kInvalidArgument, "several writes of one item");
  refuse(WriteRequest::Delete("UserGames", GameKey(2)), StatusCode::kInvalidArgument,
         "several writes of one item");
  refuse(WriteRequest::Check("UserGames", GameKey(2), IsThere), StatusCode::kInvalidArgument,
         "several writes of one item");
  refuse(WriteRequest::Put("Nowhere", Game(3, "x")), StatusCode::kNotFound, "write 1: there is no");
  refuse(WriteRequest::Put("UserGames", Item{{"a", Value::N(1)}}), StatusCode::kInvalidArgument,
         "write 1: ");
  refuse(WriteRequest::Delete("UserGames", Game(3, "x")), StatusCode::kInvalidArgument,
         "write 1: ");
  refuse(WriteRequest::Update("UserGames", GameKey(3), nullptr), StatusCode::kInvalidArgument,
         "write 1: an update needs an updater");
  refuse(WriteRequest::Check("UserGames", GameKey(3), nullptr), StatusCode::kInvalidArgument,
         "write 1: a check needs a condition");
  WriteRequest with_updater = WriteRequest::Put("UserGames", Game(3, "x"));
  with_updater.updater = AddPoints(1);
  refuse(with_updater, StatusCode::kInvalidArgument, "write 1: an update needs an updater");
  WriteRequest unknown = WriteRequest::Put("UserGames", Game(3, "x"));
  unknown.kind = static_cast<WriteRequest::Kind>(17);
  refuse(unknown, StatusCode::kInvalidArgument, "write 1: there is no such kind");
  WriteRequest large = WriteRequest::Put("UserGames", Game(3, std::string(kItemBytesMax, 'x')));
  refuse(large, StatusCode::kInvalidArgument, "write 1: ");

  EXPECT_EQ(Transact({}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Transact({good}, std::string(kIdempotencyTokenBytesMax + 1, 't')).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(Transact({good}, "\xff").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(
      Transact({WriteRequest::Delete(engine::kTokenTable, Item{{"token", Value::S("t")}})}, "t")
          .status()
          .code(),
      StatusCode::kInvalidArgument)
      << "a transaction cannot hold the item that remembers it";
  EXPECT_EQ(*store_->Get("UserGames", GameKey(2)), std::nullopt);
}

TEST_P(TransactionTest, AHundredItemsAndNoMore) {
  Writes writes;
  for (int64_t i = 0; i < 100; ++i) {
    writes.push_back(WriteRequest::Put("UserGames", Game(1000 + i, "many")));
  }
  static_assert(kTransactionItemsMax == 100);
  const auto result = Transact(writes, std::string(kIdempotencyTokenBytesMax, 't'));
  ASSERT_OK(result);
  for (size_t i = 0; i < writes.size(); ++i) {
    ASSERT_EQ(result->items[i].sequence.value, result->commit.value + i);
  }
  writes.push_back(WriteRequest::Put("UserGames", Game(2000, "many")));
  EXPECT_EQ(Transact(writes).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadTable(*store_, "UserGames").size(), 101u);
  for (const ChangeRecord& record : ReadStream(*store_, LatestStream("UserGames"))) {
    if (record.commit == result->commit) {
      EXPECT_EQ(record.commit_changes, 100u);
    }
  }
}

TEST_P(TransactionTest, ACommitThatDoesNotFitIntoTheJournalIsRefusedWhole) {
  // The fixture's segments have 1 MiB: a commit has at most a quarter of that.
  Writes writes;
  for (int64_t i = 10; i < 13; ++i) {
    writes.push_back(WriteRequest::Put("UserGames", Game(i, std::string(100'000, 'x'))));
  }
  const uint64_t before = Commits();
  EXPECT_EQ(Transact(writes, "t").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadTable(*store_, "UserGames").size(), 1u);
  EXPECT_THAT(Tokens(), ::testing::IsEmpty());
  EXPECT_EQ(Commits(), before);
  writes.pop_back();
  ASSERT_OK(Transact(writes, "t"));
}

TEST_P(TransactionTest, CallablesMayNotCallTheStore) {
  std::vector<Status> inside;
  const auto meddle = [&](const Item*) {
    inside.push_back(Transact({WriteRequest::Put("UserGames", Game(5, "x"))}).status());
    inside.push_back(store_->TransactGet({{"UserGames", GameKey(1)}}).status());
    inside.push_back(store_->BatchGet({{"UserGames", GameKey(1)}}).status());
    inside.push_back(store_->BatchWrite({WriteRequest::Put("UserGames", Game(5, "x"))}).status());
    return true;
  };
  ASSERT_OK(Transact({WriteRequest::Put("UserGames", Game(2, "bob"), meddle)}));
  ASSERT_EQ(inside.size(), 4u);
  for (const Status& status : inside) EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
}

TEST_P(TransactionTest, ATableThatIsDroppedMeanwhileEndsIt) {
  int calls = 0;
  // Runs under the items' locks, before the commit.
  const auto drop = [&](const Item*) {
    if (calls++ > 0) return true;
    std::thread([&] { EXPECT_OK(store_->DropTable("Scores")); }).join();
    return true;
  };
  const auto result = Transact({WriteRequest::Put("UserGames", Game(2, "bob"), drop),
                                WriteRequest::Put("Scores", Score("bob", 1, 1))});
  EXPECT_EQ(result.status().code(), StatusCode::kNotFound);
  EXPECT_EQ(*store_->Get("UserGames", GameKey(2)), std::nullopt);
}

TEST_P(TransactionTest, AStreamThatIsEnabledMeanwhileShowsIt) {
  ASSERT_OK(store_->DisableStream("Scores"));
  int calls = 0;
  const auto enable = [&](const Item*) {
    if (calls++ > 0) return true;
    std::thread([&] {
      EXPECT_OK(store_->EnableStream("Scores", ViewType::kNewAndOldImages));
    }).join();
    return true;
  };
  const auto result = Transact({WriteRequest::Put("UserGames", Game(2, "bob"), enable),
                                WriteRequest::Put("Scores", Score("ann", 1, 11))});
  ASSERT_OK(result);
  EXPECT_EQ(calls, 2) << "decided anew after the table changed";
  const auto records = ReadStream(*store_, LatestStream("Scores"));
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].old_image, Score("ann", 1, 10));
  EXPECT_EQ(records[0].commit, result->commit);
}

// ---- Idempotency tokens ----

TEST_P(TransactionTest, ARepeatedTransactionGivesTheFirstOutcomeAndDoesNothing) {
  Writes writes{WriteRequest::Update("Scores", ScoreKey("ann", 1), AddPoints(1)),
                WriteRequest::Delete("UserGames", GameKey(9)),
                WriteRequest::Put("UserGames", Game(2, "bob"), IsAbsent)};
  writes[0].return_items = ReturnItems::kBoth;
  const auto first = Transact(writes, "token");
  ASSERT_OK(first);
  EXPECT_EQ(first->items[0].new_item, Score("ann", 1, 11));
  const auto records = ReadStream(*store_, LatestStream("UserGames"));
  EXPECT_EQ(records.back().commit_changes, 2u) << "the token is not counted";

  const auto expect_again = [&] {
    const uint64_t before = Commits();
    const auto again = Transact(writes, "token");
    ASSERT_OK(again);
    EXPECT_TRUE(again->repeated);
    EXPECT_EQ(again->outcome, WriteOutcome::kApplied);
    EXPECT_EQ(again->commit, first->commit);
    ASSERT_EQ(OutcomesOf(*again), OutcomesOf(*first));
    for (size_t i = 0; i < writes.size(); ++i) {
      EXPECT_EQ(again->items[i].sequence, first->items[i].sequence);
    }
    EXPECT_EQ(again->items[0].new_item, std::nullopt);
    EXPECT_EQ(Commits(), before);
    EXPECT_EQ(*store_->Get("Scores", ScoreKey("ann", 1)), Score("ann", 1, 11));
  };
  expect_again();
  ASSERT_OK(store_->Checkpoint());
  expect_again();
  ASSERT_OK(store_->Delete("UserGames", GameKey(2)));
  expect_again();
  Reopen();
  expect_again();
  // Without the token, or with another, it is another transaction.
  EXPECT_EQ(Transact(writes)->items[0].new_item, Score("ann", 1, 12));
  EXPECT_EQ(Transact(writes, "other")->outcome, WriteOutcome::kRejected);
}

TEST_P(TransactionTest, TokensSurviveTheDeathOfTheProcess) {
  const Writes writes{WriteRequest::Update("Scores", ScoreKey("ann", 1), AddPoints(1))};
  const auto first = Transact(writes, "token");
  ASSERT_OK(first);
  CopyStore(directory_, temp_.path() + "/copy");
  Close();
  directory_ = temp_.path() + "/copy";
  Open();
  const auto again = Transact(writes, "token");
  ASSERT_OK(again);
  EXPECT_TRUE(again->repeated);
  EXPECT_EQ(again->items[0].sequence, first->items[0].sequence);
  EXPECT_EQ(*store_->Get("Scores", ScoreKey("ann", 1)), Score("ann", 1, 11));
}

TEST_P(TransactionTest, ADifferentRequestUnderTheSameTokenIsRefused) {
  const Writes writes{WriteRequest::Put("UserGames", Game(2, "bob")),
                      WriteRequest::Delete("Scores", ScoreKey("ann", 1))};
  const auto transact = [&](const Writes& different, const std::string& fingerprint) {
    return store_->Transact(different, {.idempotency_token = "t", .fingerprint = fingerprint});
  };
  ASSERT_OK(transact(writes, "print"));
  const auto refuse = [&](const Writes& different, const std::string& fingerprint) {
    const uint64_t before = Commits();
    EXPECT_EQ(transact(different, fingerprint).status().code(), StatusCode::kAlreadyExists);
    EXPECT_EQ(Commits(), before);
  };
  refuse(writes, "");
  refuse({writes[0]}, "print");
  refuse({writes[1], writes[0]}, "print");
  refuse({WriteRequest::Put("UserGames", Game(2, "bo")), writes[1]}, "print");
  refuse({WriteRequest::Delete("UserGames", GameKey(2)), writes[1]}, "print");
  refuse({WriteRequest::Put("UserGames", Game(2, "bob"), IsThere), writes[1]}, "print");
  refuse({writes[0], WriteRequest::Delete("Scores", ScoreKey("ann", 2))}, "print");
  ASSERT_OK(store_->CreateTable({.name = "Others", .keys = kScoreKeys}));
  refuse({writes[0], WriteRequest::Delete("Others", ScoreKey("ann", 1))}, "print");
  EXPECT_TRUE(transact(writes, "print")->repeated);
}

TEST_P(TransactionTest, ATransactionThatChangedNothingIsRememberedToo) {
  const Writes writes{WriteRequest::Put("UserGames", Game(1, "ann"))};
  const auto first = Transact(writes, "t");
  ASSERT_OK(first);
  EXPECT_EQ(first->outcome, WriteOutcome::kUnchanged);
  ASSERT_OK(store_->Put("UserGames", Game(1, "bob")));
  Reopen();
  const auto again = Transact(writes, "t");
  ASSERT_OK(again);
  EXPECT_TRUE(again->repeated);
  EXPECT_EQ(again->outcome, WriteOutcome::kUnchanged);
  EXPECT_EQ(again->commit, SequenceNumber{});
  EXPECT_EQ(*store_->Get("UserGames", GameKey(1)), Game(1, "bob"));
  EXPECT_EQ(ReadStream(*store_, LatestStream("UserGames")).size(), 2u) << "a token makes no record";
}

TEST_P(TransactionTest, TokensAreForgottenAfterTheirTime) {
  const Writes add{WriteRequest::Update("Scores", ScoreKey("ann", 1), AddPoints(1))};
  ASSERT_OK(Transact(add, "early"));
  clock_.Advance(kIdempotencyTokenMs - 1);
  ASSERT_OK(Transact(add, "late"));
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_TRUE(Transact(add, "early")->repeated);
  EXPECT_EQ(Tokens().size(), 2u);

  clock_.Advance(1);
  EXPECT_FALSE(Transact(add, "early")->repeated)
      << "its time is over, whether it is deleted or not";
  EXPECT_TRUE(Transact(add, "early")->repeated);
  EXPECT_TRUE(Transact(add, "late")->repeated);
  EXPECT_EQ(*store_->Get("Scores", ScoreKey("ann", 1)), Score("ann", 1, 13));

  // Downtime does not count before it is confirmed.
  Close();
  clock_.JumpWall(24 * 3600'000);
  Open();
  EXPECT_TRUE(Transact(add, "late")->repeated);
  clock_.Advance(kIdempotencyTokenMs);
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_THAT(Tokens(), ::testing::IsEmpty());
  Reopen();
  EXPECT_FALSE(Transact(add, "late")->repeated);
}

TEST_P(TransactionTest, ManyTokensAreForgottenPageByPage) {
  constexpr int kTokens = 2'300;
  for (int i = 0; i < kTokens; ++i) {
    ASSERT_OK(store_->Transact(
        {WriteRequest::Delete("UserGames", GameKey(9))},
        {.idempotency_token = "token " + std::to_string(i), .wait = WaitFor::kNothing}));
    if (i == 1'000) clock_.Advance(kIdempotencyTokenMs / 2);
  }
  clock_.Advance(kIdempotencyTokenMs / 2);
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_EQ(Tokens().size(), 1'299u);
  clock_.Advance(kIdempotencyTokenMs / 2);
  ASSERT_OK(store_->RunMaintenance());
  EXPECT_THAT(Tokens(), ::testing::IsEmpty());
}

TEST_P(TransactionTest, ADamagedTokenIsAnErrorNotAGuess) {
  ASSERT_OK(Transact({WriteRequest::Put("UserGames", Game(2, "bob"))}, "t"));
  ASSERT_OK(store_->Put(engine::kTokenTable,
                        Item{{"token", Value::S("t")}, {"digest", Value::S("no number")}}));
  EXPECT_EQ(Transact({WriteRequest::Put("UserGames", Game(2, "bob"))}, "t").status().code(),
            StatusCode::kCorruption);
}

// ---- Reads ----

TEST_P(TransactionTest, ItemsOfSeveralTablesAreReadTogether) {
  const std::vector<ItemKey> keys{{"UserGames", GameKey(1)},
                                  {"Scores", ScoreKey("ann", 1)},
                                  {"UserGames", GameKey(7)},
                                  {"UserGames", GameKey(1)}};
  const std::vector<std::optional<Item>> expected{Game(1, "ann"), Score("ann", 1, 10), std::nullopt,
                                                  Game(1, "ann")};
  for (const bool drained : {false, true}) {
    if (drained) {
      ASSERT_OK(store_->Checkpoint());
    }
    EXPECT_EQ(store_->TransactGet(keys).value(), expected);
    EXPECT_EQ(store_->BatchGet(keys).value(), expected);
  }
}

TEST_P(TransactionTest, BadReadsAreRefused) {
  static_assert(kTransactionItemsMax == kBatchGetItemsMax);
  for (const bool together : {false, true}) {
    const auto get = [&](const std::vector<ItemKey>& keys) {
      return (together ? store_->TransactGet(keys) : store_->BatchGet(keys)).status();
    };
    const ItemKey good{"UserGames", GameKey(1)};
    EXPECT_OK(get(std::vector<ItemKey>(kTransactionItemsMax, good)));
    EXPECT_EQ(get(std::vector<ItemKey>(kTransactionItemsMax + 1, good)).code(),
              StatusCode::kInvalidArgument);
    EXPECT_EQ(get({}).code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(get({good, {"Nowhere", GameKey(1)}}).code(), StatusCode::kNotFound);
    EXPECT_THAT(get({good, {"UserGames", Game(1, "x")}}).message(), HasSubstr("key 1: "));
    EXPECT_EQ(get({good, {"UserGames", Game(1, "x")}}).code(), StatusCode::kInvalidArgument);
  }
}

// ---- Batches ----

TEST_P(TransactionTest, BatchesWriteEachItemForItself) {
  Writes writes{WriteRequest::Put("UserGames", Game(2, "bob")),
                WriteRequest::Put("UserGames", Game(1, "bob"), IsAbsent),
                WriteRequest::Put("Nowhere", Game(1, "bob")),
                WriteRequest::Update("Scores", ScoreKey("bob", 1), AddPoints(1)),
                WriteRequest::Update("Scores", ScoreKey("ann", 1), AddPoints(1)),
                WriteRequest::Update("Scores", ScoreKey("ann", 1), AddPoints(1)),
                WriteRequest::Delete("UserGames", GameKey(2))};
  for (WriteRequest& write : writes) write.return_items = ReturnItems::kOld;
  const auto results = store_->BatchWrite(writes);
  ASSERT_OK(results);
  ASSERT_EQ(results->size(), writes.size());
  const auto at = [&](size_t i) { return (*results)[i]; };
  EXPECT_EQ(at(0)->outcome, WriteOutcome::kApplied);
  EXPECT_EQ(at(1)->outcome, WriteOutcome::kRejected);
  EXPECT_EQ(at(1)->old_item, Game(1, "ann"));
  EXPECT_EQ(at(2).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(at(3).status(), FailedPrecondition("no such score"));
  EXPECT_EQ(at(4)->old_item, Score("ann", 1, 10));
  EXPECT_EQ(at(5)->old_item, Score("ann", 1, 11));
  EXPECT_EQ(at(6)->outcome, WriteOutcome::kApplied);
  EXPECT_LT(at(0)->sequence, at(4)->sequence);
  EXPECT_LT(at(4)->sequence, at(5)->sequence);
  for (const ChangeRecord& record : ReadStream(*store_, LatestStream("Scores"))) {
    EXPECT_EQ(record.commit_changes, 1u);
  }
  EXPECT_EQ(*store_->Get("Scores", ScoreKey("ann", 1)), Score("ann", 1, 12));

  const WriteRequest good = WriteRequest::Put("UserGames", Game(2, "bob"));
  EXPECT_EQ(store_->BatchWrite({}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_OK(store_->BatchWrite(Writes(kBatchWriteItemsMax, good)));
  EXPECT_EQ(store_->BatchWrite(Writes(kBatchWriteItemsMax + 1, good)).status().code(),
            StatusCode::kInvalidArgument);
}

// ---- Limits, with segments of the default size ----

class LargeTransactionTest : public StoreTest {
 protected:
  LargeTransactionTest() {
    options_.journal_segment_bytes = StoreOptions().journal_segment_bytes;
    options_.generation_bytes_max = 64 << 20;
    options_.journal_bytes_max = 256 << 20;
  }
  // Put requests of `count` items that measure `bytes` together.
  static Writes Puts(size_t count, size_t bytes, char letter) {
    Writes writes;
    for (size_t i = 0; i < count; ++i) {
      Item item{{"id", Value::B("key " + std::to_string(i) + std::string(2'000, '\0'))},
                {"text", Value::S("")}};
      const size_t rest = bytes / (count - i) - item.SizeBytes();
      item.Set("text", Value::S(std::string(rest, letter)));
      bytes -= item.SizeBytes();
      writes.push_back(WriteRequest::Put("Large", std::move(item)));
    }
    return writes;
  }
  void Make() {
    Open();
    ASSERT_OK(store_->CreateTable({.name = "Large",
                                   .keys = {{"id", ScalarType::kB}, std::nullopt},
                                   .stream = ViewType::kNewAndOldImages}));
  }
};

INSTANTIATE_TEST_SUITE_P(Durabilities, LargeTransactionTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

TEST_P(LargeTransactionTest, ItemsMayMeasureFourMebibytesTogether) {
  Make();
  for (const size_t count : {size_t{11}, size_t{100}}) {
    EXPECT_EQ(store_->Transact(Puts(count, kTransactionItemBytesMax + 1, 'a')).status().code(),
              StatusCode::kInvalidArgument);
    EXPECT_THAT(ReadTable(*store_, "Large"), ::testing::IsEmpty());
    ASSERT_OK(store_->Transact(Puts(count, kTransactionItemBytesMax, 'a')));
    EXPECT_EQ(ReadTable(*store_, "Large").size(), count);
    Writes deletes;
    for (const WriteRequest& put : Puts(count, kTransactionItemBytesMax, 'a')) {
      deletes.push_back(WriteRequest::Delete("Large", Item{{"id", *put.item.Get("id")}}));
    }
    ASSERT_OK(store_->Transact(deletes)) << "what goes is not measured";
  }
}

// Replaces items so that the images, old and new, reach the limit, under the longest keys; the
// commit must fit, be folded by fan-out, and be replayed.
TEST_P(LargeTransactionTest, TheLargestCommitFitsIntoTheJournal) {
  Make();
  const size_t old_bytes = kTransactionImageBytesMax - kTransactionItemBytesMax - 16'384;
  const Writes old = Puts(100, old_bytes, 'o');
  for (const WriteRequest& put : old) ASSERT_OK(store_->Put(put.table, put.item));
  const auto replaced =
      store_->Transact(Puts(100, kTransactionItemBytesMax, 'n'), {.idempotency_token = "t"});
  ASSERT_OK(replaced);
  EXPECT_EQ(replaced->outcome, WriteOutcome::kApplied);
  const auto records = ReadStream(*store_, LatestStream("Large"));
  ASSERT_EQ(records.size(), 200u);
  size_t in_commit = 0;
  for (const ChangeRecord& record : records) in_commit += record.commit == replaced->commit;
  EXPECT_EQ(in_commit, 100u);
  CopyStore(directory_, temp_.path() + "/copy");
  Close();
  directory_ = temp_.path() + "/copy";
  Open();
  EXPECT_EQ(ReadTable(*store_, "Large").size(), 100u);
  EXPECT_EQ(ReadStream(*store_, LatestStream("Large")).size(), 200u);

  // Old items beyond the limit for images.
  for (const WriteRequest& put : Puts(40, 15'000'000, 'b')) {
    ASSERT_OK(store_->Put(put.table, put.item));
  }
  Writes small;
  for (const WriteRequest& put : Puts(40, 100'000, 's')) small.push_back(put);
  EXPECT_EQ(store_->Transact(small).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tailrace::test
