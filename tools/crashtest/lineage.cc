#include "tools/crashtest/lineage.h"

#include <algorithm>
#include <utility>

#include "wal/check.h"
#include "wal/sim_clock.h"

namespace tailrace::crashtest {
namespace {

constexpr size_t kProblemsShown = 12;
constexpr uint64_t kMinuteMs = 60'000;
constexpr uint64_t kHourMs = 60 * kMinuteMs;
constexpr int64_t kTenYearsMs = 10ll * 365 * 24 * 3600 * 1000;

}  // namespace

Lineage::Lineage(LineageOptions options)
    : options_(std::move(options)),
      random_(options_.seed),
      retention_ms_(random_.OneIn(2) ? 24 * kHourMs : 6 * kHourMs),
      oracle_(options_.power != nullptr && options_.durability == Durability::kBuffered) {
  TAILRACE_CHECK(options_.directory.size() < LifePlan{}.directory.size(),
                 "the directory's path fits into a plan");
}

Lineage::End Lineage::Live() {
  const LifeAim::Kind kind = PickKind();
  return Live(kind, options_.power != nullptr && !random_.OneIn(4));
}

void Lineage::LiveToTheEnd() { (void)Live(LifeAim::Kind::kStop, false); }

LifeAim::Kind Lineage::PickKind() {
  const uint64_t choice = random_.Below(100);
  if (choice < 52) return LifeAim::Kind::kAfterEvents;
  if (choice < 70) return LifeAim::Kind::kAfterTime;
  if (choice < 86) return LifeAim::Kind::kAtPause;
  if (choice < 92) return LifeAim::Kind::kStop;
  return LifeAim::Kind::kStopAndKill;
}

LifeAim Lineage::TakeAim(LifeAim::Kind kind) {
  LifeAim aim{.kind = kind};
  aim.events = random_.Below(random_.OneIn(4) ? 6000 : 1500);
  if (kind == LifeAim::Kind::kAfterTime) aim.delay_us = random_.Below(open_us_ + open_us_ / 3);
  if (kind == LifeAim::Kind::kStopAndKill) aim.delay_us = random_.Below(30'000);
  return aim;
}

void Lineage::SetClock(LifePlan& plan) {
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
  if (options_.hostile_clock && random_.OneIn(2)) {
    plan.wall_ms += random_.Below(2 * kTenYearsMs) - kTenYearsMs;
  }
  // Downtime that is confirmed counts; where the wall clock lies, nobody may confirm it.
  plan.may_confirm_downtime = !options_.hostile_clock;
  plan.downtime_confirmation_ms = options_.hostile_clock ? UINT64_MAX : random_.Between(1, kHourMs);
}

// Every option that an opening may change, so that what one life wrote is read by another that was
// told otherwise.
void Lineage::DrawOptions(LifePlan& plan) {
  plan.generation_bytes_max = random_.Between(16, 512) << 10;
  plan.journal_bytes_max = plan.generation_bytes_max * random_.Between(2, 4);
  // A frame takes up to a quarter of a segment, and the largest transactions 17 KiB.
  plan.journal_segment_bytes = (128ull << 10) << random_.Below(3);
  plan.block_cache_bytes = random_.OneIn(3) ? 0 : 1ull << random_.Between(12, 22);
  // Each table with files of its own; or it moves there early, late, or never.
  plan.shared_table_bytes_max = random_.OneIn(4) ? 0 : 1ull << random_.Between(10, 22);
  plan.expiry_items_per_second = random_.Between(100, 10'000);
  plan.expiry_queue_bytes_max = 1ull << random_.Between(8, 24);
  plan.backfill_items_per_second = random_.Between(100, 20'000);
  plan.shards_per_stream = static_cast<uint32_t>(random_.Between(1, 6));
  plan.shards_per_stream_max = static_cast<uint32_t>(random_.Between(1, 16));
  // Shards are split by load, rotated or left alone; on demand they are split and merged always.
  plan.shard_split_records_per_second = random_.Below(3);
  plan.shard_split_bytes_per_second = random_.OneIn(2) ? 0 : random_.Between(1, 1000);
  plan.shard_split_window_ms = random_.Between(1, 100) * 1000;
  plan.shard_rotation_ms = random_.OneIn(2) ? 0 : random_.Between(1, 12) * kHourMs;
  plan.shard_segment_bytes_max = random_.Between(4, 128) << 10;
  plan.shard_segment_age_ms_max = random_.Between(10, 600) * kMinuteMs;
  plan.maintenance_interval_ms = random_.OneIn(3) ? random_.Between(1, 20) : 0;
}

LifePlan Lineage::MakePlan(LifeAim::Kind kind) {
  LifePlan plan;
  options_.directory.copy(plan.directory.data(), plan.directory.size() - 1);
  SetClock(plan);
  plan.seed = random_.Next();
  plan.run = ++run_;
  plan.durability = options_.durability;
  plan.retention_ms = retention_ms_;
  DrawOptions(plan);
  plan.writers = static_cast<uint32_t>(random_.Between(1, 4));
  plan.tell_positions = options_.power != nullptr;
  // From within the last proven frame: its end may be where the epoch ended, and a reader who asks
  // for a record there is rightly told that there is none any more.
  // Where the power fails even that frame may be lost again; a record that was found is there.
  const uint64_t proven =
      options_.power != nullptr ? oracle_.proven_record() + 1 : oracle_.proven_sequence();
  plan.dump_from = random_.OneIn(5) || proven == 0 ? 0 : proven - 1;
  if (kind == LifeAim::Kind::kAtPause) {
    plan.pause_point = static_cast<PausePoint>(
        random_.Below(static_cast<uint64_t>(PausePoint::kBeforeExpiryDelete) + 1));
    const bool of_writes =
        plan.pause_point == PausePoint::kAfterAppend || plan.pause_point == PausePoint::kAfterEntry;
    plan.pause_count = static_cast<uint32_t>(random_.Between(1, of_writes ? 300 : 6));
  }
  return plan;
}

Lineage::End Lineage::Live(LifeAim::Kind kind, bool cut_power) {
  const LifePlan plan = MakePlan(kind);
  std::function<void()> cut;
  if (cut_power) cut = [this] { options_.power->Cut(); };
  const VictimReport report = RunVictim(options_.program, plan, TakeAim(kind), cut);
  if (report.open_us != 0) open_us_ = (open_us_ * 3 + report.open_us) / 4;
  problem_ = report.problem;
  if (cut_power) {
    const Status restarted = options_.power->Restart();
    if (!restarted.ok()) problem_ = "the disk does not come back: " + restarted.ToString();
  }
  NoteEnd(report, kind, cut_power);
  oracle_.Judge(report.events, cut_power);
  if (cut_power) return End::kPowerCut;
  return report.killed ? End::kKilled : End::kStopped;
}

void Lineage::NoteEnd(const VictimReport& report, LifeAim::Kind kind, bool power_cut) {
  constexpr size_t kEndsMax = 4;
  std::string end = "life " + std::to_string(run_) + ": ";
  if (kind == LifeAim::Kind::kAtPause) {
    end += "to die at a pause point, ";
  } else if (kind == LifeAim::Kind::kAfterTime) {
    end += "to die in its opening, ";
  } else if (kind != LifeAim::Kind::kAfterEvents) {
    end += "to close the store, ";
  }
  end += report.killed ? "killed" : "ended";
  end += " after " + std::to_string(report.events.size()) + " events";
  if (power_cut) end += ", the power cut";
  const bool closed = !report.events.empty() && report.events.back().kind == EventKind::kStopped;
  if (closed) end += ", the store closed";
  ends_.push_back(std::move(end));
  if (ends_.size() > kEndsMax) ends_.pop_front();
}

std::vector<std::string> Lineage::Describe() const {
  std::vector<std::string> lines{"life " + std::to_string(run_) + " of a " +
                                 (options_.durability == Durability::kSync ? "sync" : "buffered") +
                                 " store, " + (options_.hostile_clock ? "lying" : "true") +
                                 " clock, seed " + std::to_string(options_.seed)};
  lines.insert(lines.end(), ends_.begin(), ends_.end());
  if (!problem_.empty()) lines.push_back(problem_);
  const std::vector<std::string>& problems = oracle_.problems();
  const size_t shown = std::min(problems.size(), kProblemsShown);
  lines.insert(lines.end(), problems.begin(), problems.begin() + static_cast<ptrdiff_t>(shown));
  if (problems.size() > shown) {
    lines.push_back("and " + std::to_string(problems.size() - shown) + " more");
  }
  return lines;
}

}  // namespace tailrace::crashtest
