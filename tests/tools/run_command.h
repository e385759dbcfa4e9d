// Runs the real tailrace command, with its output and its exit code.
#pragma once

#include <sys/types.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tailrace::test {

struct CommandResult {
  int exit_code = 0;  // Minus the number of the signal that ended it.
  std::string out;
  std::string err;

  // Every line of `out` as JSON; fails the test where one is not.
  std::vector<nlohmann::json> Json() const;
};

// The words behind "tailrace", and what standard input holds.
CommandResult RunTailrace(const std::vector<std::string>& words, const std::string& input = "");

// The command on one store: `--store DIR` and, if asked for, more words stand before the others.
class StoreCommand {
 public:
  explicit StoreCommand(std::string store) : store_(std::move(store)) {}

  CommandResult operator()(std::vector<std::string> words, const std::string& input = "") const;

  // The same with --json, which must succeed: its lines.
  std::vector<nlohmann::json> Json(std::vector<std::string> words) const;

  const std::string& store() const { return store_; }

 private:
  const std::string store_;
};

// A command that runs beside the test.
class RunningCommand {
 public:
  // Its standard output goes to `out_path`, which may be a named pipe.
  explicit RunningCommand(const std::vector<std::string>& words,
                          const std::string& out_path = "/dev/null");
  RunningCommand(const RunningCommand&) = delete;
  RunningCommand& operator=(const RunningCommand&) = delete;
  ~RunningCommand();  // Kills it if it still runs.

  // The next line of its standard error, without its end; empty at the end.
  std::string ReadErrorLine();

  void Signal(int signal);

  // Waits for its end: its exit code, or minus the signal that ended it.
  int Wait();

  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int fd_ = -1;
  bool waited_ = false;
};

void WriteFile(const std::string& path, const std::string& bytes);
std::string ReadFile(const std::string& path);

// The bytes as a gzip file.
std::string Gzip(const std::string& bytes);

}  // namespace tailrace::test
