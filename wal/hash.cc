#include "wal/hash.h"

#include <xxhash.h>

namespace tailrace {

uint64_t Hash64(ByteView bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

}  // namespace tailrace
