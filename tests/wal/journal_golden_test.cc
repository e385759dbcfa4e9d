// The journal's bytes never change: golden files of each durability are what this build writes, are
// read for ever, and docs/log-format.md shows them as they are. And no single bit of them may flip
// unseen.
//
// TAILRACE_GOLDEN_WRITE=1 makes the files anew; see docs/log-format.md on when that is right.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include "tests/support/scale.h"
#include "tests/support/test_paths.h"
#include "tests/wal/journal_rig.h"
#include "wal/coding.h"
#include "wal/frame.h"
#include "wal/recovery.h"
#include "wal/segment.h"

namespace tailrace::wal {
namespace {

using test::SimDisk;
using test::SimFs;

constexpr char kDirectory[] = "/journal";
constexpr size_t kLineBytes = 32;

// What the golden journals hold: by epoch, type and payload. Written out, so that reading does not
// rest on the code that writes.
struct GoldenFrame {
  uint32_t epoch;
  uint8_t type;
  std::string payload;
};
const std::vector<GoldenFrame>& GoldenFrames() {
  static const std::vector<GoldenFrame> frames = {
      {1, 16, "hello, tailrace"},      {1, 17, ""},
      {1, 16, std::string(1000, 'a')}, {1, 255, std::string("\x00\xff", 2)},
      {2, 16, std::string(4048, 'b')}, {2, 16, std::string(4048, 'c')},
      {2, 18, std::string(3000, 'd')}, {2, 16, "last"},
  };
  return frames;
}

std::string GoldenPath(Durability durability) {
  return SourcePath("tests/golden/journal_") +
         (durability == Durability::kSync ? "sync" : "buffered") + ".txt";
}

std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

JournalOptions GoldenOptions(Durability durability) {
  JournalOptions options = SmallJournal(durability, JournalThreads::kNone);
  options.segment_bytes = kJournalSegmentBytesMin;
  return options;
}

// Two epochs: the first ends with the death of the process, the second is closed.
SimDisk WriteGolden(Durability durability) {
  SimFs fs;
  JournalRig rig(fs, kDirectory, GoldenOptions(durability));
  std::unique_ptr<Journal> journal;
  for (const GoldenFrame& frame : GoldenFrames()) {
    if (journal == nullptr || journal->recovery().epoch.value != frame.epoch) {
      journal = nullptr;
      fs.KillProcess();
      rig.Reopen(journal);
    }
    EXPECT_OK(journal->Append(FrameType{frame.type}, frame.payload, Quota::kOrdinary));
    // The second frame of each epoch shares its group with the third.
    const bool shares = frame.type == 17 || frame.payload == std::string(4048, 'c');
    EXPECT_OK(shares ? Status::Ok() : journal->Sync());
  }
  EXPECT_OK(journal->Close());
  return fs.disk();
}

// Each file: name and size, then 32 bytes a line in hexadecimal; lines of zeros are left out.
std::string ToText(const SimDisk& disk) {
  std::string text;
  for (const std::string& path : disk.Files()) {
    const std::string bytes = *disk.Contents(path);
    text += path + " " + std::to_string(bytes.size()) + "\n";
    for (size_t at = 0; at < bytes.size(); at += kLineBytes) {
      const std::string line = bytes.substr(at, kLineBytes);
      if (line.find_first_not_of('\0') == std::string::npos) continue;
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

std::string FromHex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

SimDisk FromText(const std::string& text) {
  SimFs fs;
  EXPECT_OK(fs.CreateDirectory(kDirectory));
  std::unique_ptr<File> file;
  std::istringstream lines(text);
  for (std::string first, second; lines >> first >> second;) {
    if (first.starts_with("/")) {
      auto opened = fs.Open(first, OpenMode::kCreateNew);
      EXPECT_OK(opened);
      file = std::move(*opened);
      EXPECT_OK(file->Truncate(std::stoull(second)));
    } else {
      EXPECT_OK(file->Write(std::stoull(first, nullptr, 16), FromHex(second)));
    }
  }
  SimDisk disk = fs.disk();
  disk.SyncAll();
  return disk;
}

class JournalGoldenTest : public ::testing::TestWithParam<Durability> {};

INSTANTIATE_TEST_SUITE_P(Modes, JournalGoldenTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         [](const auto& mode) {
                           return mode.param == Durability::kSync ? "Sync" : "Buffered";
                         });

TEST_P(JournalGoldenTest, ThisBuildWritesTheSameBytes) {
  const std::string now = ToText(WriteGolden(GetParam()));
  if (std::getenv("TAILRACE_GOLDEN_WRITE") != nullptr) std::ofstream(GoldenPath(GetParam())) << now;
  EXPECT_EQ(now, ReadText(GoldenPath(GetParam())))
      << "the format changed; docs/log-format.md says what that takes";
}

TEST_P(JournalGoldenTest, GoldenFilesAreRead) {
  SimFs fs(FromText(ReadText(GoldenPath(GetParam()))));
  JournalRig rig(fs, kDirectory, GoldenOptions(GetParam()));
  rig.start.may_create = false;
  const auto journal = rig.Open();
  ASSERT_NE(journal, nullptr);
  EXPECT_EQ(journal->recovery().epoch, Epoch{3});
  EXPECT_TRUE(journal->recovery().clean_close);
  Lsn at;
  for (const GoldenFrame& golden : GoldenFrames()) {
    const Result<Frame> frame = journal->Read(at);
    ASSERT_OK(frame);
    EXPECT_EQ(frame->epoch, Epoch{golden.epoch});
    EXPECT_EQ(frame->type, FrameType{golden.type});
    EXPECT_EQ(frame->payload, golden.payload);
    at = frame->end;
  }
  EXPECT_EQ(journal->Read(at).status().code(), StatusCode::kNotFound);
}

// --- The worked examples of the page. ---

// The bytes of the example called `name`: the hexadecimal columns of the block behind its marker.
std::string DocumentedBytes(const std::string& name) {
  const std::string page = ReadText(SourcePath("docs/log-format.md"));
  const size_t marker = page.find("<!-- example: " + name + " -->");
  EXPECT_NE(marker, std::string::npos);
  const size_t begin = page.find("```\n", marker);
  const size_t end = page.find("\n```", begin + 4);
  std::istringstream lines(page.substr(begin + 4, end - begin - 4));
  std::string bytes;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line.substr(0, line.find('|')));
    std::string word;
    words >> word;  // The offset.
    EXPECT_EQ(std::stoull(word, nullptr, 16), bytes.size());
    while (words >> word) bytes += FromHex(word);
  }
  return bytes;
}

TEST(JournalGoldenPageTest, DocumentedBytesAreThoseOfTheGoldenFile) {
  const SimDisk disk = FromText(ReadText(GoldenPath(Durability::kSync)));
  const std::string segment =
      *disk.Contents(JoinPath(kDirectory, SegmentFileName(kFirstLsn.value)));
  const std::string header = DocumentedBytes("segment header");
  EXPECT_EQ(header.size(), 96u);
  EXPECT_EQ(header, segment.substr(0, header.size()));
  const std::string epoch = DocumentedBytes("epoch frame");
  EXPECT_EQ(epoch.size(), FrameBytes(kEpochFramePayloadBytes));
  EXPECT_EQ(epoch, segment.substr(kSegmentHeaderBytes, epoch.size()));
  const std::string frame = DocumentedBytes("frame");
  EXPECT_EQ(frame.size(), FrameBytes(GoldenFrames()[0].payload.size()));
  EXPECT_EQ(frame, segment.substr(2 * kBlockBytes, frame.size()));
}

// --- Single bits. ---

// Every bit of every file of a closed journal: the flip is refused, or does no harm. Frames other
// than the true ones are never shown.
// TAILRACE_TEST_SCALE=quick leaves most of them out.
TEST_P(JournalGoldenTest, EverySingleBitFlipIsFoundOrHarmless) {
  const uint64_t stride = tailrace::test::ByScale(7, 1, 1);
  const SimDisk disk = FromText(ReadText(GoldenPath(GetParam())));
  JournalStart start{.store_id = kTestStore, .from = {}, .known_durable = {}, .epoch_floor = {}};
  uint64_t refused = 0, harmless = 0;
  for (const std::string& path : disk.Files()) {
    const std::string bytes = *disk.Contents(path);
    for (size_t bit = 0; bit < bytes.size() * 8; bit += stride) {
      SimDisk flipped = disk;
      const char byte = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
      ASSERT_OK(flipped.Patch(path, bit / 8, ByteView(&byte, 1)));
      SimFs fs(std::move(flipped));
      const Result<RecoveryPlan> plan = PlanRecovery(fs, kDirectory, start);
      if (!plan.ok()) {
        ASSERT_EQ(plan.status().code(), StatusCode::kCorruption);
        ASSERT_NE(plan.status().message().find(kDirectory), std::string::npos);
        ++refused;
        continue;
      }
      ++harmless;
      size_t i = 0;
      for (const RecoveredSegment& segment : plan->segments) {
        for (const Lsn at : segment.frames) {
          ParsedFrame frame;
          ASSERT_EQ(segment.image.FrameAt(at, frame), FrameProblem::kNone);
          ASSERT_LT(i, GoldenFrames().size());
          ASSERT_EQ(frame.payload, GoldenFrames()[i].payload) << path << " bit " << bit;
          ASSERT_EQ(frame.header.type, FrameType{GoldenFrames()[i].type});
          ++i;
        }
      }
      ASSERT_EQ(i, GoldenFrames().size()) << path << " bit " << bit;
    }
  }
  std::printf("bit flips: %llu refused, %llu harmless\n", static_cast<unsigned long long>(refused),
              static_cast<unsigned long long>(harmless));
  // Headers, frames and their hashes: the harmless ones are in padding and unused space.
  EXPECT_GT(refused, 8 * (16000u + 3 * kSegmentHeaderBytes) / stride);
}

}  // namespace
}  // namespace tailrace::wal
