// The journal in local segment files: what OpenJournal makes. See wal/journal.h for what it
// promises.
//
// kSync: Append copies frames into chunks of memory; one group at a time is padded to whole blocks
// and written durably. Chunks stay in memory until they are recycled, so readers copy nothing.
// kBuffered: Append copies frames into the mapped segment; Sync pads to a block and syncs the
// mapping, and the writer thread syncs each segment that is full. In both, a block that holds
// durable frames is never written again, and the first frame after it carries a mark.
//
// Locks, in the order in which they may be taken: writer_mutex_, mutex_, then one of the index's
// lock, the pool's lock or wait_mutex_.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "wal/frame.h"
#include "wal/frame_index.h"
#include "wal/journal.h"
#include "wal/mutex.h"
#include "wal/recovery.h"
#include "wal/segment_pool.h"

namespace tailrace::wal {

class FileJournal final : public Journal {
 public:
  FileJournal(FileSystem& fs, const Clock& clock, const std::string& directory, StoreId store_id,
              const JournalOptions& options);
  FileJournal(const FileJournal&) = delete;
  FileJournal& operator=(const FileJournal&) = delete;
  ~FileJournal() override;

  // Takes over what recovery found (already applied), begins the new epoch durably and starts the
  // threads. Once, before anything else.
  Status Begin(RecoveryPlan plan, Lsn from);

  Result<Appended> Append(FrameType type, ByteView payload, Quota quota) override;
  Status WaitDurable(Lsn end) override;
  void Hasten(Lsn end) override;
  Status Sync() override;
  Lsn appended() const override { return Lsn{appended_.load(std::memory_order_acquire)}; }
  Lsn appended_by_callers() const override {
    const MutexLock lock(mutex_);
    return previous_end_;
  }
  Lsn durable() const override { return Lsn{durable_.load(std::memory_order_acquire)}; }
  Result<Frame> Read(Lsn at) const override;
  void Recycle(Lsn below) override;
  uint64_t live_bytes() const override;
  uint64_t disk_bytes() const override { return pool_.disk_bytes(); }
  Status status() const override;
  const JournalRecovery& recovery() const override { return recovery_; }
  Status Close() override;

 private:
  // kSync: a piece of the journal in memory. Groups are cut from it at block boundaries.
  struct Chunk {
    Extent* extent = nullptr;
    char* memory = nullptr;
    uint64_t capacity_bytes = 0;
    SegmentFile* segment = nullptr;
    uint64_t filled_bytes = 0;  // Bytes that have been, or are to be, written.
    uint64_t taken_bytes = 0;   // Those that a group has taken.
    Lsn end;                    // Where the journal stands after filled_bytes (a roll skips some).
  };

  // A group on its way to disk.
  struct Group {
    SegmentFile* segment = nullptr;
    uint64_t offset = 0;
    ByteView bytes;
    Lsn end;
  };

  bool synchronous() const { return options_.durability == Durability::kSync; }
  bool has_threads() const { return options_.threads == JournalThreads::kOwn; }

  // --- file_journal.cc: opening, appending, reading, recycling. ---
  void AdoptRecovered(RecoveryPlan& plan, Lsn from);
  Status BeginEpoch(const RecoveryPlan& plan);
  Status CheckAppendable() const TAILRACE_REQUIRES(mutex_);
  // Waits until a frame of this size fits into the active segment and within the quota.
  Status MakeRoom(uint64_t frame_bytes, uint64_t live_bytes_max) TAILRACE_REQUIRES(mutex_);
  Status WaitForWriter() TAILRACE_REQUIRES(mutex_);
  uint64_t ActiveRoom() const TAILRACE_REQUIRES(mutex_);
  // Puts a frame at the end; there must be room.
  Frame Place(FrameType type, ByteView payload, uint64_t payload_hash) TAILRACE_REQUIRES(mutex_);
  void PlaceInChunk(const FrameHeader& header, ByteView payload) TAILRACE_REQUIRES(mutex_);
  void PlaceInMap(const FrameHeader& header, ByteView payload) TAILRACE_REQUIRES(mutex_);
  // Pages that appends will come to soon, to be made ready without the lock: else one appender
  // waits for each of them, and all others for it.
  struct PagesAhead {
    std::shared_ptr<MappedFile> map;  // None: there are enough.
    uint64_t offset = 0;
    uint64_t bytes = 0;
  };
  PagesAhead TakePagesAhead() TAILRACE_REQUIRES(mutex_);
  FrameHeader MakeHeader(FrameType type, uint64_t payload_bytes, uint64_t payload_hash) const
      TAILRACE_REQUIRES(mutex_);
  // Fills up to a block boundary, so that the next frame begins a block.
  void PadToBlock() TAILRACE_REQUIRES(mutex_);
  // Closes the active segment and goes on in the next one, which must be ready.
  void Roll() TAILRACE_REQUIRES(mutex_);
  void PadToSegmentEnd() TAILRACE_REQUIRES(mutex_);
  void Activate(std::unique_ptr<SegmentFile> segment) TAILRACE_REQUIRES(mutex_);
  bool FitsChunk(uint64_t frame_bytes) const TAILRACE_REQUIRES(mutex_);
  void CloseChunk() TAILRACE_REQUIRES(mutex_);
  void AddChunk(uint64_t frame_bytes) TAILRACE_REQUIRES(mutex_);
  void FillChunk(uint64_t bytes) TAILRACE_REQUIRES(mutex_);
  void MoveAppended(Lsn end) TAILRACE_REQUIRES(mutex_);
  uint64_t LiveBytes(Lsn recycled) const;

