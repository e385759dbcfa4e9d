// The power cuts that led to a state, in one word: what a crash test prints, so that the state can
// be made again alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/sim_disk.h"

namespace tailrace::test {

// A power cut: at a mutating call, with a choice of what survives.
struct PowerCut {
  uint64_t operation = 0;
  CrashChoice choice;
};

// "@12=none@3=all": each behind the one within whose recovery it falls; empty without any.
std::string CutsToText(const std::vector<PowerCut>& cuts);

// Of what follows the first "@". Absent if it is not what CutsToText writes.
std::optional<std::vector<PowerCut>> ParseCuts(const std::string& text);

}  // namespace tailrace::test
