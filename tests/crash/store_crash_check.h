// Checks one state that a power cut left of a store's disk: it must open unaided and show one of
// the states that the truth allows, tables, index and streams alike; go on with numbers above all
// that were handed out; and be as safe to cut short in its recovery as anywhere else.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/crash/store_workload.h"
#include "tests/support/power_cuts.h"
#include "tests/support/sim_disk.h"

namespace tailrace::test {

// What is enumerated within openings.
struct StoreNesting {
  uint32_t depth_max = 4;        // Power cuts in a row, the first one included.
  uint64_t one_in = 120;         // So many states are checked with power cuts within their opening.
  uint64_t deeper_one_in = 25;   // The same for states that lie within an opening.
  uint64_t states_one_in = 160;  // Of the states within an opening, so many are checked.
  uint64_t removals_one_in = 8;  // In so many openings, segments that go are looked into.
};

class StoreCrashChecker {
 public:
  StoreCrashChecker(const StoreScript& script, const StoreNesting& nesting, uint64_t seed)
      : script_(script), nesting_(nesting), seed_(seed) {}

  // Checks the state that `cuts` led to. False: failure() says why, and cuts() how it came to it.
  bool Check(const SimDisk& state, const StoreTruth& truth, const std::vector<PowerCut>& cuts);

  // Opens the state without looking deeper: for replays.
  std::string CheckAlone(const SimDisk& state, const StoreTruth& truth,
                         const std::vector<PowerCut>& cuts);

  const std::string& failure() const { return failure_; }
  const std::vector<PowerCut>& cuts() const { return cuts_; }

  uint64_t checked() const { return checked_; }
  uint64_t nested() const { return nested_; }      // Of the checked: within openings.
  uint64_t openings() const { return openings_; }  // That were enumerated.
  uint64_t removals() const { return removals_; }  // Of segments, looked into.
  uint32_t depth_reached() const { return depth_reached_; }

 private:
  // What is looked into while a state is opened.
  struct Watch {
    bool removals = true;  // CheckRemovedSegment.
    bool moments = false;  // They are kept in moments_.
  };

  std::string OpenAndCompare(SimFs& fs, const StoreTruth& truth, const std::vector<PowerCut>& cuts,
                             Watch watch);
  std::string Compare(SimFs& fs, Store& store, const StoreTruth& truth,
                      const std::vector<PowerCut>& cuts);
  std::string GoOn(SimFs& fs, Store& store, const StoreTruth& truth, size_t found);
  void Enumerate(uint64_t operation, const SimDisk& disk, const StoreTruth& truth,
                 const std::vector<PowerCut>& cuts);

  const StoreScript& script_;
  const StoreNesting nesting_;
  const uint64_t seed_;
  SeenStates seen_;
  uint64_t drawn_ = 0;
  uint64_t checked_ = 0;
  uint64_t nested_ = 0;
  uint64_t openings_ = 0;
  uint64_t removals_ = 0;
  uint32_t depth_reached_ = 0;
  std::vector<std::pair<uint64_t, SimDisk>> moments_;  // Of the last opening.
  std::string failure_;
  std::vector<PowerCut> cuts_;
};

}  // namespace tailrace::test
