#include "tests/crash/store_crash_check.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "tests/crash/store_file_check.h"
#include "tests/support/random.h"
#include "tests/support/removed_segment.h"

namespace tailrace::test {
namespace {

constexpr char kWitness[] = "witness";

}  // namespace

bool StoreCrashChecker::Check(const SimDisk& state, const StoreTruth& truth,
                              const std::vector<PowerCut>& cuts) {
  ++checked_;
  depth_reached_ = std::max(depth_reached_, static_cast<uint32_t>(cuts.size()));
  const uint64_t one_in = cuts.size() > 1 ? nesting_.deeper_one_in : nesting_.one_in;
  const bool deeper = cuts.size() < nesting_.depth_max && MixSeed(seed_, ++drawn_) % one_in == 0;
  SimFs fs(state);
  if (deeper) ++openings_;
  const Watch watch{.removals = MixSeed(seed_, ++drawn_) % nesting_.removals_one_in == 0,
                    .moments = deeper};
  const std::string problem = OpenAndCompare(fs, truth, cuts, watch);
  if (!problem.empty()) {
    failure_ = problem;
    cuts_ = cuts;
    return false;
  }
  const auto moments = std::exchange(moments_, {});
  for (const auto& [operation, disk] : moments) Enumerate(operation, disk, truth, cuts);
  return failure_.empty();
}

std::string StoreCrashChecker::CheckAlone(const SimDisk& state, const StoreTruth& truth,
                                          const std::vector<PowerCut>& cuts) {
  SimFs fs(state);
  return OpenAndCompare(fs, truth, cuts, {});
}

// The states that a power cut within an opening leaves.
void StoreCrashChecker::Enumerate(uint64_t operation, const SimDisk& disk, const StoreTruth& truth,
                                  const std::vector<PowerCut>& cuts) {
  if (!failure_.empty()) return;
  const CrashPlan plan{.exhaustive_units_max = 3,
                       .exhaustive_pieces_max = 0,
                       .random_states = 2,
                       .tears_max = 2,
                       .seed = MixSeed(seed_, operation),
                       .wanted = [&](const CrashChoice&) {
                         return failure_.empty() &&
                                MixSeed(seed_, ++drawn_) % nesting_.states_one_in == 0;
                       }};
  (void)ForEachCrashState(disk, plan, seen_, truth.Salt(),
                          [&](const CrashChoice& choice, const SimDisk& nested) {
                            ++nested_;
                            std::vector<PowerCut> deeper = cuts;
                            deeper.push_back({.operation = operation, .choice = choice});
                            (void)Check(nested, truth, deeper);  // What is wrong is in failure_.
                          });
}

std::string StoreCrashChecker::OpenAndCompare(SimFs& fs, const StoreTruth& truth,
                                              const std::vector<PowerCut>& cuts, Watch watch) {
  const SimClock clock;
  StoreOptions options = SimStoreOptions(fs, clock, script_.durability);
  if (script_.own_families) options.shared_table_bytes_max = 0;
  std::string removal;
  fs.SetObserver([&](const SimOperation& operation) {
    if (watch.moments) moments_.emplace_back(operation.index, operation.disk);
    if (!watch.removals || !removal.empty() || !SegmentRemovedBy(operation)) return;
    ++removals_;
    removal = CheckRemovedSegment(operation, truth);
  });
  auto opened = Store::Open(kSimStoreDirectory, options);
  watch.moments = false;
  if (!opened.ok()) return "open: " + opened.status().ToString();
  const std::unique_ptr<Store> store = std::move(*opened);
  const std::string problem = Compare(fs, *store, truth, cuts);
  fs.SetObserver(nullptr);
  fs.CutPowerAt(1, CrashMoment::kBefore);
  return removal.empty() ? problem : removal;
}

std::string StoreCrashChecker::Compare(SimFs& fs, Store& store, const StoreTruth& truth,
                                       const std::vector<PowerCut>& cuts) {
  std::string problem;
  if (const auto dump = DumpStore(store); !dump.ok()) {
    problem = "read: " + dump.status().ToString();
  } else if (const auto found = truth.Find(*dump, truth.FirstAllowed(cuts.front().choice));
             !found) {
    const bool lost = truth.Find(*dump, 0).has_value();
    problem = (lost ? "what was acknowledged is lost: " : "no state that ever was: ") +
              FirstDifference(truth.texts.back(), dump->text);
  } else if (store.Stats()->epoch <= truth.epoch) {
    problem = "the epoch did not rise";
  } else if (MixSeed(seed_, ++drawn_) % 16 == 0) {
    problem = GoOn(fs, store, truth, *found);
    if (!problem.empty()) problem = "going on: " + problem;
  }
  return problem;
}

// What was recovered has not only to be seen: the store takes writes, checkpoints, and has it all
// after yet another power cut.
std::string StoreCrashChecker::GoOn(SimFs& fs, Store& store, const StoreTruth& truth,
                                    size_t found) {
  StoreModel model = truth.states[found];
  model.tables[kWitness].rows[1] = {.count = 1};
  model.Enable(kWitness, ViewType::kKeysOnly);
  model.streams.back().records = {
      {.id = 1, .old_row = {}, .new_row = StoreRow{.count = 1}, .at_ms = 0, .sequence = {}}};
  const auto made = store.CreateTable({.name = kWitness,
                                       .keys = {{"id", ScalarType::kN}, std::nullopt},
                                       .stream = ViewType::kKeysOnly});
  if (!made.ok()) return made.status().ToString();
  const auto put = store.Put(kWitness, ItemOf(1, {.count = 1}));
  if (!put.ok()) return put.status().ToString();
  if (put->sequence <= truth.handed_out) return "a position was handed out twice";
  const Status checkpoint = store.Checkpoint();
  if (!checkpoint.ok()) return checkpoint.ToString();
  const SimDisk lost_all = fs.disk().Crash({.keep = CrashChoice::Keep::kNone});
  SimFs after(lost_all);
  const SimClock clock;
  auto opened = Store::Open(kSimStoreDirectory, SimStoreOptions(after, clock, script_.durability));
  if (!opened.ok()) return "open: " + opened.status().ToString();
  const auto dump = DumpStore(**opened);
  if (!dump.ok()) return "read: " + dump.status().ToString();
  const std::string expected = model.Text();
  std::string problem = dump->text == expected ? "" : FirstDifference(expected, dump->text);
  after.CutPowerAt(1, CrashMoment::kBefore);
  return problem;
}

}  // namespace tailrace::test
