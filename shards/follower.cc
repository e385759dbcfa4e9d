#include "shards/follower.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "shards/control.h"
#include "shards/open_files.h"
#include "shards/position_rules.h"
#include "shards/shard_header.h"
#include "shards/shard_log.h"

namespace tailrace::shards {
namespace {

// How often the catalogue file is read again when it is not the one that the control file speaks
// of: the owner may be replacing it.
constexpr int kCatalogueAttemptsMax = 10;

// Where no word can be slept at (the control file is gone, or was replaced and its successor is
// not there), the place is looked at so often.
constexpr uint64_t kLookAgainUs = 500'000;

// A hundred years: longer, and the arithmetic of clocks runs over.
constexpr uint64_t kTimeoutMsMax = 100ull * 366 * 24 * 3600'000;

bool MayBeDamage(const Status& status) {
  return status.code() == StatusCode::kCorruption || status.code() == StatusCode::kIoError ||
         status.code() == StatusCode::kNotFound;
}

}  // namespace

// What holds for as long as one owner has the store open: files do not change their names, and
// published records do not change.
struct Follower::Session {
  Session(wal::FileSystem& fs, Epoch of_epoch, uint32_t open_files_max)
      : epoch(of_epoch), files(fs, open_files_max) {}

  const Epoch epoch;
  std::vector<wal::EpochStart> jumps;  // Constant once made.
  const ShardSetOptions options;
  OpenFiles files;

  Mutex mutex;
  std::map<ShardId, std::shared_ptr<ShardLog>> logs TAILRACE_GUARDED_BY(mutex);  // And of reads.

  PositionScope scope(StoreId store) const { return {store, epoch, jumps}; }
};

// One shard as it is published.
struct Follower::Shown {
  std::shared_ptr<Session> session;
  std::shared_ptr<ShardLog> log;
  ControlReader::View view;
  PublishedShard published;
};

Follower::Follower(wal::FileSystem& fs, std::string directory, std::string lock_path, StoreId store,
                   const FollowerOptions& options)
    : fs_(fs),
      directory_(std::move(directory)),
      lock_path_(std::move(lock_path)),
      store_(store),
      options_(options) {}

Follower::~Follower() = default;

Result<std::unique_ptr<Follower>> Follower::Open(wal::FileSystem& fs, std::string directory,
                                                 std::string lock_path, StoreId store,
                                                 const FollowerOptions& options) {
  if (options.open_files_max == 0) return InvalidArgument("open_files_max must not be 0");
  std::unique_ptr<Follower> follower(
      new Follower(fs, std::move(directory), std::move(lock_path), store, options));
  const MutexLock lock(follower->mutex_);
  const Status opened = follower->OpenControl();
  if (opened.code() == StatusCode::kNotFound) {
    return NotFound("no process has had the store open that can be followed: " + opened.message());
  }
  // A file of before the last start of the machine: the next owner makes it anew.
  if (!opened.ok() && opened.code() != StatusCode::kFailedPrecondition) return opened;
  return follower;
}

// --------------------------------------------------------------------------- what is published now

Status Follower::OpenControl() {
  auto opened = ControlReader::Open(fs_, directory_, store_);
  if (control_) earlier_sleeps_ += control_->sleeps();
  control_ = nullptr;
  TAILRACE_RETURN_IF_ERROR(opened.status());
  control_ = *std::move(opened);
  return Status::Ok();
}

std::shared_ptr<ControlReader> Follower::Control() const {
  const MutexLock lock(mutex_);
  return control_;
}

uint64_t Follower::sleeps() const {
  const MutexLock lock(mutex_);
  return earlier_sleeps_ + (control_ ? control_->sleeps() : 0);
}

Result<Lsn> Follower::Published() {
  TAILRACE_ASSIGN_OR_RETURN(const Current current, Look());
  const std::shared_ptr<ControlReader> control = Control();
  const auto view = current.session && control ? control->Look() : std::nullopt;
  return view && view->state == ControlState::kOpen ? view->published : Lsn{};
}

Result<bool> Follower::OwnerLives() {
  auto locked = fs_.IsLocked(lock_path_);
  if (locked.status().code() == StatusCode::kNotFound) return false;
  return locked;
}

Result<Follower::Current> Follower::Look() {
  const MutexLock lock(mutex_);
  return LookLocked();
}

Result<Follower::Current> Follower::LookLocked() {
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (!control_) {
      const Status opened = OpenControl();
      if (opened.code() == StatusCode::kNotFound ||
          opened.code() == StatusCode::kFailedPrecondition) {
        return Current();
      }
      TAILRACE_RETURN_IF_ERROR(opened);
    }
    const auto view = control_->Look();
    if (!view) return Current();
    if (view->state == ControlState::kSuperseded) {
      (void)OpenControl();  // The next attempt tells.
      continue;
    }
    if (view->state != ControlState::kOpen) return Current();
    const bool same = session_ && session_->epoch == view->epoch;
    if (!same || catalogue_version_ < view->catalogue_version) {
      TAILRACE_RETURN_IF_ERROR(LoadCatalogue(view->epoch, view->catalogue_version));
    }
    if (!session_ || session_->epoch != view->epoch) return Current();
    return Current{session_, catalogue_};
  }
  return Current();
}

