// The journal's way to disk: groups, syncs, segments made ready ahead, marks, failure and closing.
#include <algorithm>
#include <utility>

#include "wal/check.h"
#include "wal/file_journal.h"
#include "wal/mutants.h"
#include "wal/named_thread.h"

namespace tailrace::wal {
namespace {

// Who waited for a group will wait for one soon again, and then each microsecond of it counts.
constexpr uint32_t kGroupsInHaste = 32;

}  // namespace

// --- Groups (kSync) and syncs (kBuffered). ---

// Cuts the next group: what is filled and not taken of the oldest chunk. Its first frame begins a
// block; it gets the freshest mark, so that each group proves the one before durable.
bool FileJournal::TakeGroup(Group& group) {
  const auto exhausted = [this](const Chunk& chunk) TAILRACE_NO_THREAD_SAFETY_ANALYSIS {
    return &chunk != current_ && chunk.taken_bytes == chunk.filled_bytes;
  };
  while (!unwritten_.empty() && exhausted(unwritten_.front())) unwritten_.pop_front();
  if (unwritten_.empty()) return false;
  if (&unwritten_.front() == current_) PadToBlock();
  Chunk& chunk = unwritten_.front();
  if (chunk.taken_bytes == chunk.filled_bytes) return false;
  char* const begin = chunk.memory + chunk.taken_bytes;
  RestampFrameHeader(begin, durable().value, chunk.segment->seed);
  marked_ = durable();
  group.segment = chunk.segment;
  group.offset = chunk.segment->OffsetOf(chunk.extent->base()) + chunk.taken_bytes;
  group.bytes = ByteView(begin, chunk.filled_bytes - chunk.taken_bytes);
  group.end = chunk.end;
  chunk.taken_bytes = chunk.filled_bytes;
  if (&chunk != current_) unwritten_.pop_front();
  return true;
}

Status FileJournal::WriteOnce() { return synchronous() ? WriteGroup() : SyncMapped(Reach::kAll); }

Status FileJournal::WriteGroup() {
  Group group;
  {
    const MutexLock lock(mutex_);
    TAILRACE_RETURN_IF_ERROR(status_);
    if (!TakeGroup(group)) return Status::Ok();
  }
  File& file = *group.segment->file;
  Status status = TAILRACE_MUTANT("ack-before-fsync")
                      ? file.Write(group.offset, group.bytes)
                      : file.WriteDurable(group.offset, group.bytes);
  if (TAILRACE_MUTANT("retry-fsync") && !status.ok()) {
    status = file.WriteDurable(group.offset, group.bytes);
  }
  if (!status.ok()) {
    Fail(status);
    return status;
  }
  RaiseDurable(group.end);
  return Status::Ok();
}

Status FileJournal::SyncMapped(Reach reach) {
  std::vector<std::pair<SegmentFile*, std::pair<Lsn, Lsn>>> ranges;
  Lsn target;
  {
    const MutexLock lock(mutex_);
    TAILRACE_RETURN_IF_ERROR(status_);
    if (reach == Reach::kAll && appended() > durable()) PadToBlock();
    target = reach == Reach::kAll ? appended() : active_->base();
    if (durable() >= target) return Status::Ok();
    for (const auto& segment : segments_) {
      const Lsn from = std::max(durable(), segment->base());
      const Lsn to = std::min(target, segment->end());
      if (from < to) ranges.push_back({segment.get(), {from, to}});
    }
  }
  for (const auto& [segment, range] : ranges) {
    if (TAILRACE_MUTANT("mapped-not-synced")) continue;
    const Status status =
        segment->map->Sync(segment->OffsetOf(range.first), range.second - range.first);
    if (!status.ok()) {
      Fail(status);
      return status;
    }
  }
  RaiseDurable(target);
  return Status::Ok();
}

void FileJournal::RaiseDurable(Lsn end) {
  {
    const MutexLock lock(wait_mutex_);
    durable_.store(end.value, std::memory_order_release);
    durable_moved_.NotifyAll();
  }
  {
    const MutexLock lock(mutex_);
    if (room_waiters_ > 0) room_.NotifyAll();
    if (keeper_sleeps_ && MarkIsDue()) keeper_wakes_.NotifyOne();
  }
  if (options_.on_durable) options_.on_durable(end);
}

// --- Waiting. ---

// The calling thread writes until everything below `end` is durable.
Status FileJournal::WriteUpTo(Lsn end) {
  const MutexLock lock(writer_mutex_);
  while (durable() < end) TAILRACE_RETURN_IF_ERROR(WriteOnce());
  return Status::Ok();
}

void FileJournal::Hasten(Lsn end) {
  if (durable() >= end) return;
  const MutexLock lock(mutex_);
  HastenWriter();
}

void FileJournal::HastenWriter() {
  groups_in_haste_ = kGroupsInHaste;
  if (writer_gathers_) writer_wakes_.NotifyOne();
}

// The calling thread waits until others have.
Status FileJournal::AwaitDurable(Lsn end) {
  Hasten(end);
  const MutexLock lock(wait_mutex_);
  while (durable() < end) {
    if (wait_over_) return Closed("the journal ended before the position was durable");
    durable_moved_.Wait(wait_mutex_);
  }
  return Status::Ok();
}

Status FileJournal::MakeDurable(Lsn end) {
  const bool others_write = has_threads() && synchronous();
  const Status status = others_write ? AwaitDurable(end) : WriteUpTo(end);
  if (status.ok()) return status;
  const Status failure = this->status();
  if (failure.ok()) return status;
  return OutcomeUnknown("the journal failed before the write was known to be durable: " +
                        failure.ToString());
}

Status FileJournal::WaitDurable(Lsn end) {
  end = std::min(end, appended());
  if (durable() >= end) return Status::Ok();
  if (has_threads() && !synchronous()) {
    const Status status = AwaitDurable(end);
    const Status failure = this->status();
    if (status.ok() || failure.ok()) return status;
    return OutcomeUnknown("the journal failed before the write was known to be durable: " +
                          failure.ToString());
  }
  return MakeDurable(end);
}

Status FileJournal::Sync() {
  const Lsn end = appended();
  if (durable() >= end) return Status::Ok();
  {
    const MutexLock lock(mutex_);
    if (closing_) return Closed("the journal is closed");
  }
  return MakeDurable(end);
}

// --- The next segment. ---

SegmentHeader FileJournal::HeaderAfter(const SegmentFile& segment) const {
  SegmentHeader header = segment.header;
  header.base = segment.end().value;
  header.wall_ms = clock_.WallMs();
  return header;
}

// Makes the next segment ready. The lock is given up meanwhile.
void FileJournal::PrepareNext() {
  preparing_ = true;
  prepare_wanted_ = false;
  const SegmentHeader header = HeaderAfter(*active_);
  mutex_.Unlock();
  Result<std::unique_ptr<SegmentFile>> prepared = pool_.Prepare(header);
  Status status = prepared.status();
  const bool full = status.code() == StatusCode::kNoSpace;
  if (!status.ok() && (!full || TAILRACE_MUTANT("full-disk-is-final"))) Fail(status);
  mutex_.Lock();
  preparing_ = false;
  ++prepare_attempts_;
  prepare_status_ = status;
  if (prepared.ok()) next_ = std::move(*prepared);
  room_.NotifyAll();
}

// Waits for one attempt to make the next segment ready. OK means: look again.
Status FileJournal::AwaitNextSegment() {
  if (!has_threads() && !preparing_) {
    PrepareNext();
    return status_.ok() ? prepare_status_ : Status::Ok();
  }
  const uint64_t attempts_before = prepare_attempts_;
  prepare_wanted_ = true;
  keeper_wakes_.NotifyOne();
  while (next_ == nullptr && prepare_attempts_ == attempts_before && status_.ok() && !stop_) {
    ++room_waiters_;
    room_.Wait(mutex_);
    --room_waiters_;
  }
  if (next_ != nullptr || !status_.ok()) return Status::Ok();
  if (stop_) return Closed("the journal is closed");
  return prepare_status_;
}

// --- Marks while idle. ---

// Is something durable of which no frame says so?
bool FileJournal::MarkIsDue() const {
  return !TAILRACE_MUTANT("no-idle-mark") && options_.idle_mark_ms > 0 && status_.ok() &&
         !closing_ && std::min(durable(), previous_end_) > marked_;
}

void FileJournal::PlaceMark() {
  if (!FitsChunk(kFrameHeaderBytes)) CloseChunk();
  if (ActiveRoom() < kFrameHeaderBytes) {
    if (next_ == nullptr) return;
    Roll();
  }
  Place(FrameType::kMark, ByteView(), PayloadHash(FrameType::kMark, ByteView(), active_->seed));
  if (writer_waits_) writer_wakes_.NotifyOne();
}

// --- Threads. ---

void FileJournal::StartThreads() {
  if (!has_threads()) return;
  writer_ = NamedThread("tr-writer", [this] { WriterLoop(); });
  keeper_ = NamedThread("tr-keeper", [this] { KeeperLoop(); });
}

void FileJournal::StopThreads() {
  {
    const MutexLock lock(mutex_);
    stop_ = true;
    writer_wakes_.NotifyAll();
    keeper_wakes_.NotifyAll();
    room_.NotifyAll();
  }
  {
    const MutexLock lock(wait_mutex_);
    wait_over_ = true;
    durable_moved_.NotifyAll();
  }
  if (writer_.joinable()) writer_.join();
  if (keeper_.joinable()) keeper_.join();
}

// Returns whether there is something to write. After an idle time that is at once: who ended it
// may be waiting, and is about to say so. Behind a group more may gather, so that a stream of
// frames makes few groups.
bool FileJournal::AwaitFrames() {
  const bool idle = appended() == durable();
  while (!stop_ && status_.ok() && appended() == durable()) {
    writer_waits_ = true;
    writer_wakes_.Wait(mutex_);
    writer_waits_ = false;
  }
  if (groups_in_haste_ > 0) {
    --groups_in_haste_;
  } else if (!idle && !stop_ && status_.ok() && options_.gather_us > 0) {
    writer_gathers_ = true;
    (void)writer_wakes_.WaitFor(mutex_, options_.gather_us);  // Woken or not: it was long enough.
    writer_gathers_ = false;
  }
  return !stop_ && status_.ok();
}

// Returns whether there is a segment to sync that takes no more frames.
bool FileJournal::AwaitSealed() {
  while (!stop_ && status_.ok() && durable() >= active_->base()) writer_wakes_.Wait(mutex_);
  return !stop_ && status_.ok();
}

// kBuffered: nobody waits for the disk, but what is synced as the journal grows need not be written
// again by a recovery, nor all at once by a checkpoint.
void FileJournal::WriterLoop() {
  while (true) {
    {
      const MutexLock lock(mutex_);
      if (!(synchronous() ? AwaitFrames() : AwaitSealed())) return;
    }
    const MutexLock lock(writer_mutex_);
    if (!(synchronous() ? WriteGroup() : SyncMapped(Reach::kSealed)).ok()) return;
  }
}

void FileJournal::KeeperLoop() {
  const MutexLock lock(mutex_);
  uint64_t appends_seen = appends_;
  while (!stop_ && status_.ok()) {
    if (next_ == nullptr && (prepare_wanted_ || prepare_status_.ok())) {
      PrepareNext();
      continue;
    }
    if (!MarkIsDue()) {
      keeper_sleeps_ = true;
      keeper_wakes_.Wait(mutex_);
      keeper_sleeps_ = false;
      appends_seen = appends_;
      continue;
    }
    const bool woken = keeper_wakes_.WaitFor(mutex_, uint64_t{options_.idle_mark_ms} * 1000);
    if (!woken && appends_ == appends_seen && MarkIsDue()) PlaceMark();
    appends_seen = appends_;
  }
}

// --- The end. ---

void FileJournal::Fail(const Status& cause) {
  {
    const MutexLock lock(mutex_);
    if (!status_.ok()) return;
    status_ = cause;
    writer_wakes_.NotifyAll();
    keeper_wakes_.NotifyAll();
    room_.NotifyAll();
  }
  {
    const MutexLock lock(wait_mutex_);
    wait_over_ = true;
    durable_moved_.NotifyAll();
  }
  if (options_.on_failure) options_.on_failure(cause);
}

Status FileJournal::AppendClose() {
  const MutexLock lock(mutex_);
  TAILRACE_RETURN_IF_ERROR(status_);
  while (ActiveRoom() < kFrameHeaderBytes || !FitsChunk(kFrameHeaderBytes)) {
    TAILRACE_RETURN_IF_ERROR(status_);
    if (!FitsChunk(kFrameHeaderBytes)) {
      CloseChunk();
    } else if (next_ != nullptr) {
      Roll();
    } else {
      TAILRACE_RETURN_IF_ERROR(AwaitNextSegment());
    }
  }
  Place(FrameType::kClose, ByteView(), PayloadHash(FrameType::kClose, ByteView(), active_->seed));
  if (writer_waits_) writer_wakes_.NotifyOne();
  return Status::Ok();
}

Status FileJournal::Close() {
  {
    const MutexLock lock(mutex_);
    if (closing_) return Closed("the journal is closed");
    closing_ = true;
    room_.NotifyAll();
  }
  Status status = MakeDurable(appended());
  if (status.ok()) status = AppendClose();
  if (status.ok()) status = MakeDurable(appended());
  StopThreads();
  return status;
}

}  // namespace tailrace::wal
