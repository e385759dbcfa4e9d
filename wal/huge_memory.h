// Large memory in huge pages, where the kernel has them: it takes one fault in place of 512 to be
// there, and looks at random places of it miss less often what the processor keeps of page tables.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <memory>
#include <new>

namespace tailrace {

inline constexpr size_t kHugePageBytes = 2 << 20;

struct HugeMemoryDelete {
  void operator()(char* memory) const {
    ::operator delete(memory, std::align_val_t(kHugePageBytes));
  }
};
using HugeMemory = std::unique_ptr<char[], HugeMemoryDelete>;

// As many bytes, not set to anything, from the beginning of a huge page on.
inline HugeMemory NewHugeMemory(size_t bytes) {
  return HugeMemory(static_cast<char*>(::operator new(bytes, std::align_val_t(kHugePageBytes))));
}

// Asks for huge pages, which are there whole once a byte of them is touched. A kernel that has
// none, or does not want to, gives small ones.
inline void UseHugePages(char* memory, size_t bytes) {
  (void)::madvise(memory, bytes, MADV_HUGEPAGE);
}

}  // namespace tailrace
