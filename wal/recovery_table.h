// The decisions of recovery, as tables: what was found -> one labelled row -> what to do.
//
// Each table has exactly one row for every combination of its facts (a test tries them all). The
// prose to each label is in docs/log-format.md.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace tailrace::wal {

// What a row asks of one fact.
enum class Wanted : uint8_t { kNo, kYes, kAny };

// ---- One segment file. ----

struct SegmentFacts {
  bool header_whole = false;   // Magic and header hash hold.
  bool version_known = false;  // Its format version is one that this build knows.
  bool ours = false;           // Store, kind and log are those asked for.
  bool name_matches = false;   // The file is named after its header's base.
  bool not_needed = false;     // All its positions lie below what the caller asked for.
  bool last = false;           // No whole header has a higher base.
  bool holds_frames = false;   // Under a broken header: frames that only a durable one allows.
  bool known_durable = false;  // The caller knows positions in it to have been durable.
};
inline constexpr size_t kSegmentFacts = 8;

enum class SegmentDecision {
  kUse,     // Read its frames.
  kStale,   // Done with: reuse the file once the journal is open.
  kRemove,  // Never came into use: remove the file.
  kRefuse,  // kCorruption.
  kUnsupported,
};

struct SegmentRow {
  std::string_view label;
  std::array<Wanted, kSegmentFacts> facts;  // In the order of SegmentFacts.
  SegmentDecision decision;
  std::string_view reason;
};

std::span<const SegmentRow> SegmentTable();
const SegmentRow& JudgeSegment(const SegmentFacts& facts);

// ---- The place x where the frames of an epoch stop: none valid begins there. ----

struct StopFacts {
  bool superseded = false;     // A later epoch's Epoch frame says where this epoch ends.
  bool at_old_end = false;     // x is that end.
  bool marked = false;         // A later frame of the epoch says that x was durable.
  bool known_durable = false;  // The caller knows that x was durable.
  bool at_start = false;       // x is where the epoch's Epoch frame belongs.
  bool bytes_follow = false;   // At or beyond x there are bytes of frames of this epoch.
};
inline constexpr size_t kStopFacts = 6;

enum class StopDecision {
  kEnd,        // The epoch ends at x.
  kCut,        // It ends at x; what follows was never acknowledged: copied aside, then ignored.
  kStillborn,  // The opening that began the epoch never finished: the epoch holds nothing.
  kRefuse,     // kCorruption: bytes once durable are damaged or gone.
};

struct StopRow {
  std::string_view label;
  std::array<Wanted, kStopFacts> facts;  // In the order of StopFacts.
  StopDecision decision;
  std::string_view reason;
};

std::span<const StopRow> StopTable();
const StopRow& JudgeStop(const StopFacts& facts);

}  // namespace tailrace::wal
