#include "bench/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "bench/settings.h"
#include "wal/check.h"

namespace tailrace::bench {
namespace {

// In the new process, where only what is safe in a signal handler may be called.
[[noreturn]] void Run(char* const* arguments, int output) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dup2(output, STDOUT_FILENO);
  execvp(arguments[0], arguments);
  _exit(kCommandNotFound);
}

}  // namespace

Child::Child(std::vector<std::string> command) {
  std::vector<char*> arguments;
  for (std::string& argument : command) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  int ends[2];
  TAILRACE_CHECK(pipe2(ends, O_CLOEXEC) == 0, "cannot make a pipe");
  process_ = fork();
  TAILRACE_CHECK(process_ >= 0, "cannot start a child");
  if (process_ == 0) Run(arguments.data(), ends[1]);
  close(ends[1]);
  words_ = ends[0];
}

Child::~Child() {
  if (!status_) {
    kill(process_, SIGKILL);
    Wait();
  }
  close(words_);
}

int Child::Wait() {
  if (!status_) {
    int status = 0;
    TAILRACE_CHECK(waitpid(process_, &status, 0) == process_, "lost a child");
    status_ = status;
  }
  return *status_;
}

std::optional<int> Child::Ended() {
  int status = 0;
  if (!status_ && waitpid(process_, &status, WNOHANG) == process_) status_ = status;
  return status_;
}

uint64_t Child::NextWord() {
  uint64_t word = 0;
  TAILRACE_CHECK(read(words_, &word, sizeof word) == sizeof word, "a child told nothing");
  return word;
}

std::vector<std::string> ThisProgram(const std::vector<std::string>& flags) {
  std::vector<std::string> command{std::filesystem::read_symlink("/proc/self/exe"),
                                   "--dir=" + TheSettings().directory};
  command.insert(command.end(), flags.begin(), flags.end());
  return command;
}

void TellParent(uint64_t word) {
  TAILRACE_CHECK(write(STDOUT_FILENO, &word, sizeof word) == sizeof word, "the parent is gone");
}

}  // namespace tailrace::bench
