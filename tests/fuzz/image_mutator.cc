// The custom mutator of directory images, apart so that only fuzzers need libFuzzer.
#include <cstring>

#include "tests/fuzz/directory_image.h"
#include "wal/random.h"

namespace tailrace::fuzz {

size_t MutateImage(uint8_t* data, size_t size, size_t max_size, unsigned int seed, bool chained) {
  size = LLVMFuzzerMutate(data, size, max_size);
  Random random(seed);
  if (random.OneIn(4)) return size;
  DirectoryImage image = DirectoryImage::Decode(FuzzInput(data, size));
  const bool with_chains = chained && !random.OneIn(3);
  for (ImageFile& file : image.files) {
    if (file.base == 0) {
      ResealShardHeader(file.bytes);
    } else {
      ResealSegment(file.bytes, with_chains);
    }
  }
  const std::string bytes = image.Encode();
  if (bytes.size() > max_size) return size;
  std::memcpy(data, bytes.data(), bytes.size());
  return bytes.size();
}

}  // namespace tailrace::fuzz
