// Tier A of the shard logs: every moment at which the power can go, and every state it can leave.
//
// Runs scripts (all short combinations of what shard logs go through, behind a few beginnings, and
// random long ones) on a simulated disk. At each mutating call it makes the states that a power cut
// there may leave, opens them from the newest durable checkpoint, folds the journal behind it, and
// compares every record, the catalogue and the ends of the logs with a fold that nothing disturbed.
// Some recoveries are cut short in turn, up to three deep; some states are read offline first.
//
//   tier_a_shards [--random N] [--cores 0|1] [--seed S] [--states N]
//   tier_a_shards --replay LINE       one state, as printed when a check failed
//
// Prints states made, states checked (those not seen before), the rate and the seed. Exits 1 at the
// first broken promise, with the line that replays it.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/crash/shard_workload.h"
#include "tests/support/power_cuts.h"
#include "tests/support/random.h"
#include "wal/hash.h"

namespace tailrace::shards::test {
namespace {

using tailrace::test::CrashChoice;
using tailrace::test::CrashCount;
using tailrace::test::CrashPlan;
using tailrace::test::CutsToText;
using tailrace::test::ForEachCrashState;
using tailrace::test::MixSeed;
using tailrace::test::ParseCuts;
using tailrace::test::PowerCut;
using tailrace::test::Random;
using tailrace::test::SeenStates;
using tailrace::test::SimCall;
using tailrace::test::SimDisk;
using tailrace::test::SimFs;
using tailrace::test::SimOperation;

constexpr uint32_t kDepthMax = 3;       // Power cuts in a row, the first one included.
constexpr uint64_t kNestedOneIn = 512;  // So many states also have their recovery enumerated.
constexpr uint64_t kOfflineOneIn = 8;   // So many are read offline first.

ShardTruth OpeningFrom(ShardTruth truth) {
  truth.opening = true;
  return truth;
}

struct Arguments {
  uint64_t random_scripts = 15;
  bool cores = true;
  uint64_t seed = 1;
  uint64_t states_min = 0;
  std::string replay;
};

std::string ReplayLine(const ShardScript& script, const std::vector<PowerCut>& cuts) {
  return script.ToString() + CutsToText(cuts);
}

class TierA {
 public:
  explicit TierA(const Arguments& arguments) : arguments_(arguments) {}

  bool RunScript(const ShardScript& script) {
    ++scripts_;
    script_ = &script;
    failed_ = false;
    removal_problem_.clear();
    std::string problem =
        RunShardScript(script, [&](const SimOperation& operation, const ShardTruth& truth) {
          if (failed_) return;
          CheckRemoval(operation, truth);
          if (!removal_problem_.empty()) return;
          const uint64_t salt = SaltOf(truth);
          if (!moments_seen_.Add(MomentOf(operation), salt)) return;
          ++moments_;
          states_ += ForEachCrashState(operation.disk, PlanFor(operation), seen_, salt,
                                       [&](const CrashChoice& choice, const SimDisk& state) {
                                         if (!failed_) {
                                           Check(state, truth, {{operation.index, choice}});
                                         }
                                       });
        });
    if (failed_) return false;
    if (!removal_problem_.empty()) problem = removal_problem_;
    if (problem.empty()) return true;
    std::printf("FAILED without a power cut: %s\nscript: %s\n", problem.c_str(),
                script.ToString().c_str());
    return false;
  }

  int Report(double seconds) const {
    const uint64_t made = states_.choices + nested_.choices;
    const uint64_t checked = states_.visited + nested_.visited;
    std::printf(
        "figure: scripts %llu, moments %llu, states made %llu (%llu of them within recoveries), "
        "states "
        "checked %llu, recoveries enumerated %llu, read offline %llu, %.1f s, %.0f states/s, seed "
        "%llu\n",
        Print(scripts_), Print(moments_), Print(made), Print(nested_.choices), Print(checked),
        Print(recoveries_), Print(offline_), seconds, static_cast<double>(made) / seconds,
        Print(arguments_.seed));
    if (made >= arguments_.states_min) return 0;
    std::printf("FAILED: fewer states than the %llu asked for\n", Print(arguments_.states_min));
    return 1;
  }

 private:
  static unsigned long long Print(uint64_t number) { return number; }

  // Frames are the same for the same positions and payloads; the journal's end stands for them all.
  static uint64_t SaltOf(const ShardTruth& truth) {
    uint64_t salt = truth.checkpoints * 1000003 + truth.cut.value;
    for (size_t i = 0; i < truth.applied; ++i) {
      salt = Hash64(truth.journal->frames()[i].payload, salt);
    }
    return salt;
  }

