#include "tests/support/sim_content.h"

#include <algorithm>
#include <cstring>

#include "wal/hash.h"

namespace tailrace::test {
namespace {

using wal::kBlockBytes;

uint64_t Mix(uint64_t a, uint64_t b) {
  uint64_t mixed = (a ^ (b * 0x9e3779b97f4a7c15ull)) * 0xff51afd7ed558ccdull;
  mixed ^= mixed >> 32;
  return mixed * 0xc4ceb9fe1a85ec53ull;
}

// Calls visit(block index, offset within the block, bytes) for each block that the range touches.
template <typename Visit>
void ForEachPart(uint64_t offset, uint64_t bytes, Visit visit) {
  while (bytes > 0) {
    const uint64_t within = offset % kBlockBytes;
    const uint64_t part = std::min(bytes, kBlockBytes - within);
    visit(offset / kBlockBytes, within, part);
    offset += part;
    bytes -= part;
  }
}

}  // namespace

uint64_t SimContent::Block::Hash() const {
  uint64_t known = hash.load(std::memory_order_relaxed);
  if (known != kHashUnknown) return known;
  static const std::array<char, kBlockBytes> zeros{};
  // A block of zeros counts like an absent one.
  known = bytes == zeros ? 0 : Hash64({bytes.data(), bytes.size()}) | 1;
  if (known == kHashUnknown) known = 1;
  hash.store(known, std::memory_order_relaxed);
  return known;
}

const SimContent::Block* SimContent::FindBlock(uint64_t index) const {
  const uint64_t leaf = index / kLeafBlocks;
  if (leaf >= leaves_.size() || !leaves_[leaf]) return nullptr;
  const Cow<Block>& block = leaves_[leaf]->blocks[index % kLeafBlocks];
  return block ? &*block : nullptr;
}

char* SimContent::MutableBlock(uint64_t index) {
  const uint64_t leaf = index / kLeafBlocks;
  if (leaf >= leaves_.size()) leaves_.resize(leaf + 1);
  if (!leaves_[leaf]) leaves_[leaf] = Cow<Leaf>::Make();
  Cow<Block>& block = leaves_[leaf].Mutable().blocks[index % kLeafBlocks];
  if (!block) block = Cow<Block>::Make();
  Block& mine = block.Mutable();
  mine.hash.store(kHashUnknown, std::memory_order_relaxed);
  return mine.bytes.data();
}

void SimContent::ClearFrom(uint64_t offset) {
  const uint64_t within = offset % kBlockBytes;
  uint64_t first = offset / kBlockBytes;
  if (within != 0) {
    if (FindBlock(first) != nullptr) {
      std::memset(MutableBlock(first) + within, 0, kBlockBytes - within);
    }
    ++first;
  }
  const uint64_t leaf = first / kLeafBlocks;
  if (leaf >= leaves_.size()) return;
  if (leaves_[leaf] && first % kLeafBlocks != 0) {
    auto& blocks = leaves_[leaf].Mutable().blocks;
    std::fill(blocks.begin() + static_cast<ptrdiff_t>(first % kLeafBlocks), blocks.end(),
              Cow<Block>());
    leaves_.resize(leaf + 1);
  } else {
    leaves_.resize(first % kLeafBlocks != 0 ? leaf + 1 : leaf);
  }
}

void SimContent::Write(uint64_t offset, ByteView bytes) {
  const char* source = bytes.data();
  ForEachPart(offset, bytes.size(), [&](uint64_t block, uint64_t within, uint64_t part) {
    std::memcpy(MutableBlock(block) + within, source, part);
    source += part;
  });
}

void SimContent::Fill(uint64_t offset, uint64_t bytes, char fill) {
  ForEachPart(offset, bytes, [&](uint64_t block, uint64_t within, uint64_t part) {
    if (fill == 0 && FindBlock(block) == nullptr) return;
    std::memset(MutableBlock(block) + within, fill, part);
  });
}

void SimContent::Read(uint64_t offset, char* target, uint64_t bytes) const {
  ForEachPart(offset, bytes, [&](uint64_t index, uint64_t within, uint64_t part) {
    if (const Block* block = FindBlock(index)) {
      std::memcpy(target, block->bytes.data() + within, part);
    } else {
      std::memset(target, 0, part);
    }
    target += part;
  });
}

void SimContent::ForEachBlock(const std::function<void(uint64_t, ByteView)>& visit) const {
  for (uint64_t leaf = 0; leaf < leaves_.size(); ++leaf) {
    if (!leaves_[leaf]) continue;
    for (uint64_t i = 0; i < kLeafBlocks; ++i) {
      const Cow<Block>& block = leaves_[leaf]->blocks[i];
      if (block) {
        visit((leaf * kLeafBlocks + i) * kBlockBytes, {block->bytes.data(), block->bytes.size()});
      }
    }
  }
}

uint64_t SimContent::Hash() const {
  uint64_t hash = Mix(size_bytes_, 1);
  for (uint64_t leaf = 0; leaf < leaves_.size(); ++leaf) {
    if (!leaves_[leaf]) continue;
    for (uint64_t i = 0; i < kLeafBlocks; ++i) {
      const Cow<Block>& block = leaves_[leaf]->blocks[i];
      const uint64_t block_hash = block ? block->Hash() : 0;
      if (block_hash != 0) hash += Mix(block_hash, leaf * kLeafBlocks + i + 2);
    }
  }
  return hash;
}

}  // namespace tailrace::test
