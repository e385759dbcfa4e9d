// Other programs: run with their output in a pipe or a file, waited for, killed.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "wal/status.h"

namespace tailrace::tools {

// A running program whose standard output can be read line by line. Killed and waited for when
// destroyed.
class Process {
 public:
  // Starts the program argv[0] (a path, or found in PATH) with standard input empty. kIoError: it
  // cannot be started.
  static Result<Process> Start(const std::vector<std::string>& argv);

  Process(Process&& other) noexcept;
  Process& operator=(Process&&) = delete;
  ~Process();

  // The next line of its output without its end; absent once there is no more.
  std::optional<std::string> ReadLine();

  // All the rest of its output.
  std::string ReadAll();

  // SIGKILL: it ends at once, wherever it is.
  void Kill();

  // Waits for its end. Its exit code, or minus the number of the signal that ended it.
  int Wait();

 private:
  Process(pid_t pid, int fd) : pid_(pid), fd_(fd) {}

  pid_t pid_ = -1;  // -1: waited for.
  int fd_ = -1;
  int result_ = 0;
  std::string buffer_;
  bool at_end_ = false;

  bool Fill();
};

// The path of this very program.
std::string OwnProgram();

}  // namespace tailrace::tools
