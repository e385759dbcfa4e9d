// The way of a write, from the caller to the reply.
#pragma once

#include <optional>
#include <string>

#include "engine/checkpointer.h"
#include "engine/core.h"
#include "engine/read_path.h"
#include "engine/store.h"

namespace tailrace::engine {

class WritePath {
 public:
  // Both outlive this object.
  WritePath(Core& core, Checkpointer& checkpointer) : core_(core), checkpointer_(checkpointer) {}

  // Thread-safe. See Store::Put, Delete and Update.
  Result<WriteResult> Put(const std::string& table, const Item& item, const WriteOptions& options);
  Result<WriteResult> Delete(const std::string& table, const Item& key,
                             const WriteOptions& options);
  Result<WriteResult> Update(const std::string& table, const Item& key, const Updater& updater,
                             const WriteOptions& options);

 private:
  // One item's write under way.
  struct Write {
    const Table* table = nullptr;  // In `catalogue`.
    CatalogueHolder::Snapshot catalogue;
    std::string key;  // Storage key.
    FoundItem old;
    std::optional<Item> old_item;          // Decoded when somebody looks at it.
    std::optional<std::string> new_image;  // Absent: the item shall be gone.
    const Updater* updater = nullptr;      // Makes new_image from the old item; null: it is given.
    const WriteOptions* options = nullptr;
  };

  enum class KeyFrom { kItem, kKey };

  Result<WriteResult> Run(const std::string& table, const Item& item, KeyFrom key_from,
                          Write write);
  Result<WriteOutcome> Decide(Write& write) const;
  Status CallUpdater(Write& write) const;
  Result<std::optional<wal::Frame>> Append(const Write& write);
  Result<WriteResult> Answer(Write& write, WriteOutcome outcome, Lsn rests_on,
                             SequenceNumber sequence) const;

  Core& core_;
  Checkpointer& checkpointer_;
};

// Whether this thread is inside a callable of a write: it must not call the store then.
Status RefuseReentry();

}  // namespace tailrace::engine
