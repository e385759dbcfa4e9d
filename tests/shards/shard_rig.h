// What shard tests stand on: a journal as a list of frames, a plain model of what its fold must be,
// and helpers that read a ShardSet to its end.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "shards/commit.h"
#include "shards/shard_reader.h"
#include "shards/shard_set.h"
#include "tests/support/random.h"
#include "wal/fs.h"
#include "wal/journal.h"

namespace tailrace::shards::test {

inline constexpr StoreId kStore{0x5107e};
inline constexpr uint64_t kStartAgeMs = 1'000'000;
inline constexpr uint64_t kStartWallMs = 1'588'982'400'000;
inline constexpr uint64_t kDayMs = 24ull * 3600'000;

// A storage key whose partition hash is `hash`.
std::string KeyOf(uint64_t hash, ByteView rest = "k");

// One change, owning its bytes.
struct TestChange {
  StreamId stream;
  std::string key;
  std::optional<std::string> new_image;
  std::optional<std::string> old_image;
  Actor actor = Actor::kUser;
};

struct TestFrame {
  Lsn lsn;
  Lsn end;
  Epoch epoch;
  wal::FrameType type{};
  std::string payload;

  wal::Frame View() const { return {lsn, end, type, epoch, payload}; }
};

// What a shard must hold, reckoned without the code under test.
struct ModelShard {
  StreamId stream;
  HashRange range;
  ViewType view{};
  SequenceNumber starting;
  std::optional<SequenceNumber> ending;
  SequenceNumber trimmed_below;
  bool gone = false;
  std::vector<Record> records;  // All there ever were; `chain` is 0.
};

// A journal in memory and the model of its fold. Not thread-safe.
class TestJournal {
 public:
  // Frames begin at `start`; ages and wall clocks at kStartAgeMs and kStartWallMs.
  explicit TestJournal(Lsn start = wal::kFirstLsn);

  // Each appends a frame and folds it into the model.
  Lsn Commit(const std::vector<TestChange>& changes);
  Lsn EnableStream(StreamId stream, TableId table, ViewType view, uint32_t shards,
                   ShardId first_shard, uint64_t retention_ms = kDayMs);
  Lsn DisableStream(StreamId stream);
  // Splits an open shard in its middle into shards `child` and `child` + 1.
  Lsn Split(StreamId stream, ShardId parent, ShardId child);
  // Seals a shard and goes on in one of the same range.
  Lsn Rotate(StreamId stream, ShardId parent, ShardId child);
  Lsn Merge(StreamId stream, ShardId left, ShardId right, ShardId child);
  Lsn Trim(const frames::Trim& trim);
  Lsn Clock();  // A frame that says nothing about streams.

  // Positions jump, as after an opening; the next frame is of the next epoch.
  void Jump(uint64_t bytes);

  // Forgets all frames from `lsn` on, and the model with them, as a power loss would.
  void CutBack(Lsn lsn);

  void PassTime(uint64_t ms) {
    age_ms_ += ms;
    wall_ms_ += ms;
  }
  void SetWallMs(uint64_t wall_ms) { wall_ms_ = wall_ms; }
  void SetAgeMs(uint64_t age_ms) { age_ms_ = age_ms; }  // Also backwards: clocks may be hostile.

  const std::deque<TestFrame>& frames() const { return frames_; }
  Lsn end() const { return end_; }
  Epoch epoch() const { return epoch_; }
  uint64_t age_ms() const { return age_ms_; }
  const std::map<ShardId, ModelShard>& model() const { return model_; }
  const std::vector<wal::EpochStart>& jumps() const { return jumps_; }

  // The model's shards that still exist.
  std::vector<ShardId> LiveShards() const;
  ShardId OpenShardOf(StreamId stream, uint64_t hash) const;

 private:
  Lsn Append(wal::FrameType type, std::string payload);
  void FoldCommit(Lsn lsn, const std::vector<TestChange>& changes);
  Lsn SealAndOpen(StreamId stream, const std::vector<ShardId>& parents,
                  const std::vector<frames::ShardSpec>& children);

  std::deque<TestFrame> frames_;
  Lsn end_;
  Epoch epoch_{1};
  uint64_t age_ms_ = kStartAgeMs;
  uint64_t wall_ms_ = kStartWallMs;
  std::map<ShardId, ModelShard> model_;
  std::vector<wal::EpochStart> jumps_;
};

// Applies the frames at or above `from` and publishes the journal's end.
Status FoldFrom(const TestJournal& journal, Lsn from, ShardSet& set);

// Everything that a reader from `position` on gets, until it is caught up.
struct ReadOutcome {
  std::vector<Record> records;
  std::vector<Gap> gaps;
  Position end;
  bool end_of_shard = false;
  uint64_t pages = 0;
};
Result<ReadOutcome> ReadAll(const ShardSet& set, Position position, const PageLimits& limits = {});
Result<ReadOutcome> ReadAllFrom(const ShardSet& set, StreamId stream, ShardId shard, StartAt start,
                                SequenceNumber number = {}, const PageLimits& limits = {});

// Compares every live shard of the model with what readers get from its trim horizon; empty when
// equal, else the first difference. Ordinals, previous numbers and gaps are compared too.
std::string CompareWithModel(const ShardSet& set, const TestJournal& journal,
                             const PageLimits& limits = {});

// The difference between a record read and one expected (whose chain is not looked at), or empty.
std::string CompareRecords(const Record& read, const Record& expected);

// A random change to a stream: key among `keys`, images of up to `image_bytes_max`.
TestChange RandomChange(tailrace::test::Random& random, StreamId stream, uint64_t keys,
                        uint64_t image_bytes_max);

}  // namespace tailrace::shards::test
