#include "engine/commit_gate.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace tailrace::engine {
namespace {

TEST(CommitGateTest, NobodyPassesWhileItIsHeldExclusively) {
  constexpr int kPassers = 3;
  constexpr int kHolds = 2000;
  CommitGate gate;
  std::atomic<int> passing{0};
  std::atomic<bool> done{false};
  std::vector<std::thread> passers;
  for (int i = 0; i < kPassers; ++i) {
    passers.emplace_back([&] {
      while (!done) {
        const GateShared shared(gate);
        ++passing;
        std::this_thread::yield();
        --passing;
      }
    });
  }
  int met = 0;
  for (int hold = 0; hold < kHolds; ++hold) {
    const GateExclusive exclusive(gate);
    met += passing;
  }
  done = true;
  for (std::thread& passer : passers) passer.join();
  EXPECT_EQ(met, 0);
}

}  // namespace
}  // namespace tailrace::engine
