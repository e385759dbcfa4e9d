// What must hold of a stream's shards, and of the records along their lineage.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/store.h"

namespace tailrace::test {

class LineageCheck {
 public:
  explicit LineageCheck(const StreamInfo& stream) : enabled_(stream.enabled), keys_(stream.keys) {
    for (const ShardInfo& shard : stream.shards) shards_[shard.id] = shard;
  }

  // Each shard begins right behind its parent, and the open ones take every hash once.
  void CheckShards() const {
    std::map<uint64_t, uint64_t> open;
    for (const auto& [id, shard] : shards_) {
      if (!shard.ending) open[shard.hash_first] = shard.hash_last;
      if (!shard.parent || !shards_.contains(*shard.parent)) continue;
      const ShardInfo& parent = shards_.at(*shard.parent);
      ASSERT_TRUE(parent.ending.has_value()) << "an open parent is never listed with its child";
      EXPECT_EQ(parent.ending->value + 1, shard.starting.value);
      EXPECT_LT(parent.id, shard.id);
      EXPECT_LT(parent.name, shard.name);
    }
    EXPECT_EQ(open.empty(), !enabled_);
    uint64_t next = 0;
    for (const auto& [first, last] : open) {
      EXPECT_EQ(first, next);
      next = last + 1;
    }
    EXPECT_EQ(next, 0u) << "the last one ends with the highest hash";
  }

  // Records, each shard's in order and parents before their children: every item's numbers rise,
  // and go on in the shard they were in or in a descendant, to which a reader is led from it.
  void CheckOrder(const std::vector<ChangeRecord>& records) const {
    std::map<std::string, const ChangeRecord*> last;
    for (const ChangeRecord& record : records) {
      const auto key = EncodeKey(keys_, record.keys);
      ASSERT_TRUE(key.ok());
      const ChangeRecord*& before = last[*key];
      if (before != nullptr) {
        ASSERT_LT(before->sequence, record.sequence);
        ASSERT_TRUE(Descends(record.shard, before->shard))
            << "shard " << record.shard.value << " does not descend from shard "
            << before->shard.value;
      }
      before = &record;
    }
  }

  size_t shards() const { return shards_.size(); }

 private:
  bool Descends(ShardId shard, ShardId ancestor) const {
    for (std::optional<ShardId> at = shard; at;) {
      if (*at == ancestor) return true;
      const auto found = shards_.find(*at);
      if (found == shards_.end()) return false;
      at = found->second.parent;
    }
    return false;
  }

  bool enabled_;
  KeySchema keys_;
  std::map<ShardId, ShardInfo> shards_;
};

}  // namespace tailrace::test
