#include "shards/shard_set.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <unordered_map>

#include "shards/bell.h"
#include "shards/commit.h"
#include "shards/control.h"
#include "shards/open_files.h"
#include "shards/position_rules.h"
#include "shards/shard_header.h"
#include "shards/shard_log.h"
#include "wal/check.h"
#include "wal/mutants.h"

namespace tailrace::shards {
namespace {

using LogPointer = std::shared_ptr<ShardLog>;  // Owned by the set, and by reads under way.

struct ShardKey {
  StreamId stream;
  ShardId shard;
  friend auto operator<=>(const ShardKey&, const ShardKey&) = default;
};

std::string Named(const ShardKey& key) { return NameOfShard(key.stream, key.shard); }

bool ShowsNewImage(ViewType view) {
  return view == ViewType::kNewImage || view == ViewType::kNewAndOldImages;
}

bool ShowsOldImage(ViewType view) {
  return view == ViewType::kOldImage || view == ViewType::kNewAndOldImages;
}

void AddJump(const wal::EpochStart& jump, frames::StreamCatalogueState& state) {
  frames::EpochJump* const saved = state.add_jumps();
  saved->set_epoch(jump.epoch.value);
  saved->set_old_end(jump.old_end.value);
  saved->set_new_start(jump.new_start.value);
}

constexpr uint64_t kWaitMsMax =
    365ull * 24 * 3600'000;  // Keeps deadlines within the clock's range.

// A log watched by a bell, as long as it lives.
class Watching {
 public:
  Watching(LogPointer log, Bell& bell) : log_(std::move(log)), bell_(&bell) { log_->Watch(*bell_); }
  Watching(Watching&& other) noexcept = default;
  Watching& operator=(Watching&&) = delete;
  ~Watching() {
    if (log_) log_->Unwatch(*bell_);
  }

  const ShardLog& log() const { return *log_; }

 private:
  LogPointer log_;
  Bell* bell_;
};

// Removes a shard's directory with all files in it. What is already gone is no error.
Result<uint64_t> RemoveShardDirectory(OpenFiles& files, const std::string& path) {
  wal::FileSystem& fs = files.fs();
  uint64_t bytes = 0;
  const auto entries = fs.List(path);
  if (entries.status().code() == StatusCode::kNotFound) return bytes;
  TAILRACE_RETURN_IF_ERROR(entries.status());
  for (const wal::DirectoryEntry& entry : *entries) {
    const std::string file_path = wal::JoinPath(path, entry.name);
    if (const auto file = fs.Open(file_path, wal::OpenMode::kRead); file.ok()) {
      const auto file_bytes = (*file)->SizeBytes();
      if (file_bytes.ok()) bytes += *file_bytes;
    }
    files.Forget(file_path);
    TAILRACE_RETURN_IF_ERROR(fs.Remove(file_path));
  }
  files.Forget(path);
  TAILRACE_RETURN_IF_ERROR(fs.RemoveDirectory(path));
  return bytes;
}

}  // namespace

struct ShardSet::State {
  State(wal::FileSystem& fs, std::string directory_path, StoreId store, Epoch current_epoch,
        const ShardSetOptions& set_options)
      : options(set_options),
        directory(std::move(directory_path)),
        store_id(store),
        epoch(current_epoch),
        files(fs, set_options.open_files_max) {}

  const ShardSetOptions options;
  const std::string directory;
  const StoreId store_id;
  const Epoch epoch;
  OpenFiles files;

  // Jumps of the journal that may have taken back what readers had seen, oldest first. Constant
  // after Open, and kept in checkpoints.
  std::vector<wal::EpochStart> jumps;

  // ---- The writer's own. ----
  StreamCatalogue applied;
  std::unordered_map<uint64_t, LogPointer> writer_logs;  // By shard id: all in `applied`.
  std::vector<LogPointer> touched;                       // To be published; may repeat.
  std::vector<LogPointer> opened;                        // New in writer_logs; to be published.
  std::vector<LogPointer> left;                          // Left the catalogue; to be published.
  bool catalogue_changed = false;
  std::unordered_map<uint64_t, LoadMeter> meters;  // By shard id: of open shards with records.
  std::set<BusyShard> new_busy;                    // To be published.
  uint64_t buffered_bytes = 0;  // At most; counted anew when everything is written.
  Lsn applied_end;
  Status failure;
  std::unique_ptr<ControlWriter> control;  // Null: nobody follows.
  bool told_followers = false;             // Of all shards that there were when it was opened.

