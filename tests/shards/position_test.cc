// Positions: where each way to begin leads in each state of a shard, and the gaps that readers
// meet.
#include <gtest/gtest.h>

#include "shards/shard_set.h"
#include "tests/shards/shard_rig.h"
#include "tests/support/expect_ok.h"
#include "tests/support/sim_fs.h"

namespace tailrace::shards::test {
namespace {

using tailrace::test::SimFs;

constexpr StreamId kStream{1};
constexpr ShardId kShard{1};

std::unique_ptr<ShardSet> Fold(SimFs& fs, const TestJournal& journal,
                               const ShardSetState& state = {}, Lsn from = Lsn{0}) {
  auto set = ShardSet::Open(fs, "/streams", kStore, journal.epoch(), state, journal.jumps(), {});
  EXPECT_OK(set);
  EXPECT_OK(FoldFrom(journal, from, **set));
  return std::move(*set);
}

void CommitOne(TestJournal& journal, ByteView image = "x") {
  journal.Commit({{.stream = kStream,
                   .key = KeyOf(1),
                   .new_image = std::string(image),
                   .old_image = std::nullopt}});
}

void TrimBelow(TestJournal& journal, SequenceNumber below) {
  frames::Trim trim;
  frames::ShardTrim& entry = *trim.add_trims();
  entry.set_stream(kStream.value);
  entry.set_shard(kShard.value);
  entry.set_below(below.value);
  journal.Trim(trim);
}

// A shard in one of the states that matter, with the numbers a reader might name.
struct Scene {
  bool sealed = false;
  uint64_t records = 0;  // Five at most.
  uint64_t trimmed = 0;  // How many of them.

  SimFs fs;
  TestJournal journal;
  std::vector<SequenceNumber> numbers;  // Of the records.
  SequenceNumber starting;
  SequenceNumber ending;  // If sealed.
  std::unique_ptr<ShardSet> set;

