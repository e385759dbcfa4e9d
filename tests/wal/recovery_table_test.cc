// The tables of recovery: one row for every combination of facts, and none that is never used.
#include "wal/recovery_table.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/test_paths.h"

namespace tailrace::wal {
namespace {

bool Fits(Wanted wanted, bool fact) {
  return wanted == Wanted::kAny || fact == (wanted == Wanted::kYes);
}

// For each of the 2^n combinations exactly one row; each row for at least one of them.
template <typename Row, size_t n>
void ExpectComplete(std::span<const Row> table) {
  std::map<std::string, uint64_t> used;
  for (uint64_t bits = 0; bits < (uint64_t{1} << n); ++bits) {
    std::string labels;
    for (const Row& row : table) {
      bool fits = true;
      for (size_t i = 0; i < n; ++i) fits = fits && Fits(row.facts[i], ((bits >> i) & 1) != 0);
      if (!fits) continue;
      if (!labels.empty()) labels += " ";
      labels += row.label;
      ++used[std::string(row.label)];
    }
    EXPECT_FALSE(labels.empty()) << "no row for facts " << bits;
    EXPECT_EQ(labels.find(' '), std::string::npos) << "rows " << labels << " for facts " << bits;
  }
  EXPECT_EQ(used.size(), table.size()) << "a row is never used, or a label stands twice";
}

TEST(RecoveryTableTest, EverySegmentFileHasOneRow) {
  ExpectComplete<SegmentRow, kSegmentFacts>(SegmentTable());
}

TEST(RecoveryTableTest, EveryStopHasOneRow) { ExpectComplete<StopRow, kStopFacts>(StopTable()); }

TEST(RecoveryTableTest, FactsReachTheTableInTheirOrder) {
  EXPECT_EQ(JudgeSegment({.header_whole = true}).label, "S1");
  EXPECT_EQ(JudgeSegment({.header_whole = true, .version_known = true}).label, "S2");
  EXPECT_EQ(JudgeSegment({.header_whole = true, .version_known = true, .ours = true}).label, "S3");
  const SegmentFacts good{
      .header_whole = true, .version_known = true, .ours = true, .name_matches = true};
  EXPECT_EQ(JudgeSegment(good).label, "S6");
  SegmentFacts facts = good;
  facts.not_needed = true;
  EXPECT_EQ(JudgeSegment(facts).label, "S4");
  facts.last = true;
  EXPECT_EQ(JudgeSegment(facts).label, "S5");
  EXPECT_EQ(JudgeSegment({.not_needed = true}).label, "S7");
  EXPECT_EQ(JudgeSegment({}).label, "S8");
  EXPECT_EQ(JudgeSegment({.last = true, .holds_frames = true}).label, "S9");
  EXPECT_EQ(JudgeSegment({.last = true, .known_durable = true}).label, "S10");
  EXPECT_EQ(JudgeSegment({.last = true}).label, "S11");
}

TEST(RecoveryTableTest, DurableBytesAreNeverCut) {
  for (uint64_t bits = 0; bits < (uint64_t{1} << kStopFacts); ++bits) {
    const StopFacts facts{.superseded = (bits & 1) != 0,
                          .at_old_end = (bits & 2) != 0,
                          .marked = (bits & 4) != 0,
                          .known_durable = (bits & 8) != 0,
                          .at_start = (bits & 16) != 0,
                          .bytes_follow = (bits & 32) != 0};
    const bool once_durable =
        facts.superseded ? !facts.at_old_end : facts.marked || facts.known_durable;
    EXPECT_EQ(JudgeStop(facts).decision == StopDecision::kRefuse, once_durable) << bits;
  }
  EXPECT_EQ(JudgeStop({.superseded = true, .at_old_end = true}).label, "A");
  EXPECT_EQ(JudgeStop({.superseded = true}).label, "B");
  EXPECT_EQ(JudgeStop({.marked = true}).label, "C");
  EXPECT_EQ(JudgeStop({.known_durable = true}).label, "D");
  EXPECT_EQ(JudgeStop({.at_start = true}).label, "E");
  EXPECT_EQ(JudgeStop({.bytes_follow = true}).label, "F");
  EXPECT_EQ(JudgeStop({}).label, "G");
}

// The rows of docs/log-format.md: label -> what it asks of each fact.
std::map<std::string, std::string> DocumentedRows() {
  std::map<std::string, std::string> rows;
  std::ifstream page(SourcePath("docs/log-format.md"));
  for (std::string line; std::getline(page, line);) {
    if (!line.starts_with("| ")) continue;
    std::istringstream cells(line.substr(2));
    std::string label, wanted;
    std::getline(cells, label, '|');
    for (std::string cell; std::getline(cells, cell, '|');) {
      const bool empty = cell.find_first_not_of(' ') == std::string::npos;
      wanted += empty ? "-" : cell == " yes " ? "Y" : cell == " no " ? "N" : ".";
    }
    rows[label.substr(0, label.find(' '))] = wanted;
  }
  return rows;
}

template <typename Row>
void ExpectDocumented(std::span<const Row> table) {
  const std::map<std::string, std::string> rows = DocumentedRows();
  for (const Row& row : table) {
    std::string wanted;
    for (const Wanted each : row.facts) {
      wanted += each == Wanted::kAny ? "-" : each == Wanted::kYes ? "Y" : "N";
    }
    const auto documented = rows.find(std::string(row.label));
    ASSERT_NE(documented, rows.end()) << row.label;
    // Behind the facts stands the decision, in words.
    EXPECT_EQ(documented->second, wanted + ".") << row.label;
  }
}

TEST(RecoveryTableTest, ThePageHasTheSameTables) {
  ExpectDocumented(SegmentTable());
  ExpectDocumented(StopTable());
}

}  // namespace
}  // namespace tailrace::wal
