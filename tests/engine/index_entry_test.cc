// Entries of indexes: their keys and ranges, what is projected, and what changes of items do.
#include "engine/index_entry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "engine/item_codec.h"
#include "engine/limits.h"
#include "tests/engine/random_items.h"
#include "tests/support/expect_ok.h"
#include "tests/support/seed.h"

namespace tailrace::test {
namespace {

using engine::ChangesOfEntries;
using engine::EntryChange;
using engine::EntryOf;

const KeySchema kTableKeys{{"id", ScalarType::kS}, KeyAttribute{"at", ScalarType::kN}};

// Made as the fold makes them, so that what is derived is there.
engine::Table MakeTable(const KeySchema& keys, const std::vector<IndexSpec>& indexes) {
  frames::Catalogue frame;
  auto& created = *frame.add_changes()->mutable_create_table();
  created.set_id(1);
  created.set_name("Table");
  *created.mutable_keys() = engine::ToProto(keys);
  uint64_t id = 1;
  for (const IndexSpec& index : indexes) {
    *frame.add_changes()->mutable_create_index()->mutable_spec() =
        engine::ToProto(index, TableId{++id}, TableId{1}, 0);
  }
  engine::Catalogue catalogue;
  EXPECT_OK(catalogue.Apply(frame, Lsn{100}, Lsn{200}));
  return *catalogue.Find("Table");
}

std::optional<std::string> Encoded(const std::optional<Item>& item) {
  return item ? std::optional(EncodeItem(*item)) : std::nullopt;
}

std::string KeyOf(const Item& item) { return EncodeKeyOfItem(kTableKeys, item).value(); }

TEST(IndexEntryTest, AnItemIsInAnIndexIfItHasItsKey) {
  const engine::Table table = MakeTable(
      kTableKeys, {{"by_user", {{"user", ScalarType::kS}, KeyAttribute{"n", ScalarType::kN}}}});
  const engine::Index& index = table.indexes[0];
  const auto in_index = [&](Item item) {
    item.Set("id", Value::S("a")).Set("at", Value::N(1));
    return EntryOf(index, KeyOf(item), EncodeItem(item)).has_value();
  };
  const std::string longest(kPartitionKeyBytesMax, 'x');
  EXPECT_TRUE(in_index({{"user", Value::S("u")}, {"n", Value::N(0)}}));
  EXPECT_TRUE(in_index({{"user", Value::S(longest)}, {"n", Value::N(0)}}));
  EXPECT_FALSE(in_index({{"user", Value::S("u")}}));
  EXPECT_FALSE(in_index({{"n", Value::N(0)}}));
  EXPECT_FALSE(in_index({}));
  EXPECT_FALSE(in_index({{"user", Value::S("")}, {"n", Value::N(0)}}));
  EXPECT_FALSE(in_index({{"user", Value::S(longest + "x")}, {"n", Value::N(0)}}));
  EXPECT_FALSE(in_index({{"user", Value::B("u")}, {"n", Value::N(0)}}));
  EXPECT_FALSE(in_index({{"user", Value::S("u")}, {"n", Value::S("0")}}));
  EXPECT_FALSE(in_index({{"user", Value::M({{"user", Value::S("u")}})}, {"n", Value::N(0)}}));
  EXPECT_FALSE(in_index({{"user", Value::Bool(true)}, {"n", Value::Null()}}));
}

TEST(IndexEntryTest, WritersAreRefusedInTheServicesWords) {
  const engine::Table table = MakeTable(
      kTableKeys, {{"by_user", {{"user", ScalarType::kS}, KeyAttribute{"tag", ScalarType::kB}}}});
  const auto words = [&](const Item& item) {
    const Status status = engine::CheckIndexKeys(table.indexes[0], EncodeItem(item));
    EXPECT_TRUE(status.ok() || status.code() == StatusCode::kInvalidArgument);
    return status.message();
  };
  EXPECT_EQ(words({}), "");
  EXPECT_EQ(words({{"user", Value::S("u")}}), "");
  EXPECT_EQ(words({{"user", Value::S("u")}, {"tag", Value::B("b")}}), "");
  EXPECT_EQ(words({{"user", Value::N(1)}}),
            "One or more parameter values were invalid: Type mismatch for Index Key user Expected: "
            "S Actual: N IndexName: by_user");
  EXPECT_EQ(words({{"tag", Value::Null()}}),
            "One or more parameter values were invalid: Type mismatch for Index Key tag Expected: "
            "B Actual: NULL IndexName: by_user");
  EXPECT_EQ(words({{"tag", Value::SS({"a"}).value()}}),
            "One or more parameter values were invalid: Type mismatch for Index Key tag Expected: "
            "B Actual: SS IndexName: by_user");
  EXPECT_EQ(words({{"user", Value::S("")}}),
            "One or more parameter values are not valid. A value specified for a secondary index "
            "key is not supported. The AttributeValue for a key attribute cannot contain an empty "
            "string value. IndexName: by_user, IndexKey: user");
  EXPECT_EQ(words({{"tag", Value::B("")}}),
            "One or more parameter values are not valid. A value specified for a secondary index "
            "key is not supported. The AttributeValue for a key attribute cannot contain an empty "
            "binary value. IndexName: by_user, IndexKey: tag");
  EXPECT_NE(words({{"user", Value::S(std::string(kPartitionKeyBytesMax + 1, 'x'))}}), "");
  EXPECT_NE(words({{"tag", Value::B(std::string(kSortKeyBytesMax + 1, 'x'))}}), "");
  EXPECT_EQ(words({{"tag", Value::B(std::string(kSortKeyBytesMax, 'x'))}}), "");
}

// ---- Keys and ranges ----

struct Drawn {
  Item item;
  std::string key;  // Of its entry.
};

// Few partitions and sort keys, among them such as begin others or hold zero bytes.
Value DrawKey(Random& random, ScalarType type) {
  const std::string text = std::string(random.Below(3), 'a') + std::string(random.Below(3), '\0') +
                           std::string(random.Below(2), '\x01');
  switch (type) {
    case ScalarType::kN:
      return Value::N(static_cast<int64_t>(random.Below(7)) - 3);
    case ScalarType::kS:
      return Value::S(text.empty() ? "b" : text);
    case ScalarType::kB:
      return Value::B(random.OneIn(4) ? "\xff" + text : text.empty() ? "b" : text);
  }
  return Value::Null();
}

// The bytes or the number that order such values.
std::strong_ordering Compare(const Value& a, const Value& b) {
  if (a.number() != nullptr) return *a.number() <=> *b.number();
  const std::string& left = a.string() != nullptr ? *a.string() : a.binary()->bytes;
  const std::string& right = b.string() != nullptr ? *b.string() : b.binary()->bytes;
  return left.compare(right) <=> 0;
}

bool BeginsWith(const Value& value, const Value& prefix) {
  return value.string() != nullptr ? value.string()->starts_with(*prefix.string())
                                   : value.binary()->bytes.starts_with(prefix.binary()->bytes);
}

bool Meets(const Value& sort, const SortCondition& condition) {
  using Kind = SortCondition::Kind;
  switch (condition.kind) {
    case Kind::kAny:
      return true;
    case Kind::kEqual:
      return Compare(sort, *condition.value) == 0;
    case Kind::kLess:
      return Compare(sort, *condition.value) < 0;
    case Kind::kLessOrEqual:
      return Compare(sort, *condition.value) <= 0;
    case Kind::kGreater:
      return Compare(sort, *condition.value) > 0;
    case Kind::kGreaterOrEqual:
      return Compare(sort, *condition.value) >= 0;
    case Kind::kBetween:
      return Compare(sort, *condition.value) >= 0 && Compare(sort, *condition.upper) <= 0;
    case Kind::kBeginsWith:
      return BeginsWith(sort, *condition.value);
  }
  return false;
}

SortCondition DrawCondition(Random& random, ScalarType type) {
  using Kind = SortCondition::Kind;
  constexpr Kind kKinds[] = {Kind::kAny,         Kind::kEqual,     Kind::kLess,
                             Kind::kLessOrEqual, Kind::kGreater,   Kind::kGreaterOrEqual,
                             Kind::kBetween,     Kind::kBeginsWith};
  SortCondition condition;
  do {
    condition.kind = kKinds[random.Below(std::size(kKinds))];
  } while (condition.kind == Kind::kBeginsWith && type == ScalarType::kN);
  if (condition.kind == Kind::kAny) return condition;
  condition.value = DrawKey(random, type);
  if (condition.kind != Kind::kBetween) return condition;
  condition.upper = DrawKey(random, type);
  if (Compare(*condition.upper, *condition.value) < 0) std::swap(condition.upper, condition.value);
  return condition;
}

class EntryKeyTest : public ::testing::Test {
 protected:
  void Draw(ScalarType partition, ScalarType sort) {
    keys_ = {{"p", partition}, KeyAttribute{"s", sort}};
    table_ = MakeTable(kTableKeys, {{"index", keys_}});
    drawn_.clear();
    for (int i = 0; i < 150; ++i) {
      Drawn drawn;
      drawn.item = Item{{"id", DrawKey(random_, ScalarType::kS)},
                        {"at", Value::N(random_.Below(5))},
                        {"p", DrawKey(random_, partition)},
                        {"s", DrawKey(random_, sort)}};
      const auto entry = EntryOf(table_.indexes[0], KeyOf(drawn.item), EncodeItem(drawn.item));
      ASSERT_TRUE(entry.has_value());
      drawn.key = entry->key;
      drawn_.push_back(std::move(drawn));
    }
  }

