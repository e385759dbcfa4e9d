#include "tests/history/order_check.h"

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <optional>

namespace tailrace::test {
namespace {

// Points in the commits' order: the commit of rank r is point 2r + 2, and what lies between it and
// the next one is point 2r + 3. Point 1 lies before all.
using Point = uint64_t;

constexpr Point kForEver = UINT64_MAX;

struct Version {
  Content content = kAbsent;
  Point first = 1;  // The points between commits at which it stands.
  Point last = kForEver;
};

// The highest point of some operations, and which has it.
struct Bound {
  Point point = 1;
  std::optional<size_t> operation = std::nullopt;

  void Raise(Point to, size_t by) {
    if (to > point) *this = {to, by};
  }
};

struct Key {
  std::vector<Version> versions = {{}};
  Bound low;  // Of all that returned and is about it.
  // The same without what left it as it was and is not safe yet: to read it then proves nothing of
  // what else that did.
  Bound low_of_reads;
};

class OrderChecker {
 public:
  explicit OrderChecker(const std::vector<Operation>& operations) : operations_(operations) {}

  OrderVerdict Run() {
    points_.resize(operations_.size());
    if (RankCommits() && FoldCommits()) PlaceInTime();
    return std::move(verdict_);
  }

 private:
  bool Fail(const std::string& what, const Operation& operation) {
    verdict_.problem = what + ": " + ToString(operation);
    return false;
  }

  bool RankCommits() {
    for (size_t i = 0; i < operations_.size(); ++i) {
      const Operation& operation = operations_[i];
      if (operation.returned_ns < operation.invoked_ns ||
          operation.safe_ns < operation.returned_ns) {
        return Fail("it returned before it was called", operation);
      }
      if ((operation.outcome == Outcome::kApplied) != (operation.commit != 0)) {
        return Fail("a commit without a number, or the reverse", operation);
      }
      if (operation.commit != 0) commits_.push_back(i);
    }
    std::sort(commits_.begin(), commits_.end(),
              [&](size_t a, size_t b) { return operations_[a].commit < operations_[b].commit; });
    for (size_t rank = 0; rank < commits_.size(); ++rank) points_[commits_[rank]] = 2 * rank + 2;
    verdict_.commits = commits_.size();
    verdict_.reads = operations_.size() - commits_.size();
    return true;
  }

  // The state after each commit, and what each commit says of the one before it.
  bool FoldCommits() {
    uint64_t end = 0;  // Behind the numbers used so far.
    for (const size_t at : commits_) {
      const Operation& operation = operations_[at];
      if (operation.commit < end) return Fail("its number is used twice", operation);
      end = operation.commit;
      for (const Access& access : operation.accesses) {
        std::vector<Version>& versions = At(access.key).versions;
        const Content before = versions.back().content;
        if (std::string problem = JudgeAccess(operation, access, before); !problem.empty()) {
          return Fail(problem, operation);
        }
        if (access.sequence == 0) continue;
        if (access.sequence != end++) return Fail("its numbers leave a hole", operation);
        versions.back().last = points_[at] - 1;
        versions.push_back({access.Result(before), points_[at] + 1, kForEver});
      }
      if (end == operation.commit) return Fail("it was applied and changed nothing", operation);
    }
    for (const auto& [number, key] : keys_) {
      for (size_t i = 0; i < key.versions.size(); ++i) {
        by_content_[{number, key.versions[i].content}].push_back(i);
      }
    }
    return true;
  }

  // Calls, returns and answers that are safe, in the order in which they happened. Of one moment:
  // calls first, so that nothing is taken to be before the other.
  void PlaceInTime() {
    enum class Kind { kCalled, kReturned, kSafe };
    struct Event {
      int64_t time_ns;
      Kind kind;
      size_t operation;
    };
    std::vector<Event> events;
    events.reserve(3 * operations_.size());
    for (size_t i = 0; i < operations_.size(); ++i) {
      events.push_back({operations_[i].invoked_ns, Kind::kCalled, i});
      events.push_back({operations_[i].returned_ns, Kind::kReturned, i});
      events.push_back({operations_[i].safe_ns, Kind::kSafe, i});
    }
    std::sort(events.begin(), events.end(), [](const Event& a, const Event& b) {
      return a.time_ns != b.time_ns ? a.time_ns < b.time_ns : a.kind < b.kind;
    });
    for (const Event& event : events) {
      const Operation& operation = operations_[event.operation];
      const Point point = points_[event.operation];
      if (event.kind == Kind::kCalled && !Place(event.operation)) return;
      if (event.kind == Kind::kReturned) {
        if (point > called_ + 1) {
          Fail("it saw what was written only after it returned", operation);
          return;
        }
        const bool safe = operation.commit == 0 || operation.safe_ns == operation.returned_ns;
        for (const Access& access : operation.accesses) {
          Key& key = At(access.key);
          key.low.Raise(point, event.operation);
          if (safe || access.sequence != 0) key.low_of_reads.Raise(point, event.operation);
        }
      }
      if (event.kind == Kind::kSafe) low_.Raise(point, event.operation);
    }
  }

