#include "shards/stream_catalogue.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/support/expect_ok.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"

namespace tailrace::shards {
namespace {

constexpr uint64_t kHalf = uint64_t{1} << 63;

frames::CatalogueChange Enable(uint64_t stream, uint64_t table, uint32_t shards,
                               uint64_t first_shard) {
  frames::CatalogueChange change;
  frames::StreamSpec& spec = *change.mutable_enable_stream();
  spec.set_id(stream);
  spec.set_table(table);
  spec.set_table_name("Games");
  spec.set_label("2020-05-09T00:00:00.000");
  spec.set_view(frames::NEW_IMAGE);
  spec.set_retention_ms(1000);
  for (const auto& shard : EvenShards(shards, ShardId{first_shard}, 77)) *spec.add_shards() = shard;
  return change;
}

frames::CatalogueChange Disable(uint64_t stream) {
  frames::CatalogueChange change;
  change.mutable_disable_stream()->set_stream(stream);
  return change;
}

struct Child {
  uint64_t id;
  uint64_t first;
  uint64_t last;
  std::optional<uint64_t> parent;
};

frames::CatalogueChange SealAndOpen(uint64_t stream, const std::vector<uint64_t>& parents,
                                    const std::vector<Child>& children) {
  frames::CatalogueChange change;
  change.mutable_seal_and_open()->set_stream(stream);
  for (const uint64_t parent : parents) change.mutable_seal_and_open()->add_parents(parent);
  for (const Child& child : children) {
    frames::ShardSpec& spec = *change.mutable_seal_and_open()->add_children();
    spec.set_id(child.id);
    spec.set_hash_first(child.first);
    spec.set_hash_last(child.last);
    if (child.parent) spec.set_parent(*child.parent);
  }
  return change;
}

frames::Trim Trim(uint64_t stream, uint64_t shard, uint64_t below) {
  frames::Trim trim;
  frames::ShardTrim& entry = *trim.add_trims();
  entry.set_stream(stream);
  entry.set_shard(shard);
  entry.set_below(below);
  return trim;
}

TEST(StreamCatalogueTest, EnableOpensShardsOverAllHashes) {
  StreamCatalogue catalogue;
  ASSERT_OK(catalogue.Apply(Enable(1, 5, 3, 10), Lsn{100}, 1));
  const Stream* const stream = catalogue.Find(StreamId{1});
  ASSERT_NE(stream, nullptr);
  EXPECT_TRUE(stream->enabled());
  EXPECT_EQ(stream->view, ViewType::kNewImage);
  ASSERT_EQ(stream->shards.size(), 3u);
  for (const auto& [id, shard] : stream->shards) {
    EXPECT_EQ(shard.starting, SequenceNumber{101});
    EXPECT_EQ(shard.trimmed_below, SequenceNumber{101});
    EXPECT_FALSE(shard.ending || shard.parent);
    EXPECT_EQ(catalogue.Route(StreamId{1}, shard.range.first), &shard);
    EXPECT_EQ(catalogue.Route(StreamId{1}, shard.range.last), &shard);
  }
  EXPECT_EQ(stream->shards.at(ShardId{10}).Name(), "shardId-00000000000000000077-0000000a");
  EXPECT_EQ(catalogue.Route(StreamId{2}, 0), nullptr);
}

TEST(StreamCatalogueTest, EvenShardsTileForEveryCount) {
  for (const uint32_t count : {1u, 2u, 3u, 7u, 64u, 1000u, kShardsPerStreamMax}) {
    const auto shards = EvenShards(count, ShardId{1}, 0);
    ASSERT_EQ(shards.size(), count);
    EXPECT_EQ(shards.front().hash_first(), 0u);
    EXPECT_EQ(shards.back().hash_last(), UINT64_MAX);
    for (size_t i = 1; i < shards.size(); ++i) {
      ASSERT_EQ(shards[i].hash_first(), shards[i - 1].hash_last() + 1);
    }
    StreamCatalogue catalogue;
    EXPECT_OK(catalogue.Apply(Enable(1, 1, count, 1), Lsn{100}, 0));
  }
}

TEST(StreamCatalogueTest, DisableSealsAllOpenShards) {
  StreamCatalogue catalogue;
  ASSERT_OK(catalogue.Apply(Enable(1, 5, 2, 10), Lsn{100}, 1));
  ASSERT_OK(catalogue.Apply(Disable(1), Lsn{200}, 42));
  const Stream* const stream = catalogue.Find(StreamId{1});
  ASSERT_NE(stream, nullptr);
  EXPECT_EQ(stream->disabled_at, SequenceNumber{200});
  for (const auto& [id, shard] : stream->shards) {
    EXPECT_EQ(shard.ending, SequenceNumber{200});
    EXPECT_EQ(shard.sealed_age_ms, 42u);
  }
  EXPECT_EQ(catalogue.Route(StreamId{1}, 0), nullptr);
  // The table may have another stream now.
  EXPECT_OK(catalogue.Apply(Enable(2, 5, 1, 20), Lsn{300}, 50));
}

TEST(StreamCatalogueTest, SplitRotationMerge) {
  StreamCatalogue catalogue;
  ASSERT_OK(catalogue.Apply(Enable(1, 5, 1, 1), Lsn{100}, 0));
  ASSERT_OK(catalogue.Apply(SealAndOpen(1, {1}, {{2, 0, kHalf - 1, 1}, {3, kHalf, UINT64_MAX, 1}}),
                            Lsn{200}, 7));
  const Shard* const parent = catalogue.FindShard(StreamId{1}, ShardId{1});
  EXPECT_EQ(parent->ending, SequenceNumber{200});
  EXPECT_EQ(parent->sealed_age_ms, 7u);
  EXPECT_EQ(catalogue.Route(StreamId{1}, 0)->id, ShardId{2});
  EXPECT_EQ(catalogue.Route(StreamId{1}, kHalf)->id, ShardId{3});
  EXPECT_EQ(catalogue.Route(StreamId{1}, 0)->parent, ShardId{1});
  EXPECT_EQ(catalogue.Route(StreamId{1}, 0)->starting, SequenceNumber{201});
  ASSERT_OK(catalogue.Apply(SealAndOpen(1, {2}, {{4, 0, kHalf - 1, 2}}), Lsn{300}, 8));
  EXPECT_EQ(catalogue.Route(StreamId{1}, 0)->id, ShardId{4});
  ASSERT_OK(
      catalogue.Apply(SealAndOpen(1, {4, 3}, {{5, 0, UINT64_MAX, std::nullopt}}), Lsn{400}, 9));
  EXPECT_EQ(catalogue.Route(StreamId{1}, kHalf)->id, ShardId{5});
  // A rotation and a split at once, in one frame.
  ASSERT_OK(catalogue.Apply(
      SealAndOpen(1, {5}, {{6, 0, 9, 5}, {7, 10, 99, 5}, {8, 100, UINT64_MAX, 5}}), Lsn{500}, 9));
  EXPECT_EQ(catalogue.Find(StreamId{1})->open.size(), 3u);
}

TEST(StreamCatalogueTest, TrimMovesUpAndRemovesWhatIsPassed) {
  StreamCatalogue catalogue;
  ASSERT_OK(catalogue.Apply(Enable(1, 5, 2, 1), Lsn{100}, 0));
  ASSERT_OK(catalogue.Apply(Trim(1, 1, 150)));
  EXPECT_EQ(catalogue.FindShard(StreamId{1}, ShardId{1})->trimmed_below, SequenceNumber{150});
  ASSERT_OK(catalogue.Apply(Trim(1, 1, 120)));
  EXPECT_EQ(catalogue.FindShard(StreamId{1}, ShardId{1})->trimmed_below, SequenceNumber{150});
  ASSERT_OK(catalogue.Apply(Disable(1), Lsn{200}, 0));
  // Trimmed up to the ending, which is no record's number, the shard is still there: sealed and
  // empty.
  ASSERT_OK(catalogue.Apply(Trim(1, 1, 200)));
  EXPECT_NE(catalogue.FindShard(StreamId{1}, ShardId{1}), nullptr);
  ASSERT_OK(catalogue.Apply(Trim(1, 1, 201)));
  EXPECT_EQ(catalogue.FindShard(StreamId{1}, ShardId{1}), nullptr);
  EXPECT_NE(catalogue.Find(StreamId{1}), nullptr);
  ASSERT_OK(catalogue.Apply(Trim(1, 2, 201)));
  EXPECT_EQ(catalogue.Find(StreamId{1}), nullptr);
  // Trims of what is gone pass.
  EXPECT_OK(catalogue.Apply(Trim(1, 2, 300)));
  EXPECT_OK(catalogue.Apply(Trim(9, 9, 300)));
}

TEST(StreamCatalogueTest, ChildOfATrimmedParentIsARoot) {
  StreamCatalogue catalogue;
  ASSERT_OK(catalogue.Apply(Enable(1, 5, 1, 1), Lsn{100}, 0));
  ASSERT_OK(catalogue.Apply(SealAndOpen(1, {1}, {{2, 0, UINT64_MAX, 1}}), Lsn{200}, 0));
  ASSERT_OK(catalogue.Apply(Trim(1, 1, 201)));
  EXPECT_EQ(catalogue.FindShard(StreamId{1}, ShardId{1}), nullptr);
  EXPECT_EQ(catalogue.FindShard(StreamId{1}, ShardId{2})->parent, ShardId{1});
  EXPECT_TRUE(catalogue.Find(StreamId{1})->enabled());
}

TEST(StreamCatalogueTest, ChangesOfTablesPass) {
  StreamCatalogue catalogue;
  frames::CatalogueChange change;
  change.mutable_create_table()->set_id(1);
  EXPECT_OK(catalogue.Apply(change, Lsn{100}, 0));
  change.mutable_drop_table()->set_table(1);
  EXPECT_OK(catalogue.Apply(change, Lsn{100}, 0));
}

TEST(StreamCatalogueTest, RefusalsLeaveNoTrace) {
  const auto with = [](frames::CatalogueChange change,
                       const std::function<void(frames::StreamSpec&)>& spoil) {
    spoil(*change.mutable_enable_stream());
    return change;
  };
  const struct {
    const char* what;
    frames::CatalogueChange change;
  } cases[] = {
      {"stream exists", Enable(1, 6, 1, 50)},
      {"table has an enabled stream", Enable(2, 5, 1, 50)},
      {"shard id taken", Enable(2, 6, 1, 1)},
      {"shard id of a sealed shard", Enable(2, 6, 1, 3)},
      {"no id", with(Enable(2, 6, 1, 50), [](auto& spec) { spec.set_id(0); })},
      {"no table", with(Enable(2, 6, 1, 50), [](auto& spec) { spec.set_table(0); })},
      {"no view", with(Enable(2, 6, 1, 50), [](auto& spec) { spec.clear_view(); })},
      {"unknown view", with(Enable(2, 6, 1, 50),
                            [](auto& spec) { spec.set_view(static_cast<frames::ViewType>(9)); })},
      {"no shards", with(Enable(2, 6, 1, 50), [](auto& spec) { spec.clear_shards(); })},
      {"shard 0", with(Enable(2, 6, 1, 50), [](auto& spec) { spec.mutable_shards(0)->set_id(0); })},
      {"shard twice",
       with(Enable(2, 6, 2, 50), [](auto& spec) { spec.mutable_shards(1)->set_id(50); })},
      {"first shard has a parent",
       with(Enable(2, 6, 1, 50), [](auto& spec) { spec.mutable_shards(0)->set_parent(1); })},
      {"hole", with(Enable(2, 6, 2, 50),
                    [](auto& spec) { spec.mutable_shards(1)->set_hash_first(kHalf + 1); })},
      {"overlap", with(Enable(2, 6, 2, 50),
                       [](auto& spec) { spec.mutable_shards(1)->set_hash_first(kHalf - 1); })},
      {"end missing", with(Enable(2, 6, 2, 50),
                           [](auto& spec) { spec.mutable_shards(1)->set_hash_last(kHalf + 5); })},
      {"disable an unknown stream", Disable(9)},
      {"disable a disabled stream", Disable(8)},
      {"seal in an unknown stream", SealAndOpen(9, {1}, {{50, 0, UINT64_MAX, 1}})},
      {"seal an unknown shard", SealAndOpen(1, {77}, {{50, 0, UINT64_MAX, 77}})},
      {"seal a sealed shard", SealAndOpen(1, {3}, {{50, 0, UINT64_MAX, 3}})},
      {"seal a shard twice", SealAndOpen(1, {1, 1}, {{50, 0, kHalf - 1, 1}})},
      {"seal in a disabled stream", SealAndOpen(8, {80}, {{50, 0, UINT64_MAX, 80}})},
      {"no parents", SealAndOpen(1, {}, {{50, 0, kHalf - 1, std::nullopt}})},
      {"no children", SealAndOpen(1, {1}, {})},
      {"child without a parent", SealAndOpen(1, {1}, {{50, 0, kHalf - 1, std::nullopt}})},
      {"child of another shard", SealAndOpen(1, {1}, {{50, 0, kHalf - 1, 2}})},
      {"children too narrow", SealAndOpen(1, {1}, {{50, 0, kHalf - 2, 1}})},
      {"children too wide", SealAndOpen(1, {1}, {{50, 0, kHalf, 1}})},
      {"children overlap", SealAndOpen(1, {1}, {{50, 0, 9, 1}, {51, 9, kHalf - 1, 1}})},
      {"child id taken", SealAndOpen(1, {1}, {{2, 0, kHalf - 1, 1}})},
      {"child id twice", SealAndOpen(1, {1}, {{50, 0, 9, 1}, {50, 10, kHalf - 1, 1}})},
      {"parents apart", SealAndOpen(7, {70, 72}, {{50, 0, UINT64_MAX, std::nullopt}})},
      {"a kind of change that is not known", {}},
  };
  for (const auto& test : cases) {
    StreamCatalogue catalogue;
    ASSERT_OK(catalogue.Apply(Enable(1, 5, 1, 3), Lsn{100}, 0));
    ASSERT_OK(catalogue.Apply(
        SealAndOpen(1, {3}, {{1, 0, kHalf - 1, 3}, {2, kHalf, UINT64_MAX, 3}}), Lsn{110}, 0));
    ASSERT_OK(catalogue.Apply(Enable(8, 88, 1, 80), Lsn{120}, 0));
    ASSERT_OK(catalogue.Apply(Disable(8), Lsn{130}, 0));
    ASSERT_OK(catalogue.Apply(Enable(7, 77, 3, 70), Lsn{140}, 0));
    const std::string before = catalogue.ToProto().SerializeAsString();
    const Status refused = catalogue.Apply(test.change, Lsn{200}, 5);
    EXPECT_FALSE(refused.ok()) << test.what;
    const bool is_unknown = test.change.change_case() == frames::CatalogueChange::CHANGE_NOT_SET;
    EXPECT_EQ(refused.code(), is_unknown ? StatusCode::kUnsupported : StatusCode::kCorruption)
        << test.what << ": " << refused.ToString();
    EXPECT_EQ(catalogue.ToProto().SerializeAsString(), before) << test.what;
  }
}

// A random history folded in one go equals the same history with the state saved and loaded after
// every change.
TEST(StreamCatalogueTest, StateSurvivesSavingAtEveryPoint) {
  tailrace::test::Random random(tailrace::test::TestSeed());
  for (int run = 0; run < 30; ++run) {
    StreamCatalogue straight;
    StreamCatalogue saved;
    uint64_t next_id = 1;
    uint64_t lsn = 100;
    uint64_t refused = 0;
    for (int i = 0; i < 80; ++i, lsn += 100) {
      frames::CatalogueChange change;
      const uint64_t stream = random.Between(1, 6);
      const Stream* const known = straight.Find(StreamId{stream});
      if (random.OneIn(4)) {
        change = Enable(stream, stream, static_cast<uint32_t>(random.Between(1, 4)), next_id);
        next_id += 4;
      } else if (random.OneIn(4)) {
        change = Disable(stream);
      } else if (random.OneIn(2) && known != nullptr && !known->shards.empty()) {
        auto shard = known->shards.begin();
        std::advance(shard, random.Below(known->shards.size()));
        const HashRange range = shard->second.range;
        const uint64_t middle = range.first + (range.last - range.first) / 2;
        change = SealAndOpen(stream, {shard->first.value},
                             {{next_id, range.first, middle, shard->first.value},
                              {next_id + 1, middle + 1, range.last, shard->first.value}});
        next_id += 2;
      } else {
        const frames::Trim trim = Trim(stream, random.Between(1, next_id), random.Below(lsn + 2));
        ASSERT_OK(straight.Apply(trim));
        ASSERT_OK(saved.Apply(trim));
      }
      if (change.change_case() != frames::CatalogueChange::CHANGE_NOT_SET) {
        const Status outcome = straight.Apply(change, Lsn{lsn}, lsn * 2);
        refused += outcome.ok() ? 0 : 1;
        EXPECT_EQ(saved.Apply(change, Lsn{lsn}, lsn * 2), outcome);
      }
      const frames::StreamCatalogueState state = straight.ToProto();
      ASSERT_EQ(saved.ToProto().SerializeAsString(), state.SerializeAsString());
      auto loaded = StreamCatalogue::FromProto(state);
      ASSERT_OK(loaded);
      saved = std::move(*loaded);
      for (int probe = 0; probe < 5; ++probe) {
        const uint64_t hash = random.Next();
        const Shard* const a = straight.Route(StreamId{stream}, hash);
        const Shard* const b = saved.Route(StreamId{stream}, hash);
        ASSERT_EQ(a == nullptr, b == nullptr);
        if (a != nullptr) {
          ASSERT_EQ(a->id, b->id);
        }
      }
    }
    EXPECT_GT(refused, 0u);
  }
}

TEST(StreamCatalogueTest, RefusesSavedStatesThatContradictThemselves) {
  const auto saved = [] {
    StreamCatalogue catalogue;
    EXPECT_OK(catalogue.Apply(Enable(1, 5, 2, 1), Lsn{100}, 0));
    return catalogue.ToProto();
  };
  ASSERT_OK(StreamCatalogue::FromProto(saved()));
  const std::function<void(frames::StreamCatalogueState&)> spoils[] = {
      [](auto& state) { state.mutable_streams(0)->mutable_spec()->set_id(0); },
      [](auto& state) { state.mutable_streams(0)->mutable_spec()->clear_view(); },
      [](auto& state) { *state.add_streams() = state.streams(0); },
      [](auto& state) { state.mutable_streams(0)->clear_shards(); },
      [](auto& state) { state.mutable_streams(0)->set_disabled_at(150); },
      [](auto& state) { state.mutable_streams(0)->mutable_shards(0)->set_ending(150); },
      [](auto& state) { state.mutable_streams(0)->mutable_shards(0)->set_trimmed_below(1); },
      [](auto& state) { state.mutable_streams(0)->mutable_shards(0)->mutable_spec()->set_id(2); },
      [](auto& state) {
        state.mutable_streams(0)->mutable_shards(1)->mutable_spec()->set_hash_last(5);
      },
  };
  for (const auto& spoil : spoils) {
    frames::StreamCatalogueState state = saved();
    spoil(state);
    EXPECT_EQ(StreamCatalogue::FromProto(state).status().code(), StatusCode::kCorruption)
        << state.ShortDebugString();
  }
}

}  // namespace
}  // namespace tailrace::shards
