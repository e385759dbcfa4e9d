// What the store remembers of a transaction under its idempotency token: an item of a system table,
// written in the same Commit frame as the transaction's changes. So it is there if and only if they
// are, is found by an ordinary read, and survives whatever they survive.
// Thread-safe: free functions without state.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/key.h"
#include "engine/store.h"
#include "wal/status.h"

namespace tailrace::engine {

inline constexpr char kTokenTable[] = "_tailrace.transactions";

KeySchema TokenTableKeys();

// The key of a token's item. kInvalidArgument: the token is too long, or not UTF-8.
Result<Item> TokenKey(const std::string& token);

struct RememberedTransaction {
  uint64_t request_digest = 0;         // See RequestDigest.
  uint64_t age_ms = 0;                 // The store's, pending downtime included, at the commit.
  std::vector<WriteOutcome> outcomes;  // Of each write: kApplied or kUnchanged.

  // Whether the time to remember it is over in a store of this age.
  bool Expired(uint64_t store_age_ms) const;
};

// The item under `key` (from TokenKey), and back. kCorruption: it is none of ours.
Item ToItem(const Item& key, const RememberedTransaction& transaction);
Result<RememberedTransaction> FromItem(const Item& item);

// A hash over all that makes two requests the same: see TransactOptions::fingerprint. On disk.
class RequestDigest {
 public:
  explicit RequestDigest(const std::string& fingerprint);

  // `item`: the encoded item (kPut) or the storage key.
  void Add(WriteRequest::Kind kind, const std::string& table, ByteView item, bool has_condition);

  uint64_t value() const { return value_; }

 private:
  uint64_t value_;
};

}  // namespace tailrace::engine
