// Scripted runs of a whole store on a simulated disk, and what is known of it from outside at every
// moment. Tier B enumerates the moments and the states that a power cut may leave; see tier_b.cc.
//
// A script is a list of words, each a letter with what it works on: a table (a or b), an item (a
// digit).
//   P put, B put something large, U update, D delete, N put without waiting, T a transaction over
//   both tables, R read everything, S enable or disable the stream, L split the stream's first open
//   shard, I create or drop the index of table a, X drop or create the table, C checkpoint, A time
//   passes (all records expire), M upkeep, K kill the process and open again, O cut the power,
//   losing what is pending, and open again, Q close and open again, W a consumer of table a's
//   stream reads a batch and checkpoints it (nothing of that is looked at).
// Words that make no sense at their place (a put into a table that is not there) do nothing.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/crash/store_model.h"
#include "tests/support/sim_clock.h"
#include "tests/support/sim_fs.h"

namespace tailrace::test {

inline constexpr char kSimStoreDirectory[] = "/store";

// A disk for a store: RocksDB's directory is one of a journaling file system, nothing else is.
SimFsOptions SimStoreDisk();

// Small in everything, and without threads: the same calls give the same file operations.
StoreOptions SimStoreOptions(SimFs& fs, const Clock& clock, Durability durability);

// What a crash may leave of a store: one of `states`, from some index on.
struct StoreTruth {
  // All commits and catalogue changes made, oldest first; those that no crash can bring back may be
  // missing. The last ones may be in the making.
  std::vector<StoreModel> states{StoreModel{}};
  std::vector<std::string> texts{std::string()};  // Of the states.
  size_t answered = 0;  // Up to here a caller was told, or shown: the process's death keeps it.
  size_t durable = 0;   // Up to here it survives power loss too.
  SequenceNumber handed_out;  // The highest number a caller knows.
  Epoch epoch;

  // The first state that a crash with this choice may leave.
  size_t FirstAllowed(const CrashChoice& choice) const;

  // What the truth says of the disk, in one number.
  uint64_t Salt() const;

  // Which state this is, at or above `first`; or nothing. The newest, if several look the same.
  std::optional<size_t> Find(const StoreDump& dump, size_t first) const;
};

struct StoreScript {
  Durability durability = Durability::kSync;
  uint32_t base = 0;          // What it begins with: see StoreBase.
  bool own_families = false;  // Each table in files of its own from the start.
  std::vector<std::string> words;

  // "sync/1/shared/Pa1 C T1".
  std::string ToString() const;
  static std::optional<StoreScript> Parse(const std::string& text);
};

// What a script begins with: 0 an empty disk, 1 a closed store, 2 one whose process died with much
// to replay.
inline constexpr uint32_t kStoreBases = 3;
struct StoreBase {
  SimDisk disk;
  StoreTruth truth;
  uint64_t clock_ms = 0;  // Since the clock's start.
};
// Made once; a problem in the making stops the process.
const StoreBase& BaseOf(const StoreScript& script);

// Called for every mutating call of a run, while its effect is pending, and once at the end with
// no call. `word` is the index of the word under way.
struct StoreMoment {
  const SimOperation* operation = nullptr;
  uint64_t index = 0;  // The operation's, or the one that would come next.
  const SimDisk& disk;
  const StoreTruth& truth;
  size_t word = 0;
};
using StoreCrashPoint = std::function<void(const StoreMoment&)>;

// Runs the script. Returns what went wrong (an error, or a broken promise seen after one of the
// script's own restarts or reads), or nothing.
std::string RunStoreScript(const StoreScript& script, const StoreCrashPoint& crash_point);

// What became of a run with a fault.
struct StoreFaultReport {
  uint64_t hits = 0;       // Calls that failed by the faults; 0: the script has fewer.
  Status error;            // Of the first word, or the opening, that failed; OK: none did.
  bool read_only = false;  // The store took no more writes when the fault was gone.
};

// Runs the script on a disk with faults, up to the first error. Errors must be typed and reads go
// on; when they are gone the store must show a state that the errors allow and go on or refuse
// writes until it is reopened; and after a crash with `choice` (kBuffered: of the process) it must
// open with all that was acknowledged. Returns what was otherwise, or nothing.
std::string RunStoreScriptWithFaults(const StoreScript& script, const std::vector<SimFault>& faults,
                                     const CrashChoice& choice, StoreFaultReport& report);

}  // namespace tailrace::test
