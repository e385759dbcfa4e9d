// The item index with many tables: small ones share a family, large ones have their own, and every
// ingest, also one that moves a table, is there whole or not at all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

#include "engine/item_index.h"
#include "tests/support/expect_ok.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "tests/support/sim_fs.h"
#include "wal/coding.h"

namespace tailrace::engine {
namespace {

using test::CrashChoice;
using test::SimDisk;
using test::SimFs;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kDirectory[] = "/db";
constexpr uint64_t kLimitBytes = 16 << 10;

using Items = std::map<std::string, std::string>;
using State = std::map<TableId, Items>;
// As a key is stored in the shared family (docs/store-format.md).
std::string SharedKey(TableId table, const std::string& key) {
  std::string prefixed;
  AppendBig64(prefixed, table.value);
  return prefixed + key;
}

// What an ingest does to a table's keys; absent: deleted.
using Changes = std::map<TableId, std::map<std::string, std::optional<std::string>>>;

std::string Key(uint64_t number) {
  std::string key = std::to_string(number);
  return std::string(8 - key.size(), '0') + key;
}

Result<std::unique_ptr<ItemIndex>> Open(SimFs& fs, uint64_t limit_bytes = kLimitBytes) {
  TAILRACE_ASSIGN_OR_RETURN(const bool exists, fs.Exists(std::string(kDirectory) + "/CURRENT"));
  return ItemIndex::Open(
      fs, kDirectory,
      {.block_cache_bytes = 1 << 20, .shared_table_bytes_max = limit_bytes, .create = !exists});
}

std::unique_ptr<ItemIndex> MustOpen(SimFs& fs, uint64_t limit_bytes = kLimitBytes) {
  auto index = Open(fs, limit_bytes);
  EXPECT_OK(index);
  return index.ok() ? std::move(*index) : nullptr;
}

Status Write(ItemIndex& index, const Changes& changes, const std::string& cut) {
  TAILRACE_ASSIGN_OR_RETURN(auto ingest, index.NewIngest());
  for (const auto& [table, keys] : changes) {
    for (const auto& [key, image] : keys) {
      TAILRACE_RETURN_IF_ERROR(image ? ingest->Set(table, key, Lsn{7}, *image)
                                     : ingest->Delete(table, key));
    }
  }
  return ingest->Commit(cut);
}

void Apply(const Changes& changes, State& state) {
  for (const auto& [table, keys] : changes) {
    for (const auto& [key, image] : keys) {
      if (image) {
        state[table][key] = *image;
      } else {
        state[table].erase(key);
      }
    }
    if (state[table].empty()) state.erase(table);
  }
}

Result<Items> Drain(IndexCursor& cursor) {
  Items items;
  for (cursor.SeekAtLeast({}); cursor.valid(); cursor.Next()) {
    EXPECT_EQ(cursor.lsn(), Lsn{7});
    items.emplace(cursor.key(), cursor.image());
  }
  TAILRACE_RETURN_IF_ERROR(cursor.status());
  return items;
}

// By cursor forwards and backwards and by Get, which must agree.
Result<Items> ReadTable(ItemIndex& index, TableId table) {
  TAILRACE_ASSIGN_OR_RETURN(const auto cursor, index.NewCursor(table));
  TAILRACE_ASSIGN_OR_RETURN(Items items, Drain(*cursor));
  Items backwards;
  for (cursor->SeekBelow({}); cursor->valid(); cursor->Previous()) {
    backwards.emplace(cursor->key(), cursor->image());
  }
  TAILRACE_RETURN_IF_ERROR(cursor->status());
  EXPECT_EQ(backwards, items);
  for (const auto& [key, image] : items) {
    TAILRACE_ASSIGN_OR_RETURN(const auto item, index.Get(table, key));
    EXPECT_EQ(item ? item->image : "absent", image);
  }
  return items;
}

// Every table's items, empty tables left out, and the cut.
Result<std::pair<State, std::string>> ReadAll(ItemIndex& index) {
  State state;
  TAILRACE_ASSIGN_OR_RETURN(const auto cut, index.ReadCut());
  for (const TableId table : index.Tables()) {
    TAILRACE_ASSIGN_OR_RETURN(Items items, ReadTable(index, table));
    if (!items.empty()) state[table] = std::move(items);
  }
  return std::pair(std::move(state), cut.value_or("none"));
}

uint64_t SortedFiles(const SimFs& fs) {
  uint64_t count = 0;
  for (const auto& path : fs.disk().Files()) count += path.ends_with(".sst");
  return count;
}

class SharedFamilyTest : public ::testing::Test {
 protected:
  void Reopen(uint64_t limit_bytes = kLimitBytes) {
    index_.reset();
    index_ = MustOpen(fs_, limit_bytes);
    ASSERT_NE(index_, nullptr);
  }
  void Put(const Changes& changes) {
    ASSERT_OK(Write(*index_, changes, "cut " + std::to_string(++cuts_)));
    Apply(changes, state_);
  }
  void Drop(TableId table) {
    ASSERT_OK(index_->DropTable(table));
    state_.erase(table);
  }
  void ExpectState() {
    const auto all = ReadAll(*index_);
    ASSERT_OK(all);
    EXPECT_EQ(all->first, state_);
    EXPECT_EQ(all->second, "cut " + std::to_string(cuts_));
  }
  // So many items of 1 KB.
  std::map<std::string, std::optional<std::string>> Kilobytes(uint64_t first, uint64_t count) {
    std::map<std::string, std::optional<std::string>> items;
    for (uint64_t i = 0; i < count; ++i) items[Key(first + i)] = random_.Bytes(1000);
    return items;
  }

