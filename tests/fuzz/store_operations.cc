// A whole store on a simulated disk against its model: the input is the choices that the model's
// random run would have drawn, power cuts, clock steps and trims among them.
#include <gtest/gtest.h>

#include "tests/engine/store_model.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace test = tailrace::test;
  ::testing::GTEST_FLAG(break_on_failure) = true;  // A difference ends the process.
  tailrace::fuzz::FuzzInput input(data, size);
  const auto durability =
      input.TakeBool() ? tailrace::Durability::kBuffered : tailrace::Durability::kSync;
  test::RunStoreModel(durability, test::Random(input.rest()),
                      {.rounds = 4, .operations_per_round = 60});
  return 0;
}
