#include "shards/fan_out.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "shards/bell.h"
#include "wal/check.h"
#include "wal/mutants.h"
#include "wal/named_thread.h"

namespace tailrace::shards {

FanOut::FanOut(const wal::Journal& journal, wal::Positions& positions, ShardSet& shards,
               std::function<void(const Status&)> on_failure)
    : journal_(journal),
      positions_(positions),
      shards_(shards),
      on_failure_(std::move(on_failure)) {}

FanOut::~FanOut() { Stop(); }

void FanOut::Start() {
  TAILRACE_CHECK(!thread_.joinable() && !stopping_, "fan-out is started once");
  {
    MutexLock lock(mutex_);
    folded_ = positions_.fanned_out();
  }
  thread_ = NamedThread("tr-fan-out", [this] { Run(); });
  has_thread_ = true;
}

Status FanOut::RunInline() {
  TAILRACE_CHECK(!thread_.joinable(), "fan-out has a thread");
  if (FoldSafe()) return Status::Ok();
  MutexLock lock(mutex_);
  return failure_;
}

void FanOut::Stop() {
  stopping_ = true;
  interrupted_ = true;
  positions_.Interrupt();
  if (thread_.joinable()) thread_.join();
  Fail(Closed("fan-out was stopped"));
}

void FanOut::RequestCapture(Lsn at) {
  {
    MutexLock lock(mutex_);
    TAILRACE_CHECK(at >= folded_ || !failure_.ok(), "fan-out has passed the position");
    requests_.insert(at);
  }
  interrupted_ = true;
  positions_.Interrupt();
}

Result<ShardSetState> FanOut::TakeCapture(Lsn at) {
  const wal::Positions::Haste haste(positions_);
  MutexLock lock(mutex_);
  while (true) {
    const auto found = captures_.find(at);
    if (found != captures_.end()) {
      ShardSetState state = std::move(found->second);
      captures_.erase(found);
      return state;
    }
    if (!failure_.ok()) return failure_;
    captured_.Wait(mutex_);
  }
}

void FanOut::Run() {
  while (!stopping_) {
    const auto safe = positions_.AwaitFanOutWork(positions_.fanned_out(), interrupted_);
    // A failure elsewhere (the journal's) has its own reporter; nothing more becomes safe.
    if (!safe.ok()) return Fail(safe.status());
    if (TAILRACE_MUTANT("followers-wait-for-more") || !FollowersWait()) {
      positions_.GatherFanOutWork(interrupted_);
    }
    interrupted_ = false;
    if (!FoldSafe()) return;
  }
}

bool FanOut::FollowersWait() {
  MutexLock fold_lock(fold_mutex_);
  return shards_.FollowersWait();
}

// Folds what is safe. False once that has failed, now or before.
bool FanOut::FoldSafe() {
  MutexLock fold_lock(fold_mutex_);
  {
    MutexLock lock(mutex_);
    if (!failure_.ok()) return false;
  }
  const Status folded = FoldUpTo(positions_.safe());
  if (folded.ok()) return true;
  Fail(folded);
  on_failure_(folded);
  return false;
}

Result<bool> FanOut::WaitAny(const std::vector<Position>& positions, uint64_t timeout_ms) {
  const wal::Positions::Haste haste(positions_);
  Bell bell;
  // Without a thread, waits do its work elsewhere.
  if (!has_thread_) return shards_.WaitAny(positions, timeout_ms, bell, [] {});
  std::optional<wal::Positions::Lead> lead(std::in_place, positions_, [&bell] { bell.Ring(); });
  if (!lead->taken()) lead.reset();
  return shards_.WaitAny(positions, timeout_ms, bell, [&] {
    if (lead && !FoldForReader()) lead.reset();
  });
}

// False: there is too much to do, or nothing will be done any more.
bool FanOut::FoldForReader() {
  const Lsn folded = positions_.fanned_out();
  const uint64_t bytes = positions_.safe() - folded;
  return bytes == 0 || (bytes <= kReaderFoldBytesMax && FoldSafe());
}

// Folds all frames below `safe`, in batches that end where a capture is asked for.
Status FanOut::FoldUpTo(Lsn safe) {
  Lsn folded = positions_.fanned_out();
  while (!stopping_) {
    Lsn end = safe;
    bool capture = false;
    {
      // The bound is set under the lock: a request that comes later is for a position above it.
      MutexLock lock(mutex_);
      if (!requests_.empty() && *requests_.begin() <= safe) {
        end = *requests_.begin();
        capture = true;
      }
      folded_ = end;
    }
    while (folded < end && !stopping_) TAILRACE_RETURN_IF_ERROR(FoldBatch(end, folded));
    if (stopping_) break;
    if (!capture) return Status::Ok();
    if (TAILRACE_MUTANT("capture-too-late")) TAILRACE_RETURN_IF_ERROR(FoldBatch(safe, folded));
    HandOut(end);
  }
  return Status::Ok();
}

bool FanOut::BatchIsFull(uint64_t bytes) const {
  const uint64_t wanted = shards_.touched() * kFanOutBatchBytesPerShard;
  return bytes >= std::clamp(wanted, kFanOutBatchBytes, kFanOutBatchBytesMax);
}

// Folds frames from `folded` on, up to `end` or a batch's worth, and publishes them.
Status FanOut::FoldBatch(Lsn end, Lsn& folded) {
  const Lsn batch_start = folded;
  while (folded < end && !BatchIsFull(folded - batch_start)) {
    const auto frame = journal_.Read(folded);
    // Padding, or the journal's own frames, may be all that is left.
    if (frame.status().code() == StatusCode::kNotFound) {
      folded = end;
      break;
    }
    TAILRACE_RETURN_IF_ERROR(frame.status());
    if (frame->lsn >= end) {
      folded = end;
      break;
    }
    TAILRACE_RETURN_IF_ERROR(shards_.Apply(*frame));
    folded = frame->end;
  }
  TAILRACE_RETURN_IF_ERROR(shards_.Publish(folded));
  positions_.AdvanceFannedOut(folded);
  return Status::Ok();
}

void FanOut::HandOut(Lsn at) {
  ShardSetState state = shards_.Capture();
  MutexLock lock(mutex_);
  requests_.erase(at);
  captures_.insert_or_assign(at, std::move(state));
  captured_.NotifyAll();
}

void FanOut::Fail(const Status& cause) {
  MutexLock lock(mutex_);
  if (failure_.ok()) failure_ = cause;
  captured_.NotifyAll();
}

}  // namespace tailrace::shards