  bool Place(size_t at) {
    const Operation& operation = operations_[at];
    Bound low = low_;
    for (const Access& access : operation.accesses) {
      const Key& key = At(access.key);
      const Bound& of_key = operation.commit == 0 ? key.low_of_reads : key.low;
      if (of_key.point > low.point) low = of_key;
    }
    if (operation.commit == 0) return PlaceRead(operation, low, points_[at]);
    called_ = std::max(called_, points_[at]);
    return points_[at] >= low.point ||
           Fail("it was called after something was done that lies behind it" + Before(low),
                operation);
  }

  // The first point at or after `low` at which all that the operation saw stands.
  bool PlaceRead(const Operation& operation, const Bound& low, Point& point) {
    point = low.point | 1;
    bool moved = true;
    while (moved) {
      moved = false;
      for (const Access& access : operation.accesses) {
        const auto content = ContentBefore(operation, access);
        if (!content) continue;
        const auto next = NextStanding(access.key, *content, point);
        if (!next) return FailRead(access.key, *content, point, low, operation);
        moved = moved || *next != point;
        point = *next;
      }
    }
    return JudgeRead(operation);
  }

  // What was over before an operation was called, and says where it lies.
  std::string Before(const Bound& low) const {
    return low.operation ? "\n  what was over before: " + ToString(operations_[*low.operation])
                         : "";
  }

  bool FailRead(uint32_t key, Content content, Point from, const Bound& low,
                const Operation& operation) {
    const auto found = by_content_.find({key, content});
    if (found == by_content_.end()) {
      return Fail("nobody ever left what it saw of key " + std::to_string(key), operation);
    }
    const Version& last = keys_.at(key).versions[found->second.back()];
    const auto at = [&](Point point) {
      return point < 2 || point > 2 * commits_.size()
                 ? std::string("none")
                 : ToString(operations_[commits_[(point - 2) / 2]]);
    };
    return Fail("what it saw of key " + std::to_string(key) + " was gone before it was called" +
                    "\n  written by " + at(last.first - 1) + "\n  replaced by " +
                    at(last.last + 1) + "\n  what lies before the call: " + at(from - 1) +
                    Before(low) + "\n  the reader",
                operation);
  }

  bool JudgeRead(const Operation& operation) {
    bool all_hold = true;
    for (const Access& access : operation.accesses) {
      const auto content = ContentBefore(operation, access);
      if (!content) {
        if (access.guard.kind != Guard::Kind::kNone) {
          return Fail("it does not say what its condition saw", operation);
        }
        if (operation.outcome == Outcome::kUnchanged || operation.outcome == Outcome::kRead) {
          return Fail("it does not say what it saw", operation);
        }
        continue;
      }
      all_hold = all_hold && access.guard.Holds(*content);
      if (std::string problem = JudgeAccess(operation, access, *content); !problem.empty()) {
        return Fail(problem, operation);
      }
    }
    if (operation.outcome == Outcome::kRejected && all_hold) {
      return Fail("it was rejected, and every condition held", operation);
    }
    return true;
  }

  std::optional<Point> NextStanding(uint32_t key, Content content, Point from) {
    const std::vector<Version>& versions = At(key).versions;
    const auto found = by_content_.find({key, content});
    if (found == by_content_.end()) {
      if (content != kAbsent || versions.size() > 1) return std::nullopt;
      return from;  // Never written.
    }
    // The first version with this content that does not end before.
    const auto at = std::partition_point(found->second.begin(), found->second.end(),
                                         [&](size_t i) { return versions[i].last < from; });
    if (at == found->second.end()) return std::nullopt;
    return std::max(from, versions[*at].first);
  }

  Key& At(uint32_t key) { return keys_[key]; }

  const std::vector<Operation>& operations_;
  OrderVerdict verdict_;
  std::vector<size_t> commits_;  // By number.
  std::vector<Point> points_;    // Of the operations.
  Point called_ = 1;             // The highest of a commit that was called.
  Bound low_;                    // Of all that is safe.
  absl::flat_hash_map<uint32_t, Key> keys_;
  absl::flat_hash_map<std::pair<uint32_t, Content>, std::vector<size_t>> by_content_;
};

}  // namespace

OrderVerdict CheckOrder(const std::vector<Operation>& operations) {
  return OrderChecker(operations).Run();
}

}  // namespace tailrace::test
