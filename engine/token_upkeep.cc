#include "engine/token_upkeep.h"

#include "engine/item_codec.h"
#include "engine/limits.h"
#include "engine/read_path.h"
#include "engine/transaction_token.h"

namespace tailrace::engine {
namespace {

constexpr size_t kPageTokens = 1000;

}  // namespace

Status TokenUpkeep::Run() {
  const uint64_t age_ms = core_.clock->AgeMs();
  const auto catalogue = core_.catalogue.Get().catalogue;
  const Table* table = catalogue->Find(kTokenTable);
  if (table == nullptr || age_ms < due_age_ms_) return Status::Ok();
  // Looks again, under the lock: the token may be in use for the next transaction.
  const Condition still_expired = [age_ms](const Item* item) {
    if (item == nullptr) return false;
    const auto transaction = FromItem(*item);
    return transaction.ok() && transaction->Expired(age_ms);
  };
  std::string from;
  do {
    TAILRACE_ASSIGN_OR_RETURN(const auto expired, ReadPage(*table, from, age_ms));
    for (const Item& key : expired) {
      const Status deleted = writes_.DeleteIfRoom(kTokenTable, key, still_expired);
      if (deleted.code() == StatusCode::kBusy) return Status::Ok();  // Another round will.
      TAILRACE_RETURN_IF_ERROR(deleted);
    }
  } while (!from.empty());
  due_age_ms_ = age_ms + kIdempotencyTokenMs / 2;
  return Status::Ok();
}

Result<std::vector<Item>> TokenUpkeep::ReadPage(const Table& table, std::string& from,
                                                uint64_t age_ms) const {
  TAILRACE_ASSIGN_OR_RETURN(auto cursor, MergedCursor::Open(core_.buffer, *core_.index, table.id,
                                                            from, "", Direction::kForward));
  from.clear();
  std::vector<Item> expired;
  for (size_t i = 0; cursor->Next(); ++i) {
    if (i == kPageTokens) {
      from = cursor->key();
      break;
    }
    TAILRACE_ASSIGN_OR_RETURN(const Item item, DecodeItem(cursor->image()));
    TAILRACE_ASSIGN_OR_RETURN(const RememberedTransaction transaction, FromItem(item));
    if (transaction.Expired(age_ms)) expired.push_back(KeyOfItem(table.keys, item));
  }
  TAILRACE_RETURN_IF_ERROR(cursor->status());
  return expired;
}

}  // namespace tailrace::engine
