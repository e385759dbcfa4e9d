// What callers of a store did at once and were told: the input of the history checkers.
//
// An item's content is a list of numbers, each written once by one write, and a history has it as
// one number that depends on all of them (Content). So whoever saw an item says exactly which
// writes it had seen.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/random.h"

namespace tailrace::test {

// An item as a number: kAbsent, or what AppendTo makes of the numbers in its list, in order.
using Content = uint64_t;
inline constexpr Content kAbsent = 0;

inline Content AppendTo(Content list, uint64_t id) { return MixSeed(list, id) | 1; }

// What an access may demand of the item before it.
struct Guard {
  enum class Kind { kNone, kExists, kMissing, kIs };
  Kind kind = Kind::kNone;
  Content content = kAbsent;  // Of kIs.

  bool Holds(Content now) const;
};

enum class Action { kRead, kCheck, kPut, kDelete, kAppend };

// An operation's part in one item.
struct Access {
  uint32_t key = 0;
  Action action = Action::kRead;
  Guard guard = {};
  uint64_t id = 0;                             // The number that a put or an append writes.
  std::optional<Content> seen = std::nullopt;  // What the caller was shown of the item before
  std::optional<Content> left = std::nullopt;  // and after.
  uint64_t sequence = 0;                       // Of the change; 0: none.

  // The content that the action makes of another.
  Content Result(Content before) const;
};

enum class Outcome { kRead, kApplied, kUnchanged, kRejected };

// A call, from before it was made to after it returned or was known to be safe. Those with several
// accesses are transactions, or reads at one moment.
struct Operation {
  uint32_t client = 0;
  int64_t invoked_ns = 0;
  int64_t returned_ns = 0;
  // When the caller knew the answer to be safe: at the return, or for a write that did not wait,
  // when Wait had returned. Until then what it did to other items has no place in time.
  int64_t safe_ns = 0;
  Outcome outcome = Outcome::kRead;
  uint64_t commit = 0;  // kApplied: the commit's number.
  std::vector<Access> accesses = {};
};

// The content that an access of an operation proves to have stood before it; absent if it may have
// been any.
std::optional<Content> ContentBefore(const Operation& operation, const Access& access);

// What is wrong with an access, given what stood before it; empty if nothing is. Leaves guards of
// rejected operations to whoever sees all accesses.
std::string JudgeAccess(const Operation& operation, const Access& access, Content before);

// The operation in a line, for people.
std::string ToString(const Operation& operation);

}  // namespace tailrace::test
