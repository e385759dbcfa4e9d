#include "engine/backup_writer.h"

#include <algorithm>
#include <vector>

#include "engine/backup_files.h"
#include "engine/cut.pb.h"
#include "engine/directory_tree.h"
#include "shards/offline.h"
#include "shards/shard_header.h"
#include "wal/segment.h"

namespace tailrace::engine {
namespace {

// The state at the cut: nothing that happens to the store later changes what these give.
struct Held {
  struct Items {
    TableId table;
    std::unique_ptr<IndexCursor> cursor;
  };
  Cut cut;
  std::vector<Items> items;
};

class BackupWriter {
 public:
  BackupWriter(Core& core, Checkpointer& checkpointer, std::string directory,
               const BackupOptions& options)
      : core_(core),
        checkpointer_(checkpointer),
        fs_(*core.options.fs),
        directory_(std::move(directory)),
        options_(options) {}
  ~BackupWriter() {
    if (held_files_) checkpointer_.ReleaseFiles();
  }
  BackupWriter(const BackupWriter&) = delete;
  BackupWriter& operator=(const BackupWriter&) = delete;

  Result<BackupReport> Run();

 private:
  Status Claim();
  Status Hold();
  Status CopyItems(Held::Items& items);
  Status CopyShard(const frames::ShardEnd& end);
  Status CopyFile(const std::string& source, uint64_t bytes, BackupFile entry);
  Status VerifyShard(const frames::ShardEnd& end) const;
  Status Conclude();

