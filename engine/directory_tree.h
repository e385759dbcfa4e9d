// Directories made and removed with all that is in them.
#pragma once

#include <string>

#include "wal/fs.h"
#include "wal/status.h"

namespace tailrace::engine {

// Removes all that is in the directory, or all but the file `keep` of it; it stays. Not durable.
Status RemoveContents(wal::FileSystem& fs, const std::string& directory,
                      const std::string& keep = {});

// Makes a directory that may be there already. Its name is durable on OK; its parent must exist.
Status EnsureDirectory(wal::FileSystem& fs, const std::string& path);

// Makes `below`, a path of directories with '/' between them, below `base`, which exists.
Status EnsureDirectories(wal::FileSystem& fs, const std::string& base, const std::string& below);

}  // namespace tailrace::engine
