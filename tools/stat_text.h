// What `stat` shows of a store.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "engine/store.h"
#include "tools/output.h"

namespace tailrace::tools {

// A store at one moment.
struct StatLook {
  StoreStats stats;
  size_t tables = 0;
  size_t streams = 0;
  std::chrono::steady_clock::time_point at;
};

// What went on between two looks, a second.
struct StatRates {
  uint64_t interval_ms = 0;
  double records = 0;        // That came into streams.
  double journal_bytes = 0;  // That were appended.
  uint64_t checkpoints = 0;  // In the interval.
};

// Absent: the store was opened anew between the looks, or they are of one moment.
std::optional<StatRates> RatesBetween(const StatLook& before, const StatLook& now);

std::string StatJson(const StatLook& look, const std::optional<StatRates>& rates);

// Several lines, those of the rates if there are any.
void PrintStat(Output& out, const StatLook& look, const std::optional<StatRates>& rates);

// All in one line, for a watch that does not stand on a terminal.
std::string StatLine(const StatLook& look, const std::optional<StatRates>& rates);

}  // namespace tailrace::tools
