#include "wal/hash.h"

#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>  // The widest vectors that the machine has; the values are the same.
#else
#include <xxhash.h>
#endif

namespace tailrace {

uint64_t Hash64(ByteView bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

}  // namespace tailrace
