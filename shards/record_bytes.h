// Memory for the bytes that views of records point into.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace tailrace::shards {

// Blocks that are taken one after another and given back together; their memory is kept for the
// next ones. Thread-compatible. Moving it moves no byte.
class RecordBytes {
 public:
  // A block of at least `bytes` bytes, set to nothing, good until Clear.
  char* Take(uint64_t bytes) {
    size_t i = used_;
    while (i < blocks_.size() && blocks_[i].size_bytes < bytes) ++i;
    if (i == blocks_.size()) {
      blocks_.push_back({bytes, std::make_unique_for_overwrite<char[]>(bytes)});
    }
    std::swap(blocks_[used_], blocks_[i]);
    return blocks_[used_++].data.get();
  }

  void Clear() { used_ = 0; }

 private:
  struct Block {
    uint64_t size_bytes = 0;
    std::unique_ptr<char[]> data;
  };
  std::vector<Block> blocks_;  // Taken ones first.
  size_t used_ = 0;
};

}  // namespace tailrace::shards
