// The whole store under kill -9. A process (kill_child.cc) writes to a store in many ways at once;
// this one knows what it was told to do, kills it at a moment it did not choose, starts another one
// on the same directory, and judges what is there (kill_oracle.h says by which rules).
//
// Each lane is a test of its own, so that they can run side by side. The seed fixes the plans and
// what the threads choose, not the moment of a kill.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "tests/crash/kill_oracle.h"
#include "tests/crash/kill_victim.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "tests/support/sim_clock.h"
#include "tests/support/temp_dir.h"

namespace tailrace::test {
namespace {

constexpr uint32_t kLanes = 16;
constexpr uint32_t kKillsFull = 125;
constexpr uint32_t kKillsQuick = 5;
constexpr uint32_t kKillsPerStore = 18;
constexpr size_t kProblemsShown = 12;
constexpr uint64_t kMinuteMs = 60'000;
constexpr uint64_t kHourMs = 60 * kMinuteMs;
constexpr int64_t kTenYearsMs = 10ll * 365 * 24 * 3600 * 1000;

uint32_t KillsOfLane() {
  const char* scale = std::getenv("TAILRACE_TEST_SCALE");
  return scale != nullptr && std::string(scale) == "quick" ? kKillsQuick : kKillsFull;
}

// It is built beside this program.
std::string ChildProgram() {
  return std::filesystem::read_symlink("/proc/self/exe").replace_filename("kill_child").string();
}

// One store, from its making to its last life.
class Lineage {
 public:
  Lineage(uint32_t lane, uint64_t seed)
      : random_(seed),
        durability_(lane % 2 == 0 ? Durability::kSync : Durability::kBuffered),
        hostile_clock_(lane / 2 % 2 == 1),
        retention_ms_(random_.OneIn(2) ? 24 * kHourMs : 6 * kHourMs) {}

  // One life. Returns whether the process was killed.
  bool Live(KillAim::Kind kind);
  // A life that ends well, so that the one before it is judged too.
  void LiveToTheEnd() { Live(KillAim::Kind::kStop); }

  KillAim::Kind PickKind();
  bool failed() const { return !oracle_.problems().empty() || !problem_.empty(); }
  void PrintFailure() const;
  KillCounts counts() const { return oracle_.counts(); }

 private:
  KillPlan MakePlan(KillAim::Kind kind);
  void SetClock(KillPlan& plan);
  KillAim TakeAim(KillAim::Kind kind);

