#include "tools/stat_watch.h"

#include <unistd.h>

#include <cstdio>
#include <memory>
#include <optional>

#include "engine/store_follower.h"
#include "tools/open_store.h"
#include "tools/text.h"

namespace tailrace::tools {
namespace {

// To the upper left corner, and the screen empty from there on.
constexpr char kRedraw[] = "\x1b[H\x1b[J";

class Watch {
 public:
  Watch(Context& context, const std::function<Result<StatLook>()>& look)
      : context_(context), look_(look), redraws_(!context.options.json && ::isatty(1) == 1) {}

  Status Look() {
    TAILRACE_ASSIGN_OR_RETURN(const bool same, NothingHappened());
    if (same) {
      StatLook again = *last_;
      again.at = std::chrono::steady_clock::now();
      Show(again);
      return Status::Ok();
    }
    auto looked = look_();
    if (last_ && looked.status().code() == StatusCode::kBusy) {
      // Somebody is just opening it, and may serve a socket soon.
      std::fprintf(stderr, "tailrace: %s\n", EscapeForTerminal(looked.status().message()).c_str());
      return Status::Ok();
    }
    TAILRACE_RETURN_IF_ERROR(looked.status());
    Show(*looked);
    return Remember();
  }

 private:
  // Whether nobody had the store open since the last look, after which it was closed.
  Result<bool> NothingHappened() {
    if (!follower_ || !last_ || !published_) return false;
    TAILRACE_ASSIGN_OR_RETURN(const bool lives, follower_->OwnerLives());
    if (lives) return false;
    TAILRACE_ASSIGN_OR_RETURN(const SequenceNumber published, follower_->Published());
    return published == *published_;
  }

  // By which the next look tells whether anything happened.
  Status Remember() {
    if (!follower_) {
      TAILRACE_ASSIGN_OR_RETURN(const std::string directory, StoreDirectory(context_.options));
      TAILRACE_ASSIGN_OR_RETURN(follower_, StoreFollower::Open(directory));
    }
    published_.reset();
    TAILRACE_ASSIGN_OR_RETURN(const bool lives, follower_->OwnerLives());
    if (lives) return Status::Ok();
    TAILRACE_ASSIGN_OR_RETURN(published_, follower_->Published());
    return Status::Ok();
  }

  void Show(const StatLook& look) {
    const auto rates = last_ ? RatesBetween(*last_, look) : std::nullopt;
    if (context_.options.json) {
      context_.out.JsonLine(StatJson(look, rates));
    } else if (redraws_) {
      context_.out.Text(kRedraw);
      PrintStat(context_.out, look, rates);
    } else if (last_) {
      context_.out.Line(StatLine(look, rates));
    } else {
      PrintStat(context_.out, look, rates);
    }
    context_.out.Flush();
    last_ = look;
  }

  Context& context_;
  const std::function<Result<StatLook>()>& look_;
  const bool redraws_;
  std::optional<StatLook> last_;
  std::unique_ptr<StoreFollower> follower_;
  std::optional<SequenceNumber> published_;  // After the last look, when nobody had it open.
};

}  // namespace

Result<ExitCode> WatchStat(Context& context, const WatchArguments& arguments,
                           const std::function<Result<StatLook>()>& look) {
  WatchInterrupts();
  Watch watch(context, look);
  for (uint64_t looks = 0; !Interrupted() && !context.out.broken();) {
    TAILRACE_RETURN_IF_ERROR(watch.Look());
    if (++looks == arguments.looks_max) return ExitCode::kOk;
    (void)InterruptWord().Wait(arguments.interval_ms * 1000);
  }
  return Interrupted() ? ExitCode::kInterrupted : ExitCode::kOk;
}

}  // namespace tailrace::tools
