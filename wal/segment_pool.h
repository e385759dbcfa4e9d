// Makes segment files ready for the journal and takes back those it has done with.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "wal/frame.h"
#include "wal/fs.h"
#include "wal/journal.h"
#include "wal/mutex.h"
#include "wal/segment.h"

namespace tailrace::wal {

// A segment file of the journal. Segments that are written to have a `file`, and in kBuffered a
// `map`.
struct SegmentFile {
  SegmentHeader header;
  FrameSeed seed;
  std::string path;
  std::unique_ptr<File> file;
  std::shared_ptr<MappedFile> map;
  // Less than the header says once recovery has copied the proven part only.
  uint64_t file_bytes = 0;
  uint64_t ready_bytes = 0;  // Of the map: those before were made ready for writes.

  Lsn base() const { return Lsn{header.base}; }
  Lsn end() const { return Lsn{SegmentEnd(header)}; }

  // Where `at` lies in the file.
  uint64_t OffsetOf(Lsn at) const { return kSegmentHeaderBytes + (at - base()); }
};

// Is `name` that of a spare file? Spares hold nothing: any may be removed at any time before reuse.
bool IsSpareFileName(ByteView name);

// Prepare may not run beside itself; everything else is thread-safe.
class SegmentPool {
 public:
  SegmentPool(FileSystem& fs, std::string directory, uint32_t spares_max)
      : fs_(fs), directory_(std::move(directory)), spares_max_(spares_max) {}
  SegmentPool(const SegmentPool&) = delete;
  SegmentPool& operator=(const SegmentPool&) = delete;

  // Makes a file for the segment that `header` describes, from a spare if there is one. On OK the
  // header and the name are durable (positions may be handed out), disk space is behind all of it,
  // and in kSync every block has been written once, so that durable writes change no metadata.
  // kNoSpace: nothing was reserved, and it may be tried again. Any other error is final: what of
  // the reservation reached the disk is unknown.
  Result<std::unique_ptr<SegmentFile>> Prepare(const SegmentHeader& header);

  // Counts a file found on disk.
  void Adopt(uint64_t file_bytes) { disk_bytes_ += file_bytes; }

  // Takes a file whose frames nobody needs: keeps it as a spare for segments of
  // `segment_bytes_wanted`, or removes it. What fails is left for the next opening.
  void Recycle(const std::string& path, uint64_t file_bytes, uint64_t segment_bytes_wanted);

  // Bytes of all files prepared and adopted that still stand, spares included.
  uint64_t disk_bytes() const { return disk_bytes_.load(std::memory_order_relaxed); }

 private:
  struct Draft {
    std::string path;
    std::unique_ptr<File> file;
  };
  Result<Draft> OpenSpare(const std::string& path);
  Result<Draft> MakeFresh(const SegmentHeader& header);
  Status MapInto(const std::string& path, SegmentFile& segment);
  Status FillWithZeros(File& file, uint64_t bytes);
  std::string NextSparePath();
  void Discard(const std::string& path, uint64_t file_bytes);

  FileSystem& fs_;
  const std::string directory_;
  const uint32_t spares_max_;
  std::atomic<uint64_t> disk_bytes_{0};

  Mutex mutex_;
  uint64_t spare_number_ TAILRACE_GUARDED_BY(mutex_) = 0;
  std::vector<std::string> spares_ TAILRACE_GUARDED_BY(mutex_);
};

}  // namespace tailrace::wal