  // --- file_journal_write.cc: durability, segments ahead, marks, threads. ---
  bool TakeGroup(Group& group) TAILRACE_REQUIRES(mutex_);
  // Write what is appended (kSync: at most one group; kBuffered: all of it).
  Status WriteOnce() TAILRACE_REQUIRES(writer_mutex_) TAILRACE_EXCLUDES(mutex_);
  Status WriteGroup() TAILRACE_REQUIRES(writer_mutex_) TAILRACE_EXCLUDES(mutex_);
  enum class Reach { kAll, kSealed };  // All that is appended; all before the active segment.
  Status SyncMapped(Reach reach) TAILRACE_REQUIRES(writer_mutex_) TAILRACE_EXCLUDES(mutex_);
  Status WriteUpTo(Lsn end) TAILRACE_EXCLUDES(mutex_);
  Status AwaitDurable(Lsn end) TAILRACE_EXCLUDES(mutex_);
  Status MakeDurable(Lsn end) TAILRACE_EXCLUDES(mutex_);
  void RaiseDurable(Lsn end) TAILRACE_REQUIRES(writer_mutex_) TAILRACE_EXCLUDES(mutex_);
  Status AwaitNextSegment() TAILRACE_REQUIRES(mutex_);
  void PrepareNext() TAILRACE_REQUIRES(mutex_);
  SegmentHeader HeaderAfter(const SegmentFile& segment) const;
  Status AppendClose() TAILRACE_EXCLUDES(mutex_);
  bool MarkIsDue() const TAILRACE_REQUIRES(mutex_);
  void PlaceMark() TAILRACE_REQUIRES(mutex_);
  void HastenWriter() TAILRACE_REQUIRES(mutex_);
  bool AwaitFrames() TAILRACE_REQUIRES(mutex_);
  bool AwaitSealed() TAILRACE_REQUIRES(mutex_);
  void WriterLoop();
  void KeeperLoop();
  void StartThreads();
  void StopThreads();
  void Fail(const Status& cause) TAILRACE_EXCLUDES(mutex_);

  const JournalOptions options_;
  const Clock& clock_;
  const StoreId store_id_;
  SegmentPool pool_;
  FrameIndex index_;
  JournalRecovery recovery_;  // Constant after Begin.

  // Held over a write or sync, so that there is one at a time.
  Mutex writer_mutex_;

  mutable Mutex mutex_;
  CondVar room_;          // Appenders: there may be room, a segment, or no journal any more.
  CondVar writer_wakes_;  // The writer thread: frames or a full segment to write, or stop.
  CondVar keeper_wakes_;  // The keeper thread: a segment to make ready, or stop.
  Status status_ TAILRACE_GUARDED_BY(mutex_);
  bool closing_ TAILRACE_GUARDED_BY(mutex_) = false;
  bool stop_ TAILRACE_GUARDED_BY(mutex_) = false;
  bool writer_waits_ TAILRACE_GUARDED_BY(mutex_) = false;     // For something to write.
  bool writer_gathers_ TAILRACE_GUARDED_BY(mutex_) = false;   // There is; more may come.
  uint32_t groups_in_haste_ TAILRACE_GUARDED_BY(mutex_) = 0;  // To be written without gathering.
  bool keeper_sleeps_ TAILRACE_GUARDED_BY(mutex_) = false;    // Until there is something to mark.
  uint64_t room_waiters_ TAILRACE_GUARDED_BY(mutex_) = 0;
  uint64_t appends_ TAILRACE_GUARDED_BY(mutex_) = 0;
  Lsn previous_end_
      TAILRACE_GUARDED_BY(mutex_);          // End of the last caller's frame, or the epoch's start.
  Lsn marked_ TAILRACE_GUARDED_BY(mutex_);  // The highest mark in a frame written.
  std::deque<std::unique_ptr<SegmentFile>> segments_ TAILRACE_GUARDED_BY(mutex_);  // Not recycled.
  SegmentFile* active_ TAILRACE_GUARDED_BY(mutex_) = nullptr;
  std::unique_ptr<SegmentFile> next_ TAILRACE_GUARDED_BY(mutex_);
  bool preparing_ TAILRACE_GUARDED_BY(mutex_) = false;
  bool prepare_wanted_ TAILRACE_GUARDED_BY(mutex_) = false;
  uint64_t prepare_attempts_ TAILRACE_GUARDED_BY(mutex_) = 0;
  Status prepare_status_ TAILRACE_GUARDED_BY(mutex_);
  // kSync. The last chunk is open while current_ is set; pointers into a deque stay good at its
  // ends.
  std::deque<Chunk> unwritten_ TAILRACE_GUARDED_BY(mutex_);
  Chunk* current_ TAILRACE_GUARDED_BY(mutex_) = nullptr;
  std::vector<BlockMemory> spare_memory_ TAILRACE_GUARDED_BY(mutex_);
  // kBuffered.
  Extent* mapped_ TAILRACE_GUARDED_BY(mutex_) = nullptr;

  // Written under mutex_ (durable_: writer_mutex_), read anywhere.
  std::atomic<uint64_t> appended_{0};
  std::atomic<uint64_t> durable_{0};
  std::atomic<uint64_t> recycled_{0};
  std::atomic<uint64_t> seed_{0};  // Of the active segment.

  // Those who wait for the durable position.
  Mutex wait_mutex_;
  CondVar durable_moved_;
  bool wait_over_ TAILRACE_GUARDED_BY(wait_mutex_) = false;  // Failed, or closed: no wait goes on.

  std::thread writer_;
  std::thread keeper_;
};

}  // namespace tailrace::wal
