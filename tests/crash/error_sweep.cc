// The error sweep of a whole store: the n-th call of a script to the file system fails, n = 1, 2, …
// until the script runs clean; once or from then on; any call or those of a kind of failure: an I/O
// error, a full disk, a quota, no more open files, a file system that was mounted read-only. And
// once more with a second failure of another call in the handling of the first. What must hold
// then: RunStoreScriptWithFaults.
//
//   error_sweep [--stride N] [--seed S] [--workload N]
//   error_sweep --replay LINE     one run, as printed when it failed
//
// With --stride N every N-th call fails, which one first is drawn from the seed (1: every call, for
// a soak). Prints runs, hits, and how the store went on. Exits 1 at the first broken promise, or
// when a run hangs, with the line that replays it.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "tests/crash/store_workload.h"
#include "tests/support/random.h"

namespace tailrace::test {
namespace {

// A run takes milliseconds.
constexpr unsigned kHangSeconds = 120;

struct Workload {
  const char* name;
  uint32_t base;
  const char* words;
};
constexpr Workload kWorkloads[] = {
    {"writes with checkpoints", 1, "Pa1 Ba6 C Ua2 Da2 Pb1 C Na3 Pa4 R C"},
    {"transactions", 1, "T1 T2 R C T3 T1"},
    {"an index is made", 1, "I Pa1 I M R Pa2 Da4 C"},
    {"streams that change", 2, "Sa Sb Pa1 La A Pa2 M R Sa C Pa3 R"},
    {"a consumer", 1, "W Pa1 W Da2 C W R"},
    {"recovery", 2, "K Pa1 O T1 Q R"},
    {"tables come and go", 1, "Xa Pb1 C R Xa Pa1 Xb C M R"},
};

struct Arguments {
  uint64_t stride = 1;
  uint64_t seed = 1;
  std::optional<uint64_t> workload;
  std::string replay;
};

struct Totals {
  uint64_t runs = 0;
  uint64_t doubles = 0;    // Of these: a second call failed in the handling of the first.
  uint64_t errors = 0;     // A call of the store failed.
  uint64_t read_only = 0;  // And it took no more writes afterwards.
  uint64_t tolerated = 0;  // The fault was hit, and no call of the store failed.
};

// How a disk fails. Errnos that the library does not tell apart are one kind, unless they come with
// other calls; a call that is interrupted is the concern of wal/posix_fs.cc, below this seam.
struct FaultKind {
  const char* name;
  Status status;
  bool mutating_only = false;
  std::vector<SimCall> calls = {};
};
const std::vector<FaultKind>& FaultKinds() {
  using enum SimCall;
  static const std::vector<FaultKind> kinds = {
      {.name = "any", .status = IoError("injected (EIO)")},
      {.name = "changes", .status = IoError("injected (EIO)"), .mutating_only = true},
      {.name = "space", .status = NoSpace("injected (ENOSPC)"), .mutating_only = true},
      // Where room is taken, and only there: files can be removed.
      {.name = "quota",
       .status = NoSpace("injected (EDQUOT)"),
       .calls = {kCreate, kWrite, kWriteDurable, kSync, kAllocate, kMapSync, kLink,
                 kCreateDirectory}},
      // Files that are open can be read and written. EACCES and ENOMEM come here, too.
      {.name = "files",
       .status = IoError("injected (EMFILE)"),
       .calls = {kCreate, kOpen, kMap, kList, kLock, kSyncDirectory}},
      // Syncs of what was written before still end well.
      {.name = "readonly",
       .status = IoError("injected (EROFS)"),
       .calls = {kCreate, kWrite, kWriteDurable, kTruncate, kAllocate, kRemove, kRename, kLink,
                 kCreateDirectory, kRemoveDirectory}},
  };
  return kinds;
}
constexpr size_t kNoKind = ~size_t{0};

size_t KindOf(const std::string& name) {
  for (size_t i = 0; i < FaultKinds().size(); ++i) {
    if (FaultKinds()[i].name == name) return i;
  }
  return kNoKind;
}

struct Failure {
  size_t kind = kNoKind;
  uint64_t nth = 1;
  bool for_ever = false;

