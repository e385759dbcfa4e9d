// Tier B: every moment at which the power can go, and what it can leave, of a whole store: journal,
// shard logs and RocksDB on a simulated disk.
//
// Runs scripts (all short combinations of a store's operations behind a few beginnings, and random
// longer ones). At each mutating call it makes states that a power cut there may leave, opens each,
// and compares all that readers see with what the script has acknowledged; for some, power is cut
// again within the opening, up to four deep. Whenever RocksDB gets a file, every LSN in it must
// already be durable in the journal; whenever a segment of the journal or of a shard log is taken
// away, nothing in it may still be needed.
//
//   tier_b [--mode sync|buffered] [--states N] [--minutes N] [--words N] [--seed S]
//   tier_b --replay LINE       one state, as printed when a check failed
//
// It goes on until it has checked N distinct states (--states, 2000 by default) or the time is up
// (--minutes); a core has up to --words words (3). Prints states made, states checked (no two of
// them alike), openings cut short, the rate and the seed. Exits 1 at the first broken promise, with
// the line that replays it.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/crash/store_crash_check.h"
#include "tests/crash/store_file_check.h"
#include "tests/crash/store_workload.h"
#include "tests/support/random.h"
#include "tests/support/removed_segment.h"

namespace tailrace::test {
namespace {

struct Arguments {
  std::optional<Durability> durability;
  uint64_t states = 2000;
  double minutes = 0;
  uint64_t words = 3;
  uint64_t seed = 1;
  std::string replay;
};

struct Totals {
  uint64_t scripts = 0;
  uint64_t moments = 0;
  uint64_t made = 0;
  uint64_t checked = 0;
  uint64_t nested = 0;
  uint64_t openings = 0;
  uint64_t files = 0;
  uint64_t removals = 0;
  uint32_t depth = 0;
};

std::string ReplayLine(const StoreScript& script, const std::vector<PowerCut>& cuts) {
  return script.ToString() + CutsToText(cuts);
}

// ---- Scripts. ----

const std::vector<std::string>& Alphabet() {
  static const std::vector<std::string> words = {"Pa1", "Ba6", "Ua2", "Da2", "Na3", "T1", "R",
                                                 "Sa",  "Sb",  "La",  "I",   "Xa",  "Xb", "C",
                                                 "A",   "M",   "K",   "O",   "Q"};
  return words;
}

// The n-th combination of so many words.
std::vector<std::string> Combination(uint64_t n, uint64_t words) {
  std::vector<std::string> combination;
  for (; words > 0; --words) {
    combination.push_back(Alphabet()[n % Alphabet().size()]);
    n /= Alphabet().size();
  }
  return combination;
}

// In the order in which they are run: the shortest first, those of one length shuffled.
std::vector<StoreScript> CoreScripts(Durability durability, const Arguments& arguments) {
  std::vector<StoreScript> scripts;
  uint64_t combinations = 1;
  for (uint64_t words = 1; words <= arguments.words; ++words) {
    combinations *= Alphabet().size();
    const size_t begin = scripts.size();
    for (uint64_t i = 0; i < combinations; ++i) {
      for (uint32_t base = 1; base < kStoreBases; ++base) {
        scripts.push_back({.durability = durability,
                           .base = base,
                           .own_families = MixSeed(arguments.seed, i) % 8 == 0,
                           .words = Combination(i, words)});
      }
    }
    Random random(MixSeed(arguments.seed, words));
    for (size_t i = scripts.size() - 1; i > begin; --i) {
      std::swap(scripts[i], scripts[begin + random.Below(i - begin + 1)]);
    }
  }
  return scripts;
}

StoreScript RandomScript(Durability durability, uint64_t seed) {
  Random random(seed);
  StoreScript script{.durability = durability,
                     .base = static_cast<uint32_t>(random.Below(kStoreBases)),
                     .own_families = random.OneIn(8)};
  if (script.base == 0) script.words = {"Xa", "Xb", "I", "M"};
  const std::string often = "PPPBUUDNTTTRCC", seldom = "SSLLIXAMMKOQ";
  for (uint64_t n = random.Between(4, 16); n > 0; --n) {
    const bool seldom_one = random.OneIn(3);
    const std::string& letters = seldom_one ? seldom : often;
    std::string word(1, letters[random.Below(letters.size())]);
    if (std::string("PBUDNSLX").find(word) != std::string::npos)
      word += random.OneIn(3) ? 'b' : 'a';
    if (std::string("PBUDNT").find(word[0]) != std::string::npos) {
      word += static_cast<char>('1' + random.Below(5));
    }
    script.words.push_back(word);
  }
  return script;
}

// ---- A run. ----

class TierB {
 public:
  explicit TierB(const Arguments& arguments)
      : arguments_(arguments), begin_(std::chrono::steady_clock::now()) {}

