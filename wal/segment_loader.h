// Reads the journal's segments into memory one after another, and with threads the next ones
// meanwhile: memory that is touched for the first time takes longer than the bytes that go into it.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "wal/fs.h"
#include "wal/journal.h"
#include "wal/segment.h"
#include "wal/segment_image.h"
#include "wal/status.h"

namespace tailrace::wal {

// Not thread-safe.
class SegmentLoader {
 public:
  struct Segment {
    std::string path;
    SegmentHeader header;
  };
  // Begins to read, with kOwn.
  SegmentLoader(FileSystem& fs, std::vector<Segment> segments, JournalThreads threads);
  ~SegmentLoader();  // Waits for what is being read.
  SegmentLoader(const SegmentLoader&) = delete;
  SegmentLoader& operator=(const SegmentLoader&) = delete;

  // The next of the segments; there must be one. Errors: those of its file.
  Result<SegmentImage> Next();

 private:
  struct Loading {
    std::optional<Result<SegmentImage>> loaded;  // Set when the thread has ended.
    std::thread thread;
  };
  void BeginMore();

  FileSystem& fs_;
  const std::vector<Segment> segments_;
  const JournalThreads threads_;
  size_t begun_ = 0;
  std::deque<std::unique_ptr<Loading>> loading_;  // Of the segments before begun_.
};

}  // namespace tailrace::wal
