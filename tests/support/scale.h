// How long the long tests are.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace tailrace::test {

// The environment variable TAILRACE_TEST_SCALE: quick, full (if it is absent or anything else), or
// soak, which is for machines that have hours. Under the sanitizers, which are slow, always quick.
enum class TestScale { kQuick, kFull, kSoak };

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif
#else
inline constexpr bool kSanitized = false;
#endif

inline TestScale Scale() {
  if (kSanitized) return TestScale::kQuick;
  const char* text = std::getenv("TAILRACE_TEST_SCALE");
  if (text == nullptr) return TestScale::kFull;
  if (std::string_view(text) == "quick") return TestScale::kQuick;
  return std::string_view(text) == "soak" ? TestScale::kSoak : TestScale::kFull;
}

// One of three numbers.
inline uint64_t ByScale(uint64_t quick, uint64_t full, uint64_t soak) {
  switch (Scale()) {
    case TestScale::kQuick:
      return quick;
    case TestScale::kFull:
      return full;
    case TestScale::kSoak:
      return soak;
  }
  return full;
}

}  // namespace tailrace::test
