// Several shard logs read at once, their records in the order of their sequence numbers.
//
// Each source is read by a thread of its own, as fast as its records are asked for: memory is
// bounded.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "tools/log_source.h"
#include "wal/mutex.h"

namespace tailrace::tools {

// What a source has next.
struct LogEvent {
  const LogSource* source = nullptr;
  std::variant<shards::Record, shards::Damage> what;
};

// One thread uses it. Borrows the file system and the sources.
class MergedLogs {
 public:
  // Says which records are wanted; called by the sources' threads. kSkip: not this one; kEnd: none
  // of this source from here on.
  enum class Choice { kTake, kSkip, kEnd };
  using Filter = std::function<Choice(const LogSource&, const shards::RecordView&)>;

  // Shards are read without the segments wholly before `from`.
  MergedLogs(wal::FileSystem& fs, const std::vector<LogSource>& sources, Filter filter,
             const shards::OfflineFrom& from);
  MergedLogs(const MergedLogs&) = delete;
  MergedLogs& operator=(const MergedLogs&) = delete;
  ~MergedLogs();  // Stops the threads.

  // The record with the lowest number among the sources, or damage that stands before a source's
  // next record. Absent at the end of all. Errors: the first failure of any source.
  Result<std::optional<LogEvent>> Next();

 private:
  class Reader;
  std::vector<std::unique_ptr<Reader>> readers_;
};

}  // namespace tailrace::tools
