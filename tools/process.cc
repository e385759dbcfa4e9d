#include "tools/process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "tools/format.h"

extern char** environ;

namespace tailrace::tools {

Result<Process> Process::Start(const std::vector<std::string>& argv) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return IoError(Cat("pipe: ", std::strerror(errno)));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, words[0], &actions, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  if (error != 0) {
    ::close(ends[0]);
    return IoError(Cat(argv[0], ": ", std::strerror(error)));
  }
  return Process(pid, ends[0]);
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      fd_(std::exchange(other.fd_, -1)),
      result_(other.result_),
      buffer_(std::move(other.buffer_)),
      at_end_(other.at_end_) {}

Process::~Process() {
  if (pid_ > 0) {
    Kill();
    Wait();
  }
  if (fd_ >= 0) ::close(fd_);
}

bool Process::Fill() {
  char bytes[1 << 16];
  ssize_t read_bytes = 0;
  do {
    read_bytes = ::read(fd_, bytes, sizeof bytes);
  } while (read_bytes < 0 && errno == EINTR);
  if (read_bytes <= 0)
    at_end_ = true;
  else
    buffer_.append(bytes, static_cast<size_t>(read_bytes));
  return !at_end_;
}

std::optional<std::string> Process::ReadLine() {
  size_t end = 0;
  while ((end = buffer_.find('\n')) == std::string::npos) {
    if (at_end_ || !Fill()) return std::nullopt;  // A line without its end was cut short.
  }
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end + 1);
  return line;
}

std::string Process::ReadAll() {
  while (!at_end_ && Fill()) {
  }
  return std::exchange(buffer_, {});
}

void Process::Kill() {
  if (pid_ > 0) ::kill(pid_, SIGKILL);
}

int Process::Wait() {
  if (pid_ <= 0) return result_;
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  result_ = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  return result_;
}

std::string OwnProgram() {
  char path[4096];
  const ssize_t bytes = ::readlink("/proc/self/exe", path, sizeof path);
  return bytes > 0 ? std::string(path, static_cast<size_t>(bytes)) : "tailrace";
}

}  // namespace tailrace::tools
