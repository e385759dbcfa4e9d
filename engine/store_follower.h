// Reading the streams of a store that another process has open: a follower.
//
//   auto follower = StoreFollower::Open("/var/lib/games").value();
//   const StreamInfo stream = follower->ListStreams("UserGames").value().front();
//   Position at = follower->SeekShard(stream.id, shard, StartAt::kTrimHorizon).value();
//   while (true) {
//     const ChangePage page = follower->ReadShard(at).value();
//     ... use page.records ...
//     at = page.next;
//     if (page.caught_up) follower->WaitShards({at}, 1000).value();
//   }
//
// It opens no store and takes no lock: it reads files, and one that the owner maps too, by which
// the owner wakes it. The directory is on the owner's machine, and its files are readable to this
// user: the owner's own, or root. It sees what readers in the owner's process see, never more.
// Positions are the same there and here. The owner may write, split shards, trim and disable
// streams meanwhile, be killed and come back; while nobody has the store open, the follower shows
// what was published last.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/store.h"
#include "wal/fs.h"
#include "wal/shared_words.h"

namespace tailrace {

// Thread-safe, but for the destructor. Errors that any method may return besides those it names:
// kIoError, kCorruption (damage, with its place), kUnsupported (a newer version has the store
// open), kFailedPrecondition (in a forked child: open a follower there).
class StoreFollower {
 public:
  // Follows the store in `directory`. Borrows `fs`. kNotFound: there is no store, or no process has
  // had it open yet (try again later); kCorruption, kUnsupported: its identity cannot be read.
  static Result<std::unique_ptr<StoreFollower>> Open(
      const std::string& directory, wal::FileSystem& fs = wal::FileSystem::Posix()) noexcept;

  virtual ~StoreFollower() = default;

  // As the methods of Store with these names, and with their errors. Right after the owner came
  // back nothing is published for a moment: then no streams are listed, pages are empty and caught
  // up, and SeekShard gives kBusy. WaitShards waits for it.
  virtual Result<std::vector<StreamInfo>> ListStreams(
      const std::optional<std::string>& table = std::nullopt) = 0;
  virtual Result<StreamInfo> DescribeStream(StreamId stream) = 0;
  virtual Result<Position> SeekShard(StreamId stream, ShardId shard, StartAt start,
                                     SequenceNumber number = {}, uint64_t wall_ms = 0) = 0;
  virtual Result<ChangePage> ReadShard(const Position& position, const PageLimits& limits = {}) = 0;
  virtual Status ReadEncoded(const Position& position, const PageLimits& limits,
                             EncodedPage& page) = 0;

  // Waits, using no CPU, until ReadShard of one of these would show something new, or streams or
  // shards are others than ListStreams or DescribeStream showed last. `interrupt` (may be null)
  // ends it early, with true: any thread, or a signal handler, may Set it. False when `timeout_ms`
  // ran out. kNotFound (a shard is gone).
  virtual Result<bool> WaitShards(const std::vector<Position>& positions, uint64_t timeout_ms,
                                  const wal::Interrupt* interrupt = nullptr) = 0;

  // All records below were published: whoever is caught up in every shard has read them. 0: nothing
  // is published now.
  virtual Result<SequenceNumber> Published() = 0;

  // Whether a process has the store open now. One that dies wakes nobody: ask after a wait.
  virtual Result<bool> OwnerLives() = 0;

  // How often it fell asleep while waiting, for tests.
  virtual uint64_t sleeps() const = 0;
};

}  // namespace tailrace
