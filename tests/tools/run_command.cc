#include "tests/tools/run_command.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <fstream>
#include <iterator>
#include <sstream>

#include "tests/support/temp_dir.h"
#include "tests/support/test_paths.h"

extern char** environ;

namespace tailrace::test {
namespace {

// Starts the command; `err_fd` becomes its standard error.
pid_t Start(const std::vector<std::string>& words, const std::string& in_path,
            const std::string& out_path, int err_fd) {
  const std::string program = BinaryPath("bin/tailrace");
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, in_path.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, out_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                   0600);
  posix_spawn_file_actions_adddup2(&actions, err_fd, 2);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, program.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  EXPECT_EQ(error, 0) << program;
  return pid;
}

int WaitFor(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

std::vector<nlohmann::json> CommandResult::Json() const {
  std::vector<nlohmann::json> lines;
  std::istringstream stream(out);
  for (std::string line; std::getline(stream, line);) {
    auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    EXPECT_FALSE(json.is_discarded()) << line;
    lines.push_back(std::move(json));
  }
  return lines;
}

CommandResult RunTailrace(const std::vector<std::string>& words, const std::string& input) {
  const TempDir files;
  WriteFile(files.path() + "/in", input);
  const std::string err_path = files.path() + "/err";
  const int err_fd = ::open(err_path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  EXPECT_GE(err_fd, 0);
  const pid_t pid = Start(words, files.path() + "/in", files.path() + "/out", err_fd);
  ::close(err_fd);
  CommandResult result;
  result.exit_code = WaitFor(pid);
  result.out = ReadFile(files.path() + "/out");
  result.err = ReadFile(err_path);
  return result;
}

CommandResult StoreCommand::operator()(std::vector<std::string> words,
                                       const std::string& input) const {
  words.insert(words.begin(), {"--store", store_});
  return RunTailrace(words, input);
}

std::vector<nlohmann::json> StoreCommand::Json(std::vector<std::string> words) const {
  words.insert(words.begin(), "--json");
  const CommandResult result = (*this)(std::move(words));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return result.Json();
}

RunningCommand::RunningCommand(const std::vector<std::string>& words, const std::string& out_path) {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  pid_ = Start(words, "/dev/null", out_path, ends[1]);
  ::close(ends[1]);
  fd_ = ends[0];
}

RunningCommand::~RunningCommand() {
  if (!waited_) {
    Signal(SIGKILL);
    Wait();
  }
  ::close(fd_);
}

std::string RunningCommand::ReadErrorLine() {
  std::string line;
  char c = '\0';
  while (::read(fd_, &c, 1) == 1 && c != '\n') line.push_back(c);
  return line;
}

void RunningCommand::Signal(int signal) { ::kill(pid_, signal); }

int RunningCommand::Wait() {
  waited_ = true;
  return WaitFor(pid_);
}

void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  EXPECT_TRUE(file.good()) << path;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string Gzip(const std::string& bytes) {
  const TempDir files;
  const std::string path = files.path() + "/file.gz";
  gzFile file = gzopen(path.c_str(), "wb");
  EXPECT_EQ(gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size())),
            static_cast<int>(bytes.size()));
  EXPECT_EQ(gzclose(file), Z_OK);
  return ReadFile(path);
}

}  // namespace tailrace::test
