// Reads the records of one segment file in order, checking each.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "shards/record_codec.h"
#include "shards/sparse_index.h"
#include "wal/format.h"
#include "wal/fs.h"
#include "wal/status.h"

namespace tailrace::shards {

// Reads and checks the header of a segment: kCorruption unless it is a whole header of this log and
// this file, kUnsupported when it is of a newer version. Errors name `path`.
Result<wal::SegmentHeader> ReadSegmentHeader(const wal::File& file, const std::string& path,
                                             const IndexIdentity& identity);

// Not thread-safe; the file may grow meanwhile.
class SegmentScanner {
 public:
  // Begins at `offset`, where a record begins (or the end), and stops at `end_offset`, which is
  // where one ends. With `before`, the record before `offset`, the first record must follow it.
  SegmentScanner(std::shared_ptr<const wal::File> file, std::string path,
                 const wal::SegmentHeader& header, uint64_t offset, uint64_t end_offset,
                 std::optional<LogPoint> before);

  // Puts what is read into `bytes`, so that the views of all records stay valid until it is
  // cleared. About `bytes_wanted` bytes will be asked for: no more are read ahead. Before the first
  // Next; borrows `bytes`.
  void KeepIn(RecordBytes& bytes, uint64_t bytes_wanted);

  // The next record; false at the end. Its views stay valid until the next call. A record that is
  // damaged, or does not follow the one before it, is kCorruption naming file, offset and the
  // number of the record before; kIoError from the file. After an error the scanner is at its end.
  Result<bool> Next(RecordView& record);

  uint64_t record_offset() const { return record_offset_; }  // Where the last record began.
  uint64_t offset() const { return offset_; }                // Where it ended.

  // The last record, or what was given as `before`.
  const std::optional<LogPoint>& before() const { return before_; }

 private:
  Status Fill(uint64_t bytes);
  ByteView Bytes(uint64_t bytes) const { return {block_ + (offset_ - block_offset_), bytes}; }
  Result<uint64_t> CheckFrame(RecordView& record);
  Status Damaged(std::string_view what) const;

  const std::shared_ptr<const wal::File> file_;
  const std::string path_;
  const wal::SegmentHeader header_;
  const wal::FrameSeed seed_;
  uint64_t offset_;
  uint64_t end_offset_;
  uint64_t record_offset_ = 0;
  std::optional<LogPoint> before_;

  // Bytes of the file from block_offset_ to block_end_. Each read goes into a block of its own,
  // which begins with what is left of the one before.
  const char* block_ = nullptr;
  uint64_t block_offset_;
  uint64_t block_end_;
  uint64_t read_bytes_;  // What the next read asks for at least; grows while reading on.
  uint64_t wanted_end_;  // Nothing beyond is asked for before it is needed.
  RecordBytes* kept_ = nullptr;
  RecordBytes own_[2];  // Taken in turn, without kept_.
};

// The index of a segment's records up to `end_offset`, by reading all of them.
Result<SparseIndex> BuildIndex(std::shared_ptr<const wal::File> file, const std::string& path,
                               const wal::SegmentHeader& header, uint64_t end_offset,
                               uint64_t interval_bytes);

// The point before the segment's first record, as its header says.
LogPoint PointBefore(const wal::SegmentHeader& header);

}  // namespace tailrace::shards
