#include "wal/recovery_table.h"

#include "wal/check.h"

namespace tailrace::wal {
namespace {

constexpr Wanted N = Wanted::kNo;
constexpr Wanted Y = Wanted::kYes;
constexpr Wanted o = Wanted::kAny;

// Facts: header whole, version known, ours, name matches, not needed, last, holds frames, known
// durable.
constexpr SegmentRow kSegmentTable[] = {
    {"S1",
     {Y, N, o, o, o, o, o, o},
     SegmentDecision::kUnsupported,
     "written by a newer version of Tailrace"},
    {"S2",
     {Y, Y, N, o, o, o, o, o},
     SegmentDecision::kRefuse,
     "the segment belongs to another store or log"},
    {"S3",
     {Y, Y, Y, N, o, o, o, o},
     SegmentDecision::kRefuse,
     "the file was renamed or copied: its header names another position"},
    {"S4", {Y, Y, Y, Y, Y, N, o, o}, SegmentDecision::kStale, "not needed any more"},
    {"S5", {Y, Y, Y, Y, Y, Y, o, o}, SegmentDecision::kUse, "the last segment"},
    {"S6", {Y, Y, Y, Y, N, o, o, o}, SegmentDecision::kUse, "holds frames asked for"},
    {"S7",
     {N, o, o, o, Y, o, o, o},
     SegmentDecision::kRemove,
     "the header is damaged, but nothing in the segment is needed"},
    {"S8",
     {N, o, o, o, N, N, o, o},
     SegmentDecision::kRefuse,
     "the header is damaged, and later segments exist"},
    {"S9",
     {N, o, o, o, N, Y, Y, o},
     SegmentDecision::kRefuse,
     "the header is damaged, and frames follow it, which are written only under a durable header"},
    {"S10",
     {N, o, o, o, N, Y, N, Y},
     SegmentDecision::kRefuse,
     "the header is damaged, and positions in the segment are known to have been durable"},
    {"S11",
     {N, o, o, o, N, Y, N, N},
     SegmentDecision::kRemove,
     "the segment was being made ready and never came into use"},
};

// Facts: superseded, at old end, marked, known durable, at start, bytes follow.
constexpr StopRow kStopTable[] = {
    {"A", {Y, Y, o, o, o, o}, StopDecision::kEnd, "the next epoch says that this one ends here"},
    {"B", {Y, N, o, o, o, o}, StopDecision::kRefuse, "the next epoch was opened above it"},
    {"C", {N, o, Y, o, o, o}, StopDecision::kRefuse, "a later frame says that it was durable"},
    {"D",
     {N, o, N, Y, o, o},
     StopDecision::kRefuse,
     "it is known from outside the journal to have been durable"},
    {"E", {N, o, N, N, Y, o}, StopDecision::kStillborn, "the epoch's opening never finished"},
    {"F", {N, o, N, N, N, Y}, StopDecision::kCut, "an unfinished tail that was never acknowledged"},
    {"G", {N, o, N, N, N, N}, StopDecision::kEnd, "nothing was written beyond"},
};

bool Fits(Wanted wanted, bool fact) {
  return wanted == Wanted::kAny || (wanted == Wanted::kYes) == fact;
}

template <typename Row, size_t n>
const Row& Judge(std::span<const Row> table, const std::array<bool, n>& facts) {
  for (const Row& row : table) {
    bool fits = true;
    for (size_t i = 0; i < n; ++i) fits = fits && Fits(row.facts[i], facts[i]);
    if (fits) return row;
  }
  TAILRACE_CHECK(false, "the recovery table has no row for these facts");
}

}  // namespace

std::span<const SegmentRow> SegmentTable() { return kSegmentTable; }
std::span<const StopRow> StopTable() { return kStopTable; }

const SegmentRow& JudgeSegment(const SegmentFacts& facts) {
  return Judge<SegmentRow, kSegmentFacts>(
      kSegmentTable, {facts.header_whole, facts.version_known, facts.ours, facts.name_matches,
                      facts.not_needed, facts.last, facts.holds_frames, facts.known_durable});
}

const StopRow& JudgeStop(const StopFacts& facts) {
  return Judge<StopRow, kStopFacts>(
      kStopTable, {facts.superseded, facts.at_old_end, facts.marked, facts.known_durable,
                   facts.at_start, facts.bytes_follow});
}

}  // namespace tailrace::wal
