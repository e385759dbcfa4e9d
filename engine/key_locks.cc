#include "engine/key_locks.h"

#include <algorithm>
#include <utility>

#include "wal/hash.h"
#include "wal/mutants.h"

namespace tailrace::engine {

// The analysis cannot follow a set of mutexes chosen at run time.
KeyLocks::Held::Held(Mutexes mutexes) TAILRACE_NO_THREAD_SAFETY_ANALYSIS
    : mutexes_(std::move(mutexes)) {
  for (Mutex* mutex : mutexes_) mutex->Lock();
}

KeyLocks::Held::~Held() TAILRACE_NO_THREAD_SAFETY_ANALYSIS {
  for (auto mutex = mutexes_.rbegin(); mutex != mutexes_.rend(); ++mutex) (*mutex)->Unlock();
}

KeyLocks::Held KeyLocks::Lock(std::span<const Key> keys) {
  Held::Mutexes mutexes;
  mutexes.reserve(keys.size());
  for (const Key& key : keys) {
    const uint64_t hash = Hash64(key.storage_key, key.table.value);
    mutexes.push_back(&stripes_[hash % kLockStripes].mutex);
  }
  std::sort(mutexes.begin(), mutexes.end());
  mutexes.erase(std::unique(mutexes.begin(), mutexes.end()), mutexes.end());
  if (TAILRACE_MUTANT("key-locks-not-taken")) mutexes.clear();
  if (TAILRACE_MUTANT("one-key-lock") && mutexes.size() > 1) mutexes.resize(1);
  return Held(std::move(mutexes));
}

}  // namespace tailrace::engine