  void Make() {
    starting = SequenceNumber{
        journal.EnableStream(kStream, TableId{1}, ViewType::kNewImage, 1, kShard).value + 1};
    journal.Clock();  // Numbers between the beginning and the first record.
    for (uint64_t i = 0; i < records; ++i) {
      CommitOne(journal);
      numbers.push_back(journal.model().at(kShard).records.back().sequence);
      journal.Clock();
    }
    if (sealed) ending = SequenceNumber{journal.DisableStream(kStream).value};
    if (trimmed > 0) TrimBelow(journal, SequenceNumber{numbers[trimmed - 1].value + 1});
    journal.Clock();
    set = Fold(fs, journal);
  }
};

struct Expected {
  bool valid = true;
  size_t first_record = 0;  // Index of the first record that reading shows.
  bool gap = false;
};

void Check(const Scene& scene, StartAt start, SequenceNumber number, const Expected& expected,
           const std::string& what) {
  const auto position = scene.set->Seek(kStream, kShard, start, number);
  if (!expected.valid) {
    EXPECT_EQ(position.status().code(), StatusCode::kInvalidArgument) << what;
    return;
  }
  ASSERT_OK(position) << what;
  const auto read = ReadAll(*scene.set, *position);
  ASSERT_OK(read) << what;
  ASSERT_EQ(read->records.size(), scene.records - expected.first_record) << what;
  for (size_t i = 0; i < read->records.size(); ++i) {
    EXPECT_EQ(read->records[i].sequence, scene.numbers[expected.first_record + i]) << what;
  }
  EXPECT_EQ(read->gaps.size(), expected.gap ? 1u : 0u) << what;
  EXPECT_EQ(read->end_of_shard, scene.sealed) << what;
  // Reading again from where it ended shows nothing more, and nothing twice.
  const auto again = scene.set->Read(read->end, {});
  ASSERT_OK(again) << what;
  EXPECT_TRUE(again->records.empty() && again->caught_up && !again->gap) << what;
  EXPECT_EQ(again->end_of_shard, scene.sealed) << what;
}

// All ways to begin × {empty, some records, some trimmed, all trimmed} × {open, sealed} × every
// number that is a boundary of anything.
TEST(PositionTest, EveryStartInEveryState) {
  for (const bool sealed : {false, true}) {
    for (const auto& [records, trimmed] :
         {std::pair<uint64_t, uint64_t>{0, 0}, {1, 0}, {5, 0}, {5, 1}, {5, 4}, {5, 5}}) {
      Scene scene;
      scene.sealed = sealed;
      scene.records = records;
      scene.trimmed = trimmed;
      scene.Make();
      const std::string what = std::string(sealed ? "sealed" : "open") + ", " +
                               std::to_string(records) + " records, " + std::to_string(trimmed) +
                               " trimmed";
      Check(scene, StartAt::kTrimHorizon, {}, {.first_record = trimmed}, what + ", horizon");
      Check(scene, StartAt::kLatest, {}, {.first_record = records}, what + ", latest");

      std::vector<uint64_t> candidates = {0,
                                          scene.starting.value - 1,
                                          scene.starting.value,
                                          scene.starting.value + 1,
                                          scene.journal.end().value - 1,
                                          scene.journal.end().value,
                                          scene.journal.end().value + 1,
                                          UINT64_MAX};
      if (sealed) {
        for (const uint64_t step : {uint64_t{0}, uint64_t{1}}) {
          candidates.push_back(scene.ending.value + step);
          candidates.push_back(scene.ending.value - step);
        }
      }
      for (const SequenceNumber number : scene.numbers) {
        for (const int64_t step : {-1, 0, 1}) {
          candidates.push_back(number.value + static_cast<uint64_t>(step));
        }
      }
      const uint64_t last = sealed ? scene.ending.value : scene.journal.end().value - 1;
      for (const uint64_t candidate : candidates) {
        for (const bool after : {false, true}) {
          Expected expected;
          expected.valid = candidate >= scene.starting.value && candidate <= last;
          const uint64_t next = candidate + (after ? 1 : 0);
          uint64_t first = 0;
          while (first < records && scene.numbers[first].value < next) ++first;
          expected.gap = first < trimmed;
          expected.first_record = std::max(first, trimmed);
          Check(scene, after ? StartAt::kAfterSequenceNumber : StartAt::kAtSequenceNumber,
                SequenceNumber{candidate}, expected,
                what + (after ? ", after " : ", at ") + std::to_string(candidate));
        }
      }
    }
  }
}

TEST(PositionTest, TheGapNamesExactlyTheTrimmedNumbers) {
  Scene scene;
  scene.records = 5;
  scene.trimmed = 3;
  scene.Make();
  // The last trimmed record is missed, the number behind it is not.
  const auto at = scene.set->Seek(kStream, kShard, StartAt::kAtSequenceNumber, scene.numbers[2]);
  ASSERT_OK(at);
  const auto page = scene.set->Read(*at, {});
  ASSERT_OK(page);
  ASSERT_TRUE(page->gap.has_value());
  EXPECT_EQ(page->gap->kind, Gap::Kind::kTrimmed);
  EXPECT_EQ(page->gap->first, scene.numbers[2]);
  EXPECT_EQ(page->gap->last, scene.numbers[2]);
  ASSERT_EQ(page->records.size(), 2u);
  EXPECT_EQ(page->records[0].sequence, scene.numbers[3]);
  EXPECT_EQ(page->records[0].previous, scene.numbers[2]);
  const auto after =
      scene.set->Seek(kStream, kShard, StartAt::kAfterSequenceNumber, scene.numbers[2]);
  ASSERT_OK(after);
  EXPECT_FALSE(scene.set->Read(*after, {})->gap.has_value());
}

// A reader that has read everything loses nothing when everything expires, and nothing when new
// records come and only the old ones expire.
TEST(PositionTest, ACaughtUpReaderMeetsNoGap) {
  SimFs fs;
  TestJournal journal;
  journal.EnableStream(kStream, TableId{1}, ViewType::kNewImage, 1, kShard);
  for (int i = 0; i < 3; ++i) CommitOne(journal);
  const SequenceNumber last = journal.model().at(kShard).records.back().sequence;
  const auto set = Fold(fs, journal);
  const auto read = ReadAllFrom(*set, kStream, kShard, StartAt::kTrimHorizon);
  ASSERT_OK(read);
  const Lsn folded = journal.end();
  for (int i = 0; i < 3; ++i) journal.Clock();
  CommitOne(journal, "new");
  TrimBelow(journal, SequenceNumber{last.value + 1});
  ASSERT_OK(FoldFrom(journal, folded, *set));
  const auto page = set->Read(read->end, {});
  ASSERT_OK(page);
  EXPECT_FALSE(page->gap.has_value());
  ASSERT_EQ(page->records.size(), 1u);
  EXPECT_EQ(page->records[0].previous, last);
}

TEST(PositionTest, PagesStopAtEitherLimitAndAtLeastOneRecordComes) {
  SimFs fs;
  TestJournal journal;
  journal.EnableStream(kStream, TableId{1}, ViewType::kNewImage, 1, kShard);
  for (int i = 0; i < 10; ++i) CommitOne(journal, std::string(1000, 'x'));
  const auto set = Fold(fs, journal);
  const auto start = set->Seek(kStream, kShard, StartAt::kTrimHorizon);
  ASSERT_OK(start);
  EXPECT_EQ(set->Read(*start, {.records_max = 4})->records.size(), 4u);
  EXPECT_EQ(set->Read(*start, {.records_max = 0})->records.size(), 1u);
  EXPECT_EQ(set->Read(*start, {.bytes_max = 1})->records.size(), 1u);
  EXPECT_EQ(set->Read(*start, {.bytes_max = 2500})->records.size(), 3u);
  const auto all = set->Read(*start, {.records_max = 10});
  EXPECT_TRUE(all->caught_up);  // It ends with the last record, so the reader need not ask again.
  EXPECT_EQ(ReadAll(*set, *start, {.records_max = 3})->pages, 4u);
}

TEST(PositionTest, RefusesWhatIsForeignOrUnknown) {
  Scene scene;
  scene.records = 2;
  scene.Make();
  const auto good = scene.set->Seek(kStream, kShard, StartAt::kTrimHorizon);
  ASSERT_OK(good);
  const auto code = [&](auto spoil) {
    Position position = *good;
    spoil(position);
    const auto read = scene.set->Read(position, {});
    const auto wait = scene.set->Wait(position, 0);
    EXPECT_EQ(read.status().code(), wait.status().code());
    return read.status().code();
  };
  EXPECT_EQ(code([](Position& p) { p.store = StoreId{9}; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](Position& p) { p.epoch = Epoch{2}; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](Position& p) { p.next = SequenceNumber{1}; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](Position& p) { p.stream = StreamId{2}; }), StatusCode::kNotFound);
  EXPECT_EQ(code([](Position& p) { p.shard = ShardId{2}; }), StatusCode::kNotFound);
  EXPECT_EQ(code([](Position& p) { p.next = SequenceNumber{UINT64_MAX}; }), StatusCode::kOk);
  EXPECT_EQ(scene.set->Seek(StreamId{2}, kShard, StartAt::kLatest).status().code(),
            StatusCode::kNotFound);
}

TEST(PositionTest, AShardThatExpiredSaysSo) {
  Scene scene;
  scene.sealed = true;
  scene.records = 2;
  scene.Make();
  const auto position = scene.set->Seek(kStream, kShard, StartAt::kTrimHorizon);
  ASSERT_OK(position);
  const Lsn folded = scene.journal.end();
  TrimBelow(scene.journal, SequenceNumber{scene.ending.value + 1});
  ASSERT_OK(FoldFrom(scene.journal, folded, *scene.set));
  for (const Status& status :
       {scene.set->Read(*position, {}).status(), scene.set->Wait(*position, 1000).status(),
        scene.set->Seek(kStream, kShard, StartAt::kLatest).status()}) {
    EXPECT_EQ(status.code(), StatusCode::kNotFound);
    EXPECT_NE(status.message().find("expired"), std::string::npos) << status.ToString();
  }
  const StreamCatalogue catalogue = scene.set->catalogue();
  EXPECT_TRUE(catalogue.streams().empty());
}

// ---------------------------------------------------------------------------------------- lost
// gaps

// Three records, of which a power loss takes back the last two; then two more in the next epoch.
struct Loss {
  SimFs fs;
  TestJournal journal;
  std::unique_ptr<ShardSet> before;
  std::unique_ptr<ShardSet> after;
  std::vector<Record> first;   // As read before.
  std::vector<Position> ends;  // Behind each of them.
  Lsn old_end;

