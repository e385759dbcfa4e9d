// Damage: every flipped bit of a shard log is found or harmless, by readers and by the offline
// reader; what is missing is named; a golden log stays readable for ever.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "shards/offline.h"
#include "shards/record_codec.h"
#include "shards/segment_scanner.h"
#include "shards/shard_header.h"
#include "shards/shard_set.h"
#include "tests/shards/shard_rig.h"
#include "tests/support/expect_ok.h"
#include "tests/support/scale.h"
#include "tests/support/sim_fs.h"
#include "tests/support/test_paths.h"
#include "wal/segment.h"

namespace tailrace::shards::test {
namespace {

using tailrace::test::SimDisk;
using tailrace::test::SimFs;

constexpr StreamId kStream{1};
constexpr ShardId kShard{1};

ShardSetOptions SmallOptions(uint64_t segment_bytes_max = 5000) {
  return {.segment_bytes_max = segment_bytes_max,
          .segment_age_ms_max = 3600'000,
          .index_interval_bytes = 300,
          .open_files_max = 8};
}

// One shard with a dozen records in several segments; fixed for ever, since the golden file has its
// bytes.
constexpr int kSmallRecords = 12;

TestJournal MakeJournal(int records) {
  TestJournal journal;
  journal.EnableStream(kStream, TableId{1}, ViewType::kNewAndOldImages, 1, kShard);
  for (int i = 0; i < records; ++i) {
    TestChange change;
    change.stream = kStream;
    change.key = KeyOf(0x0123456789abcdef, "game-" + std::to_string(i % 3));
    if (i % 4 != 3) change.new_image = "new image " + std::to_string(i) + std::string(90, 'n');
    if (i % 4 != 0) change.old_image = "old image " + std::to_string(i);
    if (i == 7) change.actor = Actor::kTimeToLive;
    journal.Commit({change});
    journal.PassTime(1000);
  }
  return journal;
}

struct Folded {
  TestJournal journal;
  SimDisk disk;
  ShardSetState state;

  explicit Folded(int records = kSmallRecords, const ShardSetOptions& options = SmallOptions())
      : journal(MakeJournal(records)) {
    SimFs fs;
    const auto set = ShardSet::Open(fs, "/streams", kStore, journal.epoch(), {}, {}, options);
    EXPECT_OK(set);
    EXPECT_OK(FoldFrom(journal, Lsn{0}, **set));
    EXPECT_OK((*set)->Sync());
    state = (*set)->Capture();
    disk = fs.disk();
    disk.SyncAll();
  }

