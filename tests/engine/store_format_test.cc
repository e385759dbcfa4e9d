// The bytes of docs/store-format.md: the identity file and the guard of RocksDB's MANIFEST, against
// a golden file.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "engine/manifest_guard.h"
#include "engine/store_files.h"
#include "tests/support/expect_ok.h"
#include "tests/support/sim_fs.h"
#include "tests/support/test_paths.h"
#include "wal/hash.h"

namespace tailrace::engine {
namespace {

using test::SimFs;

// The golden file's parts, by the name in brackets before each.
std::string Golden(const std::string& part) {
  std::ifstream file(SourcePath("tests/golden/store_files.hex"));
  std::string bytes;
  std::string line;
  bool inside = false;
  while (std::getline(file, line)) {
    if (line.starts_with('[')) inside = line == "[" + part + "]";
    if (!inside || line.starts_with('[') || line.starts_with('#')) continue;
    std::istringstream text(line);
    std::string byte;
    while (text >> byte) bytes.push_back(static_cast<char>(std::stoi(byte, nullptr, 16)));
  }
  EXPECT_FALSE(bytes.empty()) << "the golden file has no part " << part;
  return bytes;
}

constexpr StoreIdentity kIdentity{.store_id = StoreId{0x5eed'0123'4567'89ab},
                                  .durability = wal::Durability::kBuffered,
                                  .created_ms = 1'588'993'445'000,
                                  .complete = true};

TEST(StoreFormatTest, TheIdentityFile) {
  SimFs fs;
  ASSERT_OK(fs.CreateDirectory("/store"));
  const StorePaths paths("/store");
  ASSERT_OK(WriteIdentity(fs, paths, kIdentity));
  EXPECT_EQ(fs.disk().Contents("/store/STORE").value(), Golden("STORE"));
  const auto read = ReadIdentity(fs, paths);
  ASSERT_OK(read);
  EXPECT_EQ(read->store_id, kIdentity.store_id);
  EXPECT_EQ(read->durability, kIdentity.durability);
  EXPECT_EQ(read->created_ms, kIdentity.created_ms);
  EXPECT_TRUE(read->complete);
}

TEST(StoreFormatTest, AnIdentityFileOfVersion1IsRead) {
  SimFs fs;
  ASSERT_OK(fs.CreateDirectory("/store"));
  ASSERT_OK(wal::ReplaceFile(fs, "/store/STORE", Golden("STORE version 1")));
  const auto read = ReadIdentity(fs, StorePaths("/store"));
  ASSERT_OK(read);
  EXPECT_EQ(read->format_version, 1u);
  EXPECT_EQ(read->store_id, kIdentity.store_id);
  ASSERT_OK(WriteIdentity(fs, StorePaths("/store"), *read));
  EXPECT_EQ(fs.disk().Contents("/store/STORE").value(), Golden("STORE"));
}

TEST(StoreFormatTest, EveryFlippedBitOfTheIdentityFileIsFound) {
  const std::string good = Golden("STORE");
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    SimFs fs;
    ASSERT_OK(fs.CreateDirectory("/store"));
    ASSERT_OK(wal::ReplaceFile(fs, "/store/STORE", bad));
    const StatusCode code = ReadIdentity(fs, StorePaths("/store")).status().code();
    EXPECT_TRUE(code == StatusCode::kCorruption || code == StatusCode::kUnsupported) << bit;
  }
}

// Both blocks hold it; the zeros between the entries and the hash are left out of the golden file.
TEST(StoreFormatTest, TheGuardOfTheManifest) {
  SimFs fs;
  ASSERT_OK(fs.CreateDirectory("/items"));
  auto guard = ManifestGuard::Open(fs, "/items").value();
  ASSERT_OK(guard->NoteSynced(5, 1234));
  ASSERT_OK(guard->NoteSynced(9, 77));
  const std::string bytes = fs.disk().Contents("/items/manifest.guard").value();
  ASSERT_EQ(bytes.size(), 2 * wal::kBlockBytes);
  std::string block = Golden("manifest.guard");
  block.resize(wal::kBlockBytes - 8, '\0');
  block += Golden("manifest.guard hash");
  EXPECT_EQ(bytes.substr(0, wal::kBlockBytes), block);
  EXPECT_EQ(bytes.substr(wal::kBlockBytes), block);
}

}  // namespace
}  // namespace tailrace::engine
