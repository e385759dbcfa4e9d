// Tier C: real power cuts of the whole store. A process writes to a store on a file system of the
// kernel's in many ways at once (tools/crashtest), the power of the disk is cut under it
// (loop_disk.h), the disk comes back, and the next process tells what is there; the oracle, which
// heard of every acknowledgement, judges it. One life in four is ended by SIGKILL alone, so that
// what a recovery leaves is cut off in turn.
//
//   tier_c --fs ext4|xfs [--cuts N] [--lanes N] [--seed S]
//
// Prints cuts, acknowledged writes checked, what was rightly taken back, and the seed. Exits 1 at
// the first broken promise, and leaves the store behind; 77, which is "skipped", where there can be
// no such disks.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/crash/crash_figures.h"
#include "tests/crash/loop_disk.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_paths.h"
#include "wal/mutex.h"

namespace tailrace::test {
namespace {

using crashtest::Counts;
using crashtest::Lineage;

constexpr int kSkipped = 77;
constexpr uint32_t kCutsPerStore = 18;
// Of so many cuts some must have taken something back that a kBuffered store had not synced; else
// they cut nothing.
constexpr uint64_t kCutsThatMustTell = 100;

struct Arguments {
  std::string fs;
  uint64_t cuts = 400;
  uint64_t lanes = 0;
  uint64_t seed = 0;
};

volatile sig_atomic_t interrupted = 0;

class TierC {
 public:
  explicit TierC(const Arguments& arguments) : arguments_(arguments) {}

  // Returns the exit code.
  int Run();

 private:
  void RunLane(uint64_t lane);
  bool RunStore(uint64_t lane, uint64_t number);
  bool More() const { return !stopped_.load() && interrupted == 0 && cuts_ < arguments_.cuts; }
  void Stop(const Status& why);
  void Describe(const Lineage& lineage, const std::string& store, uint64_t lane);
  int Report(double seconds);

