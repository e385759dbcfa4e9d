#include "engine/core.h"

#include "engine/fold.h"

namespace tailrace::engine {
namespace {

// Control frames change no item.
class NoItems final : public ItemSink {
 public:
  void SetItem(TableId, ByteView, Lsn, std::optional<ByteView>) override {
    TAILRACE_CHECK(false, "a control frame changes no item");
  }
};

}  // namespace

void Core::Fail(const Status& cause) {
  {
    const MutexLock held(failure_mutex_);
    if (!failure_.ok()) return;
    failure_ = cause;
  }
  failed_.store(true, std::memory_order_release);
  positions->Fail(OutcomeUnknown("the store failed before this was safe (" + cause.ToString() +
                                 "); reopen it to learn what survived"));
  Report(Event::Kind::kFailed, cause.ToString());
}

Status Core::Writable() const {
  if (!failed_.load(std::memory_order_acquire)) return Status::Ok();
  const MutexLock held(failure_mutex_);
  return ReadOnly("the store takes no more writes since " + failure_.ToString() + "; reopen it");
}

Result<wal::Frame> AppendCommit(Core& core, const shards::Commit& commit) {
  // Room was waited for before the gate: waiting here would hold up the checkpoint that makes room.
  TAILRACE_ASSIGN_OR_RETURN(const wal::Appended appended,
                            core.journal->Append(shards::kCommitFrame, shards::EncodeCommit(commit),
                                                 wal::Quota::kReserved));
  core.Pause(PausePoint::kAfterAppend);
  const Status entered = ApplyCommit(appended.frame, core.buffer, nullptr);
  TAILRACE_CHECK(entered.ok(), entered.ToString());
  core.positions->Enter(appended.previous_end, appended.frame.end);
  return appended.frame;
}

Result<wal::Frame> AppendControl(Core& core, wal::FrameType type, ByteView payload) {
  TAILRACE_RETURN_IF_ERROR(core.Writable());
  TAILRACE_ASSIGN_OR_RETURN(const wal::Appended appended,
                            core.journal->Append(type, payload, wal::Quota::kReserved));
  // A clock frame changes none, and comes with every checkpoint: it need not copy one.
  const bool changes_catalogue = type != shards::kClockFrame;
  FoldState state;
  if (changes_catalogue) state.catalogue = *core.catalogue.Get().catalogue;
  NoItems none;
  const Status folded = ApplyFrame(appended.frame, state, none);
  TAILRACE_CHECK(folded.ok(), folded.ToString());
  if (changes_catalogue) core.catalogue.Set(std::move(state.catalogue));
  core.positions->Enter(appended.previous_end, appended.frame.end);
  return appended.frame;
}

}  // namespace tailrace::engine
