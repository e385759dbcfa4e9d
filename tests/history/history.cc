#include "tests/history/history.h"

#include <sstream>

namespace tailrace::test {

bool Guard::Holds(Content now) const {
  switch (kind) {
    case Kind::kNone:
      return true;
    case Kind::kExists:
      return now != kAbsent;
    case Kind::kMissing:
      return now == kAbsent;
    case Kind::kIs:
      return now == content;
  }
  return false;
}

Content Access::Result(Content before) const {
  switch (action) {
    case Action::kRead:
    case Action::kCheck:
      return before;
    case Action::kPut:
      return AppendTo(kAbsent, id);
    case Action::kDelete:
      return kAbsent;
    case Action::kAppend:
      return AppendTo(before, id);
  }
  return kAbsent;
}

std::optional<Content> ContentBefore(const Operation& operation, const Access& access) {
  if (access.seen) return access.seen;
  if (operation.outcome != Outcome::kUnchanged) return std::nullopt;
  // What a write would make of an item, if it was that already.
  if (access.action == Action::kPut || access.action == Action::kDelete) {
    return access.Result(kAbsent);
  }
  return std::nullopt;
}

std::string JudgeAccess(const Operation& operation, const Access& access, Content before) {
  if (access.seen && *access.seen != before) return "it saw another item than stood there";
  if (operation.outcome == Outcome::kRead || operation.outcome == Outcome::kRejected) {
    return access.sequence != 0 || access.left ? "it changed nothing, and names a change" : "";
  }
  if (!access.guard.Holds(before)) return "its condition did not hold, and it was not rejected";
  const Content result = access.Result(before);
  const bool changed = result != before;
  if (operation.outcome == Outcome::kUnchanged && changed) return "it says that nothing changed";
  if (changed != (access.sequence != 0)) return "a change without a number, or the reverse";
  if (access.left && *access.left != result) return "it left another item than it should";
  return "";
}

std::string ToString(const Operation& operation) {
  static constexpr const char* kOutcomes[] = {"read", "applied", "unchanged", "rejected"};
  static constexpr const char* kActions[] = {"read", "check", "put", "delete", "append"};
  std::ostringstream text;
  text << "client " << operation.client << " [" << operation.invoked_ns << ", "
       << operation.returned_ns;
  if (operation.safe_ns != operation.returned_ns) text << ", safe at " << operation.safe_ns;
  text << "] " << kOutcomes[static_cast<int>(operation.outcome)];
  if (operation.commit != 0) text << " at " << operation.commit;
  for (const Access& access : operation.accesses) {
    text << "; " << kActions[static_cast<int>(access.action)] << " key " << access.key;
    if (access.id != 0) text << " id " << access.id;
    if (access.seen) text << " saw " << std::hex << *access.seen << std::dec;
    if (access.left) text << " left " << std::hex << *access.left << std::dec;
    if (access.sequence != 0) text << " as " << access.sequence;
  }
  return text.str();
}

}  // namespace tailrace::test
