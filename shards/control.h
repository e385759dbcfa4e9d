// The control file: by which processes that follow a live store learn what its owner has published.
//
// It is mapped by all of them. The owner (the process that has the store open) writes into it, for
// each shard, where the published records end and where its trim point is; followers read that, and
// sleep at its first word. It is no part of what is durable: whoever opens the store makes it anew.
// Beside it lies the catalogue file, with the streams and shards. Format: docs/control-file.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "shards/frames.pb.h"
#include "shards/published_shard.h"
#include "shards/types.h"
#include "wal/fs.h"
#include "wal/mutex.h"
#include "wal/status.h"

namespace tailrace::shards {

inline constexpr ByteView kControlFileName = "control";
inline constexpr ByteView kCatalogueFileName = "catalogue";
inline constexpr uint64_t kCatalogueFileBytesMax = 256ull << 20;

// ---- The words of the control file. ----
inline constexpr uint64_t kControlMagic = 0x314c5443'4c495254;  // "TRILCTL1" in file order.
inline constexpr uint64_t kControlVersion = 1;

inline constexpr uint64_t kControlSequenceWord = 0;  // Odd while the owner changes other words.
inline constexpr uint64_t kControlMagicWord = 1;
inline constexpr uint64_t kControlVersionWord = 2;
inline constexpr uint64_t kControlStoreWord = 3;
inline constexpr uint64_t kControlBootWord = 4;       // FileSystem::BootId of the owner.
inline constexpr uint64_t kControlEpochWord = 5;      // Of the owner's opening.
inline constexpr uint64_t kControlStateWord = 6;      // ControlState
inline constexpr uint64_t kControlCatalogueWord = 7;  // Version of the catalogue file.
inline constexpr uint64_t kControlPublishedWord = 8;  // ShardSet::published.
inline constexpr uint64_t kControlWaitingWord = 9;    // Followers set it: one falls asleep.
inline constexpr uint64_t kControlHeaderWords = 64;   // The slots begin here.

inline constexpr uint64_t kSlotShardWord = 0;  // 0: the slot is free.
inline constexpr uint64_t kSlotStreamWord = 1;
inline constexpr uint64_t kSlotTrimmedBelowWord = 2;
inline constexpr uint64_t kSlotEndingWord = 3;  // UINT64_MAX: the shard is open.
inline constexpr uint64_t kSlotLastSequenceWord = 4;
inline constexpr uint64_t kSlotLastOrdinalWord = 5;
inline constexpr uint64_t kSlotLastChainWord = 6;
inline constexpr uint64_t kSlotSegmentBaseWord = 7;  // Of the last record's segment; 0: none.
inline constexpr uint64_t kSlotSegmentEndWord = 8;   // Published bytes of it.
inline constexpr uint64_t kSlotWords = 10;

inline constexpr uint64_t kControlSlotsMin = 192;
inline constexpr uint64_t kControlSlotsMax = 1 << 22;

enum class ControlState : uint64_t {
  kOpening = 1,     // The owner recovers the store: nothing can be read.
  kOpen = 2,        // What the slots say may be read, for as long as the epoch stands.
  kSuperseded = 3,  // Another file has the name now.
};

// The owner's side. One thread at a time. Failures are no failures of the store: what could not be
// published now is published with the next call that can, and followers wait meanwhile.
class ControlWriter {
 public:
  // Borrows `fs`. `directory` is that of the streams. Touches nothing yet.
  ControlWriter(wal::FileSystem& fs, std::string directory, StoreId store, Epoch epoch);

  // From now on followers of an earlier owner read nothing more. To be called before the shard logs
  // are cut.
  void TakeOver();

  // The streams and shards are others than before: a later Publish needs them.
  void ChangeCatalogue() { catalogue_due_ = true; }
  bool catalogue_due() const { return catalogue_due_; }

  // Replaces the catalogue file.
  void WriteCatalogue(const frames::StreamCatalogueState& catalogue);

  // `shards` changed, those in `gone` left the catalogue, and all below `end` is published. Wakes
  // followers.
  void Publish(const std::vector<PublishedShard>& shards, const std::vector<ShardId>& gone,
               Lsn end);

