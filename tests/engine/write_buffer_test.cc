#include "engine/write_buffer.h"

#include <gtest/gtest.h>

#include <thread>

namespace tailrace::engine {
namespace {

// The journal's memory, in which a generation lies, is given back once DropFrozen has returned.
TEST(WriteBufferTest, AGenerationIsDroppedOnceNobodyReadsIt) {
  constexpr int kRounds = 300;
  for (int round = 0; round < kRounds; ++round) {
    WriteBuffer buffer;
    GenerationView reader = buffer.View();
    const std::weak_ptr<const Generation> frozen = buffer.Freeze();
    std::thread checkpoint([&] {
      buffer.DropFrozen();
      EXPECT_TRUE(frozen.expired());
    });
    while (buffer.View().frozen != nullptr) std::this_thread::yield();
    reader = GenerationView{};
    checkpoint.join();
  }
}

}  // namespace
}  // namespace tailrace::engine
