#include "tools/demo_text.h"

#include "tools/format.h"

namespace tailrace::tools {

void DemoText::Heading(std::string_view text) {
  out_.Line("");
  out_.Line(Cat("== ", text));
  out_.Flush();
}

void DemoText::Line(std::string_view text) {
  out_.Line(text.empty() ? "" : Cat("   ", text));
  out_.Flush();
}

Status DemoText::Claim(bool holds, std::string_view text) {
  out_.Line(Cat(holds ? "   ok   " : "   NOT  ", text));
  out_.Flush();
  if (holds) return Status::Ok();
  return FailedPrecondition(Cat("the demo failed: it does not hold that ", text));
}

}  // namespace tailrace::tools
