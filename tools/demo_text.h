// How the demo talks: headings, indented lines, and claims that it checks.
#pragma once

#include <string>
#include <string_view>

#include "tools/output.h"
#include "wal/status.h"

namespace tailrace::tools {

// Flushes after every line, so that a reader sees what happens when it happens.
class DemoText {
 public:
  explicit DemoText(Output& out) : out_(out) {}

  Output& out() { return out_; }

  void Heading(std::string_view text);
  void Line(std::string_view text);

  // "ok  text" when it holds. Otherwise the demo has failed: kFailedPrecondition saying so.
  Status Claim(bool holds, std::string_view text);

 private:
  Output& out_;
};

}  // namespace tailrace::tools
