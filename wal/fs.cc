// What can be said about files in terms of FileSystem alone, the same on a real and a simulated
// disk.
#include "wal/fs.h"

#include <string>
#include <utility>

namespace tailrace::wal {
namespace {

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Status WriteWholeFile(FileSystem& fs, const std::string& path, ByteView bytes) {
  TAILRACE_ASSIGN_OR_RETURN(auto file, fs.Open(path, OpenMode::kCreate));
  TAILRACE_RETURN_IF_ERROR(file->Truncate(0));  // Left by an earlier crash.
  if (!bytes.empty()) TAILRACE_RETURN_IF_ERROR(file->Write(0, bytes));
  return file->Sync();
}

}  // namespace

Status FileSystem::CheckPrivate(const std::string&) { return Status::Ok(); }

std::string JoinPath(ByteView directory, ByteView name) {
  std::string path(directory);
  if (!path.empty() && path.back() != '/') path.push_back('/');
  path.append(name);
  return path;
}

Result<std::string> ReadPiece(const File& file, uint64_t offset, uint64_t bytes) {
  std::string piece(bytes, '\0');
  TAILRACE_ASSIGN_OR_RETURN(const uint64_t read_bytes, file.Read(offset, piece.data(), bytes));
  piece.resize(read_bytes);
  return piece;
}

Result<std::string> ReadWholeFile(FileSystem& fs, const std::string& path, uint64_t bytes_max) {
  TAILRACE_ASSIGN_OR_RETURN(auto file, fs.Open(path, OpenMode::kRead));
  TAILRACE_ASSIGN_OR_RETURN(const uint64_t size_bytes, file->SizeBytes());
  if (size_bytes > bytes_max) {
    return Corruption(path + ": " + std::to_string(size_bytes) + " bytes, expected at most " +
                      std::to_string(bytes_max));
  }
  return ReadPiece(*file, 0, size_bytes);
}

Status ReplaceFile(FileSystem& fs, const std::string& path, ByteView bytes) {
  const std::string temporary = path + ".tmp";
  Status status = WriteWholeFile(fs, temporary, bytes);
  if (status.ok()) status = fs.Rename(temporary, path);
  if (!status.ok()) {
    // The old file still stands; a left-over would only take space. The first error is the news.
    (void)fs.Remove(temporary);
    return status;
  }
  return fs.SyncDirectory(DirectoryOf(path));
}

}  // namespace tailrace::wal
