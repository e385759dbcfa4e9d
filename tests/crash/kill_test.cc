// The whole store under kill -9. A process (tools/crashtest/child.cc) writes to a store in many
// ways at once; this one knows what it was told to do, kills it at a moment it did not choose,
// starts another one on the same directory, and judges what is there (tools/crashtest/oracle.h says
// by which rules).
//
// Each lane is a test of its own, so that they can run side by side. The seed fixes the plans and
// what the threads choose, not the moment of a kill.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/crash/crash_figures.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_paths.h"
#include "tools/crashtest/lineage.h"

namespace tailrace::test {
namespace {

using crashtest::Counts;
using crashtest::Lineage;

constexpr uint32_t kLanes = 16;
constexpr uint32_t kKillsFull = 125;
constexpr uint32_t kKillsQuick = 5;
constexpr uint32_t kKillsPerStore = 18;

// TAILRACE_KILLS is the soak's.
uint32_t KillsOfLane() {
  if (const char* kills = std::getenv("TAILRACE_KILLS"); kills != nullptr && *kills != '\0') {
    return static_cast<uint32_t>(std::strtoul(kills, nullptr, 10)) / kLanes;
  }
  const char* scale = std::getenv("TAILRACE_TEST_SCALE");
  return scale != nullptr && std::string(scale) == "quick" ? kKillsQuick : kKillsFull;
}

class KillTest : public ::testing::TestWithParam<uint32_t> {
 protected:
  static void SetUpTestSuite() { ::signal(SIGPIPE, SIG_IGN); }

  // A store through its lives, until it has been killed so often. Returns how often it was.
  uint32_t LiveAndDie(uint32_t kills_wanted, uint64_t seed, Counts& total);
};

uint32_t KillTest::LiveAndDie(uint32_t kills_wanted, uint64_t seed, Counts& total) {
  const TempDir directory;
  Lineage lineage({.directory = directory.path() + "/store",
                   .program = {BinaryPath("bin/tailrace"), "crashtest-child"},
                   .durability = GetParam() % 2 == 0 ? Durability::kSync : Durability::kBuffered,
                   .hostile_clock = GetParam() / 2 % 2 == 1,
                   .seed = seed});
  uint32_t kills = 0;
  while (kills < kills_wanted && !lineage.failed()) {
    if (lineage.Live() == Lineage::End::kKilled) ++kills;
  }
  for (int i = 0; i < 2 && !lineage.failed(); ++i) lineage.LiveToTheEnd();
  total.Add(lineage.counts());
  if (!lineage.failed()) return kills;
  for (const std::string& line : lineage.Describe()) std::printf("  %s\n", line.c_str());
  const std::string kept = directory.path() + "-failed";
  std::error_code error;
  std::filesystem::rename(directory.path(), kept, error);
  if (!error) std::printf("  the store is in %s\n", kept.c_str());
  ADD_FAILURE() << "the store broke a promise; see above";
  return kills;
}

TEST_P(KillTest, NothingAcknowledgedIsLost) {
  Random seeds(MixSeed(TestSeed(), GetParam()));
  const auto began = std::chrono::steady_clock::now();
  const uint32_t kills_wanted = KillsOfLane();
  uint32_t kills = 0;
  Counts total;
  while (kills < kills_wanted) {
    kills += LiveAndDie(std::min(kKillsPerStore, kills_wanted - kills), seeds.Next(), total);
    if (HasFailure()) return;
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  std::printf("figure: %u kills in %.1f s (%.1f/s); %s\n", kills, seconds, kills / seconds,
              FiguresOf(total).c_str());
  // A run in which nothing happened would prove nothing.
  EXPECT_GT(total.acknowledged, kills * 20);
  EXPECT_GT(total.records, kills);
  EXPECT_GT(total.transactions, kills);
  if (kills < kKillsFull) return;  // Of a few kills, some lanes have none of these.
  EXPECT_GT(total.effects, 0u);
  EXPECT_GT(total.items_expired, 0u);
}

INSTANTIATE_TEST_SUITE_P(Lanes, KillTest, ::testing::Range(0u, kLanes));

}  // namespace
}  // namespace tailrace::test
