#include "engine/directory_tree.h"

#include "engine/store_files.h"

namespace tailrace::engine {

Status RemoveContents(wal::FileSystem& fs, const std::string& directory, const std::string& keep) {
  TAILRACE_ASSIGN_OR_RETURN(const auto entries, fs.List(directory));
  for (const wal::DirectoryEntry& entry : entries) {
    const std::string path = wal::JoinPath(directory, entry.name);
    if (entry.name == keep) continue;
    if (entry.is_directory) {
      TAILRACE_RETURN_IF_ERROR(RemoveContents(fs, path));
      TAILRACE_RETURN_IF_ERROR(fs.RemoveDirectory(path));
    } else {
      TAILRACE_RETURN_IF_ERROR(fs.Remove(path));
    }
  }
  return Status::Ok();
}

Status EnsureDirectory(wal::FileSystem& fs, const std::string& path) {
  const Status made = fs.CreateDirectory(path);
  if (!made.ok() && made.code() != StatusCode::kAlreadyExists) return made;
  return fs.SyncDirectory(ParentOf(path));
}

Status EnsureDirectories(wal::FileSystem& fs, const std::string& base, const std::string& below) {
  std::string path = base;
  for (size_t begin = 0; begin < below.size();) {
    const size_t end = std::min(below.find('/', begin), below.size());
    path = wal::JoinPath(path, ByteView(below).substr(begin, end - begin));
    TAILRACE_RETURN_IF_ERROR(EnsureDirectory(fs, path));
    begin = end + 1;
  }
  return Status::Ok();
}

}  // namespace tailrace::engine
