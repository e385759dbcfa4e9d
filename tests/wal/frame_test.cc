// Frames as bytes: encoding, validity, padding.
#include "wal/frame.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/random.h"
#include "tests/support/seed.h"

namespace tailrace::wal {
namespace {

constexpr FrameSeed kSeed{77};
constexpr Epoch kEpochOfTest{5};

std::string MakeFrame(FrameType type, const std::string& payload, uint64_t position,
                      uint64_t mark) {
  std::string bytes(FrameBytes(payload.size()), '\0');
  EncodeFrameHeader(bytes.data(),
                    FrameHeader{.payload_bytes = static_cast<uint32_t>(payload.size()),
                                .position = position,
                                .mark = mark,
                                .epoch = kEpochOfTest,
                                .type = type,
                                .payload_hash = PayloadHash(type, payload, kSeed)},
                    kSeed);
  bytes.replace(kFrameHeaderBytes, payload.size(), payload);
  return bytes;
}

FrameProblem Parse(const std::string& bytes) {
  ParsedFrame frame;
  return ParseFrame(bytes, kSeed, kEpochOfTest, frame);
}

TEST(FrameTest, FieldsComeBack) {
  const std::string bytes = MakeFrame(FrameType{16}, "payload", 4096, 4000);
  EXPECT_EQ(bytes.size() % kFrameAlignment, 0u);
  ParsedFrame frame;
  ASSERT_EQ(ParseFrame(bytes, kSeed, kEpochOfTest, frame), FrameProblem::kNone);
  EXPECT_EQ(frame.payload, "payload");
  EXPECT_EQ(frame.header.position, 4096u);
  EXPECT_EQ(frame.header.mark, 4000u);
  EXPECT_EQ(frame.header.epoch, kEpochOfTest);
  EXPECT_EQ(frame.header.type, FrameType{16});
  EXPECT_EQ(frame.header.frame_bytes(), bytes.size());
}

TEST(FrameTest, EverySingleBitCounts) {
  const std::string good = MakeFrame(FrameType{16}, "sixteen bytes ok", 8192, 4096);
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_NE(Parse(bad), FrameProblem::kNone) << "bit " << bit;
  }
}

TEST(FrameTest, EveryCutIsShortOrDamaged) {
  const std::string good = MakeFrame(FrameType{16}, "some payload of no special length", 8192, 0);
  for (size_t bytes = 0; bytes < good.size(); ++bytes) {
    EXPECT_EQ(Parse(good.substr(0, bytes)), FrameProblem::kShort) << bytes;
  }
}

TEST(FrameTest, EachProblemHasItsName) {
  const std::string good = MakeFrame(FrameType{16}, "x", 8192, 0);
  EXPECT_EQ(Parse(std::string(200, '\0')), FrameProblem::kMagic);
  EXPECT_EQ(Parse(std::string(200, '\xff')), FrameProblem::kMagic);
  ParsedFrame frame;
  EXPECT_EQ(ParseFrame(good, FrameSeed{78}, kEpochOfTest, frame), FrameProblem::kHeaderHash);
  EXPECT_EQ(ParseFrame(good, kSeed, Epoch{6}, frame), FrameProblem::kEpoch);
  std::string damaged = good;
  damaged[kFrameHeaderBytes] = 'y';
  EXPECT_EQ(Parse(damaged), FrameProblem::kPayloadHash);
  for (const FrameProblem problem :
       {FrameProblem::kShort, FrameProblem::kMagic, FrameProblem::kReserved,
        FrameProblem::kHeaderHash, FrameProblem::kPosition, FrameProblem::kEpoch,
        FrameProblem::kPayloadHash}) {
    EXPECT_NE(FrameProblemName(problem), "unknown");
  }
}

TEST(FrameTest, RestampedHeaderIsValidAndOtherwiseTheSame) {
  std::string bytes = MakeFrame(FrameType{16}, "payload", 8192, 0);
  RestampFrameHeader(bytes.data(), 8192, kSeed);
  EXPECT_EQ(bytes, MakeFrame(FrameType{16}, "payload", 8192, 8192));
}

TEST(FrameTest, PadPayloadIsNotLookedAt) {
  std::string bytes = MakeFrame(FrameType::kPad, std::string(40, '\0'), 8192, 0);
  bytes.replace(kFrameHeaderBytes, 40, std::string(40, '\x5a'));
  EXPECT_EQ(Parse(bytes), FrameProblem::kNone);
}

// Never reads beyond what it is given: run under the address sanitizer.
TEST(FrameTest, AnyBytesAreJudgedWithoutHarm) {
  test::Random random(test::TestSeed());
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = random.Bytes(random.Below(200));
    if (bytes.size() >= 4 && random.OneIn(2)) bytes.replace(0, 4, "TRM1");
    EXPECT_NE(Parse(bytes), FrameProblem::kNone);
  }
}

TEST(FrameTest, PaddingEndsAtABlock) {
  constexpr uint64_t kEnd = 4 * kBlockBytes;
  for (uint64_t offset = 0; offset <= kEnd; offset += kFrameAlignment) {
    const Padding padding = PaddingToBlock(offset, kEnd);
    EXPECT_EQ((offset + padding.bytes) % kBlockBytes, 0u);
    EXPECT_LE(offset + padding.bytes, kEnd);
    EXPECT_LT(padding.bytes, kBlockBytes + kFrameHeaderBytes);
    if (padding.needs_frame) {
      EXPECT_GE(padding.bytes, kFrameHeaderBytes);
    } else if (padding.bytes > 0) {
      EXPECT_EQ(offset + padding.bytes, kEnd);
      EXPECT_LT(padding.bytes, kFrameHeaderBytes);
    }
  }
}

TEST(FrameTest, EpochFrameComesBack) {
  const EpochFrame frame{
      .old_end = Lsn{8200}, .new_start = Lsn{16384}, .old_epoch = Epoch{3}, .clean = true};
  char bytes[kEpochFramePayloadBytes];
  EncodeEpochFrame(bytes, frame);
  EXPECT_EQ(DecodeEpochFrame(ByteView(bytes, sizeof bytes)), frame);
  EXPECT_EQ(DecodeEpochFrame(ByteView(bytes, sizeof bytes - 1)), std::nullopt);
  bytes[kEpochFrameFlagsAt] = 2;
  EXPECT_EQ(DecodeEpochFrame(ByteView(bytes, sizeof bytes)), std::nullopt);
}

}  // namespace
}  // namespace tailrace::wal