// Reads the catalogue file of this epoch, in this version or a later one, and begins a session if
// the epoch is new. OK and nothing new: the owner could not write it, or another one comes just
// now.
Status Follower::LoadCatalogue(Epoch epoch, uint64_t version) {
  const std::string path = wal::JoinPath(directory_, kCatalogueFileName);
  Status last;
  for (int attempt = 0; attempt < kCatalogueAttemptsMax; ++attempt) {
    const auto bytes = wal::ReadWholeFile(fs_, path, kCatalogueFileBytesMax);
    last = bytes.status();
    if (!last.ok()) continue;
    const auto decoded = DecodeCatalogueFile(*bytes, store_);
    last = decoded.status();
    if (!last.ok()) continue;
    if (decoded->epoch != epoch || decoded->version < version) return Status::Ok();
    auto catalogue = StreamCatalogue::FromProto(decoded->state);
    TAILRACE_RETURN_IF_ERROR(catalogue.status().WithContext(path));
    if (!session_ || session_->epoch != epoch) {
      session_ = std::make_shared<Session>(fs_, epoch, options_.open_files_max);
      for (const frames::EpochJump& jump : decoded->state.jumps()) {
        session_->jumps.push_back({.epoch = Epoch{jump.epoch()},
                                   .old_end = Lsn{jump.old_end()},
                                   .new_start = Lsn{jump.new_start()},
                                   .clean = false});
      }
    }
    const auto shared = std::make_shared<const StreamCatalogue>(*std::move(catalogue));
    catalogue_ = shared;
    catalogue_version_ = decoded->version;
    const MutexLock lock(session_->mutex);
    std::erase_if(session_->logs, [&shared](const auto& entry) {
      return shared->FindShard(entry.second->stream(), entry.first) == nullptr;
    });
    return Status::Ok();
  }
  // Without an owner it stays as it is; the next one writes it anew.
  const auto lives = OwnerLives();
  return lives.ok() && !*lives ? Status::Ok() : last.WithContext(path);
}

Result<Follower::CataloguePointer> Follower::catalogue() {
  TAILRACE_ASSIGN_OR_RETURN(const Current current, Look());
  return current.catalogue;
}

// Absent: nothing is published of it just now. kNotFound: it does not exist any more, or yet.
Result<std::optional<Follower::Shown>> Follower::Show(StreamId stream_id, ShardId shard_id) {
  TAILRACE_ASSIGN_OR_RETURN(const Current current, Look());
  const std::shared_ptr<ControlReader> control = Control();
  if (!current.session || !control) return std::optional<Shown>();
  const Stream* const stream = current.catalogue->Find(stream_id);
  const Shard* const shard = current.catalogue->FindShard(stream_id, shard_id);
  if (shard == nullptr) {
    return NotFound(NameOfShard(stream_id, shard_id) +
                    " does not exist; if it did, it expired and was removed");
  }
  const auto look = control->Look(shard_id);
  if (!look || look->view.state != ControlState::kOpen ||
      look->view.epoch != current.session->epoch || !look->shard ||
      look->shard->stream != stream_id) {
    return std::optional<Shown>();
  }
  Session& session = *current.session;
  const MutexLock lock(session.mutex);
  std::shared_ptr<ShardLog>& log = session.logs[shard_id];
  if (!log) {
    log = std::make_shared<ShardLog>(
        session.files, session.options, ShardPath(directory_, stream_id, shard_id),
        MakeShardHeader(store_, *stream, *shard),
        ShardLog::Limits{.trimmed_below = shard->starting, .ending = std::nullopt});
  }
  return std::optional<Shown>(Shown{current.session, log, look->view, *look->shard});
}

// ---------------------------------------------------------------------------------------- reading

// Calls `use` on the shard's log as it is published. What looks like damage may be a file that was
// trimmed, or cut by the next owner, under our eyes: it counts only if it is found again while
// nothing changed and an owner lives. Empty: nothing is published of it just now.
template <typename T, typename Use>
Result<std::optional<T>> Follower::WithLog(StreamId stream, ShardId shard, const Use& use) {
  std::optional<Shown> before;
  while (true) {
    TAILRACE_ASSIGN_OR_RETURN(std::optional<Shown> shown, Show(stream, shard));
    if (!shown) return std::optional<T>();
    Status failed = shown->log->Follow(shown->published);
    if (failed.ok()) {
      Result<T> used = use(*shown);
      if (used.ok()) return std::optional<T>(*std::move(used));
      failed = used.status();
    }
    if (!MayBeDamage(failed)) return failed;
    const bool changed = !before || before->session != shown->session ||
                         before->published.trimmed_below != shown->published.trimmed_below;
    if (!changed) {
      TAILRACE_ASSIGN_OR_RETURN(const bool lives, OwnerLives());
      if (!lives) return std::optional<T>();
      return failed;
    }
    LookAfresh(*shown);
    before = std::move(shown);
  }
}

