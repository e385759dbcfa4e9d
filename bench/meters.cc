#include "bench/meters.h"

#include <malloc.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <bit>
#include <chrono>
#include <fstream>
#include <sstream>

namespace tailrace::bench {
namespace {

uint64_t ProcessWrittenBytes() {
  std::ifstream file("/proc/self/io");
  std::string name;
  for (uint64_t value = 0; file >> name >> value;) {
    if (name == "write_bytes:") return value;
  }
  return 0;
}

uint64_t DeviceBusyMs(const std::string& major_minor) {
  std::ifstream file("/proc/diskstats");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string major, minor, name;
    words >> major >> minor >> name;
    if (major + ":" + minor != major_minor) continue;
    // Documentation/admin-guide/iostats.rst: the tenth figure is the time spent doing I/Os.
    uint64_t value = 0;
    for (int field = 1; field <= 10; ++field) words >> value;
    return value;
  }
  return 0;
}

}  // namespace

uint64_t NowNs() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

double MillisecondsSince(uint64_t begin_ns) {
  return static_cast<double>(NowNs() - begin_ns) / 1e6;
}

Usage UsageNow() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto ms = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_usec) / 1e3;
  };
  return {ms(usage.ru_utime) + ms(usage.ru_stime), static_cast<double>(usage.ru_nvcsw)};
}

uint64_t ResidentBytes() {
  malloc_trim(0);  // What was freed and only kept for later does not count.
  std::ifstream file("/proc/self/statm");
  uint64_t pages = 0, resident_pages = 0;
  file >> pages >> resident_pages;
  return resident_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

uint64_t OpenDescriptors() {
  const std::filesystem::directory_iterator entries("/proc/self/fd");
  return static_cast<uint64_t>(std::distance(begin(entries), end(entries)));
}

DiskUse DiskUseOf(const std::string& directory) {
  return DiskUseOf(directory, [](const std::filesystem::path&) { return true; });
}

DiskUse DiskUseOf(const std::string& directory,
                  const std::function<bool(const std::filesystem::path&)>& counts) {
  DiskUse use;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    struct stat info {};
    if (::lstat(entry.path().c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    if (!counts(entry.path())) continue;
    ++use.files;
    use.bytes += static_cast<uint64_t>(info.st_size);
    use.allocated_bytes += static_cast<uint64_t>(info.st_blocks) * 512;
  }
  return use;
}

void Latencies::Add(uint64_t ns) {
  const auto power = static_cast<unsigned>(std::bit_width(ns | kSubBuckets) - 1);
  const uint64_t sub = (ns >> (power - 4)) & (kSubBuckets - 1);
  ++counts_[power * kSubBuckets + sub];
  ++total_;
}

void Latencies::Add(const Latencies& other) {
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  total_ += other.total_;
}

double Latencies::QuantileUs(double share) const {
  const auto wanted = static_cast<uint64_t>(share * static_cast<double>(total_));
  uint64_t seen = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (seen == 0 || seen < wanted) continue;
    const uint64_t power = i / kSubBuckets;
    const uint64_t upper = ((kSubBuckets + i % kSubBuckets + 1) << power) / kSubBuckets;
    return static_cast<double>(upper) / 1000;
  }
  return 0;
}

DiskMeter::DiskMeter(const std::string& directory)
    : written_bytes_(ProcessWrittenBytes()), begin_ns_(NowNs()) {
  struct stat info {};
  if (::stat(directory.c_str(), &info) == 0) {
    device_ = std::to_string(major(info.st_dev)) + ":" + std::to_string(minor(info.st_dev));
  }
  busy_ms_ = DeviceBusyMs(device_);
}

uint64_t DiskMeter::WrittenBytes() const { return ProcessWrittenBytes() - written_bytes_; }

double DiskMeter::BusyShare() const {
  const double elapsed_ms = static_cast<double>(NowNs() - begin_ns_) / 1e6;
  if (elapsed_ms <= 0) return 0;
  return static_cast<double>(DeviceBusyMs(device_) - busy_ms_) / elapsed_ms;
}

}  // namespace tailrace::bench
