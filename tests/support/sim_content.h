// The bytes of a simulated file: sparse, shared block by block between the states of a disk.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/support/cow.h"
#include "wal/fs.h"

namespace tailrace::test {

// Bytes at every offset, zero where never written, and a size, which is a number apart: on a disk
// the one may survive without the other. Copies share their blocks. Thread-compatible.
class SimContent {
 public:
  SimContent() = default;

  uint64_t size_bytes() const { return size_bytes_; }

  // Sets the size and leaves all bytes as they are.
  void SetSize(uint64_t size_bytes) { size_bytes_ = size_bytes; }

  // Makes all bytes at or beyond `offset` zero.
  void ClearFrom(uint64_t offset);

  // Puts `bytes` at `offset`, whatever the size.
  void Write(uint64_t offset, ByteView bytes);

  // Puts `bytes` times the byte `fill` at `offset`, whatever the size.
  void Fill(uint64_t offset, uint64_t bytes, char fill);

  // Copies `bytes` bytes at `offset` to `target`, whatever the size.
  void Read(uint64_t offset, char* target, uint64_t bytes) const;

  // Calls visit(offset, bytes) for every block that may hold anything but zeros.
  void ForEachBlock(const std::function<void(uint64_t, ByteView)>& visit) const;

  // Equal for equal sizes and bytes below the size, provided that the bytes beyond it are zero.
  uint64_t Hash() const;

 private:
  struct Block : Shared {
    Block() = default;
    Block(const Block& other) : Shared(other), bytes(other.bytes) {}

    uint64_t Hash() const;

    std::array<char, wal::kBlockBytes> bytes{};
    mutable std::atomic<uint64_t> hash{kHashUnknown};
  };
  static constexpr uint64_t kHashUnknown = ~0ull;

  // A run of neighbouring blocks; the absent ones are zeros.
  static constexpr uint64_t kLeafBlocks = 64;
  struct Leaf : Shared {
    std::array<Cow<Block>, kLeafBlocks> blocks;
  };

  const Block* FindBlock(uint64_t index) const;
  char* MutableBlock(uint64_t index);

  uint64_t size_bytes_ = 0;
  std::vector<Cow<Leaf>> leaves_;
};

}  // namespace tailrace::test
