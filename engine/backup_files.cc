#include "engine/backup_files.h"

#include <algorithm>
#include <map>

#include "shards/shard_header.h"
#include "wal/coding.h"
#include "wal/segment.h"

namespace tailrace::engine {
namespace {

// The manifest file, little-endian: magic u64, version u32, reserved u32, bytes of the message u64,
// the message, XXH3 of all before it u64.
constexpr uint64_t kManifestMagic = 0x3150'4b42'4c49'5254;  // "TRILBKP1" in file order.
constexpr uint32_t kManifestVersion = 1;
constexpr uint64_t kVersionAt = 8;
constexpr uint64_t kMessageBytesAt = 16;
constexpr uint64_t kMessageAt = 24;
constexpr uint64_t kHashBytes = 8;

// Before each item: bytes of the key u32, of the image u32, LSN u64.
constexpr uint64_t kItemHeadBytes = 16;
constexpr uint64_t kItemImageAt = 4;
constexpr uint64_t kItemLsnAt = 8;

constexpr char kItemsFolder[] = "items";
constexpr char kStreamsFolder[] = "streams";

// Whether each file has the name that what is in it asks for: no name leads out of the directory.
Status CheckNames(const BackupManifest& manifest) {
  std::map<uint64_t, uint64_t> stream_of;
  for (const auto& end : manifest.cut().shard_ends()) stream_of[end.shard()] = end.stream();
  for (const BackupFile& file : manifest.files()) {
    if (file.has_table() && file.name() == BackupItemsName(TableId{file.table()})) continue;
    const auto stream = stream_of.find(file.shard());
    const std::string leaf = file.name().substr(file.name().rfind('/') + 1);
    if (file.has_shard() && !file.has_table() && stream != stream_of.end() &&
        (leaf == shards::kShardHeaderFileName || wal::ParseSegmentFileName(leaf)) &&
        file.name() == BackupLogFileName(StreamId{stream->second}, ShardId{file.shard()}, leaf)) {
      continue;
    }
    return Corruption("the manifest has a file whose name does not fit");
  }
  return Status::Ok();
}

}  // namespace

std::string BackupItemsName(TableId table) {
  return wal::JoinPath(kItemsFolder, std::to_string(table.value) + ".items");
}

std::string BackupLogFileName(StreamId stream, ShardId shard, ByteView file) {
  return wal::JoinPath(shards::ShardPath(kStreamsFolder, stream, shard), file);
}

// ---- The manifest. ----

std::string EncodeBackupManifest(const BackupManifest& manifest) {
  const std::string message = manifest.SerializeAsString();
  std::string bytes(kMessageAt, '\0');
  StoreLittle<uint64_t>(bytes.data(), kManifestMagic);
  StoreLittle<uint32_t>(bytes.data() + kVersionAt, kManifestVersion);
  StoreLittle<uint64_t>(bytes.data() + kMessageBytesAt, message.size());
  bytes += message;
  char hash[kHashBytes];
  StoreLittle<uint64_t>(hash, Hash64(bytes));
  bytes.append(hash, sizeof hash);
  return bytes;
}

Result<BackupManifest> DecodeBackupManifest(ByteView bytes) {
  if (bytes.size() < kMessageAt + kHashBytes ||
      LoadLittle<uint64_t>(bytes.data()) != kManifestMagic) {
    return Corruption("this is no manifest of a backup");
  }
  const auto version = LoadLittle<uint32_t>(bytes.data() + kVersionAt);
  const uint64_t hash_at = bytes.size() - kHashBytes;
  if (LoadLittle<uint64_t>(bytes.data() + hash_at) != Hash64(bytes.substr(0, hash_at))) {
    return Corruption("the manifest is damaged: its checksum differs");
  }
  if (version != kManifestVersion) {
    return Unsupported("the backup has version " + std::to_string(version) + ", this build knows " +
                       std::to_string(kManifestVersion));
  }
  const auto message_bytes = LoadLittle<uint64_t>(bytes.data() + kMessageBytesAt);
  BackupManifest manifest;
  if (message_bytes != hash_at - kMessageAt ||
      !manifest.ParseFromArray(bytes.data() + kMessageAt, static_cast<int>(message_bytes))) {
    return Corruption("the manifest cannot be read");
  }
  TAILRACE_RETURN_IF_ERROR(CheckNames(manifest));
  return manifest;
}

Result<BackupManifest> ReadBackupManifest(wal::FileSystem& fs, const std::string& directory) {
  const std::string path = wal::JoinPath(directory, kBackupManifestName);
  TAILRACE_ASSIGN_OR_RETURN(const bool exists, fs.Exists(path));
  if (!exists) {
    TAILRACE_ASSIGN_OR_RETURN(const bool unfinished,
                              fs.Exists(wal::JoinPath(directory, kBackupUnfinishedName)));
    if (unfinished) {
      return FailedPrecondition("the backup in " + directory +
                                " was not finished; take it again, or use another one");
    }
    return NotFound("there is no backup in " + directory);
  }
  TAILRACE_ASSIGN_OR_RETURN(const std::string bytes,
                            wal::ReadWholeFile(fs, path, kBackupManifestBytesMax));
  auto manifest = DecodeBackupManifest(bytes);
  if (!manifest.ok()) return manifest.status().WithContext(path);
  return manifest;
}

BackupReport ReportOf(const BackupManifest& manifest) {
  BackupReport report{.store_id = StoreId{manifest.cut().store_id()},
                      .cut = Lsn{manifest.cut().lsn()},
                      .taken_ms = manifest.taken_ms()};
  report.tables = static_cast<uint64_t>(manifest.cut().catalogue().tables_size());
  report.shards = static_cast<uint64_t>(manifest.cut().shard_ends_size());
  report.files = static_cast<uint64_t>(manifest.files_size());
  for (const BackupFile& file : manifest.files()) {
    report.items += file.items();
    report.bytes += file.bytes();
  }
  return report;
}

Status BackupMeter::Add(uint64_t bytes, uint64_t items) {
  progress_.bytes_done += bytes;
  progress_.items += items;
  if (!on_progress_ || progress_.bytes_done - told_bytes_ < kBackupPieceBytes) return Status::Ok();
  told_bytes_ = progress_.bytes_done;
  if (on_progress_(progress_)) return Status::Ok();
  return Closed("stopped before it was done");
}

// ---- Writing. ----

Result<std::unique_ptr<BackupFileWriter>> BackupFileWriter::Create(wal::FileSystem& fs,
                                                                   const std::string& path,
                                                                   BackupMeter& meter) {
  TAILRACE_ASSIGN_OR_RETURN(auto file, fs.Open(path, wal::OpenMode::kCreateNew));
  return std::unique_ptr<BackupFileWriter>(new BackupFileWriter(std::move(file), meter));
}

Status BackupFileWriter::Append(ByteView bytes) {
  buffer_.append(bytes);
  return buffer_.size() >= kBackupPieceBytes ? Flush() : Status::Ok();
}

Status BackupFileWriter::AppendItem(ByteView key, Lsn lsn, ByteView image) {
  char head[kItemHeadBytes];
  StoreLittle<uint32_t>(head, static_cast<uint32_t>(key.size()));
  StoreLittle<uint32_t>(head + kItemImageAt, static_cast<uint32_t>(image.size()));
  StoreLittle<uint64_t>(head + kItemLsnAt, lsn.value);
  buffer_.append(head, sizeof head);
  buffer_.append(key);
  ++items_;
  return Append(image);
}

Status BackupFileWriter::Flush() {
  hasher_.Add(buffer_);
  TAILRACE_RETURN_IF_ERROR(file_->Write(written_bytes_, buffer_));
  written_bytes_ += buffer_.size();
  const Status told = meter_.Add(buffer_.size(), items_ - items_told_);
  items_told_ = items_;
  buffer_.clear();
  return told;
}

Status BackupFileWriter::Finish(BackupFile& entry) {
  TAILRACE_RETURN_IF_ERROR(Flush());
  TAILRACE_RETURN_IF_ERROR(file_->Sync());
  entry.set_bytes(written_bytes_);
  entry.set_xxh3(hasher_.Get());
  entry.set_items(items_);
  return Status::Ok();
}

// ---- Reading. ----

Result<std::unique_ptr<BackupFileReader>> BackupFileReader::Open(wal::FileSystem& fs,
                                                                 const std::string& directory,
                                                                 const BackupFile& entry,
                                                                 BackupMeter& meter) {
  const std::string path = wal::JoinPath(directory, entry.name());
  auto file = fs.Open(path, wal::OpenMode::kRead);
  if (file.status().code() == StatusCode::kNotFound) {
    return Corruption(path + " is missing from the backup");
  }
  TAILRACE_RETURN_IF_ERROR(file.status());
  TAILRACE_ASSIGN_OR_RETURN(const uint64_t bytes, (*file)->SizeBytes());
  if (bytes != entry.bytes()) {
    return Corruption(path + ": it has " + std::to_string(bytes) + " bytes and should have " +
                      std::to_string(entry.bytes()));
  }
  return std::unique_ptr<BackupFileReader>(
      new BackupFileReader(*std::move(file), path, entry, meter));
}

Status BackupFileReader::Fill(uint64_t bytes) {
  if (rest().size() >= bytes) return Status::Ok();
  buffer_.erase(0, consumed_);
  consumed_ = 0;
  while (buffer_.size() < bytes && read_bytes_ < entry_.bytes()) {
    const uint64_t wanted = std::min(kBackupPieceBytes, entry_.bytes() - read_bytes_);
    const size_t had = buffer_.size();
    buffer_.resize(had + wanted);
    TAILRACE_ASSIGN_OR_RETURN(const uint64_t got,
                              file_->Read(read_bytes_, buffer_.data() + had, wanted));
    buffer_.resize(had + got);
    if (got == 0) return Corruption(path_ + " became shorter while it was read");
    hasher_.Add(ByteView(buffer_).substr(had));
    read_bytes_ += got;
    TAILRACE_RETURN_IF_ERROR(meter_.Add(got));
  }
  return Status::Ok();
}

Status BackupFileReader::Finish() {
  while (read_bytes_ < entry_.bytes()) {
    consumed_ = buffer_.size();
    TAILRACE_RETURN_IF_ERROR(Fill(1));
  }
  if (hasher_.Get() == entry_.xxh3()) return Status::Ok();
  return Corruption(path_ + ": its checksum is not the one that the manifest has");
}

Result<std::string> BackupFileReader::ReadAll() {
  TAILRACE_RETURN_IF_ERROR(Fill(entry_.bytes()));
  TAILRACE_RETURN_IF_ERROR(Finish());
  return std::move(buffer_);
}

Result<std::optional<BackupFileReader::StoredItem>> BackupFileReader::NextItem() {
  TAILRACE_RETURN_IF_ERROR(Fill(kItemHeadBytes));
  if (rest().empty()) {
    TAILRACE_RETURN_IF_ERROR(Finish());
    if (items_ == entry_.items()) return std::optional<StoredItem>();
    return Corruption(path_ + ": it has " + std::to_string(items_) + " items and should have " +
                      std::to_string(entry_.items()));
  }
  const Status short_item = Corruption(path_ + ": an item is longer than the file");
  if (rest().size() < kItemHeadBytes) return short_item;
  const uint64_t key_bytes = LoadLittle<uint32_t>(rest().data());
  const uint64_t image_bytes = LoadLittle<uint32_t>(rest().data() + kItemImageAt);
  const Lsn lsn{LoadLittle<uint64_t>(rest().data() + kItemLsnAt)};
  const uint64_t bytes = kItemHeadBytes + key_bytes + image_bytes;
  if (bytes > rest().size() + (entry_.bytes() - read_bytes_)) return short_item;
  TAILRACE_RETURN_IF_ERROR(Fill(bytes));
  const ByteView item = rest();
  consumed_ += bytes;
  ++items_;
  return std::optional(StoredItem{.key = item.substr(kItemHeadBytes, key_bytes),
                                  .lsn = lsn,
                                  .image = item.substr(kItemHeadBytes + key_bytes, image_bytes)});
}

}  // namespace tailrace::engine
