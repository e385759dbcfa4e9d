// A directory of log files as the input of a fuzzer: short, since most of such files is zeros, and
// with checksums that can be made good again after a change, since else nothing behind them would
// ever be reached.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz_input.h"

namespace tailrace::fuzz {

inline constexpr size_t kImageFilesMax = 6;
inline constexpr size_t kImageFileBytesMax = 64 << 10;

struct ImageFile {
  uint64_t base = 0;  // Of a segment, which gives the name; 0: a shard's header file.
  std::string bytes;

  std::string name() const;
};

// [u8 flags] and for each file [u64 base][u8 size in blocks; 0: as the pieces say][u8 pieces], each
// [u16 offset / 8][u16 bytes][bytes]. Any input is an image; what does not fit is left out.
struct DirectoryImage {
  uint8_t flags = 0;  // For the target to use.
  std::vector<ImageFile> files;

  static DirectoryImage Decode(FuzzInput input);
  std::string Encode() const;
};

// Makes the checksums of a segment good: the header's, and those of everything that begins with a
// frame's magic. With `chained`, also the chain hashes of a shard log's records.
void ResealSegment(std::string& file, bool chained);

// Makes the checksum of a shard's header file good.
void ResealShardHeader(std::string& file);

// A custom mutator over images: libFuzzer's own change, then in most cases fitting checksums.
size_t MutateImage(uint8_t* data, size_t size, size_t max_size, unsigned int seed, bool chained);

}  // namespace tailrace::fuzz
