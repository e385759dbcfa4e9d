// Random writes of a table whose indexes come and go, with fillings that are cut short,
// checkpoints, kills and power cuts on a simulated disk, against a plain model.
#include <algorithm>
#include <map>
#include <set>

#include "engine/cut.pb.h"
#include "engine/index_check.h"
#include "engine/store_files.h"
#include "tests/engine/store_fixture.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "tests/support/sim_fs.h"

namespace tailrace::test {
namespace {

constexpr char kDirectory[] = "/store";
constexpr char kTable[] = "Things";
const KeySchema kKeys{{"box", ScalarType::kS}, KeyAttribute{"id", ScalarType::kN}};

const std::vector<IndexSpec> kLocal{
    {.name = "local",
     .keys = {{"box", ScalarType::kS}, KeyAttribute{"size", ScalarType::kN}},
     .local = true,
     .projection = Projection::kInclude,
     .included = {"text"}}};
const std::vector<IndexSpec> kGlobal{
    {.name = "by_color", .keys = {{"color", ScalarType::kS}}},
    {.name = "by_color_size",
     .keys = {{"color", ScalarType::kS}, KeyAttribute{"size", ScalarType::kN}},
     .projection = Projection::kKeysOnly},
    {.name = "by_size_tag",
     .keys = {{"size", ScalarType::kN}, KeyAttribute{"tag", ScalarType::kB}}}};

// Whether the value can be in such a key.
bool Fits(const Value* value, ScalarType type) {
  if (value == nullptr) return false;
  if (value->binary() != nullptr && value->binary()->bytes.empty()) return false;
  return ValueTypeName(value->type()) == ScalarTypeName(type);
}

// The item as the index shall show it, if it is in it. Unlike the engine it looks at values.
std::optional<Item> Projected(const IndexSpec& index, const Item& item) {
  std::set<std::string> names(index.included.begin(), index.included.end());
  for (const KeySchema* keys : {&kKeys, &index.keys}) {
    for (const auto& key : {std::optional(keys->partition), keys->sort}) {
      if (!key) continue;
      if (!Fits(item.Get(key->name), key->type)) return std::nullopt;
      names.insert(key->name);
    }
  }
  if (index.projection == Projection::kAll) return item;
  Item projected;
  for (const Attribute& attribute : item) {
    if (names.contains(attribute.name)) projected.Set(attribute.name, attribute.value);
  }
  return projected;
}

class IndexModelTest : public ::testing::TestWithParam<Durability> {
 protected:
  IndexModelTest()
      : random_(MixSeed(TestSeed(), 60 + static_cast<uint64_t>(GetParam()))),
        fs_(SimFsOptions{.disk = {.ordered_directories = {std::string(kDirectory) + "/items"}}}) {}

  void Open() {
    StoreOptions options = SmallOptions(clock_, GetParam());
    options.fs = &fs_;
    options.generation_bytes_max = 8ull << 10 << random_.Below(4);
    options.journal_segment_bytes = 64ull << 10;
    options.on_pause_point = [this](PausePoint point) {
      if (point == PausePoint::kBeforeBackfill && pages_until_cut_ > 0 && --pages_until_cut_ == 0) {
        fs_.CutPowerAt(random_.Between(1, 6), CrashMoment::kDuring);
      }
    };
    auto store = Store::Open(kDirectory, options);
    ASSERT_OK(store);
    store_ = std::move(*store);
  }

  void Crash() {
    pages_until_cut_ = 0;
    if (!fs_.power_is_cut()) fs_.CutPowerAt(1, CrashMoment::kBefore);
    store_.reset();
    if (GetParam() == Durability::kBuffered) {
      fs_.KillProcess();
    } else {
      fs_.CutPower({.keep = CrashChoice::Keep::kRandomPieces,
                    .argument = random_.Next(),
                    .fill = static_cast<CrashChoice::Fill>(random_.Below(3))});
    }
    Open();
  }

  // Closes properly, checks the indexes as they lie in RocksDB, and opens again.
  void CloseAndCheck() {
    ASSERT_OK(store_->Close());
    store_.reset();
    {
      auto items = engine::ItemIndex::Open(fs_, engine::StorePaths(kDirectory).items, {});
      ASSERT_OK(items);
      const auto bytes = (*items)->ReadCut();
      ASSERT_OK(bytes);
      engine::Cut cut;
      ASSERT_TRUE(cut.ParseFromString(**bytes));
      const auto catalogue = engine::Catalogue::FromProto(cut.catalogue());
      ASSERT_OK(catalogue);
      const engine::Table& table = *catalogue->Find(kTable);
      for (const engine::Index& index : table.indexes) {
        const auto check = engine::CheckIndex(**items, table, index);
        ASSERT_OK(check);
        ASSERT_EQ(check->problems(), 0u)
            << index.spec.name << ": " << check->missing << " missing, " << check->wrong
            << " wrong, " << check->stray << " stray";
        entries_checked_ += check->entries;
      }
    }
    Open();
  }

