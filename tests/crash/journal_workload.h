// Scripted runs of a journal on a simulated disk, and what must hold after a power cut at any
// moment of them. Tier A enumerates the moments and the states a power cut may leave; see
// tier_a.cc.
//
// A script is a list of words: A<n> append n bytes; W wait until the last frame is durable; R
// recycle up to half of what is durable; F recycle all that is durable; K kill the process and open
// again; P cut the power, losing what is pending, and open again; C close and open again.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/sim_clock.h"
#include "tests/support/sim_fs.h"
#include "wal/journal.h"

namespace tailrace::test {

// What is known of the journal from outside at one moment.
struct JournalTruth {
  struct KnownFrame {
    wal::FrameType type{};
    Lsn lsn;
    Lsn end;
    std::string payload;
  };
  std::vector<KnownFrame> frames;        // From `from` on, as appended.
  size_t durable_frames = 0;             // The first of them were acknowledged as durable.
  std::optional<std::string> appending;  // A frame may be in the making behind them.
  Lsn from;                              // Where a checkpoint outside the journal stands.
  Lsn handed_out;                        // Positions below have been given to frames.
  Epoch epoch;                           // Of the last opening that finished.
  bool opening_first = false;            // No opening has finished yet.
};

struct JournalScript {
  wal::Durability durability = wal::Durability::kSync;
  uint64_t segment_bytes = wal::kJournalSegmentBytesMin;
  std::vector<std::string> words;

  // "sync/16384/A100 W K".
  std::string ToString() const;
  static std::optional<JournalScript> Parse(const std::string& text);
};

// Called for every mutating call of a run, while its effect is pending.
using CrashPoint = std::function<void(const SimOperation&, const JournalTruth&)>;

// The options that runs and their recoveries use.
wal::JournalOptions OptionsFor(const JournalScript& script);
wal::JournalStart StartFor(const JournalTruth& truth);
inline constexpr char kSimJournalDirectory[] = "/journal";

// Runs the script. Returns what went wrong (an error, or a broken promise seen after one of the
// script's own restarts), or nothing.
std::string RunJournalScript(const JournalScript& script, const CrashPoint& crash_point);

// Compares what recovery shows with the truth: a prefix of what was appended, with all that was
// acknowledged. Empty, or what is wrong.
std::string CompareFrames(const JournalTruth& truth,
                          const std::vector<JournalTruth::KnownFrame>& recovered);

}  // namespace tailrace::test