  const Arguments& arguments_;
  const TempDir directory_;
  std::atomic<uint64_t> cuts_{0};
  std::atomic<uint64_t> kills_{0};
  std::atomic<uint64_t> stores_{0};
  std::atomic<bool> stopped_{false};
  Mutex mutex_;
  Status problem_ TAILRACE_GUARDED_BY(mutex_);
  Counts total_ TAILRACE_GUARDED_BY(mutex_);
};

void TierC::Stop(const Status& why) {
  const MutexLock lock(mutex_);
  if (problem_.ok()) problem_ = why;
  stopped_.store(true);
}

// Before the disk is gone with the store on it.
void TierC::Describe(const Lineage& lineage, const std::string& store, uint64_t lane) {
  const MutexLock lock(mutex_);
  for (const std::string& line : lineage.Describe()) std::printf("FAILED %s\n", line.c_str());
  const std::string kept = directory_.path() + "-failed-" + std::to_string(lane);
  std::error_code error;
  std::filesystem::copy(store, kept, std::filesystem::copy_options::recursive, error);
  if (!error) std::printf("  the store is in %s\n", kept.c_str());
  std::fflush(stdout);
}

// One disk and the store on it, through so many cuts. False: there is no going on.
bool TierC::RunStore(uint64_t lane, uint64_t number) {
  const std::string home = directory_.path() + "/" + std::to_string(lane);
  auto disk = LoopDisk::Make(arguments_.fs, home);
  if (!disk.ok()) return Stop(disk.status()), false;
  ++stores_;
  Random seeds(MixSeed(MixSeed(arguments_.seed, lane), number));
  Lineage lineage(
      {.directory = home + "/store",
       .program = {BinaryPath("bin/tailrace"), "crashtest-child"},
       .durability = (lane + number) % 2 == 0 ? Durability::kSync : Durability::kBuffered,
       .hostile_clock = (lane + number) / 2 % 2 == 1,
       .seed = seeds.Next(),
       .power = disk->get()});
  for (uint32_t cuts = 0; cuts < kCutsPerStore && More() && !lineage.failed();) {
    if (lineage.given_up()) break;
    const Lineage::End end = lineage.Live();
    if (end == Lineage::End::kKilled) ++kills_;
    if (end != Lineage::End::kPowerCut) continue;
    ++cuts;
    ++cuts_;
  }
  for (int i = 0; i < 2 && !lineage.failed() && !lineage.given_up(); ++i) lineage.LiveToTheEnd();
  if (const Status damaged = (*disk)->Damaged(); !damaged.ok()) Stop(damaged);
  if (lineage.failed()) {
    Describe(lineage, home + "/store", lane);
    const Status whole = (*disk)->CheckWhole();
    Stop(Corruption(whole.ok() ? "the store broke a promise, on a whole file system; see above"
                               : "the file system is damaged: " + whole.ToString()));
  }
  const MutexLock lock(mutex_);
  total_.Add(lineage.counts());
  return true;
}

void TierC::RunLane(uint64_t lane) {
  std::error_code error;
  std::filesystem::create_directory(directory_.path() + "/" + std::to_string(lane), error);
  if (error) return Stop(IoError(error.message()));
  for (uint64_t number = 0; More(); ++number) {
    if (!RunStore(lane, number)) return;
  }
}

int TierC::Report(double seconds) {
  const MutexLock lock(mutex_);
  if (problem_.code() == StatusCode::kFailedPrecondition) {
    std::printf("SKIPPED: no power cuts on %s: %s\n", arguments_.fs.c_str(),
                problem_.message().c_str());
    return kSkipped;
  }
  const auto print = [](uint64_t count) { return static_cast<unsigned long long>(count); };
  std::printf(
      "figure: %llu real power cuts on %s and %llu kills in %.1f s (%.1f cuts/s), %llu stores, "
      "seed %llu; %llu cuts took back a tail, %llu changes in all that no sync had covered; %llu "
      "losses not judged; %s\n",
      print(cuts_), arguments_.fs.c_str(), print(kills_), seconds,
      static_cast<double>(cuts_) / seconds, print(stores_), print(arguments_.seed),
      print(total_.tails), print(total_.taken_back), print(total_.untold),
      FiguresOf(total_).c_str());
  if (!problem_.ok()) {
    std::printf("FAILED: %s\nrerun: TAILRACE_SEED=%llu %s --fs %s --lanes %llu\n",
                problem_.ToString().c_str(), print(arguments_.seed), program_invocation_name,
                arguments_.fs.c_str(), print(arguments_.lanes));
    return 1;
  }
  if (interrupted != 0) return 130;
  const bool told = total_.tails > 0 && total_.acknowledged > cuts_ * 20 && total_.records > cuts_;
  if (cuts_ < kCutsThatMustTell || (told && total_.untold * 20 <= cuts_)) return 0;
  std::printf("FAILED: too little happened for this to prove anything\n");
  return 1;
}

int TierC::Run() {
  const auto began = std::chrono::steady_clock::now();
  std::vector<std::thread> lanes;
  for (uint64_t lane = 0; lane < arguments_.lanes; ++lane) {
    lanes.emplace_back([this, lane] { RunLane(lane); });
  }
  for (std::thread& lane : lanes) lane.join();
  return Report(std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
}

bool ParseArguments(int count, char** values, Arguments& arguments) {
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = values[i];
    const std::string value = values[i + 1];
    const uint64_t number = std::strtoull(value.c_str(), nullptr, 10);
    if (name == "--fs" && (value == "ext4" || value == "xfs")) {
      arguments.fs = value;
    } else if (name == "--cuts" && number > 0) {
      arguments.cuts = number;
    } else if (name == "--lanes" && number > 0) {
      arguments.lanes = number;
    } else if (name == "--seed") {
      arguments.seed = number;
    } else {
      return false;
    }
  }
  return count % 2 == 1 && !arguments.fs.empty();
}

int Main(int count, char** values) {
  Arguments arguments;
  // Twice as many as processors: a process that waits for its disk leaves one to others.
  arguments.lanes = 2 * std::max(1u, std::thread::hardware_concurrency());
  arguments.seed = std::random_device{}();
  const char* seed = std::getenv("TAILRACE_SEED");
  if (seed != nullptr && *seed != '\0') arguments.seed = std::strtoull(seed, nullptr, 10);
  if (!ParseArguments(count, values, arguments)) {
    std::fprintf(stderr, "usage: see the head of tests/crash/tier_c.cc\n");
    return 2;
  }
  ::signal(SIGPIPE, SIG_IGN);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    ::signal(signal, [](int) { interrupted = 1; });
  }
  if (const Status ready = LoopDisk::Prepare(); !ready.ok()) {
    std::printf("SKIPPED: no power cuts on %s: %s\n", arguments.fs.c_str(),
                ready.message().c_str());
    return kSkipped;
  }
  return TierC(arguments).Run();
}

}  // namespace
}  // namespace tailrace::test

int main(int count, char** values) { return tailrace::test::Main(count, values); }
