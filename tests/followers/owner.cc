#include "tests/followers/owner.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "tests/support/test_paths.h"

extern char** environ;

namespace tailrace::test {

Owner::Owner(const std::string& directory, const std::string& mode, uint64_t wall_ms) {
  int orders[2];
  int answers[2];
  EXPECT_EQ(::pipe2(orders, O_CLOEXEC), 0);
  EXPECT_EQ(::pipe2(answers, O_CLOEXEC), 0);
  std::string words[] = {BinaryPath("bin/follower_owner"), directory, mode,
                         std::to_string(wall_ms)};
  char* argv[] = {words[0].data(), words[1].data(), words[2].data(), words[3].data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, orders[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, answers[1], STDOUT_FILENO);
  EXPECT_EQ(::posix_spawn(&pid_, argv[0], &actions, nullptr, argv, environ), 0) << argv[0];
  posix_spawn_file_actions_destroy(&actions);
  ::close(orders[0]);
  ::close(answers[1]);
  in_ = orders[1];
  out_ = answers[0];
  EXPECT_EQ(ReadLine().substr(0, 2), "ok");
}

Owner::~Owner() {
  Kill();
  ::close(in_);
  ::close(out_);
}

std::string Owner::ReadLine() {
  std::string line;
  for (char c = '\0'; ::read(out_, &c, 1) == 1 && c != '\n';) line.push_back(c);
  return line;
}

uint64_t Owner::Order(const std::string& order) {
  const std::string line = order + "\n";
  EXPECT_EQ(::write(in_, line.data(), line.size()), static_cast<ssize_t>(line.size()));
  const std::string answer = ReadLine();
  EXPECT_EQ(answer.substr(0, 3), "ok ") << order << ": " << answer;
  return answer.size() > 3 ? std::stoull(answer.substr(3)) : 0;
}

void Owner::Wait() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

void Owner::Kill() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  Wait();
}

void Owner::Close() {
  const std::string line = "close\n";
  EXPECT_EQ(::write(in_, line.data(), line.size()), static_cast<ssize_t>(line.size()));
  EXPECT_EQ(ReadLine(), "ok");
  Wait();
}

}  // namespace tailrace::test
