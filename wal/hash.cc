#include "wal/hash.h"

#include <xxhash.h>
#ifdef __x86_64__
#include <xxh_x86dispatch.h>  // The same functions under the same names, as fast as this processor.
#endif

#include <new>

namespace tailrace {

uint64_t Hash64(ByteView bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

struct Hasher64::State {
  State() : xxh3(XXH3_createState()) {
    if (xxh3 == nullptr) throw std::bad_alloc();
    XXH3_64bits_reset(xxh3);
  }
  ~State() { XXH3_freeState(xxh3); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  XXH3_state_t* const xxh3;
};

Hasher64::Hasher64() : state_(std::make_unique<State>()) {}
Hasher64::~Hasher64() = default;

void Hasher64::Add(ByteView bytes) { XXH3_64bits_update(state_->xxh3, bytes.data(), bytes.size()); }

uint64_t Hasher64::Get() const { return XXH3_64bits_digest(state_->xxh3); }

}  // namespace tailrace