  // "space:on:17".
  std::string ToString() const {
    if (kind == kNoKind) return "-";
    return std::string(FaultKinds()[kind].name) + (for_ever ? ":on:" : ":once:") +
           std::to_string(nth);
  }
  static std::optional<Failure> Parse(const std::string& text) {
    if (text == "-") return Failure();
    std::string name, how, nth;
    std::istringstream parts(text);
    std::getline(parts, name, ':');
    std::getline(parts, how, ':');
    std::getline(parts, nth);
    const Failure failure{.kind = KindOf(name),
                          .nth = std::strtoull(nth.c_str(), nullptr, 10),
                          .for_ever = how == "on"};
    return failure.kind != kNoKind && failure.nth > 0 ? std::optional(failure) : std::nullopt;
  }
  SimFault Fault() const {
    const FaultKind& from = FaultKinds()[kind];
    return {.calls = from.calls,
            .mutating_only = from.mutating_only,
            .nth = nth,
            .for_ever = for_ever,
            .status = from.status};
  }
};

struct Case {
  StoreScript script;
  Failure first;
  Failure second;     // In the handling of the first, if there is one.
  uint64_t seed = 1;  // Of the crash at the end.

  std::vector<SimFault> Faults() const {
    std::vector<SimFault> faults{first.Fault()};
    if (second.kind == kNoKind) return faults;
    faults.push_back(second.Fault());
    faults.back().after_another = true;
    return faults;
  }

  // "sync/1/shared/Pa1 C|any:once:17|-|1".
  std::string ToString() const {
    return script.ToString() + "|" + first.ToString() + "|" + second.ToString() + "|" +
           std::to_string(seed);
  }
  static std::optional<Case> Parse(const std::string& line) {
    std::vector<std::string> parts;
    std::istringstream text(line);
    for (std::string part; std::getline(text, part, '|');) parts.push_back(part);
    if (parts.size() != 4) return std::nullopt;
    const auto script = StoreScript::Parse(parts[0]);
    const auto first = Failure::Parse(parts[1]);
    const auto second = Failure::Parse(parts[2]);
    if (!script || !first || !second || first->kind == kNoKind) return std::nullopt;
    return Case{.script = *script,
                .first = *first,
                .second = *second,
                .seed = std::strtoull(parts[3].c_str(), nullptr, 10)};
  }
};

// What is printed when a run hangs.
char g_running[512];
void OnAlarm(int) {
  constexpr char kText[] = "FAILED: a run hangs\nreplay: error_sweep --replay ";
  (void)!::write(1, kText, sizeof kText - 1);
  (void)!::write(1, g_running, std::strlen(g_running));
  (void)!::write(1, "\n", 1);
  ::_exit(1);
}

std::string RunCase(const Case& each, StoreFaultReport& report) {
  std::snprintf(g_running, sizeof g_running, "'%s'", each.ToString().c_str());
  ::alarm(kHangSeconds);
  using Keep = CrashChoice::Keep;
  constexpr Keep kKeeps[] = {Keep::kNone, Keep::kAll, Keep::kRandomUnits, Keep::kRandomPieces};
  const CrashChoice choice{.keep = kKeeps[each.seed % std::size(kKeeps)],
                           .argument = each.seed,
                           .fill = static_cast<CrashChoice::Fill>(each.seed % 3)};
  std::string problem = RunStoreScriptWithFaults(each.script, each.Faults(), choice, report);
  ::alarm(0);
  return problem;
}

class ErrorSweep {
 public:
  explicit ErrorSweep(const Arguments& arguments) : arguments_(arguments) {}

  bool Run() {
    for (uint64_t i = 0; i < std::size(kWorkloads); ++i) {
      if (arguments_.workload && *arguments_.workload != i) continue;
      const Workload& workload = kWorkloads[i];
      StoreScript script =
          StoreScript::Parse("sync/" + std::to_string(workload.base) + "/shared/" + workload.words)
              .value();
      for (const Durability durability : {Durability::kSync, Durability::kBuffered}) {
        script.durability = durability;
        if (!Sweep(workload, script)) return false;
      }
    }
    return true;
  }

  const Totals& totals() const { return totals_; }

