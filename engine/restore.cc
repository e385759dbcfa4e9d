// Reading backups: verifying one, and making a store of it.
#include <algorithm>
#include <map>
#include <vector>

#include "engine/backup.h"
#include "engine/backup_files.h"
#include "engine/catalogue.h"
#include "engine/store_builder.h"
#include "shards/offline.h"
#include "shards/reseal.h"
#include "shards/shard_header.h"

namespace tailrace {
namespace {

using engine::BackupFile;
using engine::BackupFileReader;
using engine::BackupManifest;
using engine::BackupMeter;

uint64_t BytesOf(const BackupManifest& manifest) { return engine::ReportOf(manifest).bytes; }

Result<wal::Durability> DurabilityOf(const BackupManifest& manifest) {
  const auto durability = static_cast<wal::Durability>(manifest.durability());
  if (durability == wal::Durability::kSync || durability == wal::Durability::kBuffered) {
    return durability;
  }
  return Unsupported("the backup is of a store with a durability that this build does not know");
}

Status VerifyFiles(wal::FileSystem& fs, const std::string& directory,
                   const BackupManifest& manifest, BackupMeter& meter) {
  TAILRACE_RETURN_IF_ERROR(DurabilityOf(manifest).status());
  TAILRACE_RETURN_IF_ERROR(engine::Catalogue::FromProto(manifest.cut().catalogue()).status());
  for (const BackupFile& file : manifest.files()) {
    if (file.has_shard() && file.bytes() > shards::kOfflineSegmentBytesMax) {
      return Corruption(file.name() + ": no file of a shard's log is so long");
    }
    TAILRACE_ASSIGN_OR_RETURN(const auto reader,
                              BackupFileReader::Open(fs, directory, file, meter));
    TAILRACE_RETURN_IF_ERROR(reader->Finish());
  }
  return Status::Ok();
}

// Items go in by table, so that the index takes them in one go.
std::vector<const BackupFile*> FilesOfItems(const BackupManifest& manifest) {
  std::vector<const BackupFile*> files;
  for (const BackupFile& file : manifest.files()) {
    if (file.has_table()) files.push_back(&file);
  }
  std::sort(files.begin(), files.end(),
            [](const BackupFile* a, const BackupFile* b) { return a->table() < b->table(); });
  return files;
}

Status RestoreItems(BackupFileReader& reader, TableId table, engine::StoreBuilder& builder) {
  while (true) {
    TAILRACE_ASSIGN_OR_RETURN(const auto item, reader.NextItem());
    if (!item) return Status::Ok();
    TAILRACE_RETURN_IF_ERROR(builder.AddItem(table, item->key, item->lsn, item->image));
  }
}

// A header or a segment, made one of the new store.
Status RestoreLogFile(BackupFileReader& reader, const BackupFile& file, StreamId stream,
                      StoreId from, engine::StoreBuilder& builder) {
  const ShardId shard{file.shard()};
  const std::string leaf = file.name().substr(file.name().rfind('/') + 1);
  TAILRACE_ASSIGN_OR_RETURN(std::string bytes, reader.ReadAll());
  if (leaf == shards::kShardHeaderFileName) {
    TAILRACE_ASSIGN_OR_RETURN(auto header, shards::DecodeShardHeader(bytes));
    header.set_store(builder.store_id().value);
    bytes = shards::EncodeShardHeader(header);
  } else {
    auto resealed = shards::ResealSegment(std::move(bytes), shard, from, builder.store_id());
    TAILRACE_RETURN_IF_ERROR(resealed.status().WithContext(file.name()));
    bytes = *std::move(resealed);
  }
  return builder.AddLogFile(stream, shard, leaf, bytes);
}

Status RestoreFiles(wal::FileSystem& fs, const std::string& backup, const BackupManifest& manifest,
                    BackupMeter& meter, engine::StoreBuilder& builder) {
  for (const BackupFile* file : FilesOfItems(manifest)) {
    TAILRACE_ASSIGN_OR_RETURN(const auto reader, BackupFileReader::Open(fs, backup, *file, meter));
    TAILRACE_RETURN_IF_ERROR(RestoreItems(*reader, TableId{file->table()}, builder));
  }
  std::map<uint64_t, uint64_t> stream_of;
  for (const auto& end : manifest.cut().shard_ends()) stream_of[end.shard()] = end.stream();
  for (const BackupFile& file : manifest.files()) {
    if (!file.has_shard()) continue;
    TAILRACE_ASSIGN_OR_RETURN(const auto reader, BackupFileReader::Open(fs, backup, file, meter));
    TAILRACE_RETURN_IF_ERROR(RestoreLogFile(*reader, file, StreamId{stream_of[file.shard()]},
                                            StoreId{manifest.cut().store_id()}, builder));
  }
  return Status::Ok();
}

}  // namespace

Result<BackupReport> VerifyBackup(wal::FileSystem& fs, const std::string& directory,
                                  const OnBackupProgress& on_progress) noexcept {
  TAILRACE_ASSIGN_OR_RETURN(const auto manifest, engine::ReadBackupManifest(fs, directory));
  BackupMeter meter(on_progress, BytesOf(manifest));
  TAILRACE_RETURN_IF_ERROR(VerifyFiles(fs, directory, manifest, meter));
  return engine::ReportOf(manifest);
}

Result<RestoreReport> RestoreBackup(wal::FileSystem& fs, const std::string& backup,
                                    const std::string& directory,
                                    const RestoreOptions& options) noexcept {
  TAILRACE_ASSIGN_OR_RETURN(const auto manifest, engine::ReadBackupManifest(fs, backup));
  BackupMeter meter(options.on_progress, 2 * BytesOf(manifest));
  TAILRACE_RETURN_IF_ERROR(VerifyFiles(fs, backup, manifest, meter));
  TAILRACE_ASSIGN_OR_RETURN(const wal::Durability durability, DurabilityOf(manifest));
  TAILRACE_ASSIGN_OR_RETURN(const auto builder,
                            engine::StoreBuilder::Begin(fs, *options.clock, directory, durability));
  TAILRACE_RETURN_IF_ERROR(RestoreFiles(fs, backup, manifest, meter, *builder));
  TAILRACE_RETURN_IF_ERROR(builder->Finish(manifest.cut()));
  return RestoreReport{.backup = engine::ReportOf(manifest), .store_id = builder->store_id()};
}

}  // namespace tailrace