  // False: a promise was broken, and printed.
  bool Run(Durability durability, uint64_t states) {
    goal_ = totals_.checked + states;
    const std::vector<StoreScript> cores = CoreScripts(durability, arguments_);
    // One random script for every two cores, then random ones alone.
    for (uint64_t i = 0, core = 0; !IsDone(); ++i) {
      const bool is_core = i % 3 != 2 && core < cores.size();
      if (!RunScript(is_core ? cores[core++]
                             : RandomScript(durability, MixSeed(arguments_.seed, i)))) {
        return false;
      }
    }
    return true;
  }

  const Totals& totals() const { return totals_; }
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  // With so many states checked that are not counted yet.
  bool IsDone(uint64_t checked = 0) const {
    if (totals_.checked + checked >= goal_) return true;
    return arguments_.minutes > 0 && seconds() > 60 * arguments_.minutes;
  }

  bool RunScript(const StoreScript& script) {
    ++totals_.scripts;
    // Scripts with a common beginning pass the same moments.
    std::vector<bool> fresh;
    StoreScript prefix = script;
    for (prefix.words.clear();; prefix.words.push_back(script.words[prefix.words.size()])) {
      fresh.push_back(passed_.insert(prefix.ToString()).second);
      if (prefix.words.size() == script.words.size()) break;
    }
    StoreCrashChecker checker(script, StoreNesting{}, MixSeed(arguments_.seed, totals_.scripts));
    // Looked into afterwards: a call may come from one of RocksDB's threads, which another store's
    // opening would wait for.
    std::vector<PastMoment> moments;
    file_problem_.clear();
    std::string problem = RunStoreScript(script, [&](const StoreMoment& moment) {
      if (moment.operation != nullptr) CheckFile(*moment.operation, moment.truth);
      // Word w is under way in the prefix of w + 1 words.
      if (!fresh[std::min(moment.word + 1, script.words.size())]) return;
      moments.push_back({.index = moment.index, .disk = moment.disk, .truth = moment.truth});
    });
    for (const PastMoment& moment : moments) Visit(moment, checker);
    totals_.checked += checker.checked();
    totals_.nested += checker.nested();
    totals_.openings += checker.openings();
    totals_.removals += checker.removals();
    totals_.depth = std::max(totals_.depth, checker.depth_reached());
    if (!checker.failure().empty()) {
      std::printf("FAILED: %s\nreplay: tier_b --replay '%s'\n", checker.failure().c_str(),
                  ReplayLine(script, checker.cuts()).c_str());
      return false;
    }
    if (!file_problem_.empty()) problem = file_problem_;
    if (problem.empty()) return true;
    std::printf("FAILED without a power cut: %s\nscript: %s\n", problem.c_str(),
                script.ToString().c_str());
    return false;
  }

  struct PastMoment {
    uint64_t index = 0;
    SimDisk disk;
    StoreTruth truth;
  };

  void CheckFile(const SimOperation& operation, const StoreTruth& truth) {
    if (!file_problem_.empty()) return;
    if (IsNewItemFile(operation)) {
      ++totals_.files;
      file_problem_ = CheckNewItemFile(operation);
    } else if (SegmentRemovedBy(operation)) {
      ++totals_.removals;
      file_problem_ = CheckRemovedSegment(operation, truth);
    }
  }

  void Visit(const PastMoment& moment, StoreCrashChecker& checker) {
    if (!checker.failure().empty() || IsDone(checker.checked())) return;
    ++totals_.moments;
    const CrashPlan plan{.exhaustive_units_max = 3,
                         .exhaustive_pieces_max = 3,
                         .random_states = 4,
                         .tears_max = 3,
                         .seed = MixSeed(arguments_.seed, totals_.moments),
                         .wanted = [&](const CrashChoice& choice) {
                           return checker.failure().empty() && IsDrawn(choice);
                         }};
    totals_.made +=
        ForEachCrashState(moment.disk, plan, seen_, moment.truth.Salt(),
                          [&](const CrashChoice& choice, const SimDisk& state) {
                            (void)checker.Check(state, moment.truth,
                                                {{.operation = moment.index, .choice = choice}});
                          })
            .choices;
  }

  // Where much is pending, the states differ little from one another: some of them will do, and
  // more scripts are passed.
  static constexpr uint64_t kSampledOneIn = 96;
  bool IsDrawn(const CrashChoice& choice) {
    using Keep = CrashChoice::Keep;
    if (choice.keep == Keep::kNone || (choice.keep == Keep::kAll && !choice.tear_at)) return true;
    return MixSeed(arguments_.seed, ++drawn_) % kSampledOneIn == 0;
  }

