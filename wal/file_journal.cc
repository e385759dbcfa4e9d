#include "wal/file_journal.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "wal/check.h"
#include "wal/mutants.h"

namespace tailrace::wal {
namespace {

constexpr uint64_t kChunkBytes = 1 << 20;
constexpr size_t kSpareChunksMax = 16;
constexpr uint64_t kPagesAheadBytes = 64 << 10;

Status CheckOptions(const JournalOptions& options) {
  if (options.segment_bytes % kBlockBytes != 0 || options.segment_bytes < kJournalSegmentBytesMin ||
      options.segment_bytes > kJournalSegmentBytesMax) {
    return InvalidArgument("segment_bytes is " + std::to_string(options.segment_bytes) +
                           "; it must be a multiple of " + std::to_string(kBlockBytes) +
                           " between " + std::to_string(kJournalSegmentBytesMin) + " and " +
                           std::to_string(kJournalSegmentBytesMax));
  }
  if (options.live_bytes_max < options.segment_bytes) {
    return InvalidArgument("live_bytes_max must not be below segment_bytes");
  }
  if (options.group_bytes_max == 0) return InvalidArgument("group_bytes_max must not be 0");
  return Status::Ok();
}

Status MakeDirectory(FileSystem& fs, const std::string& directory) {
  TAILRACE_ASSIGN_OR_RETURN(const bool exists, fs.Exists(directory));
  if (!exists) TAILRACE_RETURN_IF_ERROR(fs.CreateDirectory(directory));
  const size_t slash = directory.find_last_of('/');
  if (slash == std::string::npos) return fs.SyncDirectory(".");
  return fs.SyncDirectory(slash == 0 ? "/" : directory.substr(0, slash));
}

}  // namespace

Result<std::unique_ptr<Journal>> OpenJournal(FileSystem& fs, const Clock& clock,
                                             const std::string& directory,
                                             const JournalStart& start,
                                             const JournalOptions& options) {
  TAILRACE_RETURN_IF_ERROR(CheckOptions(options));
  TAILRACE_ASSIGN_OR_RETURN(RecoveryPlan plan, PlanRecovery(fs, directory, start, options.threads));
  TAILRACE_RETURN_IF_ERROR(MakeDirectory(fs, directory));
  TAILRACE_RETURN_IF_ERROR(ApplyRecovery(fs, directory, plan));
  auto journal = std::make_unique<FileJournal>(fs, clock, directory, start.store_id, options);
  TAILRACE_RETURN_IF_ERROR(journal->Begin(std::move(plan), start.from));
  return std::unique_ptr<Journal>(std::move(journal));
}

FileJournal::FileJournal(FileSystem& fs, const Clock& clock, const std::string& directory,
                         StoreId store_id, const JournalOptions& options)
    : options_(options),
      clock_(clock),
      store_id_(store_id),
      pool_(fs, directory, options.spare_segments_max) {}

FileJournal::~FileJournal() { StopThreads(); }

Status FileJournal::Begin(RecoveryPlan plan, Lsn from) {
  recovery_ = JournalRecovery{.epoch = plan.new_epoch,
                              .end = plan.end,
                              .start = plan.new_start,
                              .clean_close = plan.clean_close,
                              .torn_bytes = plan.torn_bytes,
                              .torn_copy = plan.torn.empty() ? "" : plan.torn.front().copy_path,
                              .epochs = plan.epochs,
                              .frames = plan.frames};
  recovery_.epochs.push_back(EpochStart{.epoch = plan.new_epoch,
                                        .old_end = plan.end,
                                        .new_start = plan.new_start,
                                        .clean = plan.clean_close});
  AdoptRecovered(plan, from);
  TAILRACE_RETURN_IF_ERROR(BeginEpoch(plan));
  for (const StaleSegment& stale : plan.stale) {
    pool_.Recycle(stale.path, stale.file_bytes, options_.segment_bytes);
  }
  StartThreads();
  return Status::Ok();
}

void FileJournal::AdoptRecovered(RecoveryPlan& plan, Lsn from) {
  const MutexLock lock(mutex_);
  for (const StaleSegment& stale : plan.stale) pool_.Adopt(stale.file_bytes);
  for (RecoveredSegment& recovered : plan.segments) {
    SegmentImage& image = recovered.image;
    auto segment = std::make_unique<SegmentFile>();
    segment->header = image.header();
    segment->path = image.path();
    segment->file_bytes = recovered.file_bytes;
    segments_.push_back(std::move(segment));
    pool_.Adopt(recovered.file_bytes);
    Extent* extent = index_.Add(std::make_unique<Extent>(
        image.base(), image.header().epoch, image.TakeMemory(recovered.proven_end - image.base())));
    for (const Lsn at : recovered.frames) extent->MarkFrame(at);
  }
  recycled_ = std::min(from, plan.new_start).value;
  appended_ = durable_ = plan.new_start.value;
  previous_end_ = marked_ = plan.new_start;
}

// Reserves positions and writes the Epoch frame. Until it is durable the old epoch's end is open,
// and nobody sees this opening.
Status FileJournal::BeginEpoch(const RecoveryPlan& plan) {
  const SegmentHeader header{.store_id = store_id_,
                             .base = plan.new_start.value,
                             .segment_bytes = options_.segment_bytes,
                             .epoch = plan.new_epoch,
                             .durability = static_cast<uint32_t>(options_.durability),
                             .wall_ms = clock_.WallMs(),
                             .epoch_start = plan.new_start.value};
  TAILRACE_ASSIGN_OR_RETURN(auto segment, pool_.Prepare(header));
  {
    const MutexLock lock(mutex_);
    Activate(std::move(segment));
    char payload[kEpochFramePayloadBytes];
    EncodeEpochFrame(payload, EpochFrame{.old_end = plan.end,
                                         .new_start = plan.new_start,
                                         .old_epoch = plan.old_epoch,
                                         .clean = plan.clean_close});
    const ByteView bytes(payload, sizeof payload);
    Place(FrameType::kEpoch, bytes, PayloadHash(FrameType::kEpoch, bytes, active_->seed));
  }
  return WriteUpTo(appended());
}

// --- Appending. ---

Result<Appended> FileJournal::Append(FrameType type, ByteView payload, Quota quota) {
  const uint64_t frame_bytes = FrameBytes(payload.size());
  if (static_cast<uint8_t>(type) < kFirstCallerFrame) {
    return InvalidArgument("the frame type is one of the journal's own");
  }
  if (frame_bytes > options_.segment_bytes / 4) {
    return InvalidArgument("a payload of " + std::to_string(payload.size()) +
                           " bytes is more than a frame holds: at most a quarter of a segment");
  }
  const uint64_t live_bytes_max =
      options_.live_bytes_max +
      (quota == Quota::kReserved && !TAILRACE_MUTANT("no-reserve") ? options_.reserved_bytes : 0);
  while (true) {
    // Hashed outside the lock; again in the rare case that the segment changes meanwhile.
    const uint64_t seed = seed_.load(std::memory_order_acquire);
    const uint64_t payload_hash = PayloadHash(type, payload, FrameSeed{seed});
    Appended result;
    PagesAhead ahead;
    {
      const MutexLock lock(mutex_);
      TAILRACE_RETURN_IF_ERROR(MakeRoom(frame_bytes, live_bytes_max));
      if (active_->seed.value != seed) continue;
      result = {.previous_end = previous_end_, .frame = Place(type, payload, payload_hash)};
      previous_end_ = result.frame.end;
      ++appends_;
      if (writer_waits_) writer_wakes_.NotifyOne();
      ahead = TakePagesAhead();
    }
    if (ahead.map) ahead.map->MakeReady(ahead.offset, ahead.bytes);
    return result;
  }
}

Status FileJournal::CheckAppendable() const {
  if (!status_.ok()) {
    return ReadOnly("the journal failed and takes no more frames until it is opened again: " +
                    status_.ToString());
  }
  if (closing_) return Closed("the journal is closed");
  return Status::Ok();
}

Status FileJournal::MakeRoom(uint64_t frame_bytes, uint64_t live_bytes_max) {
  while (true) {
    TAILRACE_RETURN_IF_ERROR(CheckAppendable());
    if (LiveBytes(Lsn{recycled_.load()}) + frame_bytes > live_bytes_max) {
      ++room_waiters_;
      room_.Wait(mutex_);
      --room_waiters_;
    } else if (synchronous() && appended() - durable() >= 2 * options_.group_bytes_max) {
      TAILRACE_RETURN_IF_ERROR(WaitForWriter());
    } else if (!FitsChunk(frame_bytes)) {
      // Pads, so what is left of the segment is judged again.
      CloseChunk();
    } else if (ActiveRoom() >= frame_bytes) {
      return Status::Ok();
    } else if (next_ != nullptr) {
      Roll();
    } else {
      TAILRACE_RETURN_IF_ERROR(AwaitNextSegment());
    }
  }
}

Status FileJournal::WaitForWriter() {
  if (has_threads()) {
    HastenWriter();
    ++room_waiters_;
    room_.Wait(mutex_);
    --room_waiters_;
    return Status::Ok();
  }
  mutex_.Unlock();
  {
    const MutexLock lock(writer_mutex_);
    // A failure is sticky: the caller finds it in status_.
    (void)WriteOnce();
  }
  mutex_.Lock();
  return Status::Ok();
}

uint64_t FileJournal::ActiveRoom() const { return active_->end() - appended(); }

FrameHeader FileJournal::MakeHeader(FrameType type, uint64_t payload_bytes,
                                    uint64_t payload_hash) const {
  return FrameHeader{.payload_bytes = static_cast<uint32_t>(payload_bytes),
                     .position = appended().value,
                     .mark = durable().value,
                     .epoch = active_->header.epoch,
                     .type = type,
                     .payload_hash = payload_hash};
}

Frame FileJournal::Place(FrameType type, ByteView payload, uint64_t payload_hash) {
  const Lsn at = appended();
  const FrameHeader header = MakeHeader(type, payload.size(), payload_hash);
  if (synchronous()) {
    PlaceInChunk(header, payload);
  } else {
    PlaceInMap(header, payload);
  }
  const Extent& extent = synchronous() ? *unwritten_.back().extent : *mapped_;
  return extent.FrameAt(at);
}

void FileJournal::PlaceInChunk(const FrameHeader& header, ByteView payload) {
  const uint64_t frame_bytes = header.frame_bytes();
  if (current_ == nullptr) AddChunk(frame_bytes);
  char* target = current_->memory + current_->filled_bytes;
  EncodeFrameHeader(target, header, active_->seed);
  if (!payload.empty()) std::memcpy(target + kFrameHeaderBytes, payload.data(), payload.size());
  const uint64_t used_bytes = kFrameHeaderBytes + payload.size();
  std::memset(target + used_bytes, 0, frame_bytes - used_bytes);
  if (static_cast<uint8_t>(header.type) >= kFirstCallerFrame) {
    current_->extent->MarkFrame(appended());
  }
  FillChunk(frame_bytes);
}

void FileJournal::PlaceInMap(const FrameHeader& header, ByteView payload) {
  constexpr char kZeros[kFrameAlignment] = {};
  char encoded[kFrameHeaderBytes];
  EncodeFrameHeader(encoded, header, active_->seed);
  const uint64_t offset = active_->OffsetOf(appended());
  const uint64_t used_bytes = kFrameHeaderBytes + payload.size();
  MappedFile& map = *active_->map;
  map.Write(offset, ByteView(encoded, sizeof encoded));
  if (!payload.empty()) map.Write(offset + kFrameHeaderBytes, payload);
  if (used_bytes < header.frame_bytes()) {
    map.Write(offset + used_bytes, ByteView(kZeros, header.frame_bytes() - used_bytes));
  }
  if (static_cast<uint8_t>(header.type) >= kFirstCallerFrame) mapped_->MarkFrame(appended());
  marked_ = Lsn{header.mark};
  MoveAppended(appended() + header.frame_bytes());
}

FileJournal::PagesAhead FileJournal::TakePagesAhead() {
  if (synchronous()) return {};
  const uint64_t filled_bytes = active_->OffsetOf(appended());
  const uint64_t map_bytes = active_->map->size_bytes();
  const uint64_t enough_bytes = std::min(filled_bytes + kPagesAheadBytes, map_bytes);
  if (active_->ready_bytes >= enough_bytes) return {};
  const uint64_t begin = std::max(active_->ready_bytes, filled_bytes);
  active_->ready_bytes = std::min(filled_bytes + 2 * kPagesAheadBytes, map_bytes);
  return {active_->map, begin, active_->ready_bytes - begin};
}

void FileJournal::MoveAppended(Lsn end) {
  TAILRACE_CHECK(end >= appended() && end <= active_->end(), "the journal left its segment");
  appended_.store(end.value, std::memory_order_release);
}

// --- Chunks (kSync). ---

// Does the current chunk hold `frame_bytes` more, and after them either nothing or room for a Pad?
bool FileJournal::FitsChunk(uint64_t frame_bytes) const {
  if (current_ == nullptr) return true;
  const uint64_t left_bytes = current_->capacity_bytes - current_->filled_bytes;
  const bool at_segment_end = left_bytes == ActiveRoom();
  return frame_bytes == left_bytes ||
         frame_bytes + (at_segment_end ? 0 : kFrameHeaderBytes) <= left_bytes;
}

void FileJournal::CloseChunk() {
  PadToBlock();
  current_ = nullptr;
}

void FileJournal::AddChunk(uint64_t frame_bytes) {
  TAILRACE_CHECK(appended().value % kBlockBytes == 0, "a chunk begins at a block boundary");
  const uint64_t wanted_bytes =
      std::max(kChunkBytes, RoundUpToBlock(frame_bytes + kFrameHeaderBytes));
  const uint64_t capacity_bytes = std::min(wanted_bytes, ActiveRoom());
  BlockMemory memory;
  if (capacity_bytes == kChunkBytes && !spare_memory_.empty()) {
    memory = std::move(spare_memory_.back());
    spare_memory_.pop_back();
  } else {
    memory = BlockMemory(capacity_bytes);
  }
  char* const data = memory.data();
  Extent* extent =
      index_.Add(std::make_unique<Extent>(appended(), active_->header.epoch, std::move(memory)));
  unwritten_.push_back(Chunk{.extent = extent,
                             .memory = data,
                             .capacity_bytes = capacity_bytes,
                             .segment = active_,
                             .end = appended()});
  current_ = &unwritten_.back();
}

void FileJournal::FillChunk(uint64_t bytes) {
  current_->filled_bytes += bytes;
  MoveAppended(appended() + bytes);
  current_->end = appended();
  // A full chunk is given up at once, so that nobody points to it when it is recycled.
  if (current_->filled_bytes == current_->capacity_bytes) current_ = nullptr;
}

// --- Padding and rolling. ---

void FileJournal::PadToBlock() {
  const uint64_t offset = appended() - active_->base();
  const Padding padding = PaddingToBlock(offset, active_->end() - active_->base());
  if (padding.bytes == 0) return;
  const uint64_t payload_bytes = padding.needs_frame ? padding.bytes - kFrameHeaderBytes : 0;
  const FrameHeader header = MakeHeader(FrameType::kPad, payload_bytes, 0);
  if (!synchronous()) {
    if (padding.needs_frame) {
      char encoded[kFrameHeaderBytes];
      EncodeFrameHeader(encoded, header, active_->seed);
      active_->map->Write(active_->OffsetOf(appended()), ByteView(encoded, sizeof encoded));
    }
    MoveAppended(appended() + padding.bytes);
    return;
  }
  char* const target = current_->memory + current_->filled_bytes;
  std::memset(target, 0, padding.bytes);
  if (padding.needs_frame) EncodeFrameHeader(target, header, active_->seed);
  FillChunk(padding.bytes);
}

void FileJournal::Roll() {
  PadToSegmentEnd();
  Activate(std::move(next_));
  if (!has_threads()) return;
  keeper_wakes_.NotifyOne();
  if (!synchronous()) writer_wakes_.NotifyOne();
}

// One Pad frame takes what is left of the segment; of a long one only the first block is written.
void FileJournal::PadToSegmentEnd() {
  const uint64_t room_bytes = ActiveRoom();
  if (room_bytes < kFrameHeaderBytes) {
    if (room_bytes > 0) PadToBlock();
    return;
  }
  const FrameHeader header = MakeHeader(FrameType::kPad, room_bytes - kFrameHeaderBytes, 0);
  if (!synchronous()) {
    char encoded[kFrameHeaderBytes];
    EncodeFrameHeader(encoded, header, active_->seed);
    active_->map->Write(active_->OffsetOf(appended()), ByteView(encoded, sizeof encoded));
    MoveAppended(active_->end());
    return;
  }
  if (current_ == nullptr) AddChunk(kFrameHeaderBytes);
  const uint64_t begin = current_->filled_bytes;
  const uint64_t end = RoundUpToBlock(begin + kFrameHeaderBytes);
  std::memset(current_->memory + begin, 0, end - begin);
  EncodeFrameHeader(current_->memory + begin, header, active_->seed);
  current_->filled_bytes = end;
  MoveAppended(active_->end());
  current_->end = appended();
}

void FileJournal::Activate(std::unique_ptr<SegmentFile> segment) {
  TAILRACE_CHECK(segment->base() == appended(), "a segment begins where the journal stands");
  current_ = nullptr;
  active_ = segment.get();
  segments_.push_back(std::move(segment));
  if (!synchronous()) {
    mapped_ = index_.Add(std::make_unique<Extent>(active_->base(), active_->header.epoch,
                                                  active_->map->data() + kSegmentHeaderBytes,
                                                  SegmentDataBytes(active_->header.segment_bytes)));
  }
  seed_.store(active_->seed.value, std::memory_order_release);
}

// --- Reading and recycling. ---

Result<Frame> FileJournal::Read(Lsn at) const {
  if (at.value < recycled_.load(std::memory_order_acquire)) {
    return InvalidArgument("position " + std::to_string(at.value) + " has been recycled");
  }
  const std::optional<Frame> frame = index_.Find(at, appended());
  if (!frame) return NotFound("no frame begins at or after " + std::to_string(at.value));
  return *frame;
}

void FileJournal::Recycle(Lsn below) {
  std::vector<std::unique_ptr<SegmentFile>> done;
  {
    const MutexLock lock(mutex_);
    TAILRACE_CHECK(below <= durable(), "only durable frames may be recycled");
    if (below.value <= recycled_.load()) return;
    recycled_.store(below.value, std::memory_order_release);
    while (segments_.front().get() != active_ &&
           (segments_.front()->end() <= below ||
            (TAILRACE_MUTANT("recycle-too-early") && segments_.front()->base() < below))) {
      done.push_back(std::move(segments_.front()));
      segments_.pop_front();
    }
    room_.NotifyAll();
  }
  std::vector<std::unique_ptr<Extent>> dropped = index_.Drop(below);
  {
    const MutexLock lock(mutex_);
    for (const auto& extent : dropped) {
      BlockMemory memory = extent->TakeMemory();
      if (memory.size_bytes() == kChunkBytes && spare_memory_.size() < kSpareChunksMax) {
        spare_memory_.push_back(std::move(memory));
      }
    }
  }
  dropped.clear();
  for (const auto& segment : done) {
    segment->map.reset();
    segment->file.reset();
    pool_.Recycle(segment->path, segment->file_bytes, options_.segment_bytes);
  }
}

uint64_t FileJournal::live_bytes() const { return LiveBytes(Lsn{recycled_.load()}); }

// Positions between epochs hold no bytes.
uint64_t FileJournal::LiveBytes(Lsn recycled) const {
  uint64_t bytes = appended() - recycled;
  for (const EpochStart& jump : recovery_.epochs) {
    if (jump.new_start <= recycled) continue;
    bytes -= jump.new_start - std::max(jump.old_end, recycled);
  }
  return bytes;
}

Status FileJournal::status() const {
  const MutexLock lock(mutex_);
  return status_;
}

}  // namespace tailrace::wal
