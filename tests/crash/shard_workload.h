// Scripted runs of shard logs on a simulated disk, with checkpoints as the engine makes them, and
// what must hold after a power cut at any moment. Tier A of the shard logs enumerates the moments
// and the states a power cut may leave; see tier_a_shards.cc.
//
// A script is a list of words: A<n> a commit with an image of n bytes; M a commit of five changes
// over all streams; S split a shard; O rotate it; J merge two empty
// ones; D disable a stream, or enable a new one where it was disabled;
// T trim each shard up to its middle; Z trim everything; G an hour passes; P publish; K a
// checkpoint; R kill the process and open again; X cut the power, losing what is pending, and open
// again.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "shards/shard_set.h"
#include "tests/shards/shard_rig.h"
#include "tests/support/sim_fs.h"

namespace tailrace::shards::test {

struct ShardScript {
  std::vector<std::string> words;

  // "A100 P K".
  std::string ToString() const;
  static ShardScript Parse(const std::string& text);
};

// What readers must get from each shard, chain hashes included.
using ExpectedRecords = std::map<ShardId, std::vector<Record>>;

// What is known from outside at one moment: the journal up to `applied` frames, all of it durable,
// and the newest durable checkpoint.
struct ShardTruth {
  const TestJournal* journal = nullptr;
  size_t applied = 0;
  ShardSetState durable;
  Lsn cut;
  bool opening = false;  // What lies beyond the checkpoint is cut, and folded again.
  uint64_t checkpoints = 0;

  // Of a fold of these frames that nothing disturbed.
  std::shared_ptr<const ExpectedRecords> expected;
  std::shared_ptr<const ShardSetState> end;
};

using ShardCrashPoint = std::function<void(const tailrace::test::SimOperation&, const ShardTruth&)>;

inline constexpr char kSimStreams[] = "/streams";
inline constexpr StreamId kFirstStream{1};

// Small segments, small buffers, few handles: everything happens within a few records.
ShardSetOptions CrashOptions();

// Runs the script. Returns what went wrong (an error, or a broken promise seen after one of the
// script's own restarts), or nothing.
std::string RunShardScript(const ShardScript& script, const ShardCrashPoint& crash_point);

// Opens the shard logs of a disk from the truth's checkpoint, folds the journal behind it, and
// compares with the truth: records, catalogue, ends. Empty, or what is wrong.
std::string RecoverAndCompare(wal::FileSystem& fs, const ShardTruth& truth);

// A segment is not removed while a record in it is still needed: one that the newest durable
// checkpoint has and has not trimmed, or (but in an opening) one that readers may still read.
// Empty, or what is wrong.
std::string CheckRemovedSegment(const tailrace::test::SimOperation& operation,
                                const ShardTruth& truth);

// What the offline reader says of the logs up to the checkpoint's ends, before any recovery: no
// damage, every record. Empty, or what is wrong.
std::string VerifyOffline(wal::FileSystem& fs, const ShardTruth& truth);

}  // namespace tailrace::shards::test
