// Consumers of a test: a handler that keeps an exact copy of a table, and notices anything that is
// missing, repeated or out of order.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/consumer.h"
#include "tests/engine/store_fixture.h"

namespace tailrace::test {

inline constexpr char kCopyTable[] = "Copy";

// What a batch makes of the copy of a table whose stream shows both images: each changed item is
// written on the condition that it is what it was before the batch.
class CopyWrites {
 public:
  explicit CopyWrites(KeySchema keys) : keys_(std::move(keys)) {}

  // False, with a failure, if the batch contradicts itself.
  bool Add(const ConsumerBatch& batch) {
    for (const SnapshotItem& shown : batch.items) {
      if (!Change(KeyOfItem(keys_, shown.item), std::nullopt, shown.item)) return false;
    }
    for (const ChangeRecord& record : batch.records) {
      if (!Change(record.keys, record.old_image, record.new_image)) return false;
    }
    return true;
  }

  std::vector<WriteRequest> Take() const {
    std::vector<WriteRequest> writes;
    for (const auto& [key, change] : changes_) {
      const Condition as_before = [before = change.before](const Item* item) {
        return before ? item != nullptr && *item == *before : item == nullptr;
      };
      writes.push_back(change.after ? WriteRequest::Put(kCopyTable, *change.after, as_before)
                                    : WriteRequest::Delete(kCopyTable, change.key, as_before));
    }
    return writes;
  }

 private:
  struct Changed {
    Item key;
    std::optional<Item> before;
    std::optional<Item> after;
  };

  bool Change(const Item& key, const std::optional<Item>& old_item,
              const std::optional<Item>& new_item) {
    const auto storage_key = EncodeKey(keys_, key);
    EXPECT_OK(storage_key);
    if (!storage_key.ok()) return false;
    const auto [changed, is_new] = changes_.try_emplace(*storage_key, Changed{key, old_item, {}});
    EXPECT_TRUE(is_new || changed->second.after == old_item) << "a change was left out in a batch";
    const bool fits = is_new || changed->second.after == old_item;
    changed->second.after = new_item;
    return fits;
  }

  const KeySchema keys_;
  std::map<std::string, Changed> changes_;
};

// Checkpoints the batch with what it makes of the copy. kRejected is a failure: the copy was not
// what it should have been.
inline Result<CheckpointOutcome> ApplyToCopy(ConsumerWorker& worker, const KeySchema& keys,
                                             const ConsumerBatch& batch) {
  CopyWrites writes(keys);
  if (!writes.Add(batch)) return FailedPrecondition("the batch contradicts itself");
  TAILRACE_ASSIGN_OR_RETURN(const CheckpointResult result,
                            worker.CheckpointWith(batch, writes.Take()));
  if (result.outcome != CheckpointOutcome::kRejected) return result.outcome;
  return FailedPrecondition("the copy is not what the stream says it was");
}

}  // namespace tailrace::test
