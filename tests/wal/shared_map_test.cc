#include "wal/shared_map.h"

#include <gtest/gtest.h>

#include <string>

namespace tailrace {
namespace {

TEST(SharedMapTest, ACopyKeepsWhatTheOriginalChanges) {
  SharedMap<int, std::string> now;
  now.Put(1, "one");
  now.Put(3, "three");
  const SharedMap<int, std::string> before = now;
  const std::string* const one = before.Find(1);
  now.Put(1, "another");
  now.Put(2, "two");
  now.Erase(3);

  std::string found;
  for (const auto& [key, value] : now) found += std::to_string(key) + value + " ";
  EXPECT_EQ(found, "1another 2two ");
  EXPECT_EQ(before.Find(1), one);
  EXPECT_EQ(*one, "one");
  EXPECT_EQ(*before.Find(3), "three");
  EXPECT_EQ(before.Find(2), nullptr);
  EXPECT_EQ(before.size(), 2u);
}

TEST(SharedMapTest, ValuesThatDidNotChangeAreShared) {
  SharedMap<int, std::string> now;
  now.Put(1, "one");
  now.Put(2, "two");
  const SharedMap<int, std::string> before = now;
  now.Put(1, "another");
  EXPECT_EQ(now.Find(2), before.Find(2));
  EXPECT_NE(now.Find(1), before.Find(1));
}

}  // namespace
}  // namespace tailrace
