#include "engine/maintenance.h"

#include <algorithm>
#include <chrono>

#include "engine/consumer_pins.h"
#include "wal/named_thread.h"

namespace tailrace::engine {
namespace {

// A hundred years: longer, and the arithmetic of clocks runs over.
constexpr uint64_t kIntervalMsMax = 100ull * 366 * 24 * 3600'000;

// What options.expiry_items_per_second allows is done in so many pieces.
constexpr uint64_t kSlicesPerSecond = 10;

}  // namespace

void Maintenance::Start() {
  if (core_.options.maintenance_interval_ms == 0) return;
  thread_ = NamedThread("tr-upkeep", [this] { Loop(); });
}

void Maintenance::Stop() {
  stopping_ = true;
  core_.upkeep_bell.Ring();
  if (thread_.joinable()) thread_.join();
}

void Maintenance::Loop() {
  using Time = std::chrono::steady_clock;
  const std::chrono::milliseconds interval(
      std::min(core_.options.maintenance_interval_ms, kIntervalMsMax));
  const uint64_t slice_items =
      std::max<uint64_t>(1, core_.options.expiry_items_per_second / kSlicesPerSecond);
  auto next_round = Time::now() + interval;
  bool sweeping = false;
  while (true) {
    const auto slice_end = Time::now() + std::chrono::milliseconds(1000 / kSlicesPerSecond);
    const bool rung =
        core_.upkeep_bell.Sleep(sweeping ? std::min(next_round, slice_end) : next_round);
    if (stopping_) return;
    Status status;
    if (rung) {
      status = shard_control_.SplitBusy();
    } else {
      if (Time::now() >= next_round) {
        status = RunRound();
        next_round = Time::now() + interval;
      }
      const auto more = Sweep(slice_items);
      sweeping = more.ok() && *more;
      if (status.ok()) status = more.status();
    }
    // A failure that matters has made the store read-only and was reported; any other is tried
    // again.
    if (!status.ok()) {
      core_.Report(Event::Kind::kCheckpointFailed, "upkeep: " + status.ToString());
    }
  }
}

Status Maintenance::AppendClock(const ClockReading& now, frames::ClockReason reason) {
  frames::Clock reading;
  reading.set_wall_ms(now.wall_ms);
  reading.set_age_ms(now.age_ms);
  reading.set_pending_downtime_ms(now.pending_downtime_ms);
  reading.set_reason(reason);
  return AppendControl(core_, shards::kClockFrame, reading.SerializeAsString()).status();
}

Status Maintenance::ConfirmDowntime() {
  MutexLock lock(run_mutex_);
  uint64_t counted = 0;
  {
    // No commit may carry the new age before the journal says where it comes from: recovery would
    // find the downtime in the age and pending besides.
    const GateExclusive gate(core_.gate);
    if (core_.clock->PendingDowntimeMs() == 0) return Status::Ok();
    TAILRACE_RETURN_IF_ERROR(AppendClock(core_.clock->Confirmed(), frames::DOWNTIME_CONFIRMED));
    counted = core_.clock->ConfirmDowntime();
  }
  core_.Report(Event::Kind::kDowntimeConfirmed,
               std::to_string(counted) + " ms of downtime now count as age");
  return Status::Ok();
}

Status Maintenance::Run() {
  TAILRACE_RETURN_IF_ERROR(RunRound());
  return Sweep(UINT64_MAX).status();
}

Result<bool> Maintenance::Sweep(uint64_t items_max) {
  MutexLock lock(run_mutex_);
  return sweeper_.Run(items_max);
}

Status Maintenance::RunRound() {
  if (core_.clock->ConfirmationDue()) TAILRACE_RETURN_IF_ERROR(ConfirmDowntime());
  MutexLock lock(run_mutex_);
  {
    const GateExclusive gate(core_.gate);
    TAILRACE_RETURN_IF_ERROR(AppendClock(core_.clock->Now(), frames::TICK));
  }
  // In kBuffered nobody waits for the disk: this bounds what a power loss may take back.
  if (core_.positions->durable() < core_.positions->entered()) {
    TAILRACE_RETURN_IF_ERROR(core_.journal->Sync());
  }
  TAILRACE_RETURN_IF_ERROR(shard_control_.SplitBusy());
  TAILRACE_RETURN_IF_ERROR(shard_control_.RotateOld());
  TAILRACE_RETURN_IF_ERROR(Trim());
  return tokens_.Run();
}

Status Maintenance::Trim() {
  // Fan-out is seldom in haste, and what it has not made a record of cannot be found expired.
  TAILRACE_RETURN_IF_ERROR(core_.positions->WaitFannedOut(core_.positions->safe()));
  TAILRACE_ASSIGN_OR_RETURN(const auto pins, ReadPins(core_));
  TAILRACE_ASSIGN_OR_RETURN(frames::Trim trim, core_.shards->PlanTrim(core_.clock->AgeMs(), pins));
  if (trim.trims().empty()) return Status::Ok();
  const ClockReading now = core_.clock->Now();
  trim.set_wall_ms(now.wall_ms);
  trim.set_age_ms(now.stamp_ms());
  Lsn end;
  {
    const GateExclusive gate(core_.gate);
    TAILRACE_ASSIGN_OR_RETURN(const wal::Frame frame,
                              AppendControl(core_, shards::kTrimFrame, trim.SerializeAsString()));
    end = frame.end;
  }
  TAILRACE_RETURN_IF_ERROR(core_.positions->WaitFannedOut(end));
  core_.Report(Event::Kind::kTrimmed, std::to_string(trim.trims_size()) + " shards were trimmed");
  // The files go with the checkpoint that has the frame.
  return checkpointer_.Run();
}

}  // namespace tailrace::engine