  Random random_{TestSeed()};
  KeySchema keys_;
  engine::Table table_;
  std::vector<Drawn> drawn_;
};

TEST_F(EntryKeyTest, AreOfTheItemOrderedByTheSortKeyAndToldApartByTheItemsOwn) {
  for (const ScalarType partition : {ScalarType::kS, ScalarType::kN, ScalarType::kB}) {
    for (const ScalarType sort : {ScalarType::kS, ScalarType::kN, ScalarType::kB}) {
      Draw(partition, sort);
      for (const Drawn& one : drawn_) {
        const auto key = EncodeEntryKey(keys_, kTableKeys, one.item);
        ASSERT_OK(key);
        ASSERT_EQ(*key, one.key);
        for (const Drawn& other : drawn_) {
          if (*one.item.Get("p") != *other.item.Get("p")) continue;
          const auto by_sort = Compare(*one.item.Get("s"), *other.item.Get("s"));
          if (by_sort != 0) {
            ASSERT_EQ(one.key < other.key, by_sort < 0);
          } else {
            ASSERT_EQ(one.key == other.key, KeyOf(one.item) == KeyOf(other.item));
          }
        }
      }
    }
  }
}

TEST_F(EntryKeyTest, RangesHoldWhatMeetsTheCondition) {
  size_t within = 0;
  for (const ScalarType sort : {ScalarType::kS, ScalarType::kN, ScalarType::kB}) {
    Draw(ScalarType::kN, sort);
    for (int i = 0; i < 300; ++i) {
      const Value partition = DrawKey(random_, ScalarType::kN);
      const SortCondition condition = DrawCondition(random_, sort);
      const auto range = EntryRange(keys_, partition, condition);
      ASSERT_OK(range);
      for (const Drawn& drawn : drawn_) {
        const bool expected =
            *drawn.item.Get("p") == partition && Meets(*drawn.item.Get("s"), condition);
        ASSERT_EQ(!range->empty() && range->Contains(drawn.key), expected)
            << "condition " << static_cast<int>(condition.kind) << " " << Hex(drawn.key);
        within += expected;
      }
    }
  }
  EXPECT_GT(within, 1000u) << "the draw was of no use";
}

TEST_F(EntryKeyTest, OtherAttributesThanTheKeysAreRefused) {
  Draw(ScalarType::kS, ScalarType::kN);
  Item key = drawn_[0].item;
  EXPECT_OK(EncodeEntryKey(keys_, kTableKeys, key));
  key.Set("more", Value::N(1));
  EXPECT_EQ(EncodeEntryKey(keys_, kTableKeys, key).status().code(), StatusCode::kInvalidArgument);
  for (const char* name : {"id", "at", "p", "s"}) {
    Item less = drawn_[0].item;
    less.Remove(name);
    EXPECT_EQ(EncodeEntryKey(keys_, kTableKeys, less).status().code(),
              StatusCode::kInvalidArgument);
  }
}

TEST(SegmentRangeTest, SegmentsTileTheHashes) {
  for (const uint32_t total : {1u, 2u, 3u, 7u, 256u, 1'000'000u}) {
    EXPECT_EQ(SegmentRange(0, total).lower, "");
    EXPECT_EQ(SegmentRange(total - 1, total).upper, "");
    for (uint32_t i = 1; i < std::min(total, 1000u); ++i) {
      ASSERT_EQ(SegmentRange(i, total).lower, SegmentRange(i - 1, total).upper);
      ASSERT_EQ(SegmentRange(i, total).lower.size(), 8u);
    }
  }
  EXPECT_EQ(SegmentRange(1, 2).lower, std::string("\x80\0\0\0\0\0\0\0", 8));
}

// ---- What changes ----

std::vector<IndexSpec> SomeIndexes() {
  return {{"all", {{"user", ScalarType::kS}}},
          {.name = "keys",
           .keys = {{"n", ScalarType::kN}, KeyAttribute{"user", ScalarType::kS}},
           .projection = Projection::kKeysOnly},
          {.name = "local",
           .keys = {{"id", ScalarType::kS}, KeyAttribute{"n", ScalarType::kN}},
           .local = true,
           .projection = Projection::kInclude,
           .included = {"text", "absent"}}};
}

TEST(EntryChangeTest, EntriesHoldWhatIsProjected) {
  const engine::Table table = MakeTable(kTableKeys, SomeIndexes());
  const Item keys{{"id", Value::S("a")}, {"at", Value::N(1)}, {"n", Value::N(2)}};
  Item item = keys;
  item.Set("user", Value::S("u")).Set("text", Value::L({Value::S("t")})).Set("zzz", Value::N(9));
  const auto changes = ChangesOfEntries(table, KeyOf(item), std::nullopt, EncodeItem(item));
  ASSERT_OK(changes);
  ASSERT_EQ(changes->size(), 3u);
  for (const EntryChange& change : *changes) {
    EXPECT_FALSE(change.removed.has_value());
    EXPECT_TRUE(change.put.has_value());
  }
  EXPECT_FALSE((*changes)[0].image.has_value()) << "the new image is the entry";
  Item expected = keys;
  expected.Set("user", Value::S("u"));
  EXPECT_EQ(DecodeItem(*(*changes)[1].image).value(), expected);
  expected = keys;
  expected.Set("text", Value::L({Value::S("t")}));
  EXPECT_EQ(DecodeItem(*(*changes)[2].image).value(), expected);
}

TEST(EntryChangeTest, OnlyWhatChangesIsSaid) {
  const engine::Table table = MakeTable(kTableKeys, SomeIndexes());
  const Item before{{"id", Value::S("a")},
                    {"at", Value::N(1)},
                    {"n", Value::N(2)},
                    {"user", Value::S("u")},
                    {"other", Value::N(1)}};
  const std::string key = KeyOf(before);
  const auto changes = [&](const Item& after) {
    return ChangesOfEntries(table, key, EncodeItem(before), EncodeItem(after)).value();
  };
  Item after = before;
  after.Set("other", Value::N(2));
  ASSERT_EQ(changes(after).size(), 1u) << "in no entry but that of the whole item";
  EXPECT_EQ(changes(after)[0].index, table.indexes[0].id);
  EXPECT_FALSE(changes(after)[0].removed.has_value());

  after = before;
  after.Set("text", Value::S("t"));
  EXPECT_EQ(changes(after).size(), 2u);

  after = before;
  after.Set("user", Value::S("v"));
  ASSERT_EQ(changes(after).size(), 2u);
  for (const EntryChange& change : changes(after)) {
    EXPECT_TRUE(change.removed && change.put && change.removed != change.put);
  }

  after = before;
  after.Remove("n");
  ASSERT_EQ(changes(after).size(), 3u);
  EXPECT_TRUE(changes(after)[0].put && !changes(after)[0].removed);
  for (const size_t i : {1u, 2u}) EXPECT_TRUE(changes(after)[i].removed && !changes(after)[i].put);

  after.Set("n", Value::S("not a number"));
  EXPECT_EQ(ChangesOfEntries(table, key, EncodeItem(before), EncodeItem(after)).status().code(),
            StatusCode::kInvalidArgument);
}

// A random walk over an item's states: the entries that changes leave are those of the last state.
TEST(EntryChangeTest, ChangesAddUpToTheEntriesOfTheLastState) {
  Random random(TestSeed());
  const engine::Table table = MakeTable(kTableKeys, SomeIndexes());
  for (int walk = 0; walk < 50; ++walk) {
    std::map<std::pair<TableId, std::string>, std::string> entries;
    std::optional<Item> item;
    const Item key{{"id", Value::S("a")}, {"at", Value::N(walk)}};
    for (int step = 0; step < 40; ++step) {
      std::optional<Item> next;
      if (!random.OneIn(5)) {
        next = key;
        if (!random.OneIn(3)) next->Set("user", DrawKey(random, ScalarType::kS));
        if (!random.OneIn(3)) next->Set("n", DrawKey(random, ScalarType::kN));
        if (!random.OneIn(3)) next->Set("text", RandomValue(random, 2));
        if (!random.OneIn(3)) next->Set("other", RandomValue(random, 2));
      }
      const auto changes = ChangesOfEntries(table, KeyOf(key), Encoded(item), Encoded(next));
      ASSERT_OK(changes);
      item = next;
      for (const EntryChange& change : *changes) {
        if (change.removed) {
          ASSERT_EQ(entries.erase({change.index, *change.removed}), 1u);
        }
        if (change.put) {
          entries[{change.index, *change.put}] = change.image ? *change.image : *Encoded(item);
        }
      }
      std::map<std::pair<TableId, std::string>, std::string> expected;
      for (const engine::Index& index : table.indexes) {
        if (!item) continue;
        if (const auto entry = EntryOf(index, KeyOf(key), *Encoded(item))) {
          expected[{index.id, entry->key}] = entry->image ? *entry->image : *Encoded(item);
        }
      }
      ASSERT_EQ(entries, expected);
    }
  }
}

TEST(EntryChangeTest, AnyBytesAreSafe) {
  Random random(TestSeed());
  const engine::Table table = MakeTable(kTableKeys, SomeIndexes());
  const Item item{{"id", Value::S("a")},
                  {"at", Value::N(1)},
                  {"n", Value::N(2)},
                  {"user", Value::S("u")},
                  {"text", Value::M({{"a", Value::Bool(true)}})}};
  for (int i = 0; i < 5000; ++i) {
    const std::string bad = Mutated(random, EncodeItem(item));
    for (const engine::Index& index : table.indexes) (void)EntryOf(index, KeyOf(item), bad);
  }
}

// ---- What the journal may say ----

frames::CatalogueChange Create(uint64_t id, uint64_t table, const IndexSpec& index) {
  frames::CatalogueChange change;
  *change.mutable_create_index()->mutable_spec() =
      engine::ToProto(index, TableId{id}, TableId{table}, 5);
  return change;
}
frames::CatalogueChange Drop(uint64_t id) {
  frames::CatalogueChange change;
  change.mutable_drop_index()->set_index(id);
  return change;
}
frames::CatalogueChange Activate(uint64_t id) {
  frames::CatalogueChange change;
  change.mutable_activate_index()->set_index(id);
  return change;
}
frames::CatalogueChange DropTable(uint64_t id) {
  frames::CatalogueChange change;
  change.mutable_drop_table()->set_table(id);
  return change;
}

class IndexCatalogueTest : public ::testing::Test {
 protected:
  void SetUp() override {
    frames::CatalogueChange create;
    create.mutable_create_table()->set_id(1);
    create.mutable_create_table()->set_name("Table");
    *create.mutable_create_table()->mutable_keys() = engine::ToProto(kTableKeys);
    ASSERT_OK(Apply(create));
  }

