#include "engine/fork_guard.h"

#include <pthread.h>

#include <atomic>
#include <string>

#include "wal/mutants.h"

namespace tailrace::engine {
namespace {

// How many forks lie between the first process and this one. Only a child's only thread writes it.
std::atomic<uint64_t> forks{0};

// Whether a store was opened here, and whether in a process that this one is a fork of.
std::atomic<bool> had_store{false};
std::atomic<bool> parent_had_store{false};

void CountFork() {
  forks.fetch_add(1, std::memory_order_relaxed);
  if (had_store.load(std::memory_order_relaxed)) parent_had_store = true;
}

// Has every fork counted from the first call on.
uint64_t CountedForks() {
  static const int registered = ::pthread_atfork(nullptr, nullptr, CountFork);
  TAILRACE_CHECK(registered == 0, "there is memory for one more fork handler");
  return forks.load(std::memory_order_relaxed);
}

}  // namespace

ForkGuard::ForkGuard() : forks_before_(CountedForks()) {}

bool ForkGuard::InChild() const { return forks.load(std::memory_order_relaxed) != forks_before_; }

Status ForkGuard::Check(std::string_view what) const {
  if (!InChild() || TAILRACE_MUTANT("forked-child-writes")) return Status::Ok();
  return FailedPrecondition("this process is a fork of the one that opened the " +
                            std::string(what) + ", and the " + std::string(what) +
                            " stays there; open it after the fork, in the process that uses it");
}

Status ForkGuard::AdmitStore() {
  if (parent_had_store.load(std::memory_order_relaxed)) {
    return FailedPrecondition(
        "this process is a fork of one that had a store open, whose threads it lacks; fork before "
        "the first store is opened, or run a program (exec) in the child");
  }
  (void)CountedForks();
  had_store.store(true, std::memory_order_relaxed);
  return Status::Ok();
}

}  // namespace tailrace::engine