  Item DrawKey() {
    return Item{{"box", Value::S("box" + std::to_string(random_.Below(3)))},
                {"id", Value::N(random_.Below(150))}};
  }

  Item DrawItem() {
    Item item = DrawKey();
    constexpr const char* kColors[] = {"red", "green", "blue", "re", "red\x01"};
    if (!random_.OneIn(6)) item.Set("color", Value::S(kColors[random_.Below(5)]));
    if (!random_.OneIn(6)) item.Set("size", Value::N(random_.Below(8)));
    if (random_.OneIn(2)) item.Set("tag", Value::B(random_.Bytes(random_.Between(1, 3))));
    if (random_.OneIn(3)) item.Set("text", Value::S(std::string(random_.Below(200), 't')));
    if (random_.OneIn(25)) item.Set("color", Value::N(5));
    if (random_.OneIn(25)) item.Set("tag", Value::B(""));
    return item;
  }

  static std::string KeyOf(const Item& item) { return EncodeKeyOfItem(kKeys, item).value(); }

  bool Takes(const Item& item) const {
    for (const auto& [name, index] : indexes_) {
      for (const auto& key : {std::optional(index.keys.partition), index.keys.sort}) {
        const Value* value = key ? item.Get(key->name) : nullptr;
        if (value != nullptr && !Fits(value, key->type)) return false;
      }
    }
    return true;
  }

  void Write() {
    const Item item = DrawItem();
    const std::string key = KeyOf(item);
    if (random_.OneIn(5)) {
      ASSERT_OK(store_->Delete(kTable, KeyOfItem(kKeys, item)));
      items_.erase(key);
      return;
    }
    const auto put = store_->Put(kTable, item);
    const auto old = items_.find(key);
    if (Takes(item)) {
      ASSERT_OK(put);
      items_[key] = item;
    } else if (old == items_.end() || old->second != item) {
      ASSERT_EQ(put.status().code(), StatusCode::kInvalidArgument);
      ++refused_;
    }
  }

  void Transact() {
    std::map<std::string, Item> items;
    bool takes = true;
    for (uint64_t n = random_.Between(2, 6); n > 0; --n) {
      const Item item = DrawItem();
      takes = takes && Takes(item);
      items[KeyOf(item)] = item;
    }
    std::vector<WriteRequest> writes;
    for (const auto& [key, item] : items) {
      if (items_.contains(key) && items_.at(key) == item) return;
      writes.push_back(WriteRequest::Put(kTable, item));
    }
    const auto result = store_->Transact(writes);
    if (result.ok()) {
      for (const auto& [key, item] : items) {
        ASSERT_TRUE(Takes(item));
        items_[key] = item;
      }
    } else {
      ASSERT_FALSE(takes) << result.status().ToString();
      ASSERT_EQ(result.status().code(), StatusCode::kInvalidArgument);
    }
  }

  void CreateOrDrop() {
    const IndexSpec& index = kGlobal[random_.Below(kGlobal.size())];
    if (indexes_.contains(index.name)) {
      ASSERT_OK(store_->DropIndex(kTable, index.name));
      indexes_.erase(index.name);
      return;
    }
    ASSERT_OK(store_->CreateIndex(kTable, index));
    indexes_[index.name] = index;
  }

  // Fills what is to be filled, perhaps only in part and then dies.
  void Fill() {
    if (random_.OneIn(2)) {
      ASSERT_OK(store_->RunMaintenance());
      return;
    }
    pages_until_cut_ = random_.Between(1, 3);
    const Status status = store_->RunMaintenance();
    if (pages_until_cut_ > 0) {  // There was less to fill.
      pages_until_cut_ = 0;
      ASSERT_OK(status);
      return;
    }
    ++cut_short_;
    Crash();
  }

  void Verify() {
    ASSERT_OK(store_->RunMaintenance());
    std::map<std::string, Item> found;
    for (const Item& item : ReadTable(*store_, kTable)) found[KeyOf(item)] = item;
    ASSERT_TRUE(found == items_);
    const auto table = store_->DescribeTable(kTable);
    ASSERT_OK(table);
    ASSERT_EQ(table->indexes.size(), indexes_.size());
    for (const IndexInfo& info : table->indexes) {
      ASSERT_EQ(info.spec, indexes_.at(info.spec.name));
      ASSERT_EQ(info.state, IndexState::kActive);
      VerifyScan(info.spec);
      VerifyQuery(info.spec);
      if (HasFatalFailure()) return;
    }
  }

