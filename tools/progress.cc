#include "tools/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "tools/format.h"
#include "tools/text.h"

namespace tailrace::tools {
namespace {

constexpr uint64_t kRedrawUs = 100'000;
constexpr size_t kBarColumns = 30;

// "12%" and so on; empty when unknown.
std::string RemainingText(uint64_t done, uint64_t total, uint64_t elapsed_us) {
  if (done == 0 || total <= done) return "";
  const double left = static_cast<double>(elapsed_us) * static_cast<double>(total - done) /
                      static_cast<double>(done);
  const auto seconds = static_cast<uint64_t>(left / 1e6);
  return Format("  {}:{:02d} left", seconds / 60, seconds % 60);
}

}  // namespace

Progress::Progress(std::string what, uint64_t every)
    : what_(std::move(what)), every_(every), bar_(every == 0 && ::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() { Clear(); }

void Progress::Update(uint64_t count, uint64_t done, uint64_t total) {
  if (every_ > 0) {
    if (count / every_ == last_count_ / every_) return;
    last_count_ = count;
    std::fprintf(stderr, "%s, %s\n", Plural(count, what_).c_str(),
                 RateText(count, watch_.ElapsedUs()).c_str());
    return;
  }
  if (!bar_ || ++last_count_ % 64 != 0) return;  // The clock is read now and then only.
  UpdateNow(count, done, total);
}

void Progress::UpdateNow(uint64_t count, uint64_t done, uint64_t total) {
  if (!bar_) return;
  const uint64_t now_us = watch_.ElapsedUs();
  if (now_us < last_drawn_us_ + kRedrawUs) return;
  last_drawn_us_ = now_us;
  DrawBar(count, done, total);
  drawn_ = true;
}

void Progress::Clear() {
  if (!drawn_) return;
  std::fputs("\r\x1b[K", stderr);
  drawn_ = false;
}

void Progress::DrawBar(uint64_t count, uint64_t done, uint64_t total) const {
  const uint64_t elapsed_us = watch_.ElapsedUs();
  std::string bar;
  if (total > 0) {
    const double part = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
    const auto filled = static_cast<size_t>(part * kBarColumns);
    bar = Format("[{}{}] {:3.0f}%  ", std::string(filled, '#'),
                 std::string(kBarColumns - filled, ' '), part * 100);
  }
  std::fprintf(stderr, "\r\x1b[K%s%s  %s%s", bar.c_str(), Plural(count, what_).c_str(),
               RateText(count, elapsed_us).c_str(), RemainingText(done, total, elapsed_us).c_str());
  std::fflush(stderr);
}

}  // namespace tailrace::tools
