// What stands in the files of shard logs: rolls, indexes, cutting back and folding again, bounded
// handles.
#include "shards/shard_log.h"

#include <gtest/gtest.h>

#include <functional>

#include "shards/offline.h"
#include "shards/open_files.h"
#include "shards/shard_header.h"
#include "shards/shard_set.h"
#include "shards/sparse_index.h"
#include "tests/shards/shard_rig.h"
#include "tests/support/expect_ok.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "tests/support/sim_fs.h"
#include "wal/segment.h"

namespace tailrace::shards::test {
namespace {

using tailrace::test::CrashChoice;
using tailrace::test::Random;
using tailrace::test::SimCall;
using tailrace::test::SimFault;
using tailrace::test::SimFs;

constexpr StreamId kStream{1};
constexpr ShardId kShard{1};

ShardSetOptions SmallOptions() {
  return {.segment_bytes_max = 6000,
          .segment_age_ms_max = 3600'000,
          .index_interval_bytes = 400,
          .buffer_bytes_max = 500,
          .open_files_max = 8};
}

std::unique_ptr<ShardSet> OpenSet(SimFs& fs, const TestJournal& journal,
                                  const ShardSetState& state = {}) {
  auto set = ShardSet::Open(fs, "/streams", kStore, journal.epoch(), state, journal.jumps(),
                            SmallOptions());
  EXPECT_OK(set);
  return set.ok() ? std::move(*set) : nullptr;
}

// Names and contents of all files.
std::map<std::string, std::string> Files(const SimFs& fs) {
  std::map<std::string, std::string> files;
  const tailrace::test::SimDisk disk = fs.disk();
  for (const std::string& path : disk.Files()) files[path] = *disk.Contents(path);
  return files;
}

std::vector<std::string> PathsEndingWith(const SimFs& fs, std::string_view suffix) {
  std::vector<std::string> paths;
  for (const std::string& path : fs.disk().Files()) {
    if (path.ends_with(suffix)) paths.push_back(path);
  }
  return paths;
}

TestJournal RandomJournal(Random& random, int commits) {
  TestJournal journal;
  journal.EnableStream(kStream, TableId{1}, ViewType::kNewAndOldImages, 2, kShard);
  for (int i = 0; i < commits; ++i) {
    journal.Commit({RandomChange(random, kStream, 20, 150)});
    journal.PassTime(random.Below(100'000));
  }
  return journal;
}

TEST(ShardLogTest, SegmentsRollBySizeAndByAge) {
  SimFs fs;
  TestJournal journal;
  journal.EnableStream(kStream, TableId{1}, ViewType::kNewImage, 1, kShard);
  const auto commit = [&](uint64_t bytes) {
    journal.Commit({{.stream = kStream,
                     .key = KeyOf(1),
                     .new_image = std::string(bytes, 'x'),
                     .old_image = std::nullopt}});
  };
  for (int i = 0; i < 4; ++i) commit(300);  // 4096 + 4 * about 400 fill one segment.
  journal.PassTime(3600'000 - 1);
  commit(10);
  const auto set = OpenSet(fs, journal);
  ASSERT_OK(FoldFrom(journal, Lsn{0}, *set));
  EXPECT_EQ(PathsEndingWith(fs, ".seg").size(), 1u);
  const Lsn folded = journal.end();
  journal.PassTime(1);
  commit(10);  // An hour younger than the first.
  commit(10);
  commit(20'000);  // Larger than a segment may be: has one to itself.
  commit(10);
  ASSERT_OK(FoldFrom(journal, folded, *set));
  const auto segments = PathsEndingWith(fs, ".seg");
  ASSERT_EQ(segments.size(), 4u);
  const auto& records = journal.model().at(kShard).records;
  for (const auto& [segment, record] : {std::pair<size_t, size_t>{0, 0}, {1, 5}, {2, 7}, {3, 8}}) {
    EXPECT_TRUE(segments[segment].ends_with(wal::SegmentFileName(records[record].sequence.value)));
  }
  EXPECT_EQ(PathsEndingWith(fs, ".idx").size(), 3u);
  EXPECT_EQ(CompareWithModel(*set, journal), "");
  const auto stats = set->Stats();
  ASSERT_EQ(stats.size(), 1u);
  EXPECT_EQ(stats[0].segments, 4u);
  EXPECT_EQ(stats[0].records_appended, 9u);
  uint64_t bytes = 0;
  for (const std::string& path : segments) bytes += fs.disk().Contents(path)->size();
  EXPECT_EQ(stats[0].bytes, bytes);
}

// A page that is read in many pieces, from several segments: its views stay what they were while
// other pages are read, and once the records have been trimmed and their files removed.
TEST(ShardLogTest, APageKeepsWhatItsRecordsPointInto) {
  SimFs fs;
  Random random(tailrace::test::TestSeed());
  TestJournal journal;
  journal.EnableStream(kStream, TableId{1}, ViewType::kNewAndOldImages, 1, kShard);
  for (int i = 0; i < 300; ++i) journal.Commit({RandomChange(random, kStream, 20, 4000)});
  auto set = ShardSet::Open(fs, "/streams", kStore, journal.epoch(), {}, journal.jumps(),
                            {.segment_bytes_max = 200'000, .open_files_max = 8});
  ASSERT_OK(set);
  ASSERT_OK(FoldFrom(journal, Lsn{0}, **set));
  const std::vector<Record>& expected = journal.model().at(kShard).records;
  const auto start = (*set)->Seek(kStream, kShard, StartAt::kTrimHorizon);
  ASSERT_OK(start);
  const PageLimits all{.records_max = 1000, .bytes_max = 1 << 30};
  RecordPage page;
  const auto expect_all = [&] {
    ASSERT_EQ(page.records.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ(CompareRecords(page.records[i].Copy(), expected[i]), "");
    }
  };
  for (int round = 0; round < 3; ++round) {  // Into the same memory again.
    ASSERT_OK((*set)->Read(*start, all, page));
    expect_all();
  }
  RecordPage other;
  ASSERT_OK((*set)->Read(*start, {.records_max = 50}, other));
  EXPECT_EQ(other.records.size(), 50u);
  frames::Trim trim;
  frames::ShardTrim* const to_end = trim.add_trims();
  to_end->set_stream(kStream.value);
  to_end->set_shard(kShard.value);
  to_end->set_below(journal.end().value);
  const Lsn folded = journal.end();
  journal.Trim(trim);
  ASSERT_OK(FoldFrom(journal, folded, **set));
  const auto freed = (*set)->RemoveTrimmed((*set)->Capture());
  ASSERT_OK(freed);
  EXPECT_GT(*freed, 0u);
  ASSERT_OK((*set)->Read(*start, all, other));
  EXPECT_TRUE(other.gap.has_value());
  EXPECT_TRUE(other.records.empty());
  expect_all();
  EXPECT_EQ((*set)->Read({}, all, page).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(page.records.empty());
}

// Folding from any checkpoint, after any amount was written behind it, gives the same files as
// folding once: names and bytes, index files included.
// What was written behind the checkpoint need not come again: a power loss may take it back.
TEST(ShardLogTest, NothingOfWhatWasTakenBackStaysBehindTheEnd) {
  Random random(tailrace::test::TestSeed());
  TestJournal journal = RandomJournal(random, 10);
  SimFs fs;
  auto set = OpenSet(fs, journal);
  ASSERT_OK(FoldFrom(journal, Lsn{0}, *set));
  ASSERT_OK(set->Sync());
  const ShardSetState state = set->Capture();
  const Lsn cut = journal.end();
  for (int i = 0; i < 10; ++i) journal.Commit({RandomChange(random, kStream, 20, 150)});
  ASSERT_OK(FoldFrom(journal, cut, *set));
  set.reset();
  fs.KillProcess();

  journal.CutBack(cut);
  set = OpenSet(fs, journal, state);
  ASSERT_TRUE(set);
  // The segments end here, and from the next opening on they are as long as their files.
  journal.PassTime(SmallOptions().segment_age_ms_max);
  for (int i = 0; i < 10; ++i) journal.Commit({RandomChange(random, kStream, 20, 150)});
  ASSERT_OK(FoldFrom(journal, cut, *set));
  ASSERT_OK(set->Sync());
  const ShardSetState later = set->Capture();
  set.reset();
  set = OpenSet(fs, journal, later);
  ASSERT_TRUE(set);
  ASSERT_OK(set->Publish(journal.end()));
  EXPECT_EQ(CompareWithModel(*set, journal), "");
}

TEST(ShardLogTest, CutAndFoldAgainGivesIdenticalFiles) {
  Random random(tailrace::test::TestSeed());
  const TestJournal journal = RandomJournal(random, 120);
  SimFs straight_fs;
  const auto straight = OpenSet(straight_fs, journal);
  ASSERT_OK(FoldFrom(journal, Lsn{0}, *straight));
  const auto expected = Files(straight_fs);
  for (size_t cut = 0; cut < journal.frames().size(); cut += random.Between(1, 5)) {
    SimFs fs;
    auto set = OpenSet(fs, journal);
    ShardSetState state;
    size_t applied = 0;
    const size_t until = cut + random.Below(journal.frames().size() - cut + 1);
    for (; applied < until; ++applied) {
      if (applied == cut) {
        ASSERT_OK(set->Publish(journal.frames()[applied].lsn));
        state = set->Capture();
        ASSERT_OK(set->Sync());
      }
      ASSERT_OK(set->Apply(journal.frames()[applied].View()));
      if (random.OneIn(10)) {
        ASSERT_OK(set->Publish(journal.frames()[applied].end));
      }
    }
    if (applied <= cut) {
      ASSERT_OK(set->Publish(journal.frames()[cut].lsn));
      state = set->Capture();
      ASSERT_OK(set->Sync());
    }
    set.reset();
    set = OpenSet(fs, journal, state);
    ASSERT_TRUE(set);
    ASSERT_OK(FoldFrom(journal, journal.frames()[cut].lsn, *set));
    ASSERT_EQ(Files(fs), expected) << "cut before frame " << cut << ", written up to " << until;
    ASSERT_EQ(CompareWithModel(*set, journal), "");
  }
}

// What AT_TIMESTAMP must find in a shard.
SequenceNumber FirstSince(const ModelShard& shard, uint64_t wall_ms) {
  for (const Record& record : shard.records) {
    if (record.wall_ms >= wall_ms && record.sequence >= shard.trimmed_below) return record.sequence;
  }
  const SequenceNumber behind_last{shard.records.empty() ? 1
                                                         : shard.records.back().sequence.value + 1};
  return std::max(behind_last, shard.trimmed_below);
}

// Every moment around every stamp, while a log grows, is trimmed and sealed; the wall clock jumps
// both ways and stands still.
TEST(ShardLogTest, EveryMomentLeadsToTheFirstRecordSince) {
  Random random(tailrace::test::TestSeed());
  TestJournal journal;
  journal.EnableStream(kStream, TableId{1}, ViewType::kNewAndOldImages, 2, kShard);
  SimFs fs;
  auto set = OpenSet(fs, journal);
  size_t applied = 0;
  for (int round = 0; round < 30; ++round) {
    for (uint64_t commits = round > 28 ? 0 : random.Below(15); commits > 0; --commits) {
      journal.Commit({RandomChange(random, kStream, 20, 150)});
      if (random.OneIn(3)) journal.PassTime(random.Below(3000));
      if (random.OneIn(10)) journal.SetWallMs(kStartWallMs + random.Below(200'000));
    }
    if (round == 28) journal.DisableStream(kStream);
    if (random.OneIn(4)) {
      frames::Trim trim;
      for (const auto& [id, shard] : journal.model()) {
        if (shard.records.empty()) continue;
        frames::ShardTrim& entry = *trim.add_trims();
        entry.set_stream(kStream.value);
        entry.set_shard(id.value);
        entry.set_below(shard.records[random.Below(shard.records.size())].sequence.value);
      }
      journal.Trim(trim);
    }
    for (; applied < journal.frames().size(); ++applied) {
      ASSERT_OK(set->Apply(journal.frames()[applied].View()));
    }
    ASSERT_OK(set->Publish(journal.end()));
    for (const auto& [id, shard] : journal.model()) {
      std::vector<uint64_t> moments{0, UINT64_MAX};
      for (const Record& record : shard.records) {
        for (const int64_t off : {-1, 0, 1}) {
          moments.push_back(record.wall_ms + static_cast<uint64_t>(off));
        }
      }
      for (const uint64_t moment : moments) {
        const auto position = set->Seek(kStream, id, StartAt::kAtTimestamp, {}, moment);
        ASSERT_OK(position);
        ASSERT_EQ(position->next, FirstSince(shard, moment)) << "moment " << moment;
      }
    }
  }
}

TEST(ShardLogTest, AMomentIsFoundWithoutReadingTheLog) {
  TestJournal journal;
  journal.EnableStream(kStream, TableId{1}, ViewType::kNewImage, 1, kShard);
  for (int i = 0; i < 4000; ++i) {
    journal.Commit({{.stream = kStream,
                     .key = KeyOf(1),
                     .new_image = std::string(900, 'x'),
                     .old_image = std::nullopt}});
    journal.PassTime(10);
  }
  SimFs fs;
  auto set = ShardSet::Open(fs, "/streams", kStore, journal.epoch(), {}, {},
                            {.segment_bytes_max = 1 << 20, .index_interval_bytes = 4096});
  ASSERT_OK(set);
  ASSERT_OK(FoldFrom(journal, Lsn{0}, **set));
  ASSERT_EQ(PathsEndingWith(fs, ".seg").size(), 4u);
  const auto& records = journal.model().at(kShard).records;
  // Once for each segment its index is read, and checked from its last entry on.
  for (size_t i = 500; i < records.size(); i += 1000) {
    ASSERT_OK((*set)->Seek(kStream, kShard, StartAt::kAtTimestamp, {}, records[i].wall_ms));
  }
  for (size_t i = 0; i < records.size(); i += 37) {
    const uint64_t reads = fs.calls(SimCall::kRead);
    const auto found = (*set)->Seek(kStream, kShard, StartAt::kAtTimestamp, {}, records[i].wall_ms);
    ASSERT_OK(found);
    ASSERT_EQ(found->next, records[i].sequence);
    ASSERT_LE(fs.calls(SimCall::kRead) - reads, 2u);
  }
}

TEST(ShardLogTest, AnOfflineReadingLeavesOutSegmentsThatLieBefore) {
  Random random(tailrace::test::TestSeed());
  const TestJournal journal = RandomJournal(random, 200);
  SimFs fs;
  const auto set = OpenSet(fs, journal);
  ASSERT_OK(FoldFrom(journal, Lsn{0}, *set));
  const auto& records = journal.model().at(kShard).records;
  const auto check = [&](const OfflineFrom& from, size_t first) {
    std::vector<SequenceNumber> found;
    const OfflineVisitor visitor{
        .on_record =
            [&](const OfflineRecord& record) {
              found.push_back(record.record.sequence);
              return true;
            },
        .on_damage = [](const Damage& damage) { ADD_FAILURE() << damage.message; }};
    const auto report =
        VerifyShard(fs, ShardPath("/streams", kStream, kShard), std::nullopt, visitor, from);
    ASSERT_OK(report);
    // All from the first one wanted on, and at most a segment's worth before.
    const size_t wanted = records.size() - first;
    ASSERT_GE(found.size(), wanted);
    ASSERT_LE(found.size(), wanted + 6000 / 50);
    EXPECT_EQ(found.front(), records[records.size() - found.size()].sequence);
    // By time this need not be so: the segment before may hold records of the same millisecond.
    if (first + 1 == records.size() && from.sequence.value != 0) {
      EXPECT_EQ(report->segments, 1u);
    }
  };
  for (size_t i = 0; i < records.size(); ++i) {
    check({.sequence = records[i].sequence}, i);
    check({.wall_ms = records[i].wall_ms}, i);
  }
}

// The index file of a closed segment, its rebuilding by a scan, and none at all: every number leads
// to the same record.
TEST(ShardLogTest, IndexFilesAndScansFindTheSame) {
  Random random(tailrace::test::TestSeed());
  const TestJournal journal = RandomJournal(random, 200);
  SimFs fs;
  auto set = OpenSet(fs, journal);
  ASSERT_OK(FoldFrom(journal, Lsn{0}, *set));
  ASSERT_OK(set->Sync());
  const ShardSetState state = set->Capture();
  const auto indexes = PathsEndingWith(fs, ".idx");
  ASSERT_GT(indexes.size(), 4u);
  for (const std::string& path : indexes) {
    // What the writer wrote is what a scan makes.
    std::string segment_path = path.substr(0, path.size() - 4) + ".seg";
    wal::SegmentHeader header;
    ASSERT_EQ(wal::DecodeSegmentHeader(*fs.disk().Contents(segment_path), header),
              wal::SegmentHeaderState::kValid);
    const auto index = DecodeIndexFile(
        *fs.disk().Contents(path), {kStore, ShardId{header.log_id}, SequenceNumber{header.base}});
    ASSERT_TRUE(index.has_value()) << path;
    auto file = fs.Open(segment_path, wal::OpenMode::kRead);
    ASSERT_OK(file);
    const auto built = BuildIndex(std::shared_ptr<const wal::File>(std::move(*file)), segment_path,
                                  header, index->end_offset, SmallOptions().index_interval_bytes);
    ASSERT_OK(built);
    EXPECT_EQ(*built, *index);
    EXPECT_GT(index->entries.size(), 1u);
  }
  set.reset();

  enum class Spoil { kNothing, kRemove, kGarbage, kFlip, kSwap };
  for (const Spoil spoil :
       {Spoil::kNothing, Spoil::kRemove, Spoil::kGarbage, Spoil::kFlip, Spoil::kSwap}) {
    tailrace::test::SimDisk disk = fs.disk();
    SimFs copy(disk);
    for (size_t i = 0; i < indexes.size(); ++i) {
      auto file = copy.Open(indexes[i], wal::OpenMode::kReadWrite);
      ASSERT_OK(file);
      if (spoil == Spoil::kRemove) {
        ASSERT_OK(copy.Remove(indexes[i]));
      } else if (spoil == Spoil::kGarbage) {
        ASSERT_OK((*file)->Write(0, std::string(500, 'g')));
      } else if (spoil == Spoil::kFlip) {
        std::string bytes = *fs.disk().Contents(indexes[i]);
        bytes[random.Below(bytes.size())] ^= 4;
        ASSERT_OK((*file)->Write(0, bytes));
      } else if (spoil == Spoil::kSwap) {
        ASSERT_OK((*file)->Write(0, *fs.disk().Contents(indexes[(i + 1) % indexes.size()])));
      }
    }
    const auto opened = OpenSet(copy, journal, state);
    ASSERT_TRUE(opened);
    ASSERT_OK(opened->Publish(journal.end()));
    for (const ShardId id : {kShard, ShardId{2}}) {
      const auto& records = journal.model().at(id).records;
      for (size_t i = 0; i < records.size(); ++i) {
        const auto at = opened->Seek(kStream, id, StartAt::kAtSequenceNumber, records[i].sequence);
        ASSERT_OK(at);
        const auto page = opened->Read(*at, {.records_max = 1});
        ASSERT_OK(page);
        ASSERT_EQ(CompareRecords(page->records.at(0), records[i]), "");
        const auto since = opened->Seek(kStream, id, StartAt::kAtTimestamp, {}, records[i].wall_ms);
        ASSERT_OK(since);
        ASSERT_EQ(since->next, FirstSince(journal.model().at(id), records[i].wall_ms));
      }
    }
  }
}

TEST(ShardLogTest, OpeningChecksWhereTheLogEnds) {
  Random random(5);
  const TestJournal journal = RandomJournal(random, 60);
  SimFs fs;
  auto set = OpenSet(fs, journal);
  ASSERT_OK(FoldFrom(journal, Lsn{0}, *set));
  ASSERT_OK(set->Sync());
  const ShardSetState good = set->Capture();
  ASSERT_EQ(good.ends.size(), 2u);
  set.reset();
  const std::string shard_path = ShardPath("/streams", kStream, kShard);
  const std::string last_segment =
      wal::JoinPath(shard_path, wal::SegmentFileName(good.ends[0].segment_base()));
  const std::string header = wal::JoinPath(shard_path, kShardHeaderFileName);
  struct Case {
    const char* what;
    std::function<void(SimFs&, ShardSetState&)> spoil;
    StatusCode code = StatusCode::kCorruption;
  };
  const Case cases[] = {
      {"ordinal", [](SimFs&, ShardSetState& s) { s.ends[0].set_ordinal(3); }},
      {"chain", [](SimFs&, ShardSetState& s) { s.ends[0].set_chain(3); }},
      {"last number",
       [](SimFs&, ShardSetState& s) {
         s.ends[0].set_last_sequence(s.ends[0].last_sequence() + 1);
       }},
      {"record offset", [](SimFs&, ShardSetState& s) { s.ends[0].set_record_offset(4096 - 8); }},
      {"record offset beyond",
       [](SimFs&, ShardSetState& s) { s.ends[0].set_record_offset(UINT64_MAX); }},
      {"segment offset",
       [](SimFs&, ShardSetState& s) {
         s.ends[0].set_segment_offset(s.ends[0].segment_offset() + 8);
       }},
      {"segment offset in a record",
       [](SimFs&, ShardSetState& s) {
         s.ends[0].set_segment_offset(s.ends[0].segment_offset() - 8);
       }},
      {"segment", [](SimFs&, ShardSetState& s) { s.ends[0].set_segment_base(77); }},
      {"no ordinal", [](SimFs&, ShardSetState& s) { s.ends[0].set_ordinal(0); }},
      {"unknown shard", [](SimFs&, ShardSetState& s) { s.ends[0].set_shard(9); }},
      {"end twice", [](SimFs&, ShardSetState& s) { s.ends.push_back(s.ends[0]); }},
      {"file missing", [&](SimFs& f, ShardSetState&) { ASSERT_OK(f.Remove(last_segment)); }},
      {"file short",
       [&](SimFs& f, ShardSetState& s) {
         ASSERT_OK((*f.Open(last_segment, wal::OpenMode::kReadWrite))
                       ->Truncate(s.ends[0].segment_offset() - 1));
       }},
      {"header missing", [&](SimFs& f, ShardSetState&) { ASSERT_OK(f.Remove(header)); }},
      {"header of another shard",
       [&](SimFs& f, ShardSetState&) {
         const std::string other =
             wal::JoinPath(ShardPath("/streams", kStream, ShardId{2}), kShardHeaderFileName);
         ASSERT_OK(f.Rename(other, header));
       }},
      {"last record damaged",
       [&](SimFs& f, ShardSetState& s) {
         ASSERT_OK((*f.Open(last_segment, wal::OpenMode::kReadWrite))
                       ->Write(s.ends[0].record_offset() + 50, "?"));
       }},
      {"no directory",
       [&](SimFs& f, ShardSetState&) {
         ASSERT_OK(f.Rename(shard_path, wal::JoinPath("/streams", "elsewhere")));
       }},
  };
  for (const Case& test : cases) {
    SimFs copy(fs.disk());
    ShardSetState state = good;
    test.spoil(copy, state);
    const uint64_t before = copy.disk().Hash();
    const auto opened = ShardSet::Open(copy, "/streams", kStore, Epoch{1}, state, {}, {});
    EXPECT_EQ(opened.status().code(), test.code) << test.what << opened.status().ToString();
    // A refusal changes nothing.
    EXPECT_EQ(copy.disk().Hash(), before) << test.what;
  }
  // Another store's directories are not ours to remove, even if no checkpoint knows them.
  for (const ShardSetState& state : {good, ShardSetState{}}) {
    SimFs copy(fs.disk());
    const uint64_t before = copy.disk().Hash();
    const auto foreign = ShardSet::Open(copy, "/streams", StoreId{99}, Epoch{1}, state, {}, {});
    EXPECT_EQ(foreign.status().code(), StatusCode::kCorruption);
    EXPECT_EQ(copy.disk().Hash(), before);
  }
}

// Files that come back from below the trim point after a crash, with holes between them, are no
// damage.
TEST(ShardLogTest, LeftoversFromBelowTheTrimPointAreNotTakenForHoles) {
  Random random(tailrace::test::TestSeed());
  TestJournal journal = RandomJournal(random, 150);
  SimFs fs;
  auto set = OpenSet(fs, journal);
  ASSERT_OK(FoldFrom(journal, Lsn{0}, *set));
  const Lsn folded = journal.end();
  frames::Trim trim;
  for (const ShardId id : {kShard, ShardId{2}}) {
    const auto& records = journal.model().at(id).records;
    frames::ShardTrim& entry = *trim.add_trims();
    entry.set_stream(kStream.value);
    entry.set_shard(id.value);
    entry.set_below(records[records.size() * 3 / 4].sequence.value);
  }
  journal.Trim(trim);
  ASSERT_OK(FoldFrom(journal, folded, *set));
  ASSERT_OK(set->Sync());
  const ShardSetState state = set->Capture();
  const auto before = PathsEndingWith(fs, ".seg");
  const tailrace::test::SimDisk disk = fs.disk();
  ASSERT_OK(set->RemoveTrimmed(state));
  const auto after = PathsEndingWith(fs, ".seg");
  ASSERT_LT(after.size() + 3, before.size());
  set.reset();
  for (int run = 0; run < 20; ++run) {
    SimFs crashed(disk);
    for (const std::string& path : before) {
      const bool removed = std::find(after.begin(), after.end(), path) == after.end();
      if (removed && random.OneIn(2)) {
        ASSERT_OK(crashed.Remove(path));
      }
    }
    const auto opened = OpenSet(crashed, journal, state);
    ASSERT_TRUE(opened);
    ASSERT_OK(opened->Publish(journal.end()));
    EXPECT_EQ(CompareWithModel(*opened, journal), "");
    EXPECT_EQ(PathsEndingWith(crashed, ".seg"), after);
  }
}

// ------------------------------------------------------------------------------------- open files

TEST(OpenFilesTest, HandlesAreBoundedAndWhatIsClosedWasSynced) {
  SimFs fs;
  OpenFiles files(fs, 4);
  ASSERT_OK(files.MakeDirectory("/d"));
  for (int i = 0; i < 20; ++i) {
    ASSERT_OK(files.Write("/d/" + std::to_string(i), wal::OpenMode::kCreateNew, 0, "content"));
    EXPECT_LE(files.open_files(), 4u);
    EXPECT_LE(fs.open_handles(), 4u);
  }
  EXPECT_EQ(fs.calls(SimCall::kSync), 16u);  // Those that had to make room.
  for (int i = 0; i < 20; ++i) {
    const auto file = files.OpenToRead("/d/" + std::to_string(i));
    ASSERT_OK(file);
    EXPECT_LE(files.open_files(), 4u);
  }
  ASSERT_OK(files.Sync());
  EXPECT_EQ(fs.calls(SimCall::kSync), 20u);
  EXPECT_EQ(fs.calls(SimCall::kSyncDirectory), 2u);  // "/" and "/d".
  ASSERT_OK(files.Sync());
  EXPECT_EQ(fs.calls(SimCall::kSync), 20u);  // Nothing new, nothing synced.
  fs.CutPower(CrashChoice{});
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(*fs.disk().Contents("/d/" + std::to_string(i)), "content");
  }
}

TEST(OpenFilesTest, ReadsDoNotPushOutWhatIsNotDurable) {
  SimFs fs;
  OpenFiles files(fs, 2);
  ASSERT_OK(files.Write("/a", wal::OpenMode::kCreate, 0, "a"));
  ASSERT_OK(files.Write("/b", wal::OpenMode::kCreate, 0, "b"));
  ASSERT_OK((*fs.Open("/c", wal::OpenMode::kCreate))->Write(0, "c"));
  const auto file = files.OpenToRead("/c");
  ASSERT_OK(file);
  char byte = 0;
  EXPECT_EQ(*(*file)->Read(0, &byte, 1), 1u);
  EXPECT_EQ(byte, 'c');
  EXPECT_EQ(fs.calls(SimCall::kSync), 0u);
  EXPECT_EQ(files.open_files(), 2u);
}

TEST(OpenFilesTest, AFailureIsFinal) {
  for (const SimCall call : {SimCall::kSync, SimCall::kWrite, SimCall::kSyncDirectory}) {
    SimFs fs;
    OpenFiles files(fs, 4);
    ASSERT_OK(files.Write("/a", wal::OpenMode::kCreate, 0, "a"));
    fs.Inject({.call = call, .status = IoError("the disk is on fire")});
    const Status first = call == SimCall::kWrite
                             ? files.Write("/a", wal::OpenMode::kReadWrite, 1, "b")
                             : files.Sync();
    EXPECT_EQ(first.code(), StatusCode::kIoError);
    fs.ClearFaults();
    EXPECT_EQ(files.Sync().code(), StatusCode::kIoError);
    EXPECT_EQ(files.Write("/a", wal::OpenMode::kReadWrite, 1, "b").code(), StatusCode::kIoError);
    EXPECT_OK(files.OpenToRead("/a"));
  }
}

// The sync that makes room counts like one that was asked for.
TEST(OpenFilesTest, AFailedSyncThatMakesRoomIsFinal) {
  SimFs fs;
  OpenFiles files(fs, 1);
  ASSERT_OK(files.Write("/a", wal::OpenMode::kCreate, 0, "a"));
  fs.Inject({.call = SimCall::kSync, .status = IoError("the disk is on fire")});
  EXPECT_EQ(files.Write("/b", wal::OpenMode::kCreate, 0, "b").code(), StatusCode::kIoError);
  EXPECT_EQ(files.Sync().code(), StatusCode::kIoError);
}

// The n-th call that changes something fails, for every n: the set stops with that error, what it
// had published stays readable, and opening from the last good checkpoint folds to the same.
TEST(ShardLogTest, EveryFailingCallStopsTheSetAndLosesNothing) {
  Random random(11);
  const TestJournal journal = RandomJournal(random, 30);
  const size_t cut_at = 15;
  for (const bool for_ever : {false, true}) {
    for (uint64_t nth = 1;; ++nth) {
      SimFs fs;
      auto set = OpenSet(fs, journal);
      for (size_t i = 0; i < cut_at; ++i) ASSERT_OK(set->Apply(journal.frames()[i].View()));
      ASSERT_OK(set->Publish(journal.frames()[cut_at].lsn));
      const ShardSetState state = set->Capture();
      ASSERT_OK(set->Sync());
      fs.Inject(
          {.mutating_only = true, .nth = nth, .for_ever = for_ever, .status = NoSpace("injected")});
      Status outcome;
      Lsn published = journal.frames()[cut_at].lsn;
      for (size_t i = cut_at; i < journal.frames().size() && outcome.ok(); ++i) {
        outcome = set->Apply(journal.frames()[i].View());
        if (outcome.ok() && i % 4 == 0) {
          outcome = set->Publish(journal.frames()[i].end);
          if (outcome.ok()) published = journal.frames()[i].end;
        }
        if (outcome.ok() && i % 8 == 0) outcome = set->Sync();
      }
      const bool hit = fs.faults_hit() > 0;
      fs.ClearFaults();
      EXPECT_EQ(set->published(), published);
      for (const ShardId id : {kShard, ShardId{2}}) {
        const auto read = ReadAllFrom(*set, kStream, id, StartAt::kTrimHorizon);
        ASSERT_OK(read);
        const auto& expected = journal.model().at(id).records;
        for (size_t i = 0; i < read->records.size(); ++i) {
          ASSERT_EQ(CompareRecords(read->records[i], expected[i]), "");
        }
      }
      if (!outcome.ok()) {
        EXPECT_EQ(outcome.code(), StatusCode::kNoSpace) << outcome.ToString();
      }
      set.reset();
      set = OpenSet(fs, journal, state);
      ASSERT_TRUE(set);
      ASSERT_OK(FoldFrom(journal, journal.frames()[cut_at].lsn, *set));
      EXPECT_EQ(CompareWithModel(*set, journal), "");
      if (!hit) break;
    }
  }
}

}  // namespace
}  // namespace tailrace::shards::test
