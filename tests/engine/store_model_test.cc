// The store against its model: a run with many openings, and a million operations.
#include "tests/engine/store_model.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "tests/engine/store_fixture.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

namespace tailrace::test {
namespace {

class StoreModelTest : public ::testing::TestWithParam<Durability> {
 protected:
  static Random RandomOf(uint64_t seed) {
    return Random(MixSeed(seed, static_cast<uint64_t>(GetParam())));
  }
};

INSTANTIATE_TEST_SUITE_P(Durabilities, StoreModelTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

TEST_P(StoreModelTest, RandomOperationsMatchTheModel) {
  RunStoreModel(GetParam(), RandomOf(TestSeed()), {.rounds = 60, .operations_per_round = 150});
}

// Stores by the hundred, whose rounds are longer, so that most of the time goes into operations.
TEST_P(StoreModelTest, ManyRandomOperationsMatchTheModel) {
  const uint64_t wanted = ByScale(10'000, 510'000, 25'000'000);
  uint64_t operations = 0;
  uint64_t stores = 0;
  while (operations < wanted && !HasFailure()) {
    operations += RunStoreModel(GetParam(), RandomOf(MixSeed(TestSeed(), ++stores)),
                                {.rounds = 6, .operations_per_round = 2000, .event_every = 8});
  }
  std::printf("figure: store model, %s: %llu random operations in %llu stores match\n",
              GetParam() == Durability::kSync ? "sync" : "buffered",
              static_cast<unsigned long long>(operations), static_cast<unsigned long long>(stores));
}

}  // namespace
}  // namespace tailrace::test
