// Segments read one after another, and ahead.
#include "wal/segment_loader.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/expect_ok.h"
#include "tests/support/sim_fs.h"

namespace tailrace::wal {
namespace {

using test::SimFs;

class SegmentLoaderTest : public testing::TestWithParam<JournalThreads> {
 protected:
  static constexpr uint64_t kSegmentBytes = 16 << 10;

  // A file of one segment, filled with `fill`.
  void Make(const std::string& path, char fill) {
    SegmentHeader header;
    header.base = kFirstLsn.value + segments_.size() * SegmentDataBytes(kSegmentBytes);
    header.segment_bytes = kSegmentBytes;
    const auto file = fs_.Open(path, OpenMode::kCreateNew).value();
    ASSERT_OK(file->Write(0, EncodeSegmentHeader(header)));
    ASSERT_OK(file->Write(kSegmentHeaderBytes, std::string(SegmentDataBytes(kSegmentBytes), fill)));
    segments_.push_back({path, header});
  }

  SimFs fs_;
  std::vector<SegmentLoader::Segment> segments_;
};

INSTANTIATE_TEST_SUITE_P(Threads, SegmentLoaderTest,
                         testing::Values(JournalThreads::kOwn, JournalThreads::kNone));

TEST_P(SegmentLoaderTest, SegmentsComeInTheirOrder) {
  for (const char fill : std::string("abcdefg")) Make(std::string("/") + fill, fill);
  SegmentLoader loader(fs_, segments_, GetParam());
  for (const SegmentLoader::Segment& segment : segments_) {
    const auto image = loader.Next();
    ASSERT_OK(image);
    EXPECT_EQ(image->path(), segment.path);
    EXPECT_EQ(image->Bytes(image->base(), image->end()),
              std::string(SegmentDataBytes(kSegmentBytes), segment.path[1]));
  }
}

// However far ahead it was found.
TEST_P(SegmentLoaderTest, AnErrorIsToldWhenItsSegmentIsDue) {
  Make("/a", 'a');
  Make("/b", 'b');
  segments_.push_back({"/missing", segments_.back().header});
  Make("/c", 'c');
  SegmentLoader loader(fs_, segments_, GetParam());
  EXPECT_OK(loader.Next());
  EXPECT_OK(loader.Next());
  EXPECT_EQ(loader.Next().status().code(), StatusCode::kNotFound);
  const auto after = loader.Next();
  ASSERT_OK(after);
  EXPECT_EQ(after->path(), "/c");
}

TEST_P(SegmentLoaderTest, WhoStopsInTheMiddleNeedsNotAskForTheRest) {
  for (const char fill : std::string("abc")) Make(std::string("/") + fill, fill);
  SegmentLoader loader(fs_, segments_, GetParam());
  EXPECT_OK(loader.Next());
}

}  // namespace
}  // namespace tailrace::wal