// Forgets what was found out about files, so that the next look finds it out again.
void Follower::LookAfresh(const Shown& shown) {
  {
    const MutexLock lock(shown.session->mutex);
    const auto log = shown.session->logs.find(shown.published.shard);
    if (log != shown.session->logs.end() && log->second == shown.log) {
      shown.session->logs.erase(log);
    }
  }
  const MutexLock lock(mutex_);
  (void)OpenControl();  // The next look tells.
}

Result<Position> Follower::Seek(StreamId stream, ShardId shard, StartAt start,
                                SequenceNumber number, uint64_t wall_ms) {
  TAILRACE_ASSIGN_OR_RETURN(const auto position,
                            WithLog<Position>(stream, shard, [&](const Shown& shown) {
                              return shards::Seek(shown.session->scope(store_), *shown.log,
                                                  shown.view.published, start, number, wall_ms);
                            }));
  if (position) return *position;
  return Busy("nothing is published yet of " + NameOfShard(stream, shard) +
              ": wait for the process that has the store open");
}

Status Follower::Read(const Position& position, const PageLimits& limits, RecordPage& page) {
  page.Clear();
  TAILRACE_ASSIGN_OR_RETURN(
      const auto read,
      WithLog<bool>(position.stream, position.shard, [&](const Shown& shown) -> Result<bool> {
        const PositionScope scope = shown.session->scope(store_);
        TAILRACE_RETURN_IF_ERROR(CheckPosition(scope, position));
        TAILRACE_RETURN_IF_ERROR(CheckBeginning(*shown.log, position));
        TAILRACE_RETURN_IF_ERROR(ReadPage(scope, *shown.log, position, limits, page));
        return true;
      }));
  if (read) return Status::Ok();
  page.Clear();
  page.next = position;
  page.caught_up = true;
  return Status::Ok();
}

Result<Page> Follower::Read(const Position& position, const PageLimits& limits) {
  RecordPage page;
  TAILRACE_RETURN_IF_ERROR(Read(position, limits, page));
  return page.Copy();
}

// ---------------------------------------------------------------------------------------- waiting

Result<bool> Follower::Ready(const Position& position) {
  TAILRACE_ASSIGN_OR_RETURN(const auto shown, Show(position.stream, position.shard));
  if (!shown) return false;
  const PositionScope scope = shown->session->scope(store_);
  TAILRACE_RETURN_IF_ERROR(CheckPosition(scope, position));
  if (LossOf(scope, position)) return true;
  return position.next < shown->published.trimmed_below ||
         position.next <= shown->published.last.sequence || shown->published.ending.has_value();
}

Result<bool> Follower::WaitAny(const std::vector<Position>& positions,
                               const CataloguePointer& known, uint64_t timeout_ms,
                               const wal::Interrupt* interrupt) {
  const auto deadline = std::chrono::steady_clock::now() +
                        std::chrono::milliseconds(std::min(timeout_ms, kTimeoutMsMax));
  while (interrupt == nullptr || !interrupt->is_set()) {
    TAILRACE_RETURN_IF_ERROR(Look().status());  // Finds the control file, if there is one.
    const std::shared_ptr<ControlReader> control = Control();
    // Read before the looks that count, so that nothing comes between them and the sleep.
    const uint64_t sequence = control ? control->sequence() : 0;
    TAILRACE_ASSIGN_OR_RETURN(const Current current, Look());
    if (known && current.catalogue && current.catalogue != known) return true;
    for (const Position& position : positions) {
      TAILRACE_ASSIGN_OR_RETURN(const bool ready, Ready(position));
      if (ready) return true;
    }
    const auto left = std::chrono::duration_cast<std::chrono::microseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    Sleep(control.get(), sequence, static_cast<uint64_t>(left.count()), interrupt);
  }
  return true;
}

void Follower::Sleep(const ControlReader* control, uint64_t sequence, uint64_t timeout_us,
                     const wal::Interrupt* interrupt) {
  if (control == nullptr) {
    static const wal::Interrupt never;
    (interrupt != nullptr ? *interrupt : never).Wait(std::min(timeout_us, kLookAgainUs));
    return;
  }
  // Nobody wakes those who sleep at a file whose successor is not there yet.
  const auto view = control->Look();
  const bool superseded = view && view->state == ControlState::kSuperseded;
  control->AnnounceWait();
  (void)control->Wait(sequence, superseded ? std::min(timeout_us, kLookAgainUs) : timeout_us,
                      interrupt);
}

}  // namespace tailrace::shards
