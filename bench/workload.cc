#include "bench/workload.h"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>

namespace tailrace::bench {
namespace {

constexpr double kTheta = 0.99;

// Sum of 1 / i^theta; the sum over a million takes a while, so it is kept.
double Zeta(uint64_t n) {
  static std::mutex mutex;
  static std::map<uint64_t, double> known;
  const std::lock_guard lock(mutex);
  double& sum = known[n];
  for (uint64_t i = sum == 0 ? 1 : n + 1; i <= n; ++i)
    sum += std::pow(1.0 / static_cast<double>(i), kTheta);
  return sum;
}

}  // namespace

std::string KeyOf(uint64_t id) {
  char text[24];
  std::snprintf(text, sizeof text, "user%012llu", static_cast<unsigned long long>(id));
  return text;
}

KeyChooser::KeyChooser(Kind kind, uint64_t items, uint64_t seed)
    : kind_(kind), items_(items), random_(seed) {
  if (kind == Kind::kUniform) return;
  const auto n = static_cast<double>(items);
  zeta_ = Zeta(items);
  alpha_ = 1 / (1 - kTheta);
  eta_ = (1 - std::pow(2 / n, 1 - kTheta)) / (1 - Zeta(2) / zeta_);
}

uint64_t KeyChooser::Next() {
  if (kind_ == Kind::kUniform) return random_.Below(items_);
  const double u = static_cast<double>(random_.Next() >> 11) * 0x1p-53;
  const double scaled = u * zeta_;
  uint64_t rank = 0;
  if (scaled >= 1) {
    rank = scaled < 1 + std::pow(0.5, kTheta)
               ? 1
               : static_cast<uint64_t>(static_cast<double>(items_) *
                                       std::pow(eta_ * u - eta_ + 1, alpha_));
  }
  return test::MixSeed(rank, 0) % items_;
}

ValueMaker::ValueMaker(uint64_t bytes, uint64_t seed)
    : random_(seed), pool_(random_.Bytes((64 << 10) + bytes)), value_(bytes, '\0'), count_(seed) {}

std::string_view ValueMaker::Next() {
  const uint64_t at = random_.Below(pool_.size() - value_.size() + 1);
  std::memcpy(value_.data(), pool_.data() + at, value_.size());
  ++count_;
  std::memcpy(value_.data(), &count_, std::min(sizeof count_, value_.size()));
  return value_;
}

}  // namespace tailrace::bench
