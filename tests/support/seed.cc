#include "tests/support/seed.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

namespace tailrace::test {
namespace {

// Prints the line after each failed test.
class RerunPrinter final : public ::testing::EmptyTestEventListener {
 public:
  explicit RerunPrinter(uint64_t seed) : seed_(seed) {}

  void OnTestEnd(const ::testing::TestInfo& test) override {
    if (!test.result()->Failed()) return;
    std::printf("rerun: TAILRACE_SEED=%llu %s --gtest_filter='%s.%s'\n",
                static_cast<unsigned long long>(seed_), program_invocation_name,
                test.test_suite_name(), test.name());
    std::fflush(stdout);
  }

 private:
  const uint64_t seed_;
};

uint64_t DrawSeed() {
  if (const char* text = std::getenv("TAILRACE_SEED"); text != nullptr && *text != '\0') {
    char* end = nullptr;
    const uint64_t seed = std::strtoull(text, &end, 10);
    if (*end == '\0') return seed;
    std::fprintf(stderr, "TAILRACE_SEED is not a decimal number: %s\n", text);
    std::exit(2);
  }
  std::random_device device;
  return device();
}

}  // namespace

uint64_t TestSeed() {
  static const uint64_t seed = [] {
    const uint64_t drawn = DrawSeed();
    ::testing::UnitTest::GetInstance()->listeners().Append(new RerunPrinter(drawn));
    return drawn;
  }();
  return seed;
}

}  // namespace tailrace::test
