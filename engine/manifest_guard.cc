#include "engine/manifest_guard.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "wal/coding.h"
#include "wal/hash.h"
#include "wal/mutants.h"

namespace tailrace::engine {
namespace {

using wal::kBlockBytes;

constexpr char kFileName[] = "manifest.guard";
constexpr std::string_view kManifestPrefix = "MANIFEST-";
constexpr uint64_t kCurrentBytesMax = 256;

constexpr uint64_t kGuardMagic = 0x31445247'494e414d;  // "MANIGRD1" in file order.
constexpr uint32_t kGuardVersion = 1;
constexpr uint64_t kVersionAt = 8;
constexpr uint64_t kEntriesAt = 12;
constexpr uint64_t kSequenceAt = 16;
constexpr uint64_t kFirstEntryAt = 24;
constexpr uint64_t kEntryBytes = 16;
constexpr uint64_t kHashAt = kBlockBytes - 8;

// More MANIFESTs at once than RocksDB ever keeps: one, and those that could not replace it.
constexpr uint32_t kEntriesMax = 64;
static_assert(kFirstEntryAt + kEntriesMax * kEntryBytes <= kHashAt);

struct Record {
  uint64_t sequence = 0;
  std::map<uint64_t, uint64_t> durable_bytes;
};

enum class SlotState { kEmpty, kValid, kDamaged };

SlotState ParseSlot(ByteView block, Record& record) {
  if (std::all_of(block.begin(), block.end(), [](char c) { return c == 0; })) {
    return SlotState::kEmpty;
  }
  const char* const at = block.data();
  if (LoadLittle<uint64_t>(at) != kGuardMagic ||
      LoadLittle<uint64_t>(at + kHashAt) != Hash64(block.substr(0, kHashAt))) {
    return SlotState::kDamaged;
  }
  const auto entries = LoadLittle<uint32_t>(at + kEntriesAt);
  if (entries > kEntriesMax) return SlotState::kDamaged;
  record.sequence = LoadLittle<uint64_t>(at + kSequenceAt);
  for (uint32_t i = 0; i < entries; ++i) {
    const char* const entry = at + kFirstEntryAt + i * kEntryBytes;
    record.durable_bytes[LoadLittle<uint64_t>(entry)] = LoadLittle<uint64_t>(entry + 8);
  }
  return SlotState::kValid;
}

}  // namespace

ManifestGuard::ManifestGuard(wal::FileSystem& fs, std::string directory)
    : fs_(fs), directory_(std::move(directory)), path_(wal::JoinPath(directory_, kFileName)) {}

Result<std::unique_ptr<ManifestGuard>> ManifestGuard::Open(wal::FileSystem& fs,
                                                           const std::string& directory) {
  std::unique_ptr<ManifestGuard> guard(new ManifestGuard(fs, directory));
  const MutexLock lock(guard->mutex_);
  TAILRACE_RETURN_IF_ERROR(guard->Load());
  return guard;
}

std::optional<uint64_t> ManifestGuard::ParseName(ByteView file_name) {
  if (!file_name.starts_with(kManifestPrefix)) return std::nullopt;
  file_name.remove_prefix(kManifestPrefix.size());
  uint64_t number = 0;
  const char* const end = file_name.data() + file_name.size();
  const auto [parsed, error] = std::from_chars(file_name.data(), end, number);
  if (error != std::errc() || parsed != end) return std::nullopt;
  return number;
}

Status ManifestGuard::Load() {
  auto bytes = wal::ReadWholeFile(fs_, path_, kSlots * kBlockBytes);
  if (bytes.status().code() == StatusCode::kNotFound) return Status::Ok();
  TAILRACE_RETURN_IF_ERROR(bytes.status());
  bytes->resize(kSlots * kBlockBytes);
  uint32_t damaged = 0;
  for (uint32_t i = 0; i < kSlots; ++i) {
    const ByteView block = ByteView(*bytes).substr(i * kBlockBytes, kBlockBytes);
    Record record;
    const SlotState state = ParseSlot(block, record);
    if (state == SlotState::kDamaged) ++damaged;
    if (state != SlotState::kValid) continue;
    if (const auto version = LoadLittle<uint32_t>(block.data() + kVersionAt);
        version != kGuardVersion) {
      return Unsupported(path_ + ": has version " + std::to_string(version) +
                         ", this build knows " + std::to_string(kGuardVersion));
    }
    if (record.sequence > sequence_) {
      sequence_ = record.sequence;
      newest_slot_ = i;
      durable_bytes_ = std::move(record.durable_bytes);
    }
  }
  // One damaged block is a torn write. Two cannot be: they are never written at once.
  if (damaged == kSlots) return Corruption(path_ + ": both copies are damaged");
  return Status::Ok();
}

// Absent: there is none, or nothing is known of it.
Result<std::optional<ManifestGuard::Current>> ManifestGuard::FindCurrent() {
  auto current = wal::ReadWholeFile(fs_, wal::JoinPath(directory_, "CURRENT"), kCurrentBytesMax);
  if (current.status().code() == StatusCode::kNotFound) return std::optional<Current>();
  TAILRACE_RETURN_IF_ERROR(current.status());
  const std::string name = current->substr(0, current->find('\n'));
  const auto number = ParseName(name);
  if (!number) return std::optional<Current>();  // RocksDB will say what is wrong with it.
  const auto entry = durable_bytes_.find(*number);
  if (entry == durable_bytes_.end()) return std::optional<Current>();
  return std::optional<Current>({wal::JoinPath(directory_, name), entry->second});
}

Result<uint64_t> ManifestGuard::CutTail() {
  const MutexLock lock(mutex_);
  TAILRACE_ASSIGN_OR_RETURN(const auto current, FindCurrent());
  if (!current) return uint64_t{0};
  TAILRACE_ASSIGN_OR_RETURN(auto manifest, fs_.Open(current->path, wal::OpenMode::kReadWrite));
  TAILRACE_ASSIGN_OR_RETURN(const uint64_t size_bytes, manifest->SizeBytes());
  if (size_bytes < current->durable_bytes) {
    return Corruption(current->path + ": " + std::to_string(size_bytes) + " bytes are left of " +
                      std::to_string(current->durable_bytes) + " that were durable");
  }
  if (size_bytes == current->durable_bytes) return uint64_t{0};
  TAILRACE_RETURN_IF_ERROR(manifest->Truncate(current->durable_bytes));
  TAILRACE_RETURN_IF_ERROR(manifest->Sync());
  return size_bytes - current->durable_bytes;
}

// RocksDB's log format: blocks, in which records follow one another; what is too short for a header
// at a block's end is left empty.
Status ManifestGuard::CheckRecords() {
  constexpr uint64_t kLogBlockBytes = 32 << 10;
  constexpr uint64_t kHeaderBytes = 7;  // Checksum u32, length u16, type u8.
  constexpr uint64_t kLengthAt = 4;
  constexpr uint64_t kTypeAt = 6;
  constexpr char kTypeMax = 4;  // Full, first, middle, last. Above: of logs that are recycled.
  const MutexLock lock(mutex_);
  TAILRACE_ASSIGN_OR_RETURN(const auto current, FindCurrent());
  if (!current) return Status::Ok();
  TAILRACE_ASSIGN_OR_RETURN(const std::string bytes,
                            wal::ReadWholeFile(fs_, current->path, current->durable_bytes));
  for (uint64_t at = 0; at < bytes.size();) {
    const uint64_t block_end = (at / kLogBlockBytes + 1) * kLogBlockBytes;
    if (block_end - at < kHeaderBytes) {
      at = block_end;
      continue;
    }
    const uint64_t end = std::min<uint64_t>(block_end, bytes.size());
    const uint64_t length =
        end - at < kHeaderBytes ? 0 : LoadLittle<uint16_t>(bytes.data() + at + kLengthAt);
    if (end - at < kHeaderBytes + length) {
      return Corruption(current->path + ", offset " + std::to_string(at) +
                        ": the record promises more bytes than were made durable");
    }
    // RocksDB would take it for what a recycled file held before: the end of the log.
    const char type = bytes[at + kTypeAt];
    if ((type < 1 || type > kTypeMax) && !TAILRACE_MUTANT("manifest-types-not-checked")) {
      return Corruption(current->path + ", offset " + std::to_string(at) +
                        ": the record has a type that no MANIFEST has");
    }
    at += kHeaderBytes + length;
  }
  return Status::Ok();
}

Status ManifestGuard::NoteSynced(uint64_t number, uint64_t size_bytes) {
  const MutexLock lock(mutex_);
  if (!failure_.ok()) return failure_;
  durable_bytes_[number] = size_bytes;
  failure_ = WriteRecord();
  if (!failure_.ok()) return failure_;
  // In force from here on: if the second copy fails, RocksDB must not take its own sync for failed
  // and remove files that the MANIFEST names. The next record fails instead.
  failure_ = WriteCopy(newest_slot_);
  return Status::Ok();
}

void ManifestGuard::Forget(uint64_t number) {
  const MutexLock lock(mutex_);
  durable_bytes_.erase(number);
}

// The file with room for both copies, also where its end was lost.
Result<std::unique_ptr<wal::File>> ManifestGuard::OpenWhole() {
  TAILRACE_ASSIGN_OR_RETURN(auto file, fs_.Open(path_, wal::OpenMode::kReadWrite));
  TAILRACE_ASSIGN_OR_RETURN(const uint64_t bytes, file->SizeBytes());
  if (bytes < kSlots * kBlockBytes) {
    TAILRACE_RETURN_IF_ERROR(file->Allocate(kSlots * kBlockBytes));
    TAILRACE_RETURN_IF_ERROR(file->Sync());
  }
  return file;
}

// To the block that does not hold the newest record.
Status ManifestGuard::WriteRecord() {
  if (durable_bytes_.size() > kEntriesMax) {
    return IoError(path_ + ": more than " + std::to_string(kEntriesMax) + " MANIFEST files");
  }
  if (file_ == nullptr) {
    TAILRACE_ASSIGN_OR_RETURN(const bool exists, fs_.Exists(path_));
    if (!exists) {
      const std::string zeros(kSlots * kBlockBytes, '\0');
      TAILRACE_RETURN_IF_ERROR(wal::ReplaceFile(fs_, path_, zeros));
    }
    TAILRACE_ASSIGN_OR_RETURN(file_, OpenWhole());
  }
  ++sequence_;
  char* const at = slot_.bytes.data();
  slot_.bytes.fill(0);
  StoreLittle(at, kGuardMagic);
  StoreLittle(at + kVersionAt, kGuardVersion);
  StoreLittle(at + kEntriesAt, static_cast<uint32_t>(durable_bytes_.size()));
  StoreLittle(at + kSequenceAt, sequence_);
  char* entry = at + kFirstEntryAt;
  for (const auto& [number, bytes] : durable_bytes_) {
    StoreLittle(entry, number);
    StoreLittle(entry + 8, bytes);
    entry += kEntryBytes;
  }
  const ByteView block(at, kBlockBytes);
  StoreLittle(at + kHashAt, Hash64(block.substr(0, kHashAt)));
  return WriteCopy(1 - newest_slot_);
}

Status ManifestGuard::WriteCopy(uint32_t slot) {
  return file_->WriteDurable(slot * kBlockBytes, ByteView(slot_.bytes.data(), kBlockBytes));
}

}  // namespace tailrace::engine