  void VerifyScan(const IndexSpec& index) {
    std::map<std::string, Item> expected;
    for (const auto& [key, item] : items_) {
      if (const auto projected = Projected(index, item)) expected[key] = *projected;
    }
    std::map<std::string, Item> found;
    const auto total = static_cast<uint32_t>(random_.Between(1, 4));
    for (uint32_t segment = 0; segment < total; ++segment) {
      ScanRequest request{.items_max = static_cast<uint32_t>(random_.Between(1, 50)),
                          .index = index.name,
                          .segment = segment,
                          .total_segments = total};
      while (true) {
        const auto page = store_->Scan(kTable, request);
        ASSERT_OK(page);
        for (const Item& item : page->items) {
          ASSERT_TRUE(found.emplace(KeyOf(item), item).second) << "scanned twice";
        }
        if (!page->last_key) break;
        request.start_after = page->last_key;
      }
    }
    ASSERT_TRUE(found == expected)
        << index.name << ": " << found.size() << " of " << expected.size();
  }

  // One partition, in the order of sort keys.
  void VerifyQuery(const IndexSpec& index) {
    if (items_.empty()) return;
    const Item& drawn =
        std::next(items_.begin(), static_cast<long>(random_.Below(items_.size())))->second;
    const Value* partition = drawn.Get(index.keys.partition.name);
    if (!Fits(partition, index.keys.partition.type)) return;
    std::map<std::string, Item> expected;
    for (const auto& [key, item] : items_) {
      const auto projected = Projected(index, item);
      if (projected && *item.Get(index.keys.partition.name) == *partition) {
        expected[key] = *projected;
      }
    }
    QueryRequest request;
    request.partition = *partition;
    request.forward = random_.OneIn(2);
    request.items_max = static_cast<uint32_t>(random_.Between(1, 9));
    request.index = index.name;
    std::map<std::string, Item> found;
    const Value* last = nullptr;
    std::vector<Item> in_order;
    while (true) {
      const auto page = store_->Query(kTable, request);
      ASSERT_OK(page);
      for (const Item& item : page->items) {
        ASSERT_TRUE(found.emplace(KeyOf(item), item).second) << "found twice";
        in_order.push_back(item);
      }
      if (!page->last_key) break;
      request.start_after = page->last_key;
    }
    ASSERT_TRUE(found == expected)
        << index.name << ": " << found.size() << " of " << expected.size();
    if (!index.keys.sort) return;
    if (!request.forward) std::reverse(in_order.begin(), in_order.end());
    for (const Item& item : in_order) {
      const Value* sort = item.Get(index.keys.sort->name);
      if (last != nullptr && sort->number() != nullptr) {
        ASSERT_FALSE(*sort->number() < *last->number());
      }
      if (last != nullptr && sort->binary() != nullptr) {
        ASSERT_FALSE(*sort->binary() < *last->binary());
      }
      last = sort;
    }
  }

  Random random_;
  SimClock clock_;
  SimFs fs_;
  std::unique_ptr<Store> store_;
  std::map<std::string, Item> items_;  // By storage key.
  std::map<std::string, IndexSpec> indexes_;
  uint64_t pages_until_cut_ = 0;
  uint64_t refused_ = 0;
  uint64_t cut_short_ = 0;
  uint64_t entries_checked_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Durabilities, IndexModelTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

TEST_P(IndexModelTest, IndexesMatchTheModel) {
  constexpr int kRounds = 30;
  constexpr int kOperationsPerRound = 120;
  Open();
  if (HasFatalFailure()) return;
  ASSERT_OK(store_->CreateTable({.name = kTable, .keys = kKeys, .indexes = kLocal}));
  indexes_["local"] = kLocal[0];
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < kOperationsPerRound; ++i) {
      const uint64_t kind = random_.Below(100);
      if (kind < 75) {
        Write();
      } else if (kind < 91) {
        Transact();
      } else if (kind < 94) {
        CreateOrDrop();
      } else if (kind < 97) {
        Fill();
      } else {
        ASSERT_OK(store_->Checkpoint());
      }
      if (HasFatalFailure()) return;
    }
    if (random_.OneIn(2)) Verify();
    if (HasFatalFailure()) return;
    if (random_.OneIn(2)) {
      CloseAndCheck();
    } else {
      Crash();
    }
    if (HasFatalFailure()) return;
    Verify();
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(refused_, 20u) << "the draw was of no use";
  EXPECT_GT(cut_short_, 5u) << "the draw was of no use";
  EXPECT_GT(entries_checked_, 1000u) << "the draw was of no use";
}

}  // namespace
}  // namespace tailrace::test
