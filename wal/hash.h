// XXH3-64, the one hash of the project: checksums, chain hashes and the partition-key hash.
//
// XXH3 finds accidents, not attackers: whoever can write the files can forge it.
#pragma once

#include <cstdint>

#include "wal/types.h"

namespace tailrace {

// XXH3-64 of `bytes` under `seed`. Pure; the same on every machine and in every version, since its
// values are on disk (checksums) and decide where an item lives (partition-key hash).
uint64_t Hash64(ByteView bytes, uint64_t seed = 0);

}  // namespace tailrace
