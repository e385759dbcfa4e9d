// The checkers of histories, on histories made by hand: right ones pass, and each kind of wrong one
// is refused by every checker that can know.
#include <gtest/gtest.h>

#include <functional>

#include "tests/history/cycle_check.h"
#include "tests/history/order_check.h"
#include "tests/history/search_check.h"
#include "tests/history/stream_check.h"

namespace tailrace::test {
namespace {

constexpr uint64_t kStatesMax = 100'000;

Content List(std::initializer_list<uint64_t> ids) {
  Content content = kAbsent;
  for (const uint64_t id : ids) content = AppendTo(content, id);
  return content;
}

Operation Put(int64_t from, int64_t to, uint32_t key, uint64_t id, uint64_t commit) {
  return {.invoked_ns = from,
          .returned_ns = to,
          .safe_ns = to,
          .outcome = Outcome::kApplied,
          .commit = commit,
          .accesses = {{.key = key, .action = Action::kPut, .id = id, .sequence = commit}}};
}
Operation Append(int64_t from, int64_t to, uint32_t key, uint64_t id, Content seen,
                 uint64_t commit) {
  Operation operation = Put(from, to, key, id, commit);
  operation.accesses[0].action = Action::kAppend;
  operation.accesses[0].seen = seen;
  return operation;
}
Operation Delete(int64_t from, int64_t to, uint32_t key, uint64_t commit) {
  Operation operation = Put(from, to, key, 0, commit);
  operation.accesses[0].action = Action::kDelete;
  return operation;
}
Operation Read(int64_t from, int64_t to,
               std::initializer_list<std::pair<uint32_t, Content>> items) {
  Operation operation{.invoked_ns = from, .returned_ns = to, .safe_ns = to};
  for (const auto& [key, content] : items) {
    operation.accesses.push_back({.key = key, .seen = content});
  }
  return operation;
}
Operation Without(int64_t from, int64_t to, Outcome outcome, Access access) {
  return {.invoked_ns = from,
          .returned_ns = to,
          .safe_ns = to,
          .outcome = outcome,
          .accesses = {access}};
}

using History = std::vector<Operation>;

bool OrderHolds(const History& history) { return CheckOrder(history).problem.empty(); }

bool SearchHolds(const History& history, uint32_t key = 1) {
  const auto verdict = SearchOrder(history, key, kStatesMax);
  EXPECT_NE(verdict.kind, SearchVerdict::Kind::kUndecided);
  return verdict.kind == SearchVerdict::Kind::kLinearizable;
}

bool Holds(const History& history) {
  const bool order = OrderHolds(history);
  EXPECT_EQ(order, SearchHolds(history)) << CheckOrder(history).problem;
  return order;
}

TEST(HistoryCheckersTest, RightHistoriesPass) {
  EXPECT_TRUE(Holds({}));
  EXPECT_TRUE(Holds({Read(0, 1, {{1, kAbsent}})}));
  EXPECT_TRUE(Holds({Put(0, 1, 1, 7, 100), Read(2, 3, {{1, List({7})}}), Delete(4, 5, 1, 200),
                     Read(6, 7, {{1, kAbsent}})}));
  // While a write is under way, a reader may see it or not.
  EXPECT_TRUE(
      Holds({Put(0, 10, 1, 7, 100), Read(1, 2, {{1, kAbsent}}), Read(3, 4, {{1, List({7})}})}));
  // The same content again, later.
  EXPECT_TRUE(Holds({Put(0, 1, 1, 7, 100), Delete(2, 3, 1, 200), Put(4, 5, 1, 7, 300),
                     Read(6, 7, {{1, List({7})}})}));
  EXPECT_TRUE(Holds({Put(0, 1, 1, 7, 100), Append(2, 9, 1, 8, List({7}), 200),
                     Append(2, 9, 1, 9, List({7, 8}), 300), Read(10, 11, {{1, List({7, 8, 9})}})}));
  // A call and a return at one moment are in no order.
  EXPECT_TRUE(Holds({Put(0, 5, 1, 7, 100), Read(5, 6, {{1, kAbsent}})}));
}

TEST(HistoryCheckersTest, WhatIsNotSafeHasNoPlaceInTimeUntilItIsSeen) {
  // Returned before it was safe, for the put of item 1 before it was under way still.
  Operation unsafe = Put(3, 4, 2, 9, 300);
  unsafe.safe_ns = 30;
  unsafe.accesses.push_back({.key = 3, .action = Action::kCheck, .seen = kAbsent});
  const History history{Put(0, 1, 1, 7, 100), Put(2, 20, 1, 8, 200), unsafe};
  const auto with = [&](const Operation& before) {
    History longer = history;
    longer.push_back(before);
    longer.push_back(Read(7, 8, {{1, List({7})}}));
    return longer;
  };
  // To read an item that it only looked at says nothing of the rest.
  EXPECT_TRUE(OrderHolds(with(Read(5, 6, {{3, kAbsent}})))) << CheckOrder(history).problem;
  // To be shown what it wrote says that it is safe, and so is all before it.
  EXPECT_FALSE(OrderHolds(with(Read(5, 6, {{2, List({9})}}))));
  // And what it wrote, and looked at, comes before any later write there.
  EXPECT_FALSE(OrderHolds(with(Put(5, 6, 2, 8, 250))));
  EXPECT_FALSE(OrderHolds(with(Put(5, 6, 3, 8, 250))));
}

TEST(HistoryCheckersTest, AStaleReadIsRefused) {
  EXPECT_FALSE(Holds({Put(0, 1, 1, 7, 100), Read(2, 3, {{1, kAbsent}})}));
  EXPECT_FALSE(Holds({Put(0, 1, 1, 7, 100), Put(2, 3, 1, 8, 200), Read(4, 5, {{1, List({7})}})}));
}

TEST(HistoryCheckersTest, AReadFromTheFutureIsRefused) {
  EXPECT_FALSE(Holds({Read(0, 1, {{1, List({7})}}), Put(2, 3, 1, 7, 100)}));
}

TEST(HistoryCheckersTest, ReadsThatGoBackAreRefused) {
  EXPECT_FALSE(
      Holds({Put(0, 10, 1, 7, 100), Read(1, 2, {{1, List({7})}}), Read(3, 4, {{1, kAbsent}})}));
}

TEST(HistoryCheckersTest, ALostUpdateIsRefused) {
  EXPECT_FALSE(Holds({Put(0, 1, 1, 7, 100), Append(2, 5, 1, 8, List({7}), 200),
                      Append(2, 5, 1, 9, List({7}), 300)}));
}

TEST(HistoryCheckersTest, ADirtyReadIsRefused) {
  // What a rejected write would have written.
  EXPECT_FALSE(Holds({Without(0, 1, Outcome::kRejected,
                              {.key = 1,
                               .action = Action::kPut,
                               .guard = {Guard::Kind::kExists},
                               .id = 7,
                               .seen = kAbsent}),
                      Read(2, 3, {{1, List({7})}})}));
  // What nobody wrote.
  EXPECT_FALSE(Holds({Put(0, 1, 1, 7, 100), Read(2, 3, {{1, List({8})}})}));
}

TEST(HistoryCheckersTest, CommitsAgainstTheOrderOfTimeAreRefused) {
  // Nobody reads, so only the numbers tell.
  EXPECT_FALSE(OrderHolds({Put(0, 1, 1, 7, 200), Put(2, 3, 1, 8, 100)}));
  EXPECT_FALSE(OrderHolds({Put(0, 1, 1, 7, 200), Put(2, 3, 2, 8, 100)})) << "of two items";
  EXPECT_FALSE(Holds({Put(0, 1, 1, 7, 200), Put(2, 3, 1, 8, 100), Read(4, 5, {{1, List({7})}})}));
}

TEST(HistoryCheckersTest, WrongOutcomesAreRefused) {
  const Access put{.key = 1, .action = Action::kPut, .id = 7};
  EXPECT_TRUE(Holds({Put(0, 1, 1, 7, 100), Without(2, 3, Outcome::kUnchanged, put)}));
  EXPECT_FALSE(Holds({Put(0, 1, 1, 8, 100), Without(2, 3, Outcome::kUnchanged, put)}));
  // Rejected although the condition held, and the reverse.
  Access guarded = put;
  guarded.guard = {Guard::Kind::kIs, List({5})};
  guarded.seen = List({5});
  EXPECT_FALSE(Holds({Put(0, 1, 1, 5, 100), Without(2, 3, Outcome::kRejected, guarded)}));
  guarded.seen = List({6});
  EXPECT_TRUE(Holds({Put(0, 1, 1, 6, 100), Without(2, 3, Outcome::kRejected, guarded)}));
  Operation applied = Put(2, 3, 1, 7, 200);
  applied.accesses[0].guard = {Guard::Kind::kMissing};
  EXPECT_FALSE(Holds({Put(0, 1, 1, 6, 100), applied}));
  // A failed condition that was answered with what stood there before the last write returned.
  guarded.seen = kAbsent;
  EXPECT_FALSE(Holds({Put(0, 1, 1, 6, 100), Without(2, 3, Outcome::kRejected, guarded)}));
  // A change that changes nothing, an image that is not the result.
  EXPECT_FALSE(Holds({Put(0, 1, 1, 7, 100), Put(2, 3, 1, 7, 200)}));
  Operation wrong_image = Put(0, 1, 1, 7, 100);
  wrong_image.accesses[0].left = List({8});
  EXPECT_FALSE(Holds({wrong_image}));
}

TEST(HistoryCheckersTest, WrongNumbersAreRefused) {
  EXPECT_FALSE(OrderHolds({Put(0, 1, 1, 7, 100), Put(2, 3, 2, 8, 100)})) << "used twice";
  Operation holed{.returned_ns = 1, .safe_ns = 1, .outcome = Outcome::kApplied, .commit = 100};
  holed.accesses = {{.key = 1, .action = Action::kPut, .id = 7, .sequence = 100},
                    {.key = 2, .action = Action::kPut, .id = 8, .sequence = 102}};
  EXPECT_FALSE(OrderHolds({holed}));
  holed.accesses[1].sequence = 101;
  EXPECT_TRUE(OrderHolds({holed}));
  EXPECT_FALSE(OrderHolds({holed, Put(2, 3, 3, 9, 101)})) << "within a transaction's";
}

Operation PutBoth(int64_t from, int64_t to, uint64_t id, uint64_t commit) {
  Operation both = Put(from, to, 1, id, commit);
  both.accesses.push_back({.key = 2, .action = Action::kPut, .id = id, .sequence = commit + 1});
  return both;
}

TEST(HistoryCheckersTest, WhatIsNotYetSafeHasAPlaceAmongItsItemsAlone) {
  // A write that did not wait: readers of other items may not yet see what lies before it.
  Operation hasty = Put(2, 3, 2, 8, 200);
  hasty.safe_ns = 20;
  const Operation slow = Put(0, 10, 1, 7, 100);
  EXPECT_TRUE(OrderHolds({slow, hasty, Read(4, 5, {{1, kAbsent}})}));
  EXPECT_FALSE(OrderHolds({slow, hasty, Read(4, 5, {{2, kAbsent}})})) << "its own item";
  EXPECT_FALSE(SearchHolds({slow, hasty, Read(4, 5, {{2, kAbsent}})}, 2));
  hasty.safe_ns = 3;
  EXPECT_FALSE(OrderHolds({slow, hasty, Read(4, 5, {{1, kAbsent}})}));
}

TEST(HistoryCheckersTest, ATransactionSeenInPartIsRefused) {
  const Operation both = PutBoth(0, 10, 7, 100);
  EXPECT_TRUE(OrderHolds({both, Read(1, 2, {{1, kAbsent}, {2, kAbsent}})}));
  EXPECT_TRUE(OrderHolds({both, Read(1, 2, {{1, List({7})}, {2, List({7})}})}));
  // No item by itself shows it, so the search by item cannot know.
  const History part{both, Read(1, 2, {{1, List({7})}, {2, kAbsent}})};
  EXPECT_FALSE(OrderHolds(part));
  EXPECT_TRUE(SearchHolds(part, 1) && SearchHolds(part, 2));
  // Nor by two readers who disagree.
  EXPECT_FALSE(OrderHolds({both, Read(1, 2, {{1, List({7})}}), Read(3, 4, {{2, kAbsent}})}));
}

TEST(HistoryCheckersTest, WriteSkewIsRefused) {
  // Each checks that the other's item is absent, and puts its own.
  const auto skew = [](uint32_t checked, uint32_t put, uint64_t commit) {
    Operation operation = Put(0, 10, put, 7, commit);
    operation.accesses.push_back({.key = checked,
                                  .action = Action::kCheck,
                                  .guard = {Guard::Kind::kMissing},
                                  .seen = kAbsent});
    return operation;
  };
  EXPECT_TRUE(OrderHolds({skew(1, 2, 100)}));
  EXPECT_FALSE(OrderHolds({skew(1, 2, 100), skew(2, 1, 200)}));
}

TEST(HistoryCheckersTest, TheSearchKeepsToTheTimesOfManyAtOnce) {
  // Twelve writes at once, then reads that fix their order: any will do, but only one.
  History history;
  for (uint64_t i = 0; i < 12; ++i) history.push_back(Put(0, 100, 1, i + 1, 1000 + i));
  int64_t time = 10;
  for (uint64_t i = 12; i > 0; --i, time += 2) {
    history.push_back(Read(time, time + 1, {{1, List({i})}}));
  }
  EXPECT_TRUE(SearchHolds(history));
  EXPECT_FALSE(OrderHolds(history)) << "the numbers say the reverse";
  history.push_back(Read(time, time + 1, {{1, List({12})}}));
  EXPECT_FALSE(SearchHolds(history)) << "a second time";
}

TEST(HistoryCheckersTest, TheSearchSaysWhenItGivesUp) {
  History history;
  for (uint64_t i = 0; i < 20; ++i) history.push_back(Put(0, 100, 1, i + 1, 1000 + i));
  history.push_back(Read(200, 201, {{1, List({99})}}));
  EXPECT_EQ(SearchOrder(history, 1, 1000).kind, SearchVerdict::Kind::kUndecided);
}

// ---- Streams.

// A history of three commits, and the stream that shows it.
const History kStreamed{Put(0, 1, 1, 7, 100), PutBoth(2, 3, 8, 200), Delete(4, 5, 2, 300)};

StreamHistory GoodStream() {
  const Content seven = List({7}), eight = List({8});
  const auto record = [](uint64_t sequence, uint64_t commit, uint64_t changes, uint64_t ordinal,
                         ChangeKind kind, uint32_t key, Content after, Content before) {
    StreamRecord made{.sequence = sequence,
                      .commit = commit,
                      .commit_changes = changes,
                      .ordinal = ordinal,
                      .kind = kind,
                      .key = key};
    if (after != kAbsent) made.new_image = after;
    if (before != kAbsent) made.old_image = before;
    return made;
  };
  StreamHistory stream{.view = ViewType::kNewAndOldImages};
  stream.shards = {
      {.starting = 50,
       .records = {record(100, 100, 1, 1, ChangeKind::kInsert, 1, seven, kAbsent),
                   record(200, 200, 2, 2, ChangeKind::kModify, 1, eight, seven)}},
      {.starting = 50,
       .records = {record(201, 200, 2, 1, ChangeKind::kInsert, 2, eight, kAbsent),
                   record(300, 300, 1, 2, ChangeKind::kRemove, 2, kAbsent, eight)}},
  };
  return stream;
}

std::string StreamProblem(const std::function<void(StreamHistory&)>& change) {
  StreamHistory stream = GoodStream();
  change(stream);
  return CheckStream(kStreamed, stream).problem;
}

TEST(StreamCheckTest, RightStreamsPass) {
  EXPECT_EQ(StreamProblem([](StreamHistory&) {}), "");
  EXPECT_EQ(StreamProblem([](StreamHistory& stream) {
              stream.view = ViewType::kKeysOnly;
              for (ShardHistory& shard : stream.shards) {
                for (StreamRecord& record : shard.records) record.new_image = record.old_image = {};
              }
            }),
            "");
  // One that began behind the first commit and ended before the last.
  EXPECT_EQ(StreamProblem([](StreamHistory& stream) {
              stream.first = 150;
              stream.last = 250;
              stream.shards[0].records.erase(stream.shards[0].records.begin());
              stream.shards[0].records[0].ordinal = 1;
              stream.shards[1].records.pop_back();
            }),
            "");
}

#define EXPECT_STREAM(text, change)                                          \
  {                                                                          \
    const std::string problem = StreamProblem([](StreamHistory & s) change); \
    EXPECT_NE(problem.find(text), std::string::npos) << problem;             \
  }

TEST(StreamCheckTest, WrongStreamsAreRefused) {
  EXPECT_STREAM("missing", { s.shards[1].records.pop_back(); });
  EXPECT_STREAM("hole", { s.shards[1].records.erase(s.shards[1].records.begin()); });
  EXPECT_STREAM("no change", {
    s.shards[0].records.push_back(s.shards[0].records.back());
    s.shards[0].records.back().sequence = 250;
    s.shards[0].records.back().ordinal = 3;
  });
  EXPECT_STREAM("twice", {
    s.shards[0].records.push_back(s.shards[1].records.back());
    s.shards[0].records.back().ordinal = 3;
  });
  EXPECT_STREAM("out of order", {
    std::swap(s.shards[0].records[0], s.shards[0].records[1]);
    std::swap(s.shards[0].records[0].ordinal, s.shards[0].records[1].ordinal);
  });
  EXPECT_STREAM("should be", { s.shards[0].records[1].old_image = List({8}); });
  EXPECT_STREAM("should be", { s.shards[0].records[1].new_image = List({7}); });
  EXPECT_STREAM("should be", { s.shards[0].records[1].kind = ChangeKind::kInsert; });
  EXPECT_STREAM("should be", { s.shards[1].records[1].new_image = List({8}); });
  EXPECT_STREAM("should be", { s.shards[1].records[0].commit = 201; });
  EXPECT_STREAM("should be", { s.shards[1].records[0].commit_changes = 1; });
  EXPECT_STREAM("should be", { s.view = ViewType::kNewImage; });
  EXPECT_STREAM("outside", { s.shards[1].ending = 250; });
  EXPECT_STREAM("outside", { s.shards[0].starting = 101; });
  EXPECT_STREAM("falls", { s.shards[0].records[0].wall_ms = 5; });
  EXPECT_STREAM("no change", { s.last = 250; });
}

// ---- Lists.

using Lists = std::vector<ListTransaction>;

std::string CycleProblem(const Lists& lists) { return CheckCycles(lists).problem; }

#define EXPECT_CYCLE(lists, text) \
  EXPECT_NE(CycleProblem(lists).find(text), std::string::npos) << CycleProblem(lists)

ListTransaction Final(std::initializer_list<ListRead> reads) {
  return {1000, 1001, true, reads, {}};
}

TEST(CycleCheckTest, RightHistoriesPass) {
  EXPECT_EQ(CycleProblem({}), "");
  EXPECT_EQ(CycleProblem({{0, 1, true, {}, {{1, 1}}},
                          {2, 3, true, {{1, {1}}}, {{1, 2}, {2, 3}}},
                          {2, 3, false, {{1, {1}}}, {{1, 9}}},
                          {2, 3, true, {{2, {}}, {1, {1}}}, {}},
                          Final({{1, {1, 2}}, {2, {3}}})}),
            "");
}

TEST(CycleCheckTest, ListsThatCannotBeAreRefused) {
  EXPECT_CYCLE((Lists{{0, 1, true, {}, {{1, 1}}},
                      {0, 1, true, {}, {{1, 2}}},
                      {0, 1, true, {{1, {2}}}, {}},
                      Final({{1, {1, 2}}})}),
               "no beginning");
  EXPECT_CYCLE((Lists{{0, 1, true, {}, {{1, 1}}}, Final({{1, {}}})}), "lost");
  EXPECT_CYCLE((Lists{{0, 1, false, {}, {{1, 1}}}, Final({{1, {1}}})}), "rejected");
  EXPECT_CYCLE((Lists{{0, 1, true, {}, {{1, 1}}}, Final({{1, {1, 5}}})}), "nobody wrote");
  EXPECT_CYCLE((Lists{{0, 1, true, {}, {{1, 1}}}, Final({{1, {1, 1}}})}), "twice");
  EXPECT_CYCLE(
      (Lists{
          {0, 1, true, {}, {{1, 1}, {1, 2}}}, {0, 1, true, {{1, {1}}}, {}}, Final({{1, {1, 2}}})}),
      "middle");
}

TEST(CycleCheckTest, AStaleReadIsRefused) {
  EXPECT_CYCLE((Lists{{0, 1, true, {}, {{1, 1}}}, {2, 3, true, {{1, {}}}, {}}, Final({{1, {1}}})}),
               "-rt->");
}

TEST(CycleCheckTest, ALostUpdateIsRefused) {
  // Both saw the empty list and appended to it.
  EXPECT_CYCLE((Lists{{0, 9, true, {{1, {}}}, {{1, 1}}},
                      {0, 9, true, {{1, {}}}, {{1, 2}}},
                      Final({{1, {1, 2}}})}),
               "-rw->");
}

TEST(CycleCheckTest, WriteSkewIsRefused) {
  EXPECT_CYCLE((Lists{{0, 9, true, {{1, {}}}, {{2, 1}}},
                      {0, 9, true, {{2, {}}}, {{1, 2}}},
                      Final({{1, {2}}, {2, {1}}})}),
               "-rw->");
}

TEST(CycleCheckTest, ATransactionSeenInPartIsRefused) {
  EXPECT_CYCLE((Lists{{0, 9, true, {}, {{1, 1}, {2, 2}}},
                      {0, 9, true, {{1, {1}}, {2, {}}}, {}},
                      Final({{1, {1}}, {2, {2}}})}),
               "-wr->");
}

TEST(CycleCheckTest, AppendsInTwoOrdersAreRefused) {
  EXPECT_CYCLE((Lists{{0, 9, true, {}, {{1, 1}, {2, 1}}},
                      {0, 9, true, {}, {{1, 2}, {2, 2}}},
                      Final({{1, {1, 2}}, {2, {2, 1}}})}),
               "-ww->");
}

TEST(CycleCheckTest, CircularFlowIsRefused) {
  EXPECT_CYCLE((Lists{{0, 9, true, {{2, {2}}}, {{1, 1}}},
                      {0, 9, true, {{1, {1}}}, {{2, 2}}},
                      Final({{1, {1}}, {2, {2}}})}),
               "-wr->");
}

TEST(CycleCheckTest, ReadersWhoDisagreeAreRefused) {
  // The long fork: two appends that two readers see in two orders.
  EXPECT_CYCLE((Lists{{0, 9, true, {}, {{1, 1}}},
                      {0, 9, true, {}, {{2, 2}}},
                      {0, 9, true, {{1, {1}}, {2, {}}}, {}},
                      {0, 9, true, {{1, {}}, {2, {2}}}, {}},
                      Final({{1, {1}}, {2, {2}}})}),
               "-rw->");
}

}  // namespace
}  // namespace tailrace::test
