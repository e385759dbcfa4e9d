#include "engine/fork_guard.h"

#include <pthread.h>

#include <atomic>

namespace tailrace::engine {
namespace {

// How many forks lie between the first process and this one. Only a child's only thread writes it.
std::atomic<uint64_t> forks{0};

void CountFork() { forks.fetch_add(1, std::memory_order_relaxed); }

// Has every fork counted from the first call on.
uint64_t CountedForks() {
  static const int registered = ::pthread_atfork(nullptr, nullptr, CountFork);
  TAILRACE_CHECK(registered == 0, "there is memory for one more fork handler");
  return forks.load(std::memory_order_relaxed);
}

}  // namespace

ForkGuard::ForkGuard() : forks_before_(CountedForks()) {}

bool ForkGuard::InChild() const { return forks.load(std::memory_order_relaxed) != forks_before_; }

Status ForkGuard::Check() const {
  if (!InChild()) return Status::Ok();
  return FailedPrecondition(
      "this process is a fork of the one that opened the store, and the store stays there; open it "
      "after the fork, in the process that uses it");
}

Status ForkGuard::CheckNewStore() {
  if (forks.load(std::memory_order_relaxed) == 0) return Status::Ok();
  return FailedPrecondition(
      "this process is a fork of one that had a store open, whose threads it lacks; fork before "
      "the "
      "first store is opened, or run a program (exec) in the child");
}

}  // namespace tailrace::engine
