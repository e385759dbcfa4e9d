// The way of a write, from the caller to the reply. A single write is a transaction of one item.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/checkpointer.h"
#include "engine/core.h"
#include "engine/index_entry.h"
#include "engine/read_path.h"
#include "engine/store.h"
#include "engine/transaction_token.h"

namespace tailrace::engine {

class WritePath {
 public:
  // Both outlive this object.
  WritePath(Core& core, Checkpointer& checkpointer) : core_(core), checkpointer_(checkpointer) {}

  // Thread-safe. See the methods of Store of these names. Transact with a token requires that
  // kTokenTable exists.
  Result<WriteResult> Put(const std::string& table, const Item& item, const WriteOptions& options);
  Result<WriteResult> Delete(const std::string& table, const Item& key,
                             const WriteOptions& options);
  Result<WriteResult> Update(const std::string& table, const Item& key, const Updater& updater,
                             const WriteOptions& options);
  Result<TransactResult> Transact(const std::vector<WriteRequest>& requests,
                                  const TransactOptions& options);
  Result<std::vector<Result<WriteResult>>> BatchWrite(const std::vector<WriteRequest>& requests,
                                                      WaitFor wait);

  // Deletes the item if the condition holds, and waits for nothing: kBusy while the journal is at
  // its limit.
  Status DeleteIfRoom(const std::string& table, const Item& key, const Condition& condition);

  // The same by Actor::kTimeToLive, if the table has a time to live and the item is expired at
  // `wall_ms` (ms since 1970); kRejected if not.
  Result<WriteOutcome> DeleteExpired(const std::string& table, const Item& key, uint64_t wall_ms);

 private:
  using Kind = WriteRequest::Kind;

  // One item's write under way. What it points to is the caller's.
  struct Write {
    Kind kind = Kind::kPut;
    const std::string* table_name = nullptr;
    const Item* item = nullptr;  // kPut: the item; otherwise its key.
    const Condition* condition = nullptr;
    const Updater* updater = nullptr;
    ReturnItems return_items = ReturnItems::kNone;
    std::optional<uint64_t> if_expired_at_ms;  // By the store itself, of an item expired then.

    const Table* table = nullptr;  // In the transaction's catalogue.
    std::string key;               // Storage key.
    FoundItem old;
    std::optional<Item> old_item;          // Decoded if somebody looks at it.
    std::optional<std::string> new_image;  // Absent: the item shall be gone. Not for kCheck.
    size_t new_item_bytes = 0;             // As the service measures it.
    std::vector<EntryChange> entries;      // What it does to indexes.
    WriteOutcome outcome = WriteOutcome::kUnchanged;
    SequenceNumber sequence;
  };

  // The idempotency token of a transaction.
  struct Token {
    Item key;
    uint64_t request_digest = 0;
    Write write;                                      // Of the item that remembers it.
    std::optional<RememberedTransaction> remembered;  // The token was known.
  };

  // Writes that happen together.
  struct Transaction {
    std::span<Write> writes;
    Token* token = nullptr;
    const std::string* fingerprint = nullptr;  // With a token.
    bool waits_for_room = true;

    CatalogueHolder::Snapshot catalogue;
    bool rejected = false;        // A condition said no.
    std::optional<Lsn> appended;  // The frame's; absent if there is none.
  };

  static Result<Write> MakeWrite(const WriteRequest& request);
  static Result<Write> MakePut(const std::string& table, const Item& item,
                               const Condition& condition, ReturnItems return_items);
  static Write MakeKeyed(Kind kind, const std::string& table, const Item& key,
                         const Condition& condition, ReturnItems return_items);

  Result<WriteResult> RunOne(Write& write, WaitFor wait);
  Status Run(Transaction& transaction);
  Status Resolve(Transaction& transaction) const;
  Status ResolveTogether(Transaction& transaction) const;
  Status ReadOldItems(Transaction& transaction);
  Status ReadToken(Token& token);
  Status Decide(Transaction& transaction) const;
  Status CheckCondition(Write& write) const;
  Status MakeNew(Write& write) const;
  Status CallUpdater(Write& write) const;
  Result<bool> Append(Transaction& transaction);
  void NoteExpiries(const Transaction& transaction);
  bool TablesStand(const Transaction& transaction) const;
  static shards::Change ChangeOf(const Write& write);
  static std::string Remember(const Transaction& transaction, const ClockReading& now);

  CommitToken RestsOn(const Transaction& transaction) const;
  Result<WriteResult> Answer(Write& write, CommitToken token) const;
  Result<TransactResult> AnswerAll(Transaction& transaction) const;
  Result<TransactResult> AnswerAgain(Transaction& transaction) const;

  Core& core_;
  Checkpointer& checkpointer_;
};

// Whether this thread is inside a callable of a write: it must not call the store then.
Status RefuseReentry();

}  // namespace tailrace::engine
