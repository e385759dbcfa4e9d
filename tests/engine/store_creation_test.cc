// A store whose making a power cut ends, at any call, with any part of what was pending: it is made
// anew or found complete, never refused.
#include "tests/engine/store_fixture.h"
#include "tests/support/sim_fs.h"

namespace tailrace::test {
namespace {

constexpr char kDirectory[] = "/store";

Result<std::unique_ptr<Store>> OpenOn(SimFs& fs, const Clock& clock, Durability durability) {
  StoreOptions options = SmallOptions(clock, durability);
  options.threads = StoreThreads::kNone;
  options.fs = &fs;
  options.journal_segment_bytes = wal::kJournalSegmentBytesMin;
  return Store::Open(kDirectory, options);
}

class StoreCreationTest : public ::testing::TestWithParam<Durability> {};

INSTANTIATE_TEST_SUITE_P(Durabilities, StoreCreationTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

// Names come in any order: one of a directory may be lost while a later one is kept.
TEST_P(StoreCreationTest, APowerCutLeavesAStoreThatOpens) {
  const SimClock clock;
  SimFs fs(SimFsOptions{.disk = {.ordered_directories = {std::string(kDirectory) + "/items"}}});
  std::vector<SimDisk> moments;
  fs.SetObserver([&](const SimOperation& operation) { moments.push_back(operation.disk); });
  ASSERT_OK(OpenOn(fs, clock, GetParam()));
  fs.SetObserver(nullptr);
  SeenStates seen;
  for (size_t i = 0; i < moments.size(); ++i) {
    const CrashPlan plan{.exhaustive_units_max = 2,
                         .exhaustive_pieces_max = 0,
                         .random_states = 2,
                         .tears_max = 0,
                         .seed = i};
    ForEachCrashState(
        moments[i], plan, seen, 0, [&](const CrashChoice& choice, const SimDisk& disk) {
          SimFs after(disk);
          EXPECT_OK(OpenOn(after, clock, GetParam())) << "call " << i << ", " << choice.ToString();
        });
    if (HasFailure()) return;
  }
  EXPECT_GT(seen.size(), 50u) << "the states were of no use";
}

}  // namespace
}  // namespace tailrace::test
