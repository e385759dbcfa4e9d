// Checks one state that a power cut left of a journal's disk: recovery must show a prefix of what
// was appended with all that was acknowledged, above every position handed out, and must be
// repeatable and itself safe to cut short.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/crash/journal_workload.h"
#include "tests/support/power_cuts.h"
#include "tests/support/sim_disk.h"

namespace tailrace::test {

// What is enumerated within recoveries.
struct NestedPlan {
  uint32_t depth_max = 3;  // Power cuts in a row, the first one included.
  uint64_t one_in = 16;    // So many states are also opened in full, and their openings enumerated.
  CrashPlan plan{.exhaustive_units_max = 3,
                 .exhaustive_pieces_max = 0,
                 .random_states = 2,
                 .tears_max = 0,
                 .seed = 1};
};

// A failure: what was wrong, and the power cuts that lead there.
struct CrashFailure {
  std::string problem;
  std::vector<PowerCut> cuts;
};

// A segment of the journal is not removed or written anew while a frame in it is still needed: one
// from the checkpoint on that was acknowledged as durable. Empty, or what is wrong.
std::string CheckRemovedSegment(const SimOperation& operation, const JournalTruth& truth,
                                uint64_t segment_bytes);

class JournalCrashChecker {
 public:
  JournalCrashChecker(const JournalScript& script, const NestedPlan& nested)
      : script_(script), nested_(nested) {}

  // Checks the state that `cuts` led to. Empty, or what is wrong; then failure() has the cuts,
  // those within recovery included.
  bool Check(const SimDisk& state, const JournalTruth& truth, std::vector<PowerCut> cuts);

  const CrashFailure& failure() const { return failure_; }
  const CrashCount& nested_states() const { return nested_states_; }
  uint64_t openings() const { return openings_; }

 private:
  std::string CheckPlan(const SimDisk& state, const JournalTruth& truth) const;
  std::string CheckOpening(const SimDisk& state, const JournalTruth& truth,
                           const std::vector<PowerCut>& cuts);
  std::string CheckReopening(SimFs& fs, const JournalTruth& truth) const;
  bool Fail(std::string problem, const std::vector<PowerCut>& cuts);

  const JournalScript& script_;
  const NestedPlan nested_;
  SeenStates nested_seen_;
  CrashCount nested_states_;
  uint64_t openings_ = 0;
  CrashFailure failure_;
};

}  // namespace tailrace::test
