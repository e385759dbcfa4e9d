#include "engine/store_files.h"

#include <algorithm>
#include <array>
#include <random>

#include "wal/coding.h"
#include "wal/hash.h"

namespace tailrace::engine {
namespace {

// The STORE file, little-endian: magic u64, version u32, durability u32, store id u64, created u64,
// complete u64, XXH3 of all before it u64.
constexpr uint64_t kIdentityMagic = 0x4552'4f54'534c'5254;  // "TRLSTORE" in file order.
constexpr uint64_t kIdentityBytes = 48;
constexpr uint64_t kIdentityHashAt = kIdentityBytes - 8;

}  // namespace

std::string ParentOf(const std::string& path) {
  const auto end = path.find_last_not_of('/');
  const auto slash = end == std::string::npos ? end : path.find_last_of('/', end);
  if (slash == std::string::npos) return path.starts_with('/') ? "/" : ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

StorePaths::StorePaths(const std::string& path)
    : directory(path),
      lock(wal::JoinPath(path, "LOCK")),
      identity(wal::JoinPath(path, "STORE")),
      items(wal::JoinPath(path, "items")),
      journal(wal::JoinPath(path, "journal")),
      streams(wal::JoinPath(path, "streams")) {}

Result<StoreIdentity> ReadIdentity(wal::FileSystem& fs, const StorePaths& paths) {
  TAILRACE_ASSIGN_OR_RETURN(const std::string bytes,
                            wal::ReadWholeFile(fs, paths.identity, kIdentityBytes));
  const char* at = bytes.data();
  if (bytes.size() != kIdentityBytes || LoadLittle<uint64_t>(at) != kIdentityMagic) {
    return Corruption(paths.identity + " is not a store's identity file");
  }
  const auto version = LoadLittle<uint32_t>(at + 8);
  if (version < kStoreFormatVersionFirst || version > kStoreFormatVersion) {
    return Unsupported(paths.identity + ": the store has format version " +
                       std::to_string(version) + ", this build knows " +
                       std::to_string(kStoreFormatVersionFirst) + " to " +
                       std::to_string(kStoreFormatVersion) + "; use a newer one");
  }
  const ByteView body(bytes.data(), kIdentityHashAt);
  if (LoadLittle<uint64_t>(at + kIdentityHashAt) != Hash64(body)) {
    return Corruption(paths.identity + " is damaged: its checksum differs");
  }
  StoreIdentity identity;
  identity.format_version = version;
  identity.durability = static_cast<wal::Durability>(LoadLittle<uint32_t>(at + 12));
  if (identity.durability != wal::Durability::kSync &&
      identity.durability != wal::Durability::kBuffered) {
    return Unsupported(paths.identity +
                       ": the store has a durability that this build does not know");
  }
  identity.store_id = StoreId{LoadLittle<uint64_t>(at + 16)};
  identity.created_ms = LoadLittle<uint64_t>(at + 24);
  identity.complete = LoadLittle<uint64_t>(at + 32) != 0;
  return identity;
}

Status WriteIdentity(wal::FileSystem& fs, const StorePaths& paths, const StoreIdentity& identity) {
  std::string bytes(kIdentityBytes, '\0');
  StoreLittle(bytes.data(), kIdentityMagic);
  StoreLittle(bytes.data() + 8, kStoreFormatVersion);
  StoreLittle(bytes.data() + 12, static_cast<uint32_t>(identity.durability));
  StoreLittle(bytes.data() + 16, identity.store_id.value);
  StoreLittle(bytes.data() + 24, identity.created_ms);
  StoreLittle(bytes.data() + 32, uint64_t{identity.complete});
  StoreLittle(bytes.data() + kIdentityHashAt, Hash64(ByteView(bytes.data(), kIdentityHashAt)));
  return wal::ReplaceFile(fs, paths.identity, bytes);
}

Result<std::unique_ptr<wal::FileLock>> ClaimDirectory(wal::FileSystem& fs, const StorePaths& paths,
                                                      bool create) {
  if (paths.directory.empty())
    return InvalidArgument("a store needs a directory: its name is empty");
  TAILRACE_ASSIGN_OR_RETURN(const bool exists, fs.Exists(paths.directory));
  if (!exists) {
    if (!create) return NotFound("there is no store in " + paths.directory);
    TAILRACE_RETURN_IF_ERROR(fs.CreateDirectory(paths.directory));
    TAILRACE_RETURN_IF_ERROR(fs.SyncDirectory(ParentOf(paths.directory)));
  }
  TAILRACE_ASSIGN_OR_RETURN(const bool is_directory, fs.IsDirectory(paths.directory));
  if (!is_directory) {
    return InvalidArgument(paths.directory + " is not a directory; choose an empty or a new one");
  }
  TAILRACE_RETURN_IF_ERROR(fs.CheckPrivate(paths.directory));
  TAILRACE_ASSIGN_OR_RETURN(const auto entries, fs.List(paths.directory));
  const auto has = [&](ByteView name) {
    return std::any_of(entries.begin(), entries.end(),
                       [&](const auto& e) { return e.name == name; });
  };
  if (!has("STORE")) {
    // LOCK and STORE.tmp may be left from a creation that a crash cut short.
    for (const auto& entry : entries) {
      if (entry.name == "LOCK" || entry.name == "STORE.tmp") continue;
      return InvalidArgument(paths.directory + " is not a store: it holds '" + entry.name +
                             "' but no STORE file; choose an empty or a new directory");
    }
    if (!create) return NotFound("there is no store in " + paths.directory);
  }
  return fs.Lock(paths.lock);
}

StoreId DrawStoreId() {
  std::random_device entropy;
  uint64_t id = 0;
  while (id == 0) id = (uint64_t{entropy()} << 32) | entropy();
  return StoreId{id};
}

}  // namespace tailrace::engine
