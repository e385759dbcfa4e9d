// Tier A: every moment at which the power can go, and every state it can leave, of a journal alone.
//
// Runs scripts (all short combinations of a journal's operations behind a few beginnings, and
// random long ones) on a simulated disk. At each mutating call it makes the states that a power cut
// there may leave, and checks what recovery makes of them; some recoveries are cut short in turn,
// up to three deep.
//
//   tier_a [--mode sync|buffered] [--random N] [--cores 0|1] [--seed S] [--states N]
//   tier_a --replay LINE       one state, as printed when a check failed
//
// Prints states made, states checked (those not seen before), the rate and the seed. Exits 1 at the
// first broken promise, with the line that replays it.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/crash/journal_crash_check.h"
#include "tests/crash/journal_workload.h"
#include "tests/support/random.h"
#include "wal/hash.h"

namespace tailrace::test {
namespace {

struct Arguments {
  std::optional<wal::Durability> durability;
  uint64_t random_scripts = 200;
  bool cores = true;
  uint64_t seed = 1;
  uint64_t states_min = 0;
  std::string replay;
};

struct Totals {
  uint64_t scripts = 0;
  uint64_t moments = 0;
  CrashCount states;
  CrashCount nested;
  uint64_t openings = 0;
};

// What a test knows besides the disk, in one number.
uint64_t SaltOf(const JournalTruth& truth) {
  uint64_t salt = truth.durable_frames * 31 + truth.frames.size();
  salt = salt * 1000003 + truth.from.value;
  salt = salt * 1000003 + truth.handed_out.value;
  salt = salt * 1000003 + truth.epoch.value;
  for (const auto& frame : truth.frames) salt = salt * 31 + frame.lsn.value + frame.payload.size();
  return truth.appending ? salt * 31 + truth.appending->size() + 1 : salt;
}

std::string ReplayLine(const JournalScript& script, const std::vector<PowerCut>& cuts) {
  return script.ToString() + CutsToText(cuts);
}

class TierA {
 public:
  explicit TierA(const Arguments& arguments) : arguments_(arguments) {}

  bool RunScript(const JournalScript& script) {
    ++totals_.scripts;
    JournalCrashChecker checker(script, NestedPlan{});
    bool failed = false;
    std::string removal_problem;
    std::string problem =
        RunJournalScript(script, [&](const SimOperation& operation, const JournalTruth& truth) {
          if (failed) return;
          if (removal_problem.empty()) {
            removal_problem = CheckRemovedSegment(operation, truth, script.segment_bytes);
          }
          if (!removal_problem.empty()) return;
          const uint64_t salt = SaltOf(truth);
          // Scripts with a common beginning pass the same moments.
          if (!moments_.Add(MomentOf(operation), salt)) return;
          ++totals_.moments;
          totals_.states += ForEachCrashState(
              operation.disk, PlanFor(operation), seen_, salt,
              [&](const CrashChoice& choice, const SimDisk& state) {
                if (failed) return;
                failed = !checker.Check(state, truth, {{operation.index, choice}});
              });
        });
    totals_.nested += checker.nested_states();
    totals_.openings += checker.openings();
    if (failed) {
      std::printf("FAILED: %s\nreplay: tier_a --replay '%s'\n", checker.failure().problem.c_str(),
                  ReplayLine(script, checker.failure().cuts).c_str());
      return false;
    }
    if (!removal_problem.empty()) problem = removal_problem;
    if (!problem.empty()) {
      std::printf("FAILED without a power cut: %s\nscript: %s\n", problem.c_str(),
                  script.ToString().c_str());
      return false;
    }
    return true;
  }

  const Totals& totals() const { return totals_; }

 private:
  // The disk as the process sees it, what is pending, and where the call stands.
  static uint64_t MomentOf(const SimOperation& operation) {
    uint64_t moment = operation.disk.Hash();
    moment = moment * 1000003 + operation.disk.Crash({}).Hash();
    moment = moment * 1000003 + operation.disk.pending_units();
    return moment * 31 + static_cast<uint64_t>(operation.call);
  }

