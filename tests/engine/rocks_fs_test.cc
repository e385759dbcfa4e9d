// RocksDB through the seam: it works on real and on simulated files, nothing goes past the seam,
// errors come back as what they are, and a power cut at any moment of an atomic ingest leaves all
// of it or nothing.
#include "engine/rocks_fs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/expect_ok.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "tests/support/sim_fs.h"
#include "tests/support/temp_dir.h"
#include "wal/fs.h"

namespace tailrace::engine {
namespace {

using test::CrashChoice;
using test::SimDisk;
using test::SimFs;
using ::testing::HasSubstr;

constexpr char kFamily[] = "t1";

rocksdb::Options MakeOptions(rocksdb::Env* env) {
  rocksdb::Options options;
  options.env = env;
  options.create_if_missing = true;
  options.disable_auto_compactions = true;
  options.paranoid_checks = true;
  options.max_open_files = 64;
  rocksdb::BlockBasedTableOptions table;
  table.checksum = rocksdb::kXXH3;
  table.no_block_cache = true;  // Reads must come from the files.
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

// A database of two families, as the item index has them: items in one, the cut in the default one.
class Database {
 public:
  static Result<std::unique_ptr<Database>> Open(wal::FileSystem& fs, const std::string& directory) {
    std::unique_ptr<Database> database(new Database(fs, directory));
    TAILRACE_ASSIGN_OR_RETURN(database->env_, NewRocksEnv(fs, directory));
    database->options_ = MakeOptions(database->env_.get());
    TAILRACE_RETURN_IF_ERROR(database->OpenFamilies());
    return database;
  }
  ~Database() {
    if (db_ == nullptr) return;
    for (auto* family : families_) (void)db_->DestroyColumnFamilyHandle(family);
    (void)db_->Close();
  }

  // One atomic ingest: `count` items whose values are `text`, and the cut.
  Status Ingest(int count, const std::string& text) {
    const std::string directory = wal::JoinPath(directory_, "ingest");
    const Status made = fs_.CreateDirectory(directory);
    if (!made.ok() && made.code() != StatusCode::kAlreadyExists) return made;
    std::vector<rocksdb::IngestExternalFileArg> arguments(2);
    for (size_t i = 0; i < 2; ++i) {
      const std::string path = wal::JoinPath(directory, std::to_string(i) + ".sst");
      rocksdb::SstFileWriter writer(rocksdb::EnvOptions(), options_);
      TAILRACE_RETURN_IF_ERROR(FromRocks(writer.Open(path)));
      for (int key = 0; i == 1 && key < count; ++key) {
        TAILRACE_RETURN_IF_ERROR(FromRocks(writer.Put(KeyOf(key), text)));
      }
      if (i == 0) TAILRACE_RETURN_IF_ERROR(FromRocks(writer.Put("cut", text)));
      TAILRACE_RETURN_IF_ERROR(FromRocks(writer.Finish()));
      arguments[i].column_family = families_[i];
      arguments[i].external_files = {path};
      arguments[i].options.move_files = true;
      arguments[i].options.write_global_seqno = false;
    }
    return FromRocks(db_->IngestExternalFiles(arguments));
  }

  // The cut, and every item.
  Result<std::string> Cut() {
    std::string cut;
    const rocksdb::Status status = db_->Get({}, families_[0], "cut", &cut);
    if (status.IsNotFound()) return std::string();
    TAILRACE_RETURN_IF_ERROR(FromRocks(status));
    return cut;
  }
  Result<std::map<std::string, std::string>> Items() {
    std::map<std::string, std::string> items;
    const std::unique_ptr<rocksdb::Iterator> each(db_->NewIterator({}, families_[1]));
    for (each->SeekToFirst(); each->Valid(); each->Next()) {
      items[each->key().ToString()] = each->value().ToString();
    }
    TAILRACE_RETURN_IF_ERROR(FromRocks(each->status()));
    return items;
  }

  rocksdb::DB& db() { return *db_; }
  rocksdb::ColumnFamilyHandle* items_family() { return families_[1]; }

  static std::string KeyOf(int key) {
    std::string text = std::to_string(key);
    return "key" + std::string(6 - text.size(), '0') + text;
  }

 private:
  Database(wal::FileSystem& fs, std::string directory)
      : fs_(fs), directory_(std::move(directory)) {}

  Status OpenFamilies() {
    std::vector<std::string> names;
    const auto listed = rocksdb::DB::ListColumnFamilies(options_, directory_, &names);
    if (!listed.ok()) names = {rocksdb::kDefaultColumnFamilyName};
    std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
    for (const std::string& name : names) descriptors.emplace_back(name, options_);
    rocksdb::DB* db = nullptr;
    TAILRACE_RETURN_IF_ERROR(
        FromRocks(rocksdb::DB::Open(options_, directory_, descriptors, &families_, &db)));
    db_.reset(db);
    if (families_.size() == 2) return Status::Ok();
    families_.push_back(nullptr);
    const Status created = FromRocks(db_->CreateColumnFamily(options_, kFamily, &families_[1]));
    if (!created.ok()) families_.pop_back();
    return created;
  }

  wal::FileSystem& fs_;
  const std::string directory_;
  std::unique_ptr<rocksdb::Env> env_;
  rocksdb::Options options_;
  std::unique_ptr<rocksdb::DB> db_;
  std::vector<rocksdb::ColumnFamilyHandle*> families_;
};

std::unique_ptr<Database> MustOpen(wal::FileSystem& fs, const std::string& directory) {
  auto database = Database::Open(fs, directory);
  EXPECT_OK(database);
  return std::move(database).value();
}

// What the database holds, if it is the outcome of whole ingests of kItems items: the cut.
constexpr int kItems = 20;
Result<std::string> WholeState(wal::FileSystem& fs, const std::string& directory) {
  TAILRACE_ASSIGN_OR_RETURN(auto database, Database::Open(fs, directory));
  TAILRACE_ASSIGN_OR_RETURN(const std::string cut, database->Cut());
  TAILRACE_ASSIGN_OR_RETURN(const auto items, database->Items());
  if (items.size() != (cut.empty() ? 0 : kItems)) {
    return Corruption("cut '" + cut + "' and " + std::to_string(items.size()) + " items");
  }
  for (const auto& [key, value] : items) {
    if (value != cut) return Corruption("cut '" + cut + "' and an item '" + value + "'");
  }
  return cut;
}

SimFs::Space SpaceOf(wal::FileSystem& fs) { return fs.SpaceAt("/").value(); }

// ---- On real and on simulated files. ----

enum class Kind { kPosix, kSimulated };

class RocksFsTest : public ::testing::TestWithParam<Kind> {
 protected:
  wal::FileSystem& fs() {
    if (GetParam() == Kind::kPosix) return wal::FileSystem::Posix();
    return sim_;
  }
  std::string directory() const {
    return GetParam() == Kind::kPosix ? wal::JoinPath(directory_.path(), "db") : "/db";
  }

  test::TempDir directory_;
  SimFs sim_;
};

std::string KindName(const ::testing::TestParamInfo<Kind>& kind) {
  return kind.param == Kind::kPosix ? "Posix" : "Simulated";
}
INSTANTIATE_TEST_SUITE_P(Kinds, RocksFsTest, ::testing::Values(Kind::kPosix, Kind::kSimulated),
                         KindName);

TEST_P(RocksFsTest, PutsFlushesAndReopens) {
  for (int round = 0; round < 3; ++round) {
    auto database = MustOpen(fs(), directory());
    EXPECT_EQ(database->Items()->size(), static_cast<size_t>(round));
    ASSERT_OK(FromRocks(database->db().Put({}, database->items_family(), Database::KeyOf(round),
                                           std::string(10'000, 'v'))));
    ASSERT_OK(FromRocks(database->db().Flush({}, database->items_family())));
  }
}

TEST_P(RocksFsTest, ItsOwnLogWorksToo) {
  {
    auto database = MustOpen(fs(), directory());
    rocksdb::WriteOptions synced;
    synced.sync = true;
    ASSERT_OK(FromRocks(database->db().Put(synced, database->items_family(), "k", "v")));
  }
  EXPECT_EQ(MustOpen(fs(), directory())->Items()->at("k"), "v");
}

TEST_P(RocksFsTest, IngestsAtomicallyByMovingAndReopens) {
  for (const char* text : {"one", "two", "three"}) {
    ASSERT_OK(MustOpen(fs(), directory())->Ingest(kItems, text));
    EXPECT_EQ(WholeState(fs(), directory()).value(), text);
    EXPECT_EQ(fs().List(wal::JoinPath(directory(), "ingest"))->size(), 0u) << "moved, not copied";
  }
}

// Only both ends of a file to ingest are read ahead; this one has a middle.
TEST_P(RocksFsTest, ALargeTableIsIngestedWhole) {
  constexpr int kMany = 30'000;
  const std::string text = test::Random(test::TestSeed()).Bytes(1500);
  const auto database = MustOpen(fs(), directory());
  ASSERT_OK(database->Ingest(kMany, text));
  const auto items = database->Items();
  ASSERT_OK(items);
  EXPECT_EQ(items->size(), kMany);
  for (const auto& [key, value] : *items) ASSERT_EQ(value, text) << key;
  uint64_t largest_bytes = 0;
  for (const auto& entry : fs().List(directory()).value()) {
    if (!entry.name.ends_with(".sst")) continue;
    const auto file = fs().Open(wal::JoinPath(directory(), entry.name), wal::OpenMode::kRead);
    largest_bytes = std::max(largest_bytes, (*file)->SizeBytes().value());
  }
  EXPECT_GT(largest_bytes, 12u << 20);
}

TEST_P(RocksFsTest, CompactsAndRemovesWhatItReplaced) {
  auto database = MustOpen(fs(), directory());
  for (const char* text : {"one", "two", "three"}) ASSERT_OK(database->Ingest(kItems, text));
  ASSERT_OK(FromRocks(database->db().CompactRange({}, database->items_family(), nullptr, nullptr)));
  ASSERT_OK(FromRocks(database->db().VerifyChecksum()));
  database.reset();
  EXPECT_EQ(WholeState(fs(), directory()).value(), "three");
  uint64_t tables = 0;
  for (const auto& entry : fs().List(directory()).value()) tables += entry.name.ends_with(".sst");
  EXPECT_EQ(tables, 4u) << "one of items, three of cuts";
}

TEST_P(RocksFsTest, ASecondOpenerIsRefused) {
  const auto database = MustOpen(fs(), directory());
  const Status status = Database::Open(fs(), directory()).status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.message(), HasSubstr("LOCK"));
}

// ---- The seam. ----

// RocksDB takes the properties apart before it looks at their checksum: a flipped bit there may end
// the process where its assertions are compiled in.
TEST(RocksFsDamage, AFlippedBitBehindTheItemsOfATableIsAnErrorOrHarmless) {
  SimFs fs;
  {
    const auto database = Database::Open(fs, "/items");
    ASSERT_OK(database);
    ASSERT_OK((*database)->Ingest(10, "value"));
  }
  SimDisk good = fs.disk();
  good.SyncAll();
  uint64_t refused = 0;
  uint64_t flips = 0;
  for (const std::string& path : good.Files()) {
    if (!path.ends_with(".sst")) continue;
    const std::string bytes = *good.Contents(path);
    for (uint64_t at = 0; at < bytes.size(); ++at, ++flips) {
      const char bad = static_cast<char>(bytes[at] ^ (1 << (7 * (at % 2))));
      SimDisk disk = good;
      ASSERT_OK(disk.Patch(path, at, ByteView(&bad, 1)));
      SimFs damaged(disk);
      const auto database = Database::Open(damaged, "/items");
      const auto items =
          database.ok() ? (*database)->Items() : decltype((*database)->Items())(database.status());
      const auto cut = database.ok() ? (*database)->Cut() : Result<std::string>(database.status());
      if (!items.ok() || !cut.ok()) {
        ++refused;
        const Status& status = items.ok() ? cut.status() : items.status();
        EXPECT_NE(status.code(), StatusCode::kNotFound) << path << ", byte " << at;
        continue;
      }
      ASSERT_EQ(items->size(), 10u) << path << ", byte " << at;
      ASSERT_EQ(*cut, "value") << path << ", byte " << at;
    }
  }
  std::printf("figure: %llu damaged bytes of tables, %llu refused, the others harmless\n",
              static_cast<unsigned long long>(flips), static_cast<unsigned long long>(refused));
  EXPECT_GT(refused, flips / 4);
}

// Blocks have the same checksums in other versions, but are unpacked in another way.
TEST(RocksFsDamage, AnotherVersionInTheFooterOfATableIsRefused) {
  constexpr uint64_t kVersionFromEnd = 12;
  SimFs fs;
  ASSERT_OK(MustOpen(fs, "/items")->Ingest(10, "value"));
  SimDisk good = fs.disk();
  good.SyncAll();
  for (const std::string& path : good.Files()) {
    if (!path.ends_with(".sst")) continue;
    const std::string bytes = *good.Contents(path);
    for (uint64_t bit = 0; bit < 32; ++bit) {
      const uint64_t at = bytes.size() - kVersionFromEnd + bit / 8;
      const char bad = static_cast<char>(bytes[at] ^ (1 << (bit % 8)));
      SimDisk disk = good;
      ASSERT_OK(disk.Patch(path, at, ByteView(&bad, 1)));
      SimFs damaged(disk);
      const auto database = Database::Open(damaged, "/items");
      ASSERT_FALSE(database.ok()) << path << ", bit " << bit;
      EXPECT_THAT(database.status().message(), HasSubstr("the table's footer is damaged"));
    }
  }
}

TEST(RocksFsSeam, NothingGoesPastItAndNothingStaysOpen) {
  SimFs fs;
  const std::string directory = "/tailrace-no-such-directory/db";
  ASSERT_OK(fs.CreateDirectory("/tailrace-no-such-directory"));
  {
    auto database = MustOpen(fs, directory);
    ASSERT_OK(database->Ingest(kItems, "one"));
    EXPECT_GT(fs.open_handles(), 0u);
  }
  EXPECT_EQ(fs.open_handles(), 0u);
  EXPECT_FALSE(std::filesystem::exists("/tailrace-no-such-directory"));
}

TEST(RocksFsSeam, StatusesKeepTheirMeaningBothWays) {
  for (const Status& status : {NotFound("x"), NoSpace("x"), IoError("x"), Corruption("x"),
                               Unsupported("x"), InvalidArgument("x"), Busy("x")}) {
    const rocksdb::IOStatus there = ToRocks(status);
    EXPECT_FALSE(there.GetRetryable()) << "RocksDB must not repeat anything by itself";
    EXPECT_EQ(FromRocks(there).code(), status.code()) << status.ToString();
    EXPECT_THAT(FromRocks(there).message(), HasSubstr("x"));
  }
  EXPECT_OK(FromRocks(ToRocks(Status::Ok())));
  EXPECT_EQ(FromRocks(rocksdb::Status::Corruption("Can't access /1.sst: ", "IO error: x")).code(),
            StatusCode::kIoError);
  EXPECT_EQ(FromRocks(rocksdb::Status::NotFound("x")).code(), StatusCode::kNotFound);
  EXPECT_EQ(FromRocks(ToRocks(OutcomeUnknown("x"))).code(), StatusCode::kIoError);
}

TEST(RocksFsSeam, AMissingDatabaseIsSaidToBeMissing) {
  SimFs fs;
  auto env = NewRocksEnv(fs, "/db").value();
  rocksdb::Options options = MakeOptions(env.get());
  options.create_if_missing = false;
  rocksdb::DB* db = nullptr;
  const Status status = FromRocks(rocksdb::DB::Open(options, "/db", &db));
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status.ToString();
  EXPECT_THAT(status.message(), HasSubstr("does not exist"));
}

TEST(RocksFsSeam, WarningsReachTheLog) {
  SimFs fs;
  auto database = MustOpen(fs, "/db");
  rocksdb::Log(rocksdb::WARN_LEVEL, database->db().GetOptions().info_log, "number %d", 17);
  rocksdb::Log(rocksdb::INFO_LEVEL, database->db().GetOptions().info_log, "nothing");
  EXPECT_THAT(fs.disk().Contents("/db/LOG").value(), HasSubstr("number 17\n"));
  EXPECT_THAT(fs.disk().Contents("/db/LOG").value(), Not(HasSubstr("nothing")));
}

TEST(RocksFsSeam, AFullDiskIsNoSpaceAndReopeningGoesOn) {
  SimFs fs;
  auto database = MustOpen(fs, "/db");
  ASSERT_OK(database->Ingest(kItems, "one"));
  const auto space = SpaceOf(fs);
  fs.SetCapacity(space.total_bytes - space.free_bytes);
  const Status status = database->Ingest(kItems, "two");
  EXPECT_EQ(status.code(), StatusCode::kNoSpace) << status.ToString();
  database.reset();
  fs.SetCapacity(test::kUnlimitedBytes);
  EXPECT_EQ(WholeState(fs, "/db").value(), "one");
  ASSERT_OK(MustOpen(fs, "/db")->Ingest(kItems, "two"));
  EXPECT_EQ(WholeState(fs, "/db").value(), "two");
}

// ---- Faults and power cuts during an ingest. ----

// A simulated disk with a database after ingest "one", everything about it durable.
SimDisk DatabaseWithOne() {
  SimFs fs({.disk = {.ordered_directories = {"/db"}}});
  EXPECT_OK(MustOpen(fs, "/db")->Ingest(kItems, "one"));
  SimDisk disk = fs.disk();
  disk.SyncAll();
  return disk;
}

class RocksFsFaults : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Calls, RocksFsFaults, ::testing::Bool(), [](const auto& calls) {
  return calls.param ? "ThatChangeTheDisk" : "ThatReadItToo";
});

TEST_P(RocksFsFaults, AnyFailingCallLeavesAllOfAnIngestOrNothing) {
  const SimDisk base = DatabaseWithOne();
  uint64_t failures = 0;
  for (uint64_t nth = 1;; ++nth) {
    for (const bool for_ever : {false, true}) {
      SimFs fs(base);
      auto database = MustOpen(fs, "/db");
      fs.Inject({.mutating_only = GetParam(), .nth = nth, .for_ever = for_ever});
      const Status status = database->Ingest(kItems, "two");
      const bool hit = fs.faults_hit() > 0;
      database.reset();
      fs.ClearFaults();
      fs.KillProcess();
      const auto state = WholeState(fs, "/db");
      ASSERT_OK(state) << "call " << nth;
      EXPECT_EQ(*state, status.ok() ? "two" : *state);
      EXPECT_THAT(*state, ::testing::AnyOf("one", "two"));
      if (!hit) {
        EXPECT_OK(status);
        EXPECT_GT(failures, 30u) << "calls that can fail";
        return;
      }
      ++failures;
    }
  }
}

// Every moment of an ingest with some of the states that a power cut leaves there; the moment after
// it with the whole of it.
TEST(RocksFsCrash, APowerCutLeavesAllOfAnIngestOrNothing) {
  SimFs fs(DatabaseWithOne());
  auto database = MustOpen(fs, "/db");
  std::vector<SimDisk> moments;
  fs.SetObserver([&](const test::SimOperation& operation) { moments.push_back(operation.disk); });
  ASSERT_OK(database->Ingest(kItems, "two"));
  fs.SetObserver(nullptr);
  const SimDisk acknowledged = fs.disk();

  test::SeenStates seen;
  test::CrashCount count;
  const auto check = [&](const SimDisk& disk, bool is_acknowledged, uint64_t seed) {
    const test::CrashPlan plan{.exhaustive_units_max = 3,
                               .exhaustive_pieces_max = 3,
                               .random_states = 24,
                               .tears_max = 12,
                               .seed = seed};
    count += test::ForEachCrashState(
        disk, plan, seen, is_acknowledged, [&](const CrashChoice& choice, const SimDisk& state) {
          SimFs after(state);
          const auto whole = WholeState(after, "/db");
          ASSERT_OK(whole) << choice.ToString() << "\n" << disk.Describe();
          EXPECT_TRUE(*whole == "two" || (!is_acknowledged && *whole == "one"))
              << *whole << " " << choice.ToString() << "\n"
              << disk.Describe();
        });
  };
  for (size_t i = 0; i < moments.size(); ++i) check(moments[i], false, test::TestSeed() + i);
  check(acknowledged, true, test::TestSeed());
  std::printf("%zu moments, %llu states\n", moments.size(),
              static_cast<unsigned long long>(count.visited));
  EXPECT_GT(count.visited, 100u);
}

// The disk at an ingest's last sync of the MANIFEST: its records are written and not durable.
struct UnsyncedManifest {
  std::string path;
  SimDisk written;         // Everything written is there.
  uint64_t durable_bytes;  // Of the MANIFEST.
  uint64_t written_bytes;

  // The MANIFEST keeps its size and has `fill` from `at` on.
  SimDisk CutAt(uint64_t at, char fill) const {
    SimDisk disk = written;
    EXPECT_OK(disk.Patch(path, at, std::string(written_bytes - at, fill)));
    return disk;
  }
};

UnsyncedManifest CatchUnsyncedManifest() {
  SimFs fs(DatabaseWithOne());
  auto database = MustOpen(fs, "/db");
  UnsyncedManifest caught;
  std::optional<SimDisk> disk;
  fs.SetObserver([&](const test::SimOperation& operation) {
    const bool is_manifest = operation.path.find("/MANIFEST-") != std::string::npos;
    if (!is_manifest || operation.call != test::SimCall::kSync) return;
    caught.path = operation.path;
    disk = operation.disk;
  });
  EXPECT_OK(database->Ingest(kItems, "two"));
  EXPECT_TRUE(disk.has_value());
  caught.written = disk->Crash({.keep = CrashChoice::Keep::kAll});
  caught.durable_bytes = disk->Crash({}).Contents(caught.path)->size();
  caught.written_bytes = caught.written.Contents(caught.path)->size();
  return caught;
}

// Opening writes too: a new MANIFEST, CURRENT, the cut tail. The power goes again at every moment
// of it.
TEST(RocksFsCrash, APowerCutDuringTheOpeningAfterAPowerCutIsSurvived) {
  const UnsyncedManifest manifest = CatchUnsyncedManifest();
  SimFs fs(manifest.CutAt(manifest.durable_bytes + 20, '\0'));
  test::SeenStates seen;
  uint64_t moments = 0;
  std::vector<std::pair<std::string, SimDisk>> states;
  fs.SetObserver([&](const test::SimOperation& operation) {
    const test::CrashPlan plan{.exhaustive_units_max = 4,
                               .exhaustive_pieces_max = 2,
                               .random_states = 4,
                               .tears_max = 2,
                               .seed = test::TestSeed() + moments++};
    test::ForEachCrashState(
        operation.disk, plan, seen, 0, [&](const CrashChoice& choice, const SimDisk& state) {
          states.emplace_back(choice.ToString() + "\n" + operation.disk.Describe(), state);
        });
  });
  EXPECT_EQ(WholeState(fs, "/db").value(), "one");
  fs.SetObserver(nullptr);
  for (const auto& [what, state] : states) {
    SimFs after(state);
    const auto whole = WholeState(after, "/db");
    ASSERT_OK(whole) << what;
    EXPECT_EQ(*whole, "one") << what;
  }
  std::printf("%llu moments, %zu states\n", static_cast<unsigned long long>(moments),
              states.size());
  EXPECT_GT(states.size(), 50u);
}

TEST(RocksFsCrash, AManifestTailOfZerosOrNoiseRecoversAllOrNothingAtEveryCut) {
  const UnsyncedManifest manifest = CatchUnsyncedManifest();
  ASSERT_GT(manifest.written_bytes, manifest.durable_bytes + 150) << "edits of two families";
  uint64_t openings = 0;
  for (uint64_t at = manifest.durable_bytes; at <= manifest.written_bytes; ++at) {
    for (const char fill : {'\0', '\xff'}) {
      if (fill != 0 && at % 8 != 0) continue;
      SimFs after(manifest.CutAt(at, fill));
      const auto state = WholeState(after, "/db");
      ASSERT_OK(state) << "cut at " << at;
      // Not even a record that came through whole counts: nobody was told, and the guard has it
      // shorter.
      EXPECT_EQ(*state, "one") << "cut at " << at;
      ++openings;
    }
  }
  std::printf("%llu bytes of MANIFEST, %llu openings\n",
              static_cast<unsigned long long>(manifest.written_bytes - manifest.durable_bytes),
              static_cast<unsigned long long>(openings));
}

// The test above would pass with any RocksDB that opens such a MANIFEST; this one does not.
TEST(RocksFsCrash, WithoutTheGuardAManifestTailOfZerosDoesNotOpen) {
  const UnsyncedManifest manifest = CatchUnsyncedManifest();
  uint64_t refused = 0;
  uint64_t tried = 0;
  for (uint64_t at = manifest.durable_bytes; at < manifest.written_bytes; at += 8) {
    SimFs after(manifest.CutAt(at, '\0'));
    ASSERT_OK(after.Remove("/db/manifest.guard"));
    ++tried;
    if (!Database::Open(after, "/db").ok()) ++refused;
  }
  std::printf("%llu of %llu refused\n", static_cast<unsigned long long>(refused),
              static_cast<unsigned long long>(tried));
  EXPECT_GT(refused, 0u);
}

TEST(RocksFsCrash, AManifestThatLostItsEndIsCorruptionAndNotAnOlderState) {
  SimFs fs(DatabaseWithOne());
  std::string current = fs.disk().Contents("/db/CURRENT").value();
  const std::string manifest = "/db/" + current.substr(0, current.find('\n'));
  {
    auto file = fs.Open(manifest, wal::OpenMode::kReadWrite).value();
    ASSERT_OK(file->Truncate(file->SizeBytes().value() - 1));
  }
  const Status status = Database::Open(fs, "/db").status();
  EXPECT_EQ(status.code(), StatusCode::kCorruption) << status.ToString();
}

// The process dies, not the power: the record was written and not synced, so nobody was told.
TEST(RocksFsCrash, AKilledProcessLeavesAllOfAnIngestOrNothingAtEveryCall) {
  const SimDisk base = DatabaseWithOne();
  for (uint64_t nth = 1;; ++nth) {
    SimFs fs(base);
    auto database = MustOpen(fs, "/db");
    fs.CutPowerAt(nth, test::CrashMoment::kDuring);
    const Status status = database->Ingest(kItems, "two");
    const bool died = fs.power_is_cut();
    database.reset();
    fs.KillProcess();
    const auto state = WholeState(fs, "/db");
    ASSERT_OK(state) << "call " << nth;
    if (!died) {
      ASSERT_OK(status);
      EXPECT_EQ(*state, "two");
      EXPECT_GT(nth, 20u);
      return;
    }
    EXPECT_FALSE(status.ok() && *state == "one");
  }
}

}  // namespace
}  // namespace tailrace::engine