  static uint64_t MomentOf(const SimOperation& operation) {
    uint64_t moment = operation.disk.Hash();
    moment = moment * 1000003 + operation.disk.Crash({}).Hash();
    moment = moment * 1000003 + operation.disk.pending_units();
    return moment * 31 + static_cast<uint64_t>(operation.call);
  }

  CrashPlan PlanFor(const SimOperation& operation) const {
    CrashPlan plan;
    plan.exhaustive_units_max = 6;
    plan.exhaustive_pieces_max = 5;
    plan.random_states = 16;
    plan.tears_max = operation.call == SimCall::kWrite ? 12 : 0;
    plan.seed = MixSeed(arguments_.seed, operation.index);
    return plan;
  }

  void Check(const SimDisk& state, const ShardTruth& truth, std::vector<PowerCut> cuts) {
    const uint64_t draw = MixSeed(arguments_.seed, state.Hash());
    std::string problem;
    if (draw % kOfflineOneIn == 0) {
      ++offline_;
      SimFs fs(state);
      problem = VerifyOffline(fs, truth);
    }
    const bool nested = draw % kNestedOneIn == 1 && cuts.size() < kDepthMax;
    SimFs fs(state);
    if (nested) ++recoveries_;
    fs.SetObserver([&](const SimOperation& operation) {
      if (operation.call == SimCall::kRemove) CheckRemoval(operation, OpeningFrom(truth));
      if (nested) Nested(operation, truth, cuts);
    });
    if (problem.empty()) problem = RecoverAndCompare(fs, truth);
    if (problem.empty()) problem = removal_problem_;
    if (problem.empty() || failed_) return;
    failed_ = true;
    std::printf("FAILED: %s\nreplay: tier_a_shards --replay '%s'\n", problem.c_str(),
                ReplayLine(*script_, cuts).c_str());
  }

  void CheckRemoval(const SimOperation& operation, const ShardTruth& truth) {
    if (removal_problem_.empty()) removal_problem_ = CheckRemovedSegment(operation, truth);
  }

  // A call within a recovery that was itself the answer to `cuts`.
  void Nested(const SimOperation& operation, const ShardTruth& truth,
              const std::vector<PowerCut>& cuts) {
    if (failed_) return;
    const CrashPlan plan{.exhaustive_units_max = 2,
                         .exhaustive_pieces_max = 0,
                         .random_states = 2,
                         .tears_max = 0,
                         .seed = operation.index};
    nested_ += ForEachCrashState(operation.disk, plan, nested_seen_, SaltOf(truth),
                                 [&](const CrashChoice& choice, const SimDisk& state) {
                                   if (failed_) return;
                                   std::vector<PowerCut> deeper = cuts;
                                   deeper.push_back({operation.index, choice});
                                   Check(state, truth, std::move(deeper));
                                 });
  }

