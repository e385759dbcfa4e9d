// What RocksDB keeps in memory of its files: their filters, as long as there is room for them.
#include "engine/rocks_tables.h"

#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <rocksdb/options.h>

#include <memory>
#include <string>

#include "engine/rocks_fs.h"
#include "tests/support/expect_ok.h"
#include "tests/support/temp_dir.h"

namespace tailrace::engine {
namespace {

constexpr uint64_t kCacheBytes = 1 << 20;
constexpr uint64_t kFilterBytesMax = 64 << 10;  // Of one file of those below.

std::unique_ptr<rocksdb::DB> OpenDatabase(const std::string& directory) {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.compression = rocksdb::kNoCompression;
  options.target_file_size_base = 256 << 10;
  options.max_file_opening_threads = 1;  // Each would find room for its file.
  options.table_factory = NewTableFactory(kCacheBytes);
  rocksdb::DB* database = nullptr;
  EXPECT_OK(FromRocks(rocksdb::DB::Open(options, directory, &database)));
  return std::unique_ptr<rocksdb::DB>(database);
}

std::string KeyOf(int number) {
  std::string key = std::to_string(number);
  return key.insert(0, 8 - key.size(), '0');
}

// Writes so many keys, as files of a level below the first.
void Fill(rocksdb::DB& database, int keys) {
  rocksdb::WriteOptions write;
  write.disableWAL = true;
  for (int number = 0; number < keys; ++number) {
    ASSERT_OK(FromRocks(database.Put(write, KeyOf(number), "value")));
  }
  ASSERT_OK(FromRocks(database.CompactRange({}, nullptr, nullptr)));
}

uint64_t PinnedBytes(rocksdb::DB& database) {
  uint64_t bytes = 0;
  EXPECT_TRUE(database.GetIntProperty(rocksdb::DB::Properties::kBlockCachePinnedUsage, &bytes));
  return bytes;
}

void ExpectKeys(rocksdb::DB& database, int keys) {
  std::string value;
  for (int number = 0; number < keys; number += 997) {
    ASSERT_OK(FromRocks(database.Get({}, KeyOf(number), &value))) << number;
    ASSERT_TRUE(database.Get({}, KeyOf(number) + "x", &value).IsNotFound()) << number;
  }
}

TEST(RocksTablesTest, FiltersStayInMemoryBelowTheFirstLevelToo) {
  constexpr int kKeys = 100'000;
  const test::TempDir directory;
  Fill(*OpenDatabase(directory.path()), kKeys);
  const auto database = OpenDatabase(directory.path());
  EXPECT_GE(PinnedBytes(*database), kKeys * 10 / 8);
  ExpectKeys(*database, kKeys);
}

TEST(RocksTablesTest, FiltersThatStayTakeHalfOfTheCacheAtMost) {
  constexpr int kKeys = 1'500'000;  // Whose filters would take twice the cache.
  const test::TempDir directory;
  Fill(*OpenDatabase(directory.path()), kKeys);
  const auto database = OpenDatabase(directory.path());
  EXPECT_GE(PinnedBytes(*database), kCacheBytes / 2 - kFilterBytesMax);
  EXPECT_LE(PinnedBytes(*database), kCacheBytes / 2 + kFilterBytesMax);
  ExpectKeys(*database, kKeys);
}

}  // namespace
}  // namespace tailrace::engine