  test::Random random_{test::TestSeed()};
  SimFs fs_{{.disk = {.ordered_directories = {kDirectory}}}};
  std::unique_ptr<ItemIndex> index_ = MustOpen(fs_);
  State state_;
  uint64_t cuts_ = 0;
};

TEST_F(SharedFamilyTest, AThousandSmallTablesAreTwoFamiliesAndAFewFiles) {
  constexpr uint64_t kTables = 1000;
  for (int round = 0; round < 3; ++round) {
    Changes changes;
    for (uint64_t t = 1; t <= kTables; ++t) {
      changes[TableId{t}][Key(t % 7)] = random_.Bytes(100);
      changes[TableId{t}][Key(9)] = std::nullopt;
    }
    Put(changes);
  }
  EXPECT_EQ(index_->GetStats().families, 2u);
  EXPECT_EQ(index_->GetStats().shared_tables, kTables);
  EXPECT_LE(SortedFiles(fs_), 10u);
  EXPECT_LT(index_->GetStats().bytes, kTables * 3 * 200);
  ExpectState();
  Reopen();
  EXPECT_EQ(index_->GetStats().families, 2u);
  EXPECT_THAT(index_->Tables(), SizeIs(kTables));
  ExpectState();
}

TEST_F(SharedFamilyTest, CursorsKeepToTheirTable) {
  Put({{TableId{1}, {{"a", "1a"}, {"z", "1z"}}},
       {TableId{2}, {{"m", "2m"}}},
       {TableId{UINT64_MAX}, {{"\xff\xff", "last"}}}});
  ExpectState();
  const auto cursor = index_->NewCursor(TableId{2}).value();
  cursor->SeekAtLeast("n");
  EXPECT_FALSE(cursor->valid());
  EXPECT_OK(cursor->status());
  cursor->SeekBelow("m");
  EXPECT_FALSE(cursor->valid());
  cursor->SeekBelow("n");
  ASSERT_TRUE(cursor->valid());
  EXPECT_EQ(cursor->key(), "m");
  cursor->Next();
  EXPECT_FALSE(cursor->valid());
  EXPECT_FALSE(index_->Get(TableId{2}, "a")->has_value());
  EXPECT_FALSE(index_->Get(TableId{3}, "m")->has_value());
}

TEST_F(SharedFamilyTest, AGrowingTableMovesWithTheChangesOnTop) {
  Put({{TableId{1}, Kilobytes(0, 2)}, {TableId{2}, Kilobytes(0, 10)}, {TableId{3}, {{"k", "v"}}}});
  EXPECT_EQ(index_->GetStats().shared_tables, 3u);
  auto before = index_->NewCursor(TableId{2}).value();
  const Items items_before = state_[TableId{2}];

  Changes more{{TableId{2}, Kilobytes(20, 10)}};
  more[TableId{2}][Key(3)] = std::nullopt;   // Was there.
  more[TableId{2}][Key(99)] = std::nullopt;  // Was not.
  more[TableId{2}][Key(5)] = "overwritten";
  Put(more);
  EXPECT_EQ(index_->GetStats().shared_tables, 2u);
  EXPECT_EQ(index_->GetStats().families, 3u);
  ExpectState();

  // A cursor opened before keeps its view, whatever becomes of the keys left behind.
  Put({{TableId{2}, {{Key(6), std::nullopt}}}});
  ASSERT_OK(index_->Tidy());
  EXPECT_EQ(Drain(*before).value(), items_before);
  before.reset();
  ExpectState();
  Reopen();
  EXPECT_EQ(index_->GetStats().shared_tables, 2u);
  ExpectState();
}

TEST_F(SharedFamilyTest, ATableThatIsLargeFromTheFirstIsNeverCopied) {
  Put({{TableId{1}, Kilobytes(0, 40)}, {TableId{2}, {{"k", "v"}}}});
  EXPECT_EQ(index_->GetStats().shared_tables, 1u);
  EXPECT_EQ(index_->GetStats().families, 3u);
  ExpectState();
  Reopen();
  ExpectState();
}

// Its own family then has nothing, and that has to be remembered too.
TEST_F(SharedFamilyTest, AMoveThatDeletesEverything) {
  Put({{TableId{1}, Kilobytes(0, 10)}});
  Changes changes;
  for (uint64_t i = 0; i < 3000; ++i) changes[TableId{1}][Key(i)] = std::nullopt;
  Put(changes);
  EXPECT_EQ(index_->GetStats().shared_tables, 0u);
  ExpectState();
  Reopen();
  ExpectState();
  Put({{TableId{1}, {{"again", "here"}}}});
  ExpectState();
}

TEST_F(SharedFamilyTest, DroppedTablesGiveTheirSpaceBack) {
  constexpr uint64_t kTables = 200;
  Changes changes;
  for (uint64_t t = 1; t <= kTables; ++t) changes[TableId{t}] = Kilobytes(0, 2);
  Put(changes);
  const uint64_t full_bytes = index_->GetStats().bytes;
  for (uint64_t t = 1; t < kTables; ++t) {
    Drop(TableId{t});
    ASSERT_OK(index_->Tidy());
  }
  ExpectState();
  // What is left is less than the live table and the limit for what is not worth the work.
  EXPECT_LT(index_->GetStats().bytes, full_bytes / 10);
  EXPECT_THAT(index_->Tables(), ElementsAre(TableId{kTables}));
  // The ingest that follows forgets them for good.
  Put({{TableId{kTables}, {{"k", "v"}}}});
  Reopen();
  EXPECT_LT(index_->Tables().size(), 20u);
  EXPECT_THAT(index_->Tables(), ::testing::Contains(TableId{kTables}));
}

TEST_F(SharedFamilyTest, AMovedTableLeavesNoSpaceTaken) {
  Changes changes;
  for (uint64_t t = 1; t <= 20; ++t) changes[TableId{t}] = Kilobytes(0, 12);
  Put(changes);
  for (auto& [table, items] : changes) items = Kilobytes(100, 8);
  Put(changes);
  EXPECT_EQ(index_->GetStats().shared_tables, 0u);
  EXPECT_GT(index_->GetStats().bytes, 20u * 30'000);
  ASSERT_OK(index_->Tidy());
  EXPECT_LT(index_->GetStats().bytes, 20u * 24'000);
  ExpectState();
  Put({});
  ExpectState();
  Reopen();
  ExpectState();
  // Nothing of their time in the shared family is remembered: dropping one leaves no trace.
  Drop(TableId{3});
  Reopen();
  EXPECT_THAT(index_->Tables(), Not(::testing::Contains(TableId{3})));
  ExpectState();
}

TEST_F(SharedFamilyTest, ADropThatACrashTakesBackIsDoneAgain) {
  Put({{TableId{1}, {{"k", "v"}}}, {TableId{2}, Kilobytes(0, 10)}, {TableId{3}, {{"k", "v"}}}});
  Put({{TableId{2}, Kilobytes(20, 10)}});  // Moves.
  Drop(TableId{1});
  Drop(TableId{2});
  ExpectState();
  EXPECT_THAT(index_->Tables(), ElementsAre(TableId{3}));
  Reopen();
  // The drop of a family is durable; that of a tenant in the shared one is not, before an ingest.
  EXPECT_THAT(index_->Tables(), ElementsAre(TableId{1}, TableId{3}));
  ASSERT_OK(index_->DropTable(TableId{1}));
  ASSERT_OK(index_->DropTable(TableId{1}));
  ASSERT_OK(index_->DropTable(TableId{17}));
  ExpectState();
  const Status refused = Write(*index_, {{TableId{1}, {{"k", "v"}}}}, "cut");
  EXPECT_EQ(refused.code(), StatusCode::kCorruption) << refused.ToString();
}

// With a limit of 0 the index is what it was before tables shared anything.
TEST_F(SharedFamilyTest, AnIndexOfTheOldLayoutGoesOn) {
  Reopen(0);
  Put({{TableId{1}, {{"k", "v"}}}, {TableId{2}, {{"a", "b"}}}});
  EXPECT_EQ(index_->GetStats().families, 3u);
  EXPECT_EQ(index_->GetStats().shared_tables, 0u);
  Reopen();
  ExpectState();
  Put({{TableId{1}, {{"l", "w"}}}, {TableId{3}, {{"x", "y"}}}});
  EXPECT_EQ(index_->GetStats().families, 4u);
  EXPECT_EQ(index_->GetStats().shared_tables, 1u);
  ExpectState();
  Drop(TableId{2});
  Reopen(0);
  ExpectState();
  Put({{TableId{3}, {{"x", std::nullopt}, {"z", "z"}}}});
  EXPECT_EQ(index_->GetStats().shared_tables, 0u);
  ExpectState();
}

TEST_F(SharedFamilyTest, DamageIsReportedWithTheTablesConcerned) {
  Put({{TableId{1}, Kilobytes(0, 40)},
       {TableId{2}, Kilobytes(0, 3)},
       {TableId{3}, Kilobytes(0, 12)}});
  Put({{TableId{4}, {{"k", "v"}}}});
  ASSERT_OK(index_->VerifyChecksums());
  index_.reset();
  // In the file that has tables 2 and 3, known by one of its keys.
  const std::string key = SharedKey(TableId{3}, Key(9));
  uint64_t damaged = 0;
  for (const auto& path : fs_.disk().Files()) {
    const size_t at = fs_.disk().Contents(path).value().find(key);
    if (!path.ends_with(".sst") || at == std::string::npos) continue;
    auto file = fs_.Open(path, wal::OpenMode::kReadWrite).value();
    ASSERT_OK(file->Write(at + 100, "damage"));
    ++damaged;
  }
  ASSERT_EQ(damaged, 1u);
  Reopen();
  const Status verified = index_->VerifyChecksums();
  EXPECT_EQ(verified.code(), StatusCode::kCorruption);
  EXPECT_THAT(verified.message(), HasSubstr("tables 2, 3"));
  EXPECT_THAT(verified.message(), Not(HasSubstr("table 1")));

  const Status got = index_->Get(TableId{3}, Key(9)).status();
  EXPECT_EQ(got.code(), StatusCode::kCorruption);
  EXPECT_THAT(got.message(), HasSubstr("table 3"));
  const Status read = ReadTable(*index_, TableId{3}).status();
  EXPECT_EQ(read.code(), StatusCode::kCorruption);
  EXPECT_THAT(read.message(), HasSubstr("table 3"));
  for (const uint64_t whole : {1u, 2u, 4u}) {
    const auto cursor = index_->NewCursor(TableId{whole}).value();
    EXPECT_EQ(Drain(*cursor).value(), state_[TableId{whole}]);
  }

  // It cannot move, and does not keep the others from being drained.
  Put({{TableId{3}, Kilobytes(100, 40)}, {TableId{4}, {{"l", "w"}}}});
  EXPECT_EQ(index_->GetStats().shared_tables, 3u);
  EXPECT_EQ(Drain(*index_->NewCursor(TableId{4}).value()).value(), state_[TableId{4}]);
  EXPECT_TRUE(index_->Get(TableId{3}, Key(110))->has_value());
}

// ---- While it is read. ----

// Tables move one after another, their keys are swept and they go on changing. Whoever reads
// meanwhile finds every key.
TEST_F(SharedFamilyTest, ReadersFindEveryKeyWhileTablesMove) {
  constexpr uint64_t kTables = 30;
  constexpr uint64_t kItems = 8;
  Changes changes;
  for (uint64_t t = 1; t <= kTables; ++t) changes[TableId{t}] = Kilobytes(0, kItems);
  Put(changes);
  std::atomic<bool> done{false};
  std::atomic<uint64_t> reads{0};
  std::vector<std::thread> readers;
  for (uint64_t seed = 0; seed < 2; ++seed) {
    readers.emplace_back([&, seed] {
      test::Random random(test::MixSeed(test::TestSeed(), seed));
      while (!done) {
        const TableId table{random.Between(1, kTables)};
        const auto item = index_->Get(table, Key(random.Below(kItems)));
        ASSERT_OK(item);
        ASSERT_TRUE(item->has_value()) << table.value;
        const auto cursor = index_->NewCursor(table).value();
        const auto items = Drain(*cursor);
        ASSERT_OK(items);
        ASSERT_GE(items->size(), kItems) << table.value;
        ++reads;
      }
    });
  }
  for (uint64_t t = 1; t <= kTables; ++t) {
    const uint64_t before = reads;
    Put({{TableId{t}, Kilobytes(50, 15)}, {TableId{1 + t % kTables}, {{Key(0), "new"}}}});
    ASSERT_OK(index_->Tidy());
    while (reads < before + 4) std::this_thread::yield();
  }
  done = true;
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(index_->GetStats().shared_tables, 0u);
  ExpectState();
}

// ---- Crashes. ----

// Two tables share, one has its own. The next ingest moves the second and changes all.
struct Move {
  SimDisk disk;  // Everything about the state before is durable.
  State before;
  State after;
  Changes changes;
};

Move MakeMove() {
  Move move;
  test::Random random(17);
  const auto items = [&](uint64_t first, uint64_t count) {
    std::map<std::string, std::optional<std::string>> made;
    for (uint64_t i = 0; i < count; ++i) made[Key(first + i)] = random.Bytes(1000);
    return made;
  };
  SimFs fs({.disk = {.ordered_directories = {kDirectory}}});
  const Changes first{{TableId{1}, {{"k", "v"}}},
                      {TableId{2}, items(0, 12)},
                      {TableId{3}, items(0, 30)},
                      {TableId{4}, {{"dropped", "before"}}}};
  auto index = MustOpen(fs);
  EXPECT_OK(Write(*index, first, "one"));
  index.reset();
  Apply(first, move.before);
  move.disk = fs.disk();
  move.disk.SyncAll();
  move.changes = {{TableId{1}, {{"k", "w"}, {"l", "x"}}},
                  {TableId{2}, items(20, 12)},
                  {TableId{3}, items(40, 3)}};
  move.changes[TableId{2}][Key(3)] = std::nullopt;
  move.after = move.before;
  Apply(move.changes, move.after);
  return move;
}

// Whether it is all of the state after (true), or all of that before; and whether the index goes
// on from there: the ingest again, a sweep, a drop.
bool CheckWhole(SimFs& fs, const Move& move) {
  auto index = Open(fs);
  EXPECT_OK(index);
  if (!index.ok()) return false;
  const auto all = ReadAll(**index);
  EXPECT_OK(all);
  if (!all.ok()) return false;
  const bool moved = all->second == "two";
  EXPECT_EQ(all->second, moved ? "two" : "one");
  EXPECT_EQ(all->first, moved ? move.after : move.before);
  EXPECT_EQ((*index)->GetStats().shared_tables, moved ? 2u : 3u);
  EXPECT_OK(Write(**index, move.changes, "two"));
  EXPECT_OK((*index)->Tidy());
  EXPECT_EQ((*index)->GetStats().shared_tables, 2u);
  EXPECT_EQ(ReadAll(**index).value(), std::pair(move.after, std::string("two")));
  return moved;
}

TEST(SharedFamilyCrash, APowerCutLeavesAllOfAMoveOrNothing) {
  const Move move = MakeMove();
  SimFs fs(move.disk);
  auto index = MustOpen(fs);
  std::vector<SimDisk> moments;
  fs.SetObserver([&](const test::SimOperation& operation) { moments.push_back(operation.disk); });
  ASSERT_OK(Write(*index, move.changes, "two"));
  fs.SetObserver(nullptr);
  const SimDisk acknowledged = fs.disk();
  index.reset();

  test::SeenStates seen;
  test::CrashCount count;
  uint64_t whole = 0;
  const auto check = [&](const SimDisk& disk, bool is_acknowledged, uint64_t seed) {
    const test::CrashPlan plan{.exhaustive_units_max = 2,
                               .exhaustive_pieces_max = 2,
                               .random_states = 8,
                               .tears_max = 4,
                               .seed = seed};
    count += test::ForEachCrashState(disk, plan, seen, is_acknowledged,
                                     [&](const CrashChoice& choice, const SimDisk& state) {
                                       SimFs after(state);
                                       const bool moved = CheckWhole(after, move);
                                       whole += moved;
                                       EXPECT_TRUE(moved || !is_acknowledged);
                                       if (::testing::Test::HasFailure()) {
                                         FAIL() << choice.ToString() << "\n" << disk.Describe();
                                       }
                                     });
  };
  for (size_t i = 0; i < moments.size() && !::testing::Test::HasFailure(); ++i) {
    check(moments[i], false, test::TestSeed() + i);
  }
  check(acknowledged, true, test::TestSeed());
  std::printf("figure: %zu moments of a move, %llu states, %llu of them moved\n", moments.size(),
              static_cast<unsigned long long>(count.visited),
              static_cast<unsigned long long>(whole));
  EXPECT_GT(moments.size(), 30u);
  EXPECT_GT(count.visited, 100u);
  EXPECT_GT(whole, 0u);
}

TEST(SharedFamilyCrash, AKilledProcessLeavesAllOfAMoveOrNothing) {
  const Move move = MakeMove();
  for (uint64_t nth = 1;; ++nth) {
    SimFs fs(move.disk);
    auto index = MustOpen(fs);
    fs.CutPowerAt(nth, test::CrashMoment::kDuring);
    const Status status = Write(*index, move.changes, "two");
    const bool died = fs.power_is_cut();
    index.reset();
    fs.KillProcess();
    EXPECT_TRUE(CheckWhole(fs, move) || !status.ok()) << nth;
    ASSERT_FALSE(::testing::Test::HasFailure()) << "call " << nth;
    if (died) continue;
    ASSERT_OK(status);
    EXPECT_GT(nth, 30u);
    return;
  }
}

// One call fails and the process goes on: it reads the cut, and tries again if need be. Where
// RocksDB has stopped, that is refused and a reopening helps.
TEST(SharedFamilyCrash, AfterAFailedMoveTheSameIndexGoesOnOrSaysThatItCannot) {
  const Move move = MakeMove();
  uint64_t retried = 0;
  uint64_t refused = 0;
  for (uint64_t nth = 1;; ++nth) {
    SimFs fs(move.disk);
    auto index = MustOpen(fs);
    fs.Inject({.mutating_only = true, .nth = nth, .status = NoSpace("full")});
    const Status status = Write(*index, move.changes, "two");
    const bool hit = fs.faults_hit() > 0;
    fs.ClearFaults();
    const auto cut = index->ReadCut();
    ASSERT_OK(cut);
    const bool happened = *cut == "two";
    EXPECT_TRUE(happened || !status.ok());
    const auto all = ReadAll(*index);
    ASSERT_OK(all);
    EXPECT_EQ(all->first, happened ? move.after : move.before) << nth;
    if (!happened) {
      const Status again = Write(*index, move.changes, "two");
      EXPECT_TRUE(again.ok() || again.code() == StatusCode::kReadOnly) << again.ToString();
      (again.ok() ? retried : refused) += 1;
      const bool after = index->ReadCut().value() == "two";
      EXPECT_TRUE(after || !again.ok());
      EXPECT_EQ(ReadAll(*index)->first, after ? move.after : move.before) << nth;
    }
    index.reset();
    fs.KillProcess();
    CheckWhole(fs, move);
    ASSERT_FALSE(::testing::Test::HasFailure()) << "call " << nth;
    if (hit) continue;
    ASSERT_OK(status);
    EXPECT_GT(nth, 30u);
    std::printf("figure: %llu failed moves; %llu done again, %llu not before reopening\n",
                static_cast<unsigned long long>(nth - 1), static_cast<unsigned long long>(retried),
                static_cast<unsigned long long>(refused));
    EXPECT_GT(retried, 10u);
    return;
  }
}

// ---- Against a model. ----

TEST_F(SharedFamilyTest, RandomIngestsMatchTheModel) {
  uint64_t next_table = 1;
  std::vector<TableId> tables;
  std::map<uint64_t, uint64_t> seen_shared;
  for (int step = 0; step < 400; ++step) {
    if (tables.size() < 12 && random_.OneIn(3)) tables.push_back(TableId{next_table++});
    if (tables.empty()) continue;
    Changes changes;
    for (const TableId table : tables) {
      if (!random_.OneIn(3)) continue;
      for (uint64_t i = random_.Below(table.value % 4 == 0 ? 12 : 3); i > 0; --i) {
        const std::string key = Key(random_.Below(30));
        if (random_.OneIn(3)) {
          changes[table][key] = std::nullopt;
        } else {
          changes[table][key] = random_.Bytes(random_.Below(1500));
        }
      }
    }
    Put(changes);
    if (!tables.empty() && random_.OneIn(12)) {
      const size_t at = random_.Below(tables.size());
      Drop(tables[at]);
      tables.erase(tables.begin() + static_cast<ptrdiff_t>(at));
    }
    if (random_.OneIn(2)) {
      ASSERT_OK(index_->Tidy());
    }
    if (random_.OneIn(20)) {
      constexpr uint64_t kLimits[] = {0, 3000, kLimitBytes, 1 << 20};
      Reopen(kLimits[random_.Below(std::size(kLimits))]);
      // What was dropped and not forgotten yet is dropped again, as the checkpointer does.
      for (const TableId table : index_->Tables()) {
        if (std::find(tables.begin(), tables.end(), table) == tables.end()) {
          ASSERT_OK(index_->DropTable(table));
        }
      }
    }
    const auto stats = index_->GetStats();
    ++seen_shared[stats.shared_tables];
    EXPECT_LE(stats.families, 2 + tables.size());
    ExpectState();
    if (HasFailure()) FAIL() << "step " << step;
  }
  EXPECT_GT(seen_shared.size(), 3u);
}

TEST(ItemCacheOfIndexTest, ItemsInMemoryGoWithWhatIsDrained) {
  SimFs fs{{.disk = {.ordered_directories = {kDirectory}}}};
  const TableId table{1};
  const auto index =
      ItemIndex::Open(fs, kDirectory, {.item_cache_bytes = 1 << 20, .create = true}).value();
  const auto read = [&](uint64_t number) {
    const auto item = index->Get(table, Key(number)).value();
    return item ? item->image : "absent";
  };
  ASSERT_OK(Write(*index, {{table, {{Key(1), "old"}, {Key(2), "stays"}}}}, "1"));
  EXPECT_EQ(read(1), "old");
  ASSERT_OK(Write(*index, {{table, {{Key(1), "new"}}}}, "2"));
  EXPECT_EQ(read(1), "new");
  ASSERT_OK(Write(*index, {{table, {{Key(1), std::nullopt}}}}, "3"));
  EXPECT_EQ(read(1), "absent");
  EXPECT_EQ(read(2), "stays");
}

}  // namespace
}  // namespace tailrace::engine
