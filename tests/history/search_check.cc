#include "tests/history/search_check.h"

#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <utility>

namespace tailrace::test {
namespace {

struct Step {
  const Operation* operation;
  const Access* access;
};

// Which operations are done, and what they left: all before `first`, which is not, and those of
// `beyond`, counted from `first`. That is kept short by the times: nothing that was called after
// `first` returned can be done before it.
struct State {
  size_t first = 0;
  std::vector<bool> beyond = {};  // Its last one is true.
  Content content = kAbsent;

  bool Done(size_t step) const {
    return step < first || (step - first < beyond.size() && beyond[step - first]);
  }

  State After(size_t step, Content left) const {
    State next{first, beyond, left};
    if (next.beyond.size() <= step - first) next.beyond.resize(step - first + 1);
    next.beyond[step - first] = true;
    size_t passed = 0;
    while (passed < next.beyond.size() && next.beyond[passed]) ++passed;
    next.beyond.erase(next.beyond.begin(), next.beyond.begin() + static_cast<long>(passed));
    next.first += passed;
    return next;
  }

  friend bool operator==(const State&, const State&) = default;

  template <typename H>
  friend H AbslHashValue(H hash, const State& state) {
    uint64_t bits = 0;
    for (size_t i = 0; i < state.beyond.size(); ++i) bits = bits * 3 + (state.beyond[i] ? 2 : 1);
    return H::combine(std::move(hash), state.first, bits, state.content);
  }
};

// Whether a step may happen in this content, and what it leaves.
std::optional<Content> TryStep(const Step& step, Content content) {
  const Operation& operation = *step.operation;
  const Access& access = *step.access;
  const auto before = ContentBefore(operation, access);
  if (before && *before != content) return std::nullopt;
  if (!JudgeAccess(operation, access, content).empty()) return std::nullopt;
  if (operation.outcome == Outcome::kRejected && operation.accesses.size() == 1 &&
      access.guard.Holds(content)) {
    return std::nullopt;
  }
  return access.sequence != 0 ? access.Result(content) : content;
}

std::vector<Step> StepsOf(const std::vector<Operation>& operations, uint32_t key) {
  std::vector<Step> steps;
  for (const Operation& operation : operations) {
    for (const Access& access : operation.accesses) {
      if (access.key == key) steps.push_back({&operation, &access});
    }
  }
  std::stable_sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) {
    return a.operation->invoked_ns < b.operation->invoked_ns;
  });
  return steps;
}

// What may happen next: whatever is not done and was called before any other that is not done
// returned. If one of these changes nothing, it alone: every order that has it later also holds
// with it now.
std::vector<State> NextStates(const std::vector<Step>& steps, const State& state) {
  std::vector<State> next;
  int64_t returned_ns = steps[state.first].operation->returned_ns;
  for (size_t i = state.first; i < steps.size() && steps[i].operation->invoked_ns <= returned_ns;
       ++i) {
    if (state.Done(i)) continue;
    returned_ns = std::min(returned_ns, steps[i].operation->returned_ns);
    const auto left = TryStep(steps[i], state.content);
    if (!left) continue;
    if (*left == state.content) return {state.After(i, *left)};
    next.push_back(state.After(i, *left));
  }
  return next;
}

}  // namespace

SearchVerdict SearchOrder(const std::vector<Operation>& operations, uint32_t key,
                          uint64_t states_max) {
  const std::vector<Step> steps = StepsOf(operations, key);
  SearchVerdict verdict{.operations = steps.size()};
  absl::flat_hash_set<State> seen;
  std::vector<State> open{State{}};
  size_t furthest = 0;
  while (!open.empty()) {
    const State state = std::move(open.back());
    open.pop_back();
    if (state.first == steps.size()) {
      verdict.states = seen.size();
      return verdict;
    }
    if (seen.size() > states_max) {
      verdict.kind = SearchVerdict::Kind::kUndecided;
      return verdict;
    }
    furthest = std::max(furthest, state.first);
    for (State& next : NextStates(steps, state)) {
      if (seen.insert(next).second) open.push_back(std::move(next));
    }
  }
  verdict.kind = SearchVerdict::Kind::kNot;
  verdict.states = seen.size();
  verdict.problem =
      "no order of the item's operations gets past: " + ToString(*steps[furthest].operation);
  return verdict;
}

}  // namespace tailrace::test
