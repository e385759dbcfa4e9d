#include "engine/transaction_token.h"

#include <optional>

#include "engine/item_fields.h"
#include "engine/limits.h"
#include "engine/utf8.h"
#include "wal/hash.h"
#include "wal/mutants.h"

namespace tailrace::engine {
namespace {

// Attributes of a token's item. Outcomes: one letter for each write.
constexpr char kToken[] = "token";
constexpr char kDigest[] = "digest";
constexpr char kAge[] = "age_ms";
constexpr char kOutcomes[] = "outcomes";

constexpr char kAppliedLetter = 'A';
constexpr char kUnchangedLetter = 'U';

std::optional<std::vector<WriteOutcome>> ReadOutcomes(const Item& item) {
  const std::string* letters = item.GetString(kOutcomes);
  if (letters == nullptr) return std::nullopt;
  std::vector<WriteOutcome> outcomes;
  for (const char letter : *letters) {
    if (letter != kAppliedLetter && letter != kUnchangedLetter) return std::nullopt;
    outcomes.push_back(letter == kAppliedLetter ? WriteOutcome::kApplied
                                                : WriteOutcome::kUnchanged);
  }
  return outcomes;
}

}  // namespace

KeySchema TokenTableKeys() { return {{kToken, ScalarType::kS}, std::nullopt}; }

Result<Item> TokenKey(const std::string& token) {
  if (token.empty() || token.size() > kIdempotencyTokenBytesMax) {
    return InvalidArgument("an idempotency token has 1 to " +
                           std::to_string(kIdempotencyTokenBytesMax) + " bytes");
  }
  if (!IsUtf8(token)) return InvalidArgument("an idempotency token is UTF-8");
  return Item{{kToken, Value::S(token)}};
}

bool RememberedTransaction::Expired(uint64_t store_age_ms) const {
  return !TAILRACE_MUTANT("token-never-expires") && store_age_ms >= age_ms &&
         store_age_ms - age_ms >= kIdempotencyTokenMs;
}

Item ToItem(const Item& key, const RememberedTransaction& transaction) {
  std::string letters;
  for (const WriteOutcome outcome : transaction.outcomes) {
    letters += outcome == WriteOutcome::kApplied ? kAppliedLetter : kUnchangedLetter;
  }
  Item item = key;
  item.Set(kDigest, Value::N(transaction.request_digest));
  item.Set(kAge, Value::N(transaction.age_ms));
  item.Set(kOutcomes, Value::S(std::move(letters)));
  return item;
}

Result<RememberedTransaction> FromItem(const Item& item) {
  const auto digest = GetUint64(item, kDigest);
  const auto age_ms = GetUint64(item, kAge);
  auto outcomes = ReadOutcomes(item);
  if (!digest || !age_ms || !outcomes) {
    return Corruption(std::string("an item of ") + kTokenTable +
                      " is not one that the store writes");
  }
  return RememberedTransaction{
      .request_digest = *digest, .age_ms = *age_ms, .outcomes = *std::move(outcomes)};
}

// Each part is hashed for itself, under the hash of all before it: so no part can run into the
// next.
RequestDigest::RequestDigest(const std::string& fingerprint) : value_(Hash64(fingerprint)) {}

void RequestDigest::Add(WriteRequest::Kind kind, const std::string& table, ByteView item,
                        bool has_condition) {
  const char fixed[] = {static_cast<char>(kind), static_cast<char>(has_condition)};
  value_ = Hash64(ByteView(fixed, sizeof fixed), value_);
  value_ = Hash64(table, value_);
  value_ = Hash64(item, value_);
}

}  // namespace tailrace::engine
