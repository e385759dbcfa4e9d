// Salvage: a new store of everything in a damaged one that is still proven, and a list of the rest.
//
//   const auto report = SalvageStore(wal::FileSystem::Posix(), "/var/lib/games", "/var/lib/games2",
//   {});
//
// What "proven" means, and what is not attempted: docs/adr/0020-salvage.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "shards/types.h"
#include "wal/clock.h"
#include "wal/fs.h"
#include "wal/status.h"
#include "wal/types.h"

namespace tailrace {

// Something that the new store lacks, or may lack.
struct SalvageLoss {
  enum class Kind {
    kItems,    // Items of a table whose storage keys lie between two others cannot be read.
    kJournal,  // Frames of the journal cannot be read, or follow some that cannot.
    kRecords,  // Records of a shard cannot be read, or come before some that cannot.
  };
  Kind kind = Kind::kItems;
  std::string table;               // Empty: any.
  std::optional<StreamId> stream;  // kRecords,
  std::optional<ShardId> shard;    // kRecords.
  std::optional<std::string>
      after;  // kItems: the last storage key before what is lost; absent: none.
  std::optional<std::string> before;  // kItems: the first one behind it; absent: none.
  // kJournal: positions. kRecords: numbers. Both included. Of the journal, the last may be absent:
  // nothing behind the damage can be read, and nobody knows how much there was.
  std::optional<SequenceNumber> first, last;
  std::string what;
};

struct SalvageReport {
  StoreId damaged_id;
  StoreId store_id;  // The new store's.
  uint64_t tables = 0;
  uint64_t items = 0;
  uint64_t items_from_streams = 0;  // Of these: lost as items, and proven by a record.
  uint64_t frames = 0;              // Of the journal, folded.
  uint64_t shards = 0;              // With records.
  std::vector<SalvageLoss> losses;

  bool complete() const { return losses.empty(); }
};

struct SalvageOptions {
  const Clock* clock = &Clock::System();
};

// "items", "journal" or "records". Never null.
std::string_view SalvageLossName(SalvageLoss::Kind kind);

// Reads the store in `damaged`, which stays as it is, and makes a store in `directory`, which must
// be missing or empty and takes a second copy of the items while it works. The new store has an id
// of its own, like a restored one, and its indexes are filled anew from their tables. Errors:
// kNotFound (no store), kBusy (it is in use), kAlreadyExists (`directory` holds something),
// kCorruption (neither identity nor catalogue can be read: nothing can be told apart), kNoSpace,
// kIoError.
Result<SalvageReport> SalvageStore(wal::FileSystem& fs, const std::string& damaged,
                                   const std::string& directory,
                                   const SalvageOptions& options) noexcept;

}  // namespace tailrace
