#include "tools/crashtest/victim.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "wal/check.h"

namespace tailrace::crashtest {
namespace {

using std::chrono::microseconds;
using SteadyTime = std::chrono::steady_clock::time_point;

constexpr int kPipeBytes = 1 << 20;
// No process that makes progress is silent, or lives, for so long.
constexpr auto kSilenceMax = std::chrono::seconds(180);
// A pause point that the traffic does not come to in this time is given up.
constexpr auto kPauseMax = std::chrono::milliseconds(1500);

struct Pipe {
  Pipe() {
    int ends[2];
    TAILRACE_CHECK(::pipe2(ends, O_CLOEXEC) == 0, "a pipe can be made");
    read_end = ends[0];
    write_end = ends[1];
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    Close(read_end);
    Close(write_end);
  }
  static void Close(int& descriptor) {
    if (descriptor >= 0) ::close(descriptor);
    descriptor = -1;
  }
  int read_end = -1;
  int write_end = -1;
};

class Victim {
 public:
  Victim(const std::vector<std::string>& program, const LifePlan& plan) : began_(Now()) {
    // More than the default, so that the process seldom waits for us; as much as may be.
    (void)::fcntl(events_.write_end, F_SETPIPE_SZ, kPipeBytes);
    std::vector<char*> words;
    for (const std::string& word : program) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    pid_ = ::fork();
    TAILRACE_CHECK(pid_ >= 0, "a process can be made");
    if (pid_ == 0) Become(words.data());
    Pipe::Close(orders_.read_end);
    Pipe::Close(events_.write_end);
    const ssize_t written = ::write(orders_.write_end, &plan, sizeof plan);
    TAILRACE_CHECK(written == sizeof plan, "the plan fits into the pipe");
  }
  Victim(const Victim&) = delete;
  Victim& operator=(const Victim&) = delete;

  VictimReport Run(const LifeAim& aim, const std::function<void()>& cut_power);

 private:
  static SteadyTime Now() { return std::chrono::steady_clock::now(); }

  [[noreturn]] void Become(char* const* words) const;
  bool Listen(SteadyTime until);
  uint64_t TrafficEvents() const;
  bool Traffic() const { return traffic_begin_ < report_.events.size(); }
  void Reap();

  Pipe orders_;
  Pipe events_;
  const SteadyTime began_;
  pid_t pid_ = -1;
  std::string unread_;
  size_t traffic_begin_ = SIZE_MAX;
  VictimReport report_;
};

void Victim::Become(char* const* words) const {
  if (::dup2(orders_.read_end, kPlanDescriptor) >= 0 &&
      ::dup2(events_.write_end, kEventDescriptor) >= 0) {
    ::execv(words[0], words);
  }
  ::_exit(127);
}

// Takes what the process tells, for one turn, waiting at most until the given time. False once it
// is dead.
bool Victim::Listen(SteadyTime until) {
  const auto left =
      std::max(microseconds(0), std::chrono::duration_cast<microseconds>(until - Now()));
  const timespec timeout{left.count() / 1'000'000, left.count() % 1'000'000 * 1000};
  pollfd waiting{.fd = events_.read_end, .events = POLLIN, .revents = 0};
  const int ready = ::ppoll(&waiting, 1, &timeout, nullptr);
  if (ready <= 0) return true;
  char bytes[1 << 16];
  const ssize_t got = ::read(events_.read_end, bytes, sizeof bytes);
  if (got == 0) return false;
  if (got < 0) return errno == EINTR;
  unread_.append(bytes, static_cast<size_t>(got));
  size_t at = 0;
  for (; at + sizeof(Event) <= unread_.size(); at += sizeof(Event)) {
    Event event;
    std::memcpy(&event, unread_.data() + at, sizeof event);
    if (event.kind == EventKind::kTrafficBegin) traffic_begin_ = report_.events.size();
    if (report_.events.empty()) {
      report_.open_us =
          static_cast<uint64_t>(std::chrono::duration_cast<microseconds>(Now() - began_).count());
    }
    report_.events.push_back(event);
  }
  unread_.erase(0, at);
  return true;
}

uint64_t Victim::TrafficEvents() const {
  return Traffic() ? report_.events.size() - traffic_begin_ : 0;
}

VictimReport Victim::Run(const LifeAim& aim, const std::function<void()>& cut_power) {
  using Kind = LifeAim::Kind;
  SteadyTime deadline = began_ + kSilenceMax;
  if (aim.kind == Kind::kAfterTime) deadline = began_ + microseconds(aim.delay_us);
  bool stopping = false;
  bool alive = true;
  while (alive && Now() < deadline) {
    alive = Listen(deadline);
    if (aim.kind == Kind::kAfterTime || stopping || !Traffic()) continue;
    if (aim.kind == Kind::kAtPause) {
      stopping = true;
      deadline = Now() + kPauseMax;
    } else if (TrafficEvents() >= aim.events) {
      if (aim.kind == Kind::kAfterEvents) break;
      stopping = true;
      if (aim.kind == Kind::kStopAndKill) deadline = Now() + microseconds(aim.delay_us);
      const ssize_t written = ::write(orders_.write_end, "s", 1);
      TAILRACE_CHECK(written == 1 || errno == EPIPE, "the process can be told to stop");
    }
  }
  if (alive && Now() >= began_ + kSilenceMax) {
    report_.problem = "the process did not come to its end in time; it hangs";
  }
  // First this, and no waiting: none of its threads learns anything any more, while calls that they
  // have under way go on within the kernel. File systems let a sync that is under way end well
  // while they are shut down; nobody may hear of that.
  ::kill(pid_, SIGKILL);
  if (cut_power) cut_power();
  while (Listen(Now() + kSilenceMax)) continue;
  Reap();
  return std::move(report_);
}

void Victim::Reap() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
  report_.killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  if (!unread_.empty()) report_.problem = "the process told half an event";
  if (report_.killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) return;
  report_.problem = WIFSIGNALED(status)
                        ? "the process died of signal " + std::to_string(WTERMSIG(status))
                        : "the process ended with " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

VictimReport RunVictim(const std::vector<std::string>& program, const LifePlan& plan,
                       const LifeAim& aim, const std::function<void()>& cut_power) {
  return Victim(program, plan).Run(aim, cut_power);
}

}  // namespace tailrace::crashtest
