// Knows how much of RocksDB's MANIFEST was ever made durable, and cuts what a crash left beyond it.
//
// RocksDB appends to its MANIFEST and then syncs. After a power cut the unsynced tail may come back
// in any state. A tail cut at any byte is no harm: RocksDB drops the unfinished record. But where
// the file kept its new size and not the data, the tail reads as zeros, and RocksDB refuses to
// open. So after each sync of a MANIFEST its length is written, durably, to a small file beside it;
// at the next opening what lies beyond that length goes. Nothing there was ever acknowledged: the
// sync returns only after the length is durable.
//
// The same length shows the opposite too: a MANIFEST that has become shorter is damage, where
// RocksDB would silently open an older state.
//
// The file "manifest.guard" is two blocks of kBlockBytes. Each record is written durably to one and
// then to the other, the one that holds the newest record last; of the valid ones the higher
// sequence counts. So a torn write leaves the record before, and damage to one block at rest loses
// nothing: the other holds the same. A block, little-endian:
//   0 magic u64 | 8 version u32 | 12 entries u32 | 16 sequence u64 |
//   24 + 16 i: MANIFEST number u64, durable bytes u64 | zeros | last 8: XXH3 of all before
// Several MANIFESTs have entries because a new one is synced before CURRENT names it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "wal/fs.h"
#include "wal/mutex.h"
#include "wal/status.h"

namespace tailrace::engine {

// Thread-safe.
class ManifestGuard {
 public:
  // Reads the guard of the RocksDB in `directory`, which need not exist yet. Changes nothing.
  // Errors: kCorruption (both blocks damaged), kUnsupported (a newer version), the file system's.
  static Result<std::unique_ptr<ManifestGuard>> Open(wal::FileSystem& fs,
                                                     const std::string& directory);

  // The number in "MANIFEST-000012"; nothing if the name is not a MANIFEST's.
  static std::optional<uint64_t> ParseName(ByteView file_name);

  // Cuts the MANIFEST that CURRENT names to its durable length; on OK durably, and the result is
  // how many bytes went. Does nothing where no length is known. To be called before RocksDB opens.
  // Errors: kCorruption (shorter than its durable length), the file system's.
  Result<uint64_t> CutTail();

  // Whether the records of the MANIFEST that CURRENT names fill it to its durable length, as far as
  // their lengths and types tell. RocksDB takes a record that promises more than there is, or that
  // seems to be of a recycled file, for the end of the file, and would open an older state and
  // write it down as the newest; all other damage it finds by its checksums. Does nothing where no
  // length is known. To be called after CutTail. Errors: kCorruption with the place, the file
  // system's.
  Status CheckRecords();

  // Puts on record that MANIFEST `number` was synced with `size_bytes`. On OK: durable. The first
  // error is final: every later call returns it too.
  Status NoteSynced(uint64_t number, uint64_t size_bytes);

  // The MANIFEST was removed. Goes to disk with the next NoteSynced.
  void Forget(uint64_t number);

 private:
  struct Current {
    std::string path;  // Of the MANIFEST that CURRENT names.
    uint64_t durable_bytes = 0;
  };

  static constexpr uint32_t kSlots = 2;
  struct alignas(wal::kBlockBytes) Slot {
    std::array<char, wal::kBlockBytes> bytes{};
  };

  ManifestGuard(wal::FileSystem& fs, std::string directory);

  Result<std::optional<Current>> FindCurrent() TAILRACE_REQUIRES(mutex_);
  Status Load() TAILRACE_REQUIRES(mutex_);
  Result<std::unique_ptr<wal::File>> OpenWhole();
  Status WriteRecord() TAILRACE_REQUIRES(mutex_);
  Status WriteCopy(uint32_t slot) TAILRACE_REQUIRES(mutex_);

  wal::FileSystem& fs_;
  const std::string directory_;
  const std::string path_;

  Mutex mutex_;
  std::map<uint64_t, uint64_t> durable_bytes_ TAILRACE_GUARDED_BY(mutex_);  // By MANIFEST number.
  uint64_t sequence_ TAILRACE_GUARDED_BY(mutex_) = 0;            // Of the last record; 0: none.
  std::unique_ptr<wal::File> file_ TAILRACE_GUARDED_BY(mutex_);  // Opened at the first record.
  uint32_t newest_slot_ TAILRACE_GUARDED_BY(mutex_) = 0;         // Which holds the last record.
  Slot slot_ TAILRACE_GUARDED_BY(mutex_);
  Status failure_ TAILRACE_GUARDED_BY(mutex_);
};

}  // namespace tailrace::engine