  std::vector<std::string> Paths(std::string_view suffix) const {
    std::vector<std::string> paths;
    for (const std::string& path : disk.Files()) {
      if (path.ends_with(suffix)) paths.push_back(path);
    }
    return paths;
  }
};

// What a reader from the trim horizon gets from a possibly damaged disk.
struct Reading {
  Status status;  // Of opening or reading.
  std::vector<Record> records;
};

Reading ReadDamaged(const Folded& folded, const SimDisk& disk) {
  SimFs fs(disk);
  const auto set =
      ShardSet::Open(fs, "/streams", kStore, Epoch{1}, folded.state, {}, SmallOptions());
  if (!set.ok()) return {set.status(), {}};
  EXPECT_OK((*set)->Publish(folded.journal.end()));
  Reading reading;
  Position position = *(*set)->Seek(kStream, kShard, StartAt::kTrimHorizon);
  while (true) {
    auto page = (*set)->Read(position, {.records_max = 5});
    if (!page.ok()) {
      reading.status = page.status();
      return reading;
    }
    EXPECT_FALSE(page->gap.has_value());
    for (Record& record : page->records) reading.records.push_back(std::move(record));
    position = page->next;
    if (page->caught_up) return reading;
  }
}

// What was read must be a prefix of the truth, and all of it unless an error says otherwise.
void ExpectNoSilentSkip(const Folded& folded, const Reading& reading, const std::string& what) {
  const auto& truth = folded.journal.model().at(kShard).records;
  ASSERT_LE(reading.records.size(), truth.size()) << what;
  for (size_t i = 0; i < reading.records.size(); ++i) {
    ASSERT_EQ(CompareRecords(reading.records[i], truth[i]), "") << what;
  }
  if (reading.status.ok()) {
    ASSERT_EQ(reading.records.size(), truth.size()) << what;
    return;
  }
  const StatusCode code = reading.status.code();
  ASSERT_TRUE(code == StatusCode::kCorruption || code == StatusCode::kUnsupported)
      << what << ": " << reading.status.ToString();
  ASSERT_NE(reading.status.message().find("/streams/stream-"), std::string::npos)
      << what << ": " << reading.status.ToString();
}

struct Verification {
  Result<OfflineReport> report;
  std::vector<Damage> damages;
  std::vector<Record> records;
};

Verification VerifyDisk(const SimDisk& disk, const std::optional<frames::ShardEnd>& end) {
  SimFs fs(disk);
  Verification found{.report = OfflineReport{}, .damages = {}, .records = {}};
  const OfflineVisitor visitor{
      .on_record =
          [&](const OfflineRecord& record) {
            found.records.push_back(record.record.Copy());
            return true;
          },
      .on_damage = [&](const Damage& damage) { found.damages.push_back(damage); }};
  found.report = VerifyShard(fs, ShardPath("/streams", kStream, kShard), end, visitor);
  return found;
}

TEST(DamageTest, EveryFlippedBitIsFoundOrHarmless) {
  const Folded folded;
  uint64_t flips = 0;
  uint64_t harmless = 0;
  uint64_t in_segments = 0;
  for (const std::string& path : folded.disk.Files()) {
    const std::string bytes = *folded.disk.Contents(path);
    const bool is_segment = path.ends_with(".seg");
    for (uint64_t bit = 0; bit < bytes.size() * 8; ++bit) {
      // The middle of a segment header is 4 KiB of zeros under one hash: every eighth byte will do.
      const uint64_t at = bit / 8;
      if (is_segment && at > 200 && at < 4080 && at % 8 != 0) continue;
      SimDisk disk = folded.disk;
      ASSERT_OK(
          disk.Patch(path, at, std::string(1, static_cast<char>(bytes[at] ^ (1 << bit % 8)))));
      const std::string what = path + ", bit " + std::to_string(bit);
      const Reading reading = ReadDamaged(folded, disk);
      ExpectNoSilentSkip(folded, reading, what);
      const Verification offline = VerifyDisk(disk, folded.state.ends.at(0));
      // The offline reader finds each one, whether it matters to readers or not.
      ASSERT_TRUE(!offline.report.ok() || !offline.damages.empty()) << what;
      ++flips;
      harmless += reading.status.ok() ? 1 : 0;
      in_segments += is_segment ? 1 : 0;
      if (!is_segment || HasFatalFailure()) continue;
      // In a segment none is harmless.
      ASSERT_FALSE(reading.status.ok()) << what;
    }
  }
  std::printf(
      "%llu single-bit flips (%llu in segments): %llu harmless (index files), 0 unnoticed\n",
      static_cast<unsigned long long>(flips), static_cast<unsigned long long>(in_segments),
      static_cast<unsigned long long>(harmless));
  EXPECT_GT(harmless, 0u);
  EXPECT_GT(in_segments, 10'000u);
}

// A log of 64 KiB, in the segment it was made in and the next one. TAILRACE_TEST_SCALE=quick leaves
// most of it out.
TEST(DamageTest, EveryFlippedBitOf64KiBIsFoundOffline) {
  constexpr uint64_t kLogBytes = 64 << 10;
  constexpr int kRecords = 290;
  const Folded folded(kRecords, SmallOptions(kLogBytes / 2));
  const uint64_t stride = tailrace::test::ByScale(101, 1, 1);
  uint64_t flips = 0;
  uint64_t log_bytes = 0;
  uint64_t damages = 0;
  const OfflineVisitor visitor{.on_record = [](const OfflineRecord&) { return true; },
                               .on_damage = [&](const Damage&) { ++damages; }};
  for (const std::string& path : folded.Paths(".seg")) {
    const std::string bytes = *folded.disk.Contents(path);
    log_bytes += bytes.size();
    for (uint64_t bit = 0; bit < bytes.size() * 8; bit += stride, ++flips) {
      SimDisk disk = folded.disk;
      const char bad = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
      ASSERT_OK(disk.Patch(path, bit / 8, ByteView(&bad, 1)));
      SimFs fs(std::move(disk));
      damages = 0;
      const auto report =
          VerifyShard(fs, ShardPath("/streams", kStream, kShard), folded.state.ends.at(0), visitor);
      ASSERT_TRUE(!report.ok() || damages > 0) << path << ", bit " << bit;
    }
  }
  std::printf("figure: %llu bits of %llu bytes of a shard log flipped, all found\n",
              static_cast<unsigned long long>(flips), static_cast<unsigned long long>(log_bytes));
  EXPECT_GE(log_bytes, kLogBytes);
}

// Every frame is whole and every record stands where it should, but one is of another history.
TEST(DamageTest, ARecordOfAnotherHistoryIsFound) {
  const Folded folded;
  const std::string path = folded.Paths(".seg").at(0);
  const std::string bytes = *folded.disk.Contents(path);
  wal::SegmentHeader header;
  ASSERT_EQ(wal::DecodeSegmentHeader(bytes, header), wal::SegmentHeaderState::kValid);
  SimFs fs(folded.disk);
  auto file = fs.Open(path, wal::OpenMode::kRead);
  ASSERT_OK(file);
  SegmentScanner scanner(*std::move(file), path, header, wal::kSegmentHeaderBytes, bytes.size(),
                         PointBefore(header));
  RecordView record;
  ASSERT_TRUE(scanner.Next(record).value());
  const uint64_t chain_before = record.chain;
  ASSERT_TRUE(scanner.Next(record).value());
  ASSERT_TRUE(record.new_image);
  std::string other(*record.new_image);
  other.back() = '!';
  record.new_image = other;
  std::string frame;
  AppendRecordFrame(frame, record, chain_before, wal::SegmentSeed(header), header.epoch);
  ASSERT_EQ(scanner.record_offset() + frame.size(), scanner.offset());

  SimDisk disk = folded.disk;
  ASSERT_OK(disk.Patch(path, scanner.record_offset(), frame));
  const Reading reading = ReadDamaged(folded, disk);
  EXPECT_EQ(reading.status.code(), StatusCode::kCorruption);
  EXPECT_NE(reading.status.message().find("chain hash"), std::string::npos);
}

TEST(DamageTest, MissingAndExchangedSegmentsAreNamed) {
  const Folded folded;
  const auto segments = folded.Paths(".seg");
  ASSERT_GE(segments.size(), 3u);
  for (size_t i = 0; i < segments.size(); ++i) {
    SimFs fs(folded.disk);
    ASSERT_OK(fs.Remove(segments[i]));
    ExpectNoSilentSkip(folded, ReadDamaged(folded, fs.disk()), "without " + segments[i]);
    EXPECT_FALSE(ReadDamaged(folded, fs.disk()).status.ok());
  }
  for (size_t i = 0; i + 1 < segments.size(); ++i) {
    // A file under another's name.
    SimFs fs(folded.disk);
    ASSERT_OK(fs.Rename(segments[i], "/spare"));
    ASSERT_OK(fs.Rename(segments[i + 1], segments[i]));
    ASSERT_OK(fs.Rename("/spare", segments[i + 1]));
    const Reading reading = ReadDamaged(folded, fs.disk());
    ExpectNoSilentSkip(folded, reading, "exchanged");
    EXPECT_FALSE(reading.status.ok());
  }
  // A closed segment cut at a record's end is whole in itself; only the next one's header tells.
  SimFs fs(folded.disk);
  const auto& records = folded.journal.model().at(kShard).records;
  auto file = fs.Open(segments[0], wal::OpenMode::kReadWrite);
  ASSERT_OK(file);
  uint64_t second_at = 0;
  Verification offline = VerifyDisk(folded.disk, std::nullopt);
  ASSERT_OK(offline.report);
  const OfflineVisitor find{.on_record =
                                [&](const OfflineRecord& record) {
                                  if (record.record.ordinal == 2) second_at = record.offset;
                                  return record.record.ordinal < 2;
                                },
                            .on_damage = [](const Damage&) {}};
  ASSERT_OK(VerifyShard(fs, ShardPath("/streams", kStream, kShard), std::nullopt, find));
  ASSERT_GT(second_at, 0u);
  ASSERT_OK((*file)->Truncate(second_at));
  const Reading reading = ReadDamaged(folded, fs.disk());
  EXPECT_EQ(reading.status.code(), StatusCode::kCorruption);
  EXPECT_EQ(reading.records.size(), 1u);
  EXPECT_NE(reading.status.message().find(std::to_string(records[0].sequence.value + 1)),
            std::string::npos)
      << reading.status.ToString();
  offline = VerifyDisk(fs.disk(), std::nullopt);
  ASSERT_FALSE(offline.damages.empty());
  EXPECT_EQ(offline.damages.back().kind, Damage::Kind::kMissing);
  EXPECT_EQ(offline.damages.back().after, records[0].sequence);
}

// ---------------------------------------------------------------------------------------- offline

TEST(OfflineTest, AWholeShardHasAllItsRecordsAndNoDamage) {
  const Folded folded;
  for (const bool with_end : {false, true}) {
    const Verification found =
        VerifyDisk(folded.disk, with_end ? std::optional(folded.state.ends.at(0)) : std::nullopt);
    ASSERT_OK(found.report);
    EXPECT_TRUE(found.damages.empty()) << found.damages.at(0).message;
    const auto& truth = folded.journal.model().at(kShard).records;
    ASSERT_EQ(found.records.size(), truth.size());
    for (size_t i = 0; i < truth.size(); ++i) {
      EXPECT_EQ(CompareRecords(found.records[i], truth[i]), "");
    }
    EXPECT_EQ(found.report->records, truth.size());
    EXPECT_EQ(found.report->first, truth.front().sequence);
    EXPECT_EQ(found.report->last, truth.back().sequence);
    EXPECT_EQ(found.report->segments, folded.Paths(".seg").size());
  }
}

TEST(OfflineTest, ReadsOnBehindADamagedRecordAndCountsWhatIsMissing) {
  const Folded folded;
  const std::string segment = folded.Paths(".seg")[0];
  const auto& truth = folded.journal.model().at(kShard).records;
  // The place and length of the second record.
  uint64_t at = 0;
  uint64_t bytes = 0;
  SimFs fs(folded.disk);
  const std::string shard_path = ShardPath("/streams", kStream, kShard);
  const OfflineVisitor find{.on_record =
                                [&](const OfflineRecord& record) {
                                  at = record.offset;
                                  bytes = record.bytes;
                                  return record.record.ordinal < 2;
                                },
                            .on_damage = [](const Damage&) {}};
  const auto stopped = VerifyShard(fs, shard_path, std::nullopt, find);
  ASSERT_OK(stopped);
  EXPECT_TRUE(stopped->stopped);
  EXPECT_EQ(stopped->records, 2u);
  // In its magic, its length, its payload, its last byte.
  for (const uint64_t place : {at, at + 4, at + 60, at + bytes - 9}) {
    SimDisk disk = folded.disk;
    const char old_byte = disk.Contents(segment)->at(place);
    ASSERT_OK(disk.Patch(segment, place, std::string(1, static_cast<char>(old_byte ^ 0x55))));
    const Verification found = VerifyDisk(disk, std::nullopt);
    ASSERT_OK(found.report);
    ASSERT_EQ(found.records.size(), truth.size() - 1) << place;
    ASSERT_GE(found.damages.size(), 1u);
    const Damage& damage = found.damages[0];
    EXPECT_EQ(damage.kind, Damage::Kind::kRecord);
    EXPECT_EQ(damage.file, segment);
    EXPECT_EQ(damage.offset, at);
    EXPECT_EQ(damage.bytes, bytes);
    EXPECT_EQ(damage.after, truth[0].sequence);
    EXPECT_EQ(damage.next, truth[2].sequence);
    EXPECT_EQ(damage.records_missing, 1u);
    EXPECT_EQ(found.report->damages, 1u);
  }
}

TEST(OfflineTest, ReadsTheRecordsOfASegmentWhoseHeaderIsDamaged) {
  const Folded folded;
  const auto segments = folded.Paths(".seg");
  SimDisk disk = folded.disk;
  ASSERT_OK(disk.Patch(segments[1], 0, std::string(4096, '\0')));
  const Verification found = VerifyDisk(disk, std::nullopt);
  ASSERT_OK(found.report);
  EXPECT_EQ(found.records.size(), folded.journal.model().at(kShard).records.size());
  ASSERT_EQ(found.damages.size(), 1u);
  EXPECT_EQ(found.damages[0].kind, Damage::Kind::kSegmentHeader);
  EXPECT_EQ(found.damages[0].file, segments[1]);
}

TEST(OfflineTest, AnUnfinishedTailIsToldFromDamageInTheMiddle) {
  const Folded folded;
  const auto segments = folded.Paths(".seg");
  SimFs fs(folded.disk);
  auto file = fs.Open(segments.back(), wal::OpenMode::kReadWrite);
  ASSERT_OK(file);
  const uint64_t size = *(*file)->SizeBytes();
  ASSERT_OK((*file)->Truncate(size - 1));
  Verification found = VerifyDisk(fs.disk(), std::nullopt);
  ASSERT_EQ(found.damages.size(), 1u);
  EXPECT_EQ(found.damages[0].kind, Damage::Kind::kUnfinishedTail);
  // With the end that a checkpoint recorded, the same is damage and nothing less.
  found = VerifyDisk(fs.disk(), folded.state.ends.at(0));
  ASSERT_EQ(found.damages.size(), 2u);
  EXPECT_EQ(found.damages[0].kind, Damage::Kind::kRecord);
  EXPECT_EQ(found.damages[1].kind, Damage::Kind::kMissing);
  EXPECT_EQ(found.damages[1].records_missing, 1u);
  // Beyond that end, anything may stand.
  SimFs longer(folded.disk);
  ASSERT_OK((*longer.Open(segments.back(), wal::OpenMode::kReadWrite))
                ->Write(size, std::string(777, 'j')));
  ASSERT_OK((*longer.Open(segments.back().substr(0, segments.back().size() - 24) +
                              wal::SegmentFileName(uint64_t{1} << 40),
                          wal::OpenMode::kCreateNew))
                ->Write(0, "half a header"));
  found = VerifyDisk(longer.disk(), folded.state.ends.at(0));
  EXPECT_TRUE(found.damages.empty());
  EXPECT_FALSE(VerifyDisk(longer.disk(), std::nullopt).damages.empty());
}

TEST(OfflineTest, SingleSegmentsNeedNoDirectory) {
  const Folded folded;
  const auto segments = folded.Paths(".seg");
  SimFs fs(folded.disk);
  const std::string name = segments[1].substr(segments[1].rfind('/') + 1);
  ASSERT_OK(fs.Rename(segments[1], "/" + name));
  std::vector<uint64_t> ordinals;
  const OfflineVisitor visitor{
      .on_record =
          [&](const OfflineRecord& record) {
            ordinals.push_back(record.record.ordinal);
            return true;
          },
      .on_damage = [](const Damage& damage) { ADD_FAILURE() << damage.message; }};
  const auto report = VerifySegments(fs, {segments[2], "/" + name}, visitor);
  ASSERT_OK(report);
  EXPECT_EQ(report->segments, 2u);
  EXPECT_TRUE(std::is_sorted(ordinals.begin(), ordinals.end()));
  EXPECT_GT(ordinals.size(), 2u);
  EXPECT_EQ(VerifySegments(fs, {"/" + name + ".bak"}, visitor).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(VerifySegments(fs, {segments[1]}, visitor).status().code(), StatusCode::kNotFound);
}

TEST(OfflineTest, ListsShardsWithTheirHeaders) {
  const Folded folded;
  SimFs fs(folded.disk);
  ASSERT_OK(fs.CreateDirectory("/streams/stream-000000000009"));
  ASSERT_OK(fs.CreateDirectory("/streams/stream-000000000009/shard-000000000042"));
  ASSERT_OK(fs.CreateDirectory("/streams/unrelated"));
  const auto shards = ListShards(fs, "/streams");
  ASSERT_OK(shards);
  ASSERT_EQ(shards->size(), 2u);
  const OfflineShard& shard = shards->at(0);
  EXPECT_EQ(shard.stream, kStream);
  EXPECT_EQ(shard.shard, kShard);
  EXPECT_EQ(shard.segments, folded.Paths(".seg").size());
  ASSERT_TRUE(shard.header.has_value());
  EXPECT_EQ(shard.header->store(), kStore.value);
  EXPECT_EQ(shard.header->stream().table_name(), "Games");
  EXPECT_EQ(shard.header->stream().view(), frames::NEW_AND_OLD_IMAGES);
  EXPECT_EQ(shard.header->stream().keys().partition().name(), "game_id");
  EXPECT_EQ(shard.header->shard().hash_last(), UINT64_MAX);
  EXPECT_EQ(shards->at(1).shard, ShardId{42});
  EXPECT_FALSE(shards->at(1).header.has_value());
  EXPECT_EQ(shards->at(1).problem.code(), StatusCode::kNotFound);
}

// ----------------------------------------------------------------------------------------- golden

const std::string kGoldenPath = SourcePath("tests/golden/shard_log.txt");

// All files of the small shard log: name, size, then 32 bytes a line in hexadecimal; runs of zero
// lines are left out.
std::string Golden(const SimDisk& disk) {
  std::string text;
  const std::string zeros(32, '\0');
  for (const std::string& path : disk.Files()) {
    const std::string bytes = *disk.Contents(path);
    text += path + " " + std::to_string(bytes.size()) + "\n";
    for (size_t at = 0; at < bytes.size(); at += 32) {
      const std::string line = bytes.substr(at, 32);
      if (line == zeros) continue;
      char number[24];
      std::snprintf(number, sizeof number, "%06zx ", at);
      text += number;
      for (const char byte : line) {
        std::snprintf(number, sizeof number, "%02x", static_cast<unsigned>(byte & 0xff));
        text += number;
      }
      text += "\n";
    }
  }
  return text;
}

TEST(GoldenTest, TheBytesOfAShardLogNeverChange) {
  const Folded folded;
  const std::string now = Golden(folded.disk);
  if (std::getenv("TAILRACE_WRITE_GOLDEN") != nullptr) {
    std::ofstream(kGoldenPath) << now;
  }
  std::ifstream file(kGoldenPath);
  const std::string golden((std::istreambuf_iterator<char>(file)), {});
  EXPECT_EQ(now, golden) << "the format changed; see docs/shard-log-format.md on what that takes";
}

// The files as they were written once are read today.
TEST(GoldenTest, TheGoldenShardLogIsRead) {
  std::ifstream file(kGoldenPath);
  SimFs fs;
  ASSERT_OK(fs.CreateDirectory("/streams"));
  ASSERT_OK(fs.CreateDirectory("/streams/stream-000000000001"));
  ASSERT_OK(fs.CreateDirectory("/streams/stream-000000000001/shard-000000000001"));
  std::unique_ptr<wal::File> target;
  for (std::string line; std::getline(file, line);) {
    const size_t space = line.find(' ');
    ASSERT_NE(space, std::string::npos);
    if (line.starts_with("/")) {
      auto opened = fs.Open(line.substr(0, space), wal::OpenMode::kCreateNew);
      ASSERT_OK(opened);
      target = std::move(*opened);
      ASSERT_OK(target->Truncate(std::stoull(line.substr(space))));
      continue;
    }
    std::string bytes;
    for (size_t i = space + 1; i < line.size(); i += 2) {
      bytes.push_back(static_cast<char>(std::stoi(line.substr(i, 2), nullptr, 16)));
    }
    ASSERT_OK(target->Write(std::stoull(line.substr(0, space), nullptr, 16), bytes));
  }
  const Verification found = VerifyDisk(fs.disk(), std::nullopt);
  ASSERT_OK(found.report);
  EXPECT_TRUE(found.damages.empty());
  const TestJournal journal = MakeJournal(kSmallRecords);
  const auto& truth = journal.model().at(kShard).records;
  ASSERT_EQ(found.records.size(), truth.size());
  for (size_t i = 0; i < truth.size(); ++i) {
    EXPECT_EQ(CompareRecords(found.records[i], truth[i]), "");
  }
}

}  // namespace
}  // namespace tailrace::shards::test
