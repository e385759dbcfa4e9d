#include "engine/checkpointer.h"

#include <chrono>
#include <set>

#include "engine/cut.pb.h"
#include "engine/fold.h"
#include "wal/mutants.h"
#include "wal/named_thread.h"

namespace tailrace::engine {
namespace {

constexpr size_t kDrainPieceItems = 1024;
constexpr size_t kDrainLookahead = 8;  // Items fetched ahead into the processor's caches.
// After a checkpoint failed (a full disk, say), so long until the next try.
constexpr uint64_t kRetryUs = 1'000'000;

// What a write gets whose room the failed checkpoint would have made: nothing of it was changed.
Status NoRoom(const Status& failure) {
  const std::string message =
      "the journal is at its limit, and the checkpoint that would make room failed (" +
      failure.ToString() + ")";
  return failure.code() == StatusCode::kNoSpace ? NoSpace(message) : Busy(message);
}

}  // namespace

void Checkpointer::Start() {
  active_begin_.store(core_.positions->cut().value);
  if (core_.options.threads == StoreThreads::kNone) return;
  thread_ = NamedThread("tr-checkpointer", [this] { Loop(); });
}

void Checkpointer::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    work_.NotifyAll();
    room_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

bool Checkpointer::Full() const {
  const Lsn begin{active_begin_.load(std::memory_order_relaxed)};
  return core_.positions->entered() - begin >= core_.options.generation_bytes_max;
}

void Checkpointer::RequestIfFull() {
  if (request_pending_.load(std::memory_order_relaxed) || !Full()) return;
  request_pending_.store(true);
  MutexLock lock(mutex_);
  requested_ = true;
  work_.NotifyAll();
}

Status Checkpointer::WaitForRoom() {
  if (HasRoom()) [[likely]]
    return Status::Ok();
  if (core_.options.threads == StoreThreads::kNone) return Run();
  MutexLock lock(mutex_);
  const uint64_t failed_before = failed_runs_;
  while (!HasRoom()) {
    TAILRACE_RETURN_IF_ERROR(core_.Writable());
    if (stopping_) return Closed("the store was closed while a write waited for room");
    // A full disk may stay full for hours: whoever waits is told, and can try again.
    if (failed_runs_ != failed_before) return NoRoom(last_failure_);
    // Whoever waits here wakes nobody else who does, or they would keep one another awake.
    if (!requested_) work_.NotifyAll();
    requested_ = true;
    room_.WaitFor(mutex_, kRetryUs);
  }
  return Status::Ok();
}

void Checkpointer::Loop() {
  while (true) {
    {
      MutexLock lock(mutex_);
      while (!requested_ && !stopping_) work_.Wait(mutex_);
      if (stopping_) return;
      requested_ = false;
      request_pending_.store(false);
    }
    const Status status = Run();
    if (status.ok()) continue;
    core_.Report(Event::Kind::kCheckpointFailed, status.ToString());
    MutexLock lock(mutex_);
    PauseAfterFailure();
  }
}

// Requests do not shorten it: a disk that is full is asked once a pause, however many writers wait.
// Then it is tried again, asked or not, unless the store has given up.
void Checkpointer::PauseAfterFailure() {
  using std::chrono::microseconds, std::chrono::steady_clock;
  const auto end = steady_clock::now() + microseconds(kRetryUs);
  for (auto now = steady_clock::now(); now < end && !stopping_; now = steady_clock::now()) {
    const auto left = std::chrono::ceil<microseconds>(end - now);
    work_.WaitFor(mutex_, static_cast<uint64_t>(left.count()));
  }
  requested_ = core_.Writable().ok();
}

Status Checkpointer::Run() {
  Status status;
  {
    MutexLock lock(run_mutex_);
    status = RunAll();
  }
  MutexLock lock(mutex_);
  if (!status.ok()) {
    ++failed_runs_;
    last_failure_ = status;
  }
  room_.NotifyAll();
  return status;
}

Status Checkpointer::RunAll() {
  // What an earlier, failed run froze is drained first; then what came since.
  const bool leftover = draining_.has_value();
  Status status = RunLocked();
  if (status.ok() && leftover) status = RunLocked();
  return status;
}

Status Checkpointer::RunAndHoldFiles(const std::function<Status()>& look) {
  Status status;
  {
    MutexLock lock(run_mutex_);
    status = RunAll();
    if (status.ok()) status = look();
    if (status.ok()) ++files_held_;
  }
  MutexLock lock(mutex_);
  room_.NotifyAll();
  return status;
}

void Checkpointer::ReleaseFiles() {
  MutexLock lock(run_mutex_);
  --files_held_;
}

Status Checkpointer::RunLocked() {
  if (!draining_) TAILRACE_RETURN_IF_ERROR(Freeze());
  if (!draining_) return Status::Ok();
  core_.Pause(PausePoint::kAfterFreeze);
  TAILRACE_RETURN_IF_ERROR(MakeDurable(*draining_));
  if (TAILRACE_MUTANT("recycled-before-ingest")) core_.journal->Recycle(draining_->at);
  TAILRACE_RETURN_IF_ERROR(Drain(*draining_));
  Draining done = std::move(*draining_);
  draining_.reset();
  return CleanUp(std::move(done));
}

// Sets the active generation aside, if there is anything new.
Status Checkpointer::Freeze() {
  const GateExclusive gate(core_.gate);
  if (core_.positions->entered() == core_.positions->cut()) return Status::Ok();
  // A reading of the clock ends the generation, so that the cut knows the store's age.
  const ClockReading now = core_.clock->Now();
  frames::Clock tick;
  tick.set_wall_ms(now.wall_ms);
  tick.set_age_ms(now.age_ms);
  tick.set_pending_downtime_ms(now.pending_downtime_ms);
  TAILRACE_RETURN_IF_ERROR(
      AppendControl(core_, shards::kClockFrame, tick.SerializeAsString()).status());
  Draining draining;
  draining.at = core_.positions->entered();
  draining.catalogue = core_.catalogue.Get().catalogue;
  draining.clock = now;
  draining.generation = core_.buffer.Freeze();
  active_begin_.store(draining.at.value, std::memory_order_relaxed);
  core_.fan_out->RequestCapture(draining.at);
  draining_ = std::move(draining);
  return Status::Ok();
}

// The journal up to the cut, then what fan-out made of it.
Status Checkpointer::MakeDurable(Draining& draining) {
  if (!TAILRACE_MUTANT("drained-before-durable")) {
    if (core_.positions->durable() < draining.at) TAILRACE_RETURN_IF_ERROR(core_.journal->Sync());
    TAILRACE_RETURN_IF_ERROR(core_.positions->WaitDurable(draining.at));
  }
  if (!draining.shards) {
    TAILRACE_RETURN_IF_ERROR(core_.positions->WaitFannedOut(draining.at));
    TAILRACE_ASSIGN_OR_RETURN(draining.shards, core_.fan_out->TakeCapture(draining.at));
  }
  const bool skip = TAILRACE_MUTANT("ingest-before-shard-sync");
  const Status synced = skip ? Status::Ok() : core_.shards->Sync();
  if (!synced.ok()) {
    core_.Fail(synced.WithContext("shard logs could not be made durable"));
    return synced;
  }
  core_.positions->AdvanceShardSynced(draining.at);
  return Status::Ok();
}

Status Checkpointer::Drain(const Draining& draining) {
  TAILRACE_ASSIGN_OR_RETURN(const bool done, CutReached(draining.at));
  if (!done) {
    auto begun = core_.index->NewIngest();
    // Nothing will be drained any more: writers must not wait for it.
    if (begun.status().code() == StatusCode::kReadOnly) core_.Fail(begun.status());
    TAILRACE_ASSIGN_OR_RETURN(const auto ingest, std::move(begun));
    TAILRACE_RETURN_IF_ERROR(WriteItems(draining, *ingest));
    core_.Pause(PausePoint::kBeforeIngest);
    TAILRACE_RETURN_IF_ERROR(ingest->Commit(EncodeCut(draining)));
  }
  core_.positions->AdvanceCut(draining.at);
  core_.Pause(PausePoint::kAfterIngest);
  return Status::Ok();
}

// Whether an ingest that seemed to fail did happen.
Result<bool> Checkpointer::CutReached(Lsn at) {
  TAILRACE_ASSIGN_OR_RETURN(const auto bytes, core_.index->ReadCut());
  Cut cut;
  if (!bytes || !cut.ParseFromString(*bytes)) return Corruption("the item index has lost its cut");
  return cut.lsn() >= at.value;
}

// Keys and images lie in the journal in another order, and where the index keeps them in yet
// another one: waiting for memory would be most of the work.
void Checkpointer::LookAhead(TableId table, const std::vector<Generation::KeyedItem>& piece,
                             size_t at) const {
  if (const size_t next = at + 2 * kDrainLookahead; next < piece.size()) {
    const auto& [key, item] = piece[next];
    __builtin_prefetch(key.data());
    if (item.image) __builtin_prefetch(item.image->data());
  }
  if (const size_t next = at + kDrainLookahead; next < piece.size()) {
    core_.index->Expect(table, piece[next].first);
  }
}

Status Checkpointer::WriteItems(const Draining& draining, ItemIndex::Ingest& ingest) {
  for (const TableId table : draining.generation->Tables()) {
    if (!draining.catalogue->Holds(table)) continue;  // Dropped.
    std::string lower;
    while (true) {
      const auto piece =
          draining.generation->Range(table, lower, {}, kDrainPieceItems, Direction::kForward);
      for (size_t i = 0; i < piece.size(); ++i) {
        LookAhead(table, piece, i);
        const auto& [key, item] = piece[i];
        if (TAILRACE_MUTANT("deletes-not-drained") && !item.image) continue;
        TAILRACE_RETURN_IF_ERROR(item.image ? ingest.Set(table, key, item.lsn, *item.image)
                                            : ingest.Delete(table, key));
      }
      if (piece.size() < kDrainPieceItems) break;
      lower = std::string(piece.back().first) + '\0';
    }
  }
  return ingest.Finish();
}

std::string Checkpointer::EncodeCut(const Draining& draining) const {
  Cut cut;
  cut.set_store_id(core_.identity.store_id.value);
  cut.set_lsn(draining.at.value);
  cut.set_epoch(core_.journal->recovery().epoch.value);
  *cut.mutable_catalogue() = draining.catalogue->ToProto();
  *cut.mutable_catalogue()->mutable_streams() = draining.shards->catalogue;
  cut.mutable_clock()->set_wall_ms(draining.clock.wall_ms);
  cut.mutable_clock()->set_age_ms(draining.clock.age_ms);
  cut.mutable_clock()->set_pending_downtime_ms(draining.clock.pending_downtime_ms);
  for (const auto& end : draining.shards->ends) *cut.add_shard_ends() = end;
  return cut.SerializeAsString();
}

// The index has it all: memory, journal and files that only recovery from an older cut needed are
// free.
Status Checkpointer::CleanUp(Draining done) {
  done.generation.reset();
  core_.buffer.DropFrozen();
  core_.Pause(PausePoint::kBeforeRecycle);
  core_.journal->Recycle(done.at);
  core_.positions->AdvanceRecycled(done.at);
  completed_.fetch_add(1);
  core_.Report(Event::Kind::kCheckpoint, "cut at " + std::to_string(done.at.value));
  TAILRACE_RETURN_IF_ERROR(DropFamilies(*done.catalogue));
  TAILRACE_RETURN_IF_ERROR(core_.index->Tidy());
  core_.Pause(PausePoint::kBeforeUnlink);
  if (files_held_ > 0 && !TAILRACE_MUTANT("backup-holds-nothing")) return Status::Ok();
  return core_.shards->RemoveTrimmed(*done.shards).status();
}

// Families of tables that the durable cut knows nothing of any more.
Status Checkpointer::DropFamilies(const Catalogue& catalogue) {
  for (const TableId table : core_.index->Tables()) {
    if (catalogue.Holds(table) || core_.catalogue.Get().catalogue->Holds(table)) continue;
    TAILRACE_RETURN_IF_ERROR(core_.index->DropTable(table));
  }
  return Status::Ok();
}

}  // namespace tailrace::engine