  const Arguments& arguments_;
  const ShardScript* script_ = nullptr;
  bool failed_ = false;
  std::string removal_problem_;
  uint64_t scripts_ = 0;
  uint64_t moments_ = 0;
  uint64_t recoveries_ = 0;
  uint64_t offline_ = 0;
  CrashCount states_;
  CrashCount nested_;
  SeenStates moments_seen_;
  SeenStates seen_;
  SeenStates nested_seen_;
};

// --- Scripts. ---

// Every combination of three words behind each beginning.
std::vector<ShardScript> CoreScripts() {
  const std::vector<std::string> words = {"A40", "A600", "M", "S", "O", "J", "D",
                                          "T",   "Z",    "G", "P", "K", "X"};
  const std::vector<std::vector<std::string>> beginnings = {
      {},
      {"A300", "A300", "K", "A300", "M"},
      {"M", "A500", "A500", "A500", "P", "K", "A200", "T"},
  };
  std::vector<ShardScript> scripts;
  for (const auto& beginning : beginnings) {
    for (size_t i = 0; i < words.size() * words.size() * words.size(); ++i) {
      ShardScript script{.words = beginning};
      script.words.push_back(words[i % words.size()]);
      script.words.push_back(words[i / words.size() % words.size()]);
      script.words.push_back(words[i / words.size() / words.size()]);
      script.words.push_back("A24");
      script.words.push_back("P");
      script.words.push_back("K");
      scripts.push_back(std::move(script));
    }
  }
  return scripts;
}

ShardScript RandomScript(uint64_t seed) {
  Random random(seed);
  ShardScript script;
  for (uint64_t n = random.Between(10, 40); n > 0; --n) {
    const uint64_t draw = random.Below(100);
    if (draw < 30) {
      script.words.push_back("A" + std::to_string(random.Below(random.OneIn(6) ? 3000 : 500)));
      continue;
    }
    const char word = draw < 42   ? 'M'
                      : draw < 45 ? 'S'
                      : draw < 47 ? 'O'
                      : draw < 49 ? 'J'
                      : draw < 52 ? 'D'
                      : draw < 56 ? 'T'
                      : draw < 59 ? 'Z'
                      : draw < 63 ? 'G'
                      : draw < 80 ? 'P'
                      : draw < 92 ? 'K'
                      : draw < 96 ? 'R'
                                  : 'X';
    script.words.push_back(std::string(1, word));
  }
  return script;
}

// --- Replay. ---

int Replay(const std::string& line) {
  const size_t at = line.find('@');
  const ShardScript script = ShardScript::Parse(line.substr(0, at));
  const auto parsed = ParseCuts(at == std::string::npos ? "" : line.substr(at + 1));
  if (!parsed) {
    std::fprintf(stderr, "not a replay line: %s\n", line.c_str());
    return 2;
  }
  const std::vector<PowerCut>& cuts = *parsed;
  bool held = false;
  const std::string problem =
      RunShardScript(script, [&](const SimOperation& operation, const ShardTruth& truth) {
        if (cuts.empty() || operation.index != cuts.front().operation) return;
        std::printf("power cut at call %llu: %s %s\npending:\n%s",
                    static_cast<unsigned long long>(operation.index),
                    std::string(SimCallName(operation.call)).c_str(), operation.path.c_str(),
                    operation.disk.Describe().c_str());
        SimDisk state = operation.disk.Crash(cuts.front().choice);
        for (size_t i = 1; i < cuts.size(); ++i) {
          SimFs fs(state);
          fs.SetObserver([&](const SimOperation& deeper) {
            if (deeper.index == cuts[i].operation) state = deeper.disk.Crash(cuts[i].choice);
          });
          (void)RecoverAndCompare(fs, truth);
        }
        for (const std::string& path : state.Files()) {
          std::printf("%s: %zu bytes\n", path.c_str(), state.Contents(path)->size());
        }
        SimFs offline(state);
        std::string found = VerifyOffline(offline, truth);
        SimFs fs(state);
        std::string removal;
        fs.SetObserver([&](const SimOperation& deeper) {
          if (removal.empty()) removal = CheckRemovedSegment(deeper, OpeningFrom(truth));
        });
        if (found.empty()) found = RecoverAndCompare(fs, truth);
        if (found.empty()) found = removal;
        held = found.empty();
        std::printf("%s\n", held ? "held" : found.c_str());
      });
  if (!problem.empty()) std::printf("the script itself: %s\n", problem.c_str());
  return held && problem.empty() ? 0 : 1;
}

// --- The command. ---

bool ParseArguments(int count, char** values, Arguments& arguments) {
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = values[i];
    const uint64_t number = std::strtoull(values[i + 1], nullptr, 10);
    if (name == "--random") {
      arguments.random_scripts = number;
    } else if (name == "--cores") {
      arguments.cores = number != 0;
    } else if (name == "--seed") {
      arguments.seed = number;
    } else if (name == "--states") {
      arguments.states_min = number;
    } else if (name == "--replay") {
      arguments.replay = values[i + 1];
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
    std::fprintf(stderr, "usage: see the head of tests/crash/tier_a_shards.cc\n");
    return 2;
  }
  if (!arguments.replay.empty()) return Replay(arguments.replay);
  const auto begin = std::chrono::steady_clock::now();
  TierA tier(arguments);
  std::vector<ShardScript> scripts;
  if (arguments.cores) scripts = CoreScripts();
  for (uint64_t i = 0; i < arguments.random_scripts; ++i) {
    scripts.push_back(RandomScript(MixSeed(arguments.seed, i)));
  }
  for (const ShardScript& script : scripts) {
    if (!tier.RunScript(script)) return 1;
  }
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
  return tier.Report(passed.count());
}

}  // namespace
}  // namespace tailrace::shards::test

int main(int count, char** values) { return tailrace::shards::test::Main(count, values); }
