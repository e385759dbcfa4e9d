// Lines of plain and compressed files, whole and damaged.
#include "tools/line_reader.h"

#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"
#include "tests/tools/run_command.h"

namespace tailrace::tools {
namespace {

struct Lines {
  std::vector<std::string> lines;
  Status end;
};

Lines ReadLines(const std::string& bytes) {
  const test::TempDir directory;
  const std::string path = directory.path() + "/file";
  test::WriteFile(path, bytes);
  auto reader = LineReader::Open(path);
  EXPECT_TRUE(reader.ok());
  Lines result;
  std::string_view line;
  while (true) {
    const auto more = (*reader)->Next(line);
    result.end = more.status();
    if (!more.ok() || !*more) return result;
    result.lines.emplace_back(line);
    EXPECT_EQ((*reader)->line_number(), result.lines.size());
  }
}

TEST(LineReader, PlainAndCompressedAreTheSame) {
  const std::string text = "one\n\ntwo\r\nthree";
  const std::vector<std::string> expected = {"one", "", "two", "three"};
  EXPECT_EQ(ReadLines(text).lines, expected);
  EXPECT_EQ(ReadLines(test::Gzip(text)).lines, expected);
  // Several gzip members in one file are one text.
  EXPECT_EQ(ReadLines(test::Gzip("one\n\n") + test::Gzip("two\r\nthree")).lines, expected);
  EXPECT_TRUE(ReadLines("").lines.empty());
  EXPECT_EQ(ReadLines("\n").lines, std::vector<std::string>{""});
}

TEST(LineReader, LongLinesCrossBuffers) {
  std::string text;
  std::vector<std::string> expected;
  for (size_t i = 0; i < 12; ++i) {
    expected.emplace_back(i * 100'000 + 1, static_cast<char>('a' + i));
    text += expected.back() + "\n";
  }
  EXPECT_EQ(ReadLines(text).lines, expected);
  EXPECT_EQ(ReadLines(test::Gzip(text)).lines, expected);
}

TEST(LineReader, TooLongALineIsRefused) {
  const Lines lines = ReadLines("ok\n" + std::string(kLineBytesMax + (1 << 20), 'x') + "\nnever\n");
  EXPECT_EQ(lines.lines, std::vector<std::string>{"ok"});
  EXPECT_EQ(lines.end.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(lines.end.message().find(":2:"), std::string::npos) << lines.end.message();
}

TEST(LineReader, DamagedCompressedDataIsAnError) {
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += "line " + std::to_string(i * 7919 % 10007) + "\n";
  const std::string whole = test::Gzip(text);
  const Lines cut = ReadLines(whole.substr(0, whole.size() / 2));
  EXPECT_EQ(cut.end.code(), StatusCode::kIoError);
  EXPECT_FALSE(cut.lines.empty());
  std::string flipped = whole;
  flipped[whole.size() / 2] = static_cast<char>(flipped[whole.size() / 2] ^ 0x55);
  EXPECT_EQ(ReadLines(flipped).end.code(), StatusCode::kIoError);
}

TEST(LineReader, FilesThatCannotBeRead) {
  const test::TempDir directory;
  EXPECT_EQ(LineReader::Open(directory.path() + "/none").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(LineReader::Open(directory.path()).status().code(), StatusCode::kIoError);
}

}  // namespace
}  // namespace tailrace::tools
