#include "wal/segment_pool.h"

#include <algorithm>
#include <utility>

#include "wal/mutants.h"

namespace tailrace::wal {
namespace {

constexpr ByteView kSparePrefix = "spare-";
constexpr ByteView kSpareSuffix = ".seg";
constexpr uint64_t kZeroFillBytes = 1 << 20;

}  // namespace

bool IsSpareFileName(ByteView name) {
  return name.starts_with(kSparePrefix) && name.ends_with(kSpareSuffix);
}

Result<std::unique_ptr<SegmentFile>> SegmentPool::Prepare(const SegmentHeader& header) {
  std::string spare;
  {
    const MutexLock lock(mutex_);
    if (!spares_.empty()) {
      spare = std::move(spares_.back());
      spares_.pop_back();
    }
  }
  Result<Draft> draft = spare.empty() ? MakeFresh(header) : OpenSpare(spare);
  if (!draft.ok()) return draft.status();

  auto segment = std::make_unique<SegmentFile>();
  segment->header = header;
  segment->seed = SegmentSeed(header);
  segment->file_bytes = header.segment_bytes;
  segment->path = JoinPath(directory_, SegmentFileName(header.base));
  Status status = draft->file->Write(0, EncodeSegmentHeader(header));
  if (status.ok() && !TAILRACE_MUTANT("header-not-synced")) status = draft->file->Sync();
  if (status.ok() && header.durability == static_cast<uint32_t>(Durability::kBuffered)) {
    status = MapInto(draft->path, *segment);
  }
  if (status.ok()) status = fs_.Rename(draft->path, segment->path);
  if (!status.ok()) {
    // The draft's name is not a segment's, so nothing has been reserved.
    segment->map.reset();
    draft->file.reset();
    Discard(draft->path, header.segment_bytes);
    return status;
  }
  segment->file = std::move(draft->file);
  if (!TAILRACE_MUTANT("journal-directory-not-synced")) status = fs_.SyncDirectory(directory_);
  if (status.code() == StatusCode::kNoSpace) return IoError(status.message());
  TAILRACE_RETURN_IF_ERROR(status);
  return segment;
}

Status SegmentPool::MapInto(const std::string& path, SegmentFile& segment) {
  TAILRACE_ASSIGN_OR_RETURN(segment.map, fs_.Map(path));
  return Status::Ok();
}

// A spare kept its old name until the directory is synced. Were its header rewritten before that, a
// crash could show the new header under the old name.
Result<SegmentPool::Draft> SegmentPool::OpenSpare(const std::string& path) {
  if (!TAILRACE_MUTANT("spare-name-not-synced")) {
    TAILRACE_RETURN_IF_ERROR(fs_.SyncDirectory(directory_));
  }
  TAILRACE_ASSIGN_OR_RETURN(auto file, fs_.Open(path, OpenMode::kReadWrite));
  return Draft{.path = path, .file = std::move(file)};
}

Result<SegmentPool::Draft> SegmentPool::MakeFresh(const SegmentHeader& header) {
  Draft draft{.path = NextSparePath(), .file = nullptr};
  TAILRACE_ASSIGN_OR_RETURN(draft.file, fs_.Open(draft.path, OpenMode::kCreateNew));
  disk_bytes_ += header.segment_bytes;
  Status status = draft.file->Allocate(header.segment_bytes);
  if (status.ok() && header.durability == static_cast<uint32_t>(Durability::kSync)) {
    status = FillWithZeros(*draft.file, header.segment_bytes);
  }
  if (!status.ok()) {
    draft.file.reset();
    Discard(draft.path, header.segment_bytes);
    return status;
  }
  return draft;
}

Status SegmentPool::FillWithZeros(File& file, uint64_t bytes) {
  const std::string zeros(std::min(bytes, kZeroFillBytes), '\0');
  for (uint64_t offset = 0; offset < bytes; offset += zeros.size()) {
    const uint64_t part_bytes = std::min<uint64_t>(zeros.size(), bytes - offset);
    TAILRACE_RETURN_IF_ERROR(file.Write(offset, ByteView(zeros).substr(0, part_bytes)));
  }
  return Status::Ok();
}

void SegmentPool::Recycle(const std::string& path, uint64_t file_bytes,
                          uint64_t segment_bytes_wanted) {
  bool wanted = file_bytes == segment_bytes_wanted;
  {
    const MutexLock lock(mutex_);
    wanted = wanted && spares_.size() < spares_max_;
  }
  if (!wanted) {
    Discard(path, file_bytes);
    return;
  }
  std::string spare = NextSparePath();
  if (!fs_.Rename(path, spare).ok()) return;
  const MutexLock lock(mutex_);
  spares_.push_back(std::move(spare));
}

std::string SegmentPool::NextSparePath() {
  const MutexLock lock(mutex_);
  std::string name(kSparePrefix);
  name += std::to_string(++spare_number_);
  name += kSpareSuffix;
  return JoinPath(directory_, name);
}

void SegmentPool::Discard(const std::string& path, uint64_t file_bytes) {
  if (fs_.Remove(path).ok()) disk_bytes_ -= file_bytes;
}

}  // namespace tailrace::wal
