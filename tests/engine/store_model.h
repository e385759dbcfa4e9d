// Random operations against a plain in-memory model, on a simulated disk: reopening, killed
// processes, power cuts and clock steps in between; then state = model and fold(stream) = table.
//
// One thread, so the model knows exactly what the store must hold. A power cut takes nothing back
// in kSync.
#pragma once

#include <cstdint>

#include "engine/store.h"
#include "tests/support/random.h"

namespace tailrace::test {

// How a run of the model goes.
struct ModelShape {
  int rounds = 0;  // Each ends with a look at everything, a new opening, and another look.
  int operations_per_round = 0;
  uint64_t event_every = 1;  // Of the checkpoints, clock steps and the like that are drawn, one in
                             // so many happens; a write takes the place of the others.
};

// Runs a store of its own, and returns how many operations there were. Differences are failures of
// the test. A source of choices that is exhausted ends the run after its round.
uint64_t RunStoreModel(Durability durability, const Random& random, const ModelShape& shape);

}  // namespace tailrace::test
