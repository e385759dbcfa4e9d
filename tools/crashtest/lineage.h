// One store of a crash test through all of its lives: each is a process that writes to it in many
// ways at once and dies at a moment nobody chose; the next one tells what it finds, and the oracle
// judges that. Who runs lineages prints what came of it.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "tools/crashtest/oracle.h"
#include "tools/crashtest/victim.h"
#include "wal/random.h"
#include "wal/status.h"

namespace tailrace::crashtest {

// The power of the disk that a store lies on. One thread at a time.
class PowerSwitch {
 public:
  virtual ~PowerSwitch() = default;

  // What is not on the disk is lost from now on; every call to the file system fails.
  virtual void Cut() = 0;

  // The disk is as the cut left it and can be used again. No process uses it meanwhile.
  virtual Status Restart() = 0;
};

struct LineageOptions {
  std::string directory;             // Of the store; its parent exists and is nobody else's.
  std::vector<std::string> program;  // The process that dies and its arguments; it is RunChild.
  Durability durability = Durability::kSync;
  bool hostile_clock = false;    // The wall clock jumps by years between lives.
  uint64_t seed = 0;             // Fixes what is drawn, not the moment of a death.
  PowerSwitch* power = nullptr;  // Absent: processes are killed, and the power stays on.
};

// Not thread-safe; lineages on directories of their own run beside one another. The caller ignores
// SIGPIPE: who tells a dead process to stop shall not die of it.
class Lineage {
 public:
  explicit Lineage(LineageOptions options);

  // How a life ended.
  enum class End { kStopped, kKilled, kPowerCut };

  // One life. The moment of its end is drawn, and with a switch whether the power fails then.
  End Live();

  // A life that ends well, with the power on, so that the one before it is judged too.
  void LiveToTheEnd();

  // Whether the store broke a promise, or a process ended as it must not; there is no more life.
  bool failed() const { return !oracle_.problems().empty() || !problem_.empty(); }

  // Nothing more can be judged, and nothing is wrong: the store is given up.
  bool given_up() const { return oracle_.lost_track(); }

  // What is wrong: in which life, then a line for each problem, so many at most.
  std::vector<std::string> Describe() const;

  Counts counts() const { return oracle_.counts(); }

 private:
  End Live(LifeAim::Kind kind, bool cut_power);
  LifeAim::Kind PickKind();
  LifePlan MakePlan(LifeAim::Kind kind);
  void NoteEnd(const VictimReport& report, LifeAim::Kind kind, bool power_cut);
  void DrawOptions(LifePlan& plan);
  void SetClock(LifePlan& plan);
  LifeAim TakeAim(LifeAim::Kind kind);

  const LineageOptions options_;
  Random random_;
  const uint64_t retention_ms_;
  Oracle oracle_;
  uint32_t run_ = 0;
  uint64_t boot_ms_ = 0;       // Of the last life's beginning,
  uint64_t true_ms_ = 0;       // which was then;
  uint64_t open_us_ = 50'000;  // so long does an opening take.
  std::string problem_;
  std::deque<std::string> ends_;  // How the last lives ended, the newest last.
};

}  // namespace tailrace::crashtest
