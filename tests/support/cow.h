// Copy-on-write sharing: the reason why a crash state costs what it changes and not what it holds.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace tailrace::test {

// Base of what Cow shares. A copy starts out unshared.
class Shared {
 public:
  Shared() = default;
  Shared(const Shared&) {}
  Shared& operator=(const Shared&) = delete;

 private:
  template <typename T>
  friend class Cow;
  std::atomic<uint32_t> references_{1};
};

// A reference to a T that others may share: read it freely; Mutable() first makes a private copy
// when there are others. Copying is one atomic addition. One Cow object is used by one thread at a
// time; Cows that share a T may be used by different threads.
template <typename T>
class Cow {
 public:
  Cow() = default;
  template <typename... Args>
  static Cow Make(Args&&... args) {
    Cow made;
    made.object_ = new T(std::forward<Args>(args)...);
    return made;
  }
  Cow(const Cow& other) : object_(other.object_) {
    if (object_ != nullptr) object_->references_.fetch_add(1, std::memory_order_relaxed);
  }
  Cow(Cow&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Cow& operator=(Cow other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Cow() {
    if (object_ != nullptr && object_->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      delete object_;
    }
  }

  explicit operator bool() const { return object_ != nullptr; }
  const T& operator*() const { return *object_; }
  const T* operator->() const { return object_; }
  bool SameAs(const Cow& other) const { return object_ == other.object_; }

  // Must not be empty.
  T& Mutable() {
    if (object_->references_.load(std::memory_order_acquire) != 1) *this = Make(*object_);
    return *object_;
  }

 private:
  T* object_ = nullptr;
};

}  // namespace tailrace::test
