// What stands beside a rate: how long single operations took, what went to the disk, how busy it
// was, and what the process holds and uses.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace tailrace::bench {

// Counts of durations in buckets of a sixteenth of a power of two: quantiles are right within 7 %.
// One thread; Add another's at the end.
class Latencies {
 public:
  void Add(uint64_t ns);
  void Add(const Latencies& other);
  // The duration in µs that this share of all were at or below; 0 if there are none.
  double QuantileUs(double share) const;

 private:
  static constexpr unsigned kSubBuckets = 16;
  std::array<uint64_t, 64 * kSubBuckets> counts_{};
  uint64_t total_ = 0;
};

// The disk under a directory and this process, between construction and a reading.
class DiskMeter {
 public:
  explicit DiskMeter(const std::string& directory);
  // Bytes that this process has caused to be written.
  uint64_t WrittenBytes() const;
  // The share of time in which the device had a request under way, whoever's; 0 where the system
  // does not tell.
  double BusyShare() const;

 private:
  std::string device_;  // Its line's beginning in /proc/diskstats: "major minor ".
  uint64_t written_bytes_ = 0;
  uint64_t busy_ms_ = 0;
  uint64_t begin_ns_ = 0;
};

// Of the whole process, since it began.
struct Usage {
  double cpu_ms;
  double switches;  // How often a thread slept and woke.
};
Usage UsageNow();

uint64_t ResidentBytes();  // Mapped files included.
uint64_t OpenDescriptors();

// Of the regular files below a directory.
struct DiskUse {
  uint64_t files = 0;
  uint64_t bytes = 0;            // Their sizes together.
  uint64_t allocated_bytes = 0;  // What they take on the disk.
};
DiskUse DiskUseOf(const std::string& directory);
// Of those for which `counts` is true.
DiskUse DiskUseOf(const std::string& directory,
                  const std::function<bool(const std::filesystem::path&)>& counts);

uint64_t NowNs();
double MillisecondsSince(uint64_t begin_ns);

}  // namespace tailrace::bench
