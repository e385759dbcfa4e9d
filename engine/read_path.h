// Reading items: the write buffer's generations, newest first, over the item index.
//
// Every answer comes with the highest LSN it rests on; callers show it only once that is safe.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/item_index.h"
#include "engine/write_buffer.h"
#include "shards/types.h"
#include "wal/status.h"

namespace tailrace::engine {

// What is stored under a key now.
struct FoundItem {
  std::optional<std::string> image;  // Encoded; absent: no item.
  Lsn lsn;                           // Of the commit that put it there; Lsn{0} without an item.
  Lsn rests_on;                      // Lsn{0}: durable for long.
};

// Thread-safe. Both outlive the call.
Result<FoundItem> FindItem(const WriteBuffer& buffer, ItemIndex& index, TableId table,
                           ByteView key);

// Walks a table's items within [lower, upper) in key order or against it. Each item is as some
// moment between making the cursor and reaching the item had it. Not thread-safe. Holds a
// generation: keep it only as long as it takes to read a page.
class MergedCursor {
 public:
  // An empty `upper` means no bound.
  static Result<std::unique_ptr<MergedCursor>> Open(const WriteBuffer& buffer, ItemIndex& index,
                                                    TableId table, std::string lower,
                                                    std::string upper, Direction direction);

  // To the next item. False at the end or after a failure (see status).
  bool Next();

  // The item reached. Views last until the next call of Next.
  ByteView key() const { return key_; }
  ByteView image() const { return image_; }
  // Of the commit that made it so.
  Lsn lsn() const { return lsn_; }

  // The highest LSN of anything looked at so far, deletions included.
  Lsn rests_on() const { return rests_on_; }
  Status status() const { return status_; }

 private:
  // A generation's part of the range, read in pieces so that its latches are held only shortly.
  struct Source {
    std::shared_ptr<const Generation> generation;
    std::vector<Generation::KeyedItem> piece;
    size_t at = 0;
    bool exhausted = false;
  };

  MergedCursor(GenerationView view, std::unique_ptr<IndexCursor> index, TableId table,
               std::string lower, std::string upper, Direction direction);

  void Refill(Source& source);
  const Generation::KeyedItem* Peek(Source& source);
  bool IndexInRange() const;
  void AdvanceIndex();
  bool Precedes(ByteView a, ByteView b) const;
  std::optional<ByteView> NextKey();

  const TableId table_;
  const std::string lower_;
  const std::string upper_;
  const Direction direction_;
  std::vector<Source> sources_;  // Newest first.
  std::unique_ptr<IndexCursor> index_;
  std::string key_;
  std::string image_;
  Lsn lsn_;
  Lsn rests_on_;
  Status status_;
};

}  // namespace tailrace::engine