  // ---- Shared. ----
  std::atomic<uint64_t> published{0};
  mutable SharedMutex mutex;
  std::shared_ptr<const StreamCatalogue> catalogue TAILRACE_GUARDED_BY(mutex);
  std::map<ShardKey, LogPointer> logs TAILRACE_GUARDED_BY(mutex);
  std::map<ShardKey, std::string> gone_paths TAILRACE_GUARDED_BY(mutex);  // Still to be removed.
  std::set<BusyShard> busy TAILRACE_GUARDED_BY(mutex);
  uint64_t shard_id_max TAILRACE_GUARDED_BY(mutex) = 0;  // Of all shards since the opening.
  bool closed TAILRACE_GUARDED_BY(mutex) = false;

  // Opening.
  Status OpenLogs(const ShardSetState& state);
  Result<std::map<ShardKey, std::string>> ListDirectories();
  Result<std::vector<std::string>> FindStrangers();
  Status RemoveStrangers(const std::vector<std::string>& strangers);
  void MergeJumps(const frames::StreamCatalogueState& saved, std::vector<wal::EpochStart> found);

  // Writing.
  Status ApplyFrame(const wal::Frame& frame);
  Status ApplyCommit(const wal::Frame& frame);
  Status ApplyCatalogue(const wal::Frame& frame);
  Status ApplyTrim(const wal::Frame& frame);
  Status FollowCatalogue(const frames::CatalogueChange& change, Lsn lsn);
  LogPointer MakeLog(const Stream& stream, const Shard& shard);
  void AddLog(const Stream& stream, const Shard& shard);
  Status SealLog(ShardId shard, Lsn lsn);
  Status FlushTouched();
  void Measure(const Stream& stream, const Shard& shard, const RecordView& record, uint64_t hash);
  void PublishBusy();
  void PublishToFollowers(Lsn end);
  frames::StreamCatalogueState CatalogueWithJumps() const;
  void PublishCatalogue() TAILRACE_REQUIRES(mutex);

