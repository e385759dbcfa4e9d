#include "tests/crash/journal_crash_check.h"

#include <memory>
#include <utility>

#include "tests/support/removed_segment.h"
#include "wal/recovery.h"
#include "wal/segment.h"

namespace tailrace::test {
namespace {

using wal::Frame;
using wal::FrameType;
using wal::ParsedFrame;
using wal::RecoveryPlan;

std::vector<JournalTruth::KnownFrame> FramesOf(const RecoveryPlan& plan) {
  std::vector<JournalTruth::KnownFrame> frames;
  for (const wal::RecoveredSegment& segment : plan.segments) {
    for (const Lsn at : segment.frames) {
      ParsedFrame frame;
      if (segment.image.FrameAt(at, frame) != wal::FrameProblem::kNone) continue;
      frames.push_back(
          {frame.header.type, at, at + frame.header.frame_bytes(), std::string(frame.payload)});
    }
  }
  return frames;
}

std::vector<JournalTruth::KnownFrame> FramesOf(const wal::Journal& journal, Lsn from) {
  std::vector<JournalTruth::KnownFrame> frames;
  for (Lsn at = from;;) {
    const Result<Frame> frame = journal.Read(at);
    if (!frame.ok()) return frames;
    frames.push_back({frame->type, frame->lsn, frame->end, std::string(frame->payload)});
    at = frame->end;
  }
}

}  // namespace

std::string CheckRemovedSegment(const SimOperation& operation, const JournalTruth& truth,
                                uint64_t segment_bytes) {
  const auto removed = SegmentRemovedBy(operation);
  if (!removed) return "";
  const Lsn end{removed->base + wal::SegmentDataBytes(segment_bytes)};
  for (size_t i = 0; i < truth.durable_frames; ++i) {
    const Lsn lsn = truth.frames[i].lsn;
    if (lsn.value < removed->base || lsn >= end) continue;
    return removed->path + " is taken away, but frame " + std::to_string(lsn.value) +
           " in it is still needed";
  }
  return "";
}

bool JournalCrashChecker::Check(const SimDisk& state, const JournalTruth& truth,
                                std::vector<PowerCut> cuts) {
  std::string problem = CheckPlan(state, truth);
  if (!problem.empty()) return Fail(std::move(problem), cuts);
  if (cuts.size() >= nested_.depth_max || state.Hash() % nested_.one_in != 0) return true;
  problem = CheckOpening(state, truth, cuts);
  if (problem.empty()) return true;
  // A nested check has already noted its cuts.
  return failure_.problem.empty() ? Fail(std::move(problem), cuts) : false;
}

bool JournalCrashChecker::Fail(std::string problem, const std::vector<PowerCut>& cuts) {
  failure_ = CrashFailure{.problem = std::move(problem), .cuts = cuts};
  return false;
}

// Recovery's decision, without carrying it out.
std::string JournalCrashChecker::CheckPlan(const SimDisk& state, const JournalTruth& truth) const {
  SimFs fs(state);
  const Result<RecoveryPlan> plan = wal::PlanRecovery(fs, kSimJournalDirectory, StartFor(truth));
  if (!plan.ok()) return plan.status().ToString();
  if (plan->new_start < truth.handed_out) return "positions would be handed out twice";
  if (plan->new_epoch <= truth.epoch) return "the epoch would not rise";
  return CompareFrames(truth, FramesOf(*plan));
}

// A whole opening, with power cuts at each of its steps; then one more frame, a power cut that
// loses all that is pending, and an opening that must show the same.
std::string JournalCrashChecker::CheckOpening(const SimDisk& state, const JournalTruth& truth,
                                              const std::vector<PowerCut>& cuts) {
  ++openings_;
  SimFs fs(state);
  bool failed = false;
  std::string removal_problem;
  fs.SetObserver([&](const SimOperation& operation) {
    if (failed) return;
    if (removal_problem.empty()) {
      removal_problem = CheckRemovedSegment(operation, truth, script_.segment_bytes);
    }
    const uint64_t salt = truth.frames.size() * 1000003 + truth.durable_frames;
    nested_states_ +=
        ForEachCrashState(operation.disk, nested_.plan, nested_seen_, salt,
                          [&](const CrashChoice& choice, const SimDisk& nested) {
                            if (failed) return;
                            std::vector<PowerCut> deeper = cuts;
                            deeper.push_back({.operation = operation.index, .choice = choice});
                            failed = !Check(nested, truth, std::move(deeper));
                          });
  });
  std::string problem = CheckReopening(fs, truth);
  if (!removal_problem.empty()) return removal_problem;
  return failed ? failure_.problem : problem;
}

std::string JournalCrashChecker::CheckReopening(SimFs& fs, const JournalTruth& truth) const {
  const SimClock clock;
  JournalTruth shown = truth;
  {
    auto journal =
        wal::OpenJournal(fs, clock, kSimJournalDirectory, StartFor(truth), OptionsFor(script_));
    fs.SetObserver(nullptr);
    if (!journal.ok()) return "open: " + journal.status().ToString();
    shown.frames = FramesOf(**journal, truth.from);
    std::string problem = CompareFrames(truth, shown.frames);
    if (!problem.empty()) return problem;
    shown.appending.reset();
    shown.opening_first = false;
    shown.epoch = (*journal)->recovery().epoch;
    const FrameType type{wal::kFirstCallerFrame};
    const auto appended = (*journal)->Append(type, "one more", wal::Quota::kOrdinary);
    if (!appended.ok()) return "append after recovery: " + appended.status().ToString();
    if (appended->frame.lsn < truth.handed_out) return "a position was handed out twice";
    shown.frames.push_back({type, appended->frame.lsn, appended->frame.end, "one more"});
    const Status status = (*journal)->Sync();
    if (!status.ok()) return "sync after recovery: " + status.ToString();
    shown.handed_out = (*journal)->appended();
  }
  shown.durable_frames = shown.frames.size();
  fs.CutPower({.keep = CrashChoice::Keep::kNone});
  const std::string problem = CheckPlan(fs.disk(), shown);
  return problem.empty() ? "" : "after recovery and one more power cut: " + problem;
}

}  // namespace tailrace::test
