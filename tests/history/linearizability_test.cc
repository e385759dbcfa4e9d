// A store under concurrent traffic: all that its callers saw is what one order of the calls gives,
// each at a moment between call and return; and the streams are exactly that order.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "tests/engine/store_fixture.h"
#include "tests/history/order_check.h"
#include "tests/history/search_check.h"
#include "tests/history/stream_readers.h"
#include "tests/history/traffic.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

namespace tailrace::test {
namespace {

constexpr uint64_t kSearchStatesMax = 50'000'000;
constexpr uint32_t kSearchedOf = 8;  // One key in so many is searched.

class LinearizabilityTest : public StoreTest {
 protected:
  // A store of its own, traffic, and the checks of its history.
  void RunOnce(uint64_t round, uint64_t calls, uint32_t writers) {
    directory_ = temp_.path() + "/store" + std::to_string(round);
    options_.shard_split_records_per_second = 0;
    options_.shards_per_stream_max = 32;
    options_.shared_table_bytes_max = round % 2 == 0 ? 0 : 4 << 20;
    Open();
    const TrafficHistory history = RunTraffic(
        *store_, {.seed = MixSeed(TestSeed(), round), .writers = writers, .calls = calls});
    if (HasFailure()) return;
    calls_ += history.calls;
    events_ += history.checkpoints + history.splits + history.toggles + history.indexes;
    Check(history);
    if (!HasFailure()) CheckStreams(history, round);
    if (!HasFailure()) CheckIndexes(*store_);
    store_.reset();
  }

  void Check(const TrafficHistory& history) {
    const OrderVerdict order = CheckOrder(history.operations);
    ASSERT_EQ(order.problem, "");
    operations_ += order.commits + order.reads;
    const CycleVerdict cycles = CheckCycles(history.lists);
    ASSERT_EQ(cycles.problem, "");
    transactions_ += cycles.transactions;
    edges_ += cycles.edges;
    for (uint32_t key = 0; key < history.keys; ++key) {
      if (MixSeed(TestSeed(), key) % kSearchedOf != 0) continue;
      const SearchVerdict search = SearchOrder(history.operations, key, kSearchStatesMax);
      ASSERT_EQ(search.kind, SearchVerdict::Kind::kLinearizable) << search.problem;
      searched_ += search.operations;
    }
  }

  // Streams, before and after all that fan-out made is made again from the journal or read back.
  void CheckStreams(const TrafficHistory& history, uint64_t round) {
    Random random(MixSeed(TestSeed(), ~round));
    const auto check = [&] {
      for (const StreamHistory& stream : ReadStreams(*store_)) {
        const StreamVerdict verdict = CheckStream(history.operations, stream);
        ASSERT_EQ(verdict.problem, "");
        records_ += verdict.records;
      }
    };
    check();
    if (HasFailure()) return;
    resumed_ += CheckResumption(*store_, 200, random);
    if (round % 2 == 0) Close();
    store_.reset();
    Open();
    check();
  }

  void PrintFigure(const char* what) const {
    std::printf(
        "figure: linearizability, %s: %llu calls, %llu operations in the store's order, "
        "%llu searched by item, %llu list transactions without a ring of %llu edges, "
        "beside %llu checkpoints and changes of shards, streams and indexes; %llu stream records "
        "as the history has them, %llu readers resumed\n",
        what, static_cast<unsigned long long>(calls_), static_cast<unsigned long long>(operations_),
        static_cast<unsigned long long>(searched_), static_cast<unsigned long long>(transactions_),
        static_cast<unsigned long long>(edges_), static_cast<unsigned long long>(events_),
        static_cast<unsigned long long>(records_), static_cast<unsigned long long>(resumed_));
  }

  uint64_t calls_ = 0;
  uint64_t operations_ = 0;
  uint64_t searched_ = 0;
  uint64_t transactions_ = 0;
  uint64_t edges_ = 0;
  uint64_t events_ = 0;
  uint64_t records_ = 0;
  uint64_t resumed_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Durabilities, LinearizabilityTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

TEST_P(LinearizabilityTest, ConcurrentCallsAreInOneOrder) {
  // What waits for a disk goes slower, and shows more when more wait together.
  const bool sync = GetParam() == Durability::kSync;
  const uint64_t calls =
      sync ? ByScale(10'000, 150'000, 15'000'000) : ByScale(40'000, 900'000, 90'000'000);
  const uint64_t calls_of_round = std::min<uint64_t>(calls, 150'000);
  for (uint64_t round = 0; round * calls_of_round < calls && !HasFailure(); ++round) {
    RunOnce(round, calls_of_round, sync ? 16 : 3 + static_cast<uint32_t>(round % 4));
  }
  PrintFigure(sync ? "sync" : "buffered");
}

}  // namespace
}  // namespace tailrace::test