 private:
  bool Sweep(const Workload& workload, const StoreScript& script) {
    const uint64_t runs_before = totals_.runs;
    for (size_t kind = 0; kind < FaultKinds().size(); ++kind) {
      for (const bool for_ever : {false, true}) {
        if (!SweepOne(script, {.kind = kind, .for_ever = for_ever}, Second::kNone)) return false;
      }
      if (!SweepOne(script, {.kind = kind}, Second::kDrawn)) return false;
    }
    std::printf("%s, %s: %llu runs\n", workload.name,
                script.durability == Durability::kSync ? "sync" : "buffered",
                static_cast<unsigned long long>(totals_.runs - runs_before));
    return true;
  }

  enum class Second { kNone, kDrawn };

  // Every n, or every stride-th.
  bool SweepOne(const StoreScript& script, Failure first, Second second) {
    const uint64_t from = 1 + MixSeed(arguments_.seed, ++drawn_) % arguments_.stride;
    for (first.nth = from;; first.nth += arguments_.stride) {
      Random random(MixSeed(arguments_.seed, ++drawn_));
      Case each{.script = script, .first = first, .second = {}, .seed = random.Next()};
      if (second == Second::kDrawn) {
        each.second = {.kind = random.Below(FaultKinds().size()),
                       .nth = random.Between(1, 3),
                       .for_ever = random.OneIn(2)};
      }
      StoreFaultReport report;
      const std::string problem = RunCase(each, report);
      if (!problem.empty()) {
        std::printf("FAILED: %s\nreplay: error_sweep --replay '%s'\n", problem.c_str(),
                    each.ToString().c_str());
        return false;
      }
      if (report.hits == 0) return true;
      ++totals_.runs;
      totals_.doubles += second == Second::kDrawn && report.hits > 1;
      totals_.errors += !report.error.ok();
      totals_.tolerated += report.error.ok();
      totals_.read_only += report.read_only;
    }
  }

  const Arguments& arguments_;
  uint64_t drawn_ = 0;
  Totals totals_;
};

int Replay(const std::string& line) {
  const auto each = Case::Parse(line);
  if (!each) {
    std::fprintf(stderr, "not a replay line: %s\n", line.c_str());
    return 2;
  }
  StoreFaultReport report;
  const std::string problem = RunCase(*each, report);
  std::printf("hits %llu, first error: %s\n%s\n", static_cast<unsigned long long>(report.hits),
              report.error.ToString().c_str(), problem.empty() ? "held" : problem.c_str());
  return problem.empty() ? 0 : 1;
}

bool ParseArguments(int count, char** values, Arguments& arguments) {
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = values[i];
    const std::string value = values[i + 1];
    const uint64_t number = std::strtoull(value.c_str(), nullptr, 10);
    if (name == "--stride" && number > 0) {
      arguments.stride = number;
    } else if (name == "--seed") {
      arguments.seed = number;
    } else if (name == "--workload") {
      arguments.workload = number;
    } else if (name == "--replay") {
      arguments.replay = value;
    } else {
      return false;
    }
  }
  return count % 2 == 1;
}

int Main(int count, char** values) {
  Arguments arguments;
  if (const char* seed = std::getenv("TAILRACE_SEED"); seed != nullptr) {
    arguments.seed = std::strtoull(seed, nullptr, 10);
  }
  if (!ParseArguments(count, values, arguments)) {
    std::fprintf(stderr, "usage: see the head of tests/crash/error_sweep.cc\n");
    return 2;
  }
  ::signal(SIGALRM, OnAlarm);
  if (!arguments.replay.empty()) return Replay(arguments.replay);
  ErrorSweep sweep(arguments);
  if (!sweep.Run()) return 1;
  const Totals& totals = sweep.totals();
  std::printf(
      "figure: error sweep, %llu runs with a fault (stride %llu), %llu of them with a second one "
      "in "
      "its handling: %llu failed with a typed error, "
      "%llu of these were read-only until reopened, %llu were tolerated; seed %llu\n",
      static_cast<unsigned long long>(totals.runs),
      static_cast<unsigned long long>(arguments.stride),
      static_cast<unsigned long long>(totals.doubles),
      static_cast<unsigned long long>(totals.errors),
      static_cast<unsigned long long>(totals.read_only),
      static_cast<unsigned long long>(totals.tolerated),
      static_cast<unsigned long long>(arguments.seed));
  return 0;
}

}  // namespace
}  // namespace tailrace::test

int main(int count, char** values) { return tailrace::test::Main(count, values); }
