#include "engine/maintenance.h"

#include <algorithm>
#include <chrono>

#include "engine/consumer_pins.h"
#include "wal/named_thread.h"

namespace tailrace::engine {
namespace {

// A hundred years: longer, and the arithmetic of clocks runs over.
constexpr uint64_t kIntervalMsMax = 100ull * 366 * 24 * 3600'000;

// What the options allow a second is done in so many pieces.
constexpr uint64_t kSlicesPerSecond = 10;

// Of a filling at full speed: between two pieces other upkeep may have its turn.
constexpr uint64_t kFillItems = 10'000;

uint64_t SliceOf(uint64_t items_per_second) {
  return std::max<uint64_t>(1, items_per_second / kSlicesPerSecond);
}

}  // namespace

void Maintenance::Start() {
  if (core_.options.maintenance_interval_ms == 0) return;
  if (core_.options.threads == StoreThreads::kNone) return;
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
  auto next_round = Time::now() + interval;
  while (true) {
    const auto slice_end = Time::now() + std::chrono::milliseconds(1000 / kSlicesPerSecond);
    const bool rung = core_.upkeep_bell.Sleep(
        to_sweep_ || to_fill_ ? std::min(next_round, slice_end) : next_round);
    if (stopping_) return;
    Status status;
    if (rung) {
      status = shard_control_.SplitBusy();
      to_fill_ = true;  // Perhaps an index was made.
    } else {
      const bool round = Time::now() >= next_round;
      if (round) {
        status = RunRound();
        next_round = Time::now() + interval;
      }
      const Status pieces = RunPieces(round);
      if (status.ok()) status = pieces;
    }
    // A failure that matters has made the store read-only and was reported; any other is tried
    // again.
    if (!status.ok()) {
      core_.Report(Event::Kind::kCheckpointFailed, "upkeep: " + status.ToString());
    }
  }
}

// A piece of what is under way; in a round it begins again.
Status Maintenance::RunPieces(bool round) {
  Status status;
  if (round || to_sweep_) {
    const auto more = Sweep(SliceOf(core_.options.expiry_items_per_second));
    to_sweep_ = more.ok() && *more;
    status = more.status();
  }
  if (round || to_fill_) {
    const auto more = Fill(SliceOf(core_.options.backfill_items_per_second));
    const bool no_room = more.status().code() == StatusCode::kBusy;
    to_fill_ = no_room || (more.ok() && *more);
    if (status.ok() && !no_room) status = more.status();
  }
  return status;
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
  TAILRACE_RETURN_IF_ERROR(Sweep(UINT64_MAX).status());
  return FillAll();
}

Result<bool> Maintenance::Fill(uint64_t items_max) {
  MutexLock lock(run_mutex_);
  return backfill_.Run(items_max);
}

Status Maintenance::FillAll() {
  while (true) {
    const auto more = Fill(kFillItems);
    if (more.status().code() == StatusCode::kBusy) {
      TAILRACE_RETURN_IF_ERROR(checkpointer_.WaitForRoom());
      continue;
    }
    TAILRACE_RETURN_IF_ERROR(more.status());
    if (!*more) return Status::Ok();
  }
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
