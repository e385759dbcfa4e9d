// XXH3-64, the one hash of the project: checksums, chain hashes and the partition-key hash.
//
// XXH3 finds accidents, not attackers: whoever can write the files can forge it.
#pragma once

#include <cstdint>
#include <memory>

#include "wal/types.h"

namespace tailrace {

// XXH3-64 of `bytes` under `seed`. Pure; the same on every machine and in every version, since its
// values are on disk (checksums) and decide where an item lives (partition-key hash).
uint64_t Hash64(ByteView bytes, uint64_t seed = 0);

// Hash64 (seed 0) of bytes that come piece by piece. One thread at a time.
class Hasher64 {
 public:
  Hasher64();
  ~Hasher64();
  Hasher64(const Hasher64&) = delete;
  Hasher64& operator=(const Hasher64&) = delete;

  void Add(ByteView bytes);

  // Of all that was added so far.
  uint64_t Get() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tailrace
