// Threads that say who they are, to debuggers, profilers and `top -H`.
#pragma once

#include <pthread.h>

#include <thread>
#include <utility>

namespace tailrace {

// Starts a thread of this name, of at most 15 bytes.
template <typename Run>
std::thread NamedThread(const char* name, Run run) {
  return std::thread([name, run = std::move(run)] {
    // It is only a name: what refuses it does no harm.
    (void)pthread_setname_np(pthread_self(), name);
    run();
  });
}

}  // namespace tailrace
