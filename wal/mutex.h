// Mutexes that clang's thread-safety analysis understands (std::mutex on libstdc++ it does not).
//
// Built with clang and -Wthread-safety, reading a member marked TAILRACE_GUARDED_BY without its
// lock does not compile. Elsewhere the annotations are empty. The order in which locks may be taken
// is written once, in docs/architecture.md.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <shared_mutex>

#if defined(__clang__)
#define TAILRACE_ANNOTATION(x) __attribute__((x))
#else
#define TAILRACE_ANNOTATION(x)
#endif

#define TAILRACE_GUARDED_BY(mutex) TAILRACE_ANNOTATION(guarded_by(mutex))
#define TAILRACE_PT_GUARDED_BY(mutex) TAILRACE_ANNOTATION(pt_guarded_by(mutex))
#define TAILRACE_REQUIRES(...) TAILRACE_ANNOTATION(requires_capability(__VA_ARGS__))
#define TAILRACE_REQUIRES_SHARED(...) TAILRACE_ANNOTATION(requires_shared_capability(__VA_ARGS__))
#define TAILRACE_EXCLUDES(...) TAILRACE_ANNOTATION(locks_excluded(__VA_ARGS__))
#define TAILRACE_ACQUIRE(...) TAILRACE_ANNOTATION(acquire_capability(__VA_ARGS__))
#define TAILRACE_ACQUIRE_SHARED(...) TAILRACE_ANNOTATION(acquire_shared_capability(__VA_ARGS__))
#define TAILRACE_RELEASE(...) TAILRACE_ANNOTATION(release_capability(__VA_ARGS__))
#define TAILRACE_RELEASE_GENERIC(...) TAILRACE_ANNOTATION(release_generic_capability(__VA_ARGS__))
#define TAILRACE_NO_THREAD_SAFETY_ANALYSIS TAILRACE_ANNOTATION(no_thread_safety_analysis)

namespace tailrace {

class TAILRACE_ANNOTATION(capability("mutex")) Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() TAILRACE_ACQUIRE() { mutex_.lock(); }
  void Unlock() TAILRACE_RELEASE() { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class TAILRACE_ANNOTATION(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) TAILRACE_ACQUIRE(mutex) : mutex_(mutex) { mutex_.Lock(); }
  ~MutexLock() TAILRACE_RELEASE() { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// A condition variable for Mutex. Wait in a loop that tests the condition: wake-ups may be
// spurious.
class CondVar {
 public:
  void Wait(Mutex& mutex) TAILRACE_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }

  // Waits at most `timeout_us` microseconds. False when the time ran out.
  bool WaitFor(Mutex& mutex, uint64_t timeout_us) TAILRACE_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const auto woken = condition_.wait_for(lock, std::chrono::microseconds(timeout_us));
    lock.release();
    return woken == std::cv_status::no_timeout;
  }

  void NotifyOne() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

class TAILRACE_ANNOTATION(capability("mutex")) SharedMutex {
 public:
  SharedMutex() = default;
  SharedMutex(const SharedMutex&) = delete;
  SharedMutex& operator=(const SharedMutex&) = delete;

  void Lock() TAILRACE_ACQUIRE() { mutex_.lock(); }
  void Unlock() TAILRACE_RELEASE() { mutex_.unlock(); }
  void LockShared() TAILRACE_ACQUIRE_SHARED() { mutex_.lock_shared(); }
  void UnlockShared() TAILRACE_ANNOTATION(release_shared_capability()) { mutex_.unlock_shared(); }

 private:
  std::shared_mutex mutex_;
};

class TAILRACE_ANNOTATION(scoped_lockable) WriterLock {
 public:
  explicit WriterLock(SharedMutex& mutex) TAILRACE_ACQUIRE(mutex) : mutex_(mutex) { mutex_.Lock(); }
  ~WriterLock() TAILRACE_RELEASE() { mutex_.Unlock(); }
  WriterLock(const WriterLock&) = delete;
  WriterLock& operator=(const WriterLock&) = delete;

 private:
  SharedMutex& mutex_;
};

class TAILRACE_ANNOTATION(scoped_lockable) ReaderLock {
 public:
  explicit ReaderLock(SharedMutex& mutex) TAILRACE_ACQUIRE_SHARED(mutex) : mutex_(mutex) {
    mutex_.LockShared();
  }
  ~ReaderLock() TAILRACE_RELEASE_GENERIC() { mutex_.UnlockShared(); }
  ReaderLock(const ReaderLock&) = delete;
  ReaderLock& operator=(const ReaderLock&) = delete;

 private:
  SharedMutex& mutex_;
};

}  // namespace tailrace