  // Whether a follower fell asleep since followers were woken last. It may be gone by now.
  bool FollowersWait() const { return words_ && words_->Load(kControlWaitingWord) != 0; }

 private:
  struct Entry {
    PublishedShard published;
    std::optional<uint64_t> slot;
  };

  std::string path() const { return wal::JoinPath(directory_, kControlFileName); }
  uint64_t slots() const {
    return words_ ? (words_->size() - kControlHeaderWords) / kSlotWords : 0;
  }
  void Begin();
  void End();
  void StoreHeader(ControlState state, Lsn published);
  void StoreSlot(uint64_t slot, const PublishedShard& shard);
  Status MakeFile(uint64_t slots, Lsn published);
  void Supersede(wal::SharedWords& words);
  void GiveSlots();

  wal::FileSystem& fs_;
  const std::string directory_;
  const StoreId store_;
  const Epoch epoch_;
  std::unique_ptr<wal::SharedWords> words_;  // Null: there is no file yet.
  std::unordered_map<uint64_t, Entry> shards_;
  std::vector<uint64_t> free_slots_;
  bool catalogue_due_ = true;
  uint64_t catalogue_version_ = 0;
};

// A follower's side. Thread-safe.
class ControlReader {
 public:
  // Maps the control file of the store. kNotFound: there is none. kUnsupported: another version's.
  // kFailedPrecondition: it is of another store, of the time before the machine was started, or
  // half made; whoever opens the store next makes it anew.
  static Result<std::unique_ptr<ControlReader>> Open(wal::FileSystem& fs,
                                                     const std::string& directory, StoreId store);

  struct View {
    ControlState state{};
    Epoch epoch;
    uint64_t catalogue_version = 0;
    Lsn published;
  };

  // All of one moment. Empty: the owner is changing it just now, or died while it did.
  std::optional<View> Look() const;

  struct ShardView {
    View view;
    std::optional<PublishedShard> shard;  // Absent: it has no slot.
  };
  std::optional<ShardView> Look(ShardId shard) const;

  // Where the file stands, to be read before a look whose outcome may be waited on.
  uint64_t sequence() const { return words_->Load(kControlSequenceWord); }

  // Tells the owner that somebody falls asleep, so that it publishes without delay. To be called
  // after `sequence` was read and before Wait: the owner forgets it before the file moves on, and
  // so a follower that died is waited for once. Does nothing for those who may only read the file.
  void AnnounceWait() const {
    if (may_write_) words_->Store(kControlWaitingWord, 1);
  }

  // Sleeps until the file stands elsewhere; see SharedWords::Wait.
  bool Wait(uint64_t sequence, uint64_t timeout_us, const wal::Interrupt* interrupt) const {
    return words_->Wait(kControlSequenceWord, sequence, timeout_us, interrupt);
  }

  uint64_t sleeps() const { return words_->sleeps(); }

 private:
  ControlReader(std::unique_ptr<wal::SharedWords> words, bool may_write)
      : words_(std::move(words)), may_write_(may_write) {}

  uint64_t slots() const { return (words_->size() - kControlHeaderWords) / kSlotWords; }
  template <typename Read>
  bool Consistently(const Read& read) const;
  View LoadView() const;
  std::optional<PublishedShard> LoadSlot(uint64_t slot) const;
  std::optional<uint64_t> FindSlot(ShardId shard) const;

  const std::unique_ptr<wal::SharedWords> words_;
  const bool may_write_;
  mutable Mutex mutex_;
  mutable std::unordered_map<uint64_t, uint64_t> slot_of_ TAILRACE_GUARDED_BY(mutex_);
};

// What the catalogue file holds.
struct PublishedCatalogue {
  Epoch epoch;
  uint64_t version = 0;
  frames::StreamCatalogueState state;
};

std::string EncodeCatalogueFile(StoreId store, const PublishedCatalogue& catalogue);

// kCorruption, kUnsupported (a newer version); kFailedPrecondition: of another store.
Result<PublishedCatalogue> DecodeCatalogueFile(ByteView bytes, StoreId store);

}  // namespace tailrace::shards