  // On a copy that stays only if all is well, as a refused catalogue is of no more use.
  Status Apply(const frames::CatalogueChange& change) {
    frames::Catalogue frame;
    *frame.add_changes() = change;
    engine::Catalogue next = catalogue_;
    const Status applied = next.Apply(frame, Lsn{100}, Lsn{200});
    if (applied.ok()) catalogue_ = next;
    return applied;
  }

  engine::Catalogue catalogue_;
};

TEST_F(IndexCatalogueTest, IndexesComeAreFilledAndGo) {
  const IndexSpec index = SomeIndexes()[2];
  ASSERT_OK(Apply(Create(2, 1, index)));
  EXPECT_EQ(catalogue_.next_table(), TableId{3});
  EXPECT_TRUE(catalogue_.Holds(TableId{2}));
  EXPECT_EQ(catalogue_.Find(TableId{2}), nullptr) << "it is no table";
  EXPECT_EQ(catalogue_.FindIndex(TableId{2}).second->state, IndexState::kBackfilling);
  ASSERT_OK(Apply(Activate(2)));
  const auto again = engine::Catalogue::FromProto(catalogue_.ToProto());
  ASSERT_OK(again);
  const auto& [table, found] = again->FindIndex(TableId{2});
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(table->name, "Table");
  EXPECT_EQ(found->spec, index);
  EXPECT_EQ(found->state, IndexState::kActive);
  EXPECT_EQ(found->created_ms, 5u);
  EXPECT_EQ(found->projected, catalogue_.FindIndex(TableId{2}).second->projected);
  EXPECT_EQ(again->next_table(), TableId{3});
  ASSERT_OK(Apply(Drop(2)));
  EXPECT_FALSE(catalogue_.Holds(TableId{2}));
  EXPECT_EQ(catalogue_.next_table(), TableId{3}) << "a number is never used again";
}

TEST_F(IndexCatalogueTest, WhatDoesNotFitIsCorruption) {
  const IndexSpec index = SomeIndexes()[0];
  const auto code = [&](const frames::CatalogueChange& change) { return Apply(change).code(); };
  EXPECT_EQ(code(Create(2, 9, index)), StatusCode::kCorruption) << "of no table";
  EXPECT_EQ(code(Create(1, 1, index)), StatusCode::kCorruption) << "a table's number";
  EXPECT_EQ(code(Create(0, 1, index)), StatusCode::kCorruption);
  EXPECT_EQ(code(Drop(2)), StatusCode::kCorruption);
  EXPECT_EQ(code(Activate(2)), StatusCode::kCorruption);
  ASSERT_OK(Apply(Create(2, 1, index)));
  EXPECT_EQ(code(Create(3, 1, index)), StatusCode::kCorruption) << "the name is taken";
  EXPECT_EQ(code(Create(2, 1, SomeIndexes()[1])), StatusCode::kCorruption);
  ASSERT_OK(Apply(Activate(2)));
  EXPECT_EQ(code(Activate(2)), StatusCode::kCorruption);
  frames::CatalogueChange unknown = Create(4, 1, SomeIndexes()[1]);
  unknown.mutable_create_index()->mutable_spec()->set_projection(frames::PROJECTION_UNKNOWN);
  EXPECT_EQ(code(unknown), StatusCode::kUnsupported);
  ASSERT_OK(Apply(DropTable(1)));
  EXPECT_FALSE(catalogue_.Holds(TableId{2})) << "a table's indexes go with it";
  EXPECT_EQ(code(Drop(2)), StatusCode::kCorruption);
}

// ---- What indexes a table may have ----

TEST(ValidateIndexesTest, NamesWhatIsWrong) {
  const auto refused = [](const KeySchema& table, const std::vector<IndexSpec>& indexes) {
    const Status status = ValidateIndexes(table, indexes);
    EXPECT_TRUE(status.ok() || status.code() == StatusCode::kInvalidArgument);
    return !status.ok();
  };
  const IndexSpec good{"good", {{"user", ScalarType::kS}}};
  const IndexSpec local{.name = "local",
                        .keys = {{"id", ScalarType::kS}, KeyAttribute{"n", ScalarType::kN}},
                        .local = true};
  EXPECT_FALSE(refused(kTableKeys, {good, local}));
  EXPECT_TRUE(refused(kTableKeys, {good, good}));
  IndexSpec bad = good;
  bad.name = "x";
  EXPECT_TRUE(refused(kTableKeys, {bad}));
  bad = good;
  bad.keys.partition.type = ScalarType::kN;
  bad.name = "other";
  EXPECT_TRUE(refused(kTableKeys, {good, bad})) << "one attribute of two types";
  bad = good;
  bad.keys = {{"at", ScalarType::kS}};
  EXPECT_TRUE(refused(kTableKeys, {bad})) << "it is a number in the table's key";
  EXPECT_TRUE(refused({{"id", ScalarType::kS}}, {local})) << "a table without a sort key";
  bad = local;
  bad.keys.partition.name = "user";
  EXPECT_TRUE(refused(kTableKeys, {bad}));
  bad = local;
  bad.keys.sort = kTableKeys.sort;
  EXPECT_TRUE(refused(kTableKeys, {bad}));
  bad = local;
  bad.keys.sort.reset();
  EXPECT_TRUE(refused(kTableKeys, {bad}));
  bad = good;
  bad.included = {"a"};
  EXPECT_TRUE(refused(kTableKeys, {bad})) << "ALL includes nothing besides";
  bad.projection = Projection::kInclude;
  EXPECT_FALSE(refused(kTableKeys, {bad}));
  bad.included = {"a", "a"};
  EXPECT_TRUE(refused(kTableKeys, {bad}));
  bad.included.clear();
  EXPECT_TRUE(refused(kTableKeys, {bad}));
  for (size_t i = 0; i <= kIndexAttributesMax; ++i) bad.included.push_back("a" + std::to_string(i));
  EXPECT_TRUE(refused(kTableKeys, {bad}));
}

TEST(ValidateIndexesTest, KeepsTheLimits) {
  const auto many = [](size_t count, bool local, size_t included) {
    std::vector<IndexSpec> indexes;
    for (size_t i = 0; i < count; ++i) {
      IndexSpec index{"index" + std::to_string(i), {{"id", ScalarType::kS}}, local};
      index.keys.sort = KeyAttribute{"sort" + std::to_string(i), ScalarType::kN};
      for (size_t n = 0; n < included; ++n) index.included.push_back("a" + std::to_string(n));
      if (included > 0) index.projection = Projection::kInclude;
      indexes.push_back(index);
    }
    return ValidateIndexes(kTableKeys, indexes).code();
  };
  EXPECT_EQ(many(kGlobalIndexesMax, false, 0), StatusCode::kOk);
  EXPECT_EQ(many(kGlobalIndexesMax + 1, false, 0), StatusCode::kInvalidArgument);
  EXPECT_EQ(many(kLocalIndexesMax, true, 0), StatusCode::kOk);
  EXPECT_EQ(many(kLocalIndexesMax + 1, true, 0), StatusCode::kInvalidArgument);
  EXPECT_EQ(many(5, false, kIndexAttributesMax), StatusCode::kOk);
  EXPECT_EQ(many(6, false, kIndexAttributesMax), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tailrace::test