  CrashPlan PlanFor(const SimOperation& operation) const {
    CrashPlan plan;
    plan.exhaustive_units_max = 7;
    plan.exhaustive_pieces_max = 7;
    plan.random_states = 24;
    plan.tears_max =
        operation.call == SimCall::kWriteDurable || operation.call == SimCall::kMapWrite ? 512 : 16;
    plan.seed = MixSeed(arguments_.seed, operation.index);
    return plan;
  }

  const Arguments& arguments_;
  SeenStates moments_;
  SeenStates seen_;
  Totals totals_;
};

// --- Scripts. ---

const std::vector<std::string>& Alphabet() {
  static const std::vector<std::string> words = {"A40", "A2000", "A4048", "W", "R",
                                                 "F",   "K",     "P",     "C"};
  return words;
}

// Every combination of three words behind each beginning.
std::vector<JournalScript> CoreScripts(wal::Durability durability) {
  const std::vector<std::vector<std::string>> beginnings = {
      {},
      {"A100", "W", "A300", "A8", "W", "A1000"},
      // Close to the end of the first segment, and of one made from a spare.
      {"A3000", "W", "A3000", "A700"},
      {"A3000", "A3000", "A3000", "W", "A3000", "A3000", "A3000", "W", "F", "A3000", "A3000", "W",
       "A1500"},
  };
  std::vector<JournalScript> scripts;
  const auto& words = Alphabet();
  for (const auto& beginning : beginnings) {
    for (size_t i = 0; i < words.size() * words.size() * words.size(); ++i) {
      JournalScript script{.durability = durability, .words = beginning};
      script.words.push_back(words[i % words.size()]);
      script.words.push_back(words[i / words.size() % words.size()]);
      script.words.push_back(words[i / words.size() / words.size()]);
      script.words.push_back("A24");
      script.words.push_back("W");
      scripts.push_back(std::move(script));
    }
  }
  return scripts;
}

JournalScript RandomScript(wal::Durability durability, uint64_t seed) {
  Random random(seed);
  JournalScript script{.durability = durability};
  script.segment_bytes = random.OneIn(3) ? 64 << 10 : wal::kJournalSegmentBytesMin;
  const uint64_t words = random.Between(10, 60);
  for (uint64_t i = 0; i < words; ++i) {
    const uint64_t draw = random.Below(100);
    if (draw < 55) {
      const uint64_t bytes_max = random.OneIn(3) ? 4048 : random.OneIn(2) ? 700 : 80;
      script.words.push_back("A" + std::to_string(random.Below(bytes_max + 1)));
    } else {
      const char word = draw < 78   ? 'W'
                        : draw < 84 ? 'R'
                        : draw < 88 ? 'F'
                        : draw < 92 ? 'K'
                        : draw < 96 ? 'P'
                                    : 'C';
      script.words.push_back(std::string(1, word));
    }
  }
  return script;
}

// --- Replay. ---

// The state that the second and later cuts leave: each falls into the opening of the state before
// it.
SimDisk FollowCuts(SimDisk state, const JournalScript& script, const JournalTruth& truth,
                   const std::vector<PowerCut>& cuts) {
  for (size_t i = 1; i < cuts.size(); ++i) {
    SimFs fs(state);
    const SimClock clock;
    fs.SetObserver([&](const SimOperation& operation) {
      if (operation.index == cuts[i].operation) state = operation.disk.Crash(cuts[i].choice);
    });
    (void)wal::OpenJournal(fs, clock, kSimJournalDirectory, StartFor(truth), OptionsFor(script));
  }
  return state;
}

int Replay(const std::string& line) {
  const size_t at = line.find('@');
  const auto script = JournalScript::Parse(line.substr(0, at));
  const auto cuts = ParseCuts(at == std::string::npos ? "" : line.substr(at + 1));
  if (!script || !cuts || cuts->empty()) {
    std::fprintf(stderr, "not a replay line: %s\n", line.c_str());
    return 2;
  }
  bool reached = false, held = false;
  (void)RunJournalScript(*script, [&](const SimOperation& operation, const JournalTruth& truth) {
    if (operation.index != cuts->front().operation) return;
    reached = true;
    std::printf("power cut at call %llu: %s %s\npending:\n%s",
                static_cast<unsigned long long>(operation.index),
                std::string(SimCallName(operation.call)).c_str(), operation.path.c_str(),
                operation.disk.Describe().c_str());
    const SimDisk state =
        FollowCuts(operation.disk.Crash(cuts->front().choice), *script, truth, *cuts);
    for (const std::string& path : state.Files()) {
      std::printf("%s: %zu bytes\n", path.c_str(), state.Contents(path)->size());
    }
    JournalCrashChecker checker(*script, NestedPlan{.depth_max = 100, .one_in = 1, .plan = {}});
    held = checker.Check(state, truth, *cuts);
    std::printf("%s\n", held ? "held" : checker.failure().problem.c_str());
  });
  if (!reached) std::printf("the script has no such call\n");
  return reached && held ? 0 : 1;
}

// --- The command. ---

bool ParseArguments(int count, char** values, Arguments& arguments) {
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = values[i];
    const std::string value = values[i + 1];
    const uint64_t number = std::strtoull(value.c_str(), nullptr, 10);
    if (name == "--mode" && (value == "sync" || value == "buffered")) {
      arguments.durability = value == "sync" ? wal::Durability::kSync : wal::Durability::kBuffered;
    } else if (name == "--random") {
      arguments.random_scripts = number;
    } else if (name == "--cores") {
      arguments.cores = number != 0;
    } else if (name == "--seed") {
      arguments.seed = number;
    } else if (name == "--states") {
      arguments.states_min = number;
    } else if (name == "--replay") {
      arguments.replay = value;
    } else {
      return false;
    }
  }
  return count % 2 == 1;
}

unsigned long long Print(uint64_t number) { return number; }

int Report(const Totals& totals, const Arguments& arguments, double seconds) {
  const uint64_t made = totals.states.choices + totals.nested.choices;
  const uint64_t checked = totals.states.visited + totals.nested.visited;
  std::printf(
      "figure: scripts %llu, moments %llu, states made %llu (%llu of them within recoveries), "
      "states "
      "checked %llu, openings enumerated %llu, %.1f s, %.0f states/s, seed %llu\n",
      Print(totals.scripts), Print(totals.moments), Print(made), Print(totals.nested.choices),
      Print(checked), Print(totals.openings), seconds, static_cast<double>(made) / seconds,
      Print(arguments.seed));
  if (made >= arguments.states_min) return 0;
  std::printf("FAILED: fewer states than the %llu asked for\n", Print(arguments.states_min));
  return 1;
}

int Main(int count, char** values) {
  Arguments arguments;
  if (const char* seed = std::getenv("TAILRACE_SEED"); seed != nullptr) {
    arguments.seed = std::strtoull(seed, nullptr, 10);
  }
  if (!ParseArguments(count, values, arguments)) {
    std::fprintf(stderr, "usage: see the head of tests/crash/tier_a.cc\n");
    return 2;
  }
  if (!arguments.replay.empty()) return Replay(arguments.replay);
  const auto begin = std::chrono::steady_clock::now();
  TierA tier(arguments);
  for (const wal::Durability durability : {wal::Durability::kSync, wal::Durability::kBuffered}) {
    if (arguments.durability && *arguments.durability != durability) continue;
    std::vector<JournalScript> scripts;
    if (arguments.cores) scripts = CoreScripts(durability);
    for (uint64_t i = 0; i < arguments.random_scripts; ++i) {
      scripts.push_back(RandomScript(durability, MixSeed(arguments.seed, i)));
    }
    for (const JournalScript& script : scripts) {
      if (!tier.RunScript(script)) return 1;
    }
  }
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
  return Report(tier.totals(), arguments, passed.count());
}

}  // namespace
}  // namespace tailrace::test

int main(int count, char** values) { return tailrace::test::Main(count, values); }