  const Arguments& arguments_;
  const std::chrono::steady_clock::time_point begin_;
  std::set<std::string> passed_;
  SeenStates seen_;
  uint64_t drawn_ = 0;
  uint64_t goal_ = 0;
  std::string file_problem_;
  Totals totals_;
};

// ---- Replay. ----

// The state that the second and later cuts leave: each falls into the opening of the state before
// it.
SimDisk FollowCuts(SimDisk state, const StoreScript& script, const std::vector<PowerCut>& cuts) {
  for (size_t i = 1; i < cuts.size(); ++i) {
    SimFs fs(state);
    const SimClock clock;
    fs.SetObserver([&](const SimOperation& operation) {
      if (operation.index != cuts[i].operation) return;
      std::printf("power cut within the opening at call %llu: %s %s\n",
                  static_cast<unsigned long long>(operation.index),
                  std::string(SimCallName(operation.call)).c_str(), operation.path.c_str());
      state = operation.disk.Crash(cuts[i].choice);
    });
    StoreOptions options = SimStoreOptions(fs, clock, script.durability);
    if (script.own_families) options.shared_table_bytes_max = 0;
    const auto opened = Store::Open(kSimStoreDirectory, options);
    fs.SetObserver(nullptr);
    fs.CutPowerAt(1, CrashMoment::kBefore);
  }
  return state;
}

int Replay(const std::string& line) {
  const size_t at = line.find('@');
  const auto script = StoreScript::Parse(line.substr(0, at));
  const auto cuts = ParseCuts(at == std::string::npos ? "" : line.substr(at + 1));
  if (!script || !cuts || cuts->empty()) {
    std::fprintf(stderr, "not a replay line: %s\n", line.c_str());
    return 2;
  }
  bool reached = false, held = false;
  (void)RunStoreScript(*script, [&](const StoreMoment& moment) {
    if (moment.index != cuts->front().operation || reached) return;
    reached = true;
    std::printf("power cut in word %zu at call %llu: %s %s\npending:\n%s", moment.word,
                static_cast<unsigned long long>(moment.index),
                moment.operation ? std::string(SimCallName(moment.operation->call)).c_str() : "-",
                moment.operation ? moment.operation->path.c_str() : "the end",
                moment.disk.Describe().c_str());
    for (size_t i = moment.truth.FirstAllowed(cuts->front().choice); i < moment.truth.texts.size();
         ++i) {
      std::printf("--- allowed:\n%s", moment.truth.texts[i].c_str());
    }
    const SimDisk state = FollowCuts(moment.disk.Crash(cuts->front().choice), *script, *cuts);
    for (const std::string& path : state.Files()) {
      std::printf("%s: %zu bytes\n", path.c_str(), state.Contents(path)->size());
    }
    StoreCrashChecker checker(*script, StoreNesting{}, 1);
    const std::string problem = checker.CheckAlone(state, moment.truth, *cuts);
    held = problem.empty();
    std::printf("%s\n", held ? "held" : problem.c_str());
  });
  if (!reached) std::printf("the script has no such call\n");
  return reached && held ? 0 : 1;
}

// ---- The command. ----

bool ParseArguments(int count, char** values, Arguments& arguments) {
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = values[i];
    const std::string value = values[i + 1];
    const uint64_t number = std::strtoull(value.c_str(), nullptr, 10);
    if (name == "--mode" && (value == "sync" || value == "buffered")) {
      arguments.durability = value == "sync" ? Durability::kSync : Durability::kBuffered;
    } else if (name == "--states") {
      arguments.states = number;
    } else if (name == "--minutes") {
      arguments.minutes = std::strtod(value.c_str(), nullptr);
    } else if (name == "--words") {
      arguments.words = number;
    } else if (name == "--seed") {
      arguments.seed = number;
    } else if (name == "--replay") {
      arguments.replay = value;
    } else {
      return false;
    }
  }
  return count % 2 == 1;
}

unsigned long long Print(uint64_t number) { return number; }

int Report(const TierB& tier, const Arguments& arguments) {
  const Totals& totals = tier.totals();
  std::printf(
      "figure: scripts %llu, moments %llu, states made %llu, distinct states checked %llu (%llu of "
      "them within openings, up to %u cuts deep), openings enumerated %llu, item files checked "
      "%llu, removed segments checked %llu, %.1f s, %.0f states/s, seed %llu\n",
      Print(totals.scripts), Print(totals.moments), Print(totals.made), Print(totals.checked),
      Print(totals.nested), totals.depth, Print(totals.openings), Print(totals.files),
      Print(totals.removals), tier.seconds(), static_cast<double>(totals.checked) / tier.seconds(),
      Print(arguments.seed));
  return 0;
}

int Main(int count, char** values) {
  Arguments arguments;
  if (const char* seed = std::getenv("TAILRACE_SEED"); seed != nullptr) {
    arguments.seed = std::strtoull(seed, nullptr, 10);
  }
  if (!ParseArguments(count, values, arguments)) {
    std::fprintf(stderr, "usage: see the head of tests/crash/tier_b.cc\n");
    return 2;
  }
  if (!arguments.replay.empty()) return Replay(arguments.replay);
  TierB tier(arguments);
  const uint64_t modes = arguments.durability ? 1 : 2;
  for (const Durability durability : {Durability::kSync, Durability::kBuffered}) {
    if (arguments.durability && *arguments.durability != durability) continue;
    if (!tier.Run(durability, arguments.states / modes)) return 1;
  }
  return Report(tier, arguments);
}

}  // namespace
}  // namespace tailrace::test

int main(int count, char** values) { return tailrace::test::Main(count, values); }