  // Reading.
  Result<LogPointer> Find(const ShardKey& key) const;
  Result<LogPointer> Find(const Position& position) const;
  PositionScope scope() const { return {store_id, epoch, jumps}; }
};

ShardSet::ShardSet() = default;

ShardSet::~ShardSet() {
  if (state_) Close();
}

// ---------------------------------------------------------------------------------------- opening

Result<std::unique_ptr<ShardSet>> ShardSet::Open(wal::FileSystem& fs, std::string directory,
                                                 StoreId store_id, Epoch epoch,
                                                 const ShardSetState& state,
                                                 std::vector<wal::EpochStart> epochs,
                                                 const ShardSetOptions& options) {
  if (options.open_files_max == 0 || options.index_interval_bytes == 0) {
    return InvalidArgument("open_files_max and index_interval_bytes must not be 0");
  }
  std::unique_ptr<ShardSet> set(new ShardSet);
  set->state_ = std::make_unique<State>(fs, std::move(directory), store_id, epoch, options);
  State& s = *set->state_;
  TAILRACE_ASSIGN_OR_RETURN(s.applied, StreamCatalogue::FromProto(state.catalogue));
  s.MergeJumps(state.catalogue, std::move(epochs));
  TAILRACE_RETURN_IF_ERROR(s.files.MakeDirectory(s.directory));
  // Everything is checked before anything is changed.
  TAILRACE_RETURN_IF_ERROR(s.OpenLogs(state));
  TAILRACE_ASSIGN_OR_RETURN(const auto strangers, s.FindStrangers());
  if (options.followers) {
    s.control = std::make_unique<ControlWriter>(fs, s.directory, store_id, epoch);
    if (!TAILRACE_MUTANT("followers-not-held-off")) s.control->TakeOver();
  }
  TAILRACE_RETURN_IF_ERROR(s.RemoveStrangers(strangers));
  for (const auto& [id, log] : s.writer_logs) {
    TAILRACE_RETURN_IF_ERROR(log->Cut());
    s.opened.push_back(log);
  }
  WriterLock lock(s.mutex);
  s.PublishCatalogue();
  s.opened.clear();
  return set;
}

Status ShardSet::State::OpenLogs(const ShardSetState& state) {
  std::map<uint64_t, const frames::ShardEnd*> ends;
  for (const frames::ShardEnd& end : state.ends) {
    if (applied.FindShard(StreamId{end.stream()}, ShardId{end.shard()}) == nullptr ||
        end.ordinal() == 0 || !ends.emplace(end.shard(), &end).second) {
      return Corruption("the saved state of shard " + std::to_string(end.shard()) +
                        " fits no shard of the catalogue");
    }
  }
  for (const auto& [stream_id, stream] : applied.streams()) {
    for (const auto& [shard_id, shard] : stream.shards) {
      const auto end = ends.find(shard_id.value);
      if (end == ends.end()) {
        writer_logs.emplace(shard_id.value, MakeLog(stream, shard));
        continue;
      }
      TAILRACE_ASSIGN_OR_RETURN(
          LogPointer log,
          ShardLog::Open(files, options, ShardPath(directory, stream_id, shard_id),
                         MakeShardHeader(store_id, stream, shard), *end->second,
                         {.trimmed_below = shard.trimmed_below, .ending = shard.ending}));
      writer_logs.emplace(shard_id.value, std::move(log));
    }
  }
  return Status::Ok();
}

// The directories of shards that had no record at the cut: what recovery replays makes them again,
// and those that left the catalogue stay away. One of another store is no leftover of ours:
// kCorruption.
Result<std::vector<std::string>> ShardSet::State::FindStrangers() {
  std::vector<std::string> strangers;
  TAILRACE_ASSIGN_OR_RETURN(const auto shards, ListDirectories());
  for (const auto& [key, path] : shards) {
    const auto log = writer_logs.find(key.shard.value);
    if (log != writer_logs.end() && log->second->stream() == key.stream && log->second->end()) {
      continue;
    }
    const auto header = ReadShardHeader(files.fs(), path);
    if (header.ok() && header->store() != store_id.value) {
      return Corruption(path + ": the directory belongs to another store");
    }
    strangers.push_back(path);
  }
  return strangers;
}

// All shard directories by their names.
Result<std::map<ShardKey, std::string>> ShardSet::State::ListDirectories() {
  std::map<ShardKey, std::string> shards;
  TAILRACE_ASSIGN_OR_RETURN(const auto stream_entries, files.fs().List(directory));
  for (const wal::DirectoryEntry& stream_entry : stream_entries) {
    const auto stream = ParseStreamDirectoryName(stream_entry.name);
    if (!stream || !stream_entry.is_directory) continue;
    const std::string stream_path = wal::JoinPath(directory, stream_entry.name);
    TAILRACE_ASSIGN_OR_RETURN(const auto shard_entries, files.fs().List(stream_path));
    for (const wal::DirectoryEntry& shard_entry : shard_entries) {
      const auto shard = ParseShardDirectoryName(shard_entry.name);
      if (!shard || !shard_entry.is_directory) continue;
      shards.emplace(ShardKey{*stream, *shard}, wal::JoinPath(stream_path, shard_entry.name));
    }
  }
  return shards;
}

// Removes these shard directories, and those of their streams that are empty and unknown then.
Status ShardSet::State::RemoveStrangers(const std::vector<std::string>& strangers) {
  for (const std::string& path : strangers) {
    TAILRACE_RETURN_IF_ERROR(RemoveShardDirectory(files, path).status());
  }
  TAILRACE_ASSIGN_OR_RETURN(const auto entries, files.fs().List(directory));
  for (const wal::DirectoryEntry& entry : entries) {
    const auto stream = ParseStreamDirectoryName(entry.name);
    if (!stream || !entry.is_directory || applied.Find(*stream) != nullptr) continue;
    const std::string path = wal::JoinPath(directory, entry.name);
    TAILRACE_ASSIGN_OR_RETURN(const auto left_over, files.fs().List(path));
    if (left_over.empty()) TAILRACE_RETURN_IF_ERROR(files.fs().RemoveDirectory(path));
  }
  return Status::Ok();
}

void ShardSet::State::MergeJumps(const frames::StreamCatalogueState& saved,
                                 std::vector<wal::EpochStart> found) {
  std::map<Epoch, wal::EpochStart> by_epoch;
  for (const frames::EpochJump& jump : saved.jumps()) {
    const Epoch at{jump.epoch()};
    by_epoch[at] = wal::EpochStart{.epoch = at,
                                   .old_end = Lsn{jump.old_end()},
                                   .new_start = Lsn{jump.new_start()},
                                   .clean = false};
  }
  for (const wal::EpochStart& jump : found) {
    if (!jump.clean) by_epoch[jump.epoch] = jump;
  }
  for (const auto& [at, jump] : by_epoch) jumps.push_back(jump);
}

// ---------------------------------------------------------------------------------------- writing

Status ShardSet::Apply(const wal::Frame& frame) {
  State& s = *state_;
  if (!s.failure.ok()) return s.failure;
  TAILRACE_CHECK(frame.lsn >= s.applied_end, "frames are applied in journal order, once");
  s.failure = s.ApplyFrame(frame);
  s.applied_end = frame.end;
  return s.failure;
}

Status ShardSet::State::ApplyFrame(const wal::Frame& frame) {
  Status applied_frame;
  if (frame.type == kCommitFrame) {
    applied_frame = ApplyCommit(frame);
  } else if (frame.type == kCatalogueFrame) {
    applied_frame = ApplyCatalogue(frame);
  } else if (frame.type == kTrimFrame) {
    applied_frame = ApplyTrim(frame);
  }
  if (applied_frame.ok()) return applied_frame;
  return applied_frame.WithContext("journal frame " + std::to_string(frame.lsn.value));
}

Status ShardSet::State::ApplyCommit(const wal::Frame& frame) {
  TAILRACE_ASSIGN_OR_RETURN(const Commit commit, DecodeCommit(frame.payload));
  for (size_t i = 0; i < commit.changes.size(); ++i) {
    const Change& change = commit.changes[i];
    if (change.stream.value == 0) continue;
    const Stream* const stream = applied.Find(change.stream);
    const Shard* const shard = applied.Route(change.stream, change.partition_hash());
    if (shard == nullptr) {
      return Corruption("a change goes to stream " + std::to_string(change.stream.value) +
                        ", which has no open shard for it");
    }
    RecordView record;
    record.sequence = SequenceNumber{frame.lsn.value + i};
    record.age_ms = commit.age_ms;
    record.wall_ms = commit.wall_ms;
    record.kind = change.kind();
    record.actor = change.actor;
    record.change_index = static_cast<uint32_t>(i);
    record.change_count = static_cast<uint32_t>(commit.changes.size());
    record.key = change.key;
    if (ShowsNewImage(stream->view)) record.new_image = change.new_image;
    if (ShowsOldImage(stream->view) || TAILRACE_MUTANT("view-shows-too-much")) {
      record.old_image = change.old_image;
    }
    const LogPointer& log = writer_logs.at(shard->id.value);
    const bool was_empty = log->buffered_bytes() == 0;
    const uint64_t bytes_before = log->buffered_bytes();
    TAILRACE_RETURN_IF_ERROR(log->Append(record, frame.epoch));
    if (was_empty) touched.push_back(log);
    if (options.load.any()) Measure(*stream, *shard, record, change.partition_hash());
    if (log->buffered_bytes() > bytes_before)
      buffered_bytes += log->buffered_bytes() - bytes_before;
  }
  return buffered_bytes < options.buffers_bytes_max ? Status::Ok() : FlushTouched();
}

void ShardSet::State::Measure(const Stream& stream, const Shard& shard, const RecordView& record,
                              uint64_t hash) {
  const uint64_t bytes = record.key.size() + record.new_image.value_or(ByteView()).size() +
                         record.old_image.value_or(ByteView()).size();
  if (meters[shard.id.value].Count(record.age_ms, hash, bytes, options.load)) {
    new_busy.insert({stream.id, shard.id});
  }
}

Status ShardSet::State::ApplyCatalogue(const wal::Frame& frame) {
  frames::Catalogue message;
  if (!message.ParseFromArray(frame.payload.data(), static_cast<int>(frame.payload.size()))) {
    return Corruption("catalogue frame: it is not a Protobuf message");
  }
  for (const frames::CatalogueChange& change : message.changes()) {
    TAILRACE_RETURN_IF_ERROR(applied.Apply(change, frame.lsn, message.age_ms()));
    TAILRACE_RETURN_IF_ERROR(FollowCatalogue(change, frame.lsn));
  }
  catalogue_changed = true;
  return Status::Ok();
}

// Brings the logs to what `applied` says after `change`.
Status ShardSet::State::FollowCatalogue(const frames::CatalogueChange& change, Lsn lsn) {
  if (change.has_enable_stream()) {
    const Stream& stream = *applied.Find(StreamId{change.enable_stream().id()});
    for (const auto& [id, shard] : stream.shards) AddLog(stream, shard);
  } else if (change.has_disable_stream()) {
    const Stream& stream = *applied.Find(StreamId{change.disable_stream().stream()});
    for (const auto& [id, shard] : stream.shards) {
      if (shard.ending == SequenceNumber{lsn.value}) TAILRACE_RETURN_IF_ERROR(SealLog(id, lsn));
    }
  } else if (change.has_seal_and_open()) {
    const Stream& stream = *applied.Find(StreamId{change.seal_and_open().stream()});
    for (const uint64_t parent : change.seal_and_open().parents()) {
      TAILRACE_RETURN_IF_ERROR(SealLog(ShardId{parent}, lsn));
    }
    for (const frames::ShardSpec& child : change.seal_and_open().children()) {
      if (TAILRACE_MUTANT("sealed-without-opening")) break;
      AddLog(stream, stream.shards.at(ShardId{child.id()}));
    }
  }
  return Status::Ok();
}

Status ShardSet::State::ApplyTrim(const wal::Frame& frame) {
  frames::Trim message;
  if (!message.ParseFromArray(frame.payload.data(), static_cast<int>(frame.payload.size()))) {
    return Corruption("trim frame: it is not a Protobuf message");
  }
  for (const frames::ShardTrim& trim : message.trims()) {
    if (trim.below() > frame.lsn.value) {
      return Corruption("trim frame: shard " + std::to_string(trim.shard()) +
                        " is trimmed above the frame itself");
    }
  }
  TAILRACE_RETURN_IF_ERROR(applied.Apply(message));
  catalogue_changed = true;
  for (const frames::ShardTrim& trim : message.trims()) {
    const auto found = writer_logs.find(trim.shard());
    if (found == writer_logs.end() || found->second->stream() != StreamId{trim.stream()}) continue;
    if (applied.FindShard(StreamId{trim.stream()}, ShardId{trim.shard()}) == nullptr) {
      left.push_back(found->second);
      writer_logs.erase(found);
      continue;
    }
    TAILRACE_RETURN_IF_ERROR(found->second->Trim(SequenceNumber{trim.below()}));
    touched.push_back(found->second);
    if (!TAILRACE_MUTANT("unlinked-before-durable") || !found->second->end()) continue;
    (void)found->second->RemoveBelow(SequenceNumber{trim.below()}, *found->second->end()).ok();
  }
  return Status::Ok();
}

LogPointer ShardSet::State::MakeLog(const Stream& stream, const Shard& shard) {
  return std::make_shared<ShardLog>(
      files, options, ShardPath(directory, stream.id, shard.id),
      MakeShardHeader(store_id, stream, shard),
      ShardLog::Limits{.trimmed_below = shard.trimmed_below, .ending = shard.ending});
}

void ShardSet::State::AddLog(const Stream& stream, const Shard& shard) {
  const auto [log, added] = writer_logs.emplace(shard.id.value, MakeLog(stream, shard));
  TAILRACE_CHECK(added, "the catalogue refuses a shard id that is taken");
  opened.push_back(log->second);
}

Status ShardSet::State::SealLog(ShardId shard, Lsn lsn) {
  const LogPointer& log = writer_logs.at(shard.value);
  touched.push_back(log);
  meters.erase(shard.value);
  return log->Seal(SequenceNumber{lsn.value});
}

Status ShardSet::State::FlushTouched() {
  for (const LogPointer& log : touched) TAILRACE_RETURN_IF_ERROR(log->Flush());
  buffered_bytes = 0;
  return Status::Ok();
}

Status ShardSet::Publish(Lsn end) {
  State& s = *state_;
  if (!s.failure.ok()) return s.failure;
  TAILRACE_CHECK(end.value >= s.published.load(), "the published position rises");
  TAILRACE_CHECK(end >= s.applied_end, "all frames applied are published at once");
  s.failure = s.FlushTouched();
  if (!s.failure.ok()) return s.failure;
  if (s.catalogue_changed) {
    WriterLock lock(s.mutex);
    s.PublishCatalogue();
  }
  if (s.control && s.catalogue_changed) s.control->ChangeCatalogue();
  s.catalogue_changed = false;
  for (const LogPointer& log : s.touched) log->Publish();
  for (const LogPointer& log : s.left) log->MarkGone();
  s.published.store(end.value, std::memory_order_release);
  if (s.control) s.PublishToFollowers(end);
  s.touched.clear();
  s.opened.clear();
  s.left.clear();
  if (!s.new_busy.empty()) s.PublishBusy();
  return Status::Ok();
}

size_t ShardSet::touched() const { return state_->touched.size(); }

bool ShardSet::FollowersWait() const { return state_->control && state_->control->FollowersWait(); }

// The first time all shards are told, later those that changed.
void ShardSet::State::PublishToFollowers(Lsn end) {
  if (control->catalogue_due()) control->WriteCatalogue(CatalogueWithJumps());
  std::map<ShardId, LogPointer> changed;
  if (!told_followers) {
    for (const auto& [id, log] : writer_logs) changed.emplace(ShardId{id}, log);
  }
  told_followers = true;
  for (const LogPointer& log : touched) changed.emplace(log->shard(), log);
  for (const LogPointer& log : opened) changed.emplace(log->shard(), log);
  std::vector<ShardId> gone;
  for (const LogPointer& log : left) {
    gone.push_back(log->shard());
    changed.erase(log->shard());
  }
  std::vector<PublishedShard> shards;
  for (const auto& [id, log] : changed) shards.push_back(log->published());
  control->Publish(shards, gone, end);
}

// Of the frames applied so far, with all jumps on record.
frames::StreamCatalogueState ShardSet::State::CatalogueWithJumps() const {
  frames::StreamCatalogueState state = applied.ToProto();
  for (const wal::EpochStart& jump : jumps) AddJump(jump, state);
  return state;
}

void ShardSet::State::PublishBusy() {
  {
    WriterLock lock(mutex);
    busy.merge(new_busy);
  }
  new_busy.clear();
  if (options.on_busy_shard) options.on_busy_shard();
}

std::vector<BusyShard> ShardSet::TakeBusy() {
  WriterLock lock(state_->mutex);
  std::vector<BusyShard> taken(state_->busy.begin(), state_->busy.end());
  state_->busy.clear();
  return taken;
}

void ShardSet::State::PublishCatalogue() {
  for (const LogPointer& log : opened) {
    logs.emplace(ShardKey{log->stream(), log->shard()}, log);
    if (closed) log->Close();
    shard_id_max = std::max(shard_id_max, log->shard().value);
  }
  for (const LogPointer& log : left) {
    const ShardKey key{log->stream(), log->shard()};
    gone_paths.emplace(key, log->path());
    logs.erase(key);
  }
  catalogue = std::make_shared<const StreamCatalogue>(applied);
}

ShardSetState ShardSet::Capture() const {
  const State& s = *state_;
  ShardSetState state;
  state.catalogue = s.applied.ToProto();
  SequenceNumber trimmed_everywhere{UINT64_MAX};
  for (const auto& [stream_id, stream] : s.applied.streams()) {
    for (const auto& [shard_id, shard] : stream.shards) {
      trimmed_everywhere = std::min(trimmed_everywhere, shard.trimmed_below);
      const auto end = s.writer_logs.at(shard_id.value)->end();
      if (end) state.ends.push_back(*end);
    }
  }
  for (const wal::EpochStart& jump : s.jumps) {
    // A position that the jump concerns lies below every trim point: it meets a gap anyway.
    if (jump.new_start.value <= trimmed_everywhere.value) continue;
    AddJump(jump, state.catalogue);
  }
  return state;
}

Status ShardSet::Sync() { return state_->files.Sync(); }

// ---------------------------------------------------------------------------------------- reading

StreamCatalogue ShardSet::catalogue() const {
  ReaderLock lock(state_->mutex);
  return *state_->catalogue;
}

Lsn ShardSet::published() const { return Lsn{state_->published.load(std::memory_order_acquire)}; }

Result<LogPointer> ShardSet::State::Find(const ShardKey& key) const {
  ReaderLock lock(mutex);
  const auto found = logs.find(key);
  if (found != logs.end()) return found->second;
  if (key.shard.value != 0 && key.shard.value <= shard_id_max) {
    return NotFound(Named(key) + " does not exist; if it did, it expired and was removed");
  }
  return NotFound(Named(key) + " does not exist");
}

Result<LogPointer> ShardSet::State::Find(const Position& position) const {
  TAILRACE_RETURN_IF_ERROR(CheckPosition(scope(), position));
  TAILRACE_ASSIGN_OR_RETURN(LogPointer log, Find(ShardKey{position.stream, position.shard}));
  TAILRACE_RETURN_IF_ERROR(CheckBeginning(*log, position));
  return log;
}

Result<Position> ShardSet::Seek(StreamId stream, ShardId shard, StartAt start,
                                SequenceNumber number, uint64_t wall_ms) const {
  TAILRACE_ASSIGN_OR_RETURN(const LogPointer log, state_->Find(ShardKey{stream, shard}));
  return shards::Seek(state_->scope(), *log, published(), start, number, wall_ms);
}

Status ShardSet::Read(const Position& position, const PageLimits& limits, RecordPage& page) const {
  const State& s = *state_;
  page.Clear();
  TAILRACE_ASSIGN_OR_RETURN(const LogPointer log, s.Find(position));
  return ReadPage(s.scope(), *log, position, limits, page);
}

Result<Page> ShardSet::Read(const Position& position, const PageLimits& limits) const {
  RecordPage page;
  TAILRACE_RETURN_IF_ERROR(Read(position, limits, page));
  return page.Copy();
}

Result<Backlog> ShardSet::BacklogFrom(const Position& position) const {
  TAILRACE_ASSIGN_OR_RETURN(const LogPointer log, state_->Find(position));
  return log->BacklogFrom(position.next);
}

Result<bool> ShardSet::Wait(const Position& position, uint64_t timeout_ms) const {
  return WaitAny({position}, timeout_ms);
}

Result<bool> ShardSet::WaitAny(const std::vector<Position>& positions, uint64_t timeout_ms) const {
  Bell bell;
  return WaitAny(positions, timeout_ms, bell, [] {});
}

Result<bool> ShardSet::WaitAny(const std::vector<Position>& positions, uint64_t timeout_ms,
                               Bell& bell, const std::function<void()>& on_ring) const {
  const State& s = *state_;
  const auto deadline = std::chrono::steady_clock::now() +
                        std::chrono::milliseconds(std::min(timeout_ms, kWaitMsMax));
  // Watched from before the first look, so that nothing comes between the look and the sleep.
  std::vector<Watching> watching;
  watching.reserve(positions.size());
  for (const Position& position : positions) {
    TAILRACE_ASSIGN_OR_RETURN(LogPointer log, s.Find(position));
    if (LossOf(s.scope(), position)) return true;
    watching.emplace_back(std::move(log), bell);
  }
  do {
    on_ring();
    for (size_t i = 0; i < positions.size(); ++i) {
      TAILRACE_ASSIGN_OR_RETURN(const bool ready, watching[i].log().Ready(positions[i].next));
      if (ready) return true;
    }
  } while (bell.Sleep(deadline));
  return false;
}

// -------------------------------------------------------------------------------------- retention

Result<frames::Trim> ShardSet::PlanTrim(uint64_t age_ms, const std::vector<Pin>& pins) const {
  const State& s = *state_;
  std::shared_ptr<const StreamCatalogue> catalogue;
  {
    ReaderLock lock(s.mutex);
    catalogue = s.catalogue;
  }
  frames::Trim plan;
  for (const auto& [stream_id, stream] : catalogue->streams()) {
    std::vector<Pin> of_stream;
    std::copy_if(pins.begin(), pins.end(), std::back_inserter(of_stream),
                 [id = stream_id](const Pin& pin) { return pin.stream == id; });
    std::vector<ExpiredShard> expired;
    for (const auto& [shard_id, shard] : stream.shards) {
      const auto log = s.Find(ShardKey{stream_id, shard_id});
      if (!log.ok()) continue;  // It left meanwhile.
      ExpiredShard& one = expired.emplace_back(ExpiredShard{.shard = shard_id});
      TAILRACE_ASSIGN_OR_RETURN(one.expired_below,
                                (*log)->PlanTrim(age_ms, stream.retention_ms, shard.sealed_age_ms));
      if (of_stream.empty()) continue;
      TAILRACE_ASSIGN_OR_RETURN(one.spans, (*log)->Spans());
    }
    for (const auto& [shard_id, below] : TrimsUnderPins(expired, of_stream)) {
      if (below <= stream.shards.at(shard_id).trimmed_below) continue;
      frames::ShardTrim* const trim = plan.add_trims();
      trim->set_stream(stream_id.value);
      trim->set_shard(shard_id.value);
      trim->set_below(below.value);
    }
  }
  return plan;
}

Result<uint64_t> ShardSet::RemoveTrimmed(const ShardSetState& durable) {
  State& s = *state_;
  std::set<ShardKey> kept;
  std::map<ShardKey, SequenceNumber> trimmed_below;
  for (const frames::StreamState& stream : durable.catalogue.streams()) {
    for (const frames::ShardState& shard : stream.shards()) {
      const ShardKey key{StreamId{stream.spec().id()}, ShardId{shard.spec().id()}};
      trimmed_below.emplace(key, SequenceNumber{shard.trimmed_below()});
    }
  }
  uint64_t freed_bytes = 0;
  for (const frames::ShardEnd& end : durable.ends) {
    const ShardKey key{StreamId{end.stream()}, ShardId{end.shard()}};
    const auto log = s.Find(key);
    if (!log.ok() || !trimmed_below.contains(key)) continue;
    TAILRACE_ASSIGN_OR_RETURN(const uint64_t bytes,
                              (*log)->RemoveBelow(trimmed_below.at(key), end));
    freed_bytes += bytes;
  }
  std::map<ShardKey, std::string> gone_paths;
  {
    WriterLock lock(s.mutex);
    for (auto entry = s.gone_paths.begin(); entry != s.gone_paths.end();) {
      const auto gone = entry++;
      if (trimmed_below.contains(gone->first)) continue;
      gone_paths.insert(s.gone_paths.extract(gone));
    }
  }
  while (!gone_paths.empty()) {
    const auto removed = RemoveShardDirectory(s.files, gone_paths.begin()->second);
    if (!removed.ok()) {  // Tried again with the next checkpoint.
      WriterLock lock(s.mutex);
      s.gone_paths.merge(gone_paths);
      return removed.status();
    }
    freed_bytes += *removed;
    gone_paths.erase(gone_paths.begin());
  }
  return freed_bytes;
}

std::vector<ShardSet::ShardStat> ShardSet::Stats() const {
  const State& s = *state_;
  std::vector<LogPointer> logs;
  {
    ReaderLock lock(s.mutex);
    for (const auto& [key, log] : s.logs) logs.push_back(log);
  }
  std::vector<ShardStat> stats;
  for (const LogPointer& log : logs) {
    const ShardLog::Size size = log->size();
    const ShardLog::Bounds bounds = log->bounds();
    stats.push_back({.stream = log->stream(),
                     .shard = log->shard(),
                     .bytes = size.bytes,
                     .segments = size.segments,
                     .records_appended = bounds.last.ordinal,
                     .last_sequence = bounds.last.sequence});
  }
  return stats;
}

void ShardSet::Close() {
  WriterLock lock(state_->mutex);
  state_->closed = true;
  for (const auto& [key, log] : state_->logs) log->Close();
}

}  // namespace tailrace::shards
