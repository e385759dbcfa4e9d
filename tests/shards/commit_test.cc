#include "shards/commit.h"

#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "shards/frames.pb.h"
#include "tests/support/expect_ok.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "tests/support/test_paths.h"

namespace tailrace::shards {
namespace {

using tailrace::test::Random;

void FillDelta(Random& random, const frames::Change& change, frames::IndexDelta& delta) {
  delta.set_index(random.Between(1, UINT64_MAX - 1));
  if (random.OneIn(2)) delta.set_removed(random.Bytes(random.Between(8, 40)));
  if (delta.has_removed() && random.OneIn(2)) return;
  delta.set_put(random.Bytes(random.Between(8, 40)));
  if (!change.has_new_image() || random.OneIn(2)) delta.set_image(random.Bytes(random.Below(100)));
}

void FillChange(Random& random, frames::Change& change) {
  change.set_table(random.Between(1, UINT64_MAX - 1));
  change.set_key(random.Bytes(random.Between(8, 40)));
  change.set_existed(random.OneIn(2));
  if (!change.existed() || random.OneIn(2)) change.set_new_image(random.Bytes(random.Below(300)));
  if (change.existed()) {
    change.set_stream(random.OneIn(2) ? random.Below(1000) : 0);
    if (change.stream() != 0 || random.OneIn(2)) change.set_old_image(random.Bytes(200));
  }
  change.set_actor(random.OneIn(3) ? frames::TIME_TO_LIVE : frames::USER);
  for (uint64_t n = random.Below(3); n > 0; --n) FillDelta(random, change, *change.add_deltas());
}

frames::Commit RandomMessage(Random& random) {
  frames::Commit message;
  const bool token = random.OneIn(3);
  for (uint64_t n = random.Between(token ? 0 : 1, 5); n > 0; --n) {
    FillChange(random, *message.add_changes());
  }
  if (token) {
    FillChange(random, *message.mutable_token());
    message.mutable_token()->clear_stream();
  }
  message.set_wall_ms(random.OneIn(5) ? 0 : random.Next() >> random.Below(60));
  message.set_age_ms(random.OneIn(5) ? 0 : random.Next() >> random.Below(60));
  return message;
}

void ExpectSameDelta(const IndexDelta& delta, const frames::IndexDelta& expected) {
  EXPECT_EQ(delta.index.value, expected.index());
  EXPECT_EQ(delta.removed.has_value(), expected.has_removed());
  EXPECT_EQ(delta.removed.value_or(""), expected.removed());
  EXPECT_EQ(delta.put.has_value(), expected.has_put());
  EXPECT_EQ(delta.put.value_or(""), expected.put());
  EXPECT_EQ(delta.image.has_value(), expected.has_image());
  EXPECT_EQ(delta.image.value_or(""), expected.image());
}

void ExpectSameChange(const Change& change, const frames::Change& expected) {
  EXPECT_EQ(change.table.value, expected.table());
  EXPECT_EQ(change.key, expected.key());
  EXPECT_EQ(change.existed, expected.existed());
  EXPECT_EQ(change.stream.value, expected.stream());
  EXPECT_EQ(static_cast<int>(change.actor), static_cast<int>(expected.actor()));
  EXPECT_EQ(change.new_image.has_value(), expected.has_new_image());
  EXPECT_EQ(change.new_image.value_or(""), expected.new_image());
  EXPECT_EQ(change.old_image.has_value(), expected.has_old_image());
  EXPECT_EQ(change.old_image.value_or(""), expected.old_image());
  ASSERT_EQ(change.deltas.size(), static_cast<size_t>(expected.deltas_size()));
  for (int i = 0; i < expected.deltas_size(); ++i) {
    ExpectSameDelta(change.deltas[static_cast<size_t>(i)], expected.deltas(i));
  }
}

void ExpectSame(const Commit& commit, const frames::Commit& message) {
  EXPECT_EQ(commit.wall_ms, message.wall_ms());
  EXPECT_EQ(commit.age_ms, message.age_ms());
  ASSERT_EQ(commit.changes.size(), static_cast<size_t>(message.changes_size()));
  for (int i = 0; i < message.changes_size(); ++i) {
    ExpectSameChange(commit.changes[static_cast<size_t>(i)], message.changes(i));
  }
  ASSERT_EQ(commit.token.has_value(), message.has_token());
  if (commit.token) ExpectSameChange(*commit.token, message.token());
}

TEST(CommitTest, BytesAreThoseOfTheGeneratedClassBothWays) {
  Random random(tailrace::test::TestSeed());
  for (int i = 0; i < 3000; ++i) {
    const frames::Commit message = RandomMessage(random);
    const std::string generated = message.SerializeAsString();
    const auto decoded = DecodeCommit(generated);
    ASSERT_OK(decoded);
    ExpectSame(*decoded, message);
    EXPECT_EQ(EncodeCommit(*decoded), generated);
  }
}

TEST(CommitTest, ViewsPointIntoTheFrame) {
  Commit commit;
  commit.changes.push_back({.table = TableId{1},
                            .key = "12345678key",
                            .new_image = "image",
                            .existed = false,
                            .old_image = std::nullopt,
                            .stream = {}});
  const std::string payload = EncodeCommit(commit);
  const auto decoded = DecodeCommit(payload);
  ASSERT_OK(decoded);
  const char* const image = decoded->changes[0].new_image->data();
  EXPECT_TRUE(image >= payload.data() && image + 5 <= payload.data() + payload.size());
}

TEST(CommitTest, KindsAndHash) {
  Change change{.table = TableId{1},
                .key = ByteView("\x01\x02\x03\x04\x05\x06\x07\x08rest", 12),
                .new_image = "n",
                .existed = false,
                .old_image = std::nullopt,
                .stream = {}};
  EXPECT_EQ(change.kind(), ChangeKind::kInsert);
  EXPECT_EQ(change.partition_hash(), 0x0102030405060708u);
  change.existed = true;
  EXPECT_EQ(change.kind(), ChangeKind::kModify);
  change.new_image.reset();
  EXPECT_EQ(change.kind(), ChangeKind::kRemove);
}

void FillToken(frames::Commit& message) {
  message.mutable_token()->set_table(2);
  message.mutable_token()->set_key("12345678");
  message.mutable_token()->set_new_image("t");
}

std::string Hex(ByteView bytes) {
  std::string hex;
  for (const char byte : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex += kDigits[static_cast<unsigned char>(byte) >> 4];
    hex += kDigits[static_cast<unsigned char>(byte) & 0xf];
  }
  return hex;
}

// The hex digits of a golden file.
std::string ReadGolden(const std::string& name) {
  std::ifstream file(SourcePath("tests/golden/" + name));
  std::string golden;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    for (std::string word; words >> word;) golden += word;
  }
  return golden;
}

TEST(CommitTest, TheGoldenDeltasHaveTheDocumentedBytes) {
  const std::string golden = ReadGolden("commit_deltas.hex");
  Commit commit;
  Change& change = commit.changes.emplace_back();
  change.table = TableId{1};
  change.key = "12345678";
  change.new_image = "new";
  change.existed = true;
  change.deltas.push_back({TableId{2}, "entry1\x01\x02", "entry2\x01\x02", std::nullopt});
  change.deltas.push_back({TableId{3}, std::nullopt, "entry3\x01\x02", "n"});
  change.deltas.push_back({TableId{300}, "entry4\x01\x02", std::nullopt, std::nullopt});
  commit.wall_ms = 1;
  commit.age_ms = 2;
  const std::string payload = EncodeCommit(commit);
  EXPECT_EQ(Hex(payload), golden);
  const auto decoded = DecodeCommit(payload);
  ASSERT_OK(decoded);
  EXPECT_EQ(Hex(EncodeCommit(*decoded)), golden);
}

TEST(CommitTest, TheGoldenTransactionHasTheDocumentedBytes) {
  const std::string golden = ReadGolden("commit.hex");
  Commit commit;
  commit.changes.push_back({.table = TableId{1},
                            .key = ByteView("\x01\x02\x03\x04\x05\x06\x07\x08\x02", 9),
                            .new_image = "new",
                            .existed = true,
                            .old_image = "old",
                            .stream = StreamId{2}});
  commit.changes.push_back({.table = TableId{5},
                            .key = "\x11\x12\x13\x14\x15\x16\x17\x18",
                            .new_image = std::nullopt,
                            .existed = true,
                            .old_image = std::nullopt,
                            .stream = {},
                            .actor = Actor::kTimeToLive});
  commit.wall_ms = 300;
  commit.age_ms = 5;
  commit.token = {.table = TableId{7},
                  .key = "tokenkey",
                  .new_image = "t",
                  .existed = false,
                  .old_image = std::nullopt,
                  .stream = {}};
  const std::string payload = EncodeCommit(commit);
  EXPECT_EQ(Hex(payload), golden);
  const auto decoded = DecodeCommit(payload);
  ASSERT_OK(decoded);
  EXPECT_EQ(Hex(EncodeCommit(*decoded)), golden);
}

struct BadCommit {
  const char* what;
  void (*spoil)(frames::Commit&);
  StatusCode code;
  const char* message;
};

frames::IndexDelta& AddDelta(frames::Commit& message) {
  frames::IndexDelta& delta = *message.mutable_changes(0)->add_deltas();
  delta.set_index(9);
  delta.set_put("entrykey");
  return delta;
}

TEST(CommitTest, RefusesWhatNoWriterLeavesOut) {
  const BadCommit cases[] = {
      {"no change", [](frames::Commit& m) { m.clear_changes(); }, StatusCode::kCorruption,
       "no change"},
      {"no table", [](frames::Commit& m) { m.mutable_changes(0)->clear_table(); },
       StatusCode::kCorruption, "no table"},
      {"short key", [](frames::Commit& m) { m.mutable_changes(0)->set_key("1234567"); },
       StatusCode::kCorruption, "key is shorter"},
      {"nothing changed", [](frames::Commit& m) { m.mutable_changes(0)->clear_new_image(); },
       StatusCode::kCorruption, "nothing was changed"},
      {"old image missing",
       [](frames::Commit& m) {
         m.mutable_changes(0)->set_existed(true);
         m.mutable_changes(0)->set_stream(1);
       },
       StatusCode::kCorruption, "old image is missing"},
      {"old image of nothing", [](frames::Commit& m) { m.mutable_changes(0)->set_old_image("o"); },
       StatusCode::kCorruption, "did not exist"},
      {"actor",
       [](frames::Commit& m) { m.mutable_changes(0)->set_actor(static_cast<frames::Actor>(7)); },
       StatusCode::kCorruption, "actor"},
      {"field of a newer version",
       [](frames::Commit& m) {
         m.mutable_changes(0)
             ->GetReflection()
             ->MutableUnknownFields(m.mutable_changes(0))
             ->AddLengthDelimited(9, "something new");
       },
       StatusCode::kUnsupported, "unknown field 9"},
      {"field of a newer version in the commit",
       [](frames::Commit& m) { m.GetReflection()->MutableUnknownFields(&m)->AddVarint(5, 1); },
       StatusCode::kUnsupported, "unknown field 5"},
      {"token of another wire type",
       [](frames::Commit& m) { m.GetReflection()->MutableUnknownFields(&m)->AddVarint(4, 1); },
       StatusCode::kUnsupported, "unknown field 4"},
      {"field of a newer version in a delta",
       [](frames::Commit& m) {
         frames::IndexDelta& delta = AddDelta(m);
         delta.GetReflection()->MutableUnknownFields(&delta)->AddVarint(5, 1);
       },
       StatusCode::kUnsupported, "unknown field 5"},
      {"a delta of no index", [](frames::Commit& m) { AddDelta(m).clear_index(); },
       StatusCode::kCorruption, "no index"},
      {"a delta of nothing", [](frames::Commit& m) { AddDelta(m).clear_put(); },
       StatusCode::kCorruption, "changes no entry"},
      {"a delta's short key", [](frames::Commit& m) { AddDelta(m).set_put("1234567"); },
       StatusCode::kCorruption, "entry's key is shorter"},
      {"an image of what goes",
       [](frames::Commit& m) {
         frames::IndexDelta& delta = AddDelta(m);
         delta.set_removed(delta.put());
         delta.clear_put();
         delta.set_image("i");
       },
       StatusCode::kCorruption, "image of an entry that goes"},
      {"an entry of a deleted item",
       [](frames::Commit& m) {
         m.mutable_changes(0)->clear_new_image();
         m.mutable_changes(0)->set_existed(true);
         AddDelta(m);
       },
       StatusCode::kCorruption, "no image"},
      {"an entry twice",
       [](frames::Commit& m) {
         AddDelta(m);
         AddDelta(m);
       },
       StatusCode::kCorruption, "an item twice"},
      {"an entry put and removed",
       [](frames::Commit& m) {
         frames::IndexDelta& delta = AddDelta(m);
         delta.set_removed(delta.put());
       },
       StatusCode::kCorruption, "an item twice"},
      {"an item twice", [](frames::Commit& m) { *m.add_changes() = m.changes(0); },
       StatusCode::kCorruption, "an item twice"},
      {"an item and the token", [](frames::Commit& m) { *m.mutable_token() = m.changes(0); },
       StatusCode::kCorruption, "an item twice"},
      {"a token in a stream",
       [](frames::Commit& m) {
         FillToken(m);
         m.mutable_token()->set_stream(1);
       },
       StatusCode::kCorruption, "token goes to a stream"},
      {"two tokens",
       [](frames::Commit& m) {
         FillToken(m);
         m.GetReflection()->MutableUnknownFields(&m)->AddLengthDelimited(
             4, m.token().SerializeAsString());
       },
       StatusCode::kCorruption, "two tokens"},
      {"a token that is nothing", [](frames::Commit& m) { m.mutable_token(); },
       StatusCode::kCorruption, "no table"},
  };
  for (const BadCommit& bad : cases) {
    frames::Commit message;
    frames::Change& change = *message.add_changes();
    change.set_table(1);
    change.set_key("12345678");
    change.set_new_image("n");
    ASSERT_OK(DecodeCommit(message.SerializeAsString()));
    bad.spoil(message);
    const std::string payload = message.SerializeAsString();
    const auto decoded = DecodeCommit(payload);
    EXPECT_EQ(decoded.status().code(), bad.code) << bad.what;
    EXPECT_NE(decoded.status().message().find(bad.message), std::string::npos)
        << bad.what << ": " << decoded.status().ToString();
  }
}

// Safe means here: no read outside (the sanitizers look), and an answer of either kind.
TEST(CommitTest, AnyBytesAreSafe) {
  Random random(tailrace::test::TestSeed());
  uint64_t accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string payload = RandomMessage(random).SerializeAsString();
    for (uint64_t n = random.Between(1, 3); n > 0; --n) {
      const uint64_t at = random.Below(payload.size());
      switch (random.Below(4)) {
        case 0:
          payload[at] = static_cast<char>(random.Next());
          break;
        case 1:
          payload.resize(at + 1);
          break;
        case 2:
          payload.insert(at, random.Bytes(random.Between(1, 12)));
          break;
        case 3:
          payload[at] = static_cast<char>(payload[at] ^ (1 << random.Below(8)));
          break;
      }
    }
    const std::unique_ptr<char[]> exact(new char[payload.size()]);  // So that any overrun is seen.
    std::copy(payload.begin(), payload.end(), exact.get());
    const auto decoded = DecodeCommit(ByteView(exact.get(), payload.size()));
    if (!decoded.ok()) continue;
    ++accepted;
    // What we accept, the generated class accepts too, and sees the same.
    frames::Commit message;
    ASSERT_TRUE(message.ParseFromString(payload));
    ExpectSame(*decoded, message);
  }
  EXPECT_GT(accepted, 0u);
}

}  // namespace
}  // namespace tailrace::shards
