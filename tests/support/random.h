// Numbers drawn from a seed: wal/random.h, under the name that tests know it by.
#pragma once

#include "wal/random.h"

namespace tailrace::test {

using tailrace::MixSeed;
using tailrace::Random;

}  // namespace tailrace::test
