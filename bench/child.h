// Another process that a case needs: this program in another role, or a rival's server.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tailrace::bench {

// One thread: the kernel kills the child when the thread that started it ends, so that nothing is
// left behind by a benchmark that failed.
class Child {
 public:
  // Runs command[0], which is looked for in PATH.
  explicit Child(std::vector<std::string> command);
  // Kills it, should it still run.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // Waits for its end. What waitpid says of it.
  int Wait();
  // The same if it has ended by now.
  std::optional<int> Ended();

  // Waits for the next word that the child tells by TellParent.
  uint64_t NextWord();

 private:
  pid_t process_ = 0;
  int words_ = -1;  // The reading end of a pipe, which is the child's standard output.
  std::optional<int> status_;
};

// How a child ends whose command was not found.
inline constexpr int kCommandNotFound = 127;

// The command that runs this program, with the same --dir and these flags.
std::vector<std::string> ThisProgram(const std::vector<std::string>& flags);

// In a child: hands its parent a word.
void TellParent(uint64_t word);

}  // namespace tailrace::bench
