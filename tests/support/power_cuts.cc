#include "tests/support/power_cuts.h"

#include <cstdlib>
#include <sstream>

namespace tailrace::test {

std::string CutsToText(const std::vector<PowerCut>& cuts) {
  std::string text;
  for (const PowerCut& cut : cuts) {
    text += "@" + std::to_string(cut.operation) + "=" + cut.choice.ToString();
  }
  return text;
}

std::optional<std::vector<PowerCut>> ParseCuts(const std::string& text) {
  std::vector<PowerCut> cuts;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, '@');) {
    const size_t equals = part.find('=');
    if (equals == std::string::npos) return std::nullopt;
    const auto choice = CrashChoice::Parse(part.substr(equals + 1));
    if (!choice) return std::nullopt;
    cuts.push_back({.operation = std::strtoull(part.c_str(), nullptr, 10), .choice = *choice});
  }
  return cuts;
}

}  // namespace tailrace::test
