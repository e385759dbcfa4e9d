// The damage sweep: whatever happens to a byte or a file of a small store, `verify` reports it and
// names the file, or it is harmless: the store opens and gives the same answers. And every bit of a
// journal.
//
// TAILRACE_TEST_SCALE: "quick" takes few places; without it, every bit of a journal in kSync and
// every byte of the store, but of long runs of zeros and of RocksDB's OPTIONS files every eighth;
// "soak" takes everything.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "engine/store.h"
#include "tests/support/expect_ok.h"
#include "tests/support/scale.h"
#include "tests/support/sim_clock.h"
#include "tests/support/sim_fs.h"
#include "tools/verifier.h"
#include "wal/recovery.h"
#include "wal/segment.h"

namespace tailrace::test {
namespace {

using tools::Depth;
using tools::Finding;
using tools::VerifyReport;

// ---- A journal, bit by bit ----

constexpr StoreId kStoreId{77};
constexpr uint64_t kJournalBytes = 64 << 10;

// Odd, so that all bits of a byte have their turn somewhere. Frames are the same in both modes.
uint64_t JournalBitStride(wal::Durability durability) {
  return ByScale(101, durability == wal::Durability::kSync ? 1 : 11, 1);
}

struct JournalImage {
  SimDisk disk;
  wal::JournalStart start;
  std::vector<std::string> payloads;
};

// 64 KiB in several segments, of frames of all sizes; everything known to be durable.
JournalImage MakeJournal(wal::Durability durability) {
  JournalImage image;
  SimFs fs;
  const SimClock clock;
  image.start = {.store_id = kStoreId, .may_create = true};
  wal::JournalOptions options{.durability = durability,
                              .threads = wal::JournalThreads::kNone,
                              .segment_bytes = wal::kJournalSegmentBytesMin};
  const auto journal = wal::OpenJournal(fs, clock, "/journal", image.start, options);
  EXPECT_OK(journal);
  for (uint64_t i = 0; (*journal)->appended().value < kJournalBytes; ++i) {
    image.payloads.emplace_back(i * 37 % 700, static_cast<char>('a' + i % 26));
    EXPECT_OK((*journal)->Append(wal::FrameType{20}, image.payloads.back(), wal::Quota::kOrdinary));
    if (i % 7 == 0) {
      EXPECT_OK((*journal)->Sync());
    }
  }
  EXPECT_OK((*journal)->Sync());
  image.start.from = wal::kFirstLsn;
  image.start.known_durable = (*journal)->durable();
  image.start.may_create = false;
  EXPECT_OK((*journal)->Close());
  image.disk = fs.disk();
  image.disk.SyncAll();
  return image;
}

std::vector<std::string> PayloadsOf(const wal::RecoveryPlan& plan) {
  std::vector<std::string> payloads;
  for (const wal::RecoveredSegment& segment : plan.segments) {
    for (const Lsn at : segment.frames) {
      wal::ParsedFrame frame;
      EXPECT_EQ(segment.image.FrameAt(at, frame), wal::FrameProblem::kNone);
      payloads.emplace_back(frame.payload);
    }
  }
  return payloads;
}

class JournalSweep : public ::testing::TestWithParam<wal::Durability> {};

INSTANTIATE_TEST_SUITE_P(Durabilities, JournalSweep,
                         ::testing::Values(wal::Durability::kSync, wal::Durability::kBuffered),
                         [](const auto& parameter) {
                           return parameter.param == wal::Durability::kSync ? "Sync" : "Buffered";
                         });

TEST_P(JournalSweep, EveryFlippedBitIsRefusedWithItsFileOrHarmless) {
  const JournalImage image = MakeJournal(GetParam());
  uint64_t flips = 0;
  uint64_t harmless = 0;
  uint64_t bytes_swept = 0;
  for (const std::string& path : image.disk.Files()) {
    const std::string bytes = *image.disk.Contents(path);
    bytes_swept += bytes.size();
    for (uint64_t bit = 0; bit < bytes.size() * 8; bit += JournalBitStride(GetParam())) {
      const char bad = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
      SimDisk disk = image.disk;
      ASSERT_OK(disk.Patch(path, bit / 8, ByteView(&bad, 1)));
      SimFs fs(std::move(disk));
      const auto plan = wal::PlanRecovery(fs, "/journal", image.start);
      ++flips;
      if (plan.ok()) {
        ++harmless;
        ASSERT_EQ(PayloadsOf(*plan), image.payloads) << path << ", bit " << bit;
        continue;
      }
      const StatusCode code = plan.status().code();
      ASSERT_TRUE(code == StatusCode::kCorruption || code == StatusCode::kUnsupported)
          << path << ", bit " << bit << ": " << plan.status().ToString();
      ASSERT_NE(plan.status().message().find(path), std::string::npos)
          << path << ", bit " << bit << ": " << plan.status().ToString();
    }
  }
  std::printf(
      "figure: %llu bits of %llu bytes of a journal flipped: %llu refused by name, %llu "
      "harmless\n",
      static_cast<unsigned long long>(flips), static_cast<unsigned long long>(bytes_swept),
      static_cast<unsigned long long>(flips - harmless), static_cast<unsigned long long>(harmless));
  EXPECT_GT(flips - harmless, flips / 2);
}

// ---- A store, byte by byte and file by file ----

constexpr char kStorePath[] = "/store";

// Whether it is worth a try at this scale.
bool IsPlace(const std::string& path, const std::string& bytes, uint64_t at) {
  constexpr uint64_t kRun = 8;
  constexpr uint64_t kQuickStride = 499;
  if (Scale() == TestScale::kSoak) return true;
  if (Scale() == TestScale::kQuick) return at % kQuickStride == 0;
  if (path.find("/OPTIONS-") != std::string::npos) return at % kRun == 0;
  const uint64_t from = at < kRun ? 0 : at - kRun;
  const std::string_view around = std::string_view(bytes).substr(from, 2 * kRun + 1);
  return around.find_first_not_of('\0') != std::string_view::npos || at % kRun == 0;
}

// Everything that a store answers.
using Answers = std::map<std::string, std::vector<std::string>>;

std::string InWords(const std::optional<Item>& item) {
  if (!item) return "-";
  return item->GetNumber("id")->ToString() + "=" + *item->GetString("text");
}

Status ReadShard(Store& store, StreamId stream, ShardId shard, std::vector<std::string>& records) {
  TAILRACE_ASSIGN_OR_RETURN(Position position,
                            store.SeekShard(stream, shard, StartAt::kTrimHorizon));
  while (true) {
    TAILRACE_ASSIGN_OR_RETURN(const ChangePage page, store.ReadShard(position));
    if (page.gap) return Corruption("a gap");
    for (const ChangeRecord& record : page.records) {
      records.push_back(std::to_string(record.sequence.value) + " " + InWords(record.old_image) +
                        " > " + InWords(record.new_image));
    }
    if (page.caught_up || page.end_of_shard) return Status::Ok();
    position = page.next;
  }
}

Result<Answers> Ask(Store& store) {
  Answers answers;
  TAILRACE_ASSIGN_OR_RETURN(const auto tables, store.ListTables());
  for (const TableInfo& table : tables) {
    TAILRACE_ASSIGN_OR_RETURN(const ItemPage page, store.Scan(table.name, {.items_max = 10'000}));
    for (const Item& item : page.items) answers[table.name].push_back(InWords(item));
  }
  TAILRACE_ASSIGN_OR_RETURN(const auto streams, store.ListStreams());
  for (const StreamInfo& stream : streams) {
    for (const ShardInfo& shard : stream.shards) {
      TAILRACE_RETURN_IF_ERROR(ReadShard(store, stream.id, shard.id, answers[shard.name]));
    }
  }
  return answers;
}

class StoreSweep : public ::testing::Test {
 protected:
  static constexpr size_t kGames = 16;

  StoreSweep() {
    options_.fs = nullptr;
    options_.clock = &clock_;
    options_.journal_segment_bytes = 64 << 10;
    options_.generation_bytes_max = 4 << 20;
    options_.journal_bytes_max = 8 << 20;
    options_.shard_segment_bytes_max = 6 << 10;
    options_.shards_per_stream = 2;
    options_.maintenance_interval_ms = 0;
    options_.create_if_missing = false;
  }

  static Item Game(int64_t id, const std::string& text) {
    return Item{{"id", Value::N(id)}, {"text", Value::S(text)}};
  }

  // Items in RocksDB, some of them in a second file above the first, and records in several
  // segments.
  void Build() {
    SimFs fs;
    StoreOptions options = options_;
    options.fs = &fs;
    options.create_if_missing = true;
    const auto store = Store::Open(kStorePath, options);
    ASSERT_OK(store);
    const KeySchema keys{{"id", ScalarType::kN}, std::nullopt};
    ASSERT_OK((*store)->CreateTable(
        {.name = "Games", .keys = keys, .stream = ViewType::kNewAndOldImages}));
    ASSERT_OK((*store)->CreateTable({.name = "Plain", .keys = keys}));
    for (int64_t round = 0; round < 3; ++round) {
      for (int64_t id = 0; id < static_cast<int64_t>(kGames); ++id) {
        ASSERT_OK((*store)->Put("Games", Game(id, std::to_string(round) + std::string(50, '.')),
                                {.wait = WaitFor::kNothing}));
      }
      ASSERT_OK((*store)->Put("Plain", Game(round, "plain")));
      ASSERT_OK((*store)->Checkpoint());
    }
    ASSERT_OK((*store)->Close());
    disk_ = fs.disk();
    disk_.SyncAll();
    const auto right = Open(disk_);
    ASSERT_OK(right);
    expected_ = *right;
    ASSERT_EQ(expected_["Games"].size(), kGames);
  }

  // What the store on this disk answers.
  Result<Answers> Open(const SimDisk& disk) {
    SimFs fs(disk);
    StoreOptions options = options_;
    options.fs = &fs;
    TAILRACE_ASSIGN_OR_RETURN(const auto store, Store::Open(kStorePath, options));
    return Ask(*store);
  }

  // Whether one of the findings is about this file: by its path, or that of a directory above it.
  static bool Names(const VerifyReport& report, const std::string& path) {
    const std::string leaf = path.substr(path.rfind('/') + 1);
    return std::any_of(report.findings.begin(), report.findings.end(), [&](const Finding& found) {
      if (!found.is_damage) return false;
      if (found.what.find(leaf) != std::string::npos) return true;
      return found.file == path || path.starts_with(found.file + "/");
    });
  }

  // What is reported when a file is not at its place: it, or its neighbours of the same directory.
  enum class At { kFile, kDirectory };
  static bool Names(const VerifyReport& report, const std::string& path, At at) {
    if (Names(report, path)) return true;
    if (at == At::kFile) return false;
    const std::string directory = path.substr(0, path.rfind('/') + 1);
    return std::any_of(report.findings.begin(), report.findings.end(), [&](const Finding& found) {
      return found.is_damage && found.file.starts_with(directory);
    });
  }

  // What happened to the file at `path` is reported or makes no difference.
  void Judge(const SimDisk& disk, const std::string& path, const std::string& what,
             At at = At::kFile) {
    ++tries_;
    SCOPED_TRACE(path + ": " + what);
    Result<VerifyReport> report = VerifyReport{};
    {
      SimFs fs(disk);
      report = tools::VerifyStore(fs, kStorePath, Depth::kDeep);
    }
    if (!report.ok()) {
      // No store to be seen, or one of a newer version.
      const StatusCode code = report.status().code();
      ASSERT_TRUE(code == StatusCode::kNotFound || code == StatusCode::kUnsupported)
          << report.status().ToString();
      ASSERT_NE(report.status().message().find(kStorePath), std::string::npos)
          << report.status().ToString();
      ++reported_;
      ASSERT_FALSE(Open(disk).ok());
      return;
    }
    if (report->damages() > 0) {
      ++reported_;
      EXPECT_TRUE(Names(*report, path, at))
          << report->findings.front().file << ": " << report->findings.front().what;
      return;
    }
    const auto answers = Open(disk);
    ASSERT_OK(answers);
    ASSERT_EQ(*answers, expected_);
  }

  // The disk after something was done to its files.
  template <typename Change>
  static SimDisk Changed(const SimDisk& disk, const Change& change) {
    SimFs fs(disk);
    EXPECT_OK(change(fs));
    SimDisk changed = fs.disk();
    changed.SyncAll();
    return changed;
  }

  void PrintFigure(const char* what) const {
    std::printf("figure: %d %s of a store: %d reported by verify, %d harmless\n", tries_, what,
                reported_, tries_ - reported_);
  }

  SimClock clock_;
  StoreOptions options_;
  SimDisk disk_;
  Answers expected_;
  int tries_ = 0;
  int reported_ = 0;
};

TEST_F(StoreSweep, EveryDamagedByteIsReportedOrHarmless) {
  Build();
  uint64_t turn = 0;
  for (const std::string& path : disk_.Files()) {
    if (path.find("/journal/") != std::string::npos) continue;  // JournalSweep has every bit.
    const std::string bytes = *disk_.Contents(path);
    for (uint64_t at = 0; at < bytes.size(); ++at) {
      if (!IsPlace(path, bytes, at)) continue;
      SimDisk disk = disk_;
      const char bad = static_cast<char>(bytes[at] ^ (1 << (turn++ % 8)));
      ASSERT_OK(disk.Patch(path, at, ByteView(&bad, 1)));
      Judge(disk, path, "byte " + std::to_string(at));
      if (HasFatalFailure()) return;
    }
  }
  PrintFigure("damaged bytes");
  EXPECT_GT(reported_, tries_ / 4);
}

// RocksDB's list of its files: with a part of it, it would open as an older state.
TEST_F(StoreSweep, EveryFlippedBitOfTheManifestIsReportedOrHarmless) {
  Build();
  for (const std::string& path : disk_.Files()) {
    if (path.find("/MANIFEST-") == std::string::npos) continue;
    const std::string bytes = *disk_.Contents(path);
    for (uint64_t bit = 0; bit < bytes.size() * 8; ++bit) {
      SimDisk disk = disk_;
      const char bad = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
      ASSERT_OK(disk.Patch(path, bit / 8, ByteView(&bad, 1)));
      Judge(disk, path, "bit " + std::to_string(bit));
      if (HasFatalFailure()) return;
    }
  }
  PrintFigure("bits of the MANIFEST");
  EXPECT_GT(reported_, tries_ / 2);
}

TEST_F(StoreSweep, EveryLostOrCutFileIsReportedOrHarmless) {
  Build();
  for (const std::string& path : disk_.Files()) {
    const uint64_t size = disk_.Contents(path)->size();
    Judge(Changed(disk_, [&](SimFs& fs) { return fs.Remove(path); }), path, "removed",
          At::kDirectory);
    for (const uint64_t to : {uint64_t{0}, size / 2, size - 1, size + 1}) {
      if (to == size || to > size + 1) continue;
      const auto resize = [&](SimFs& fs) -> Status {
        TAILRACE_ASSIGN_OR_RETURN(const auto file, fs.Open(path, wal::OpenMode::kReadWrite));
        return to > size ? file->Write(size, "x") : file->Truncate(to);
      };
      Judge(Changed(disk_, resize), path, "made " + std::to_string(to) + " bytes long");
    }
    if (HasFatalFailure()) return;
  }
  PrintFigure("lost and cut files");
  EXPECT_GT(reported_, tries_ / 4);
}

// Files of one directory and kind in each other's place, and one twice.
TEST_F(StoreSweep, EveryMisplacedFileIsReportedOrHarmless) {
  Build();
  const auto kind = [](const std::string& path) {
    const std::string directory = path.substr(0, path.rfind('/'));
    const size_t dot = path.rfind('.');
    return directory + (dot == std::string::npos ? path : path.substr(dot));
  };
  const auto files = disk_.Files();
  for (const std::string& one : files) {
    for (const std::string& other : files) {
      if (one == other || kind(one) != kind(other)) continue;
      const auto copy = [&](SimFs& fs) {
        return wal::ReplaceFile(fs, other, *disk_.Contents(one));
      };
      Judge(Changed(disk_, copy), other, "replaced by " + one);
      if (other < one) continue;
      const auto swap = [&](SimFs& fs) {
        TAILRACE_RETURN_IF_ERROR(wal::ReplaceFile(fs, other, *disk_.Contents(one)));
        return wal::ReplaceFile(fs, one, *disk_.Contents(other));
      };
      Judge(Changed(disk_, swap), one, "exchanged with " + other, At::kDirectory);
      if (HasFatalFailure()) return;
    }
    // A name of the same form that nothing has.
    std::string name = one;
    const size_t digit = name.find_last_of("0123456789");
    if (digit == std::string::npos || digit < name.rfind('/')) continue;
    name[digit] = name[digit] == '9' ? '1' : static_cast<char>(name[digit] + 1);
    if (std::find(files.begin(), files.end(), name) != files.end()) continue;
    Judge(Changed(disk_, [&](SimFs& fs) { return fs.Rename(one, name); }), one, "renamed " + name,
          At::kDirectory);
    const auto twice = [&](SimFs& fs) { return wal::ReplaceFile(fs, name, *disk_.Contents(one)); };
    Judge(Changed(disk_, twice), name, "a copy of " + one);
    if (HasFatalFailure()) return;
  }
  PrintFigure("misplaced files");
  EXPECT_GT(reported_, 10);
}

}  // namespace
}  // namespace tailrace::test