  Random random_;
  const Durability durability_;
  const bool hostile_clock_;
  const uint64_t retention_ms_;
  const TempDir directory_;
  Oracle oracle_;
  uint32_t run_ = 0;
  uint64_t boot_ms_ = 0;       // Of the last life's beginning,
  uint64_t true_ms_ = 0;       // which was then;
  uint64_t open_us_ = 50'000;  // so long does an opening take.
  std::string problem_;
};

KillAim::Kind Lineage::PickKind() {
  const uint64_t choice = random_.Below(100);
  if (choice < 52) return KillAim::Kind::kAfterEvents;
  if (choice < 70) return KillAim::Kind::kAfterTime;
  if (choice < 86) return KillAim::Kind::kAtPause;
  if (choice < 92) return KillAim::Kind::kStop;
  return KillAim::Kind::kStopAndKill;
}

KillAim Lineage::TakeAim(KillAim::Kind kind) {
  KillAim aim{.kind = kind};
  aim.events = random_.Below(random_.OneIn(4) ? 6000 : 1500);
  if (kind == KillAim::Kind::kAfterTime) aim.delay_us = random_.Below(open_us_ + open_us_ / 3);
  if (kind == KillAim::Kind::kStopAndKill) aim.delay_us = random_.Below(30'000);
  return aim;
}

void Lineage::SetClock(KillPlan& plan) {
  uint64_t down_ms = random_.Below(2000);
  if (random_.OneIn(8)) down_ms = random_.Below(30 * kHourMs);
  // What died before it could say so saw its clock all the same.
  plan.true_ms = std::max(oracle_.last_ms(), true_ms_) + down_ms;
  // The machine went on, or was started anew.
  plan.boot_ms = boot_ms_ + (plan.true_ms - true_ms_);
  if (run_ == 0 || random_.OneIn(4)) plan.boot_ms = random_.Below(kHourMs);
  boot_ms_ = plan.boot_ms;
  true_ms_ = plan.true_ms;

  plan.wall_ms = SimClock::kStartWallMs + plan.true_ms;
  if (hostile_clock_ && random_.OneIn(2)) {
    plan.wall_ms += random_.Below(2 * kTenYearsMs) - kTenYearsMs;
  }
  // Downtime that is confirmed counts; where the wall clock lies, nobody may confirm it.
  plan.may_confirm_downtime = !hostile_clock_;
  plan.downtime_confirmation_ms = hostile_clock_ ? UINT64_MAX : random_.Between(1, kHourMs);
}

KillPlan Lineage::MakePlan(KillAim::Kind kind) {
  KillPlan plan;
  const std::string directory = directory_.path() + "/store";
  directory.copy(plan.directory.data(), plan.directory.size() - 1);
  SetClock(plan);
  plan.seed = random_.Next();
  plan.run = ++run_;
  plan.durability = durability_;
  plan.generation_bytes_max = random_.Between(16, 512) << 10;
  plan.journal_bytes_max = plan.generation_bytes_max * random_.Between(2, 4);
  plan.journal_segment_bytes = (64ull << 10) << random_.Below(4);
  plan.shards_per_stream = static_cast<uint32_t>(random_.Between(1, 6));
  plan.retention_ms = retention_ms_;
  plan.shard_segment_bytes_max = random_.Between(4, 128) << 10;
  plan.shard_segment_age_ms_max = random_.Between(10, 600) * kMinuteMs;
  plan.maintenance_interval_ms = random_.OneIn(3) ? random_.Between(1, 20) : 0;
  plan.writers = static_cast<uint32_t>(random_.Between(1, 4));
  // From within the last proven frame: its end may be where the epoch ended, and a reader who asks
  // for a record there is rightly told that there is none any more.
  const uint64_t proven = oracle_.proven_sequence();
  plan.dump_from = random_.OneIn(5) || proven == 0 ? 0 : proven - 1;
  if (kind == KillAim::Kind::kAtPause) {
    plan.pause_point = static_cast<PausePoint>(
        random_.Below(static_cast<uint64_t>(PausePoint::kBeforeExpiryDelete) + 1));
    const bool of_writes =
        plan.pause_point == PausePoint::kAfterAppend || plan.pause_point == PausePoint::kAfterEntry;
    plan.pause_count = static_cast<uint32_t>(random_.Between(1, of_writes ? 300 : 6));
  }
  return plan;
}

bool Lineage::Live(KillAim::Kind kind) {
  const KillPlan plan = MakePlan(kind);
  const VictimReport report = RunVictim(ChildProgram(), plan, TakeAim(kind));
  if (report.open_us != 0) open_us_ = (open_us_ * 3 + report.open_us) / 4;
  problem_ = report.problem;
  oracle_.Judge(report.events);
  return report.killed;
}

void Lineage::PrintFailure() const {
  std::printf("life %u of a %s store, %s clock\n", run_,
              durability_ == Durability::kSync ? "sync" : "buffered",
              hostile_clock_ ? "lying" : "true");
  if (!problem_.empty()) std::printf("  %s\n", problem_.c_str());
  for (size_t i = 0; i < std::min(oracle_.problems().size(), kProblemsShown); ++i) {
    std::printf("  %s\n", oracle_.problems()[i].c_str());
  }
  if (oracle_.problems().size() > kProblemsShown) {
    std::printf("  and %zu more\n", oracle_.problems().size() - kProblemsShown);
  }
  const std::string kept = directory_.path() + "-failed";
  std::error_code error;
  std::filesystem::rename(directory_.path(), kept, error);
  if (!error) std::printf("  the store is in %s\n", kept.c_str());
}

void Add(KillCounts& total, const KillCounts& more) {
  total.processes += more.processes;
  total.judged += more.judged;
  total.acknowledged += more.acknowledged;
  total.other_answers += more.other_answers;
  total.pending += more.pending;
  total.survived += more.survived;
  total.records += more.records;
  total.expired += more.expired;
  total.items_expired += more.items_expired;
  total.effects += more.effects;
  total.effects_found += more.effects_found;
  total.deliveries += more.deliveries;
  total.resumed += more.resumed;
  total.table_changes += more.table_changes;
  total.shards_opened += more.shards_opened;
  total.transactions += more.transactions;
  total.transactions_pending += more.transactions_pending;
  total.transactions_found += more.transactions_found;
}

class KillTest : public ::testing::TestWithParam<uint32_t> {
 protected:
  static void SetUpTestSuite() {
    // Who tells a dead process to stop shall not die of it.
    ::signal(SIGPIPE, SIG_IGN);
  }
};

TEST_P(KillTest, NothingAcknowledgedIsLost) {
  const uint32_t lane = GetParam();
  Random seeds(MixSeed(TestSeed(), lane));
  const auto began = std::chrono::steady_clock::now();
  const uint32_t kills_wanted = KillsOfLane();
  uint32_t kills = 0;
  KillCounts total;
  while (kills < kills_wanted) {
    Lineage lineage(lane, seeds.Next());
    for (uint32_t i = 0; i < kKillsPerStore && kills < kills_wanted && !lineage.failed();) {
      if (!lineage.Live(lineage.PickKind())) continue;
      ++kills;
      ++i;
    }
    if (!lineage.failed()) lineage.LiveToTheEnd();
    if (!lineage.failed()) lineage.LiveToTheEnd();
    if (lineage.failed()) lineage.PrintFailure();
    Add(total, lineage.counts());
    ASSERT_FALSE(lineage.failed()) << "the store broke a promise; see above";
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  std::printf(
      "figure: %u kills in %.1f s (%.1f/s), %llu processes; %llu acknowledged changes found again, "
      "%llu other answers judged, %llu of %llu pending writes survived; %llu records, %llu "
      "expired, "
      "%llu deliveries, %llu shards resumed, %llu changes of tables and streams, %llu "
      "shards opened in place of others; %llu "
      "transactions, "
      "%llu of %llu pending ones found; %llu items expired; %llu effects of a consumer, %llu gone "
      "on behind\n",
      kills, seconds, kills / seconds, static_cast<unsigned long long>(total.processes),
      static_cast<unsigned long long>(total.acknowledged),
      static_cast<unsigned long long>(total.other_answers),
      static_cast<unsigned long long>(total.survived),
      static_cast<unsigned long long>(total.pending),
      static_cast<unsigned long long>(total.records),
      static_cast<unsigned long long>(total.expired),
      static_cast<unsigned long long>(total.deliveries),
      static_cast<unsigned long long>(total.resumed),
      static_cast<unsigned long long>(total.table_changes),
      static_cast<unsigned long long>(total.shards_opened),
      static_cast<unsigned long long>(total.transactions),
      static_cast<unsigned long long>(total.transactions_found),
      static_cast<unsigned long long>(total.transactions_pending),
      static_cast<unsigned long long>(total.items_expired),
      static_cast<unsigned long long>(total.effects),
      static_cast<unsigned long long>(total.effects_found));
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