  Loss() {
    journal.EnableStream(kStream, TableId{1}, ViewType::kNewImage, 1, kShard);
    CommitOne(journal, "kept");
    old_end = journal.end();
    CommitOne(journal, "lost 1");
    CommitOne(journal, "lost 2");
    before = Fold(fs, journal);
    Position at = *before->Seek(kStream, kShard, StartAt::kTrimHorizon);
    for (int i = 0; i < 3; ++i) {
      auto page = before->Read(at, {.records_max = 1});
      first.push_back(page->records[0]);
      at = page->next;
      ends.push_back(at);
    }
    before.reset();
    journal.CutBack(old_end);
    journal.Jump(10'000);
    CommitOne(journal, "new 1");
    CommitOne(journal, "new 2");
    after = Fold(fs, journal);
  }
};

TEST(PositionTest, AReaderOfWhatWasTakenBackIsTold) {
  Loss loss;
  // Behind the record that was kept: nothing seen is lost.
  const auto kept = ReadAll(*loss.after, loss.ends[0]);
  ASSERT_OK(kept);
  EXPECT_TRUE(kept->gaps.empty());
  ASSERT_EQ(kept->records.size(), 2u);
  EXPECT_EQ(kept->records[0].new_image, "new 1");
  EXPECT_EQ(kept->records[0].previous, loss.first[0].sequence);
  EXPECT_EQ(kept->records[0].ordinal, 2u);
  for (const size_t seen : {1u, 2u}) {
    EXPECT_TRUE(*loss.after->Wait(loss.ends[seen], 0));
    const auto page = loss.after->Read(loss.ends[seen], {});
    ASSERT_OK(page);
    ASSERT_TRUE(page->gap.has_value());
    EXPECT_EQ(page->gap->kind, Gap::Kind::kLost);
    EXPECT_EQ(page->gap->first.value, loss.old_end.value);
    EXPECT_EQ(page->gap->last, loss.first[seen].sequence);
    const auto rest = ReadAll(*loss.after, page->next);
    ASSERT_OK(rest);
    EXPECT_TRUE(rest->gaps.empty());
    ASSERT_EQ(rest->records.size(), 2u);
    EXPECT_EQ(rest->records[0].new_image, "new 1");
  }
}

// Who comes back with a bare number (the wire knows no epochs) is told as well.
TEST(PositionTest, ASequenceNumberThatWasTakenBackIsTold) {
  Loss loss;
  for (const StartAt start : {StartAt::kAtSequenceNumber, StartAt::kAfterSequenceNumber}) {
    const auto read = ReadAllFrom(*loss.after, kStream, kShard, start, loss.first[1].sequence);
    ASSERT_OK(read);
    ASSERT_EQ(read->gaps.size(), 1u);
    EXPECT_EQ(read->gaps[0].kind, Gap::Kind::kLost);
    EXPECT_EQ(read->gaps[0].last, loss.first[1].sequence);
    EXPECT_EQ(read->records.size(), 2u);
    const auto kept = ReadAllFrom(*loss.after, kStream, kShard, start, loss.first[0].sequence);
    ASSERT_OK(kept);
    EXPECT_TRUE(kept->gaps.empty());
  }
}

// The jump is on record in checkpoints after the journal has forgotten it, until it is trimmed
// away.
TEST(PositionTest, ALossIsRememberedOverCheckpointsUntilTrimmed) {
  Loss loss;
  ASSERT_OK(loss.after->Sync());
  ShardSetState state = loss.after->Capture();
  ASSERT_EQ(state.catalogue.jumps_size(), 1);
  loss.after.reset();
  const Lsn cut = loss.journal.end();
  auto set = ShardSet::Open(loss.fs, "/streams", kStore, Epoch{3}, state,
                            {{Epoch{3}, cut, cut + 5000, false}}, {});
  ASSERT_OK(set);
  const auto page = (*set)->Read(loss.ends[2], {});
  ASSERT_OK(page);
  ASSERT_TRUE(page->gap.has_value());
  EXPECT_EQ(page->gap->kind, Gap::Kind::kLost);
  EXPECT_EQ((*set)->Capture().catalogue.jumps_size(), 2);

  frames::Trim trim;
  frames::ShardTrim& entry = *trim.add_trims();
  entry.set_stream(kStream.value);
  entry.set_shard(kShard.value);
  entry.set_below(cut.value);
  const std::string payload = trim.SerializeAsString();
  const Lsn lsn = cut + 5000;
  ASSERT_OK((*set)->Apply({lsn, lsn + 100, kTrimFrame, Epoch{3}, payload}));
  ASSERT_OK((*set)->Publish(lsn + 100));
  EXPECT_EQ((*set)->Capture().catalogue.jumps_size(), 1);
}

// A clean restart takes nothing back, whatever the epoch of a position.
TEST(PositionTest, ACleanJumpIsNoLoss) {
  SimFs fs;
  TestJournal journal;
  journal.EnableStream(kStream, TableId{1}, ViewType::kNewImage, 1, kShard);
  CommitOne(journal);
  const auto set = Fold(fs, journal);
  const auto read = ReadAllFrom(*set, kStream, kShard, StartAt::kTrimHorizon);
  ASSERT_OK(read);
  journal.Jump(5000);
  CommitOne(journal);
  const auto reopened = Fold(fs, journal);
  const auto rest = ReadAll(*reopened, read->end);
  ASSERT_OK(rest);
  EXPECT_TRUE(rest->gaps.empty());
  EXPECT_EQ(rest->records.size(), 1u);
}

}  // namespace
}  // namespace tailrace::shards::test
