#include "engine/item_cache.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/random.h"
#include "tests/support/seed.h"

namespace tailrace::engine {
namespace {

constexpr TableId kTable{7};

// Against a map that forgets nothing: what is found is what was set last.
TEST(ItemCacheTest, WhatItFindsIsWhatWasSetLast) {
  test::Random random(test::TestSeed());
  ItemCache cache(256 << 10);
  std::map<std::pair<TableId, std::string>, std::pair<Lsn, std::string>> model;
  uint64_t found_count = 0;
  for (uint64_t step = 1; step <= 200'000; ++step) {
    const TableId table{1 + random.Below(2)};
    const std::string key = "key" + std::to_string(random.Below(2000));
    if (random.OneIn(8)) {
      cache.Erase(table, key);
      model.erase({table, key});
    } else if (random.OneIn(2)) {
      // Now and then larger than what is kept.
      const std::string image = random.Bytes(random.OneIn(50) ? 3000 : random.Below(300));
      cache.Set(table, key, Lsn{step}, image);
      model[{table, key}] = {Lsn{step}, image};
    }
    const auto found = cache.Find(table, key);
    if (!found) continue;
    ++found_count;
    const auto at = model.find({table, key});
    ASSERT_NE(at, model.end()) << "an item that was erased came back";
    ASSERT_EQ(found->lsn, at->second.first) << "an old item came back";
    ASSERT_EQ(found->image, at->second.second);
  }
  EXPECT_GT(found_count, 50'000u);
}

TEST(ItemCacheTest, ItKeepsTheNewestItemsThatFit) {
  ItemCache cache(1 << 20);
  const std::string image(100, 'i');
  uint64_t lsn = 0;
  for (uint64_t i = 0; i < 100'000; ++i) cache.Set(kTable, std::to_string(i), Lsn{++lsn}, image);
  uint64_t newest = 0;
  uint64_t oldest = 0;
  for (uint64_t i = 0; i < 2000; ++i) {
    if (cache.Find(kTable, std::to_string(99'999 - i))) ++newest;
    if (cache.Find(kTable, std::to_string(i))) ++oldest;
  }
  EXPECT_GT(newest, 1900u);
  EXPECT_EQ(oldest, 0u);
}

TEST(ItemCacheTest, WithoutMemoryItKeepsNothing) {
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{100}}) {
    ItemCache cache(bytes);
    cache.Set(kTable, "key", Lsn{1}, "image");
    EXPECT_FALSE(cache.Find(kTable, "key"));
    cache.Erase(kTable, "key");
  }
}

TEST(ItemCacheTest, ReadersSeeWholeItemsWhileTheyAreSet) {
  ItemCache cache(64 << 10);
  std::thread writer([&] {
    for (uint64_t i = 1; i <= 100'000; ++i) {
      const std::string image(1 + i % 200, static_cast<char>('a' + i % 26));
      cache.Set(kTable, std::to_string(i % 50), Lsn{i}, image);
    }
  });
  for (uint64_t i = 0; i < 100'000; ++i) {
    const auto found = cache.Find(kTable, std::to_string(i % 50));
    if (!found) continue;
    const uint64_t set = found->lsn.value;
    ASSERT_EQ(set % 50, i % 50);
    ASSERT_EQ(found->image, std::string(1 + set % 200, static_cast<char>('a' + set % 26)));
  }
  writer.join();
}

}  // namespace
}  // namespace tailrace::engine
