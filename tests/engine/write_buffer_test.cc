#include "engine/write_buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "wal/coding.h"

namespace tailrace::engine {
namespace {

// The journal's memory, in which a generation lies, is given back once DropFrozen has returned.
TEST(WriteBufferTest, AGenerationIsDroppedOnceNobodyReadsIt) {
  constexpr int kRounds = 300;
  for (int round = 0; round < kRounds; ++round) {
    WriteBuffer buffer;
    GenerationView reader = buffer.View();
    const std::weak_ptr<const Generation> frozen = buffer.Freeze();
    std::thread checkpoint([&] {
      buffer.DropFrozen();
      EXPECT_TRUE(frozen.expired());
    });
    while (buffer.View().frozen != nullptr) std::this_thread::yield();
    reader = GenerationView{};
    checkpoint.join();
  }
}

// Keys as storage keys are: hashes first, most of them of many partitions, many of a few.
std::string RandomKey(test::Random& random) {
  std::string key;
  const bool of_few = random.Below(2) == 0;
  AppendBig64(key, of_few ? (random.Below(4) << 62) + 7 : random.Below(1 << 16) << 48);
  return key + std::to_string(random.Below(of_few ? 3000 : 3));
}

// Bounds of a range, of any length.
std::string RandomBound(test::Random& random) {
  const std::string key = RandomKey(random);
  return random.Below(3) == 0 ? key.substr(0, random.Below(key.size())) : key;
}

// A generation beside a map that holds the same.
struct Doubled {
  using Map = std::map<std::pair<TableId, std::string>, Lsn>;

  explicit Doubled(uint64_t changes_expected)
      : generation(std::make_shared<GenerationGate>(), changes_expected) {}

  // Map nodes stay where they are, as the journal's memory does.
  void Set(TableId table, const std::string& key, Lsn lsn) {
    const auto at = map.insert_or_assign({table, key}, lsn).first;
    generation.SetItem(table, at->first.second, lsn, at->first.second);
  }

  std::vector<std::pair<std::string, Lsn>> Expected(TableId table, const std::string& lower,
                                                    const std::string& upper, size_t count,
                                                    Direction direction) const {
    std::vector<std::pair<std::string, Lsn>> expected;
    for (const auto& [key, lsn] : map) {
      const bool below = upper.empty() || key.second < upper;
      if (key.first == table && key.second >= lower && below)
        expected.emplace_back(key.second, lsn);
    }
    if (direction == Direction::kBackward) std::reverse(expected.begin(), expected.end());
    if (expected.size() > count) expected.resize(count);
    return expected;
  }

  Generation generation;
  Map map;
};

void ExpectAnOrderedMap(test::Random& random, uint64_t changes_expected) {
  Doubled both(changes_expected);
  uint64_t lsn = 0;
  for (int step = 0; step < 15'000; ++step) {
    both.Set(TableId{1 + random.Below(2)}, RandomKey(random), Lsn{++lsn});
    if (step % 50 != 0) continue;
    const TableId table{1 + random.Below(3)};
    const std::string lower = RandomBound(random);
    const std::string upper = random.Below(4) == 0 ? std::string() : RandomBound(random);
    const size_t count = random.Below(2) == 0 ? 100'000 : 1 + random.Below(100);
    const auto direction = random.Below(2) == 0 ? Direction::kForward : Direction::kBackward;
    std::vector<std::pair<std::string, Lsn>> found;
    for (const auto& [key, item] : both.generation.Range(table, lower, upper, count, direction)) {
      found.emplace_back(key, item.lsn);
    }
    ASSERT_EQ(found, both.Expected(table, lower, upper, count, direction));
  }
  for (const auto& [key, written] : both.map) {
    const auto item = both.generation.Find(key.first, key.second);
    ASSERT_TRUE(item && item->lsn == written);
  }
  EXPECT_FALSE(both.generation.Find(TableId{3}, both.map.begin()->first.second));
  EXPECT_EQ(both.generation.changes(), both.map.size());
  EXPECT_EQ(both.generation.Tables(), (std::vector{TableId{1}, TableId{2}}));
}

TEST(WriteBufferTest, AGenerationIsAnOrderedMapHoweverItsKeysLie) {
  test::Random random(test::TestSeed());
  for (const uint64_t expected : {0u, 5'000u, 1'000'000u}) ExpectAnOrderedMap(random, expected);
}

TEST(WriteBufferTest, TheNextGenerationBeginsWithManyBucketsAndFindsTheFewItHolds) {
  test::Random random(test::TestSeed());
  WriteBuffer buffer;
  const TableId table{1};
  std::vector<std::string> keys;
  keys.reserve(20'000);  // The buffer points into them.
  for (uint64_t lsn = 1; lsn <= 20'000; ++lsn) {
    keys.push_back(random.Bytes(12));
    buffer.SetItem(table, keys.back(), Lsn{lsn}, std::nullopt);
  }
  buffer.Freeze();
  for (const auto direction : {Direction::kForward, Direction::kBackward}) {
    EXPECT_TRUE(buffer.View().active->Range(table, {}, {}, 10, direction).empty());
  }
  buffer.SetItem(table, keys.front(), Lsn{30'000}, std::nullopt);
  for (const auto direction : {Direction::kForward, Direction::kBackward}) {
    const auto found = buffer.View().active->Range(table, {}, {}, 10, direction);
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found.front().first, keys.front());
  }
  EXPECT_FALSE(buffer.View().active->Find(table, keys.back()));
  EXPECT_TRUE(buffer.View().frozen->Find(table, keys.back()));
}

}  // namespace
}  // namespace tailrace::engine