  Core& core_;
  Checkpointer& checkpointer_;
  wal::FileSystem& fs_;
  const std::string directory_;
  const BackupOptions& options_;
  std::unique_ptr<wal::FileLock> lock_;
  Held held_;
  bool held_files_ = false;
  std::unique_ptr<BackupMeter> meter_;
  BackupManifest manifest_;
};

// The directory is ours, and empty but for what says that the backup is not finished.
Status BackupWriter::Claim() {
  const std::string unfinished = wal::JoinPath(directory_, kBackupUnfinishedName);
  TAILRACE_RETURN_IF_ERROR(EnsureDirectory(fs_, directory_));
  TAILRACE_RETURN_IF_ERROR(fs_.CheckPrivate(directory_));
  TAILRACE_ASSIGN_OR_RETURN(const auto entries, fs_.List(directory_));
  const auto has = [&](const char* name) {
    return std::any_of(entries.begin(), entries.end(),
                       [&](const auto& e) { return e.name == name; });
  };
  if (has(kBackupManifestName)) {
    return AlreadyExists("there is a backup in " + directory_ +
                         " already; choose another directory, or remove it");
  }
  if (!entries.empty() && !has(kBackupUnfinishedName)) {
    return AlreadyExists(directory_ +
                         " holds something that is no backup; choose an empty or a new "
                         "directory");
  }
  TAILRACE_ASSIGN_OR_RETURN(lock_, fs_.Lock(unfinished));
  TAILRACE_RETURN_IF_ERROR(RemoveContents(fs_, directory_, kBackupUnfinishedName));
  return fs_.SyncDirectory(directory_);
}

// A checkpoint, and cursors over the items of its cut.
Status BackupWriter::Hold() {
  const Status held = checkpointer_.RunAndHoldFiles([&]() -> Status {
    TAILRACE_ASSIGN_OR_RETURN(const auto bytes, core_.index->ReadCut());
    if (!bytes || !held_.cut.ParseFromString(*bytes)) {
      return Corruption(core_.paths.items + " has lost its cut");
    }
    TAILRACE_ASSIGN_OR_RETURN(const auto catalogue, Catalogue::FromProto(held_.cut.catalogue()));
    for (const TableId table : core_.index->Tables()) {
      if (!catalogue.Holds(table)) continue;
      TAILRACE_ASSIGN_OR_RETURN(auto cursor, core_.index->NewCursor(table));
      held_.items.push_back({table, std::move(cursor)});
    }
    return Status::Ok();
  });
  held_files_ = held.ok();
  return held;
}

Status BackupWriter::CopyItems(Held::Items& items) {
  BackupFile entry;
  entry.set_name(BackupItemsName(items.table));
  entry.set_table(items.table.value);
  TAILRACE_ASSIGN_OR_RETURN(
      const auto file,
      BackupFileWriter::Create(fs_, wal::JoinPath(directory_, entry.name()), *meter_));
  for (items.cursor->SeekAtLeast({}); items.cursor->valid(); items.cursor->Next()) {
    TAILRACE_RETURN_IF_ERROR(
        file->AppendItem(items.cursor->key(), items.cursor->lsn(), items.cursor->image()));
  }
  TAILRACE_RETURN_IF_ERROR(items.cursor->status().WithContext("the items cannot be copied"));
  items.cursor.reset();
  TAILRACE_RETURN_IF_ERROR(file->Finish(entry));
  *manifest_.add_files() = std::move(entry);
  return Status::Ok();
}

// The first `bytes` bytes of `source`.
Status BackupWriter::CopyFile(const std::string& source, uint64_t bytes, BackupFile entry) {
  TAILRACE_ASSIGN_OR_RETURN(const auto from, fs_.Open(source, wal::OpenMode::kRead));
  TAILRACE_ASSIGN_OR_RETURN(
      const auto to,
      BackupFileWriter::Create(fs_, wal::JoinPath(directory_, entry.name()), *meter_));
  std::string piece;
  for (uint64_t at = 0; at < bytes; at += piece.size()) {
    piece.resize(std::min(kBackupPieceBytes, bytes - at));
    TAILRACE_ASSIGN_OR_RETURN(const uint64_t got, from->Read(at, piece.data(), piece.size()));
    if (got < piece.size()) {
      return Corruption(source + " ends at offset " + std::to_string(at + got) + ", before " +
                        std::to_string(bytes));
    }
    TAILRACE_RETURN_IF_ERROR(to->Append(piece));
  }
  TAILRACE_RETURN_IF_ERROR(to->Finish(entry));
  *manifest_.add_files() = std::move(entry);
  return Status::Ok();
}

// The shard's log up to the cut: its header and its segments, as they lie there. Index files are
// made again where they are missed.
Status BackupWriter::CopyShard(const frames::ShardEnd& end) {
  const StreamId stream{end.stream()};
  const ShardId shard{end.shard()};
  const std::string source = shards::ShardPath(core_.paths.streams, stream, shard);
  TAILRACE_RETURN_IF_ERROR(
      EnsureDirectories(fs_, directory_, ParentOf(BackupLogFileName(stream, shard, "file"))));
  TAILRACE_ASSIGN_OR_RETURN(const auto files, fs_.List(source));
  for (const wal::DirectoryEntry& file : files) {
    const auto base = wal::ParseSegmentFileName(file.name);
    if (file.name != shards::kShardHeaderFileName && (!base || *base > end.segment_base()))
      continue;
    const std::string path = wal::JoinPath(source, file.name);
    TAILRACE_ASSIGN_OR_RETURN(const auto opened, fs_.Open(path, wal::OpenMode::kRead));
    TAILRACE_ASSIGN_OR_RETURN(uint64_t bytes, opened->SizeBytes());
    if (base && *base == end.segment_base()) bytes = end.segment_offset();
    BackupFile entry;
    entry.set_name(BackupLogFileName(stream, shard, file.name));
    entry.set_shard(shard.value);
    TAILRACE_RETURN_IF_ERROR(CopyFile(path, bytes, std::move(entry)));
  }
  return VerifyShard(end);
}

// Every record of the copy, so that a backup that is there can be restored whole.
Status BackupWriter::VerifyShard(const frames::ShardEnd& end) const {
  Status damaged;
  shards::OfflineVisitor visitor;
  visitor.on_record = [](const shards::OfflineRecord&) { return true; };
  visitor.on_damage = [&](const shards::Damage& damage) {
    if (damage.harmless() || !damaged.ok()) return;
    damaged = Corruption(damage.file + ", offset " + std::to_string(damage.offset) + ": " +
                         std::string(shards::DamageKindName(damage.kind)) + ": " + damage.message);
  };
  const std::string copy = wal::JoinPath(
      directory_,
      ParentOf(BackupLogFileName(StreamId{end.stream()}, ShardId{end.shard()}, "file")));
  const auto trim_points = shards::TrimPoints(held_.cut.catalogue().streams());
  const auto from = trim_points.find(ShardId{end.shard()});
  TAILRACE_RETURN_IF_ERROR(
      shards::VerifyShard(fs_, copy, end, visitor,
                          from == trim_points.end() ? shards::OfflineFrom{} : from->second)
          .status());
  return damaged.WithContext("the store's log was damaged before it was copied");
}

// Once the manifest is durable, the backup is there.
Status BackupWriter::Conclude() {
  manifest_.set_durability(static_cast<uint32_t>(core_.identity.durability));
  manifest_.set_created_ms(core_.identity.created_ms);
  manifest_.set_taken_ms(core_.options.clock->WallMs());
  *manifest_.mutable_cut() = held_.cut;
  for (const BackupFile& file : manifest_.files()) {
    // The files' names; the directories' own are durable since they were made.
    TAILRACE_RETURN_IF_ERROR(fs_.SyncDirectory(ParentOf(wal::JoinPath(directory_, file.name()))));
  }
  TAILRACE_RETURN_IF_ERROR(wal::ReplaceFile(fs_, wal::JoinPath(directory_, kBackupManifestName),
                                            EncodeBackupManifest(manifest_)));
  TAILRACE_RETURN_IF_ERROR(fs_.Remove(wal::JoinPath(directory_, kBackupUnfinishedName)));
  return fs_.SyncDirectory(directory_);
}

Result<BackupReport> BackupWriter::Run() {
  TAILRACE_RETURN_IF_ERROR(Claim());
  TAILRACE_RETURN_IF_ERROR(Hold());
  uint64_t bytes_total = core_.index->GetStats().bytes;
  for (const auto& shard : core_.shards->Stats()) bytes_total += shard.bytes;
  meter_ = std::make_unique<BackupMeter>(options_.on_progress, bytes_total);
  TAILRACE_RETURN_IF_ERROR(
      EnsureDirectories(fs_, directory_, ParentOf(BackupItemsName(TableId{}))));
  for (Held::Items& items : held_.items) TAILRACE_RETURN_IF_ERROR(CopyItems(items));
  for (const auto& end : held_.cut.shard_ends()) TAILRACE_RETURN_IF_ERROR(CopyShard(end));
  TAILRACE_RETURN_IF_ERROR(Conclude());
  return ReportOf(manifest_);
}

}  // namespace

Result<BackupReport> WriteBackup(Core& core, Checkpointer& checkpointer,
                                 const std::string& directory, const BackupOptions& options) {
  return BackupWriter(core, checkpointer, directory, options).Run();
}

}  // namespace tailrace::engine
