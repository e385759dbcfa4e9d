// The fold of a stream's records, checked as it goes: what each record says was there before must
// be what the records before it left.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "engine/key.h"
#include "shards/commit.h"
#include "shards/record_codec.h"
#include "tools/log_source.h"
#include "wal/types.h"

namespace tailrace::tools {

// What the records of a stream leave of one key.
struct KeyState {
  bool exists = false;
  std::optional<uint64_t> image_hash;  // Absent when the view does not show new images.
};

// One stream; its shards in the order of their ids, so that children come after their parents.
// Memory: every key.
class StreamFold {
 public:
  // What is wrong with the record, given those before it; empty when nothing is.
  std::string Apply(const LogSource& source, const frames::ShardSpec& range,
                    const shards::RecordView& record);

  // Records may be missing here: what is known of keys is no longer.
  void Forget() { keys_.clear(); }

  const std::unordered_map<std::string, KeyState>& keys() const { return keys_; }

 private:
  std::unordered_map<std::string, KeyState> keys_;
};

// The changes that the journal's commits send to streams, to be found again in the shard logs.
class JournalChanges {
 public:
  // At most so many are kept: the newest ones are left out beyond it.
  static constexpr size_t kChangesMax = 4 << 20;

  // The changes of the commit at `lsn`.
  void Add(Lsn lsn, const shards::Commit& commit);

  // What differs between the record and the journal's change; empty when nothing does, or the
  // journal no longer has it. The change is found then.
  std::string Find(StreamId stream, ViewType view, const shards::RecordView& record);

  // Calls `missing` for each change of the stream from `first` to `last` in this range of hashes
  // that no record was found for.
  void ForMissing(StreamId stream, SequenceNumber first, SequenceNumber last,
                  const frames::ShardSpec& range,
                  const std::function<void(SequenceNumber)>& missing) const;

  uint64_t found() const { return found_; }

 private:
  struct Change {
    uint64_t partition_hash = 0;
    uint64_t key_hash = 0;
    uint64_t new_hash = 0;  // 0: no image.
    uint64_t old_hash = 0;
    ChangeKind kind = ChangeKind::kInsert;
  };
  std::map<std::pair<StreamId, SequenceNumber>, Change> changes_;
  uint64_t found_ = 0;
};

}  // namespace tailrace::tools
