#include "tools/exit_code.h"

#include <cstdio>

#include "tools/text.h"
#include "wal/check.h"

namespace tailrace::tools {
namespace {

// What to do about a failure of this kind; empty where the message itself says it or nothing
// general can be said.
std::string_view Cure(StatusCode code) {
  switch (code) {
    case StatusCode::kBusy:
      return "`tailrace dump`, `journal` and `verify` read a store in use";
    case StatusCode::kNoSpace:
      return "free disk space and run the command again";
    case StatusCode::kIoError:
      return "check the disk and the permissions of the directory";
    case StatusCode::kCorruption:
      return "`tailrace verify --deep` tells how far the damage reaches; `tailrace salvage` makes "
             "a new store "
             "of what is whole";
    case StatusCode::kUnsupported:
      return "use a version of tailrace that knows it";
    case StatusCode::kReadOnly:
    case StatusCode::kOutcomeUnknown:
      return "run the command again: opening the store settles what was kept";
    case StatusCode::kOk:
    case StatusCode::kInvalidArgument:
    case StatusCode::kNotFound:
    case StatusCode::kAlreadyExists:
    case StatusCode::kFailedPrecondition:
    case StatusCode::kClosed:
      return {};
  }
  return {};
}

}  // namespace

ExitCode ExitCodeOf(const Status& failure) {
  switch (failure.code()) {
    case StatusCode::kInvalidArgument:
      return ExitCode::kUsage;
    case StatusCode::kNotFound:
    case StatusCode::kAlreadyExists:
    case StatusCode::kFailedPrecondition:
      return ExitCode::kAbsent;
    case StatusCode::kBusy:
      return ExitCode::kBusy;
    case StatusCode::kCorruption:
      return ExitCode::kCorruption;
    case StatusCode::kNoSpace:
    case StatusCode::kIoError:
    case StatusCode::kUnsupported:
    case StatusCode::kReadOnly:
    case StatusCode::kOutcomeUnknown:
    case StatusCode::kClosed:
      return ExitCode::kFailed;
    case StatusCode::kOk:
      break;
  }
  CheckFailed(__FILE__, __LINE__, "!failure.ok()", "success is no failure");
}

std::string ErrorText(const Status& failure) {
  std::string text = failure.message();
  if (const std::string_view cure = Cure(failure.code()); !cure.empty()) {
    text.append(": ").append(cure);
  }
  return EscapeForTerminal(text);
}

ExitCode Report(const Status& failure) {
  std::fprintf(stderr, "tailrace: %s\n", ErrorText(failure).c_str());
  return ExitCodeOf(failure);
}

}  // namespace tailrace::tools
